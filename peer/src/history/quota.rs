//! The count of pending messages in each conversation.
//!
//! The senders and the history thread share it, so that a fast sender slows down before the history has stored its
//! messages. This count refuses nothing. The outbox enforces the quota of each recipient.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::history::conversation::ConversationId;

/// The pending messages of each conversation. All clones share one count.
#[derive(Debug, Clone, Default)]
pub struct Quota {
    waiting: Arc<Mutex<HashMap<ConversationId, QuotaUsage>>>,
}

/// A number of messages and the bytes of their texts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QuotaUsage {
    /// The number of messages.
    pub messages: usize,
    /// The total length of the texts, in bytes.
    pub bytes: usize,
}

impl QuotaUsage {
    /// Returns the usage of one message with this text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self { messages: 1, bytes: text.len() }
    }
}

impl Quota {
    /// Returns the number of pending messages in a conversation.
    #[must_use]
    pub fn messages(&self, conversation: &ConversationId) -> usize {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.get(conversation).map_or(0, |load| load.messages)
    }

    /// Adds a message to the count of its conversation.
    pub fn add(&self, conversation: &ConversationId, message: QuotaUsage) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let load = waiting.entry(conversation.clone()).or_default();
        *load = QuotaUsage { messages: load.messages + message.messages, bytes: load.bytes + message.bytes };
    }

    /// Subtracts messages from the count of a conversation. The count never falls below zero.
    pub fn release(&self, conversation: &ConversationId, message: QuotaUsage) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(load) = waiting.get_mut(conversation) {
            *load = QuotaUsage {
                messages: load.messages.saturating_sub(message.messages),
                bytes: load.bytes.saturating_sub(message.bytes),
            };
            if load.messages == 0 {
                waiting.remove(conversation);
            }
        }
    }
}
