//! The changes that simulated users make to a room with a log, and the lies of the tracker about them.
//!
//! As in the product, the engine makes an entry, the device signs it, and the tracker takes it if nobody was faster.
//! Otherwise the newer entries are read, and the next entry follows those.

use std::sync::Arc;

use commons::keys::PublicKey;
use commons::names::Username;
use commons::protocol::with_tracker::RoomUpdate;
use commons::room_log::entry::{Change, SignedEntry};
use commons::room_log::facts::Policy;
use commons::room_log::log::RoomLog;
use commons::room_log::refusal::Refusal;
use commons::snapshot::{ChangeKind, RoomChange, RoomSnapshot};

use crate::engine::room_intent::RoomIntent;
use crate::history::testing::{author, device};
use crate::simulation::lie::{Lie, made_up_key};
use crate::simulation::rooms::{Accepted, page};
use crate::simulation::tracker_message::TrackerOutput;
use crate::simulation::world::{Event, PeerIndex, World};

/// The changes of one user in the trouble. The log takes 20 of a user in a day, and the scene needs some of them.
const CHANGES: usize = 10;

/// The times that a user tries a change before giving it up.
const TRIES: u8 = 6;

/// The pause between two changes that set the stage, in simulated milliseconds.
const STAGE_PAUSE: u64 = 400;

/// A change of a user that is on its way to the tracker.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    by: PeerIndex,
    life: u32,
    intent: RoomIntent,
    /// Whether the log was read for it.
    has_read: bool,
    tries: u8,
}

impl World {
    /// Lets a user change the room.
    pub(crate) fn change(&mut self, by: PeerIndex, intent: RoomIntent) {
        let life = self.stations[by].life;
        self.attempt(Attempt { by, life, intent, has_read: false, tries: TRIES });
    }

    /// Lets the engine make the next entry, and the tracker check it.
    pub(crate) fn attempt(&mut self, attempt: Attempt) {
        let (by, now, name) = (attempt.by, self.time_of(attempt.by), self.stations[attempt.by].name.clone());
        let is_late = self.stations[by].life != attempt.life || attempt.tries == 0;
        if is_late || !self.reaches_tracker(by) {
            return;
        }
        let Some(program) = &self.stations[by].program else { return };
        let is_join = attempt.intent == RoomIntent::Join;
        if is_join && !attempt.has_read {
            return self.read_and_retry(attempt, 0);
        }
        match program.engine.next_entry(&self.rooms.name(), attempt.intent.clone(), now) {
            Ok(None) if is_join && self.rooms.members().contains_key(&name) => {
                self.word(by, TrackerOutput::Entered(self.rooms.snapshot()), 0);
            }
            Ok(Some(entry)) => {
                let known = entry.epoch - 1;
                let entry = entry.sign(&author(name.as_str()).seed);
                match self.rooms.change(&entry) {
                    Ok(accepted) => self.accepted(by, entry, &accepted),
                    Err(Refusal::Stale) => self.read_and_retry(attempt, known),
                    // The user is told of the refusal.
                    Err(_) => {}
                }
            }
            // The user is told why not.
            Ok(None) | Err(_) => {}
        }
    }

    /// Reads the entries after an epoch, and tries the change again.
    fn read_and_retry(&mut self, attempt: Attempt, after: u64) {
        self.read_log(attempt.by, after);
        let wait = if self.is_calm { 90..100 } else { 50..600 };
        self.after(wait, Event::Change(Attempt { has_read: true, tries: attempt.tries - 1, ..attempt }));
    }

    fn accepted(&mut self, by: PeerIndex, entry: SignedEntry, accepted: &Accepted) {
        let is_out = matches!(entry.entry.change, Change::Left | Change::Deleted);
        let room = (!is_out).then(|| self.rooms.snapshot());
        self.word(by, TrackerOutput::Changed(Box::new(entry), room), 0);
        self.push_accepted(|peer| peer != by, accepted);
    }

