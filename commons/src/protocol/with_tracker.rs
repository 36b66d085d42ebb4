//! The protocol between a peer and the tracker: requests, replies and announcements.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::keys::{PublicKey, Signature};
use crate::names::RoomName;
use crate::peer::rfc3339_seconds;
use crate::protocol::administration::{AdminRequest, Announcement, ListedBan, ListedSession};
use crate::protocol::listed_peer::{FoundPeer, ListedPeer};
use crate::protocol::page::Page;
use crate::room_log::entry::SignedEntry;
use crate::room_log::head::SignedHead;
use crate::snapshot::{RoomChange, RoomSnapshot};

/// The optional id of a request: a string or an integer. The reply repeats it unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RequestId {
    /// An integer within the range of `i64`.
    Number(i64),
    /// A larger integer, within the range of `u64`.
    Large(u64),
    /// A text of any form.
    Text(String),
}

/// A peer's request. Names are plain text here: the tracker parses them and can report the error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "cmd", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TrackerRequest {
    /// Register an account and sign in.
    Register(Credentials),
    /// Sign in with a key or a password.
    Login(Credentials),
    /// Sign out. The tracker answers and closes the connection.
    Logout,
    /// List the connected users by name.
    ListPeers(Page),
    /// Get the record of one user.
    GetPeer {
        /// The name of the user.
        peer: String,
    },
    /// List the rooms by name.
    ListRooms(Page),
    /// Create a room and join it.
    CreateRoom {
        /// The name of the new room.
        room: String,
    },
    /// Join a room.
    JoinRoom {
        /// The name of the room.
        room: String,
    },
    /// Leave a room.
    LeaveRoom {
        /// The name of the room.
        room: String,
    },
    /// Delete a room of one's own.
    DeleteRoom {
        /// The name of the room.
        room: String,
    },
    /// Add an entry to the log of a room: create, join, leave or delete it, or change something else about it.
    ChangeRoom {
        /// The entry, signed by this session's key.
        entry: Box<SignedEntry>,
    },
    /// Get entries of the log of a room.
    RoomLog {
        /// The name of the room.
        room: String,
        /// The epoch after which the entries are wanted; 0 for all.
        #[serde(default, skip_serializing_if = "is_zero")]
        after: u64,
    },
    /// List the user's own keys.
    ListKeys,
    /// Revoke one of the user's own keys.
    RevokeKey {
        /// The revoked key.
        key: PublicKey,
    },
    /// Endorse another of the user's own keys with the session's key.
    EndorseKey {
        /// The endorsed key.
        key: PublicKey,
        /// The signature of the session's key: see [`Endorsement`](crate::endorsement::Endorsement).
        signature: Signature,
    },
    /// Change the password of the user's own account.
    ChangePassword {
        /// The digest of the old password. It is absent if a login key or a bound key proves the user.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        password: Option<Secret>,
        /// The login key of the old password.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        login_key: Option<Secret>,
        /// The digest of the new one, for clients that sign in with it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        new_password: Option<Secret>,
        /// The login key of the new one. This or the digest is there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        new_login_key: Option<Secret>,
    },
    /// Delete the user's own account. The tracker answers and closes the connection.
    DeleteAccount {
        /// The password's digest. It is absent if a login key or a bound key proves the user.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        password: Option<Secret>,
        /// The password's login key.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        login_key: Option<Secret>,
        /// The fate of the user's own rooms.
        #[serde(default, skip_serializing_if = "RoomsFate::is_default")]
        rooms: RoomsFate,
    },
    /// A liveness check of the tracker.
    Ping,
    /// The peer's answer to the tracker's PING. It is never answered itself.
    Pong,
    /// A request of an admin.
    #[serde(untagged)]
    Admin(AdminRequest),
}

/// Whether a number is the default, which the wire leaves out.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The fate of a user's own rooms when the account is deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoomsFate {
    /// The other member who has been in the room for the longest time becomes its owner. A room without other members
    /// is deleted.
    #[default]
    HandOn,
    /// The rooms are deleted.
    Delete,
}

impl RoomsFate {
    /// Whether this is the default, which the wire leaves out.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Credentials of a sign-in, and the address at which the peer accepts links.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// The name of the account.
    pub username: String,
    /// Lower-case hex SHA-256 of the typed password. It is absent if a login key or a key proves the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// The login key of the password: see [`LoginKey`](crate::login_key::LoginKey).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login_key: Option<Secret>,
    /// The address that the peer claims. The tracker accepts the claim only from loopback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The port on which the peer accepts links.
    pub port: u16,
    /// The registration code, for REGISTER at a tracker that demands one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Secret>,
}

