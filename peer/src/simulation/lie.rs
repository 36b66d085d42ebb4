//! The lies of the simulated tracker about a room with a log.

use std::sync::Arc;

use commons::names::Username;
use commons::peer::Peer;
use commons::protocol::with_tracker::Reply;
use commons::room_log::entry::{Change, SignedEntry};
use commons::room_log::facts::Policy;
use commons::room_log::head::Head;
use commons::room_log::log::RoomLog;
use commons::snapshot::{Member, RoomSnapshot};

use crate::history::testing::{author, device};
use crate::simulation::log::Warning;
use crate::simulation::rooms::{Rooms, creation, page, tracker_seed, up_to};

/// A lie of the tracker about the room.
#[derive(Debug, Clone)]
pub(crate) enum Lie {
    /// A user is listed who is no member.
    Ghost(Username),
    /// A member is listed with an earlier time of joining.
    Since(Username),
    /// A member is left out.
    Hidden(Username),
    /// Another key of a member is announced.
    Keys(Username),
    /// An earlier snapshot is shown, and only the entries up to it.
    Earlier(Box<RoomSnapshot>),
    /// The room is shown without its log.
    Bare,
    /// Another entry is claimed to be the last one.
    Split,
    /// Another log of the same room is shown, with entries that people have signed.
    Fork(Arc<RoomLog>),
    /// The newest entries are followed by one that removes a member, and that the owner has not signed.
    ForgedEntry(Username),
    /// An entry of another room stands among the newest ones.
    ForeignEntry,
    /// The newest entries are withheld.
    NoNews,
}

/// Returns a key that the tracker made up for a user.
pub(crate) fn made_up_key(user: &Username) -> commons::keys::PublicKey {
    device(&format!("{user}.evil"))
}

impl Lie {
    /// Returns the warnings to which the lie may lead.
    pub(crate) fn warnings(&self) -> Vec<Warning> {
        let codes: &[&'static str] = match self {
            Self::Ghost(user) => return vec![("GHOST", Some(user.clone()))],
            // A key that the log does not prove counts for nobody, and a user who knows another one is told.
            Self::Keys(user) => return vec![("KEY_CHANGED", Some(user.clone()))],
            Self::Since(_) | Self::Hidden(_) | Self::NoNews => &[],
            Self::Earlier(_) => &["LOG_OLDER"],
            Self::Bare => &["LOG_MISSING"],
            Self::Split => &["SPLIT_VIEW"],
            Self::Fork(_) => &["SPLIT_VIEW", "OTHER_LOG"],
            // The tracker signs the false entry as the last one. Another member may know the true one by then.
            Self::ForgedEntry(_) => &["LOG_INVALID", "SPLIT_VIEW"],
            Self::ForeignEntry => &["LOG_INVALID"],
        };
        codes.iter().map(|code| (*code, None)).collect()
    }

    /// Returns the snapshot that the tracker shows in place of the true one.
    pub(crate) fn show(&self, mut room: RoomSnapshot) -> RoomSnapshot {
        match self {
            Self::Ghost(user) if !room.has_member(user) => {
                let (address, keys) = (Some([127, 0, 0, 1].into()), vec![device(user.as_str())]);
                let peer =
                    Peer { address, port: Some(1), connected: true, keys, ..Peer::never_seen(user.clone()) };
                room.members.push(Member {
                    username: user.clone(),
                    connected: true,
                    since: 0,
                    keys: peer.keys.clone(),
                    endorsements: Vec::new(),
                    in_menu: false,
                });
                room.peer_two = Some(peer);
            }
            Self::Since(user) => {
                room.members.iter_mut().filter(|it| it.username == *user).for_each(|it| it.since = 0);
            }
            Self::Hidden(user) => {
                room.members.retain(|member| member.username != *user);
                let slots = [&mut room.peer_owner, &mut room.peer_one, &mut room.peer_two];
                slots.into_iter().for_each(|slot| *slot = slot.take().filter(|peer| peer.username != *user));
            }
            Self::Keys(user) => {
                let members = room.members.iter_mut().filter(|member| member.username == *user);
                members.for_each(|member| member.keys = vec![made_up_key(user)]);
            }
            Self::Earlier(earlier) => room = RoomSnapshot { revision: room.revision, ..(**earlier).clone() },
            Self::Bare => room.log = None,
            Self::Split => {
                if let Some(log) = &mut room.log {
                    log.head.0[0] ^= 1;
                }
            }
            Self::Fork(log) => {
                room.log = Some(log.head().into());
                room.members.retain(|member| log.state().members().contains_key(&member.username));
            }
            Self::Ghost(_) | Self::ForgedEntry(_) | Self::ForeignEntry | Self::NoNews => {}
        }
        room
    }

    /// Returns the entries after an epoch that the tracker shows in place of the true ones.
    pub(crate) fn show_entries(&self, rooms: &Rooms, after: u64) -> Option<Reply> {
        let log = rooms.log()?;
        Some(match self {
            Self::Fork(log) => page(log, after),
            Self::Earlier(room) => page(&up_to(log, room.log?.epoch)?, after),
            Self::ForgedEntry(user) => {
                let (state, owner) = (log.state(), log.state().owner().clone());
                let change = Change::Removed(user.clone());
                let entry = state.next(owner.clone(), device(owner.as_str()), 0, change);
                Self::with_entry(page(log, after), entry.sign(&tracker_seed()))
            }
            Self::ForeignEntry => {
                let owner = log.state().owner().clone();
                let mut other = RoomLog::begin(creation(&owner, Policy::Open, 2)).ok()?;
                let change = Change::Topic("tea".to_owned());
                let next = other.state().next(owner.clone(), device(owner.as_str()), 0, change);
                other.append(next.sign(&author(owner.as_str()).seed)).ok()?;
                let mut reply = page(log, after);
                reply.entries = Some(vec![other.last().clone()]);
                reply
            }
            Self::NoNews => Reply { entries: Some(Vec::new()), more: false, ..page(log, after) },
            _ => return None,
        })
    }

    /// Adds an entry to a reply, with a head that the tracker has signed.
    fn with_entry(mut reply: Reply, entry: SignedEntry) -> Reply {
        let head = Head { room: entry.entry.room, epoch: entry.entry.epoch, digest: entry.digest() };
        reply.head = Some(Box::new(head.sign(&tracker_seed())));
        reply.entries.get_or_insert_default().push(entry);
        reply.more = false;
        reply
    }
}
