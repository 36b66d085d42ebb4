//! The rollback of a failed transaction.
//!
//! It decides what happens to each staged request when the disk fails.

use rusqlite::{Error, ErrorCode};

use crate::history::database;
use crate::history::history_db::HistoryDb;
use crate::history::ingest::unsigned;
use crate::history::report::Report;
use crate::history::rollback_action::RollbackAction;
use crate::limits::AGAIN_MAX;

impl HistoryDb {
    /// Rolls back the transaction and handles its staged requests.
    pub(crate) fn undo(&mut self, error: &Error) {
        let why = words(error);
        if !self.in_trouble {
            self.in_trouble = true;
            tracing::error!(code = ?error.sqlite_error_code(), "the history cannot be written");
            self.reports.push(Report::Trouble(why.to_owned()));
        }
        if let Some(folder) = self.folder.as_ref().filter(|_| database::is_damage(error)) {
            // If the mark cannot be set, the next start may not notice the damage.
            let _ = database::suspect(folder);
        }
        if !self.tables.db.is_autocommit() {
            // If the rollback fails, SQLite repeats it at the next start.
            let _ = self.tables.db.execute_batch("ROLLBACK");
        }
        self.tables.early.rolled_back();
        self.is_open = false;
        self.needs_commit = false;
        self.is_stale = self.tables.reload().is_err();
        for (from, ids) in self.tables.uncommitted.drain(..) {
            self.tables.assemblers.entry(from).or_default().miss_ids(ids);
        }
        let mut lost = Vec::new();
        for staged in std::mem::take(&mut self.staged) {
            match staged {
                RollbackAction::Append(id) => lost.push(id),
                RollbackAction::Ingest(from, ids) => {
                    self.tables.assemblers.entry(from).or_default().miss_ids(ids)
                }
                // Nobody sends the message again, so it is shown although it is not stored.
                RollbackAction::Unsigned(message) => {
                    self.tables.report(Report::Received(vec![unsigned(message, 0)]))
                }
                RollbackAction::Again(request) => self.again.push(request),
            }
        }
        if !lost.is_empty() {
            self.tables.report(Report::NotStored { ids: lost, why: why.to_owned() });
        }
        self.reports.append(&mut self.tables.reports);
        let surplus = self.again.len().saturating_sub(AGAIN_MAX);
        self.again.drain(..surplus);
    }
}

/// Describes the failure to the user, without names and texts.
fn words(error: &Error) -> &'static str {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "the disk is full",
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => "the history is damaged",
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
            "the history is not writable"
        }
        _ => "the disk failed",
    }
}
