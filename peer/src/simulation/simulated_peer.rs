//! A peer in the simulated world: the product's engine and history, driven by the world instead of sockets and threads.
//!
//! A crash loses the engine, but neither the database, the pinned keys, nor what the user saw.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use commons::digest::Digest;
use commons::incarnation::Incarnation;
use commons::keys::PublicKey;
use commons::names::{RoomName, Username};
use commons::protocol::between_peers::{Have, LogEntries};
use commons::protocol::provenance::StreamSpans;
use commons::snapshot::RoomSnapshot;
use fastrand::Rng;
use tokio::time::Instant;
use uuid::Uuid;

use crate::api::Event;
use crate::engine::Engine;
use crate::engine::effect::{Effect, Effects};
use crate::engine::engine_command::EngineCommand;
use crate::engine::engine_start::EngineStart;
use crate::engine::input::{Input, Now, RefusedFrame, Ticket};
use crate::engine::omission::Omission;
use crate::engine::room_intent::RoomIntent;
use crate::history::conversation::ConversationId;
use crate::history::history_db::{HistoryDb, InitialState};
use crate::history::message::SignedMessage;
use crate::history::query::Query;
use crate::history::report::Report;
use crate::history::request::Request;
use crate::history::testing::{device, user};
use crate::identity::known_keys::{Announcement, KnownKeys, Pin};
use crate::peer_communication::dialect::Dialect;
use crate::peer_communication::frame::Frame;
use crate::peer_communication::key_request::{KeyReply, KeyRequest};
use crate::peer_communication::link_report::{LinkReport, MessageBatch};
use crate::peer_communication::link_table::LinkId;
use crate::peer_communication::links::LinkState;
use crate::simulation::log::Log;
use crate::untrusted::AsUntrusted;

/// The users of the simulated world.
pub(crate) const NAMES: [&str; 5] = ["ana", "bob", "carla", "dora", "eva"];

/// The capacity of a link in one direction, in frames. It is small, so that links are often full.
const LINK_FRAMES: usize = 6;

/// The most own messages of a commit, and thus of a signed batch. As in the product, half a link holds a batch.
const BATCH_MESSAGES: usize = LINK_FRAMES / 2;

/// The share of packets, of 256, before which the network takes others.
const EARLY_ROOM: u8 = 64;

/// The bytes of pending messages that are read at a time. They are few, so that often more remain.
const PENDING_BYTES: usize = 2000;

/// A frame on its way through the simulated network.
#[derive(Debug, Clone)]
pub(crate) enum Packet {
    Have(Have),
    RoomLog(Uuid, u64),
    Entries(LogEntries),
    Want(Option<Uuid>, Vec<StreamSpans>),
    Lines { room_id: Option<Uuid>, messages: Vec<SignedMessage>, late: bool },
    Left(Option<String>),
    Presence(Option<String>),
}

impl Packet {
    /// Returns the report of the link on which it arrives.
    fn into_report(self, from: Username, link: LinkId) -> LinkReport {
        match self {
            Self::Have(have) => LinkReport::Have { from, have },
            Self::RoomLog(room_id, after) => LinkReport::LogRequested { from, room_id, after },
            Self::Entries(entries) => LinkReport::Entries { from, entries },
            Self::Want(room_id, streams) => LinkReport::Want { from, room_id, streams },
            Self::Lines { room_id, messages, late } => {
                LinkReport::Signed { from, link, batch: MessageBatch { room_id, messages, late } }
            }
            Self::Left(room) => LinkReport::Left { from, room },
            Self::Presence(away) => LinkReport::Presence { from, link, away },
        }
    }
}

impl From<Frame> for Packet {
    fn from(frame: Frame) -> Self {
        match frame {
            Frame::Have(have) => Self::Have(have),
            Frame::RoomLog { room_id, after } => Self::RoomLog(room_id, after),
            Frame::Entries(entries) => Self::Entries(entries),
            Frame::Want { room_id, streams } => Self::Want(room_id, streams),
            Frame::Lines { room_id, messages } => Self::Lines { room_id, messages, late: true },
            Frame::Message(message) => Self::Lines {
                room_id: message.conversation.room(),
                messages: vec![message.message.clone()],
                late: false,
            },
            Frame::Presence { away } => Self::Presence(away.map(|text| text.expose().to_owned())),
            Frame::Leave { room } => Self::Left(room.map(|room| room.as_str().to_owned())),
        }
    }
}

