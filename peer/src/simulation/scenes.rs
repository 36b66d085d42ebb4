//! Scenes: situations without failures, in which a promise must be kept to the letter.
//!
//! In the trouble before, the sync repairs most of what a broken rule spoils. A scene therefore looks at one promise
//! alone. For example, an author goes away for good before a friend returns, so that only others can deliver.

use std::collections::BTreeSet;

use commons::digest::Digest;
use commons::names::Username;
use commons::protocol::provenance::StreamSpans;
use commons::snapshot::ChangeKind;
use uuid::Uuid;

use crate::api::conversation::Conversation;
use crate::engine::engine_command::EngineCommand;
use crate::engine::input::{Input, Ticket};
use crate::engine::room_intent::RoomIntent;
use crate::history::testing::user;
use crate::simulation::forgery;
use crate::simulation::log::Shown;
use crate::simulation::setting::Setting;
use crate::simulation::tracker_message::TrackerOutput;
use crate::simulation::world::{Event, PeerIndex, World};

/// The cast: two members who stay, and one whose place changes.
pub(crate) const ANA: PeerIndex = 0;
pub(crate) const BOB: PeerIndex = 1;
pub(crate) const CARLA: PeerIndex = 2;

/// The time to set the stage, and the time after the last step, in simulated milliseconds.
pub(crate) const SETTING: u64 = 10_000;

/// The time within which the members of a room with a log set the stage, in simulated milliseconds.
const SETTLED: u64 = 8_000;

const EPILOGUE: u64 = 12_000;

/// Lookups of one user that a tracker grants within a few seconds.
const LOOKUPS: usize = 10;

/// The longest wait of a user who quits, in simulated milliseconds.
const QUIT: u64 = 5_500;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scene {
    /// All messages of an absence are announced at once, before the first of them.
    Absence,
    /// The first message of a newcomer is the last one of the history.
    Newcomer,
    /// The message of a newcomer arrives before the tracker confirms the membership, and is shown as a new one.
    EarlyMessage,
    /// Any member can deliver, also while the author is away.
    AuthorAway,
    /// A user who quits waits for the messages that are on their way.
    Quit,
    /// A user who quits waits for a bounded time, and a slow member delays no other.
    StuckMember,
    /// Private messages of a blocked user are not shown, also after a restart.
    Blocked,
    /// A link that takes over loses, delays and repeats nothing.
    LinkReplaced,
    /// Many messages to an absent friend do not use up the tracker's patience.
    AbsentFriend,
    /// The chat starts without the tracker. Only users whom nobody knows wait for it.
    OfflineStart,
    /// An older snapshot of a room does not undo a newer one.
    StaleSnapshot,
    /// A member who was away as a former member gets nothing of that time.
    Rejoin,
    /// A deleted room does not come back.
    RoomDeleted,
    /// A recipient that crashes again and again is shown each message.
    Crashes,
    /// A message to a legacy client is not called delivered, and is not sent while it would be dropped.
    Legacy,
    /// A user whom only the tracker lists gets nothing.
    Ghost,
    /// The tracker cannot move the time of joining back.
    MovedSince,
    /// A member whom the tracker leaves out gets every message.
    HiddenMember,
    /// A key that only the tracker names gets nothing.
    AnotherKey,
    /// An older state at a restart brings no removed member back.
    Rollback,
    /// An entry that nobody has signed changes nothing.
    ForgedEntry,
    /// An entry of another room changes nothing.
    ForeignEntry,
    /// A withheld entry harms no message of those who know it.
    WithheldEntry,
    /// Nothing is written after a split view before the user has looked at the room.
    SplitHead,
    /// Two members are shown two logs.
    Fork,
    /// A room that the tracker takes away and shows again is the same one.
    Revival,
    /// A removed member signs for an epoch of the own membership.
    RemovedSigner,
    /// Messages that a member hands on to a removed one are not shown there.
    HandedOn,
    /// Messages of another room are refused.
    ForeignLines,
}

