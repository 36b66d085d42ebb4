//! How many own lines of each conversation wait for somebody: shared between those who write and the one who keeps, so
//! that a line too many is refused at once and not after it was shown.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::history::answer::Full;
use crate::history::conversation::ConversationId;
use crate::limits::{OUTBOX_BYTES_MAX, OUTBOX_LINES};

/// What waits, by conversation. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct Quota {
    waiting: Arc<Mutex<HashMap<ConversationId, Load>>>,
}

/// Lines and their bytes of text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    /// How many lines.
    pub lines: usize,
    /// How many bytes.
    pub bytes: usize,
}

impl Load {
    /// One line of this text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self { lines: 1, bytes: text.len() }
    }
}

impl Quota {
    /// Counts a line in, where there is room for it.
    pub fn take(&self, conversation: &ConversationId, line: Load) -> Result<(), Full> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let load = waiting.entry(conversation.clone()).or_default();
        if load.lines + line.lines > OUTBOX_LINES || load.bytes + line.bytes > OUTBOX_BYTES_MAX {
            return Err(Full);
        }
        *load = Load { lines: load.lines + line.lines, bytes: load.bytes + line.bytes };
        Ok(())
    }

    /// How many lines of a conversation are counted.
    #[must_use]
    pub fn lines(&self, conversation: &ConversationId) -> usize {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.get(conversation).map_or(0, |load| load.lines)
    }

    /// Counts a line in that is kept already.
    pub fn add(&self, conversation: &ConversationId, line: Load) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let load = waiting.entry(conversation.clone()).or_default();
        *load = Load { lines: load.lines + line.lines, bytes: load.bytes + line.bytes };
    }

    /// Counts lines out.
    pub fn release(&self, conversation: &ConversationId, line: Load) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(load) = waiting.get_mut(conversation) {
            *load = Load {
                lines: load.lines.saturating_sub(line.lines),
                bytes: load.bytes.saturating_sub(line.bytes),
            };
            if load.lines == 0 {
                waiting.remove(conversation);
            }
        }
    }
}