/// One end of a link, with the number of packets under way.
#[derive(Debug)]
struct End {
    number: u64,
    under_way: usize,
    /// The number of packets under way that take no room any more: the network has taken them.
    taken: usize,
    /// Whether a packet was refused. Until the engine goes on, no message may overtake it.
    is_blocked: bool,
}

impl End {
    fn new(number: u64) -> Self {
        Self { number, under_way: 0, taken: 0, is_blocked: false }
    }
}

/// A packet that waits for the world to carry it.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) to: Username,
    pub(crate) link: u64,
    pub(crate) packet: Packet,
    /// Whether a malicious program sent it, past the engine.
    pub(crate) is_forged: bool,
}

/// The part of a peer that survives a crash.
pub(crate) struct Disk {
    pub(crate) history: HistoryDb,
    pub(crate) opened: InitialState,
    pub(crate) pins: BTreeMap<Username, Pin>,
    pub(crate) blocked: BTreeSet<Username>,
}

/// The state of one run of the program.
pub(crate) struct SimulatedPeer {
    me: Username,
    life: u32,
    pub(crate) engine: Engine,
    history: HistoryDb,
    pins: BTreeMap<Username, Pin>,
    blocked: BTreeSet<Username>,
    links: BTreeMap<Username, End>,
    wanted: BTreeSet<Username>,
    /// The requests that the history has not processed yet.
    requests: VecDeque<Request>,
    /// The reports that the engine has not received yet.
    reports: VecDeque<Report>,
    /// Whether the history is writing to the disk. It stages nothing more until it has committed.
    is_committing: bool,
    /// The messages that were published and are not stored, because their commit is still to come.
    uncommitted: BTreeSet<Uuid>,
    /// The delivery marks that were reported and are not stored yet.
    marks: BTreeSet<(Uuid, Username)>,
    /// The row of the last message that the user saw.
    shown: i64,
    /// Packets that the world must carry.
    pub(crate) sent: Vec<Sent>,
    /// Users about whom the tracker is asked.
    pub(crate) lookups: Vec<Username>,
    /// The epochs after which the log of the room is read.
    pub(crate) log_reads: Vec<u64>,
    /// Links that this side refuses.
    pub(crate) refused_links: Vec<u64>,
    /// Commands that are not answered.
    pub(crate) unanswered: BTreeSet<Ticket>,
    /// Whether each answered command succeeded.
    pub(crate) answers: BTreeMap<Ticket, bool>,
    /// The message of each command to write one.
    written: BTreeMap<Ticket, Uuid>,
    /// The accepted messages that are not shown as sent yet.
    accepted: BTreeSet<Uuid>,
    /// The accepted messages that were given before each other command.
    before: BTreeMap<Ticket, BTreeSet<Uuid>>,
    /// The reply to the last key check.
    key_reply: Option<KeyReply>,
    /// Decides when the network takes packets.
    rng: Rng,
}

