//! Messages and conversations as they are stored in the history.
//!
//! These types carry the answers to `/history`, `/search`, `/conversations`, `/receipts` and `/outbox`.

use chrono::{DateTime, Utc};
use commons::names::{RoomName, Username};
use commons::timestamp::{milliseconds, milliseconds_if_any};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::api::conversation::Conversation;
use crate::limits::HISTORY_PAGE;
use crate::untrusted::UntrustedText;

/// A conversation of the history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PastConversation {
    /// A room, which may no longer exist.
    Room(RoomName),
    /// A private chat with this user.
    With(Username),
}

impl From<Conversation> for PastConversation {
    fn from(conversation: Conversation) -> Self {
        match conversation {
            Conversation::Room(room) => Self::Room(room),
            Conversation::Private(user) => Self::With(user),
        }
    }
}

impl From<PastConversation> for Conversation {
    fn from(conversation: PastConversation) -> Self {
        match conversation {
            PastConversation::Room(room) => Self::Room(room),
            PastConversation::With(user) => Self::Private(user),
        }
    }
}

/// A message as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastMessage {
    /// The message id.
    pub id: Uuid,
    /// The author of the message.
    pub from: Username,
    /// The text of the message.
    pub content: UntrustedText,
    /// The time of sending, by the author's clock.
    #[serde(serialize_with = "milliseconds")]
    pub sent_at: DateTime<Utc>,
    /// True if the author's key authenticates the message: by a signature, or in a private chat by the link.
    pub signed: bool,
    /// True if the word filter of this device hides the message.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub filtered: bool,
    /// True if the author is muted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub muted: bool,
}

/// The message before which a page ends. An author can use the id of another author's message, so the author belongs to
/// it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Before {
    /// The message id.
    #[serde(rename = "before")]
    pub id: Uuid,
    /// The author of the message; if absent, the message with this id that arrived first is meant.
    #[serde(rename = "before_from", default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Username>,
}

impl From<&PastMessage> for Before {
    fn from(message: &PastMessage) -> Self {
        Self { id: message.id, from: Some(message.from.clone()) }
    }
}

/// The message after which a page begins, as with [`Before`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct After {
    /// The message id.
    #[serde(rename = "after")]
    pub id: Uuid,
    /// The author of the message, as in [`Before`].
    #[serde(rename = "after_from", default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Username>,
}

/// A conversation that is stored on this device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConversationSummary {
    /// The conversation: a field `room` or `with`.
    #[serde(flatten)]
    pub of: PastConversation,
    /// The name by which a command finds the room, if a newer room has the plain name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub named: Option<RoomName>,
    /// The id of a room; `None` for a private chat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Uuid>,
    /// The number of stored messages.
    pub messages: u64,
    /// The time of the earliest message, by its author's clock.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "milliseconds_if_any")]
    pub first: Option<DateTime<Utc>>,
    /// The time of the latest message, by its author's clock.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "milliseconds_if_any")]
    pub last: Option<DateTime<Utc>>,
    /// The number of messages received since the conversation was last open.
    pub unread: usize,
    /// True if this user takes no part in it any more: the room was left or deleted, or the private chat was closed.
    pub ended: bool,
}

/// A message that a search found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundMessage {
    /// The conversation: a field `room` or `with`.
    #[serde(flatten)]
    pub of: PastConversation,
    /// The name by which a command finds the room, if a newer room has the plain name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub named: Option<RoomName>,
    /// A part of the text, with the found words between asterisks; absent if the search had no words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excerpt: Option<UntrustedText>,
    /// The whole message.
    #[serde(flatten)]
    pub message: PastMessage,
}

/// A message of this user, with the recipients that have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnMessage {
    /// The message id.
    pub id: Uuid,
    /// The text of the message.
    pub content: UntrustedText,
    /// The time of sending, by this device's clock.
    #[serde(serialize_with = "milliseconds")]
    pub sent_at: DateTime<Utc>,
    /// The recipients that acknowledged it.
    pub has: Vec<Username>,
    /// The recipients whose legacy client it was written to, which acknowledges nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub written: Vec<Username>,
    /// The recipients that have not acknowledged it.
    pub waits: Vec<Username>,
}

/// A message of the outbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingMessage {
    /// The conversation: a field `room` or `with`.
    #[serde(flatten)]
    pub of: PastConversation,
    /// The message and its recipients.
    #[serde(flatten)]
    pub message: OwnMessage,
}

/// Returns true for zero, which is left out of the JSON.
pub(crate) fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The number of messages that `/history` shows if no number is given.
pub(crate) fn default_lines() -> usize {
    HISTORY_PAGE
}
