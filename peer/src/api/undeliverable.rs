//! Reasons why a message does not reach a recipient.
//!
//! The event `undelivered` carries one for each recipient.

use serde::{Deserialize, Serialize};

/// The reason why a message was not delivered, for good or for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Undeliverable {
    /// The text is longer than the user's legacy client can read.
    TextTooLong,
    /// The user's key has changed: the message waits until the key is accepted.
    KeyChanged,
    /// The recipient or this user left before the message was delivered.
    Left,
    /// The peer ends: it sends the message at the next start.
    Waiting,
    /// The message was erased on this device before it was delivered; a member that has it may still hand it on.
    Forgotten,
    /// More messages wait for that user than the outbox may hold for one recipient: the oldest are given up. Other
    /// members of the room may still hand them on.
    QueueFull,
}