impl SimulatedPeer {
    /// Starts a run. `login` are the rooms of the tracker's reply; it is an error if the tracker was not reached.
    pub(crate) fn start(
        Disk { history, opened, pins, blocked }: Disk,
        (me, life): (&Username, u32),
        login: Option<Vec<RoomSnapshot>>,
        omission: Option<Omission>,
        now: Now,
        log: &mut Log,
    ) -> Self {
        let mut effects = Effects::default();
        let start = EngineStart {
            me: me.clone(),
            own_key: device(me.as_str()),
            keys: KnownKeys::new(pins.clone()),
            blocked: blocked.clone(),
            // Everybody may write to everybody: requests are no part of the simulated world.
            accepted: NAMES.iter().map(|name| user(name)).collect(),
            login: login.ok_or(None),
            is_tracker_local: true,
            omission,
        };
        let engine = Engine::start(start, opened, now, &mut effects);
        let mut peer = Self {
            me: me.clone(),
            life,
            engine,
            history,
            pins,
            blocked,
            links: BTreeMap::new(),
            wanted: BTreeSet::new(),
            requests: VecDeque::new(),
            reports: VecDeque::new(),
            is_committing: false,
            uncommitted: BTreeSet::new(),
            marks: BTreeSet::new(),
            shown: 0,
            sent: Vec::new(),
            lookups: Vec::new(),
            log_reads: Vec::new(),
            refused_links: Vec::new(),
            unanswered: BTreeSet::new(),
            answers: BTreeMap::new(),
            written: BTreeMap::new(),
            accepted: BTreeSet::new(),
            before: BTreeMap::new(),
            key_reply: None,
            // The clock of each user differs in each world.
            rng: Rng::with_seed(now.utc.timestamp_millis().cast_unsigned()),
        };
        peer.carry_out(effects, now, log);
        peer
    }

    /// Ends the run. The log notes the reports that the engine never received, and what was reported and is not stored.
    pub(crate) fn crash(mut self, log: &mut Log) -> (HistoryDb, BTreeMap<Username, Pin>, BTreeSet<Username>) {
        for report in &self.reports {
            match report {
                Report::Delivered { to, ids } => {
                    let (lost, stored): (Vec<_>, Vec<_>) =
                        ids.iter().partition(|id| self.marks.remove(&(**id, to.clone())));
                    // The user was not told of a lost mark, and will be.
                    drop(lost);
                    log.miss(&Report::Delivered { to: to.clone(), ids: stored });
                }
                report => log.miss(report),
            }
        }
        log.note_uncommitted(self.life, self.uncommitted, self.marks);
        (self.history, self.pins, self.blocked)
    }

    /// Gives the engine a command.
    pub(crate) fn command(&mut self, ticket: Ticket, command: EngineCommand, now: Now, log: &mut Log) {
        self.unanswered.insert(ticket);
        if let EngineCommand::Say { id, .. } = &command {
            self.written.insert(ticket, *id);
        } else {
            self.before.insert(ticket, self.accepted.clone());
        }
        self.input(Input::Command(ticket, command), now, log);
    }

    /// Feeds an input to the engine and carries out the effects.
    pub(crate) fn input(&mut self, input: Input, now: Now, log: &mut Log) {
        let mut effects = Effects::default();
        self.engine.handle(input, now, &mut effects);
        self.carry_out(effects, now, log);
    }

    fn carry_out(&mut self, mut effects: Effects, now: Now, log: &mut Log) {
        loop {
            let inputs: Vec<_> =
                effects.take().into_iter().filter_map(|effect| self.carry_out_one(effect, log)).collect();
            if inputs.is_empty() {
                return;
            }
            inputs.into_iter().for_each(|input| self.engine.handle(input, now, &mut effects));
        }
    }

