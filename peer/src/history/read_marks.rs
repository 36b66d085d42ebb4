//! The read marks: how far the user has read each conversation, and which one was open last.
//!
//! They are written together at most once a second. A crash loses the marks of the last second: these messages then count
//! as unread again.

use std::collections::BTreeMap;

use rusqlite::{Connection, Result};

use crate::history::conversation::ConversationId;

/// The marks that are not in the database yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadMarks {
    /// The row up to which each conversation was read.
    pub read: BTreeMap<ConversationId, i64>,
    /// The conversation that was opened last.
    pub open: Option<ConversationId>,
}

impl ReadMarks {
    /// Adds later marks.
    pub(crate) fn merge(&mut self, later: Self) {
        for (conversation, row) in later.read {
            let mark = self.read.entry(conversation).or_default();
            *mark = row.max(*mark);
        }
        self.open = later.open.or_else(|| self.open.take());
    }
}

/// Creates the table in a history of an earlier version, in which everything that was shown counts as read.
pub(crate) fn grow(db: &Connection) -> Result<()> {
    let exists = db.query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'read_marks'", [], |row| {
        row.get::<_, i64>(0)
    })?;
    if exists > 0 {
        return Ok(());
    }
    db.execute_batch(
        "BEGIN;
         CREATE TABLE read_marks (
             conversation INTEGER PRIMARY KEY REFERENCES conversations,
             row INTEGER NOT NULL,
             is_open INTEGER NOT NULL DEFAULT 0
         );
         INSERT INTO read_marks (conversation, row) SELECT id, (SELECT shown FROM meta) FROM conversations;
         COMMIT",
    )
}