    /// Sends the update of an entry to the members, and to those who are no longer members.
    pub(crate) fn push_accepted(&mut self, is_told: impl Fn(PeerIndex) -> bool, accepted: &Accepted) {
        for peer in (0..self.stations.len()).filter(|peer| is_told(*peer)) {
            let name = &self.stations[peer].name;
            if self.rooms.members().contains_key(name) || accepted.departed.contains(name) {
                self.word(peer, TrackerOutput::Update(accepted.update.clone()), self.push_delay);
            }
        }
    }

    /// Lets the world sign an entry of a user, who needs no program, and tells all members.
    pub(crate) fn sign(&mut self, by: &Username, change: Change) {
        if let Ok((_, accepted)) = self.rooms.sign(by, change) {
            self.push_accepted(|_| true, &accepted);
        }
    }

    /// Lets the owner invite a user, if the room is for invited users.
    pub(crate) fn invite(&mut self, user: &Username) {
        let owner = self.rooms.owner();
        if *user != owner && self.rooms.state().is_some_and(|state| state.policy() == Policy::Invite) {
            let keys = vec![device(user.as_str())];
            self.sign(&owner, Change::Invited { user: user.clone(), keys });
        }
    }

    /// Lets a user read the log after an epoch. The request takes its time.
    pub(crate) fn read_log(&mut self, by: PeerIndex, after: u64) {
        let Some(call) = self.call_of(by) else { return };
        let delay = self.delay();
        self.at(self.now + delay, Event::ReadLog { by, call, after });
    }

    /// Lets the tracker answer a request for the entries after an epoch.
    pub(crate) fn show_log(&mut self, by: PeerIndex, call: u64, after: u64) {
        if self.call_of(by) != Some(call) {
            return;
        }
        let (name, user) = (self.rooms.name(), self.stations[by].name.clone());
        let lie = self.lie_about_entries(by);
        let told = lie.as_ref().and_then(|lie| lie.show_entries(&self.rooms, after));
        if told.is_some() {
            self.note_lie(by, lie.as_ref());
        }
        let honest = self.rooms.shows_log_to(&user).then(|| self.rooms.log().map(|log| page(log, after)));
        let Some(reply) = told.or_else(|| honest.flatten()) else {
            return self.word(by, TrackerOutput::NoLog(name), 0);
        };
        let last = reply.entries.iter().flatten().last().map(|entry| entry.entry.epoch);
        let next = last.filter(|last| reply.more && *last > after);
        self.word(by, TrackerOutput::Page(name, after, Box::new(reply)), 0);
        if let Some(next) = next {
            self.read_log(by, next);
        }
    }

    /// Returns the lie about the entries that the tracker tells a user.
    fn lie_about_entries(&mut self, by: PeerIndex) -> Option<Lie> {
        let told = self.lie_to(by);
        if told.is_some() || !self.lies_now() || self.rng.u8(..) >= 50 {
            return told;
        }
        let guest = self.rooms.members().keys().last().cloned();
        match self.rng.u8(..3) {
            0 => guest.map(Lie::ForgedEntry),
            1 => Some(Lie::ForeignEntry),
            _ => Some(Lie::NoNews),
        }
    }

    /// Whether the tracker may tell a random lie now.
    fn lies_now(&self) -> bool {
        self.setting.lies && !self.is_peace()
    }

    fn note_lie(&mut self, to: PeerIndex, lie: Option<&Lie>) {
        let warnings = lie.map(Lie::warnings).unwrap_or_default();
        self.stations[to].log.lies.extend(warnings);
    }

    /// Replaces the rooms in an output of the tracker by what a lie shows in their place.
    pub(crate) fn deceive(&mut self, to: PeerIndex, word: &mut TrackerOutput) {
        let Some(lie) = self.lie_to(to).filter(|_| self.rooms.state().is_some()) else { return };
        let shown = match word {
            TrackerOutput::SignedIn(rooms) => rooms.iter_mut().collect(),
            TrackerOutput::Entered(room)
            | TrackerOutput::Changed(_, Some(room))
            | TrackerOutput::Update(RoomUpdate { room: Some(room), .. }) => vec![room],
            _ => Vec::new(),
        };
        shown.into_iter().for_each(|room| *room = lie.show(room.clone()));
        self.note_lie(to, Some(&lie));
    }

