//! What the history is asked to keep.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Utc};
use commons::keys::PublicKey;
use commons::names::{RoomName, Username};
use commons::protocol::provenance::StreamSpans;
use uuid::Uuid;

use crate::history::conversation::ConversationId;
use crate::history::message::SignedMessage;
use crate::history::remembered::RememberedRoom;
use crate::history::report::GivenUp;
use crate::history::store::Store;

/// An own line.
#[derive(Clone)]
pub struct Said {
    /// Tells it from all others.
    pub id: Uuid,
    /// Where it is said.
    pub to: ConversationId,
    /// What the room is called.
    pub room: Option<RoomName>,
    /// What is said.
    pub text: String,
    /// For whom.
    pub audience: Vec<Username>,
    /// The state of the room in which it is said; 0 in private.
    pub revision: u64,
    /// When, by our clock.
    pub sent_at: DateTime<Utc>,
}

/// Lines as they came by a link.
#[derive(Clone)]
pub struct Heard {
    /// Whose link.
    pub from: Username,
    /// Which conversation they are said to be of.
    pub conversation: ConversationId,
    /// What the room is called.
    pub room: Option<RoomName>,
    /// The lines, in order within each stream.
    pub lines: Vec<SignedMessage>,
    /// Whether they were caught up.
    pub late: bool,
    /// The keys that are accepted of each author.
    pub trusted: BTreeMap<Username, Vec<PublicKey>>,
}

/// A line of a program that keeps no provenance.
#[derive(Clone)]
pub struct UnsignedMessage {
    /// Where it was said.
    pub conversation: ConversationId,
    /// What the room is called.
    pub room: Option<RoomName>,
    /// By whom, as far as the link tells.
    pub from: Username,
    /// Tells it from all others.
    pub id: Uuid,
    /// When it was written.
    pub sent_at: DateTime<Utc>,
    /// What was said.
    pub text: String,
}

macro_rules! hide_text {
    ($($name:ident: $field:ident),*) => {$(
        /// Chat text stays out of logs.
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).field(stringify!($field), &self.$field).finish_non_exhaustive()
            }
        }
    )*};
}

hide_text!(Said: id, Heard: from, UnsignedMessage: id);

/// Something to be kept. It is durable when the commit after it has succeeded, and only then reported.
#[derive(Debug, Clone)]
pub enum Request {
    /// An own line.
    Say(Said),
    /// Lines of others.
    Hear(Heard),
    /// A line without provenance.
    KeepUnsigned(UnsignedMessage),
    /// Somebody has stored own lines, as it says.
    Delivered {
        /// Who.
        to: Username,
        /// Which.
        ids: Vec<Uuid>,
    },
    /// Somebody tells what it has: own lines among these are delivered.
    Has {
        /// Who.
        from: Username,
        /// Of which conversation.
        conversation: ConversationId,
        /// What.
        theirs: Vec<StreamSpans>,
        /// How far the conversation is, as a Lamport time.
        lamport: Option<u64>,
    },
    /// A room as the tracker tells it, and as this peer saw its members come.
    NoteRoom(Box<RememberedRoom>),
    /// A room that was left, or is gone.
    LeaveRoom(Uuid),
    /// Own messages were written to a legacy client, which acknowledges nothing.
    Written {
        /// To whom.
        to: Username,
        /// Which.
        ids: Vec<Uuid>,
    },
    /// Own messages are longer than a legacy client can take.
    TooLong {
        /// For whom.
        to: Username,
        /// Which.
        ids: Vec<Uuid>,
    },
    /// What waits for anybody else is given up.
    KeepFor {
        /// Of which conversation.
        conversation: ConversationId,
        /// Who may still get it.
        members: Vec<Username>,
        /// From which state of the room on.
        since: u64,
    },
    /// A link begins anew: what the one before it brought half does not count.
    Linked {
        /// Whose.
        from: Username,
    },
    /// Own lines that are not yet stored at somebody.
    Pending {
        /// At whom.
        to: Username,
        /// Those behind this row.
        after: i64,
        /// As many as fit, one group at least.
        bytes: usize,
    },
}

impl Request {
    /// Whether it only marks what is true elsewhere: a crash may take it, and it comes again.
    pub(crate) fn is_mark(&self) -> bool {
        matches!(self, Self::Delivered { .. } | Self::Has { .. } | Self::Linked { .. })
    }

    /// What it counts in a commit: its lines, or one.
    pub(crate) fn lines(&self) -> usize {
        match self {
            Self::Hear(heard) => heard.lines.len().max(1),
            _ => 1,
        }
    }
}

impl Store {
    /// Stages a request.
    pub(crate) fn apply(&mut self, request: Request) -> rusqlite::Result<()> {
        match request {
            Request::Say(said) => self.say(said),
            Request::Hear(heard) => self.ingest(heard),
            Request::KeepUnsigned(line) => self.keep_unsigned(line),
            Request::Delivered { to, ids } => self.deliver(&to, &ids),
            Request::Has { from, conversation, theirs, lamport } => {
                lamport.map_or(Ok(()), |told| self.note_claimed_time(&conversation, told))?;
                self.deliver_spans(&from, &conversation, &theirs)
            }
            Request::NoteRoom(room) => self.note_room(*room),
            Request::LeaveRoom(room) => self.leave_room(room),
            Request::Written { to, ids } => self.write_down(&to, &ids),
            Request::TooLong { to, ids } => self.give_up(&to, &ids, GivenUp::TextTooLong),
            Request::KeepFor { conversation, members, since } => {
                self.keep_for(&conversation, &members, since, GivenUp::Left)
            }
            Request::Pending { to, after, bytes } => self.report_pending(&to, after, bytes),
            Request::Linked { from } => {
                self.arrivals.remove(&from);
                Ok(())
            }
        }
    }
}
