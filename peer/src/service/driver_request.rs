//! The requests of the service to the task that drives the engine.

use commons::names::RoomName;
use commons::room_log::entry::Entry;
use tokio::sync::{mpsc, oneshot};

use crate::api::Event;
use crate::api::answer::Answer;
use crate::api::error::CommandError;
use crate::api::snapshot::Snapshot;
use crate::api::status::Status;
use crate::engine::engine_command::EngineCommand;
use crate::engine::engine_start::EngineStart;
use crate::engine::room_intent::RoomIntent;
use crate::event_bus::{self, Subscription};
use crate::history::History;
use crate::history::history_db::InitialState;
use crate::history::report::Report;
use crate::identity::contacts::Contacts;
use crate::identity::known_keys::Announcement;
use crate::peer_communication::known_keys_handle::CalledKeyRequest;
use crate::peer_communication::link_report::LinkReport;
use crate::peer_communication::links::PeerPeerCommunication;

/// The caller of a command, who waits for its answer.
pub(crate) type Caller = oneshot::Sender<Result<Answer, CommandError>>;

/// A request of the service to the driver.
pub(crate) enum DriverRequest {
    /// Adds a subscriber of events, which may have been here before, up to a position. The snapshot comes back with what
    /// the engine knows.
    Subscribe(Box<Snapshot>, event_bus::SubscribeFrom, oneshot::Sender<Subscription>),
    /// Publishes events that the service knows of.
    Publish(Vec<Event>),
    /// Fills in what the engine knows of the status.
    Status(Box<Status>, oneshot::Sender<Status>),
    /// Fills in what the engine knows of the snapshot.
    Snapshot(Box<Snapshot>, oneshot::Sender<Snapshot>),
    /// The tracker announced the keys of the user's own account.
    OwnKeys(Announcement),
    /// Makes the entry by which the user changes a room; `None` if the room has no log.
    NextEntry(RoomName, RoomIntent, oneshot::Sender<Result<Option<Entry>, CommandError>>),
    /// Starts the engine of a user who has signed in.
    StartEngine(Box<StartEngine>),
    /// Forgets a sign-in that the tracker granted, and that then failed on this device. Returns whether there was one.
    ForgetSignIn(oneshot::Sender<bool>),
    /// Ends all frontends. The reason is set already.
    End,
}

/// A command with its caller.
pub(crate) type CalledCommand = (EngineCommand, Caller);

/// Everything that the driver needs for a user who has signed in.
pub(crate) struct StartEngine {
    /// The user's data. The driver adds the tracker's reply, if there was one.
    pub(crate) start: EngineStart,
    pub(crate) opened: InitialState,
    pub(crate) resources: Resources,
    /// Notified when the engine runs.
    pub(crate) began: oneshot::Sender<()>,
}

/// The history, the links and the files of a user who has signed in.
pub(crate) struct Resources {
    pub(crate) history: History,
    pub(crate) history_reports: mpsc::Receiver<Report>,
    pub(crate) links: PeerPeerCommunication,
    pub(crate) link_reports: mpsc::Receiver<LinkReport>,
    pub(crate) key_requests: mpsc::Receiver<CalledKeyRequest>,
    pub(crate) contacts: Contacts,
}
