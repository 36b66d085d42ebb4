//! A small world of peers, their tracker and the network, which follows entirely from one seed.
//!
//! Simulated time advances from event to event. Links close and lose their frames, the network is partitioned and
//! heals, and programs crash and restart with their databases. Users join, leave and write, and some send forged
//! frames.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use chrono::DateTime;
use commons::names::Username;
use commons::protocol::provenance::Incarnation;
use commons::snapshot::ChangeKind;
use fastrand::Rng;
use tokio::time::Instant;
use uuid::Uuid;

use crate::api::conversation::Conversation;
use crate::history::history_db::{HistoryDb, Opened, Place};
use crate::history::tables::Omission;
use crate::history::testing::{author, user};
use crate::limits::{CATCH_UP_TICK, LAST_RECEIPTS};
use crate::simulation::forgery;
use crate::simulation::log::Log;
use crate::simulation::program::{Frame, Program, Sent, Word};
use crate::simulation::rooms::Rooms;

const NAMES: [&str; 5] = ["ana", "bob", "carla", "dora", "eva"];

/// The duration of the trouble and of the quiet period after it, in simulated milliseconds.
const TROUBLE: u64 = 40_000;
const PEACE: u64 = 40_000;

/// The index of a user in `NAMES`.
type Who = usize;

/// A scheduled event of the world.
#[derive(Debug)]
enum Event {
    /// A random user acts, or something fails.
    Fate,
    /// The partition of the network heals.
    Heal,
    Start(Who),
    /// Two users open or close their link if necessary.
    Dial(Who, Who),
    Up {
        at: Who,
        with: Who,
        link: u64,
    },
    Down {
        at: Who,
        with: Who,
        link: u64,
    },
    Arrive {
        at: Who,
        from: Who,
        link: u64,
        frame: Box<Frame>,
    },
    /// A user checks the connection to the tracker.
    Call(Who),
    Told {
        at: Who,
        call: u64,
        word: Box<Word>,
    },
    /// The history works, its reports are received, or the sync ticks. Each belongs to one run of the program.
    Work(Who, u32),
    Hear(Who, u32),
    Tick(Who, u32),
    GiveUp(Who, u32, Uuid),
}

/// A peer with its device and its user.
pub(crate) struct Station {
    pub(crate) name: Username,
    pub(crate) program: Option<Program>,
    /// The history while the program does not run.
    pub(crate) disk: Option<(HistoryDb, Opened)>,
    pub(crate) log: Log,
    life: u32,
    side: bool,
    /// The number of the tracker connection, and the time until which messages on it are under way.
    call: Option<(u64, u64)>,
    works: bool,
    hears: bool,
}

struct Link {
    ends: [Who; 2],
    /// The time until which frames are under way, by receiver.
    busy: [u64; 2],
}

pub(crate) struct World {
    rng: Rng,
    start: Instant,
    now: u64,
    events: BTreeMap<(u64, u64), Event>,
    numbers: u64,
    pub(crate) stations: Vec<Station>,
    pub(crate) rooms: Rooms,
    tracker_side: bool,
    links: BTreeMap<u64, Link>,
    /// Frames that an attacker has recorded, at most 17.
    captured: VecDeque<Frame>,
    omission: Option<Omission>,
    /// The events that happened, to find the cause of a failure.
    pub(crate) trace: Vec<String>,
}

impl World {
    /// Creates a world. Every history omits the given check.
    pub(crate) fn new(seed: u64, omission: Option<Omission>) -> Self {
        let mut rng = Rng::with_seed(seed);
        let count = rng.usize(3..=NAMES.len());
        let stations = NAMES[..count].iter().map(|name| {
            let (mut ledger, opened) = HistoryDb::open(&Place::Memory, &author(name)).unwrap();
            ledger.tables.omission = omission;
            // A random incarnation would differ in each replay.
            ledger.tables.meta.incarnation = Incarnation(rng.u64(..));
            ledger.tables.meta.write(&ledger.tables.db).unwrap();
            Station {
                name: user(name),
                program: None,
                disk: Some((ledger, opened)),
                log: Log::default(),
                life: 0,
                side: false,
                call: None,
                works: false,
                hears: false,
            }
        });
        let mut world = Self {
            start: Instant::now(),
            now: 0,
            events: BTreeMap::new(),
            numbers: 0,
            stations: stations.collect(),
            rooms: Rooms::new(&user(NAMES[0])),
            tracker_side: false,
            links: BTreeMap::new(),
            captured: VecDeque::new(),
            omission,
            trace: Vec::new(),
            rng,
        };
        for (who, name) in NAMES.iter().enumerate().take(count) {
            if (1..3).contains(&who) {
                world.rooms.join_or_leave(&user(name));
            }
            world.at(0, Event::Start(who));
            world.at(0, Event::Call(who));
            (0..who).for_each(|other| world.at(0, Event::Dial(other, who)));
        }
        world.at(100, Event::Fate);
        world
    }

