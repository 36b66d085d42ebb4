//! A handle to the task that drives the engine.

use std::sync::{Arc, OnceLock};

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
use crate::history::history_db::InitialState;
use crate::limits::{COMMANDS_MAX, DRIVER_REQUESTS};
use crate::service::driver::Driver;
use crate::service::driver_request::{CalledCommand, DriverRequest, Resources, StartEngine};
use crate::tracker_communication::PeerTrackerCommunication;
use crate::tracker_communication::tracker_report::TrackerReport;

/// A handle to the driver. Each request waits its turn.
#[derive(Debug, Clone)]
pub(crate) struct EngineHandle {
    requests: mpsc::Sender<DriverRequest>,
    commands: mpsc::Sender<CalledCommand>,
    failure: Arc<OnceLock<CommandError>>,
}

impl EngineHandle {
    /// Returns a handle, and the driver for it, which must be run.
    pub(crate) fn new(
        tracker: PeerTrackerCommunication,
        tracker_reports: mpsc::Receiver<TrackerReport>,
    ) -> (Self, Driver) {
        let (requests, receiver) = mpsc::channel(DRIVER_REQUESTS);
        let (commands, commanded) = mpsc::channel(COMMANDS_MAX);
        let failure = Arc::<OnceLock<_>>::default();
        let driver = Driver::new(receiver, commanded, tracker, tracker_reports, Arc::clone(&failure));
        (Self { requests, commands, failure }, driver)
    }

    /// Returns the reason why the peer ended by itself, if it did.
    pub(crate) fn failure(&self) -> Option<CommandError> {
        self.failure.get().cloned()
    }

    /// Gives the engine a command, and returns its answer.
    pub(crate) async fn command(&self, command: EngineCommand) -> Result<Answer, CommandError> {
        let (caller, answer) = oneshot::channel();
        let ended = || self.failure().unwrap_or(CommandError::TrackerLost);
        self.commands.send((command, caller)).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }

    /// Makes the entry by which the user changes a room; `None` if the room has no log.
    pub(crate) async fn next_entry(
        &self,
        room: &RoomName,
        intent: RoomIntent,
    ) -> Result<Option<Entry>, CommandError> {
        let (reply, answer) = oneshot::channel();
        self.request(DriverRequest::NextEntry(room.clone(), intent, reply)).await;
        answer.await.map_err(|_| self.failure().unwrap_or(CommandError::TrackerLost))?
    }

    /// Fills in what the engine knows of the status. Returns `None` after the end.
    pub(crate) async fn status(&self, signed_out: Status) -> Option<Status> {
        let (reply, answer) = oneshot::channel();
        self.request(DriverRequest::Status(Box::new(signed_out), reply)).await;
        answer.await.ok()
    }

    /// Fills in what the engine knows of the snapshot. Fails after the end.
    pub(crate) async fn snapshot(&self, signed_out: Snapshot) -> Result<Snapshot, CommandError> {
        let (reply, answer) = oneshot::channel();
        self.request(DriverRequest::Snapshot(Box::new(signed_out), reply)).await;
        answer.await.map_err(|_| self.failure().unwrap_or(CommandError::TrackerLost))
    }

    /// Publishes events to all frontends.
    pub(crate) async fn publish(&self, events: impl IntoIterator<Item = Event>) {
        self.request(DriverRequest::Publish(events.into_iter().collect())).await;
    }

    /// Subscribes to the snapshot and all later events; `None` after the end. `signed_out` holds what the service
    /// knows.
    pub(crate) async fn subscribe(
        &self,
        signed_out: Snapshot,
        from: event_bus::SubscribeFrom,
    ) -> Option<Subscription> {
        let (reply, answer) = oneshot::channel();
        self.request(DriverRequest::Subscribe(Box::new(signed_out), from, reply)).await;
        answer.await.ok()
    }

    /// Starts the engine of a user who has signed in, and returns when it runs.
    pub(crate) async fn start(&self, start: EngineStart, opened: InitialState, resources: Resources) {
        let (began, running) = oneshot::channel();
        let start = StartEngine { start, opened, resources, began };
        self.request(DriverRequest::StartEngine(Box::new(start))).await;
        // After the end of the driver there is nothing to wait for.
        let _ = running.await;
    }

    /// Ends all frontends for this reason. No command is carried out any more.
    pub(crate) async fn end(&self, error: CommandError) {
        // The first reason stays.
        let _ = self.failure.set(error);
        self.request(DriverRequest::End).await;
    }

    /// Forgets a sign-in that the tracker granted. Returns whether there was one.
    pub(crate) async fn forget_sign_in(&self) -> bool {
        let (reply, answer) = oneshot::channel();
        self.request(DriverRequest::ForgetSignIn(reply)).await;
        answer.await.unwrap_or_default()
    }

    /// Gives the driver a request. After its end nobody takes it.
    pub(crate) async fn request(&self, request: DriverRequest) {
        let _ = self.requests.send(request).await;
    }
}
