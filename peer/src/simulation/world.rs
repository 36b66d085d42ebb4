//! A small world of peers, their tracker and the network, which follows entirely from one seed.
//!
//! Simulated time advances from event to event. Links close and lose their frames, the network is partitioned and
//! heals, and programs crash and restart with their databases. Users join, leave and write, and some send forged
//! frames.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use chrono::DateTime;
use commons::incarnation::Incarnation;
use commons::keys::PublicKey;
use commons::names::Username;
use commons::protocol::with_tracker::RoomUpdate;
use commons::room_log::facts::Policy;
use commons::snapshot::ChangeKind;
use fastrand::Rng;
use tokio::time::Instant;
use uuid::Uuid;

use crate::api::conversation::Conversation;
use crate::api::tracker_loss::TrackerLoss;
use crate::engine::engine_command::EngineCommand;
use crate::engine::input::{Input, Now, Ticket};
use crate::engine::room_intent::RoomIntent;
use crate::history::history_db::{HistoryDb, Place};
use crate::history::message::SignedMessage;
use crate::history::testing::{author, device, user};
use crate::identity::known_keys::Pin;
use crate::simulation::Omitted;
use crate::simulation::forgery;
use crate::simulation::governance::Attempt;
use crate::simulation::lie::Lie;
use crate::simulation::log::Log;
use crate::simulation::rooms::{Rooms, creation, had_member};
use crate::simulation::scenes::{Notes, SETTING, Scene};
use crate::simulation::setting::Setting;
use crate::simulation::simulated_peer::{Disk, NAMES, Packet, Sent, SimulatedPeer};
use crate::simulation::tracker_message::TrackerOutput;
use crate::tracker_communication::tracker_report::TrackerError;

/// The duration of the trouble and of the quiet period after it, in simulated milliseconds.
const TROUBLE: u64 = 40_000;
const PEACE: u64 = 40_000;

/// The time at which users begin to enter a room with a log, in simulated milliseconds.
const BEGINNING: u64 = 300;

/// The index of a user in `NAMES`.
pub(crate) type PeerIndex = usize;

/// Returns the keys that a user knows at the beginning.
fn pins(me: &str, setting: Setting) -> BTreeMap<Username, Pin> {
    let others = NAMES.iter().filter(|name| **name != me && setting.policy == Some(Policy::Invite));
    others.map(|name| (user(name), Pin { keys: vec![device(name)], ..Pin::default() })).collect()
}

/// A scheduled event of the world.
#[derive(Debug)]
pub(crate) enum Event {
    /// A random user acts, or something fails.
    Fate,
    /// The partition of the network heals.
    Heal,
    Start(PeerIndex),
    /// Two users open or close their link if necessary.
    Dial(PeerIndex, PeerIndex),
    Up {
        at: PeerIndex,
        with: PeerIndex,
        link: u64,
    },
    Down {
        at: PeerIndex,
        with: PeerIndex,
        link: u64,
    },
    Arrive {
        at: PeerIndex,
        from: PeerIndex,
        link: u64,
        packet: Box<Packet>,
    },
    /// A user checks the connection to the tracker.
    Call(PeerIndex),
    Told {
        at: PeerIndex,
        call: u64,
        word: Box<TrackerOutput>,
    },
    /// The history works, its reports are received, or the sync ticks. Each belongs to one run of the program.
    Work(PeerIndex, u32),
    Commit(PeerIndex, u32),
    Receive(PeerIndex, u32),
    Tick(PeerIndex, u32),
    /// The tracker answers a lookup, if it can be reached.
    Found(PeerIndex, u32, Username),
    /// A user accepts all changed keys.
    Accept(PeerIndex),
    /// A link that was replaced ends.
    Retire(u64),
    /// A user tries to change the room with a log.
    Change(Attempt),
    /// A request for the entries of the log after an epoch reaches the tracker.
    ReadLog {
        by: PeerIndex,
        call: u64,
        after: u64,
    },
    /// A user enters a room again that this device only offers.
    Enter(PeerIndex, u32),
    /// The members change the room until only these are in it, or until the given time.
    Settle(Vec<PeerIndex>, u64),
    /// Messages were written to the legacy client.
    Written {
        by: PeerIndex,
        link: u64,
        ids: Vec<Uuid>,
    },
    /// The next step of the scene.
    Scene(u32),
}