    /// Returns the rooms in the reply to a sign-in.
    pub(crate) fn rooms_at_sign_in(&mut self, peer: PeerIndex) -> Vec<RoomSnapshot> {
        let mut word = TrackerOutput::SignedIn(self.rooms_of(peer));
        let before = self.told.clone();
        if self.lies_now() && self.rng.u8(..) < 50 {
            if self.rng.u8(..) < 60 {
                return Vec::new();
            }
            self.told = vec![(vec![peer], self.random_lie())];
        }
        self.deceive(peer, &mut word);
        self.told = before;
        let TrackerOutput::SignedIn(rooms) = word else { return Vec::new() };
        rooms
    }

    /// Returns the lie that the tracker tells a user now.
    fn lie_to(&self, to: PeerIndex) -> Option<Lie> {
        self.told.iter().find(|(peers, _)| peers.contains(&to)).map(|(_, lie)| lie.clone())
    }

    /// Returns the other log of the room that the tracker shows a user.
    pub(crate) fn fork_of(&self, peer: PeerIndex) -> Option<Arc<RoomLog>> {
        match self.lie_to(peer) {
            Some(Lie::Fork(log)) => Some(log),
            _ => self.rooms.log().filter(|_| self.is_forked).cloned(),
        }
    }

    /// Returns the keys of a user that the tracker names to another one.
    pub(crate) fn record_keys(&mut self, to: PeerIndex, of: &Username) -> Vec<PublicKey> {
        let lie = self.lie_to(to).filter(|lie| matches!(lie, Lie::Keys(user) if user == of));
        self.note_lie(to, lie.as_ref());
        vec![if lie.is_some() { made_up_key(of) } else { device(of.as_str()) }]
    }

    /// Lets the tracker tell a lie to some users from now on.
    pub(crate) fn tell(&mut self, to: &[PeerIndex], lie: Lie) {
        self.told = vec![(to.to_vec(), lie)];
        self.push_presence();
    }

    /// Lets the tracker tell the truth again.
    pub(crate) fn tell_the_truth(&mut self) {
        self.told.clear();
        self.push_presence();
    }

    /// Sends the room to all members again, as a change of presence would.
    pub(crate) fn push_presence(&mut self) {
        let owner = self.rooms.owner();
        self.rooms.raise_revision();
        let change = RoomChange { kind: ChangeKind::Online, username: owner };
        let room = Some(self.rooms.snapshot());
        let update = RoomUpdate { msg: String::new(), change, room, name: None, room_id: None };
        self.push_to(|_| true, Some(update));
    }

    /// Lets the tracker tell a random lie once, to one user or to all.
    pub(crate) fn tell_a_lie(&mut self) {
        if !self.lies_now() || self.rooms.state().is_none() {
            return;
        }
        let lie = self.random_lie();
        let all: Vec<_> = (0..self.stations.len()).collect();
        let to = if self.rng.bool() { all } else { vec![self.any()] };
        self.told = vec![(to, lie)];
        self.push_presence();
        self.told.clear();
    }

    fn random_lie(&mut self) -> Lie {
        let names: Vec<_> = self.stations.iter().map(|station| station.name.clone()).collect();
        let (is_member, members) =
            (|user: &Username| self.rooms.members().contains_key(user), self.rooms.members());
        let member = members.keys().nth(self.rng.usize(..members.len().max(1))).cloned();
        let ghost = names.into_iter().find(|user| !is_member(user));
        let count = self.rooms.earlier.len();
        let earlier = self.rooms.earlier.get(self.rng.usize(..count.max(1))).cloned();
        let about = |lie: fn(Username) -> Lie| member.clone().map_or(Lie::Bare, lie);
        match self.rng.u8(..7) {
            0 => ghost.map_or(Lie::Bare, Lie::Ghost),
            1 => about(Lie::Since),
            2 => about(Lie::Hidden),
            3 => about(Lie::Keys),
            4 => earlier.map_or(Lie::Bare, |room| Lie::Earlier(Box::new(room))),
            5 => Lie::Bare,
            _ => Lie::Split,
        }
    }

