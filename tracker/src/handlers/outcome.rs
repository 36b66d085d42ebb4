//! What a handler decides: what the asker is told, and what others are to hear.

use commons::keys::PublicKey;
use commons::names::{NameError, RoomName, Username};
use commons::protocol::with_tracker::{ErrorCode, Page};
use commons::room::{Room, RoomError};
use commons::snapshot::{ChangeKind, RoomChange};
use uuid::Uuid;

use crate::passwords::PasswordError;
use crate::repositories::room::RoomFailure;
use crate::repositories::update::StorageError;

/// A request was carried out.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// For people.
    pub(crate) msg: String,
    /// What the reply shows; looked up at the moment in which it is said, so that no session ever hears an older
    /// state after a newer one.
    pub(crate) shows: ReplyBody,
    /// What others are to hear.
    pub(crate) notices: Vec<Notice>,
}

/// What a reply shows beside its words.
#[derive(Debug)]
pub(crate) enum ReplyBody {
    /// Nothing.
    Nothing,
    /// That the tracker is there.
    Pong,
    /// A room.
    Room(RoomName),
    /// A page of the rooms.
    Rooms(Page),
    /// A page of the connected peers.
    Peers(Page),
    /// A user's record.
    Peer(Username),
    /// A user's own keys, to a session that has proven one of them.
    Keys(Username, Option<PublicKey>),
}

/// A change of a room that its members are to hear of.
#[derive(Debug)]
pub(crate) struct Notice {
    /// Which room.
    pub(crate) room: RoomName,
    /// The id of a deleted room.
    pub(crate) room_id: Option<Uuid>,
    /// What happened.
    pub(crate) change: RoomChange,
    /// Who hears of it beside those who sit there now.
    pub(crate) also: Vec<Username>,
}

/// A request was refused; nothing changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestError {
    /// For programs.
    pub(crate) code: ErrorCode,
    /// For people.
    pub(crate) msg: String,
}

impl Outcome {
    /// Words only.
    pub(crate) fn text(msg: impl Into<String>) -> Self {
        Self { msg: msg.into(), shows: ReplyBody::Nothing, notices: Vec::new() }
    }

    /// Words and something to show.
    pub(crate) fn showing(msg: impl Into<String>, shows: ReplyBody) -> Self {
        Self { shows, ..Self::text(msg) }
    }

    /// With something that others are to hear.
    pub(crate) fn with_push(mut self, notice: Notice) -> Self {
        self.notices.push(notice);
        self
    }
}

impl Notice {
    /// For the members of the room.
    pub(crate) fn new(room: &RoomName, kind: ChangeKind, username: &Username) -> Self {
        let change = RoomChange { kind, username: username.clone() };
        Self { room: room.clone(), room_id: None, change, also: Vec::new() }
    }

    /// For the members of a room that is deleted.
    pub(crate) fn deleted(room: &Room, by: &Username) -> Self {
        let also = room.seats().map(|seat| seat.username.clone()).collect();
        Self { room_id: Some(room.id), also, ..Self::new(&room.name, ChangeKind::Deleted, by) }
    }

    /// For people.
    pub(crate) fn msg(&self) -> String {
        let (room, username) = (&self.room, &self.change.username);
        match self.change.kind {
            ChangeKind::Joined => format!("{username} joined {room}"),
            ChangeKind::Left => format!("{username} left {room}"),
            ChangeKind::Offline => format!("{username} went offline"),
            ChangeKind::Online => format!("{username} is back"),
            ChangeKind::Deleted => format!("{username} deleted {room}"),
        }
    }
}

impl RequestError {
    /// With this code and these words.
    pub(crate) fn new(code: ErrorCode, msg: impl Into<String>) -> Self {
        Self { code, msg: msg.into() }
    }
}

impl From<NameError> for RequestError {
    fn from(error: NameError) -> Self {
        Self::new(ErrorCode::InvalidName, error.to_string())
    }
}

impl From<StorageError> for RequestError {
    fn from(error: StorageError) -> Self {
        Self::new(ErrorCode::Storage, error.to_string())
    }
}

impl From<PasswordError> for RequestError {
    fn from(error: PasswordError) -> Self {
        Self::new(ErrorCode::Busy, error.to_string())
    }
}

impl From<RoomFailure> for RequestError {
    fn from(failure: RoomFailure) -> Self {
        let code = match failure {
            RoomFailure::NotFound => ErrorCode::RoomNotFound,
            RoomFailure::Exists => ErrorCode::RoomExists,
            RoomFailure::TooMany => ErrorCode::Busy,
            RoomFailure::Rule(RoomError::Full) => ErrorCode::RoomFull,
            RoomFailure::Rule(RoomError::NotAMember) => ErrorCode::NotAMember,
            RoomFailure::Rule(RoomError::NotOwner) => ErrorCode::NotOwner,
            RoomFailure::Storage(_) => ErrorCode::Storage,
        };
        Self::new(code, failure.to_string())
    }
}