/// A peer with its device and its user.
pub(crate) struct Station {
    pub(crate) name: Username,
    pub(crate) program: Option<SimulatedPeer>,
    /// The disk while the program does not run.
    pub(crate) disk: Option<Disk>,
    pub(crate) log: Log,
    pub(crate) life: u32,
    side: bool,
    /// The number of the tracker connection, and the time until which messages on it are under way.
    call: Option<(u64, u64)>,
    works: bool,
    commits: bool,
    has_marks: bool,
    receives: bool,
    /// The time of the next tick that is scheduled.
    ticks_at: Option<u64>,
    /// The error of this user's clock, in milliseconds.
    clock_error: i64,
    /// The number of lookups at the tracker.
    pub(crate) lookups: usize,
}

struct Link {
    ends: [PeerIndex; 2],
    /// The time until which frames are under way, by receiver.
    busy: [u64; 2],
}

pub(crate) struct World {
    pub(crate) rng: Rng,
    start: Instant,
    pub(crate) now: u64,
    /// The time at which the world ends.
    pub(crate) end: u64,
    pub(crate) scene: Scene,
    pub(crate) notes: Notes,
    /// Whether nothing fails and nothing is slow.
    pub(crate) is_calm: bool,
    /// A further delay of the tracker's updates, and of the frames to one user.
    pub(crate) push_delay: u64,
    pub(crate) slow: Option<(PeerIndex, u64)>,
    /// A message that a user must never be sent.
    pub(crate) never: Option<(Uuid, Username)>,
    events: BTreeMap<(u64, u64), Event>,
    numbers: u64,
    pub(crate) stations: Vec<Station>,
    pub(crate) rooms: Rooms,
    tracker_side: bool,
    links: BTreeMap<u64, Link>,
    /// Frames that an attacker has recorded, at most 17.
    captured: VecDeque<Packet>,
    pub(crate) setting: Setting,
    /// The lies that the tracker tells now, each to some users.
    pub(crate) told: Vec<(Vec<PeerIndex>, Lie)>,
    /// The links on which somebody with a made-up key poses as a user.
    pub(crate) impostors: BTreeMap<u64, (Username, PublicKey)>,
    /// Whether the tracker shows two logs of the room for good. Then the members cannot agree.
    pub(crate) is_forked: bool,
    omitted: Option<Omitted>,
    /// The events that happened, to find the cause of a failure; empty if they are not wanted.
    pub(crate) trace: Vec<String>,
    is_traced: bool,
}

impl World {
    /// Creates a world. In it everybody knows the keys of all others if the room is for invited users. Its programs leave out the given rule. `is_traced` tells whether it records its events.
    pub(crate) fn new(seed: u64, setting: Setting, omitted: Option<Omitted>, is_traced: bool) -> Self {
        let mut rng = Rng::with_seed(seed);
        let count = rng.usize(3..=NAMES.len());
        let stations = NAMES[..count].iter().map(|name| {
            let (mut history, opened) = HistoryDb::open(&Place::Memory, &author(name)).unwrap();
            history.tables.omission = omitted.and_then(Omitted::of_history);
            // A random incarnation would differ in each replay.
            history.tables.meta.incarnation = Incarnation(rng.u64(..));
            history.tables.meta.write(&history.tables.db).unwrap();
            Station {
                name: user(name),
                program: None,
                disk: Some(Disk { history, opened, pins: pins(name, setting), blocked: BTreeSet::new() }),
                log: Log::default(),
                life: 0,
                side: false,
                call: None,
                works: false,
                commits: false,
                has_marks: false,
                receives: false,
                ticks_at: None,
                lookups: 0,
                clock_error: rng.i64(-2_000_000_000_000..2_000_000_000_000),
            }
        });
        let mut world = Self {
            start: Instant::now(),
            now: 0,
            end: u64::MAX,
            scene: Scene::of(seed, setting),
            notes: Notes::default(),
            is_calm: false,
            push_delay: 0,
            slow: None,
            never: None,
            events: BTreeMap::new(),
            numbers: 0,
            stations: stations.collect(),
            rooms: Rooms::new(&user(NAMES[0]), setting.policy),
            tracker_side: false,
            links: BTreeMap::new(),
            captured: VecDeque::new(),
            setting,
            told: Vec::new(),
            impostors: BTreeMap::new(),
            is_forked: false,
            omitted,
            trace: Vec::new(),
            is_traced,
            rng,
        };
        for (peer, name) in NAMES.iter().enumerate().take(count) {
            if (1..3).contains(&peer) && setting.policy.is_none() {
                world.rooms.join_or_leave(&user(name));
            }
            world.at(0, Event::Start(peer));
            world.at(0, Event::Call(peer));
            (0..peer).for_each(|other| world.at(0, Event::Dial(other, peer)));
        }
        world.at(100, Event::Fate);
        if setting.policy.is_some() {
            world.at(BEGINNING, Event::Settle(vec![0, 1, 2], 10 * BEGINNING));
        }
        world.at(TROUBLE + PEACE, Event::Scene(0));
        world
    }

