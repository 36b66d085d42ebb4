//! The outcome of a request.
//! It says what the reply contains, or why the request was refused.

use std::time::Duration;

use chrono::{DateTime, Utc};
use commons::keys::PublicKey;
use commons::names::{NameError, RoomName, Username};
use commons::protocol::page::Page;
use commons::protocol::with_tracker::ErrorCode;
use commons::room::RoomError;
use commons::room_log::refusal::Refusal;

use crate::limits::HASH_WAIT_MAX;
use crate::passwords::PasswordError;
use crate::rate_limit::in_seconds;
use crate::repositories::room::RoomFailure;
use crate::repositories::update::StorageError;

/// The outcome of a request that was carried out.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The text of the reply, for people.
    pub(crate) msg: String,
    /// The content of the reply. It is read from the repositories when the reply is sent, so that no session gets an
    /// older state after a newer one.
    pub(crate) shows: ReplyBody,
}

/// The content that a reply shows besides its text.
#[derive(Debug)]
pub(crate) enum ReplyBody {
    /// The reply has no further content.
    Nothing,
    /// The answer to a PING.
    Pong,
    /// The snapshot of a room.
    Room(RoomName),
    /// A page of the list of rooms. The second field is the user of an encrypted session.
    Rooms(Page, Option<Username>),
    /// The log of a room after an epoch.
    Log(RoomName, u64),
    /// A page of the list of connected peers.
    Peers(Page),
    /// The record of a user.
    Peer(Username),
    /// A page of the list of sessions.
    Sessions(Page),
    /// A page of the list of bans.
    Bans(Page),
    /// The user's own keys. The second field is the key that the session has proven.
    Keys(Username, Option<PublicKey>),
}

/// The error of a request that was refused. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestError {
    /// The error code, for programs.
    pub(crate) code: ErrorCode,
    /// The error message, for people.
    pub(crate) msg: String,
    /// The time after which the same request may succeed, if it is known.
    pub(crate) retry_after: Option<Duration>,
    /// The time at which a ban ends.
    pub(crate) until: Option<DateTime<Utc>>,
    /// A valid name in place of a refused one.
    pub(crate) suggestion: Option<String>,
}

impl Outcome {
    /// An outcome with a text only.
    pub(crate) fn text(msg: impl Into<String>) -> Self {
        Self { msg: msg.into(), shows: ReplyBody::Nothing }
    }

    /// An outcome with a text and further content.
    pub(crate) fn showing(msg: impl Into<String>, shows: ReplyBody) -> Self {
        Self { shows, ..Self::text(msg) }
    }
}

impl RequestError {
    /// Creates an error with this code and this message.
    pub(crate) fn new(code: ErrorCode, msg: impl Into<String>) -> Self {
        Self { code, msg: msg.into(), retry_after: None, until: None, suggestion: None }
    }

    /// Creates the error for a session that exceeds its rate limit.
    pub(crate) fn too_fast(wait: Duration) -> Self {
        let msg = format!("too fast: wait {}", in_seconds(wait));
        Self::new(ErrorCode::RateLimited, msg).retry_after(wait)
    }

    /// Creates the error for a banned user or address. Without `until`, the ban has no end.
    pub(crate) fn banned(until: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Self {
        let end = until.map_or_else(String::new, |until| format!(" until {}", in_utc(until)));
        let msg = format!("you are banned from this tracker{end}. Ask its operator if this is a mistake");
        let retry_after = until.and_then(|until| (until - now).to_std().ok());
        Self { retry_after, until, ..Self::new(ErrorCode::Banned, msg) }
    }

    /// Adds the time after which the same request may succeed.
    pub(crate) fn retry_after(self, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..self }
    }
}

/// A time for people, to the minute.
pub(crate) fn in_utc(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M UTC").to_string()
}

impl From<NameError> for RequestError {
    fn from(error: NameError) -> Self {
        let refused = Self::new(ErrorCode::InvalidName, error.to_string());
        match error {
            NameError::Capitals(lower) => Self { suggestion: Some(lower), ..refused },
            _ => refused,
        }
    }
}

impl From<StorageError> for RequestError {
    fn from(error: StorageError) -> Self {
        Self::new(ErrorCode::Storage, error.to_string())
    }
}

impl From<PasswordError> for RequestError {
    fn from(error: PasswordError) -> Self {
        let refused = Self::new(ErrorCode::Busy, error.to_string());
        match error {
            PasswordError::Busy => refused.retry_after(HASH_WAIT_MAX),
            PasswordError::Failed => refused,
        }
    }
}

impl From<RoomFailure> for RequestError {
    fn from(failure: RoomFailure) -> Self {
        let code = match failure {
            RoomFailure::NotFound => ErrorCode::RoomNotFound,
            RoomFailure::Exists => ErrorCode::RoomExists,
            RoomFailure::LooksAlike => ErrorCode::InvalidName,
            RoomFailure::TooMany => ErrorCode::Busy,
            RoomFailure::TooManyOfUser => ErrorCode::TooManyRooms,
            RoomFailure::NotSigned => ErrorCode::SignatureRequired,
            RoomFailure::Entry(refusal) => code_of(refusal),
            RoomFailure::Rule(RoomError::Full) => ErrorCode::RoomFull,
            RoomFailure::Rule(RoomError::NotAMember) => ErrorCode::NotAMember,
            RoomFailure::Rule(RoomError::NotOwner) => ErrorCode::NotOwner,
            RoomFailure::Storage(_) => ErrorCode::Storage,
        };
        Self::new(code, failure.to_string())
    }
}

/// The code of a refused entry.
fn code_of(refusal: Refusal) -> ErrorCode {
    match refusal {
        Refusal::Stale => ErrorCode::StaleHead,
        Refusal::Full => ErrorCode::RoomFull,
        Refusal::NotInvited => ErrorCode::NotInvited,
        Refusal::Banned => ErrorCode::BannedFromRoom,
        Refusal::TooMany => ErrorCode::TooManyChanges,
        Refusal::NotOwner => ErrorCode::NotOwner,
        Refusal::NotAMember => ErrorCode::NotAMember,
        Refusal::OtherRoom
        | Refusal::Signature
        | Refusal::UnknownKey
        | Refusal::RevokedKey
        | Refusal::Ended
        | Refusal::Time
        | Refusal::NoChange
        | Refusal::Value => ErrorCode::InvalidEntry,
    }
}
