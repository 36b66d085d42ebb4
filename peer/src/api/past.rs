//! What is shown of what was said: lines as they are kept, and who has the own ones.

use chrono::{DateTime, Utc};
use commons::names::{RoomName, Username};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::api::Conversation;
use crate::limits::PAST_LINES;
use crate::untrusted::UntrustedText;

/// A conversation that is looked back at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Past {
    /// A room, perhaps one that is gone.
    Room(RoomName),
    /// A private chat.
    With(Username),
}

impl From<Conversation> for Past {
    fn from(conversation: Conversation) -> Self {
        match conversation {
            Conversation::Room(room) => Self::Room(room),
            Conversation::Private(user) => Self::With(user),
        }
    }
}

/// A line as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastLine {
    /// Which.
    pub id: Uuid,
    /// Who said it.
    pub from: Username,
    /// What was said.
    pub content: UntrustedText,
    /// When, by the author's clock.
    pub sent_at: DateTime<Utc>,
    /// Whether the author's key vouches for it: by a signature, in private by the link.
    pub signed: bool,
}

/// A conversation that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptConversation {
    /// What it is: a field `room` or `with`.
    #[serde(flatten)]
    pub of: Past,
    /// The name by which a command finds a room, where a newer one has the plain name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub named: Option<RoomName>,
    /// The id of a room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Uuid>,
    /// How many messages are kept.
    pub messages: u64,
    /// When the earliest of them was sent, by its author's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<DateTime<Utc>>,
    /// When the latest of them was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<DateTime<Utc>>,
    /// How many came since it was open last.
    pub unread: usize,
    /// Whether one takes no part in it any more: the room was left or deleted, the private chat was closed.
    pub ended: bool,
}

/// A line that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundLine {
    /// Where: a field `room` or `with`.
    #[serde(flatten)]
    pub of: Past,
    /// The name by which a command finds a room, where a newer one has the plain name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub named: Option<RoomName>,
    /// A part of the text, with what was looked for between asterisks; absent where no words were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excerpt: Option<UntrustedText>,
    /// The line.
    #[serde(flatten)]
    pub line: PastLine,
}

/// An own line and who has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnLine {
    /// Which.
    pub id: Uuid,
    /// What was said.
    pub content: UntrustedText,
    /// When.
    pub sent_at: DateTime<Utc>,
    /// Who has it.
    pub has: Vec<Username>,
    /// To whose program, one that acknowledges nothing, it was written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub written: Vec<Username>,
    /// Who has not.
    pub waits: Vec<Username>,
}

/// An own line that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingLine {
    /// Where: a field `room` or `with`.
    #[serde(flatten)]
    pub of: Past,
    /// The line.
    #[serde(flatten)]
    pub line: OwnLine,
}

/// How many messages are shown where no number is given.
pub(crate) fn default_lines() -> usize {
    PAST_LINES.0
}
