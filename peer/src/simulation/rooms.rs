//! The simulated tracker, with one room and the history of its members.
//!
//! If the room has a log, the rules are those of `commons::room_log`: the tracker only puts the entries in order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::DateTime;
use commons::digest::Digest;
use commons::keys::{PublicKey, Seed};
use commons::names::{RoomName, Username};
use commons::peer::Peer;
use commons::protocol::listed_peer::FoundPeer;
use commons::protocol::with_tracker::{Reply, RoomUpdate};
use commons::room::Room;
use commons::room_log::entry::{Change, Creation, Entry, FIRST_EPOCH, SignedEntry};
use commons::room_log::facts::Policy;
use commons::room_log::log::RoomLog;
use commons::room_log::refusal::Refusal;
use commons::room_log::state::RoomState;
use commons::snapshot::{ChangeKind, RoomChange, RoomSnapshot};
use uuid::Uuid;

use crate::history::testing::{author, device};

/// The entries in a reply to ROOM_LOG. They are few, so that often more follow.
const PAGE_ENTRIES: usize = 8;

/// Returns the key with which the simulated tracker signs heads.
pub(crate) fn tracker_seed() -> Seed {
    Seed::new([9; 32])
}

/// Returns the entry by which a user creates a room.
pub(crate) fn creation(owner: &Username, policy: Policy, nonce: u8) -> SignedEntry {
    let (none, key) = (Digest([0; 32]), device(owner.as_str()));
    let change = Change::Created(Creation {
        name: RoomName::parse("sala").unwrap(),
        keys: vec![key],
        policy,
        legacy: false,
        nonce: [nonce; 32],
        tracker: tracker_seed().public_key(),
    });
    let (room, previous, author_name) = (none, none, owner.clone());
    let created = Entry { room, epoch: FIRST_EPOCH, previous, time: 0, author: author_name, key, change };
    created.sign(&author(owner.as_str()).seed)
}

/// Returns the entries of a log after an epoch, as the tracker shows them.
pub(crate) fn page(log: &RoomLog, after: u64) -> Reply {
    let wanted = log.after(after);
    let entries: Vec<_> = wanted.iter().take(PAGE_ENTRIES).cloned().collect();
    let (more, head) = (entries.len() < wanted.len(), Some(Box::new(log.head().sign(&tracker_seed()))));
    Reply { entries: Some(entries), head, more, ..Reply::default() }
}

/// Returns the log as it was at an epoch.
pub(crate) fn up_to(log: &RoomLog, epoch: u64) -> Option<RoomLog> {
    let entries = log.entries().iter().filter(|entry| entry.entry.epoch <= epoch);
    RoomLog::from_disk(entries.cloned().collect()).ok()
}

/// Returns whether a user was a member at an epoch of a log.
pub(crate) fn had_member(log: &RoomLog, epoch: u64, user: &Username) -> bool {
    log.head().epoch >= epoch && up_to(log, epoch).is_some_and(|log| log.state().members().contains_key(user))
}

/// An accepted entry: the update for the others, and the users who are no longer members.
pub(crate) struct Accepted {
    pub(crate) update: RoomUpdate,
    pub(crate) departed: Vec<Username>,
}

/// The room and its members at every revision.
pub(crate) struct Rooms {
    room: Room,
    /// The members by revision, each with the revision of joining.
    states: BTreeMap<u64, BTreeMap<Username, u64>>,
    /// The users who are not connected to the tracker.
    absent: BTreeSet<Username>,
    /// The user of a legacy client, and whether it shows its menu in place of the room.
    pub(crate) legacy: Option<(Username, bool)>,
    /// The users of whom the tracker announces another key beside their own.
    changed: BTreeSet<Username>,
    /// The earlier snapshots of a room with a log, one for each entry, which a lying tracker shows again.
    pub(crate) earlier: Vec<RoomSnapshot>,
}

