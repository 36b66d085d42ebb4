//! The task that drives the engine: it feeds all inputs to it, one after the other, and carries out the effects.
//!
//! It owns the engine and the event bus. While it carries out effects, it never waits for the history, the links or the
//! tracker. Requests for which the history's queue has no room wait here. Until they are queued, no command and no frame
//! of a link is read. The driver waits for the disk only to write the pinned keys and the blocked users. These files are
//! small and change seldom, and a decision of the user must be on the disk before the next input.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use chrono::Utc;
use commons::names::Username;
use commons::protocol::administration::Announcement;
use commons::protocol::with_tracker::TrackerRequest;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::api::Event;
use crate::api::administration::AdminEvent;
use crate::api::error::CommandError;
use crate::api::snapshot::Snapshot;
use crate::engine::effect::{Effect, Effects};
use crate::engine::input::{Input, Now, RefusedFrame, Ticket};
use crate::engine::pending_sign_in::PendingSignIn;
use crate::engine::{Engine, not_signed_in};
use crate::event_bus::{self, EventBus, Row, Subscription};
use crate::identity::contacts::ContactsError;
use crate::peer_communication::frame::Frame;
use crate::peer_communication::key_request::KeyReply;
use crate::peer_communication::known_keys_handle::CalledKeyRequest;
use crate::peer_communication::link_report::LinkReport;
use crate::service::driver_request::{CalledCommand, Caller, DriverRequest, Resources, StartEngine};
use crate::service::reread::Rereads;
use crate::service::signed_in::SignedIn;
use crate::service::tracker_error::from_tracker;
use crate::service::tracker_reads::TrackerReads;
use crate::service::unread_messages::EarlierUnread;
use crate::tracker_communication::PeerTrackerCommunication;
use crate::tracker_communication::tracker_report::{EndReason, TrackerReport};

/// The driver task.
pub(crate) struct Driver {
    requests: mpsc::Receiver<DriverRequest>,
    commands: mpsc::Receiver<CalledCommand>,
    tracker: PeerTrackerCommunication,
    tracker_reports: mpsc::Receiver<TrackerReport>,
    event_bus: EventBus,
    rereads: Rereads,
    failure: Arc<OnceLock<CommandError>>,
    pending_sign_in: PendingSignIn,
    session: Option<SignedIn>,
    callers: BTreeMap<Ticket, Caller>,
    key_callers: BTreeMap<Ticket, oneshot::Sender<KeyReply>>,
    next_ticket: u64,
    reads: TrackerReads,
}

impl Driver {
    pub(crate) fn new(
        requests: mpsc::Receiver<DriverRequest>,
        commands: mpsc::Receiver<CalledCommand>,
        tracker: PeerTrackerCommunication,
        tracker_reports: mpsc::Receiver<TrackerReport>,
        failure: Arc<OnceLock<CommandError>>,
    ) -> Self {
        let reads = TrackerReads::new(tracker.clone());
        Self {
            requests,
            commands,
            tracker,
            tracker_reports,
            event_bus: EventBus::default(),
            rereads: Rereads::default(),
            failure,
            pending_sign_in: PendingSignIn::default(),
            session: None,
            callers: BTreeMap::new(),
            key_callers: BTreeMap::new(),
            next_ticket: 0,
            reads,
        }
    }

