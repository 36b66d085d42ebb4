//! The reports of the links to their owner: link states, received frames, and the fate of sent messages.

use chrono::{DateTime, Utc};
use commons::limits::BATCH_LINES;
use commons::names::Username;
use commons::protocol::between_peers::{Have, LogEntries};
use commons::protocol::provenance::StreamSpans;
use uuid::Uuid;

use crate::history::message::SignedMessage;
use crate::peer_communication::dial_guard::DialRefusal;
use crate::peer_communication::link_table::LinkId;

/// A report of a link, or of the key check before it.
pub(crate) enum LinkReport {
    /// The link to a user came up, was replaced or ended. The current state is read with `link_state`.
    Changed {
        /// The user at the other end.
        user: Username,
    },
    /// A peer's program without a history sent an unsigned message.
    Unsigned {
        /// The user at the other end, who is the author.
        from: Username,
        /// The received message.
        message: PlainMessage,
    },
    /// A peer sent signed messages.
    Signed {
        /// The user at the other end. In a batch of backlog the authors may be others.
        from: Username,
        /// The link on which they arrived. It may have been replaced since.
        link: LinkId,
        /// The received messages.
        batch: MessageBatch,
    },
    /// HAVE: a peer says which messages of a conversation it has stored.
    Have {
        /// The user at the other end.
        from: Username,
        /// The state of the conversation there, with at most `SPANS_MAX` spans and `TIPS_MAX` tips.
        have: Have,
    },
    /// ROOM_LOG: a peer requests entries of a room's log.
    LogRequested {
        /// The user at the other end.
        from: Username,
        /// The room's id.
        room_id: Uuid,
        /// The epoch after which the entries are wanted.
        after: u64,
    },
    /// ENTRIES: a peer sends entries of a room's log.
    Entries {
        /// The user at the other end.
        from: Username,
        /// The entries, which nobody has checked yet.
        entries: LogEntries,
    },
    /// WANT: a peer requests messages of a conversation.
    Want {
        /// The user at the other end.
        from: Username,
        /// The room's id; `None` is the private conversation with this user.
        room_id: Option<Uuid>,
        /// The requested messages of each stream, at most `SPANS_MAX` spans.
        streams: Vec<StreamSpans>,
    },
    /// PRESENCE: a user is away or back.
    Presence {
        /// The user at the other end.
        from: Username,
        /// The link on which it arrived. It may have been replaced since.
        link: LinkId,
        /// The text beside the name, of any length; `None` if the user is back.
        away: Option<String>,
    },
    /// LEAVE: a peer left a conversation.
    Left {
        /// The user at the other end.
        from: Username,
        /// The room's name as the peer wrote it; `None` is the private conversation with this user.
        room: Option<String>,
    },
    /// RECEIVED: a peer has stored this message, and all earlier ones on the same link.
    Acked {
        /// The user at the other end.
        from: Username,
        /// The id of the message.
        id: Uuid,
    },
    /// A message was written to a legacy client, which acknowledges nothing.
    Written {
        /// The user of the legacy client.
        to: Username,
        /// The id of the message.
        id: Uuid,
    },
    /// A message is longer than a legacy client can receive, and was not written.
    TooLong {
        /// The user of the legacy client.
        to: Username,
        /// The id of the message.
        id: Uuid,
    },
    /// The send queue of a link has room again after it refused a frame.
    Writable {
        /// The user at the other end.
        to: Username,
    },
    /// A user has written faster than the member rate for a while. The link is read more slowly.
    TooFast {
        /// The user at the other end.
        from: Username,
    },
    /// A user is reachable but cannot be linked. Each reason is reported once until a link to the user is up.
    LinkRefused {
        /// The user who cannot be linked.
        user: Username,
        /// The reason why not.
        reason: LinkRefusal,
    },
}

/// Reason why a reachable peer is not linked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LinkRefusal {
    /// The other side does not accept this user's key.
    NotAccepted,
    /// The peer has a legacy client, which only uses plaintext, and plaintext is not allowed for its address.
    Plaintext,
    /// The address that the tracker announces is not dialled, for this reason.
    Address(DialRefusal),
}

/// An unsigned message. Its author is the user of the link.
pub(crate) struct PlainMessage {
    pub(crate) room: Option<String>,
    pub(crate) content: String,
    pub(crate) id: Uuid,
    pub(crate) sent_at: Option<DateTime<Utc>>,
}

/// Signed messages of a room, or of the private conversation with the peer.
pub(crate) struct MessageBatch {
    pub(crate) room_id: Option<Uuid>,
    pub(crate) messages: Vec<SignedMessage>,
    /// Whether they are backlog rather than messages sent as they were written.
    pub(crate) late: bool,
}

impl MessageBatch {
    /// Whether another batch continues this one: both are live messages of one conversation, and together they are at
    /// most [`BATCH_LINES`].
    pub(crate) fn is_continued_by(&self, other: &Self) -> bool {
        let are_live = !self.late && !other.late;
        are_live && self.room_id == other.room_id && self.messages.len() + other.messages.len() <= BATCH_LINES
    }
}
