//! How many own lines of each conversation wait for somebody: shared between those who write and the one who keeps, so
//! that a fast writer is slowed down before the history has looked. Nobody is refused by it: each recipient has a quota,
//! which the outbox keeps.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::history::conversation::ConversationId;

/// What waits, by conversation. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct Quota {
    waiting: Arc<Mutex<HashMap<ConversationId, QuotaUsage>>>,
}

/// Lines and their bytes of text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QuotaUsage {
    /// How many lines.
    pub lines: usize,
    /// How many bytes.
    pub bytes: usize,
}

impl QuotaUsage {
    /// One line of this text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self { lines: 1, bytes: text.len() }
    }
}

impl Quota {
    /// How many lines of a conversation are counted.
    #[must_use]
    pub fn lines(&self, conversation: &ConversationId) -> usize {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.get(conversation).map_or(0, |load| load.lines)
    }

    /// Counts a line in.
    pub fn add(&self, conversation: &ConversationId, line: QuotaUsage) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let load = waiting.entry(conversation.clone()).or_default();
        *load = QuotaUsage { lines: load.lines + line.lines, bytes: load.bytes + line.bytes };
    }

    /// Counts lines out.
    pub fn release(&self, conversation: &ConversationId, line: QuotaUsage) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(load) = waiting.get_mut(conversation) {
            *load = QuotaUsage {
                lines: load.lines.saturating_sub(line.lines),
                bytes: load.bytes.saturating_sub(line.bytes),
            };
            if load.lines == 0 {
                waiting.remove(conversation);
            }
        }
    }
}