/// A text that `Debug` never shows.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A received request with its envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestEnvelope {
    /// The id that the reply repeats.
    pub id: Option<RequestId>,
    /// The user for which the request claims to act. If present, it must be the session's own.
    pub username: Option<String>,
    /// The request itself.
    pub request: TrackerRequest,
}

/// Reason why a frame is not a request. The reply carries all three fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestParseError {
    /// The id to repeat, if one could be read.
    pub id: Option<RequestId>,
    /// The code: MALFORMED, UNKNOWN_COMMAND or MISSING_PARAMETER.
    pub code: ErrorCode,
    /// A description of the error that repeats no values.
    pub msg: String,
}

/// Required fields in whose place another field may stand.
const SUBSTITUTES: [(&str, &str); 2] = [("password", "login_key"), ("new_password", "new_login_key")];

/// All commands with their required fields.
const REQUIRED: [(&str, &[&str]); 27] = [
    ("REGISTER", &["username", "password", "port"]),
    ("LOGIN", &["username", "port"]),
    ("LOGOUT", &[]),
    ("LIST_PEERS", &[]),
    ("GET_PEER", &["peer"]),
    ("LIST_ROOMS", &[]),
    ("CREATE_ROOM", &["room"]),
    ("JOIN_ROOM", &["room"]),
    ("LEAVE_ROOM", &["room"]),
    ("DELETE_ROOM", &["room"]),
    ("CHANGE_ROOM", &["entry"]),
    ("ROOM_LOG", &["room"]),
    ("LIST_KEYS", &[]),
    ("REVOKE_KEY", &["key"]),
    ("ENDORSE_KEY", &["key", "signature"]),
    ("CHANGE_PASSWORD", &["new_password"]),
    ("DELETE_ACCOUNT", &[]),
    ("PING", &[]),
    ("PONG", &[]),
    ("SESSIONS", &[]),
    ("KICK", &["user"]),
    ("BAN", &[]),
    ("UNBAN", &[]),
    ("BANS", &[]),
    ("ANNOUNCE", &["text"]),
    ("ADMIN_DELETE_ROOM", &["room"]),
    ("REMOVE_USER", &["user"]),
];

impl RequestEnvelope {
    /// Reads a request from a JSON object. Unknown fields are ignored, and a `null` field counts as absent.
    pub fn read(mut object: Map<String, Value>) -> Result<Self, RequestParseError> {
        object.retain(|_, value| !value.is_null());
        let id = match object.remove("id").map(serde_json::from_value) {
            None => None,
            Some(Ok(id)) => Some(id),
            Some(Err(_)) => {
                let msg = "\"id\" must be a string or an integer".to_owned();
                return Err(RequestParseError { id: None, code: ErrorCode::Malformed, msg });
            }
        };
        let refuse = |code, msg: String| RequestParseError { id: id.clone(), code, msg };
        let Some(Value::String(cmd)) = object.get("cmd") else {
            return Err(refuse(ErrorCode::Malformed, "\"cmd\" must be a string".into()));
        };
        let Some((cmd, required)) = REQUIRED.iter().find(|(name, _)| name == cmd) else {
            return Err(refuse(ErrorCode::UnknownCommand, "unknown command".into()));
        };
        let is_there = |field: &str| {
            let substitute = SUBSTITUTES.iter().find(|(required, _)| *required == field);
            object.contains_key(field) || substitute.is_some_and(|(_, other)| object.contains_key(*other))
        };
        if let Some(missing) = required.iter().find(|field| !is_there(field)) {
            return Err(refuse(ErrorCode::MissingParameter, format!("{cmd} needs \"{missing}\"")));
        }
        let username = match object.get("username") {
            None => None,
            Some(Value::String(name)) => Some(name.clone()),
            Some(_) => return Err(refuse(ErrorCode::Malformed, "\"username\" must be a string".into())),
        };
        match serde_json::from_value(Value::Object(object)) {
            Ok(request) => Ok(Self { id, username, request }),
            Err(_) => Err(refuse(ErrorCode::Malformed, format!("a field of {cmd} has the wrong type"))),
        }
    }
}

/// A frame from the tracker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TrackerMessage {
    /// Every frame with a `status`.
    Status(Box<Status>),
    /// The answer to PING.
    Pong(Pong),
}

