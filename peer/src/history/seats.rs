//! Who sat in a room, from which of its states to which: what a line's revision is measured by.

use commons::snapshot::RoomSnapshot;
use rusqlite::{Result, params};

use crate::history::conversation::ConversationId;
use crate::history::store::Store;

impl Store {
    /// Notes who sits in a room, as the tracker tells it.
    pub(crate) fn note_seats(&mut self, room: &RoomSnapshot) -> Result<()> {
        let id = ConversationId::Room(room.id);
        let conversation = self.conversation(&id, Some(&room.name))?;
        let key = conversation.key;
        let mut query = self
            .db
            .prepare_cached("SELECT user, since FROM seats WHERE conversation = ?1 AND until IS NULL")?;
        let known: Vec<(i64, i64)> =
            query.query_map([key], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_>>()?;
        drop(query);
        let mut seated = Vec::new();
        for member in &room.members {
            seated.push((self.person(&member.username)?, member.since.cast_signed()));
        }
        for (user, since) in known.iter().filter(|seat| !seated.contains(seat)) {
            // When the seat was given up is not known; the state before this one is the latest that it can have been.
            self.db
                .prepare_cached(
                    "UPDATE seats SET until = max(since, ?4) WHERE conversation = ?1 AND user = ?2 AND since = ?3",
                )?
                .execute(params![key, user, since, room.revision.saturating_sub(1).cast_signed()])?;
        }
        for (user, since) in seated.iter().filter(|seat| !known.contains(seat)) {
            self.db
                .prepare_cached(
                    "INSERT INTO seats VALUES (?1, ?2, ?3, NULL) ON CONFLICT DO UPDATE SET until = NULL",
                )?
                .execute([key, *user, *since])?;
        }
        // Presence alone raises the number often: then it is not worth a wait for the disk.
        if let Some(known) = self.conversations.get_mut(&id) {
            known.revision = known.revision.max(room.revision);
        }
        if known != seated {
            self.db
                .prepare_cached("UPDATE conversations SET revision = max(revision, ?2) WHERE id = ?1")?
                .execute([key, room.revision.cast_signed()])?;
        }
        Ok(())
    }
}
