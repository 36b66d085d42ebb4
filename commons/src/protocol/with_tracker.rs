//! What a peer asks of the tracker and what the tracker answers and announces.

use std::collections::BTreeMap;
use std::net::IpAddr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::keys::{PublicKey, Signature};
use crate::names::RoomName;
use crate::peer::{Peer, rfc3339_seconds};
use crate::snapshot::{RoomChange, RoomSnapshot};

/// What a request may carry to have its reply told apart: a string or an integer, echoed unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RequestId {
    /// A number.
    Number(i64),
    /// A number beyond those.
    Large(u64),
    /// A text.
    Text(String),
}

/// A peer's request. Names are text here: whoever serves the request parses them and can say what is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "cmd", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TrackerRequest {
    /// Make an account and sign in.
    Register(Credentials),
    /// Sign in.
    Login(Credentials),
    /// Sign out; the tracker answers and closes.
    Logout,
    /// Who is connected, by name.
    ListPeers(Page),
    /// One user's record.
    GetPeer {
        /// Whose.
        peer: String,
    },
    /// Which rooms exist, by name.
    ListRooms(Page),
    /// Make a room and sit in it.
    CreateRoom {
        /// Its name.
        room: String,
    },
    /// Take a seat.
    JoinRoom {
        /// Where.
        room: String,
    },
    /// Give a seat up.
    LeaveRoom {
        /// Where.
        room: String,
    },
    /// End a room one owns.
    DeleteRoom {
        /// Which.
        room: String,
    },
    /// The user's own keys.
    ListKeys,
    /// Take one of the user's own keys away.
    RevokeKey {
        /// Which.
        key: PublicKey,
    },
    /// Vouch for another of the user's own keys by the session's.
    EndorseKey {
        /// Which.
        key: PublicKey,
        /// That the session's key vouches for it: see [`Endorsement`](crate::endorsement::Endorsement).
        signature: Signature,
    },
    /// Give the user's own account another password.
    ChangePassword {
        /// The digest of the old one; absent where a bound key proves the user.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        password: Option<Secret>,
        /// The digest of the new one.
        new_password: Secret,
    },
    /// End the user's own account; the tracker answers and closes.
    DeleteAccount {
        /// The password's digest; absent where a bound key proves the user.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        password: Option<Secret>,
    },
    /// Is the tracker there?
    Ping,
    /// Yes, this peer is here: the answer to the tracker's PING; never answered itself.
    Pong,
}

/// Who signs in, and where that peer takes links.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// The user's name.
    pub username: String,
    /// Lower-case hex SHA-256 of the typed password; absent where a key proves the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// Where the peer says it can be reached; believed from loopback only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The port on which it takes links.
    pub port: u16,
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

/// Which part of a list is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// Only names that start so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Only names after this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// At most so many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// A request as it arrived, with what surrounds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Echoed in the reply.
    pub id: Option<RequestId>,
    /// Whom the request says it speaks for; must be the session's own where present.
    pub username: Option<String>,
    /// What is asked.
    pub request: TrackerRequest,
}

/// Why a frame is no request; the reply carries all three.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotARequest {
    /// The id to echo, where one could be read.
    pub id: Option<RequestId>,
    /// MALFORMED, UNKNOWN_COMMAND or MISSING_PARAMETER.
    pub code: ErrorCode,
    /// What is wrong, without repeating values.
    pub msg: String,
}

/// Every command and the fields without which it means nothing.
const REQUIRED: [(&str, &[&str]); 17] = [
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
    ("LIST_KEYS", &[]),
    ("REVOKE_KEY", &["key"]),
    ("ENDORSE_KEY", &["key", "signature"]),
    ("CHANGE_PASSWORD", &["new_password"]),
    ("DELETE_ACCOUNT", &[]),
    ("PING", &[]),
    ("PONG", &[]),
];

impl Asked {
    /// Reads a request from a JSON object. Unknown fields are ignored, a `null` field counts as absent.
    pub fn read(mut object: Map<String, Value>) -> Result<Self, NotARequest> {
        object.retain(|_, value| !value.is_null());
        let id = match object.remove("id").map(serde_json::from_value) {
            None => None,
            Some(Ok(id)) => Some(id),
            Some(Err(_)) => {
                let msg = "\"id\" must be a string or an integer".to_owned();
                return Err(NotARequest { id: None, code: ErrorCode::Malformed, msg });
            }
        };
        let refuse = |code, msg: String| NotARequest { id: id.clone(), code, msg };
        let Some(Value::String(cmd)) = object.get("cmd") else {
            return Err(refuse(ErrorCode::Malformed, "\"cmd\" must be a string".into()));
        };
        let Some((cmd, required)) = REQUIRED.iter().find(|(name, _)| name == cmd) else {
            return Err(refuse(ErrorCode::UnknownCommand, "unknown command".into()));
        };
        if let Some(missing) = required.iter().find(|field| !object.contains_key(**field)) {
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

/// What the tracker says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TrackerMessage {
    /// Everything with a `status`.
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
    /// The request was refused; nothing changed.
    Error(Refusal),
    /// A room changed: unasked, to its seated members.
    RoomUpdate(RoomUpdate),
    /// Is the peer there? Answered with PONG.
    Ping,
    /// A newer login took this one's place: do not reconnect.
    Superseded,
    /// The tracker stops: reconnect later.
    ShuttingDown,
}

/// What an OK carries.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// For people.
    pub msg: String,
    /// Connected peers by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peers: Option<BTreeMap<String, ListedPeer>>,
    /// One user's record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<Box<FoundPeer>>,
    /// Rooms by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rooms: Option<BTreeMap<String, RoomSnapshot>>,
    /// One room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<RoomSnapshot>,
    /// The user's own keys, the one bound first in front.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<Vec<BoundKey>>,
    /// `true` where a list goes on after its last name; absent otherwise.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
    /// The request's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<RequestId>,
}

/// What an ERROR carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// For people: what is wrong and what to do.
    pub msg: String,
    /// For programs.
    pub code: ErrorCode,
    /// The request's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<RequestId>,
}

