//! The messages that the user has not read, by the read marks in the database.

use std::collections::BTreeMap;
use std::mem;

use commons::names::Username;
use rusqlite::{OptionalExtension, Result, params};
use uuid::Uuid;

use crate::history::conversation::{ConversationId, NamedConversation};
use crate::history::read_marks::ReadMarks;
use crate::history::rows::{limit, named_conversation};
use crate::history::tables::{Name, Tables};
use crate::limits::UNREAD_MESSAGES;

/// A received message that the user has not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadMessage {
    /// The row of the message.
    pub row: i64,
    /// The id of the message, unique per author.
    pub id: Uuid,
    /// The author of the message.
    pub from: Username,
}

impl Tables {
    /// Writes the marks that are not in the database yet.
    pub(crate) fn write_read_marks(&mut self) -> Result<()> {
        let ReadMarks { read, open } = mem::take(&mut self.read_marks);
        for (conversation, row) in &read {
            // A conversation without messages has nothing to read.
            let Some(known) = self.known_conversation(conversation)? else { continue };
            let mut upsert = self.db.prepare_cached(
                "INSERT INTO read_marks (conversation, row) VALUES (?1, ?2)
                 ON CONFLICT DO UPDATE SET row = max(row, excluded.row)",
            )?;
            upsert.execute(params![known.key, row])?;
        }
        let Some(open) = open else { return Ok(()) };
        if let Some(known) = self.known_conversation(&open)? {
            self.db.execute("UPDATE read_marks SET is_open = 0 WHERE is_open", [])?;
            self.db.execute(
                "INSERT INTO read_marks (conversation, row, is_open) VALUES (?1, 0, 1)
                 ON CONFLICT DO UPDATE SET is_open = 1",
                [known.key],
            )?;
        }
        Ok(())
    }

    /// Returns the conversation that was open last.
    pub(crate) fn last_open(&self) -> Result<Option<NamedConversation>> {
        let mut query = self.db.prepare_cached(
            "SELECT c.room, p.name, c.name FROM read_marks r JOIN conversations c ON c.id = r.conversation
             LEFT JOIN users p ON p.id = c.peer WHERE r.is_open",
        )?;
        query.query_row([], named_conversation).optional()
    }

    /// Returns the messages of others that were shown and not read, in the order of each conversation: those among its last
    /// [`UNREAD_MESSAGES`].
    pub(crate) fn unread(&mut self) -> Result<BTreeMap<ConversationId, Vec<UnreadMessage>>> {
        let me = self.user_key(&self.me.clone())?;
        let mut conversations = self.db.prepare_cached(
            "SELECT c.room, p.name, c.name, c.id, ifnull(r.row, 0) FROM conversations c
             LEFT JOIN read_marks r ON r.conversation = c.id LEFT JOIN users p ON p.id = c.peer",
        )?;
        let conversations = conversations.query_map([], |row| {
            Ok((named_conversation(row)?.0, row.get::<_, i64>(3)?, row.get::<_, i64>(4)?))
        })?;
        // The inner query reads the index only, so a conversation that was read costs little.
        let mut messages = self.db.prepare_cached(
            "SELECT l.row, l.id, a.name
             FROM (SELECT row FROM messages WHERE conversation = ?1 ORDER BY lamport DESC LIMIT ?2) latest
             CROSS JOIN messages l ON l.row = latest.row JOIN users a ON a.id = l.author
             WHERE latest.row > ?3 AND latest.row <= ?4 AND l.author <> ?5 AND l.text IS NOT NULL
             ORDER BY l.lamport, l.row",
        )?;
        let mut unread = BTreeMap::new();
        for conversation in conversations {
            let (id, key, read) = conversation?;
            let given = params![key, limit(UNREAD_MESSAGES), read, self.meta.shown, me];
            let found = messages.query_map(given, |row| {
                let id = Uuid::from_bytes(row.get(1)?);
                Ok(UnreadMessage { row: row.get(0)?, id, from: row.get::<_, Name>(2)?.0 })
            })?;
            let found = found.collect::<Result<Vec<_>>>()?;
            if !found.is_empty() {
                unread.insert(id, found);
            }
        }
        Ok(unread)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::history_db::{HistoryDb, InitialState};
    use crate::history::testing::*;

    fn read(history: &mut HistoryDb, conversation: &ConversationId, row: i64) {
        history.note_read(ReadMarks {
            read: [(conversation.clone(), row)].into(),
            open: Some(conversation.clone()),
        });
    }

    fn counts(opened: &InitialState) -> Vec<(ConversationId, usize)> {
        opened.unread.iter().map(|(conversation, messages)| (conversation.clone(), messages.len())).collect()
    }

    /// Writes messages of Bob in the room and in private into the history of Ana in this folder. All are shown.
    fn fill(folder: &std::path::Path) {
        let (mut ana, _) = history_in(folder, ANA);
        let mut bob = history(BOB);
        let in_room = say(&mut bob, &room(), &["1", "2", "3"], &[ANA]);
        ingest(&mut ana, BOB, &room(), &in_room);
        let in_private = say(&mut bob, &private(ANA), &["4", "5"], &[ANA]);
        ingest(&mut ana, BOB, &private(BOB), &in_private);
        say(&mut ana, &room(), &["own"], &[BOB]);
        ana.note_shown(6);
        ana.close();
    }

    #[test]
    fn unread_messages_are_counted_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        fill(folder.path());
        let (mut ana, opened) = history_in(folder.path(), ANA);
        assert_eq!(counts(&opened), [(room(), 3), (private(BOB), 2)]);
        assert_eq!(opened.last_open, None);
        read(&mut ana, &room(), 2);
        read(&mut ana, &private(BOB), 5);
        ana.close();
        let (ana, opened) = history_in(folder.path(), ANA);
        assert_eq!(counts(&opened), [(room(), 1)]);
        assert_eq!(opened.unread[&room()][0].row, 3);
        assert_eq!(opened.last_open, Some((private(BOB), None)));
        ana.close();
    }

    #[test]
    fn read_mark_costs_no_commit_of_its_own() {
        let mut ana = history(ANA);
        let messages = say(&mut history(BOB), &room(), &["1"], &[ANA]);
        ingest(&mut ana, BOB, &room(), &messages);
        let before = ana.commits();
        for row in 0..100 {
            read(&mut ana, &room(), row);
            ana.commit();
        }
        assert_eq!(ana.commits(), before);
        say(&mut ana, &room(), &["own"], &[BOB]);
        assert_eq!(ana.commits(), before + 1);
        assert_eq!(ana.tables.read_marks, ReadMarks::default(), "written with the message");
    }

    #[test]
    fn older_history_grows_the_marks_and_counts_as_read() {
        let folder = tempfile::tempdir().unwrap();
        fill(folder.path());
        let (ana, _) = history_in(folder.path(), ANA);
        let version_5 = "DROP TABLE read_marks; DROP TABLE logs; ALTER TABLE messages DROP COLUMN head;
             PRAGMA user_version = 5";
        ana.tables.db.execute_batch(version_5).unwrap();
        ana.close();
        let (mut ana, opened) = history_in(folder.path(), ANA);
        assert_eq!(counts(&opened), []);
        // Later messages are unread.
        let messages = say(&mut history(CARLA), &private(ANA), &["6"], &[ANA]);
        ingest(&mut ana, CARLA, &private(CARLA), &messages);
        ana.note_shown(7);
        ana.close();
        assert_eq!(counts(&history_in(folder.path(), ANA).1), [(private(CARLA), 1)]);
    }
}