    /// Runs until the service stops. Subscribers then read the remaining events.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        stop.run_until_cancelled(self.drive()).await;
        self.note_shown();
        self.event_bus.end();
    }

    async fn drive(&mut self) {
        let shown = self.event_bus.shown_more();
        loop {
            let Some(session) = &mut self.session else {
                tokio::select! {
                    Some(request) = self.requests.recv() => self.on_request(request),
                    Some(command) = self.commands.recv() => self.on_command(command),
                    Some(report) = self.tracker_reports.recv() => self.on_tracker_report(report),
                    else => return,
                }
                continue;
            };
            let timer = session.engine.next_timer();
            let Resources { history, history_reports, link_reports, key_requests, .. } =
                &mut session.resources;
            let has_room = session.backlog.is_empty();
            tokio::select! {
                biased;
                () = sleep_until(timer) => self.input(Input::Tick),
                () = history.ready(), if !has_room => session.empty_backlog(),
                Some(report) = history_reports.recv() => self.input(Input::History(report)),
                Some(report) = self.tracker_reports.recv() => self.on_tracker_report(report),
                Some(request) = self.requests.recv() => self.on_request(request),
                Some(request) = key_requests.recv() => self.on_key_request(request),
                input = self.reads.next() => self.input(input),
                () = shown.notified() => self.note_shown(),
                Some(command) = self.commands.recv(), if has_room => self.on_command(command),
                Some(report) = link_reports.recv(), if has_room => self.on_link_report(report),
            }
        }
    }

    fn on_request(&mut self, request: DriverRequest) {
        match request {
            DriverRequest::Subscribe(snapshot, from, reply) => self.subscribe(*snapshot, from, reply),
            DriverRequest::Publish(events) => events.iter().for_each(|event| self.publish(event, Row::None)),
            DriverRequest::Status(signed_out, reply) => {
                let status = match &self.session {
                    Some(session) => session.engine.describe(*signed_out),
                    None => *signed_out,
                };
                // The caller may have stopped waiting.
                let _ = reply.send(status);
            }
            // The caller may have stopped waiting.
            DriverRequest::Snapshot(snapshot, reply) => {
                let earlier = self.session.as_ref().map_or(0, SignedIn::shown_earlier);
                drop(reply.send(self.snapshot(*snapshot, earlier)));
            }
            DriverRequest::OwnKeys(announced) => self.input(Input::OwnKeys(announced)),
            DriverRequest::NextEntry(room, intent, reply) => {
                let next = self.session.as_ref().map(|it| it.engine.next_entry(&room, intent, now()));
                // The caller may have stopped waiting.
                let _ = reply.send(next.unwrap_or_else(|| Err(not_signed_in())));
            }
            DriverRequest::StartEngine(start) => self.start_engine(*start),
            DriverRequest::ForgetSignIn(reply) => {
                let was_granted = std::mem::take(&mut self.pending_sign_in).is_granted();
                // The caller may have stopped waiting.
                let _ = reply.send(was_granted);
            }
            DriverRequest::End => self.event_bus.end(),
        }
    }

    /// Adds a subscriber. No event comes between the snapshot and the first event, because this task publishes all.
    fn subscribe(
        &mut self,
        signed_out: Snapshot,
        subscribe_from: event_bus::SubscribeFrom,
        reply: oneshot::Sender<Subscription>,
    ) {
        // The subscription that ended still counts for what it has shown.
        self.note_shown();
        let position = self.event_bus.position(subscribe_from);
        let up_to = position.unwrap_or_else(|| self.event_bus.published()).received;
        let events = match (position, &self.session) {
            (Some(from), Some(SignedIn { engine, resources, .. })) => {
                let to = self.event_bus.published();
                let rows = self.rereads.begin(&resources.history, engine.chat.me(), from, to);
                self.event_bus.add_from(from, rows)
            }
            _ => self.event_bus.add(),
        };
        // The caller may have stopped waiting.
        let _ = reply.send(Subscription { snapshot: self.snapshot(signed_out, up_to), events });
    }

    fn snapshot(&self, signed_out: Snapshot, up_to: i64) -> Snapshot {
        match &self.session {
            Some(session) => session.snapshot(signed_out, up_to),
            None => signed_out,
        }
    }

    fn start_engine(&mut self, StartEngine { mut start, mut opened, resources, began }: StartEngine) {
        if let Some(rooms) = self.pending_sign_in.take_rooms() {
            start.login = Ok(rooms);
        }
        let mut effects = Effects::default();
        let earlier = EarlierUnread::take(&mut opened);
        let engine = Engine::start(start, opened, now(), &mut effects);
        let unshown = effects.take_rows();
        self.session = Some(SignedIn::start(engine, resources, earlier, &unshown));
        self.carry_out(effects);
        self.begin_events(!unshown.is_empty());
        if let Some(reason) = std::mem::take(&mut self.pending_sign_in).lost() {
            self.input(Input::TrackerLost(reason));
        }
        // The caller may have stopped waiting.
        let _ = began.send(());
    }

    /// Lets each subscriber read the messages that no earlier run has shown. There may be more than its queue can hold.
    fn begin_events(&mut self, is_unshown: bool) {
        let Some(SignedIn { engine, resources, .. }) = &self.session else { return };
        let (history, me) = (&resources.history, engine.chat.me());
        let rows = history.unshown_rows();
        let start = if is_unshown { rows.start } else { rows.end };
        self.event_bus.begin(&(start..rows.end), |from, to| self.rereads.begin(history, me, from, to));
    }

    fn on_command(&mut self, (command, caller): CalledCommand) {
        // No command is carried out after the one that ended the service: after too many wrong passwords, the next
        // input may be a password.
        let refusal = match self.failure.get() {
            _ if self.session.is_none() => Some(not_signed_in()),
            failure => failure.cloned(),
        };
        if let Some(refusal) = refusal {
            // The caller may have stopped waiting.
            let _ = caller.send(Err(refusal));
            return;
        }
        let ticket = self.next_ticket();
        self.callers.insert(ticket, caller);
        self.input(Input::Command(ticket, command));
    }

    fn on_key_request(&mut self, (user, request, caller): CalledKeyRequest) {
        let ticket = self.next_ticket();
        self.key_callers.insert(ticket, caller);
        self.input(Input::KeyRequest(ticket, user, request));
    }

    fn next_ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        Ticket(self.next_ticket)
    }

    fn on_tracker_report(&mut self, report: TrackerReport) {
        match report {
            TrackerReport::Answered(request, outcome, caller) => {
                if let Ok(reply) = &outcome {
                    if self.session.is_some() {
                        if matches!(request, TrackerRequest::Login(_)) {
                            self.input(Input::TrackerIsLocal(self.tracker.is_on_loopback()));
                        }
                        self.input(Input::Granted(request, reply.clone()));
                    } else {
                        self.pending_sign_in.granted(&request, reply);
                    }
                }
                if let Some(caller) = caller {
                    // The command that asked may have timed out.
                    let _ = caller.send(outcome);
                }
            }
            TrackerReport::Announced(Announcement { from, text }) => {
                let from = from.and_then(|name| Username::parse(&name).ok());
                self.event_bus
                    .publish(&Event::Admin(AdminEvent::Announcement { from, text: text.into() }), Row::None);
            }
            TrackerReport::Update(update) if self.session.is_some() => self.input(Input::RoomUpdate(update)),
            TrackerReport::Update(update) => self.pending_sign_in.updated(*update),
            TrackerReport::Lost(reason) if self.session.is_some() => self.input(Input::TrackerLost(reason)),
            TrackerReport::Lost(reason) => self.pending_sign_in.tracker_lost(reason),
            TrackerReport::Impostor(error) => {
                let error = from_tracker(error, self.tracker.address());
                self.event_bus.publish(&error.event(), Row::None);
            }
            TrackerReport::Ended(reason) => {
                let error = match reason {
                    EndReason::Superseded => CommandError::Superseded,
                    EndReason::Failed(error) => from_tracker(error, self.tracker.address()),
                };
                self.event_bus.publish(&error.event(), Row::None);
                self.end(error);
            }
        }
    }

    fn on_link_report(&mut self, report: LinkReport) {
        let Some(session) = &self.session else { return };
        if let LinkReport::Writable { to } = &report {
            session.resources.links.resume(to);
        }
        let input = match report {
            LinkReport::Changed { user } => {
                let state = session.resources.links.link_state(&user);
                Input::LinkChanged(user, state)
            }
            report => Input::Link(report),
        };
        self.input(input);
    }

    /// Feeds an input to the engine and carries out the effects.
    fn input(&mut self, input: Input) {
        let Some(session) = &mut self.session else { return };
        let mut effects = Effects::default();
        session.engine.handle(input, now(), &mut effects);
        self.carry_out(effects);
    }

    /// Carries out effects, and those of the inputs to which they lead at once.
    fn carry_out(&mut self, mut effects: Effects) {
        loop {
            let mut inputs = Vec::new();
            for effect in effects.take() {
                inputs.extend(self.carry_out_one(effect));
            }
            let Some(session) = self.session.as_mut().filter(|_| !inputs.is_empty()) else { return };
            for input in inputs {
                session.engine.handle(input, now(), &mut effects);
            }
        }
    }

    /// Carries out an effect. Returns the input to which it leads at once.
    fn carry_out_one(&mut self, effect: Effect) -> Option<Input> {
        let session = self.session.as_mut()?;
        let Resources { history, links, contacts, .. } = &session.resources;
        match effect {
            Effect::Publish(event) => self.publish(&event, Row::None),
            Effect::PublishRow(event, row) => self.publish(&event, Row::Received(row)),
            Effect::PublishOwnRow(event, row) => self.publish(&event, Row::Sent(row)),
            Effect::Answer(ticket, outcome) => {
                if let Some(caller) = self.callers.remove(&ticket) {
                    // The caller may have stopped waiting.
                    let _ = caller.send(outcome);
                }
            }
            Effect::KeyReply(ticket, reply) => {
                if let Some(caller) = self.key_callers.remove(&ticket) {
                    // The link may have ended.
                    let _ = caller.send(reply);
                }
            }
            Effect::History(request) if session.backlog.is_empty() => {
                session.backlog.extend(history.try_put(request).err());
            }
            Effect::History(request) => session.backlog.push_back(request),
            Effect::Send(to, frame, refused) => {
                return links.send(&to, &frame).is_err().then_some(Input::QueueFull(to, refused));
            }
            Effect::SendMessage(to, link, message) => {
                let row = message.row;
                let sent = links.feed(&to, link, &Frame::Message(message));
                return sent.is_err().then_some(Input::QueueFull(to, RefusedFrame::Messages(row)));
            }
            Effect::SendBacklog(to, link, messages) => {
                let first = messages.first()?;
                let (row, room_id) = (first.row, first.conversation.room());
                let messages = messages.iter().map(|message| message.message.clone()).collect();
                let sent = links.feed(&to, link, &Frame::Lines { room_id, messages });
                return sent.is_err().then_some(Input::QueueFull(to, RefusedFrame::Messages(row)));
            }
            Effect::Acknowledge(to, id) => links.ack(&to, id),
            Effect::SendLeave(to, room, is_still_used) => links.leave(&to, room, is_still_used),
            Effect::WantLinks(targets) => links.set_targets(&targets),
            Effect::DialNow(user) => links.dial_now(&user),
            Effect::RetryDials(user) => links.retry_given_up(user.as_ref()),
            Effect::EndOtherLinks(user, keys) => links.end_links_by_others(&user, &keys),
            Effect::LookUp(user) => self.reads.look_up(user),
            Effect::ReadRoomLog(room, after) => self.reads.read_log(room, after),
            Effect::WritePins(ticket, pins) => return Some(written(ticket, contacts.store_pins(|| pins))),
            Effect::WriteAccepted(ticket, of) => return Some(written(ticket, contacts.store_accepted(&of))),
            Effect::WriteBlocked(ticket, of) => return Some(written(ticket, contacts.store_blocked(&of))),
        }
        None
    }

    /// Notes in the history what the frontends have shown. After a crash these messages are not shown again.
    fn note_shown(&mut self) {
        let (Some(row), Some(session)) = (self.event_bus.shown(), &mut self.session) else { return };
        session.resources.history.note_shown(row);
        session.note_read(self.event_bus.read_rows());
    }

    fn publish(&mut self, event: &Event, row: Row) {
        self.event_bus.publish(event, row);
        let published = self.event_bus.published().received;
        self.session.iter_mut().for_each(|session| session.published(event, row, published));
    }

    fn end(&mut self, error: CommandError) {
        // The first reason stays.
        let _ = self.failure.set(error);
        self.event_bus.end();
    }
}

fn written(ticket: impl Into<Option<Ticket>>, outcome: Result<(), ContactsError>) -> Input {
    Input::FileWritten(ticket.into(), outcome.map_err(CommandError::from))
}

fn now() -> Now {
    Now { instant: Instant::now(), utc: Utc::now() }
}