impl Scene {
    /// The scenes that need a room with a log.
    const WITH_LOG: [Self; 14] = [
        Self::Ghost,
        Self::MovedSince,
        Self::HiddenMember,
        Self::AnotherKey,
        Self::Rollback,
        Self::ForgedEntry,
        Self::ForeignEntry,
        Self::WithheldEntry,
        Self::SplitHead,
        Self::Fork,
        Self::Revival,
        Self::RemovedSigner,
        Self::HandedOn,
        Self::ForeignLines,
    ];

    /// The scenes of every room but the last, which needs a room without a log.
    const ALL: [Self; 15] = [
        Self::Absence,
        Self::Newcomer,
        Self::EarlyMessage,
        Self::AuthorAway,
        Self::Quit,
        Self::StuckMember,
        Self::Blocked,
        Self::LinkReplaced,
        Self::AbsentFriend,
        Self::OfflineStart,
        Self::StaleSnapshot,
        Self::Rejoin,
        Self::RoomDeleted,
        Self::Crashes,
        Self::Legacy,
    ];

    /// Returns the scene that follows the trouble of a seed.
    pub(crate) fn of(seed: u64, setting: Setting) -> Self {
        let scene = |scenes: &[Self]| scenes[(seed % scenes.len() as u64) as usize];
        let without_legacy = &Self::ALL[..Self::ALL.len() - 1];
        match setting.policy {
            None => scene(&Self::ALL),
            Some(_) => scene(&[&Self::WITH_LOG, without_legacy].concat()),
        }
    }
}

/// The notes of a scene between its steps.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    pub(crate) ids: Vec<Uuid>,
    pub(crate) tickets: Vec<Ticket>,
    since: u64,
    /// A state of the room, as a message names it.
    pub(crate) position: (u64, Option<Digest>),
    stale: Option<TrackerOutput>,
}

impl World {
    /// Plays a step of the scene, and schedules the next one.
    pub(crate) fn play(&mut self, step: u32) {
        let wait = match (step, self.scene) {
            (0, _) => self.set_the_stage(),
            (_, Scene::Absence) => self.absence(step),
            (_, Scene::Newcomer) => self.newcomer(step),
            (_, Scene::EarlyMessage) => self.early_message(step),
            (_, Scene::AuthorAway) => self.author_away(step),
            (_, Scene::Quit | Scene::StuckMember) => self.quit(step),
            (_, Scene::Blocked) => self.blocked(step),
            (_, Scene::LinkReplaced) => self.link_replaced(step),
            (_, Scene::AbsentFriend) => self.absent_friend(step),
            (_, Scene::OfflineStart) => self.offline_start(step),
            (_, Scene::StaleSnapshot) => self.stale_snapshot(step),
            (_, Scene::Rejoin) => self.rejoin(step),
            (_, Scene::RoomDeleted) => self.room_deleted(step),
            (_, Scene::Crashes) => self.crashes(step),
            (_, Scene::Legacy) => self.legacy(step),
            _ => self.play_deception(step),
        };
        match wait {
            Some(wait) => self.at(self.now + wait, Event::Scene(step + 1)),
            None => self.end = self.now + EPILOGUE,
        }
    }

    /// Lets only the cast be in the room.
    fn set_the_stage(&mut self) -> Option<u64> {
        self.is_calm = true;
        if self.rooms.state().is_some() {
            self.settle(&[ANA, BOB, CARLA], self.now + SETTLED);
            return Some(SETTING);
        }
        let is_cast = |peer: PeerIndex| peer <= CARLA;
        for leaves in [true, false] {
            for peer in (0..self.stations.len()).filter(|peer| is_cast(*peer) != leaves) {
                if self.is_member(peer) == leaves {
                    self.join_or_leave(peer);
                }
            }
        }
        Some(SETTING)
    }

    fn is_member(&self, peer: PeerIndex) -> bool {
        self.rooms.members().contains_key(&self.stations[peer].name)
    }

    pub(crate) fn room(&self) -> Conversation {
        Conversation::Room(self.rooms.name())
    }