/// A change of a room and the state it led to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomUpdate {
    /// For people.
    pub msg: String,
    /// What happened.
    pub change: RoomChange,
    /// The room afterwards; `null` once it is deleted.
    pub room: Option<RoomSnapshot>,
    /// Which room it was, where `room` cannot tell it any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<RoomName>,
    /// The id of a deleted room: by now the name may belong to another room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room_id: Option<Uuid>,
}

/// The answer to PING, on every wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pong {
    cmd: PongTag,
    /// The request's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<RequestId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum PongTag {
    #[serde(rename = "PONG")]
    Pong,
}

impl Pong {
    /// A PONG that echoes an id.
    #[must_use]
    pub fn to(id: Option<RequestId>) -> Self {
        Self { cmd: PongTag::Pong, id }
    }
}

/// A peer as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedPeer {
    /// The user's name.
    pub username: String,
    /// Where the peer is.
    pub address: Option<IpAddr>,
    /// The port on which it takes links.
    pub port: Option<u16>,
    /// Whether it is connected.
    pub connected: bool,
    /// When it last answered a PING.
    #[serde(serialize_with = "rfc3339_seconds")]
    pub last_ping: Option<DateTime<Utc>>,
    /// The room that the user joined last, of those in which a seat is held.
    pub room: Option<String>,
}

/// A peer as GET_PEER shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundPeer {
    /// The record, with the user's keys.
    #[serde(flatten)]
    pub peer: Peer,
    /// The room that the user joined last, of those in which a seat is held.
    pub room: Option<String>,
}

impl ListedPeer {
    /// A record as a list shows it.
    #[must_use]
    pub fn new(peer: Peer, room: Option<String>) -> Self {
        let Peer { username, address, port, connected, last_ping, keys: _, endorsements: _ } = peer;
        Self { username: username.as_str().to_owned(), address, port, connected, last_ping, room }
    }
}

/// A key of a user, as that user is shown it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundKey {
    /// The key.
    pub key: PublicKey,
    /// Whether it is the one that this session has proven.
    pub current: bool,
    /// Which other one vouches for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endorsed_by: Option<PublicKey>,
}

/// Why the tracker refuses: stable, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ErrorCode {
    /// Not a valid request.
    Malformed,
    /// Longer than a frame may be.
    FrameTooLarge,
    /// No such command.
    UnknownCommand,
    /// A field is absent without which the command means nothing.
    MissingParameter,
    /// The text is no name.
    InvalidName,
    /// Sign in first.
    NotLoggedIn,
    /// This session is signed in.
    AlreadyLoggedIn,
    /// A wrong password, of a known or an unknown name.
    InvalidCredentials,
    /// Not judged: too many guesses came before.
    TooManyAttempts,
    /// The name has an account.
    UsernameTaken,
    /// Speaking for somebody else.
    Forbidden,
    /// No such user.
    PeerNotFound,
    /// The user has no such key.
    KeyNotFound,
    /// No such room.
    RoomNotFound,
    /// The name has a room.
    RoomExists,
    /// Every guest's seat is taken.
    RoomFull,
    /// The user holds no seat there.
    NotAMember,
    /// Only the owner may.
    NotOwner,
    /// The user sits in as many rooms as one may.
    TooManyRooms,
    /// Not without encryption.
    PlaintextRefused,
    /// Too fast; the message says how long to wait.
    RateLimited,
    /// Too much to do; try again later.
    Busy,
    /// The change could not be made durable, so it was not made.
    Storage,
    /// A code of a later version.
    #[serde(other)]
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Asked, NotARequest> {
        Asked::read(serde_json::from_str(json).unwrap())
    }

    #[test]
    fn tells_what_is_wrong_with_a_request_and_keeps_its_id() {
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
        let asked = read(r#"{"cmd":"JOIN_ROOM","room":"sala","username":"ana","colour":"red"}"#).unwrap();
        assert_eq!(asked.request, TrackerRequest::JoinRoom { room: "sala".into() });
        assert_eq!(asked.username.as_deref(), Some("ana"));
    }

    #[test]
    fn a_password_is_not_shown() {
        let asked = read(r#"{"cmd":"LOGIN","username":"ana","password":"canary","port":1}"#).unwrap();
        assert!(!format!("{asked:?}").contains("canary"));
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
