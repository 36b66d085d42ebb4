//! The single row of the table `meta`: the numbers that a history continues with after a restart.

use commons::incarnation::Incarnation;
use rusqlite::{Connection, Result, params};

/// The single row of the table `meta`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) incarnation: Incarnation,
    pub(crate) next_row: i64,
    pub(crate) shown: i64,
    pub(crate) indexed: i64,
    pub(crate) commits: i64,
}

impl Meta {
    /// Reads the row from the database.
    pub(crate) fn read(db: &Connection) -> Result<Self> {
        let query = "SELECT incarnation, max(next_row, (SELECT coalesce(max(row), 0) + 1 FROM messages)), shown, indexed,
                         commits FROM meta";
        db.query_row(query, [], |row| {
            Ok(Self {
                incarnation: Incarnation(row.get::<_, i64>(0)?.cast_unsigned()),
                next_row: row.get(1)?,
                shown: row.get(2)?,
                indexed: row.get(3)?,
                commits: row.get(4)?,
            })
        })
    }

    /// Writes the row to the database.
    pub(crate) fn write(&self, db: &Connection) -> Result<()> {
        let mut update = db.prepare_cached(
            "UPDATE meta SET incarnation = ?1, next_row = ?2, shown = ?3, indexed = ?4, commits = ?5",
        )?;
        update.execute(params![
            self.incarnation.0.cast_signed(),
            self.next_row,
            self.shown,
            self.indexed,
            self.commits
        ])?;
        Ok(())
    }
}
