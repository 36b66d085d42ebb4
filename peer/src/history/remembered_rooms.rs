//! The rooms of this device in their last known state.
//!
//! They survive a restart, so that the peer can compare the rooms of the next LOGIN with them.

use commons::snapshot::RoomSnapshot;
use rusqlite::{Result, params};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::history::conversation::ConversationId;
use crate::history::membership::Membership;
use crate::history::remembered_room::{RememberedRoom, Unwritten};
use crate::history::tables::Tables;

/// A room as stored in the table `rooms`, encoded in JSON.
#[derive(Serialize, Deserialize)]
struct Record {
    snapshot: RoomSnapshot,
    membership: Membership,
}

impl Tables {
    /// Notes a room's snapshot from the tracker and the members that this peer saw join.
    pub(crate) fn note_room(&mut self, room: RememberedRoom) -> Result<()> {
        let Some(snapshot) = &room.snapshot else { return Ok(()) };
        self.note_memberships(snapshot, room.log.as_deref())?;
        let key = self.conversation(&ConversationId::Room(room.id), Some(&snapshot.name))?.key;
        if let Some(log) = &room.log {
            self.write_log(key, log)?;
        }
        let before = self.rooms.get(&room.id).map(|before| &before.room);
        // Presence changes often and is not worth a write of its own.
        let can_wait = before.is_some_and(|before| room.changes_only_presence(before));
        self.rooms.insert(room.id, Unwritten { key, room, is_written: false });
        if can_wait { Ok(()) } else { self.write_rooms() }
    }

    /// Removes a room that the user left or that no longer exists.
    pub(crate) fn leave_room(&mut self, room: Uuid) -> Result<()> {
        self.rooms.remove(&room);
        let Some(known) = self.known_conversation(&ConversationId::Room(room))? else { return Ok(()) };
        self.db.prepare_cached("DELETE FROM rooms WHERE conversation = ?1")?.execute([known.key])?;
        Ok(())
    }

    /// Writes the rooms that have changed since the last write.
    pub(crate) fn write_rooms(&mut self) -> Result<()> {
        for unwritten in self.rooms.values_mut().filter(|room| !room.is_written) {
            let RememberedRoom { snapshot: Some(snapshot), membership, .. } = &unwritten.room else {
                continue;
            };
            let record = Record { snapshot: snapshot.clone(), membership: membership.clone() };
            let record = serde_json::to_string(&record)
                .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
            self.db
                .prepare_cached("INSERT OR REPLACE INTO rooms VALUES (?1, ?2)")?
                .execute(params![unwritten.key, record])?;
            unwritten.is_written = true;
        }
        Ok(())
    }

    /// Returns the rooms that the user entered and has not left. A room that cannot be decoded is skipped.
    pub(crate) fn remembered_rooms(&self) -> Result<Vec<RememberedRoom>> {
        let mut query = self.db.prepare_cached(
            "SELECT c.room, r.record FROM rooms r JOIN conversations c ON c.id = r.conversation
             WHERE c.room IS NOT NULL",
        )?;
        let found =
            query.query_map([], |row| Ok((Uuid::from_bytes(row.get(0)?), row.get::<_, String>(1)?)))?;
        let mut rooms = Vec::new();
        for found in found {
            let (id, record) = found?;
            let Ok(Record { snapshot, membership }) = serde_json::from_str(&record) else { continue };
            if snapshot.id == id {
                rooms.push(RememberedRoom { id, snapshot: Some(snapshot), membership, log: None });
            }
        }
        Ok(rooms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::request::Request;
    use crate::history::testing::*;

    fn remembered(folder: &std::path::Path) -> Vec<RememberedRoom> {
        use crate::history::history_db::{HistoryDb, Place};
        let (history, opened) = HistoryDb::open(&Place::File(folder.to_owned()), &author(ANA)).unwrap();
        history.close();
        opened.rooms
    }

    #[test]
    fn a_room_is_remembered_until_it_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let (history, _) = history_in(folder.path(), ANA);
        history.close();
        let rooms = remembered(folder.path());
        assert_eq!(rooms.iter().map(|room| room.id).collect::<Vec<_>>(), [room().room().unwrap()]);
        let (mut history, _) = history_in(folder.path(), ANA);
        history.apply(Request::LeaveRoom(room().room().unwrap()));
        history.commit();
        history.close();
        assert_eq!(remembered(folder.path()), []);
    }

    #[test]
    fn presence_is_written_with_the_next_message_or_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let (mut ana, _) = history_in(folder.path(), ANA);
        let mut room_of_three =
            RememberedRoom::from(snapshot_of(REVISION, &[(ANA, 1), (BOB, 2), (CARLA, 3)]));
        let mut presence = |history: &mut crate::history::history_db::HistoryDb, revision: u64| {
            let snapshot = room_of_three.snapshot.as_mut().unwrap();
            snapshot.revision = revision;
            snapshot.members[1].connected ^= true;
            room_of_three.membership.note(snapshot);
            let before = history.commits();
            history.apply(Request::NoteRoom(Box::new(room_of_three.clone())));
            history.commit();
            history.commits() - before
        };
        assert_eq!(presence(&mut ana, 7), 0, "presence waits for the disk");
        say(&mut ana, &room(), &["written at 7"], &[BOB]);
        let path = folder.path().to_owned();
        let latest = |path: &std::path::Path| remembered(path)[0].snapshot.as_ref().unwrap().revision;
        // The copy shows the state after a crash, because the history was not closed.
        let copy = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(&path).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
        assert_eq!(latest(copy.path()), 7);
        presence(&mut ana, 9);
        ana.close();
        assert_eq!(latest(&path), 9);
    }
}
