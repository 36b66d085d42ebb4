//! What the history answers to questions.

use std::fmt;

use chrono::{DateTime, Utc};
use commons::names::{RoomName, Username};
use uuid::Uuid;

use crate::history::conversation::ConversationId;

/// A line as it is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredMessage {
    /// Its row.
    pub row: i64,
    /// Where it was said.
    pub conversation: ConversationId,
    /// What the room is called.
    pub room: Option<RoomName>,
    /// By whom.
    pub from: Username,
    /// Tells it from all others.
    pub id: Uuid,
    /// What was said.
    pub text: String,
    /// When, by the author's clock.
    pub sent_at: DateTime<Utc>,
    /// Whether the author's key vouches for it: by a signature, in private by the link.
    pub signed: bool,
    /// Whether it was caught up.
    pub late: bool,
    /// Where the words of a search stand in the text, as spans of characters.
    pub hits: Vec<(usize, usize)>,
}

/// Who has an own line, and who has not.
#[derive(Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The line.
    pub id: Uuid,
    /// What was said.
    pub text: String,
    /// When.
    pub sent_at: DateTime<Utc>,
    /// Who has stored it.
    pub has: Vec<Username>,
    /// To whose legacy client it was written, which acknowledges nothing.
    pub written: Vec<Username>,
    /// Who has not.
    pub waits: Vec<Username>,
}

/// An own line that waits for somebody.
#[derive(Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The line.
    pub id: Uuid,
    /// Where it was said.
    pub conversation: ConversationId,
    /// What the room is called.
    pub room: Option<RoomName>,
    /// What was said.
    pub text: String,
    /// When.
    pub sent_at: DateTime<Utc>,
    /// For whom it waits.
    pub waits: Vec<Username>,
}

/// Why a line was not taken back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotWithdrawn {
    /// No own line has this identity, or it was taken back before.
    #[error("there is no such line of yours")]
    Unknown,
    /// These have it already.
    #[error("somebody has it already")]
    SomebodyHasIt(Vec<Username>),
    /// The disk failed.
    #[error("the history cannot be written")]
    NotKept,
}

/// The database did not answer: the disk failed, or the history is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the history could not be read or written: check the disk, then try again")]
pub struct HistoryFailed;

macro_rules! hide_text {
    ($($name:ident),*) => {$(
        /// Chat text stays out of logs.
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).field("id", &self.id).finish_non_exhaustive()
            }
        }
    )*};
}

hide_text!(StoredMessage, Receipt, Waiting);
