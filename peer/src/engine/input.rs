//! The inputs of the engine: everything that happens to a signed-in peer.

use chrono::{DateTime, Utc};
use commons::names::{RoomName, Username};
use commons::protocol::listed_peer::FoundPeer;
use commons::protocol::with_tracker::{Reply, RoomUpdate, TrackerRequest};
use tokio::time::Instant;

use crate::api::error::CommandError;
use crate::api::tracker_loss::TrackerLoss;
use crate::engine::engine_command::EngineCommand;
use crate::history::conversation::ConversationId;
use crate::history::report::Report;
use crate::peer_communication::key_request::KeyRequest;
use crate::peer_communication::link_report::LinkReport;
use crate::peer_communication::links::LinkState;
use crate::tracker_communication::tracker_report::TrackerError;

/// The time of an input, by both clocks of this device.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    /// The clock that never goes back: all waits are measured with it.
    pub(crate) instant: Instant,
    /// The wall clock, which people read.
    pub(crate) utc: DateTime<Utc>,
}

/// The number by which an answer finds its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(pub(crate) u64);

/// A frame that a full send queue refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RefusedFrame {
    /// A HAVE for this conversation.
    Have(ConversationId),
    /// An ack of messages of this conversation.
    Ack(ConversationId),
    /// Own messages from this row of the history on.
    Messages(i64),
    /// The user's own away text.
    Presence,
    /// A frame that the other side asks for again by itself.
    Repeatable,
}

/// An input of the engine.
pub(crate) enum Input {
    /// A frontend gives a command. [`Effect::Answer`](crate::engine::effect::Effect::Answer) answers it.
    Command(Ticket, EngineCommand),
    /// The tracker was found on this computer, or elsewhere. It comes before the reply to each sign-in.
    TrackerIsLocal(bool),
    /// The tracker granted a request.
    Granted(TrackerRequest, Box<Reply>),
    /// The tracker reports that a room has changed.
    RoomUpdate(Box<RoomUpdate>),
    /// The session with the tracker was lost, for this reason.
    TrackerLost(TrackerLoss),
    /// The tracker answered a lookup of this user.
    Found(Username, Result<Option<Box<FoundPeer>>, TrackerError>),
    /// The entries of this room's log could not be read.
    RoomLogRefused(RoomName, TrackerError),
    /// Another link serves this user now, or none.
    LinkChanged(Username, Option<LinkState>),
    /// A link reports a frame, or an event of the connection.
    Link(LinkReport),
    /// A link checks a key, or asks about the keys of a user. [`Effect::KeyReply`](crate::engine::effect::Effect::KeyReply) answers it.
    KeyRequest(Ticket, Username, KeyRequest),
    /// The history reports what it stored, or answers a request.
    History(Report),
    /// The send queue of this user was full.
    QueueFull(Username, RefusedFrame),
    /// The file for which the ticket waits was written, or could not be.
    FileWritten(Option<Ticket>, Result<(), CommandError>),
    /// The tracker announced the keys of this user's own account.
    OwnKeys(crate::identity::known_keys::Announcement),
    /// The time that [`Engine::next_timer`](crate::engine::Engine::next_timer) named has come.
    Tick,
}
