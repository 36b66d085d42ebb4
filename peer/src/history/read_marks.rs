//! The read marks: how far the user has read each conversation, and which one was open last.
//!
//! They are written together at most once a second. A crash loses the marks of the last second: these messages then count
//! as unread again.

use std::collections::BTreeMap;

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
