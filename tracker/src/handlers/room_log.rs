//! The handler of requests about the logs of rooms.
//! Users add entries to a log, which change the room, and read its entries.

use chrono::{DateTime, Duration, Utc};
use commons::keys::{PublicKey, Seed};
use commons::limits::SUCCESSION_WAIT;
use commons::names::{RoomName, Username};
use commons::protocol::with_tracker::ErrorCode;
use commons::room::Room;
use commons::room_log::entry::{Change, Creation, Entry, SignedEntry};
use commons::room_log::head::SignedHead;
use commons::room_log::log::RoomLog;
use commons::room_log::state::room_id;

use crate::handlers::outcome::{Outcome, ReplyBody, RequestError};
use crate::limits::ENTRY_AHEAD_MAX;
use crate::login::SignedIn;
use crate::repositories::peer::PeerRepository;
use crate::repositories::room::{RoomFailure, RoomRepository, is_shown_to};
use crate::repositories::room_log::{extended, in_log_time};

/// Answers requests about the logs of rooms.
#[derive(Debug)]
pub(crate) struct RoomLogHandler {
    rooms: RoomRepository,
    peers: PeerRepository,
    key: Seed,
    /// The time by which an entry may be behind the tracker's clock.
    behind_max: std::time::Duration,
}

/// A part of a log, as a reply shows it.
#[derive(Debug)]
pub(crate) struct LogPage {
    /// The entries, oldest first.
    pub(crate) entries: Vec<SignedEntry>,
    /// The last entry of the whole log, signed by the tracker. `None` for a room without a log.
    pub(crate) head: Option<SignedHead>,
    /// Whether more entries follow.
    pub(crate) more: bool,
}

impl RoomLogHandler {
    /// Creates the handler. `peers` says who has which keys and was online when, and `key` is the tracker's.
    pub(crate) fn new(
        rooms: RoomRepository,
        peers: PeerRepository,
        key: Seed,
        behind_max: std::time::Duration,
    ) -> Self {
        Self { rooms, peers, key, behind_max }
    }

    /// Adds an entry to the log of a room. `key` is the key that the session has proven.
    pub(crate) async fn change(
        &self,
        requester: &SignedIn,
        key: Option<PublicKey>,
        signed: SignedEntry,
    ) -> Result<Outcome, RequestError> {
        let (entry, now) = (&signed.entry, Utc::now());
        if key != Some(entry.key) || entry.author != requester.username {
            return Err(invalid("the entry is not signed by this session's user and key"));
        }
        if entry.time > in_log_time(now + ENTRY_AHEAD_MAX) {
            return Err(invalid("the entry's time is in the future. Check the clock of your computer"));
        }
        if entry.time < in_log_time(now - self.behind_max) {
            return Err(invalid("the entry's time is long past. Check the clock of your computer"));
        }
        if let Change::Created(creation) = &entry.change {
            let name = self.check_creation(creation, &requester.username)?;
            return self.create(requester, name, signed, now).await;
        }
        let room = self.rooms.room_of_id(room_id(&entry.room)).ok_or(RoomFailure::NotFound)?;
        let log = extended(&room, signed)?;
        let entry = &log.last().entry;
        self.check_change(&room, entry, now)?;
        let (name, author) = (room.name.clone(), &requester.username);
        let change = entry.change.clone();
        self.rooms.replace_log(&room, log, Some(requester.connection), now).await?;
        Ok(match change {
            Change::Joined { .. } => {
                tracing::info!(room = %name, username = %author, "room entered");
                Outcome::showing(format!("you are in {name}"), ReplyBody::Room(name))
            }
            Change::Left => {
                tracing::info!(room = %name, username = %author, "room left");
                Outcome::text(format!("you left {name}"))
            }
            Change::Deleted => {
                tracing::info!(room = %name, owner = %author, "room deleted");
                Outcome::text(format!("{name} is deleted"))
            }
            _ => {
                tracing::info!(room = %name, username = %author, change = noun(&change), "room changed");
                Outcome::showing(format!("{name} is changed"), ReplyBody::Room(name))
            }
        })
    }

    fn check_creation(&self, creation: &Creation, owner: &Username) -> Result<RoomName, RequestError> {
        let name = RoomName::parse_new(creation.name.as_str())?;
        if creation.tracker != self.key.public_key() {
            return Err(invalid("the entry names another tracker's key"));
        }
        if self.rooms.room(&name).is_some() {
            return Err(RoomFailure::Exists.into());
        }
        self.rooms.check_room_count(owner)?;
        Ok(name)
    }