    fn carry_out_one(&mut self, effect: Effect, log: &mut Log) -> Option<Input> {
        match effect {
            Effect::Publish(event) | Effect::PublishOwnRow(event, _) => {
                if let Event::Sent { id, .. } = &event {
                    self.accepted.remove(id);
                }
                log.note_event(self.life, &event);
            }
            Effect::PublishRow(event, row) => {
                self.shown = row;
                log.note_event(self.life, &event);
            }
            Effect::History(Request::Query(Query::Pending { to, after, .. })) => {
                self.requests.push_back(Query::Pending { to, after, bytes: PENDING_BYTES }.into());
            }
            Effect::History(request) => self.requests.push_back(request),
            Effect::Send(to, frame, refused) => {
                if matches!(&frame, Frame::Lines { messages, .. } if !messages.is_empty()) {
                    self.check_key(&to, log);
                }
                let fits = self.send(&to, None, frame.into());
                return (!fits).then_some(Input::QueueFull(to, refused));
            }
            Effect::SendMessage(to, link, message) => {
                let row = message.row;
                self.check_key(&to, log);
                let fits = self.send(&to, Some(link), Frame::Message(message).into());
                return (!fits).then_some(Input::QueueFull(to, RefusedFrame::Messages(row)));
            }
            Effect::SendBacklog(to, link, messages) => {
                let first = messages.first()?;
                self.check_key(&to, log);
                let (row, room_id) = (first.row, first.conversation.room());
                let messages = messages.iter().map(|message| message.message.clone()).collect();
                let fits = self.send(&to, Some(link), Frame::Lines { room_id, messages }.into());
                return (!fits).then_some(Input::QueueFull(to, RefusedFrame::Messages(row)));
            }
            Effect::SendLeave(to, room, _) => {
                self.send(&to, None, Frame::Leave { room }.into());
            }
            Effect::WantLinks(wishes) => self.wanted = wishes.into_keys().collect(),
            Effect::LookUp(user) => self.lookups.push(user),
            Effect::WritePins(ticket, pins) => {
                self.pins = pins;
                return Some(Input::FileWritten(ticket, Ok(())));
            }
            Effect::WriteAccepted(..) => {}
            Effect::WriteBlocked(ticket, blocked) => {
                self.blocked = blocked;
                return Some(Input::FileWritten(Some(ticket), Ok(())));
            }
            Effect::KeyReply(_, reply) => self.key_reply = Some(reply),
            Effect::Answer(ticket, outcome) => self.note_answer(ticket, outcome.is_ok(), log),
            Effect::ReadRoomLog(_, after) => self.log_reads.push(after),
            Effect::Acknowledge(..)
            | Effect::DialNow(_)
            | Effect::RetryDials(_)
            | Effect::EndOtherLinks(..) => {}
        }
        None
    }

    /// Notes an answer. It must not overtake the messages that were written before its command.
    fn note_answer(&mut self, ticket: Ticket, is_ok: bool, log: &mut Log) {
        self.unanswered.remove(&ticket);
        self.answers.insert(ticket, is_ok);
        if let Some(id) = self.written.remove(&ticket).filter(|_| is_ok) {
            self.accepted.insert(id);
        }
        let before = self.before.remove(&ticket).unwrap_or_default();
        if let Some(id) = before.iter().find(|id| self.accepted.contains(*id)) {
            log.wrong.push(format!("a command was answered before message {id}, which came first, was sent"));
        }
    }

    /// Checks that no message goes to a user whose key has changed.
    fn check_key(&self, to: &Username, log: &mut Log) {
        if self.engine.keys.is_changed(to) {
            log.wrong.push(format!("a message went to {to}, whose key has changed"));
        }
    }

    /// Sends a packet past the engine, as a malicious program would.
    pub(crate) fn forge(&mut self, to: &Username, packet: Packet) {
        let before = self.sent.len();
        self.send(to, None, packet);
        self.sent[before..].iter_mut().for_each(|sent| sent.is_forged = true);
    }

    /// Sends a packet and returns whether it fits. Without a link it is dropped, unless it is for a certain link.
    fn send(&mut self, to: &Username, link: Option<LinkId>, packet: Packet) -> bool {
        let Some(end) = self.links.get_mut(to) else { return link.is_none() };
        let is_message = link.is_some();
        // The network takes packets at any moment, also between two packets of one step.
        if self.rng.u8(..) < EARLY_ROOM {
            let taken = self.rng.usize(..=end.under_way);
            (end.under_way, end.taken) = (end.under_way - taken, end.taken + taken);
        }
        let is_blocked = end.is_blocked && self.engine.omission != Some(Omission::OpensAtResume);
        if link.is_some_and(|link| link.0 != end.number) || (is_message && is_blocked) {
            return false;
        }
        if end.under_way >= LINK_FRAMES {
            end.is_blocked = true;
            return false;
        }
        end.under_way += 1;
        self.sent.push(Sent { to: to.clone(), link: end.number, packet, is_forged: false });
        true
    }

    /// Returns whether this user is in a room.
    pub(crate) fn is_in_a_room(&self) -> bool {
        self.engine.chat.rooms().next().is_some()
    }

