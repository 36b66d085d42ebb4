//! The state of a room after the entries of its log.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use uuid::Uuid;

use crate::digest::Digest;
use crate::keys::PublicKey;
use crate::names::{RoomName, Username};
use crate::room_log::entry::{Change, Entry, SignedEntry};
use crate::room_log::facts::{Facts, LogMember, Policy, StreamEnd};
use crate::room_log::head::Head;

/// The state of a room, made only of valid entries. The rules are in [`apply`](Self::apply).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomState {
    pub(super) facts: Facts,
    pub(super) head: Head,
    /// The times of the entries since the last checkpoint, by author: for the number of entries a day.
    pub(super) recent: BTreeMap<Username, VecDeque<u64>>,
}

impl RoomState {
    /// The digest of the room's first entry.
    #[must_use]
    pub fn room(&self) -> Digest {
        self.facts.room
    }

    /// The id of the room.
    #[must_use]
    pub fn id(&self) -> Uuid {
        room_id(&self.facts.room)
    }

    /// The name of the room.
    #[must_use]
    pub fn name(&self) -> &RoomName {
        &self.facts.name
    }

    /// The key of the tracker that orders the entries.
    #[must_use]
    pub fn tracker(&self) -> PublicKey {
        self.facts.tracker
    }

    /// Whether legacy clients may be in the room.
    #[must_use]
    pub fn allows_legacy(&self) -> bool {
        self.facts.legacy
    }

    /// The rule by which users join.
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.facts.policy
    }

    /// The owner, who need not be a member.
    #[must_use]
    pub fn owner(&self) -> &Username {
        &self.facts.owner
    }

    /// The members, by name.
    #[must_use]
    pub fn members(&self) -> &BTreeMap<Username, LogMember> {
        &self.facts.members
    }

    /// The invited users, with the keys under which they may join.
    #[must_use]
    pub fn invited(&self) -> &BTreeMap<Username, BTreeSet<PublicKey>> {
        &self.facts.invited
    }

    /// The banned users.
    #[must_use]
    pub fn banned(&self) -> &BTreeSet<Username> {
        &self.facts.banned
    }

    /// The member who may take the room over in a long absence of the owner.
    #[must_use]
    pub fn successor(&self) -> Option<&Username> {
        self.facts.successor.as_ref()
    }

    /// The topic; empty if there is none.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.facts.topic
    }

    /// The revoked keys of each user, with the ends of their streams.
    #[must_use]
    pub fn revoked(&self) -> &BTreeMap<(Username, PublicKey), Vec<StreamEnd>> {
        &self.facts.revoked
    }

    /// Whether the owner has ended the room.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.facts.is_ended
    }

    /// The last entry.
    #[must_use]
    pub fn head(&self) -> Head {
        self.head
    }

    /// The epoch of the last checkpoint, or of the beginning.
    #[must_use]
    pub fn checkpoint(&self) -> u64 {
        self.facts.checkpoint
    }

    /// The keys of the owner or of a member; none for others.
    #[must_use]
    pub fn keys(&self, user: &Username) -> Option<&BTreeSet<PublicKey>> {
        self.facts.keys.get(user)
    }

    /// The next entry, to be signed by `key`. Its time is `now` in milliseconds since 1970, or that of the last entry if
    /// this clock is behind.
    #[must_use]
    pub fn next(&self, author: Username, key: PublicKey, now: u64, change: Change) -> Entry {
        Entry {
            room: self.facts.room,
            epoch: self.head.epoch + 1,
            previous: self.head.digest,
            time: now.max(self.facts.time),
            author,
            key,
            change,
        }
    }

    /// The change by which the owner states this state.
    #[must_use]
    pub fn to_checkpoint(&self) -> Change {
        Change::Checkpoint(Box::new(self.facts.clone()))
    }
}

/// The id of the room whose first entry has this digest: a UUID of version 8 (RFC 9562) of its first 16 bytes.
#[must_use]
pub fn room_id(room: &Digest) -> Uuid {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&room.0[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// The id of the room that an entry creates.
#[must_use]
pub fn id_of(created: &SignedEntry) -> Uuid {
    room_id(&created.digest())
}
