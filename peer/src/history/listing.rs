//! The list of stored conversations. It shows how many messages each one holds, and from when.

use chrono::{DateTime, Utc};

use crate::history::answer::HistoryFailed;
use crate::history::conversation::{ConversationId, NamedConversation};
use crate::history::history_db::HistoryDb;
use crate::history::rows::{conversation, room_name, time};
use crate::history::tables::{Name, Tables};

/// A conversation that holds messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptConversation {
    /// The conversation and the last known name of its room.
    pub name: NamedConversation,
    /// The number of messages, without withdrawn ones.
    pub messages: u64,
    /// The send times of the earliest and the latest message, by their authors' clocks.
    pub sent: (DateTime<Utc>, DateTime<Utc>),
}

impl Tables {
    /// Returns the conversations that hold messages, in the order in which they were first seen.
    pub(crate) fn kept_conversations(&self) -> rusqlite::Result<Vec<NamedConversation>> {
        let mut query = self.db.prepare_cached(
            "SELECT c.room, p.name, c.name FROM conversations c LEFT JOIN people p ON p.id = c.peer
             WHERE EXISTS (SELECT 1 FROM messages l WHERE l.conversation = c.id) ORDER BY c.id",
        )?;
        query
            .query_map([], |row| {
                Ok((conversation(row.get(0)?, row.get::<_, Option<Name>>(1)?)?, room_name(row.get(2)?)))
            })?
            .collect()
    }

    /// Returns the conversations with counts and dates. It reads every message, so it is slow for a large history.
    pub(crate) fn conversation_list(&self) -> rusqlite::Result<Vec<KeptConversation>> {
        let mut query = self.db.prepare_cached(
            "SELECT c.room, p.name, c.name, count(*), min(l.sent_at), max(l.sent_at)
             FROM conversations c JOIN messages l ON l.conversation = c.id LEFT JOIN people p ON p.id = c.peer
             WHERE l.text IS NOT NULL GROUP BY c.id ORDER BY c.id",
        )?;
        query
            .query_map([], |row| {
                let id: ConversationId = conversation(row.get(0)?, row.get::<_, Option<Name>>(1)?)?;
                Ok(KeptConversation {
                    name: (id, room_name(row.get(2)?)),
                    messages: row.get::<_, i64>(3)?.cast_unsigned(),
                    sent: (time(row.get(4)?), time(row.get(5)?)),
                })
            })?
            .collect()
    }
}

impl HistoryDb {
    /// Returns the conversations that hold messages, in the order in which they were first seen.
    pub fn conversations(&mut self) -> Result<Vec<NamedConversation>, HistoryFailed> {
        self.read(|tables| tables.kept_conversations())
    }

    /// Returns the conversations with counts and dates, in the order in which they were first seen.
    pub fn conversation_list(&mut self) -> Result<Vec<KeptConversation>, HistoryFailed> {
        self.read(|tables| tables.conversation_list())
    }
}

#[cfg(test)]
mod tests {
    use crate::history::testing::*;

    #[test]
    fn conversations_are_listed_with_counts_and_dates() {
        let mut ana = history(ANA);
        say(&mut ana, &room(), &["one", "two"], &[BOB]);
        say(&mut ana, &private(BOB), &["three"], &[BOB]);
        let list = ana.conversation_list().unwrap();
        let counts: Vec<_> = list.iter().map(|kept| (kept.name.0.clone(), kept.messages)).collect();
        assert_eq!(counts, [(room(), 2), (private(BOB), 1)]);
        assert!(list.iter().all(|kept| kept.sent.0 <= kept.sent.1));
        ana.forget(&room()).unwrap();
        assert_eq!(ana.conversation_list().unwrap().len(), 1);
    }
}