impl Rooms {
    /// Creates the room, with a log if a policy is given.
    pub(crate) fn new(owner: &Username, policy: Option<Policy>) -> Self {
        let name = RoomName::parse("sala").unwrap();
        let log = policy.map(|policy| RoomLog::begin(creation(owner, policy, 1)).unwrap());
        let room = log.map_or_else(
            || {
                let room = Room::create(name, owner.clone(), DateTime::UNIX_EPOCH);
                Room { id: Uuid::from_u128(0x5a1a), ..room }
            },
            |log| Room::signed(log, DateTime::UNIX_EPOCH),
        );
        let mut rooms = Self {
            room,
            states: BTreeMap::new(),
            absent: BTreeSet::new(),
            legacy: None,
            changed: BTreeSet::new(),
            earlier: Vec::new(),
        };
        rooms.note();
        rooms
    }

    fn note(&mut self) {
        let members = match self.state() {
            Some(state) if state.is_ended() => BTreeMap::new(),
            Some(state) => {
                state.members().iter().map(|(name, member)| (name.clone(), member.since)).collect()
            }
            None => self.room.memberships().map(|member| (member.username.clone(), member.since)).collect(),
        };
        self.states.insert(self.revision(), members);
    }

    /// Returns the log of the room.
    pub(crate) fn log(&self) -> Option<&Arc<RoomLog>> {
        self.room.log.as_ref()
    }

    /// Returns the state of the room after its log.
    pub(crate) fn state(&self) -> Option<&RoomState> {
        self.log().map(|log| log.state())
    }

    /// Adds an entry to the log of the room.
    pub(crate) fn change(&mut self, entry: &SignedEntry) -> Result<Accepted, Refusal> {
        let log = Arc::new(self.log().ok_or(Refusal::OtherRoom)?.extended(entry.clone())?);
        let before: Vec<_> = self.members().keys().cloned().collect();
        if log.state().is_ended() {
            self.room.log = Some(log);
            let update = self.delete();
            return Ok(Accepted { update, departed: before });
        }
        self.earlier.push(self.snapshot());
        self.room.follow(log, DateTime::UNIX_EPOCH).map_err(|_| Refusal::Full)?;
        let change = self.room.last_change.clone().unwrap();
        let update = self.changed(change.kind, &change.username);
        let departed = before.into_iter().filter(|user| !self.members().contains_key(user)).collect();
        Ok(Accepted { update, departed })
    }

    /// Signs a change as a user, and adds it to the log.
    pub(crate) fn sign(
        &mut self,
        user: &Username,
        change: Change,
    ) -> Result<(SignedEntry, Accepted), Refusal> {
        let state = self.state().ok_or(Refusal::OtherRoom)?;
        let entry = state.next(user.clone(), device(user.as_str()), 0, change);
        let entry = entry.sign(&author(user.as_str()).seed);
        self.change(&entry).map(|accepted| (entry, accepted))
    }

    /// Returns whether a key was one of a user's in the room at an epoch.
    pub(crate) fn had_key(&self, epoch: u64, user: &Username, key: PublicKey) -> bool {
        let known = self.log().and_then(|log| up_to(log, epoch));
        known.is_some_and(|log| log.state().keys(user).is_some_and(|keys| keys.contains(&key)))
    }

    /// Returns whether the tracker shows the log to a user.
    pub(crate) fn shows_log_to(&self, user: &Username) -> bool {
        self.state().is_some_and(|state| {
            let is_concerned = state.members().contains_key(user)
                || state.owner() == user
                || state.invited().contains_key(user);
            !state.is_ended() && (state.policy() == Policy::Open || is_concerned)
        })
    }

    /// Raises the revision without a change, so that a snapshot is newer than those before.
    pub(crate) fn raise_revision(&mut self) {
        let owner = self.room.owner.clone();
        self.room.note_presence(ChangeKind::Online, &owner);
        self.note();
    }

    pub(crate) fn owner(&self) -> Username {
        self.room.owner.clone()
    }

    pub(crate) fn id(&self) -> Uuid {
        self.room.id
    }

    pub(crate) fn name(&self) -> RoomName {
        self.room.name.clone()
    }

    /// Returns the number of the current state: the epoch of a log, otherwise the revision.
    pub(crate) fn revision(&self) -> u64 {
        self.log().map_or(self.room.revision, |log| log.head().epoch)
    }