    fn private(&self, peer: PeerIndex) -> Conversation {
        Conversation::Private(self.stations[peer].name.clone())
    }

    pub(crate) fn order(&mut self, peer: PeerIndex, command: EngineCommand) -> Ticket {
        let ticket = Ticket(self.number());
        self.with(peer, |program, now, log| program.command(ticket, command, now, log));
        ticket
    }

    pub(crate) fn write(&mut self, peer: PeerIndex, to: &Conversation) {
        let (id, text) = (Uuid::from_u128(self.rng.u128(..)), format!("line {}", self.number()));
        self.notes.ids.push(id);
        let ticket = self.order(peer, EngineCommand::Say { to: to.clone(), text, id });
        self.notes.tickets.push(ticket);
    }

    pub(crate) fn expect(&mut self, peer: PeerIndex, holds: bool, broken: &str) {
        if !holds {
            let wrong = format!("{:?}: {broken}", self.scene);
            self.stations[peer].log.wrong.push(wrong);
        }
    }

    /// Returns the messages of this scene that a user saw in this run of the program.
    pub(crate) fn seen(&self, peer: PeerIndex) -> Vec<Shown> {
        let peer = &self.stations[peer];
        let is_of_scene = |shown: &&Shown| shown.life == peer.life && self.notes.ids.contains(&shown.id);
        peer.log.shown.iter().filter(is_of_scene).cloned().collect()
    }

    /// Checks that a user saw all messages of this scene.
    pub(crate) fn expect_all_seen(&mut self, peer: PeerIndex, broken: &str) {
        let others = self.notes.ids.len();
        let seen = self.seen(peer).len();
        self.expect(peer, seen == others, &format!("{broken}: {seen} of {others} messages came"));
    }

    /// Checks that a user saw all messages of this scene as new ones, without a gap.
    pub(crate) fn expect_all_new(&mut self, peer: PeerIndex, broken: &str) {
        self.expect_all_seen(peer, broken);
        // A gap before the first message may be from the time before the scene.
        let mut seen = self.seen(peer).into_iter().enumerate();
        let is_new = seen.all(|(at, shown)| !shown.late && (at == 0 || shown.missing == 0));
        self.expect(peer, is_new, &format!("{broken}: a message came late or after a gap"));
    }

    pub(crate) fn answer(&self, peer: PeerIndex, ticket: Ticket) -> Option<bool> {
        self.stations[peer].program.as_ref()?.answers.get(&ticket).copied()
    }

    pub(crate) fn start_now(&mut self, peer: PeerIndex) {
        self.at(self.now, Event::Start(peer));
    }

    fn absence(&mut self, step: u32) -> Option<u64> {
        match step {
            1 => self.stop(BOB),
            2..7 => [ANA, CARLA].into_iter().for_each(|peer| self.write(peer, &self.room())),
            7 => return Some(15_000),
            8 => {
                self.start_now(BOB);
                return Some(10_000);
            }
            _ => {
                self.expect_all_seen(BOB, "missed messages come");
                let seen = (self.stations[BOB].life, self.room());
                let missed = self.stations[BOB].log.missed.get(&seen).copied().unwrap_or_default();
                // Others may come from the time before the scene.
                let is_whole = missed.greatest >= self.notes.ids.len() as u64;
                self.expect(BOB, is_whole, &format!("not announced as one absence: {missed:?}"));
                return None;
            }
        }
        Some(500)
    }

    fn newcomer(&mut self, step: u32) -> Option<u64> {
        match step {
            1 => {
                self.join_or_leave(CARLA);
                return Some(2000);
            }
            2..7 => [ANA, BOB].into_iter().for_each(|peer| self.write(peer, &self.room())),
            7 => return Some(2000),
            8 => {
                self.join_or_leave(CARLA);
                // Joining a room with a log takes two requests, and another one if the log has two pages.
                return Some(if self.setting.policy.is_some() { 300 } else { 45 });
            }
            9 => {
                self.write(CARLA, &self.room());
                return Some(8000);
            }
            _ => {
                let (id, last) = (self.rooms.id(), self.notes.ids.last().copied());
                for peer in [ANA, BOB, CARLA] {
                    let order = self.stations[peer].program.as_mut().map(|program| program.order(id));
                    let is_last = order.is_some_and(|order| order.last().copied() == last);
                    self.expect(peer, is_last, "the newcomer's message is not the last one");
                }
                return None;
            }
        }
        Some(200)
    }