    /// Returns the last entry of the log of a room, as this user knows it.
    pub(crate) fn head(&self, room: &RoomName, now: Now) -> Option<(u64, Digest)> {
        // The next entry of the user names the last one.
        let next = self.engine.next_entry(room, RoomIntent::Leave, now).ok()??;
        self.is_in_a_room().then_some((next.epoch - 1, next.previous))
    }

    /// Returns whether a link to this user is wanted.
    pub(crate) fn wants(&self, user: &Username) -> bool {
        self.wanted.contains(user)
    }

    /// Returns the number of the link to a user, as this side knows it.
    pub(crate) fn link(&self, user: &Username) -> Option<u64> {
        self.links.get(user).map(|end| end.number)
    }

    fn request_keys(&mut self, user: &Username, request: KeyRequest, now: Now, log: &mut Log) {
        self.input(Input::KeyRequest(Ticket(0), user.clone(), request), now, log);
    }

    /// Notes that a link came up, whose other side has proven a key. Refuses it if the key is not the user's. `record` are
    /// the keys that the tracker names.
    pub(crate) fn link_up(
        &mut self,
        user: &Username,
        number: u64,
        (key, record): (PublicKey, Vec<PublicKey>),
        now: Now,
        log: &mut Log,
    ) {
        // Both sides keep the same one of two links.
        if self.link(user).is_some_and(|current| current > number) {
            return;
        }
        self.request_keys(user, KeyRequest::Check(key), now, log);
        let must_warn = self.key_reply == Some(KeyReply::LookUpAndWarn);
        if must_warn || matches!(self.key_reply, Some(KeyReply::LookUp | KeyReply::Unknown)) {
            let announced = Announcement { keys: record, endorsements: Vec::new() };
            self.request_keys(user, KeyRequest::Announce(announced), now, log);
            self.request_keys(user, KeyRequest::Check(key), now, log);
        }
        if must_warn && self.key_reply != Some(KeyReply::Yes) {
            self.request_keys(user, KeyRequest::Warn(key), now, log);
            return self.refused_links.push(number);
        }
        if self.key_reply != Some(KeyReply::Yes) {
            return self.refused_links.push(number);
        }
        self.links.insert(user.clone(), End::new(number));
        let state = LinkState {
            link: LinkId(number),
            dialect: Dialect::Full,
            key: Some(key),
            started: None,
            encrypted: true,
        };
        self.input(Input::LinkChanged(user.clone(), Some(state)), now, log);
    }

    /// Notes that a link to a legacy client came up.
    pub(crate) fn legacy_link_up(&mut self, user: &Username, number: u64, now: Now, log: &mut Log) {
        self.links.insert(user.clone(), End::new(number));
        let link = LinkId(number);
        let state = LinkState { link, dialect: Dialect::Legacy, key: None, started: None, encrypted: false };
        self.input(Input::LinkChanged(user.clone(), Some(state)), now, log);
    }

    /// Notes that messages were written to a legacy client, which acknowledges nothing.
    pub(crate) fn written(&mut self, to: &Username, number: u64, ids: &[Uuid], now: Now, log: &mut Log) {
        self.carried(to, number, now, log);
        for id in ids {
            self.input(Input::Link(LinkReport::Written { to: to.clone(), id: *id }), now, log);
        }
    }

    /// Notes that a link closed. A link that was replaced already is ignored.
    pub(crate) fn link_down(&mut self, user: &Username, number: u64, now: Now, log: &mut Log) {
        if self.link(user) == Some(number) {
            self.links.remove(user);
            self.input(Input::LinkChanged(user.clone(), None), now, log);
        }
    }

    /// Notes that a packet has left the link, and that a link that was full has room again.
    pub(crate) fn carried(&mut self, to: &Username, number: u64, now: Now, log: &mut Log) {
        let Some(end) = self.links.get_mut(to).filter(|end| end.number == number) else { return };
        if end.taken > 0 {
            end.taken -= 1;
        } else {
            end.under_way -= 1;
        }
        if end.is_blocked && end.under_way <= LINK_FRAMES / 2 {
            end.is_blocked = false;
            self.input(Input::Link(LinkReport::Writable { to: to.clone() }), now, log);
        }
    }

