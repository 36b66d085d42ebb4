//! A room's log and the people who sign its entries.

#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "a test fails by panicking, and uses a part"
)]

use commons::digest::Digest;
use commons::keys::{PublicKey, Seed};
use commons::names::{RoomName, Username};
use commons::room_log::entry::{Change, Creation, Entry, FIRST_EPOCH, SignedEntry};
use commons::room_log::facts::{LogMember, Policy};
use commons::room_log::refusal::Refusal;
use commons::room_log::state::RoomState;

/// The time at which each scene begins, in milliseconds since 1970.
pub const START: u64 = 1_800_000_000_000;

/// A room that ana has created, and its log so far.
pub struct Scene {
    pub state: RoomState,
    pub log: Vec<SignedEntry>,
    pub now: u64,
}

pub fn user(name: &str) -> Username {
    Username::parse(name).unwrap()
}

/// The device of this name.
pub fn device(name: &str) -> Seed {
    Seed::new(Digest::of(&[b"device of ", name.as_bytes()]).0)
}

/// The key of the device of this name.
pub fn key_of(name: &str) -> PublicKey {
    device(name).public_key()
}

/// The keys of a person with one device.
pub fn keys(name: &str) -> Vec<PublicKey> {
    vec![key_of(name)]
}

pub fn creation(policy: Policy) -> Creation {
    let nonce = std::array::from_fn(|n| u8::try_from(n).unwrap());
    let name = RoomName::parse("sala").unwrap();
    Creation { name, keys: keys("ana"), policy, legacy: false, nonce, tracker: key_of("tracker") }
}

impl Scene {
    /// A room that is like no other one.
    pub fn new(policy: Policy) -> Self {
        let mut creation = creation(policy);
        creation.nonce[..8].copy_from_slice(&fastrand::u64(..).to_be_bytes());
        Self::created(creation)
    }

    /// A room that is the same each time.
    pub fn created(creation: Creation) -> Self {
        let none = Digest([0; 32]);
        let created = Entry {
            room: none,
            epoch: FIRST_EPOCH,
            previous: none,
            time: START,
            author: user("ana"),
            key: key_of("ana"),
            change: Change::Created(creation),
        };
        let created = created.sign(&device("ana"));
        Self { state: RoomState::create(&created).unwrap(), log: vec![created], now: START }
    }

    /// The next entry by a user, signed with this device.
    pub fn signed(&self, author: &str, device: &Seed, change: Change) -> SignedEntry {
        self.state.next(user(author), device.public_key(), self.now, change).sign(device)
    }

    /// Applies an entry. A refused one must change nothing.
    pub fn apply(&mut self, entry: &SignedEntry) -> Result<(), Refusal> {
        let before = self.state.clone();
        let applied = self.state.apply(entry);
        match applied {
            Ok(()) => self.log.push(entry.clone()),
            Err(_) => assert_eq!(self.state, before, "a refused entry changes nothing"),
        }
        applied
    }

    /// A user makes a change with the device of that name.
    pub fn by(&mut self, author: &str, change: Change) -> Result<(), Refusal> {
        let entry = self.signed(author, &device(author), change);
        self.apply(&entry)
    }

    pub fn join(&mut self, name: &str) -> Result<(), Refusal> {
        self.by(name, Change::Joined { keys: keys(name), endorsements: vec![] })
    }

    pub fn member(&self, name: &str) -> &LogMember {
        &self.state.members()[&user(name)]
    }
}