    fn early_message(&mut self, step: u32) -> Option<u64> {
        match step {
            1 => {
                self.join_or_leave(CARLA);
                Some(2000)
            }
            2 => {
                self.push_delay = 3000;
                self.join_or_leave(CARLA);
                Some(300)
            }
            3 => {
                self.write(CARLA, &self.room());
                Some(6000)
            }
            _ => {
                self.push_delay = 0;
                [ANA, BOB]
                    .into_iter()
                    .for_each(|peer| self.expect_all_new(peer, "before the membership was confirmed"));
                None
            }
        }
    }

    fn author_away(&mut self, step: u32) -> Option<u64> {
        match step {
            1 => self.stop(CARLA),
            2..7 => self.write(ANA, &self.room()),
            7 => return Some(3000),
            8 => self.stop(ANA),
            9 => {
                self.start_now(CARLA);
                return Some(8000);
            }
            _ => {
                self.expect_all_seen(CARLA, "a member delivers for the author");
                self.start_now(ANA);
                return None;
            }
        }
        Some(500)
    }

    fn quit(&mut self, step: u32) -> Option<u64> {
        let is_stuck = self.scene == Scene::StuckMember;
        match step {
            1 => {
                self.slow = Some((if is_stuck { CARLA } else { BOB }, if is_stuck { 8000 } else { 500 }));
                (0..4).for_each(|_| self.write(ANA, &self.room()));
                let ticket = self.wait_for(ANA, EngineCommand::WaitForTurn { is_by_user: true });
                (self.notes.since, self.notes.tickets) = (self.now, vec![ticket]);
            }
            2.. if self.now > self.notes.since + QUIT => {
                self.expect(ANA, false, "the user still waits");
                return None;
            }
            2.. => {
                let [.., ticket] = self.notes.tickets[..] else { return None };
                if self.answer(ANA, ticket).is_some() {
                    if self.notes.tickets.len() == 1 {
                        let stored = self.stations[ANA].log.sent.clone();
                        let is_stored = self.notes.ids.iter().all(|id| stored.contains(id));
                        self.expect(ANA, is_stored, "a message was not stored in the end");
                        let ticket = self.wait_for(ANA, EngineCommand::Drain(None));
                        self.notes.tickets.push(ticket);
                    } else {
                        self.stop(ANA);
                        self.expect_all_new(BOB, "sent before the end");
                        self.slow = None;
                        self.start_now(ANA);
                        return None;
                    }
                }
            }
            _ => return None,
        }
        Some(2)
    }

    fn wait_for(&mut self, peer: PeerIndex, command: EngineCommand) -> Ticket {
        let ticket = Ticket(self.number());
        self.with(peer, |program, now, log| program.input(Input::Command(ticket, command), now, log));
        ticket
    }

    fn blocked(&mut self, step: u32) -> Option<u64> {
        let ana = self.stations[ANA].name.clone();
        match step {
            1 => drop(self.order(BOB, EngineCommand::Block(ana))),
            2 => {
                (0..3).for_each(|_| self.write(ANA, &self.private(BOB)));
                return Some(4000);
            }
            3 => {
                self.stop(BOB);
                self.start_now(BOB);
                return Some(5000);
            }
            4 => {
                let seen =
                    self.stations[BOB].log.shown.iter().any(|shown| self.notes.ids.contains(&shown.id));
                self.expect(BOB, !seen, "a message of a blocked user was shown");
                self.order(BOB, EngineCommand::Unblock(ana));
                return Some(20_000);
            }
            _ => {
                self.expect_all_seen(BOB, "after the end of the block");
                return None;
            }
        }
        Some(500)
    }