    /// Runs all events until the scene after the quiet period is over.
    pub(crate) fn run(&mut self) {
        while let Some(((time, _), event)) = self.events.pop_first() {
            if time > self.end {
                return;
            }
            self.now = time;
            if self.is_traced {
                self.trace.push(format!("{time:6} {event:?}"));
            }
            self.happen(event);
        }
    }

    pub(crate) fn is_peace(&self) -> bool {
        self.now >= TROUBLE
    }

    fn instant(&self) -> Instant {
        self.start + Duration::from_millis(self.now)
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    pub(crate) fn at(&mut self, time: u64, event: Event) {
        let number = self.number();
        self.events.insert((time, number), event);
    }

    pub(crate) fn after(&mut self, wait: std::ops::Range<u64>, event: Event) {
        let time = self.now + self.rng.u64(wait);
        self.at(time, event);
    }

    pub(crate) fn peer(&self, name: &Username) -> PeerIndex {
        self.stations.iter().position(|station| station.name == *name).unwrap()
    }

    pub(crate) fn any(&mut self) -> PeerIndex {
        self.rng.usize(..self.stations.len())
    }

    /// Returns a delay in milliseconds, usually short and sometimes long.
    pub(crate) fn delay(&mut self) -> u64 {
        if self.rng.u8(..) < 12 && !self.is_calm { self.rng.u64(200..2500) } else { self.rng.u64(1..40) }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Fate if self.is_peace() => self.make_peace(),
            Event::Fate => {
                self.fate();
                self.after(20..300, Event::Fate);
            }
            Event::Heal => self.part(|_| false, false),
            Event::Start(peer) => self.start_program(peer),
            Event::Dial(a, b) => self.dial(a, b),
            Event::Up { at, with, link } => {
                let name = self.stations[with].name.clone();
                if self.links.contains_key(&link) {
                    let keys = (device(name.as_str()), self.record_keys(at, &name));
                    self.with(at, |program, now, log| program.link_up(&name, link, keys, now, log));
                }
            }
            Event::Down { at, with, link } => {
                let name = self.stations[with].name.clone();
                self.with(at, |program, now, log| program.link_down(&name, link, now, log));
            }
            Event::Arrive { at, from, link, packet } => self.arrive(at, from, link, *packet),
            Event::Call(peer) => self.call(peer),
            Event::Told { at, call, word } => {
                if self.stations[at].call.is_some_and(|(present, _)| present == call) {
                    self.with(at, |program, now, log| {
                        for input in word.into_inputs(program.me()) {
                            program.input(input, now, log);
                        }
                    });
                }
            }
            Event::Work(peer, life) if self.stations[peer].life == life => {
                let requests = self.rng.usize(1..12);
                self.stations[peer].works = false;
                self.with(peer, |program, _, _| program.work(requests));
            }
            Event::Commit(peer, life) if self.stations[peer].life == life => {
                (self.stations[peer].commits, self.stations[peer].has_marks) = (false, false);
                self.with(peer, |program, _, _| program.commit());
            }
            Event::Receive(peer, life) if self.stations[peer].life == life => {
                let reports = self.rng.usize(1..6);
                self.stations[peer].receives = false;
                self.with(peer, |program, now, log| program.receive_reports(reports, now, log));
            }
            Event::Tick(peer, life) if self.stations[peer].life == life => {
                self.stations[peer].ticks_at = None;
                self.with(peer, |program, now, log| program.input(Input::Tick, now, log));
            }
            Event::Found(peer, life, wanted) if self.stations[peer].life == life => {
                let reaches = self.stations[peer].call.is_some();
                let found =
                    reaches.then(|| Some(Box::new(self.rooms.record(&wanted)))).ok_or(TrackerError::Lost);
                self.with(peer, |program, now, log| program.input(Input::Found(wanted, found), now, log));
            }
            Event::Accept(peer) => self.accept(peer),
            Event::Retire(link) => drop(self.links.remove(&link)),
            Event::Written { by, link, ids } => {
                let Some((legacy, _)) = self.rooms.legacy.clone() else { return };
                self.with(by, |program, now, log| program.written(&legacy, link, &ids, now, log));
            }
            Event::Change(attempt) => self.attempt(attempt),
            Event::ReadLog { by, call, after } => self.show_log(by, call, after),
            Event::Enter(peer, life) if self.stations[peer].life == life => self.enter_again(peer),
            Event::Settle(cast, until) => self.settle(&cast, until),
            Event::Scene(step) => self.play(step),
            // These events belong to a run that has crashed.
            Event::Work(..)
            | Event::Commit(..)
            | Event::Receive(..)
            | Event::Tick(..)
            | Event::Found(..)
            | Event::Enter(..) => {}
        }
    }