    async fn create(
        &self,
        requester: &SignedIn,
        name: RoomName,
        created: SignedEntry,
        now: DateTime<Utc>,
    ) -> Result<Outcome, RequestError> {
        let log = RoomLog::begin(created).map_err(RoomFailure::from)?;
        self.rooms.create_signed(log, Some(requester.connection), now).await?;
        tracing::info!(room = %name, owner = %requester.username, "room created");
        Ok(Outcome::showing(format!("{name} is created, and you are in it"), ReplyBody::Room(name)))
    }

    /// Checks the rules of the tracker, which the log does not know.
    fn check_change(&self, room: &Room, entry: &Entry, now: DateTime<Utc>) -> Result<(), RequestError> {
        match &entry.change {
            Change::Expired => Err(invalid("only the tracker ends a membership by this entry")),
            Change::Joined { .. } if !room.is_member(&entry.author) => {
                Ok(self.rooms.check_room_count(&entry.author)?)
            }
            Change::Owner(user) if *user == entry.author && *user != room.owner => {
                self.check_absence(&room.owner, now)
            }
            _ => Ok(()),
        }
    }

    /// Checks that an owner has been away for so long that the successor may take the room over.
    fn check_absence(&self, owner: &Username, now: DateTime<Utc>) -> Result<(), RequestError> {
        let peer = self.peers.peer(owner);
        let wait = Duration::from_std(SUCCESSION_WAIT).unwrap_or(Duration::MAX);
        let is_recent = |last: DateTime<Utc>| now.signed_duration_since(last) < wait;
        if peer.connected || peer.last_ping.is_some_and(is_recent) {
            let msg = format!("{owner} was online within the last {} days", wait.num_days());
            return Err(RequestError::new(ErrorCode::NotOwner, msg));
        }
        Ok(())
    }

    /// Shows the entries of a log after an epoch, if the user may read it. `viewer` is the user of an encrypted session.
    pub(crate) fn read(
        &self,
        room: &str,
        viewer: Option<&Username>,
        after: u64,
    ) -> Result<Outcome, RequestError> {
        let name = RoomName::parse(room)?;
        let viewer = viewer.map(|user| self.peers.peer(user));
        let shown = self.rooms.room(&name).filter(|room| is_shown_to(room, viewer.as_ref()));
        shown.ok_or(RoomFailure::NotFound)?;
        Ok(Outcome::showing(format!("the log of {name}"), ReplyBody::Log(name, after)))
    }

    /// The entries of a log after an epoch, as many as fit in a reply.
    pub(crate) fn page(&self, name: &RoomName, after: u64) -> Result<LogPage, RequestError> {
        let room = self.rooms.room(name).ok_or(RoomFailure::NotFound)?;
        let Some(log) = room.log else { return Ok(LogPage { entries: Vec::new(), head: None, more: false }) };
        let entries = log.page(after).to_vec();
        let more = entries.len() < log.after(after).len();
        Ok(LogPage { entries, head: Some(log.head().sign(&self.key)), more })
    }

    /// Checks that a new account does not inherit a membership. A log may list a user whose account was deleted. Such a
    /// name stays reserved for the keys in the log.
    pub(crate) fn check_new_account(
        &self,
        username: &str,
        key: Option<PublicKey>,
    ) -> Result<(), RequestError> {
        let Ok(username) = Username::parse(username) else { return Ok(()) };
        if self.rooms.is_reserved(&username, key) {
            let msg = format!("{username} is taken: choose another name");
            return Err(RequestError::new(ErrorCode::UsernameTaken, msg));
        }
        Ok(())
    }
}

/// The error for an entry that the tracker does not accept.
fn invalid(msg: &str) -> RequestError {
    RequestError::new(ErrorCode::InvalidEntry, msg)
}

/// The name of a change in the log.
fn noun(change: &Change) -> &'static str {
    match change {
        Change::Created(_) => "created",
        Change::Joined { .. } => "joined",
        Change::Left => "left",
        Change::Device(_) => "device",
        Change::Invited { .. } => "invited",
        Change::Uninvited(_) => "uninvited",
        Change::Removed(_) => "removed",
        Change::Banned(_) => "banned",
        Change::Unbanned(_) => "unbanned",
        Change::Policy(_) => "policy",
        Change::Owner(_) => "owner",
        Change::Topic(_) => "topic",
        Change::Successor(_) => "successor",
        Change::Deleted => "deleted",
        Change::Revoked { .. } => "revoked",
        Change::Expired => "expired",
        Change::Checkpoint(_) => "checkpoint",
    }
}
