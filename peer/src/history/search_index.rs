//! The full-text index of messages.
//!
//! Indexing is deferred: a message is indexed when the history is idle, or when the user searches.

use rusqlite::{Result, params};

use crate::history::history_db::HistoryDb;
use crate::history::tables::Tables;
use crate::limits::INDEX_PIECE;

impl Tables {
    /// Indexes at most `INDEX_PIECE` more messages. Returns true if messages remain.
    pub(crate) fn index(&mut self) -> Result<bool> {
        self.write_notes()?;
        let from = self.meta.indexed;
        let to = (from + INDEX_PIECE).min(self.meta.next_row - 1);
        if to <= from {
            return Ok(false);
        }
        self.db
            .prepare_cached(
                "INSERT INTO words (rowid, text)
                 SELECT row, text FROM messages WHERE row > ?1 AND row <= ?2 AND text IS NOT NULL",
            )?
            .execute([from, to])?;
        self.meta.indexed = to;
        Ok(to < self.meta.next_row - 1)
    }

    /// Removes a message from the index.
    pub(crate) fn unindex(&self, row: i64, text: &str) -> Result<()> {
        if row <= self.meta.indexed {
            self.db
                .prepare_cached("INSERT INTO words (words, rowid, text) VALUES ('delete', ?1, ?2)")?
                .execute(params![row, text])?;
        }
        Ok(())
    }
}

impl HistoryDb {
    /// Does one piece of deferred work (the search index). Returns true if more work remains.
    pub fn tidy(&mut self) -> bool {
        self.transaction(Tables::index).unwrap_or(false)
    }
}