    /// Returns the time as a user sees it.
    pub(crate) fn time_of(&self, peer: PeerIndex) -> Now {
        let utc = DateTime::from_timestamp_millis(
            self.stations[peer].clock_error + 2_000_000_000_000 + self.now as i64,
        );
        Now { instant: self.instant(), utc: utc.unwrap() }
    }

    /// Lets a running program act, and schedules the consequences.
    pub(crate) fn with(&mut self, peer: PeerIndex, act: impl FnOnce(&mut SimulatedPeer, Now, &mut Log)) {
        let now = self.time_of(peer);
        let station = &mut self.stations[peer];
        let Some(program) = &mut station.program else { return };
        act(program, now, &mut station.log);
        let life = station.life;
        let (sent, lookups) = (std::mem::take(&mut program.sent), std::mem::take(&mut program.lookups));
        let refused = std::mem::take(&mut program.refused_links);
        let log_reads = std::mem::take(&mut program.log_reads);
        let works = program.has_work() && !std::mem::replace(&mut station.works, true);
        let commits = program.is_committing() && !std::mem::replace(&mut station.commits, true);
        let marks = program.has_marks() && !std::mem::replace(&mut station.has_marks, true);
        let receives = program.has_reports() && !std::mem::replace(&mut station.receives, true);
        let timer = (program.next_timer() - self.start).as_millis() as u64 + 1;
        let ticks_at = Some(timer).filter(|timer| station.ticks_at.is_none_or(|ticks_at| *timer < ticks_at));
        station.ticks_at = ticks_at.or(station.ticks_at);
        sent.into_iter().for_each(|sent| self.carry(peer, sent));
        refused.into_iter().for_each(|link| self.break_link(link));
        self.stations[peer].lookups += lookups.len();
        log_reads.into_iter().for_each(|after| self.read_log(peer, after));
        for wanted in lookups {
            self.after(5..500, Event::Found(peer, life, wanted));
        }
        if let Some(at) = ticks_at {
            self.at(at, Event::Tick(peer, life));
        }
        if works {
            self.after(1..30, Event::Work(peer, life));
        }
        if commits {
            let delay = self.delay();
            self.at(self.now + delay, Event::Commit(peer, life));
        } else if marks {
            self.after(1..1000, Event::Commit(peer, life));
        }
        if receives {
            self.after(1..20, Event::Receive(peer, life));
        }
    }

    fn carry(&mut self, from: PeerIndex, Sent { to, link, packet, is_forged }: Sent) {
        if let Some((legacy, is_in_menu)) = &self.rooms.legacy
            && *legacy == to
        {
            let Packet::Lines { messages, .. } = packet else { return };
            let ids: Vec<_> = messages.iter().map(|message| message.id).collect();
            if *is_in_menu {
                let wrong = format!("{ids:?} was sent to a legacy client that drops it");
                self.stations[from].log.wrong.push(wrong);
            }
            return self.after(1..40, Event::Written { by: from, link, ids });
        }
        if let Some((name, key)) = self.impostors.get(&link) {
            let Packet::Lines { room_id: Some(_), messages, .. } = packet else { return };
            let is_outside = |revision| !self.rooms.had_key(revision, name, *key);
            if let Some(message) = messages.iter().find(|message| is_outside(message.provenance.revision)) {
                let wrong = format!("{} was handed to a key outside its audience", message.id);
                self.stations[from].log.wrong.push(wrong);
            }
            return;
        }
        let (at, delay) = (self.peer(&to), self.delay());
        let delay = delay + self.slow.filter(|(slow, _)| *slow == at).map_or(0, |(_, delay)| delay);
        if let (Some((id, never)), Packet::Lines { messages, .. }) = (&self.never, &packet)
            && *never == to
            && messages.iter().any(|message| message.id == *id)
        {
            let wrong = format!("{id} was sent to {to}, who was known to have left");
            self.stations[from].log.wrong.push(wrong);
        }
        if let (false, Packet::Lines { room_id: Some(_), messages, .. }) = (is_forged, &packet)
            && let Some(message) = messages.iter().find(|message| !self.is_audience(message, &to))
        {
            let wrong = format!("{} was sent to {to}, who was not a member when it was written", message.id);
            self.stations[from].log.wrong.push(wrong);
        }
        let time = match self.links.get_mut(&link) {
            // The link is broken, but the sender has not noticed it yet.
            None => return,
            Some(Link { ends, busy }) => {
                let busy = &mut busy[usize::from(ends[1] == at)];
                *busy = (self.now + delay).max(*busy);
                *busy
            }
        };
        if matches!(&packet, Packet::Lines { room_id: Some(_), messages, .. } if !messages.is_empty()) {
            self.captured.truncate(16);
            self.captured.push_front(packet.clone());
        }
        self.at(time, Event::Arrive { at, from, link, packet: Box::new(packet) });
    }

