//! The facts of a room that its log decides, as a checkpoint states them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::incarnation::Incarnation;
use crate::keys::PublicKey;
use crate::names::{RoomName, Username};
use crate::room_log::layout::{Layout, LayoutError, struct_layout};

/// The rule by which users may join a room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// Anybody may take a free place.
    #[default]
    Open,
    /// Only users whom the owner has invited may join.
    Invite,
}

impl Layout for Policy {
    fn write(&self, out: &mut Vec<u8>) {
        (*self == Self::Invite).write(out);
    }

    fn read(input: &mut &[u8]) -> Result<Self, LayoutError> {
        bool::read(input).map(|invite| if invite { Self::Invite } else { Self::Open })
    }
}

/// The last message of one stream of a revoked key that is still valid.
pub type StreamEnd = (Incarnation, u64);

/// The part of the state that a checkpoint states. Newcomers go on from there, with the head of the checkpoint's entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    pub(super) room: Digest,
    pub(super) name: RoomName,
    pub(super) tracker: PublicKey,
    pub(super) legacy: bool,
    pub(super) policy: Policy,
    pub(super) owner: Username,
    /// The time of the owner's last entry.
    pub(super) owner_seen: u64,
    pub(super) members: BTreeMap<Username, LogMember>,
    /// The keys of the owner and of the members.
    pub(super) keys: BTreeMap<Username, BTreeSet<PublicKey>>,
    pub(super) invited: BTreeMap<Username, BTreeSet<PublicKey>>,
    pub(super) banned: BTreeSet<Username>,
    pub(super) successor: Option<Username>,
    pub(super) topic: String,
    /// The revoked keys of each user, with the ends of their streams.
    pub(super) revoked: BTreeMap<(Username, PublicKey), Vec<StreamEnd>>,
    pub(super) is_ended: bool,
    /// The time of the last entry, and the epoch of the last checkpoint or of the beginning.
    pub(super) time: u64,
    pub(super) checkpoint: u64,
}

struct_layout!(Facts {
    room,
    name,
    tracker,
    legacy,
    policy,
    owner,
    owner_seen,
    members,
    keys,
    invited,
    banned,
    successor,
    topic,
    revoked,
    is_ended,
    time,
    checkpoint
});

/// A member, as the log shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogMember {
    /// The epoch of the entry by which the user joined.
    pub since: u64,
    /// The time of that entry, in milliseconds since 1970, as the member claims it.
    pub joined_at: u64,
    /// The user by whose invitation the member joined.
    pub invited_by: Option<Username>,
}

struct_layout!(LogMember { since, joined_at, invited_by });