    /// Returns the revision and the last entry of the log, as a message names them.
    pub(crate) fn position(&self) -> (u64, Option<Digest>) {
        (self.revision(), self.log().map(|log| log.head().digest))
    }

    /// Returns the current members, each with the revision of joining.
    pub(crate) fn members(&self) -> &BTreeMap<Username, u64> {
        &self.states[&self.revision()]
    }

    /// Returns the revision at which a user had joined, as of the given revision.
    pub(crate) fn revision_of_joining(&self, revision: u64, user: &Username) -> Option<u64> {
        self.states.get(&revision)?.get(user).copied()
    }

    /// Returns whether a user was ever a member.
    pub(crate) fn was_ever_member(&self, user: &Username) -> bool {
        self.states.values().any(|members| members.contains_key(user))
    }

    /// Announces another key of a user from now on. Returns false if it did so before.
    pub(crate) fn announce_another_key(&mut self, user: &Username) -> bool {
        self.changed.insert(user.clone())
    }

    /// Returns the keys of a user that the tracker announces.
    fn keys(&self, user: &Username) -> Vec<PublicKey> {
        let another = self.changed.contains(user).then(|| device(&format!("{user}.2")));
        std::iter::once(device(user.as_str())).chain(another).collect()
    }

    fn peer(&self, user: &Username) -> Peer {
        let address = Some([127, 0, 0, 1].into());
        let is_legacy = self.legacy.as_ref().is_some_and(|(legacy, _)| legacy == user);
        let keys = if is_legacy { Vec::new() } else { self.keys(user) };
        let connected = !self.absent.contains(user);
        Peer { address, port: Some(1), connected, keys, ..Peer::never_seen(user.clone()) }
    }

    /// Returns the tracker's record of a user.
    pub(crate) fn record(&self, user: &Username) -> FoundPeer {
        FoundPeer { peer: self.peer(user), room: None }
    }

    pub(crate) fn snapshot(&self) -> RoomSnapshot {
        let mut snapshot = self.room.snapshot(|user| self.peer(user));
        for member in &mut snapshot.members {
            member.in_menu = self.legacy == Some((member.username.clone(), true));
        }
        snapshot
    }

    /// Lets a user join, or leave if already a member. Returns the update for the others, or `None` if the room is
    /// full.
    pub(crate) fn join_or_leave(&mut self, user: &Username) -> Option<RoomUpdate> {
        let kind = if self.room.leave(user).is_ok() {
            ChangeKind::Left
        } else {
            self.room.join(user, DateTime::UNIX_EPOCH).ok()?;
            ChangeKind::Joined
        };
        Some(self.changed(kind, user))
    }

    /// Notes that a member connected or disconnected, and returns the update for the others.
    pub(crate) fn presence(&mut self, kind: ChangeKind, user: &Username) -> Option<RoomUpdate> {
        if kind == ChangeKind::Offline {
            self.absent.insert(user.clone());
        } else {
            self.absent.remove(user);
        }
        self.room.is_member(user).then(|| {
            self.room.note_presence(kind, user);
            self.changed(kind, user)
        })
    }

    /// Deletes the room. Returns the update for its members.
    pub(crate) fn delete(&mut self) -> RoomUpdate {
        let members: Vec<_> = self.room.memberships().map(|member| member.username.clone()).collect();
        for member in members {
            // Each of them is a member.
            let _ = self.room.leave(&member);
        }
        self.note();
        self.deletion()
    }

    /// Returns the update by which the tracker says that the room was deleted.
    pub(crate) fn deletion(&self) -> RoomUpdate {
        let change = RoomChange { kind: ChangeKind::Deleted, username: self.room.owner.clone() };
        let (name, room_id) = (Some(self.name()), Some(self.id()));
        RoomUpdate { msg: String::new(), change, room: None, name, room_id }
    }

    fn changed(&mut self, kind: ChangeKind, user: &Username) -> RoomUpdate {
        self.note();
        let change = RoomChange { kind, username: user.clone() };
        RoomUpdate { msg: String::new(), change, room: Some(self.snapshot()), name: None, room_id: None }
    }
}