    /// Returns the last frame on the network that held a message.
    pub(crate) fn captured_lines(&self, id: Uuid) -> Option<Packet> {
        let has = |packet: &&Packet| matches!(packet, Packet::Lines { messages, .. } if messages.iter().any(|message| message.id == id));
        self.captured.iter().find(has).cloned()
    }

    /// Returns whether a user was a member at the state of the room under which a message was signed.
    fn is_audience(&self, message: &SignedMessage, user: &Username) -> bool {
        let revision = message.provenance.revision;
        let fork = self.fork_of(self.peer(&message.author));
        match fork {
            Some(log) => had_member(&log, revision, user),
            None => self.rooms.revision_of_joining(revision, user).is_some(),
        }
    }

    fn arrive(&mut self, at: PeerIndex, from: PeerIndex, link: u64, packet: Packet) {
        let names = [at, from].map(|peer| self.stations[peer].name.clone());
        if !self.links.contains_key(&link) {
            return;
        }
        self.with(from, |program, now, log| program.carried(&names[0], link, now, log));
        self.with(at, |program, now, log| program.arrive(&names[1], link, packet, now, log));
    }

    fn start_program(&mut self, peer: PeerIndex) {
        let reaches = self.stations[peer].side == self.tracker_side;
        // The first start needs the tracker. Later ones may be offline.
        if !reaches && (self.stations[peer].life == 0 || self.rng.bool()) {
            return self.after(100..1000, Event::Start(peer));
        }
        let Some(disk) = self.stations[peer].disk.take() else { return };
        let station = &mut self.stations[peer];
        station.life += 1;
        (station.works, station.commits, station.has_marks, station.receives) = (false, false, false, false);
        (station.ticks_at, station.call) = (None, None);
        let (life, name) = (station.life, station.name.clone());
        let login = reaches.then(|| {
            self.sign_in(peer);
            let is_creator = life == 1 && peer == 0 && self.setting.policy.is_some();
            if is_creator { Vec::new() } else { self.rooms_at_sign_in(peer) }
        });
        let (now, omission) = (self.time_of(peer), self.omitted.and_then(Omitted::of_engine));
        let station = &mut self.stations[peer];
        let program =
            SimulatedPeer::start(disk, (&name, life), login.clone(), omission, now, &mut station.log);
        station.program = Some(program);
        // After a crash, a room may be offered instead of entered. The user then enters it.
        let plain = login.into_iter().flatten().filter(|room| room.log.is_none());
        let entered: Vec<_> =
            plain.map(TrackerOutput::Entered).flat_map(|word| word.into_inputs(&name)).collect();
        self.with(peer, |program, now, log| {
            entered.into_iter().for_each(|input| program.input(input, now, log));
        });
        if let Some(policy) = self.setting.policy {
            if (life, peer) == (1, 0) {
                let created = creation(&name, policy, 1);
                self.word(peer, TrackerOutput::Changed(Box::new(created), Some(self.rooms.snapshot())), 0);
            }
            self.after(100..500, Event::Enter(peer, life));
        }
    }

    pub(crate) fn rooms_of(&self, peer: PeerIndex) -> Vec<commons::snapshot::RoomSnapshot> {
        let is_member = self.rooms.members().contains_key(&self.stations[peer].name);
        is_member.then(|| self.rooms.snapshot()).into_iter().collect()
    }

