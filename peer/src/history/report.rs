//! The reports of the history.
//!
//! A report says what is durable, what was received, or what happened to a message in the outbox.

use commons::incarnation::Incarnation;
use commons::names::{RoomName, Username};
use commons::protocol::provenance::{StreamSpans, StreamTip};
use uuid::Uuid;

use crate::history::answer::StoredMessage;
use crate::history::conversation::ConversationId;
use crate::history::message::SignedMessage;

/// A report of the history, in order of occurrence. Its contents are durable, except in `Received`, `NotStored` and
/// `Trouble`, and delivery marks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// Own messages that are stored, in complete signed batches.
    Committed(Vec<OutgoingMessage>),
    /// Own messages that could not be stored.
    NotStored {
        /// The ids of the messages.
        ids: Vec<Uuid>,
        /// The reason, in words for the user.
        why: String,
    },
    /// New messages of others, in order of their rows. They are verified but perhaps not durable yet, so they are not
    /// acknowledged.
    Received(Vec<IncomingMessage>),
    /// The ack to send on a link. Everything that the link brought up to this message is stored, a duplicate, or
    /// refused for good. The ack is withheld while an earlier message is missing.
    LegacyAckDue {
        /// The user at the other end of the link.
        from: Username,
        /// The last message that the ack covers.
        id: Uuid,
    },
    /// The stored ranges of a stream that its author sent. They are the ack for peers that sync.
    AckDue {
        /// The user who wrote and sent the stream.
        author: Username,
        /// The conversation of the stream.
        conversation: ConversationId,
        /// The sequence numbers that are stored.
        stream: StreamSpans,
    },
    /// A fork: one author signed two different messages with the same sequence number. It is reported once per
    /// stream.
    Fork {
        /// The conversation of the stream.
        conversation: ConversationId,
        /// The name of the room; `None` in a private chat.
        room: Option<RoomName>,
        /// The author of both messages.
        author: Username,
    },
    /// A member has signed a message for another state of the room than this peer's log has.
    OtherLog {
        /// The id of the room.
        room: Uuid,
        /// The author of the message.
        author: Username,
    },
    /// Messages that were not accepted.
    BatchRejected {
        /// The user at the other end of the link.
        from: Username,
        /// The user whom the messages name as their author.
        author: Username,
        /// The reason of the refusal.
        why: &'static str,
    },
    /// Own messages that a recipient has acknowledged.
    Delivered {
        /// The recipient who stored them.
        to: Username,
        /// The ids of the messages.
        ids: Vec<Uuid>,
    },
    /// Own messages that were written to a legacy client, which sends no acks. Nothing more will ever be known
    /// about them.
    Written {
        /// The user of the legacy client.
        to: Username,
        /// The ids of the messages.
        ids: Vec<Uuid>,
    },
    /// Own messages that were removed from the outbox before a recipient got them.
    GivenUp {
        /// The recipient who does not have them.
        to: Username,
        /// The ids of the messages.
        ids: Vec<Uuid>,
        /// The reason of the removal.
        why: GivenUp,
    },
    /// The answer to a [`Pending`](crate::history::query::Query::Pending).
    Pending {
        /// The recipient of the messages.
        to: Username,
        /// The row after which the request began.
        queried_after: i64,
        /// Complete signed batches. Some of their messages may already be stored by the recipient.
        messages: Vec<OutgoingMessage>,
        /// The row after which to continue.
        after: i64,
        /// Whether more messages are pending after that row.
        more: bool,
    },
    /// The answer to a [`Holdings`](crate::history::query::Query::Holdings). It is an ack for the messages that
    /// it names. There is no answer while the disk fails: the sync asks again at its next tick.
    Holdings {
        /// The conversation of the HAVE frame.
        of: ConversationId,
        /// The user to whom the frame is sent.
        to: Username,
        /// The sequence ranges that the user may see.
        streams: Vec<StreamSpans>,
        /// The Lamport clock of the conversation; `None` if it has no message yet.
        lamport: Option<u64>,
        /// The last message of each stream.
        tips: Vec<StreamTip>,
    },
    /// The answer to a [`Conflicts`](crate::history::query::Query::Conflicts): the messages for a WANT frame.
    Conflicts {
        /// The conversation of the HAVE frame.
        of: ConversationId,
        /// The user who sent the HAVE frame.
        from: Username,
        /// The messages that differ.
        streams: Vec<StreamSpans>,
    },
    /// The answer to a [`Lacking`](crate::history::query::Query::Lacking).
    Lacking {
        /// The conversation of the HAVE frame.
        of: ConversationId,
        /// The user who sent the HAVE frame.
        from: Username,
        /// The sequence ranges for a WANT frame. `None` while the disk fails: messages that arrive now would not be
        /// stored.
        lacking: Option<Vec<StreamSpans>>,
    },
    /// The answer to a [`CountMissed`](crate::history::query::Query::CountMissed). There is none while the disk
    /// fails.
    Missed {
        /// The conversation of the HAVE frame.
        of: ConversationId,
        /// The sequence ranges that the peer holds and this peer lacks.
        lacking: Vec<StreamSpans>,
    },
    /// The answer to a [`HandOver`](crate::history::query::Query::HandOver). There is no answer while the disk
    /// fails: an empty one would say that nothing more can be sent. The other peer asks again.
    HandedOver {
        /// The conversation of the WANT frame.
        of: ConversationId,
        /// The user who sent the WANT frame.
        to: Username,
        /// Whole signed batches, as many as fit in one LINES frame.
        messages: Vec<SignedMessage>,
    },
    /// The answer to a [`Waiting`](crate::history::query::Query::Waiting). While the disk fails, it is delayed.
    Waiting {
        /// The conversation; `None` for all conversations.
        of: Option<ConversationId>,
        /// The number of own messages that wait for each recipient.
        waiting: Vec<(Username, usize)>,
        /// The part of its quota, in percent, that the fullest conversation of each recipient uses. Recipients below 1 %
        /// are left out.
        used: Vec<(Username, usize)>,
    },
    /// The disk fails. It is reported once until a write succeeds again.
    Trouble(String),
}

/// The reason why a message was removed from the outbox before a recipient got it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GivenUp {
    /// The recipient or the author is no longer a member.
    Left,
    /// The user erased the message on this device.
    Forgotten,
    /// The text is longer than the recipient's legacy client accepts.
    TextTooLong,
    /// The recipient's quota was exceeded. The oldest messages are removed first.
    QueueFull,
}

/// One of the user's own messages, stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutgoingMessage {
    /// The row of the message.
    pub row: i64,
    /// The conversation of the message.
    pub conversation: ConversationId,
    /// The name of the room; `None` in a private chat.
    pub room: Option<RoomName>,
    /// The message as it is sent to others.
    pub message: SignedMessage,
    /// All recipients of the message.
    pub audience: Vec<Username>,
}

/// A stored message of another user or of another device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncomingMessage {
    /// The message. Its row is 0 if the disk failed and nobody will send the message again.
    pub message: StoredMessage,
    /// The number of earlier messages of this author that are newly known to be missing.
    pub missing: u64,
    /// The incarnation and sequence number; `None` for an unsigned message.
    pub place: Option<(Incarnation, u64)>,
    /// Whether its author withdrew it. It has no text and is not shown.
    pub is_withdrawn: bool,
}
