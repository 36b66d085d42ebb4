//! The entries of a room's log: a change of the room, signed by the person who makes it.
//!
//! Signed are the bytes `p2p-chat room entry v1`, a zero byte, and the entry in its binary [`layout`](super::layout). The
//! digest of an entry covers its signature too, so a head names exact bytes. On the wire an entry is one text of hex
//! digits: the layout, then the signature.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::keys::{PublicKey, Seed, Signature};
use crate::limits::ENTRY_MAX;
use crate::names::{RoomName, Username};
use crate::room_log::facts::{Facts, Policy, StreamEnd};
use crate::room_log::layout::{Layout, LayoutError, prefixed, read_all, struct_layout};

/// Prefix of what is signed. It separates entries from other uses of the key.
const DOMAIN: &[u8] = b"p2p-chat room entry v1\0";

/// Prefix of what is hashed.
const DIGEST_DOMAIN: &[u8] = b"p2p-chat room entry digest v1\0";

/// The number of the entry that creates a room.
pub const FIRST_EPOCH: u64 = 1;

/// One change of a room, before it is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The digest of the room's first entry; zeros in that entry itself.
    pub room: Digest,
    /// The number of the entry, from [`FIRST_EPOCH`] without gaps.
    pub epoch: u64,
    /// The digest of the entry before; zeros in the first one.
    pub previous: Digest,
    /// The time at which the author signed, in milliseconds since 1970. It never falls along a log.
    pub time: u64,
    /// The user who makes the change; in [`Change::Expired`] the user whose membership ends.
    pub author: Username,
    /// The key that signs: one of the author's, or the tracker's in [`Change::Expired`].
    pub key: PublicKey,
    /// The change that the author makes.
    pub change: Change,
}

struct_layout!(Entry { room, epoch, previous, time, author, key, change });

/// The facts of a room that never change, and its first policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Creation {
    /// The name of the room.
    pub name: RoomName,
    /// The owner's keys, the signing one among them.
    pub keys: Vec<PublicKey>,
    /// The first policy.
    pub policy: Policy,
    /// Whether legacy clients, which cannot sign, may be in the room.
    pub legacy: bool,
    /// Random bytes, so that no two rooms have the same digest.
    pub nonce: [u8; 32],
    /// The key of the tracker that orders the entries.
    pub tracker: PublicKey,
}

struct_layout!(Creation { name, keys, policy, legacy, nonce, tracker });

/// The kinds of changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The room begins. Signed by the owner, who is a member from then on.
    Created(Creation),
    /// The author becomes a member with these keys. Endorsements by other keys let contacts recognise the signing one.
    Joined {
        /// The author's keys, the signing one among them.
        keys: Vec<PublicKey>,
        /// Signatures by which one of the keys vouches for another.
        endorsements: Vec<Signature>,
    },
    /// The author is no longer a member.
    Left,
    /// The author has another key.
    Device(PublicKey),
    /// The owner invites a user under any of these keys. The invitation holds until it is used or taken back.
    Invited {
        /// The invited user.
        user: Username,
        /// The keys that the owner knows as the user's.
        keys: Vec<PublicKey>,
    },
    /// The owner takes an invitation back.
    Uninvited(Username),
    /// The owner removes a member. The member may come back to an open room.
    Removed(Username),
    /// The owner bans a user, and removes the member and the invitation.
    Banned(Username),
    /// The owner lifts a ban.
    Unbanned(Username),
    /// The owner changes the rule by which users join.
    Policy(Policy),
    /// The room has another owner: a member named by the owner, or the successor, who takes over.
    Owner(Username),
    /// The owner changes the topic.
    Topic(String),
    /// The owner names the member who may take over in a long absence, or nobody.
    Successor(Option<Username>),
    /// The owner ends the room.
    Deleted,
    /// The author revokes another of the author's keys.
    Revoked {
        /// The revoked key.
        key: PublicKey,
        /// The last valid message of each stream of this key; later ones are refused.
        ends: Vec<StreamEnd>,
    },
    /// The tracker ends the membership of a guest of an open room who was away for too long.
    Expired,
    /// The owner states the whole state of the room, so that newcomers need no earlier entry.
    Checkpoint(Box<Facts>),
}