    /// Connects a user to the tracker.
    fn sign_in(&mut self, peer: PeerIndex) {
        let (call, name) = (self.number(), self.stations[peer].name.clone());
        self.stations[peer].call = Some((call, self.now));
        let update = self.rooms.presence(ChangeKind::Online, &name);
        self.push(peer, update);
    }

    /// Sends an update to all current members except the user who caused it.
    fn push(&mut self, doer: PeerIndex, update: Option<RoomUpdate>) {
        self.push_to(|peer| peer != doer, update);
    }

    /// Sends an update to these current members.
    pub(crate) fn push_to(&mut self, is_told: impl Fn(PeerIndex) -> bool, update: Option<RoomUpdate>) {
        let Some(update) = update else { return };
        for peer in (0..self.stations.len()).filter(|peer| is_told(*peer)) {
            if self.rooms.members().contains_key(&self.stations[peer].name) {
                self.word(peer, TrackerOutput::Update(update.clone()), self.push_delay);
            }
        }
    }

    /// Sends a message of the tracker to a user, with a further delay.
    pub(crate) fn word(&mut self, at: PeerIndex, mut word: TrackerOutput, delay: u64) {
        self.deceive(at, &mut word);
        self.send_word(at, word, delay);
    }

    fn send_word(&mut self, at: PeerIndex, word: TrackerOutput, delay: u64) {
        let delay = self.delay() + delay;
        let Some((call, busy)) = &mut self.stations[at].call else { return };
        *busy = (self.now + delay).max(*busy);
        let (call, time) = (*call, *busy);
        self.at(time, Event::Told { at, call, word: Box::new(word) });
    }

    /// Returns the number of a user's connection to the tracker.
    pub(crate) fn call_of(&self, peer: PeerIndex) -> Option<u64> {
        self.stations[peer].call.map(|(call, _)| call)
    }

    /// Returns whether a user runs a program that is connected to the tracker.
    pub(crate) fn reaches_tracker(&self, peer: PeerIndex) -> bool {
        let station = &self.stations[peer];
        station.call.is_some() && station.side == self.tracker_side && station.program.is_some()
    }

    fn call(&mut self, peer: PeerIndex) {
        self.after(500..2000, Event::Call(peer));
        let station = &self.stations[peer];
        let reaches = station.side == self.tracker_side && station.program.is_some();
        let name = station.name.clone();
        match (reaches, station.call) {
            (true, None) => {
                self.sign_in(peer);
                let rooms = self.rooms_at_sign_in(peer);
                self.send_word(peer, TrackerOutput::SignedIn(rooms), 0);
                if self.setting.policy.is_some() {
                    let life = self.stations[peer].life;
                    self.after(100..500, Event::Enter(peer, life));
                }
            }
            (false, Some(_)) => {
                self.stations[peer].call = None;
                self.with(peer, |program, now, log| {
                    program.input(Input::TrackerLost(TrackerLoss::Closed), now, log)
                });
                let update = self.rooms.presence(ChangeKind::Offline, &name);
                self.push(peer, update);
            }
            _ => {}
        }
    }

    fn dial(&mut self, a: PeerIndex, b: PeerIndex) {
        self.after(if self.is_calm { 50..200 } else { 100..900 }, Event::Dial(a, b));
        let (one, other) = (&self.stations[a], &self.stations[b]);
        let (Some(mine), Some(theirs)) = (&one.program, &other.program) else { return };
        let wanted = mine.wants(&other.name) || theirs.wants(&one.name);
        let known =
            mine.link(&other.name).zip(theirs.link(&one.name)).filter(|(mine, theirs)| mine == theirs);
        let up = self.links.iter().find(|(_, link)| link.ends == [a, b]).map(|(link, _)| *link);
        match (wanted && one.side == other.side, up) {
            (true, None) if known.is_none() => {
                let link = self.number();
                let times = [self.now + self.delay(), self.now + self.delay()];
                self.links.insert(link, Link { ends: [a, b], busy: times });
                self.at(times[0], Event::Up { at: a, with: b, link });
                self.at(times[1], Event::Up { at: b, with: a, link });
            }
            (false, Some(link)) => self.break_link(link),
            _ => {}
        }
    }

    /// Breaks a link. Its frames are lost, and both sides notice it later.
    fn break_link(&mut self, link: u64) {
        let Some(Link { ends: [a, b], .. }) = self.links.remove(&link) else { return };
        self.after(1..4000, Event::Down { at: a, with: b, link });
        self.after(1..4000, Event::Down { at: b, with: a, link });
    }

