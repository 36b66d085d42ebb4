//! The private chats in which this user has written, and those in which only the other user has.

use std::collections::BTreeSet;

use commons::names::Username;
use rusqlite::{Result, params};
use uuid::Uuid;

use crate::history::rows::limit;
use crate::history::tables::{Name, Tables};
use crate::limits::REQUEST_MESSAGES;

impl Tables {
    /// Returns the users to whom this user has written in private, also from other devices, and even if the messages were
    /// erased.
    pub(crate) fn answered(&mut self) -> Result<BTreeSet<Username>> {
        let me = self.user_key(&self.me.clone())?;
        let mut query = self.db.prepare_cached(
            "SELECT p.name FROM conversations c JOIN users p ON p.id = c.peer
             WHERE EXISTS (SELECT 1 FROM streams s WHERE s.conversation = c.id AND s.author = ?1)",
        )?;
        let names = query.query_map([me], |row| Ok(row.get::<_, Name>(0)?.0))?;
        names.collect()
    }

    /// Returns the other users whose private messages are stored, each with the ids of the first messages: one more than a
    /// request may hold.
    pub(crate) fn unanswered(&mut self) -> Result<Vec<(Username, Vec<Uuid>)>> {
        let me = self.user_key(&self.me.clone())?;
        let mut query = self.db.prepare_cached(
            "SELECT c.id, p.name FROM conversations c JOIN users p ON p.id = c.peer
             WHERE NOT EXISTS (SELECT 1 FROM streams s WHERE s.conversation = c.id AND s.author = ?1)
             AND EXISTS (SELECT 1 FROM messages l WHERE l.conversation = c.id)",
        )?;
        let found = query.query_map([me], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Name>(1)?.0)))?;
        let mut query = self
            .db
            .prepare_cached("SELECT id FROM messages WHERE conversation = ?1 ORDER BY lamport LIMIT ?2")?;
        let with_ids = |(key, user): (i64, Username)| {
            let ids = query
                .query_map(params![key, limit(REQUEST_MESSAGES + 1)], |row| row.get::<_, [u8; 16]>(0))?;
            Ok((user, ids.map(|id| id.map(Uuid::from_bytes)).collect::<Result<_>>()?))
        };
        found.collect::<Result<Vec<_>>>()?.into_iter().map(with_ids).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::history::testing::{ANA, BOB, CARLA, history, ingest, private, say, user};

    #[test]
    fn chat_is_answered_once_this_user_has_written() {
        let (mut ana, mut bob) = (history(ANA), history(BOB));
        let messages = say(&mut bob, &private(ANA), &["1", "2"], &[ANA]);
        ingest(&mut ana, BOB, &private(BOB), &messages);
        say(&mut ana, &private(CARLA), &["hello"], &[CARLA]);
        let ids: Vec<_> = messages.iter().map(|message| message.id).collect();
        assert_eq!(ana.tables.unanswered().unwrap(), [(user(BOB), ids)]);
        assert_eq!(ana.tables.answered().unwrap(), [user(CARLA)].into());
        say(&mut ana, &private(BOB), &["hello"], &[BOB]);
        assert!(ana.tables.unanswered().unwrap().is_empty());
        assert_eq!(ana.tables.answered().unwrap(), [user(BOB), user(CARLA)].into());
    }
}
