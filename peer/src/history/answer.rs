//! Answers of the history to queries. These types carry messages and delivery states to the callers.

use std::fmt;

use chrono::{DateTime, Utc};
use commons::names::{RoomName, Username};
use uuid::Uuid;

use crate::history::conversation::{ConversationId, NamedConversation};

/// A message as the history stores it.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredMessage {
    /// The row of the message: rows count up from 1 in order of arrival.
    pub row: i64,
    /// The conversation that holds the message.
    pub conversation: ConversationId,
    /// The last known name of the room; `None` in private conversations.
    pub room: Option<RoomName>,
    /// The author of the message.
    pub from: Username,
    /// The message id, unique per author.
    pub id: Uuid,
    /// The text that the author wrote.
    pub text: String,
    /// The time at which the author sent the message, by the author's clock.
    pub sent_at: DateTime<Utc>,
    /// Whether the author's key vouches for the message: by a signature, or in private conversations by the link.
    pub signed: bool,
    /// Whether the message came from the backlog instead of live.
    pub late: bool,
    /// The matches of a search in the text, as half-open ranges of characters.
    pub hits: Vec<(usize, usize)>,
}

/// An own message with its delivery state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The message itself.
    pub message: StoredMessage,
    /// The recipients that have stored the message.
    pub has: Vec<Username>,
    /// The recipients to whose legacy clients the message was written. A legacy client sends no ack.
    pub written: Vec<Username>,
    /// The recipients that have not acknowledged the message yet.
    pub waits: Vec<Username>,
}

/// A message that was published before, for a frontend that was too slow.
#[derive(Debug)]
pub struct PublishedMessage {
    /// The message as the history stores it.
    pub message: StoredMessage,
    /// True if it was written on this device.
    pub is_own: bool,
}

/// The extent of a stored conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConversationSummary {
    /// The conversation and the last known name of its room.
    pub name: NamedConversation,
    /// The number of messages, without withdrawn ones.
    pub messages: u64,
    /// The send times of the earliest and the latest message, by their authors' clocks.
    pub sent: (DateTime<Utc>, DateTime<Utc>),
}

/// The reason why a message could not be withdrawn.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotWithdrawn {
    /// This device wrote no message with this id, or the message is withdrawn already.
    #[error("no message of yours has this id")]
    Unknown,
    /// These recipients have the message already, or it was written to their legacy clients.
    #[error("a recipient has the message already")]
    SomebodyHasIt(Vec<Username>),
}

/// The error of a query without an answer: the disk failed, or the history is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the history could not be read or written: check the disk, then try again")]
pub struct HistoryFailed;

/// Omits the chat text, which must stay out of logs.
impl fmt::Debug for StoredMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredMessage").field("id", &self.id).finish_non_exhaustive()
    }
}