    fn link_replaced(&mut self, step: u32) -> Option<u64> {
        match step {
            1..25 if step % 2 == 1 => {
                // The frames of the old link arrive among those of the new one, and there are more than a link holds.
                self.slow = Some((BOB, self.rng.u64(20..120)));
                (0..9).for_each(|_| self.write(ANA, &self.room()));
                Some(70)
            }
            1..25 => {
                self.slow = None;
                self.replace_link_of([ANA, BOB]);
                Some(self.rng.u64(100..300))
            }
            25 => Some(6000),
            _ => {
                self.expect_all_new(BOB, "over links that take over");
                None
            }
        }
    }

    fn absent_friend(&mut self, step: u32) -> Option<u64> {
        match step {
            1 => {
                self.stop(BOB);
                return Some(2500);
            }
            2..42 => {
                if step == 2 {
                    self.stations[ANA].lookups = 0;
                }
                self.write(ANA, &self.private(BOB));
            }
            42 => {
                let lookups = self.stations[ANA].lookups;
                self.expect(ANA, lookups <= LOOKUPS, &format!("{lookups} questions to the tracker"));
                self.start_now(BOB);
                return Some(10_000);
            }
            _ => {
                let accepted = self.notes.tickets.iter().all(|it| self.answer(ANA, *it) == Some(true));
                self.expect(ANA, accepted, "a message was not accepted");
                self.expect_all_seen(BOB, "after the return");
                return None;
            }
        }
        Some(150)
    }

    fn offline_start(&mut self, step: u32) -> Option<u64> {
        match step {
            1 => {
                self.part(|_| false, true);
                Some(3000)
            }
            2 => {
                self.stop(BOB);
                self.start_now(BOB);
                Some(9000)
            }
            3 => {
                self.write(BOB, &self.room());
                let say = |text: &str| EngineCommand::Say {
                    to: Conversation::Private(user("zoe")),
                    text: text.to_owned(),
                    id: Uuid::from_u128(1),
                };
                let ticket = self.order(BOB, say("Who are you?"));
                self.notes.tickets.push(ticket);
                Some(6000)
            }
            _ => {
                let answers: Vec<_> =
                    self.notes.tickets.iter().map(|ticket| self.answer(BOB, *ticket)).collect();
                let known = [Some(true), Some(false)];
                self.expect(BOB, answers == known, &format!("answers without the tracker: {answers:?}"));
                [ANA, CARLA].into_iter().for_each(|peer| self.expect_all_seen(peer, "without the tracker"));
                self.part(|_| false, false);
                None
            }
        }
    }

    fn stale_snapshot(&mut self, step: u32) -> Option<u64> {
        match step {
            1 => {
                let ana = self.stations[ANA].name.clone();
                let stale = self.rooms.presence(ChangeKind::Online, &ana);
                self.notes.stale = stale.map(TrackerOutput::Update);
                self.join_or_leave(CARLA);
                Some(2000)
            }
            2 => {
                self.stations[ANA].log.lies.insert(("LOG_OLDER", None));
                let stale = self.notes.stale.take();
                stale.into_iter().for_each(|word| self.word(ANA, word, 0));
                Some(500)
            }
            3 => {
                self.write(ANA, &self.room());
                let carla = self.stations[CARLA].name.clone();
                self.never = self.notes.ids.last().map(|id| (*id, carla));
                Some(5000)
            }
            _ => {
                self.expect_all_new(BOB, "after an older snapshot");
                None
            }
        }
    }

    fn rejoin(&mut self, step: u32) -> Option<u64> {
        match step {
            1 => self.join_or_leave(CARLA),
            2 => [ANA, BOB].into_iter().for_each(|peer| (0..3).for_each(|_| self.write(peer, &self.room()))),
            3 | 5 => self.want_all(CARLA),
            4 => self.join_or_leave(CARLA),
            _ => {
                let seen = !self.seen(CARLA).is_empty();
                self.expect(CARLA, !seen, "a message from a time without membership was shown");
                return None;
            }
        }
        Some(2500)
    }

