//! Requests to the history: what the database thread stores, and which deliveries it marks.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Utc};
use commons::digest::Digest;
use commons::keys::PublicKey;
use commons::names::{RoomName, Username};
use commons::protocol::provenance::StreamSpans;
use uuid::Uuid;

use crate::history::conversation::ConversationId;
use crate::history::message::SignedMessage;
use crate::history::query::Query;
use crate::history::remembered_room::RememberedRoom;
use crate::history::report::GivenUp;
use crate::history::tables::Tables;

/// An own message that is to be stored and sent.
#[derive(Clone)]
pub struct Draft {
    /// The message id, unique per author.
    pub id: Uuid,
    /// The conversation to which the message is sent.
    pub to: ConversationId,
    /// The name of the room; `None` in private conversations.
    pub room: Option<RoomName>,
    /// The text of the message.
    pub text: String,
    /// The recipients of the message.
    pub audience: Vec<Username>,
    /// The revision of the room in which the message is written; 0 in private conversations.
    pub revision: u64,
    /// The digest of the last entry of the room's log, if it has one.
    pub head: Option<Digest>,
    /// The time at which the message is sent, by this device's clock.
    pub sent_at: DateTime<Utc>,
}

/// Messages that arrived on a link.
#[derive(Clone)]
pub struct InboundBatch {
    /// The user at the other end of the link.
    pub from: Username,
    /// The conversation to which the sender says that the messages belong.
    pub conversation: ConversationId,
    /// The name of the room; `None` in private conversations.
    pub room: Option<RoomName>,
    /// The messages, in order within each stream.
    pub messages: Vec<SignedMessage>,
    /// Whether the messages came from the backlog instead of live.
    pub late: bool,
    /// The device keys that are accepted for each author.
    pub trusted: BTreeMap<Username, Vec<PublicKey>>,
}

/// A message from a program that sends no provenance.
#[derive(Clone)]
pub struct UnsignedMessage {
    /// The conversation to which the message was sent.
    pub conversation: ConversationId,
    /// The name of the room; `None` in private conversations.
    pub room: Option<RoomName>,
    /// The author of the message, according to the link.
    pub from: Username,
    /// The message id, unique per author.
    pub id: Uuid,
    /// The time at which the message was sent.
    pub sent_at: DateTime<Utc>,
    /// The text of the message.
    pub text: String,
}

macro_rules! hide_text {
    ($($name:ident: $field:ident),*) => {$(
        /// Omits the chat text, which must stay out of logs.
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).field(stringify!($field), &self.$field).finish_non_exhaustive()
            }
        }
    )*};
}

hide_text!(Draft: id, InboundBatch: from, UnsignedMessage: id);

/// A request to the history. It is durable after the next successful commit, and its reports follow after that
/// commit. Only delivery marks are reported before they are durable.
#[derive(Debug, Clone)]
pub enum Request {
    /// Stores and signs an own message.
    Append(Draft),
    /// Verifies and stores messages of other authors.
    Ingest(InboundBatch),
    /// Stores a message without provenance.
    IngestUnsigned(UnsignedMessage),
    /// Marks own messages as delivered, because a recipient acknowledged them.
    AckUpTo {
        /// The recipient that sent the ack.
        to: Username,
        /// The ids of the acknowledged messages.
        ids: Vec<Uuid>,
    },
    /// Marks own messages as delivered if a peer's HAVE frame names them.
    AckRanges {
        /// The user that sent the HAVE frame.
        from: Username,
        /// The conversation of the HAVE frame.
        conversation: ConversationId,
        /// The sequence ranges that the peer holds.
        theirs: Vec<StreamSpans>,
        /// The Lamport clock of the conversation that the peer claims.
        lamport: Option<u64>,
    },
    /// Stores a room as the tracker describes it, with the membership as this peer saw it.
    NoteRoom(Box<RememberedRoom>),
    /// Removes a room that this user left or that no longer exists.
    LeaveRoom(Uuid),
    /// Marks own messages as written to a legacy client, which sends no ack.
    Written {
        /// The user of the legacy client.
        to: Username,
        /// The ids of the messages.
        ids: Vec<Uuid>,
    },
    /// Gives up own messages that are too long for a legacy client.
    TooLong {
        /// The user of the legacy client.
        to: Username,
        /// The ids of the messages.
        ids: Vec<Uuid>,
    },
    /// Gives up the own messages of a conversation that wait for users other than these members.
    PruneOutbox {
        /// The conversation that is cleaned up.
        conversation: ConversationId,
        /// The members that may still receive the messages.
        members: Vec<Username>,
        /// The first revision of the room whose messages are kept in the outbox.
        since: u64,
    },
    /// Starts a new link: incomplete signed batches from the previous link are dropped.
    Linked {
        /// The user at the other end of the link.
        from: Username,
    },
    /// Asks a question. It changes nothing and needs no commit.
    Query(Query),
}

impl From<Query> for Request {
    fn from(query: Query) -> Self {
        Self::Query(query)
    }
}

impl Request {
    /// Returns true if the request only notes what the other side already knows. If a crash loses it, the other
    /// side reports it again.
    pub(crate) fn is_mark(&self) -> bool {
        matches!(self, Self::AckUpTo { .. } | Self::AckRanges { .. } | Self::Linked { .. })
    }

    /// Returns true if later requests must not share a batch with this one: it is answered after the commit, but later
    /// messages are published before it.
    pub(crate) fn ends_batch(&self) -> bool {
        matches!(self, Self::Query(Query::CountMissed { .. }))
    }

    /// Returns the weight of the request in a commit: its number of messages, or 1.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Ingest(received) => received.messages.len().max(1),
            _ => 1,
        }
    }
}

impl Tables {
    /// Stages a request in the open transaction.
    pub(crate) fn apply(&mut self, request: Request) -> rusqlite::Result<()> {
        match request {
            Request::Append(draft) => self.append(draft),
            Request::Ingest(received) => self.ingest(received),
            Request::IngestUnsigned(message) => self.ingest_unsigned(message),
            Request::AckUpTo { to, ids } => self.mark_delivered_up_to(&to, &ids),
            Request::AckRanges { from, conversation, theirs, lamport } => {
                lamport.map_or(Ok(()), |claimed| self.note_claimed_clock(&conversation, claimed))?;
                self.mark_ranges_delivered(&from, &conversation, &theirs)
            }
            Request::NoteRoom(room) => self.note_room(*room),
            Request::LeaveRoom(room) => self.leave_room(room),
            Request::Written { to, ids } => self.mark_written(&to, &ids),
            Request::TooLong { to, ids } => self.give_up(&to, &ids, GivenUp::TextTooLong),
            Request::PruneOutbox { conversation, members, since } => {
                self.prune_outbox(&conversation, &members, since, GivenUp::Left)
            }
            Request::Linked { from } => {
                self.assemblers.remove(&from);
                Ok(())
            }
            // A query is answered after the commit; see `HistoryDb::apply`.
            Request::Query(_) => Ok(()),
        }
    }
}
