//! The memberships of each room, as ranges of the room's revisions.
//!
//! The revision of a message is checked against them: its author must have been a member at that revision.

use commons::snapshot::RoomSnapshot;
use rusqlite::{Result, params};

use crate::history::conversation::ConversationId;
use crate::history::tables::Tables;

impl Tables {
    /// Notes the members of a room from the tracker's snapshot.
    pub(crate) fn note_memberships(&mut self, room: &RoomSnapshot) -> Result<()> {
        let id = ConversationId::Room(room.id);
        let conversation = self.conversation(&id, Some(&room.name))?;
        let key = conversation.key;
        let mut query = self.db.prepare_cached(
            "SELECT user, since FROM memberships WHERE conversation = ?1 AND until IS NULL",
        )?;
        let known: Vec<(i64, i64)> =
            query.query_map([key], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_>>()?;
        drop(query);
        let mut members = Vec::new();
        for member in &room.members {
            members.push((self.user_key(&member.username)?, member.since.cast_signed()));
        }
        for (user, since) in known.iter().filter(|range| !members.contains(range)) {
            // The revision of the departure is unknown. The last possible one is the revision before this snapshot.
            self.db
                .prepare_cached(
                    "UPDATE memberships SET until = max(since, ?4) WHERE conversation = ?1 AND user = ?2 AND since = ?3",
                )?
                .execute(params![key, user, since, room.membership_revision().saturating_sub(1).cast_signed()])?;
        }
        for (user, since) in members.iter().filter(|range| !known.contains(range)) {
            self.db
                .prepare_cached(
                    "INSERT INTO memberships VALUES (?1, ?2, ?3, NULL) ON CONFLICT DO UPDATE SET until = NULL",
                )?
                .execute([key, *user, *since])?;
        }
        // Presence often raises the revision. That alone is not worth a write to the disk.
        if let Some(known) = self.conversations.get_mut(&id) {
            known.revision = known.revision.max(room.membership_revision());
        }
        if known != members {
            self.db
                .prepare_cached("UPDATE conversations SET revision = max(revision, ?2) WHERE id = ?1")?
                .execute([key, room.membership_revision().cast_signed()])?;
        }
        Ok(())
    }
}