/// A reply or an announcement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// The request was carried out.
    Ok(Reply),
    /// The request was refused, and nothing changed.
    Error(Refusal),
    /// An unrequested announcement to a room's members that the room has changed.
    RoomUpdate(RoomUpdate),
    /// A text of an admin for all users.
    Announcement(Announcement),
    /// A liveness check, which the peer answers with PONG.
    Ping,
    /// A newer login has replaced this session. The peer must not reconnect.
    Superseded,
    /// The tracker is shutting down. The peer should reconnect later.
    ShuttingDown,
}

/// The content of an OK.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// A text for people.
    pub msg: String,
    /// Connected peers by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peers: Option<BTreeMap<String, ListedPeer>>,
    /// The record of one user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<Box<FoundPeer>>,
    /// The rooms by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rooms: Option<BTreeMap<String, RoomSnapshot>>,
    /// The requested room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<RoomSnapshot>,
    /// Entries of a room's log, oldest first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entries: Option<Vec<SignedEntry>>,
    /// The last entry of that log, signed by the tracker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<Box<SignedHead>>,
    /// The user's own keys, in the order in which they were bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<Vec<BoundKey>>,
    /// The sessions by user name, for an admin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sessions: Option<BTreeMap<String, ListedSession>>,
    /// The bans by subject, for an admin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bans: Option<BTreeMap<String, ListedBan>>,
    /// The operator's message of the day, after a sign-in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub motd: Option<String>,
    /// `true` after the sign-in of an admin; absent otherwise.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub admin: bool,
    /// `true` if a list continues after its last name; absent otherwise.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
    /// The id of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<RequestId>,
}

/// The content of an ERROR.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// A text for people: the cause and the remedy.
    pub msg: String,
    /// A stable code for programs.
    pub code: ErrorCode,
    /// The milliseconds after which the same request may work, if the tracker knows them: beside RATE_LIMITED,
    /// TOO_MANY_ATTEMPTS, BUSY and BANNED.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// The time at which a ban ends. It is absent for a ban without an end.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "rfc3339_seconds")]
    pub until: Option<DateTime<Utc>>,
    /// The id of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<RequestId>,
}

/// A change of a room, and the resulting state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomUpdate {
    /// A text for people.
    pub msg: String,
    /// The change itself.
    pub change: RoomChange,
    /// The room afterwards; `null` if it was deleted.
    pub room: Option<RoomSnapshot>,
    /// The name of the room, if `room` is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<RoomName>,
    /// The id of a deleted room. Its name may belong to another room by now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room_id: Option<Uuid>,
}

/// The answer to PING in both protocols.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pong {
    cmd: PongTag,
    /// The id of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<RequestId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum PongTag {
    #[serde(rename = "PONG")]
    Pong,
}

impl Pong {
    /// Creates a PONG that repeats an id.
    #[must_use]
    pub fn to(id: Option<RequestId>) -> Self {
        Self { cmd: PongTag::Pong, id }
    }
}

/// A key of a user, as its owner sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundKey {
    /// The key itself.
    pub key: PublicKey,
    /// Whether this session has proven it.
    pub current: bool,
    /// Another key of the user that endorses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endorsed_by: Option<PublicKey>,
}

