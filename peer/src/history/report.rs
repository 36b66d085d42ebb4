//! What the history tells: what is durable, what came in, what became of the lines that wait.

use commons::names::{RoomName, Username};
use commons::protocol::provenance::{Incarnation, StreamSpans};
use uuid::Uuid;

use crate::history::answer::StoredMessage;
use crate::history::conversation::ConversationId;
use crate::history::message::SignedMessage;

/// News of the history, in the order in which it happened; all of it is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// Own lines that are kept, with what proves them: each group to its end.
    Said(Vec<OutgoingMessage>),
    /// Own lines that could not be kept.
    NotKept {
        /// Which.
        ids: Vec<Uuid>,
        /// Why.
        why: String,
    },
    /// New lines of others, in the order of their rows.
    Heard(Vec<IncomingMessage>),
    /// The receipt to give on that link: everything it brought up to this line is stored, is a double, or was refused
    /// for good. Withheld while something before it is not; it follows when that has come again.
    Stored {
        /// Whose link.
        from: Username,
        /// The line.
        id: Uuid,
    },
    /// What is stored now of a stream that its author gave: the receipt for programs that catch up.
    Holds {
        /// Who wrote and gave it.
        author: Username,
        /// Where.
        conversation: ConversationId,
        /// What is stored of it.
        stream: StreamSpans,
    },
    /// Two different lines with one number, both proven to be the author's: told once a stream.
    Fork {
        /// Where.
        conversation: ConversationId,
        /// What the room is called.
        room: Option<RoomName>,
        /// Who wrote both.
        author: Username,
        /// The number.
        seq: u64,
    },
    /// Lines that were not taken.
    Refused {
        /// Whose link brought them.
        from: Username,
        /// Under whose name.
        author: Username,
        /// Why.
        why: &'static str,
    },
    /// Own lines that waited for this user until now.
    Delivered {
        /// Who has them.
        to: Username,
        /// Which.
        ids: Vec<Uuid>,
    },
    /// Own messages that waited for this legacy client until now, and were written to it: all that will ever be known.
    Written {
        /// To whom.
        to: Username,
        /// Which.
        ids: Vec<Uuid>,
    },
    /// Own lines that wait for this user no longer, who has not got them.
    GivenUp {
        /// Who has not got them.
        to: Username,
        /// Which.
        ids: Vec<Uuid>,
        /// Why.
        why: GivenUp,
    },
    /// The answer to a [`Pending`](crate::history::command::Request::Pending).
    Pending {
        /// For whom.
        to: Username,
        /// Behind which row was asked.
        asked: i64,
        /// Whole groups; among them may be lines that this user has.
        lines: Vec<OutgoingMessage>,
        /// Where to go on.
        after: i64,
        /// Whether there is more.
        more: bool,
    },
    /// The disk fails: told once until it works again.
    Trouble(String),
}

/// Why a line waits no longer for somebody who has not got it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GivenUp {
    /// The user, or oneself, sits there no more.
    Left,
    /// It was erased here.
    Forgotten,
    /// Longer than the user's legacy client can take.
    TextTooLong,
    /// More messages wait for that user than the quota of one recipient allows: the oldest are given up.
    QueueFull,
}

/// An own line, kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutgoingMessage {
    /// Its row.
    pub row: i64,
    /// Where it was said.
    pub conversation: ConversationId,
    /// What the room is called.
    pub room: Option<RoomName>,
    /// The line, as it goes to others.
    pub line: SignedMessage,
    /// For whom.
    pub audience: Vec<Username>,
}

/// A line of somebody else, kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncomingMessage {
    /// The line; its row is 0 where the disk did not take it and nobody will send it again.
    pub line: StoredMessage,
    /// Earlier lines of this author that are not here, where that is news.
    pub missing: u64,
    /// Its stream and number, where it came with what proves it.
    pub place: Option<(Incarnation, u64)>,
}