    /// Lets another link of the same two users take over. Packets that are under way on the old one still arrive.
    fn replace_link(&mut self) {
        let links: Vec<_> = self.links.iter().map(|(link, it)| (*link, it.ends)).collect();
        let Some((_, ends)) = self.rng.choice(links) else { return };
        self.replace_link_of(ends);
    }

    /// Lets another link of these two users take over, if they have one.
    pub(crate) fn replace_link_of(&mut self, [a, b]: [PeerIndex; 2]) {
        let old = self.links.iter().rfind(|(_, link)| link.ends == [a, b]).map(|(link, _)| *link);
        let Some(old) = old else { return };
        let link = self.number();
        let times = [self.now + self.delay(), self.now + self.delay()];
        self.links.insert(link, Link { ends: [a, b], busy: times });
        self.at(times[0], Event::Up { at: a, with: b, link });
        self.at(times[1], Event::Up { at: b, with: a, link });
        self.after(3000..4000, Event::Retire(old));
    }

    /// Assigns each user to one side of a partition.
    pub(crate) fn part(&mut self, mut side: impl FnMut(&mut Rng) -> bool, tracker: bool) {
        self.tracker_side = tracker;
        for station in &mut self.stations {
            station.side = side(&mut self.rng);
        }
        let broken = |link: &Link| self.stations[link.ends[0]].side != self.stations[link.ends[1]].side;
        let broken: Vec<_> =
            self.links.iter().filter(|(_, link)| broken(link)).map(|(link, _)| *link).collect();
        broken.into_iter().for_each(|link| self.break_link(link));
    }

    /// Lets a program crash. It starts again later.
    fn crash(&mut self, peer: PeerIndex) {
        self.stop(peer);
        self.after(1..6000, Event::Start(peer));
    }

    /// Ends a program at once. Only its disk remains.
    pub(crate) fn stop(&mut self, peer: PeerIndex) {
        let links: Vec<_> = self.links.iter().filter(|(_, link)| link.ends.contains(&peer)).collect();
        let links: Vec<_> = links.into_iter().map(|(link, _)| *link).collect();
        links.into_iter().for_each(|link| self.break_link(link));
        let station = &mut self.stations[peer];
        let Some(program) = station.program.take() else { return };
        let (history, pins, blocked) = program.crash(&mut station.log);
        let db = history.tables.db;
        if !db.is_autocommit() {
            db.execute_batch("ROLLBACK").unwrap();
        }
        let (mut history, opened) = HistoryDb::over(db, None, &author(station.name.as_str())).unwrap();
        history.tables.omission = self.omitted.and_then(Omitted::of_history);
        station.disk = Some(Disk { history, opened, pins, blocked });
    }

    /// Lets something random happen to a random user.
    fn fate(&mut self) {
        let peer = self.any();
        match self.rng.u8(..100) {
            0..50 => self.say(peer),
            50..60 => {
                let links: Vec<_> = self.links.keys().copied().collect();
                self.rng.choice(links).into_iter().for_each(|link| self.break_link(link));
            }
            60..64 => {
                let (tracker, all) = (self.rng.bool(), self.rng.u8(..) < 40);
                self.part(|rng| rng.bool(), tracker);
                if all {
                    self.links
                        .keys()
                        .copied()
                        .collect::<Vec<_>>()
                        .into_iter()
                        .for_each(|link| self.break_link(link));
                }
                self.after(500..12_000, Event::Heal);
            }
            64..72 => self.crash(peer),
            72..80 if self.setting.policy.is_some() => self.govern(peer),
            90..93 if self.setting.policy.is_some() => self.tell_a_lie(),
            72..80 => self.join_or_leave(peer),
            80..90 => self.forge(peer),
            90..93 => self.change_key(peer),
            93..96 => self.accept(peer),
            96..98 => self.replace_link(),
            98..100 => self.ask(peer),
            _ => {}
        }
    }

    fn say(&mut self, peer: PeerIndex) {
        let other = self.any();
        let to = if other != peer && self.rng.u8(..) < 40 {
            Conversation::Private(self.stations[other].name.clone())
        } else {
            Conversation::Room(self.rooms.name())
        };
        for _ in 0..self.rng.u8(1..5) {
            let (id, text) = (Uuid::from_u128(self.rng.u128(..)), format!("line {}", self.number()));
            let ticket = Ticket(self.number());
            let command = EngineCommand::Say { to: to.clone(), text, id };
            self.with(peer, |program, now, log| program.command(ticket, command, now, log));
        }
    }