    /// Runs all events until the quiet period is over.
    pub(crate) fn run(&mut self) {
        while let Some(((time, _), event)) = self.events.pop_first() {
            if time > TROUBLE + PEACE {
                return;
            }
            self.now = time;
            self.trace.push(format!("{time:6} {event:?}"));
            self.happen(event);
        }
    }

    fn is_peace(&self) -> bool {
        self.now >= TROUBLE
    }

    fn instant(&self) -> Instant {
        self.start + Duration::from_millis(self.now)
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    fn at(&mut self, time: u64, event: Event) {
        let number = self.number();
        self.events.insert((time, number), event);
    }

    fn after(&mut self, wait: std::ops::Range<u64>, event: Event) {
        let time = self.now + self.rng.u64(wait);
        self.at(time, event);
    }

    fn who(&self, name: &Username) -> Who {
        self.stations.iter().position(|station| station.name == *name).unwrap()
    }

    fn any(&mut self) -> Who {
        self.rng.usize(..self.stations.len())
    }

    /// Returns a delay in milliseconds, usually short and sometimes long.
    fn delay(&mut self) -> u64 {
        if self.rng.u8(..) < 12 { self.rng.u64(200..2500) } else { self.rng.u64(1..40) }
    }

    fn happen(&mut self, event: Event) {
        let now = self.instant();
        match event {
            Event::Fate if self.is_peace() => self.make_peace(),
            Event::Fate => {
                self.fate();
                self.after(20..300, Event::Fate);
            }
            Event::Heal => self.part(|_| false, false),
            Event::Start(who) => self.start_program(who),
            Event::Dial(a, b) => self.dial(a, b),
            Event::Up { at, with, link } => {
                let name = self.stations[with].name.clone();
                if self.links.contains_key(&link) {
                    self.with(at, |program, _| program.link_up(&name, link, now));
                }
            }
            Event::Down { at, with, link } => {
                let name = self.stations[with].name.clone();
                self.with(at, |program, _| program.link_down(&name, link));
            }
            Event::Arrive { at, from, link, frame } => self.arrive(at, from, link, *frame),
            Event::Call(who) => self.call(who),
            Event::Told { at, call, word } => {
                if self.stations[at].call.is_some_and(|(present, _)| present == call) {
                    self.with(at, |program, _| program.tracker_says(*word, now));
                }
            }
            Event::Work(who, life) if self.stations[who].life == life => {
                let tasks = self.rng.usize(1..12);
                self.stations[who].works = false;
                self.with(who, |program, _| program.work(tasks));
            }
            Event::Hear(who, life) if self.stations[who].life == life => {
                let reports = self.rng.usize(1..6);
                self.stations[who].hears = false;
                self.with(who, |program, log| program.on_history_reports(reports, log));
            }
            Event::Tick(who, life) if self.stations[who].life == life => {
                self.with(who, |program, _| program.poll_presence(now));
                self.at(self.now + CATCH_UP_TICK.as_millis() as u64, Event::Tick(who, life));
            }
            Event::GiveUp(who, life, room) if self.stations[who].life == life => {
                self.with(who, |program, _| program.give_up(room));
            }
            // These events belong to a run that has crashed.
            Event::Work(..) | Event::Hear(..) | Event::Tick(..) | Event::GiveUp(..) => {}
        }
    }

    /// Lets a running program act, and schedules the consequences.
    fn with(&mut self, who: Who, act: impl FnOnce(&mut Program, &mut Log)) {
        let station = &mut self.stations[who];
        let Some(program) = &mut station.program else { return };
        act(program, &mut station.log);
        let life = station.life;
        let sent = std::mem::take(&mut program.sent);
        let giving_up = std::mem::take(&mut program.giving_up);
        let works = program.has_tasks() && !std::mem::replace(&mut station.works, program.has_tasks());
        let hears = program.has_reports() && !std::mem::replace(&mut station.hears, program.has_reports());
        sent.into_iter().for_each(|sent| self.carry(who, sent));
        for room in giving_up {
            self.at(self.now + LAST_RECEIPTS.as_millis() as u64, Event::GiveUp(who, life, room));
        }
        if works {
            self.after(1..30, Event::Work(who, life));
        }
        if hears {
            self.after(1..20, Event::Hear(who, life));
        }
    }

    fn carry(&mut self, from: Who, Sent { to, link, frame }: Sent) {
        let (at, delay) = (self.who(&to), self.delay());
        let time = match self.links.get_mut(&link) {
            // The link is broken, but the sender has not noticed it yet.
            None => return,
            Some(Link { ends, busy }) => {
                let busy = &mut busy[usize::from(ends[1] == at)];
                *busy = (self.now + delay).max(*busy);
                *busy
            }
        };
        if matches!(&frame, Frame::Lines { room_id: Some(_), lines, .. } if !lines.is_empty()) {
            self.captured.truncate(16);
            self.captured.push_front(frame.clone());
        }
        self.at(time, Event::Arrive { at, from, link, frame: Box::new(frame) });
    }

    fn arrive(&mut self, at: Who, from: Who, link: u64, frame: Frame) {
        let names = [at, from].map(|who| self.stations[who].name.clone());
        if !self.links.contains_key(&link) {
            return;
        }
        let now = self.instant();
        self.with(from, |program, _| program.carried(&names[0], link));
        self.with(at, |program, _| {
            if program.link(&names[1]) == Some(link) {
                program.ingest(&names[1], frame, now);
            }
        });
    }

    fn start_program(&mut self, who: Who) {
        let station = &mut self.stations[who];
        if station.side != self.tracker_side {
            return self.after(100..1000, Event::Start(who));
        }
        let Some(disk) = station.disk.take() else { return };
        station.life += 1;
        (station.works, station.hears) = (false, false);
        let (life, name) = (station.life, station.name.clone());
        self.sign_in(who);
        let rooms = self.rooms_of(who);
        let now = self.instant();
        let station = &mut self.stations[who];
        station.program = Some(Program::start(disk, &name, life, rooms, &mut station.log, now));
        self.with(who, |_, _| ());
        self.after(1..1000, Event::Tick(who, life));
    }

    fn rooms_of(&self, who: Who) -> Vec<commons::snapshot::RoomSnapshot> {
        let seated = self.rooms.seats().contains_key(&self.stations[who].name);
        seated.then(|| self.rooms.snapshot()).into_iter().collect()
    }

    /// Connects a user to the tracker.
    fn sign_in(&mut self, who: Who) {
        let (call, name) = (self.number(), self.stations[who].name.clone());
        self.stations[who].call = Some((call, self.now));
        let update = self.rooms.presence(ChangeKind::Online, &name);
        self.push(who, update);
    }

    /// Sends an update to all current members except the user who caused it.
    fn push(&mut self, doer: Who, update: Option<commons::protocol::with_tracker::RoomUpdate>) {
        let Some(update) = update else { return };
        for who in (0..self.stations.len()).filter(|who| *who != doer) {
            if self.rooms.seats().contains_key(&self.stations[who].name) {
                self.word(who, Word::Update(update.clone()));
            }
        }
    }

    fn word(&mut self, at: Who, word: Word) {
        let delay = self.delay();
        let Some((call, busy)) = &mut self.stations[at].call else { return };
        *busy = (self.now + delay).max(*busy);
        let (call, time) = (*call, *busy);
        self.at(time, Event::Told { at, call, word: Box::new(word) });
    }

    fn call(&mut self, who: Who) {
        self.after(500..2000, Event::Call(who));
        let station = &self.stations[who];
        let reaches = station.side == self.tracker_side && station.program.is_some();
        let name = station.name.clone();
        match (reaches, station.call) {
            (true, None) => {
                self.sign_in(who);
                self.word(who, Word::SignedIn(self.rooms_of(who)));
            }
            (false, Some(_)) => {
                self.stations[who].call = None;
                self.with(who, |program, _| program.tracker_is_lost());
                let update = self.rooms.presence(ChangeKind::Offline, &name);
                self.push(who, update);
            }
            _ => {}
        }
    }

    fn dial(&mut self, a: Who, b: Who) {
        self.after(100..900, Event::Dial(a, b));
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

    /// Assigns each user to one side of a partition.
    fn part(&mut self, mut side: impl FnMut(&mut Rng) -> bool, tracker: bool) {
        self.tracker_side = tracker;
        for station in &mut self.stations {
            station.side = side(&mut self.rng);
        }
        let broken = |link: &Link| self.stations[link.ends[0]].side != self.stations[link.ends[1]].side;
        let broken: Vec<_> =
            self.links.iter().filter(|(_, link)| broken(link)).map(|(link, _)| *link).collect();
        broken.into_iter().for_each(|link| self.break_link(link));
    }

    fn crash(&mut self, who: Who) {
        let links: Vec<_> = self.links.iter().filter(|(_, link)| link.ends.contains(&who)).collect();
        let links: Vec<_> = links.into_iter().map(|(link, _)| *link).collect();
        links.into_iter().for_each(|link| self.break_link(link));
        let station = &mut self.stations[who];
        let Some(program) = station.program.take() else { return };
        let db = program.crash(&mut station.log).tables.db;
        if !db.is_autocommit() {
            db.execute_batch("ROLLBACK").unwrap();
        }
        let (mut ledger, opened) = HistoryDb::over(db, None, &author(station.name.as_str())).unwrap();
        ledger.tables.omission = self.omission;
        station.disk = Some((ledger, opened));
        self.after(1..6000, Event::Start(who));
    }

    /// Lets something random happen to a random user.
    fn fate(&mut self) {
        let who = self.any();
        match self.rng.u8(..100) {
            0..50 => self.say(who),
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
            64..72 => self.crash(who),
            72..80 => self.join_or_leave(who),
            80..90 => self.forge(who),
            _ => {}
        }
    }

    fn say(&mut self, who: Who) {
        let other = self.any();
        let to = if other != who && self.rng.u8(..) < 40 {
            Conversation::Private(self.stations[other].name.clone())
        } else {
            Conversation::Room(self.rooms.name())
        };
        for _ in 0..self.rng.u8(1..5) {
            let (id, text) = (Uuid::from_u128(self.rng.u128(..)), format!("line {}", self.number()));
            // The clocks of users are unreliable.
            let sent_at = DateTime::from_timestamp_millis(self.rng.i64(0..4_000_000_000_000)).unwrap();
            self.with(who, |program, _| program.say(&to, text, id, sent_at));
        }
    }

    fn join_or_leave(&mut self, who: Who) {
        let station = &self.stations[who];
        if station.call.is_none() || station.side != self.tracker_side || station.program.is_none() {
            return;
        }
        let name = station.name.clone();
        let Some(update) = self.rooms.join_or_leave(&name) else { return };
        let room = self.rooms.snapshot();
        let word = if room.has_member(&name) { Word::Entered(room) } else { Word::Left(room) };
        self.word(who, word);
        self.push(who, Some(update));
    }

    /// Lets a malicious program alter messages of others, or send and request messages without a membership.
    fn forge(&mut self, who: Who) {
        let name = self.stations[who].name.clone();
        let captured = self.captured.get(self.rng.usize(..16)).cloned();
        let seated = self.rooms.seats().contains_key(&name);
        let number = self.rng.u64(1..);
        let frames = if seated {
            captured.and_then(|frame| forgery::altered(&frame, &name)).into_iter().collect()
        } else {
            let spans = captured.map_or_else(Vec::new, |frame| forgery::streams(&frame));
            let room_id = Some(self.rooms.id());
            let mut frames = vec![Frame::Want(room_id, spans)];
            // A former member could claim that a message is from the time of its membership, so this case is left
            // out.
            if !self.rooms.ever_sat(&name) {
                let lines = vec![forgery::line(&name, self.rooms.revision(), number)];
                frames.push(Frame::Lines { room_id, lines, late: number.is_multiple_of(2) });
            }
            frames
        };
        let others: Vec<_> =
            self.stations.iter().map(|other| other.name.clone()).filter(|other| *other != name).collect();
        self.with(who, |program, _| {
            for frame in frames {
                others.iter().for_each(|other| {
                    program.send(other, frame.clone());
                });
            }
        });
    }

    /// Ends the trouble: the network heals and all programs start.
    fn make_peace(&mut self) {
        self.part(|_| false, false);
        (0..self.stations.len()).for_each(|who| self.after(1..2000, Event::Start(who)));
    }
}