/// Reason of a refusal: a stable code for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ErrorCode {
    /// The frame is not a valid request.
    Malformed,
    /// The frame is longer than allowed.
    FrameTooLarge,
    /// The command does not exist.
    UnknownCommand,
    /// A required field is absent.
    MissingParameter,
    /// The text is not a valid name.
    InvalidName,
    /// The session must sign in first.
    NotLoggedIn,
    /// The session is already signed in.
    AlreadyLoggedIn,
    /// The password or key is wrong, or the name is unknown.
    InvalidCredentials,
    /// The account has no login key that can be checked, only the digest of its password.
    DigestRequired,
    /// The login key of the account belongs to an earlier key of the tracker.
    LoginKeyOutdated,
    /// The password was not checked, because too many wrong ones came before.
    TooManyAttempts,
    /// The name already has an account.
    UsernameTaken,
    /// The request acts for another user.
    Forbidden,
    /// The user does not exist.
    PeerNotFound,
    /// The user has no such key.
    KeyNotFound,
    /// The room does not exist.
    RoomNotFound,
    /// A room of that name exists already.
    RoomExists,
    /// The room has no free place for a guest.
    RoomFull,
    /// The user is not a member of the room.
    NotAMember,
    /// Only the owner may do this.
    NotOwner,
    /// The entry does not follow the last one of the room's log. ROOM_LOG has the entries between.
    StaleHead,
    /// The entry breaks a rule of the log.
    InvalidEntry,
    /// The room takes only people who sign its log.
    SignatureRequired,
    /// The room takes only users whom its owner has invited.
    NotInvited,
    /// The owner of the room has banned the user.
    BannedFromRoom,
    /// The user has made too many changes of the room today.
    TooManyChanges,
    /// The user is a member of the largest allowed number of rooms.
    TooManyRooms,
    /// The request requires an encrypted connection.
    PlaintextRefused,
    /// The requests come too fast; `retry_after_ms` says how long to wait.
    RateLimited,
    /// The tracker is busy. The request may be repeated later.
    Busy,
    /// The change could not be made durable, so it was not made.
    Storage,
    /// Only an admin may do this.
    NotAdmin,
    /// The user or the address is banned.
    Banned,
    /// There is no such ban.
    NotBanned,
    /// An admin ended the session.
    Kicked,
    /// The tracker accepts no new accounts.
    RegistrationClosed,
    /// A new account needs a registration code.
    CodeRequired,
    /// The registration code is wrong.
    WrongCode,
    /// A code of a later version.
    #[serde(other)]
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<RequestEnvelope, RequestParseError> {
        RequestEnvelope::read(serde_json::from_str(json).unwrap())
    }

    #[test]
    fn invalid_request_is_refused_with_the_reason_and_its_id() {
        for (json, code) in [
            (r#"{}"#, ErrorCode::Malformed),
            (r#"{"cmd":5,"id":7}"#, ErrorCode::Malformed),
            (r#"{"cmd":"NOPE","id":7}"#, ErrorCode::UnknownCommand),
            (r#"{"cmd":"JOIN_ROOM","id":7}"#, ErrorCode::MissingParameter),
            (r#"{"cmd":"JOIN_ROOM","room":null,"id":7}"#, ErrorCode::MissingParameter),
            (r#"{"cmd":"JOIN_ROOM","room":[1],"id":7}"#, ErrorCode::Malformed),
            (r#"{"cmd":"LOGIN","username":"a","password":"b","port":70000,"id":7}"#, ErrorCode::Malformed),
            (r#"{"cmd":"LOGOUT","username":[],"id":7}"#, ErrorCode::Malformed),
        ] {
            let refused = read(json).unwrap_err();
            assert_eq!(refused.code, code, "{json}");
            assert_eq!(refused.id.is_some(), json.contains("\"id\""), "{json}");
        }
        assert_eq!(read(r#"{"cmd":"PING","id":{}}"#).unwrap_err().code, ErrorCode::Malformed);
    }

    #[test]
    fn echoes_every_id_of_64_bits_and_refuses_fractions() {
        for id in ["9223372036854775808", "18446744073709551615", "-9223372036854775808", "0", "\"\""] {
            let id_read = read(&format!(r#"{{"cmd":"PING","id":{id}}}"#)).unwrap().id;
            assert_eq!(serde_json::to_string(&id_read).unwrap(), id);
        }
        for id in ["1.5", "1e3", "true", "36893488147419103232"] {
            assert!(read(&format!(r#"{{"cmd":"PING","id":{id}}}"#)).is_err(), "{id}");
        }
    }

    #[test]
    fn ignores_unknown_fields() {
        let envelope = read(r#"{"cmd":"JOIN_ROOM","room":"sala","username":"ana","colour":"red"}"#).unwrap();
        assert_eq!(envelope.request, TrackerRequest::JoinRoom { room: "sala".into() });
        assert_eq!(envelope.username.as_deref(), Some("ana"));
    }

    #[test]
    fn a_password_is_not_shown() {
        let envelope = read(r#"{"cmd":"LOGIN","username":"ana","password":"canary","port":1}"#).unwrap();
        assert!(!format!("{envelope:?}").contains("canary"));
    }

    #[test]
    fn codes_of_a_later_version_are_still_refusals() {
        let message: TrackerMessage =
            serde_json::from_str(r#"{"status":"ERROR","msg":"x","code":"BRAND_NEW"}"#).unwrap();
        assert!(
            matches!(message, TrackerMessage::Status(s) if matches!(*s, Status::Error(ref r) if r.code == ErrorCode::Unknown))
        );
    }
}
