//! The logs of rooms on the disk. A log stays when the user leaves the room, so that nobody can show an older one later.

use std::sync::Arc;

use commons::room_log::entry::SignedEntry;
use commons::room_log::log::RoomLog;
use rusqlite::{Result, params};

use crate::history::rows::limit;
use crate::history::tables::Tables;
use crate::limits::STORED_LOGS_MAX;

impl Tables {
    /// Writes the entries of a log that are not written yet. A log only grows.
    pub(crate) fn write_log(&mut self, conversation: i64, log: &RoomLog) -> Result<()> {
        let mut query =
            self.db.prepare_cached("SELECT coalesce(max(epoch), 0) FROM logs WHERE conversation = ?1")?;
        let written: i64 = query.query_row([conversation], |row| row.get(0))?;
        let mut insert = self.db.prepare_cached("INSERT INTO logs VALUES (?1, ?2, ?3)")?;
        for entry in log.after(written.cast_unsigned()) {
            insert.execute(params![conversation, entry.entry.epoch.cast_signed(), entry.to_bytes()])?;
        }
        Ok(())
    }

    /// Returns the logs of all rooms. Surplus ones of rooms that the user left first are deleted.
    pub(crate) fn stored_logs(&self) -> Result<Vec<Arc<RoomLog>>> {
        self.db.execute(
            "DELETE FROM logs WHERE conversation IN (
                 SELECT DISTINCT conversation FROM logs WHERE conversation NOT IN (SELECT conversation FROM rooms)
                 ORDER BY conversation DESC LIMIT -1 OFFSET ?1)",
            [limit(STORED_LOGS_MAX)],
        )?;
        let mut query =
            self.db.prepare("SELECT conversation, entry FROM logs ORDER BY conversation, epoch")?;
        let found = query.query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?)))?;
        let mut logs: Vec<(i64, Vec<SignedEntry>)> = Vec::new();
        for found in found {
            let (conversation, bytes) = found?;
            // The file is encrypted and authenticated, so an entry that cannot be read is one of another version.
            let Ok(entry) = SignedEntry::from_bytes(&bytes) else { continue };
            match logs.last_mut().filter(|(last, _)| *last == conversation) {
                Some((_, entries)) => entries.push(entry),
                None => logs.push((conversation, vec![entry])),
            }
        }
        Ok(logs
            .into_iter()
            .filter_map(|(_, entries)| RoomLog::from_disk(entries).ok().map(Arc::new))
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use commons::room_log::entry::Change;

    use super::*;
    use crate::history::request::Request;
    use crate::history::testing::*;

    #[test]
    fn log_survives_a_restart_even_when_the_room_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = room_log(&[joined(BOB)]);
        let (mut ana, _) = history_in(folder.path(), ANA);
        ana.apply(noted(&log));
        extend(&mut log, &[(ANA, ANA, Change::Left)]);
        ana.apply(noted(&log));
        ana.apply(Request::LeaveRoom(log.state().id()));
        ana.commit();
        ana.close();
        let (_, opened) = history_in(folder.path(), ANA);
        assert_eq!(opened.logs, [Arc::new(log)]);
        assert!(
            opened.rooms.iter().all(|known| known.id != opened.logs[0].state().id()),
            "the room was left"
        );
    }
}