    pub(crate) fn join_or_leave(&mut self, peer: PeerIndex) {
        if !self.reaches_tracker(peer) {
            return;
        }
        let name = self.stations[peer].name.clone();
        if self.rooms.state().is_some() {
            let is_member = self.rooms.members().contains_key(&name);
            if !is_member && self.now > TROUBLE + PEACE {
                self.invite(&name);
            }
            return self.change(peer, if is_member { RoomIntent::Leave } else { RoomIntent::Join });
        }
        let Some(update) = self.rooms.join_or_leave(&name) else { return };
        let room = self.rooms.snapshot();
        let word =
            if room.has_member(&name) { TrackerOutput::Entered(room) } else { TrackerOutput::Left(room) };
        self.word(peer, word, 0);
        self.push(peer, Some(update));
    }

    /// Lets a user give a command after messages.
    fn ask(&mut self, peer: PeerIndex) {
        self.say(peer);
        let (ticket, conversation) = (Ticket(self.number()), Conversation::Room(self.rooms.name()));
        let command = EngineCommand::Users(conversation);
        self.with(peer, |program, now, log| program.command(ticket, command, now, log));
    }

    /// Lets a malicious program alter messages of others, or send and request messages without a membership.
    fn forge(&mut self, peer: PeerIndex) {
        let name = self.stations[peer].name.clone();
        let captured = self.captured.get(self.rng.usize(..16)).cloned();
        let is_member = self.rooms.members().contains_key(&name);
        let number = self.rng.u64(1..);
        let packets = if is_member {
            captured.and_then(|packet| forgery::altered(&packet, &name)).into_iter().collect()
        } else {
            let spans = captured.map_or_else(Vec::new, |packet| forgery::streams(&packet));
            let room_id = Some(self.rooms.id());
            let mut packets = vec![Packet::Want(room_id, spans)];
            // A former member could claim that a message is from the time of its membership, so this case is left
            // out.
            if !self.rooms.was_ever_member(&name) {
                let messages = vec![forgery::message(&name, self.rooms.id(), self.rooms.position(), number)];
                packets.push(Packet::Lines { room_id, messages, late: number.is_multiple_of(2) });
            }
            packets
        };
        let others: Vec<_> =
            self.stations.iter().map(|other| other.name.clone()).filter(|other| *other != name).collect();
        self.with(peer, |program, _, _| {
            for packet in packets {
                others.iter().for_each(|other| {
                    program.forge(other, packet.clone());
                });
            }
        });
    }

    /// Lets the tracker announce a further key of a user, whom the others must accept anew.
    fn change_key(&mut self, peer: PeerIndex) {
        let name = self.stations[peer].name.clone();
        if self.is_peace() || !self.rooms.announce_another_key(&name) {
            return;
        }
        let update = self.rooms.presence(ChangeKind::Online, &name);
        self.push(peer, update);
    }

    /// Lets a user accept all changed keys, enter the room again, and look at it if the tracker has shown two states. A user who
    /// is out of the room can look only after entering it, which may be while the stage is set.
    fn accept(&mut self, peer: PeerIndex) {
        let (life, room) = (self.stations[peer].life, self.rooms.name());
        if self.is_peace() && self.now < TROUBLE + PEACE {
            // A lie may have kept the user out.
            self.enter_again(peer);
        }
        let is_split = self.stations[peer].log.is_warned(life, "SPLIT_VIEW");
        if is_split && self.now < TROUBLE + PEACE + SETTING {
            let ticket = Ticket(self.number());
            self.with(peer, |program, now, log| {
                program.command(ticket, EngineCommand::DescribeRoom(room), now, log);
            });
        }
        for other in self.stations.iter().map(|station| station.name.clone()).collect::<Vec<_>>() {
            let ticket = Ticket(self.number());
            self.with(peer, |program, now, log| {
                if program.engine.keys.is_changed(&other) {
                    program.command(ticket, EngineCommand::Accept(other), now, log);
                }
            });
        }
        if self.is_peace() {
            self.after(500..1500, Event::Accept(peer));
        }
    }

    /// Ends the trouble: the network heals and all programs start.
    fn make_peace(&mut self) {
        self.part(|_| false, false);
        for peer in 0..self.stations.len() {
            self.after(1..2000, Event::Start(peer));
            self.after(500..1500, Event::Accept(peer));
        }
    }
}
