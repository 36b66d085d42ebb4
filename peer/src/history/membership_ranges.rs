//! The memberships of each room, as ranges of the room's revisions.
//!
//! The revision of a message is checked against them: its author must have been a member at that revision. In a room
//! with a log the ranges are those of the log, so all members agree on them. Otherwise they are those that this peer
//! saw in the tracker's snapshots.

use commons::room_log::log::{RoomLog, Stay};
use commons::snapshot::RoomSnapshot;
use rusqlite::{Result, params};

use crate::history::conversation::ConversationId;
use crate::history::tables::Tables;

/// A user's row number, and the first and the last revision of a membership.
type Range = (i64, i64, Option<i64>);

impl Tables {
    /// Notes the members of a room, from its log or from the tracker's snapshot.
    pub(crate) fn note_memberships(&mut self, room: &RoomSnapshot, log: Option<&RoomLog>) -> Result<()> {
        let id = ConversationId::Room(room.id);
        let known = self.conversation(&id, Some(&room.name))?;
        let key = known.key;
        let ranges = match log {
            Some(log) => self.ranges_of_log(log, known.revision)?,
            None => self.ranges_of_snapshot(key, room)?,
        };
        let mut write = self.db.prepare_cached(
            "INSERT INTO memberships VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET until = excluded.until WHERE until IS NOT excluded.until",
        )?;
        let mut is_changed = false;
        for (user, since, until) in ranges {
            is_changed |= write.execute(params![key, user, since, until])? > 0;
        }
        drop(write);
        // Presence often raises the revision. That alone is not worth a write to the disk.
        if let Some(known) = self.conversations.get_mut(&id) {
            known.revision = known.revision.max(room.membership_revision());
        }
        if is_changed {
            self.db
                .prepare_cached("UPDATE conversations SET revision = max(revision, ?2) WHERE id = ?1")?
                .execute([key, room.membership_revision().cast_signed()])?;
        }
        Ok(())
    }

    /// Returns the ranges that began or ended after a revision. The earlier ones are in the table, and each change of presence
    /// comes here.
    fn ranges_of_log(&mut self, log: &RoomLog, noted: u64) -> Result<Vec<Range>> {
        let mut ranges = Vec::new();
        let is_new = |stay: &&Stay| stay.since > noted || stay.until.is_some_and(|until| until >= noted);
        for stay in log.stays().iter().filter(is_new) {
            let user = self.user_key(&stay.user)?;
            ranges.push((user, stay.since.cast_signed(), stay.until.map(u64::cast_signed)));
        }
        Ok(ranges)
    }

    /// Returns the ranges that a snapshot begins or ends.
    fn ranges_of_snapshot(&mut self, key: i64, room: &RoomSnapshot) -> Result<Vec<Range>> {
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
        // The revision of a departure is unknown. The last possible one is the revision before this snapshot.
        let last = room.membership_revision().saturating_sub(1).cast_signed();
        let ended = known.iter().filter(|range| !members.contains(range));
        let ended = ended.map(|(user, since)| (*user, *since, Some(last.max(*since))));
        let begun = members.iter().filter(|range| !known.contains(range));
        let begun = begun.map(|(user, since)| (*user, *since, None));
        Ok(ended.chain(begun).collect())
    }
}