    /// Handles a packet that arrived on a link, which may have been replaced.
    pub(crate) fn arrive(&mut self, from: &Username, link: u64, packet: Packet, now: Now, log: &mut Log) {
        self.input(Input::Link(packet.into_report(from.clone(), LinkId(link))), now, log);
    }

    /// Returns the ids of the messages of a room, in their order.
    pub(crate) fn order(&mut self, room: Uuid) -> Vec<Uuid> {
        let of = ConversationId::Room(room);
        let stored = self.history.transaction(|tables| tables.page(&of, None, usize::MAX));
        stored.unwrap_or_default().into_iter().map(|message| message.id).collect()
    }

    /// Returns the incarnation of this user's messages.
    pub(crate) fn incarnation(&self) -> Incarnation {
        self.history.tables.meta.incarnation
    }

    /// Returns a message that was accepted and is not shown as sent.
    pub(crate) fn unsent(&self) -> Option<Uuid> {
        self.accepted.first().copied()
    }

    /// Returns the number of this run, from 1.
    pub(crate) fn life(&self) -> u32 {
        self.life
    }

    /// Returns this user's name.
    pub(crate) fn me(&self) -> &Username {
        &self.me
    }

    /// Returns the time of the engine's next timer.
    pub(crate) fn next_timer(&self) -> Instant {
        self.engine.next_timer()
    }

    /// Returns whether the history has requests that it can process now.
    pub(crate) fn has_work(&self) -> bool {
        !self.requests.is_empty() && !self.is_committing
    }

    /// Returns whether the history is writing to the disk.
    pub(crate) fn is_committing(&self) -> bool {
        self.is_committing
    }

    /// Returns whether delivery marks wait for another commit.
    pub(crate) fn has_marks(&self) -> bool {
        self.history.is_open && !self.is_committing
    }

    /// Returns whether the engine has reports to receive.
    pub(crate) fn has_reports(&self) -> bool {
        !self.reports.is_empty()
    }

    /// Lets the history stage some requests. Received messages are published, and the commit begins. Marks and queries
    /// alone need no commit.
    pub(crate) fn work(&mut self, requests: usize) {
        let (mut own, mut is_last) = (0, false);
        for _ in 0..requests {
            let Some(request) = self.requests.pop_front_if(|_| own < BATCH_MESSAGES && !is_last) else {
                break;
            };
            own += usize::from(matches!(request, Request::Append(_)));
            is_last = request.ends_batch();
            self.history.apply(request);
        }
        if !self.history.needs_commit() {
            let reports = self.history.reports_without_commit();
            for report in &reports {
                if let Report::Delivered { to, ids } = report {
                    self.marks.extend(ids.iter().map(|id| (*id, to.clone())));
                }
            }
            return self.reports.extend(reports);
        }
        self.is_committing = true;
        let early = self.history.early_reports();
        if let Some(Report::Received(messages)) = &early {
            self.uncommitted.extend(messages.iter().map(|it| it.message.id));
        }
        self.reports.extend(early);
    }

    /// Ends the commit.
    pub(crate) fn commit(&mut self) {
        self.reports.extend(self.history.commit());
        self.is_committing = false;
        self.uncommitted.clear();
        self.marks.clear();
    }

    /// Lets the history and the engine do everything that is left to do.
    pub(crate) fn finish(&mut self, now: Now, log: &mut Log) {
        while self.is_committing || self.has_work() || self.has_reports() {
            self.work(usize::MAX);
            self.commit();
            self.receive_reports(usize::MAX, now, log);
        }
    }

    /// Lets the engine receive some reports.
    pub(crate) fn receive_reports(&mut self, reports: usize, now: Now, log: &mut Log) {
        self.history.note_shown(self.shown);
        for _ in 0..reports {
            let Some(report) = self.reports.pop_front() else { return };
            log.note_report(&report);
            self.input(Input::History(report), now, log);
        }
    }
}