    /// Lets a random user change the room in a random way.
    pub(crate) fn govern(&mut self, peer: PeerIndex) {
        let name = self.stations[peer].name.clone();
        let (Some(log), others) = (self.rooms.log().cloned(), self.stations.len()) else { return };
        if log.entries().iter().filter(|entry| entry.entry.author == name).count() >= CHANGES {
            return;
        }
        let other = self.stations[self.rng.usize(..others)].name.clone();
        let is_member = log.state().members().contains_key(&name);
        let intent = match (is_member, *log.state().owner() == name) {
            (false, _) => RoomIntent::Join,
            (true, false) => RoomIntent::Leave,
            (true, true) => match self.rng.u8(..14) {
                0..4 => RoomIntent::Invite(other),
                4 => RoomIntent::Uninvite(other),
                5..7 => RoomIntent::Remove(other),
                7 => RoomIntent::Ban(other),
                8 => RoomIntent::Unban(other),
                9 => RoomIntent::SetPolicy(if self.rng.bool() { Policy::Open } else { Policy::Invite }),
                10 => RoomIntent::SetTopic(self.number().to_string()),
                11 => RoomIntent::Give(other),
                12 => RoomIntent::SetSuccessor(Some(other)),
                _ => RoomIntent::Leave,
            },
        };
        self.change(peer, intent);
    }

    /// Lets the members change the room until only the cast is in it.
    pub(crate) fn settle(&mut self, cast: &[PeerIndex], until: u64) {
        if self.now >= until {
            return;
        }
        if let Some((by, intent)) = self.next_step(cast) {
            self.change(by, intent);
        }
        self.at(self.now + STAGE_PAUSE, Event::Settle(cast.to_vec(), until));
    }

    /// Returns the next change by which only the cast is in the room.
    fn next_step(&self, cast: &[PeerIndex]) -> Option<(PeerIndex, RoomIntent)> {
        let state = self.rooms.state()?;
        let name = |peer: PeerIndex| self.stations[peer].name.clone();
        let is_member = |peer: &PeerIndex| state.members().contains_key(&name(*peer));
        let owner = self.peer(state.owner());
        if !is_member(&owner) {
            return Some((owner, RoomIntent::Join));
        }
        if let Some(banned) = cast.iter().find(|peer| state.banned().contains(&name(**peer))) {
            return Some((owner, RoomIntent::Unban(name(*banned))));
        }
        if let Some(next) = cast.iter().find(|peer| is_member(peer)).filter(|_| !cast.contains(&owner)) {
            return Some((owner, RoomIntent::Give(name(*next))));
        }
        let is_extra = |peer: &PeerIndex| !cast.contains(peer) && is_member(peer) && *peer != owner;
        if let Some(extra) = (0..self.stations.len()).find(is_extra) {
            return Some((extra, RoomIntent::Leave));
        }
        let missing = *cast.iter().find(|peer| !is_member(peer))?;
        if state.policy() == Policy::Open || state.invited().contains_key(&name(missing)) || missing == owner
        {
            return Some((missing, RoomIntent::Join));
        }
        if self.setting.policy == Some(Policy::Invite) {
            Some((owner, RoomIntent::Invite(name(missing))))
        } else {
            Some((owner, RoomIntent::SetPolicy(Policy::Open)))
        }
    }

    /// Lets a user enter a room again that the tracker lists and this device only offers.
    pub(crate) fn enter_again(&mut self, peer: PeerIndex) {
        let name = &self.stations[peer].name;
        let is_in = self.stations[peer].program.as_ref().is_some_and(|program| program.is_in_a_room());
        if self.rooms.state().is_some() && self.rooms.members().contains_key(name) && !is_in {
            self.change(peer, RoomIntent::Join);
        }
    }
}