impl Layout for Change {
    fn write(&self, out: &mut Vec<u8>) {
        let mut tagged = |tag: u8, value: &dyn Fn(&mut Vec<u8>)| {
            tag.write(out);
            value(out);
        };
        match self {
            Self::Created(creation) => tagged(1, &|out| creation.write(out)),
            Self::Joined { keys, endorsements } => tagged(2, &|out| {
                keys.write(out);
                endorsements.write(out);
            }),
            Self::Left => tagged(3, &|_| ()),
            Self::Device(key) => tagged(4, &|out| key.write(out)),
            Self::Invited { user, keys } => tagged(5, &|out| {
                user.write(out);
                keys.write(out);
            }),
            Self::Uninvited(user) => tagged(6, &|out| user.write(out)),
            Self::Removed(user) => tagged(7, &|out| user.write(out)),
            Self::Banned(user) => tagged(8, &|out| user.write(out)),
            Self::Unbanned(user) => tagged(9, &|out| user.write(out)),
            Self::Policy(policy) => tagged(10, &|out| policy.write(out)),
            Self::Owner(user) => tagged(11, &|out| user.write(out)),
            Self::Topic(text) => tagged(12, &|out| text.write(out)),
            Self::Successor(user) => tagged(13, &|out| user.write(out)),
            Self::Deleted => tagged(14, &|_| ()),
            Self::Revoked { key, ends } => tagged(15, &|out| {
                key.write(out);
                ends.write(out);
            }),
            Self::Expired => tagged(16, &|_| ()),
            Self::Checkpoint(facts) => tagged(17, &|out| facts.write(out)),
        }
    }

    fn read(input: &mut &[u8]) -> Result<Self, LayoutError> {
        Ok(match u8::read(input)? {
            1 => Self::Created(Creation::read(input)?),
            2 => Self::Joined { keys: Layout::read(input)?, endorsements: Layout::read(input)? },
            3 => Self::Left,
            4 => Self::Device(Layout::read(input)?),
            5 => Self::Invited { user: Layout::read(input)?, keys: Layout::read(input)? },
            6 => Self::Uninvited(Layout::read(input)?),
            7 => Self::Removed(Layout::read(input)?),
            8 => Self::Banned(Layout::read(input)?),
            9 => Self::Unbanned(Layout::read(input)?),
            10 => Self::Policy(Layout::read(input)?),
            11 => Self::Owner(Layout::read(input)?),
            12 => Self::Topic(Layout::read(input)?),
            13 => Self::Successor(Layout::read(input)?),
            14 => Self::Deleted,
            15 => Self::Revoked { key: Layout::read(input)?, ends: Layout::read(input)? },
            16 => Self::Expired,
            17 => Self::Checkpoint(Box::new(Facts::read(input)?)),
            _ => return Err(LayoutError),
        })
    }
}

impl Entry {
    /// The bytes that are signed.
    #[must_use]
    pub fn statement(&self) -> Vec<u8> {
        prefixed(DOMAIN, self)
    }

    /// Signs the entry. The seed must be that of [`Entry::key`].
    #[must_use]
    pub fn sign(self, seed: &Seed) -> SignedEntry {
        let signature = seed.sign(&self.statement());
        SignedEntry { entry: self, signature }
    }
}

/// An entry with its signature, which may be wrong until a [`RoomState`](crate::room_log::state::RoomState) has accepted the entry.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct SignedEntry {
    /// The signed entry, without its signature.
    pub entry: Entry,
    /// The signature by [`Entry::key`].
    pub signature: Signature,
}

struct_layout!(SignedEntry { entry, signature });

impl SignedEntry {
    /// Whether the entry's key has signed it.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        self.entry.key.has_signed(&self.entry.statement(), &self.signature)
    }

    /// The digest of the entry, which the next entry names.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&[&prefixed(DIGEST_DOMAIN, self)])
    }

    /// The layout of the entry, then the signature.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        prefixed(&[], self)
    }

    /// Reads an entry. An entry longer than [`ENTRY_MAX`] is none.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LayoutError> {
        if bytes.len() > ENTRY_MAX { Err(LayoutError) } else { read_all(bytes) }
    }
}

impl From<SignedEntry> for String {
    fn from(entry: SignedEntry) -> Self {
        base16ct::lower::encode_string(&entry.to_bytes())
    }
}

impl TryFrom<String> for SignedEntry {
    type Error = LayoutError;

    fn try_from(text: String) -> Result<Self, LayoutError> {
        Self::from_bytes(&base16ct::lower::decode_vec(text).map_err(|_| LayoutError)?)
    }
}

impl fmt::Debug for SignedEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.entry.fmt(f)
    }
}