    /// Lets a malicious program ask everybody for all messages of the room.
    pub(crate) fn want_all(&mut self, peer: PeerIndex) {
        let names: Vec<Username> = [ANA, BOB].map(|peer| self.stations[peer].name.clone()).into();
        let stream = |peer: PeerIndex| {
            let incarnation = self.stations[peer].program.as_ref()?.incarnation();
            let username = self.stations[peer].name.as_str().to_owned();
            Some(StreamSpans { username, incarnation, spans: vec![(1, 1000)] })
        };
        let streams: Vec<_> = [ANA, BOB].into_iter().filter_map(stream).collect();
        let want = forgery::want(self.rooms.id(), streams);
        self.with(peer, |program, _, _| names.iter().for_each(|name| program.forge(name, want.clone())));
    }

    fn room_deleted(&mut self, step: u32) -> Option<u64> {
        match step {
            1 => {
                let owner = self.peer(&self.rooms.owner());
                if self.setting.policy.is_some() {
                    self.change(owner, RoomIntent::Delete);
                } else {
                    let update = self.rooms.delete();
                    for peer in [ANA, BOB, CARLA] {
                        self.word(peer, TrackerOutput::Update(update.clone()), 0);
                    }
                }
                Some(12_000)
            }
            2 => {
                self.part(|_| false, true);
                Some(3000)
            }
            3 => {
                self.stop(BOB);
                self.start_now(BOB);
                Some(9000)
            }
            4 => {
                self.write(BOB, &self.room());
                Some(3000)
            }
            _ => {
                let answers: Vec<_> = self.notes.tickets.iter().map(|it| self.answer(BOB, *it)).collect();
                self.expect(BOB, answers == [Some(false)], "the deleted room is back");
                self.part(|_| false, false);
                None
            }
        }
    }

    fn crashes(&mut self, step: u32) -> Option<u64> {
        match step {
            1..60 if step % 2 == 1 => {
                self.write(ANA, &self.room());
                Some(self.rng.u64(20..120))
            }
            1..60 => {
                self.stop(BOB);
                self.start_now(BOB);
                Some(400)
            }
            60 => Some(EPILOGUE),
            _ => {
                let shown: BTreeSet<_> = self.stations[BOB].log.shown.iter().map(|shown| shown.id).collect();
                let all = self.notes.ids.iter().all(|id| shown.contains(id));
                self.expect(BOB, all, "a message was never shown");
                None
            }
        }
    }

    fn legacy(&mut self, step: u32) -> Option<u64> {
        let py = user("py");
        match step {
            1 => self.join_or_leave(CARLA),
            2 => {
                self.rooms.legacy = Some((py.clone(), false));
                let update = self.rooms.join_or_leave(&py);
                self.push_to(|_| true, update);
            }
            3 => {
                for peer in [ANA, BOB] {
                    let link = self.number();
                    self.with(peer, |program, now, log| program.legacy_link_up(&py, link, now, log));
                }
            }
            4 | 7 => (0..3).for_each(|_| self.write(ANA, &self.room())),
            5 => self.expect_written(&py, 3),
            6 | 9 => {
                self.rooms.legacy = Some((py.clone(), step == 6));
                let update = self.rooms.presence(ChangeKind::Online, &py);
                self.push_to(|_| true, update);
            }
            8 => self.expect_written(&py, 3),
            _ => {
                self.expect_written(&py, 6);
                return None;
            }
        }
        Some(2000)
    }

    /// Checks how many messages of this scene were written to the legacy client, and that none is called delivered.
    fn expect_written(&mut self, py: &Username, count: usize) {
        let log = &self.stations[ANA].log;
        let written = self.notes.ids.iter().filter(|id| log.written.contains(&(**id, py.clone()))).count();
        let is_claimed = log.delivered.keys().any(|(_, to)| to == py);
        self.expect(ANA, written == count, &format!("{written} of {count} messages are written"));
        self.expect(ANA, !is_claimed, "a message to a legacy client is called delivered");
    }
}
