//! The examples of `docs/protocol.md`, checked byte for byte against the types.
//!
//! Every message, code and change needs an example. Its row below is part of an exhaustive match, and the test fails if
//! no example covers the row.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::time::Duration;

use commons::limits;
use commons::protocol::administration::AdminRequest;
use commons::protocol::between_peers::PeerMessage;
use commons::protocol::with_tracker::{
    ErrorCode, RequestEnvelope, RequestId, RequestParseError, Status, TrackerMessage, TrackerRequest,
};
use commons::snapshot::ChangeKind;
use serde::Serialize;
use serde_json::{Map, Value};

const PAGE: &str = include_str!("../../docs/protocol.md");

/// The lines of every block that opens with exactly these words. There is always at least one.
fn examples(words: &str) -> Vec<&'static str> {
    let opening = format!("```{words}");
    let mut lines = PAGE.lines();
    let mut found = Vec::new();
    while lines.by_ref().any(|line| line == opening) {
        found.extend(lines.by_ref().take_while(|line| *line != "```"));
    }
    assert!(!found.is_empty(), "no example of {words}");
    found
}

/// Generates, for a type, an exhaustive match that names every variant, and the list of those names.
macro_rules! variants {
    ($function:ident, $all:ident: $type:ty { $($pattern:pat => $name:literal),* $(,)? }) => {
        fn $function(value: &$type) -> &'static str {
            match value { $($pattern => $name),* }
        }
        const $all: &[&str] = &[$($name),*];
    };
}

variants!(request_name, REQUESTS: TrackerRequest {
    TrackerRequest::Register(_) => "REGISTER",
    TrackerRequest::Login(_) => "LOGIN",
    TrackerRequest::Logout => "LOGOUT",
    TrackerRequest::ListPeers(_) => "LIST_PEERS",
    TrackerRequest::GetPeer { .. } => "GET_PEER",
    TrackerRequest::ListRooms(_) => "LIST_ROOMS",
    TrackerRequest::CreateRoom { .. } => "CREATE_ROOM",
    TrackerRequest::JoinRoom { .. } => "JOIN_ROOM",
    TrackerRequest::LeaveRoom { .. } => "LEAVE_ROOM",
    TrackerRequest::DeleteRoom { .. } => "DELETE_ROOM",
    TrackerRequest::ChangeRoom { .. } => "CHANGE_ROOM",
    TrackerRequest::RoomLog { .. } => "ROOM_LOG",
    TrackerRequest::ListKeys => "LIST_KEYS",
    TrackerRequest::RevokeKey { .. } => "REVOKE_KEY",
    TrackerRequest::EndorseKey { .. } => "ENDORSE_KEY",
    TrackerRequest::ChangePassword { .. } => "CHANGE_PASSWORD",
    TrackerRequest::DeleteAccount { .. } => "DELETE_ACCOUNT",
    TrackerRequest::Ping => "PING",
    TrackerRequest::Pong => "PONG",
    TrackerRequest::Admin(AdminRequest::Sessions(_)) => "SESSIONS",
    TrackerRequest::Admin(AdminRequest::Kick { .. }) => "KICK",
    TrackerRequest::Admin(AdminRequest::Ban(_)) => "BAN",
    TrackerRequest::Admin(AdminRequest::Unban(_)) => "UNBAN",
    TrackerRequest::Admin(AdminRequest::Bans(_)) => "BANS",
    TrackerRequest::Admin(AdminRequest::Announce { .. }) => "ANNOUNCE",
    TrackerRequest::Admin(AdminRequest::AdminDeleteRoom { .. }) => "ADMIN_DELETE_ROOM",
    TrackerRequest::Admin(AdminRequest::RemoveUser { .. }) => "REMOVE_USER",
});

variants!(status_name, STATUSES: Status {
    Status::Ok(_) => "OK",
    Status::Error(_) => "ERROR",
    Status::RoomUpdate(_) => "ROOM_UPDATE",
    Status::Announcement(_) => "ANNOUNCEMENT",
    Status::Ping => "PING",
    Status::Superseded => "SUPERSEDED",
    Status::ShuttingDown => "SHUTTING_DOWN",
});

variants!(code_name, CODES: ErrorCode {
    ErrorCode::Malformed => "MALFORMED",
    ErrorCode::FrameTooLarge => "FRAME_TOO_LARGE",
    ErrorCode::UnknownCommand => "UNKNOWN_COMMAND",
    ErrorCode::MissingParameter => "MISSING_PARAMETER",
    ErrorCode::InvalidName => "INVALID_NAME",
    ErrorCode::NotLoggedIn => "NOT_LOGGED_IN",
    ErrorCode::AlreadyLoggedIn => "ALREADY_LOGGED_IN",
    ErrorCode::InvalidCredentials => "INVALID_CREDENTIALS",
    ErrorCode::DigestRequired => "DIGEST_REQUIRED",
    ErrorCode::LoginKeyOutdated => "LOGIN_KEY_OUTDATED",
    ErrorCode::TooManyAttempts => "TOO_MANY_ATTEMPTS",
    ErrorCode::UsernameTaken => "USERNAME_TAKEN",
    ErrorCode::Forbidden => "FORBIDDEN",
    ErrorCode::PeerNotFound => "PEER_NOT_FOUND",
    ErrorCode::KeyNotFound => "KEY_NOT_FOUND",
    ErrorCode::RoomNotFound => "ROOM_NOT_FOUND",
    ErrorCode::RoomExists => "ROOM_EXISTS",
    ErrorCode::RoomFull => "ROOM_FULL",
    ErrorCode::NotAMember => "NOT_A_MEMBER",
    ErrorCode::NotOwner => "NOT_OWNER",
    ErrorCode::StaleHead => "STALE_HEAD",
    ErrorCode::InvalidEntry => "INVALID_ENTRY",
    ErrorCode::SignatureRequired => "SIGNATURE_REQUIRED",
    ErrorCode::NotInvited => "NOT_INVITED",
    ErrorCode::BannedFromRoom => "BANNED_FROM_ROOM",
    ErrorCode::TooManyChanges => "TOO_MANY_CHANGES",
    ErrorCode::TooManyRooms => "TOO_MANY_ROOMS",
    ErrorCode::PlaintextRefused => "PLAINTEXT_REFUSED",
    ErrorCode::RateLimited => "RATE_LIMITED",
    ErrorCode::Busy => "BUSY",
    ErrorCode::Storage => "STORAGE",
    ErrorCode::NotAdmin => "NOT_ADMIN",
    ErrorCode::Banned => "BANNED",
    ErrorCode::NotBanned => "NOT_BANNED",
    ErrorCode::Kicked => "KICKED",
    ErrorCode::RegistrationClosed => "REGISTRATION_CLOSED",
    ErrorCode::CodeRequired => "CODE_REQUIRED",
    ErrorCode::WrongCode => "WRONG_CODE",
    ErrorCode::Unknown => "a code of a later version",
});

variants!(change_name, CHANGES: ChangeKind {
    ChangeKind::Joined => "joined",
    ChangeKind::Left => "left",
    ChangeKind::Offline => "offline",
    ChangeKind::Online => "online",
    ChangeKind::Deleted => "deleted",
    ChangeKind::Changed => "changed",
});

variants!(peer_name, PEER_MESSAGES: PeerMessage<'_> {
    PeerMessage::Hello(_) => "HELLO",
    PeerMessage::Welcome(_) => "WELCOME",
    PeerMessage::Message { .. } => "MESSAGE",
    PeerMessage::Leave { .. } => "LEAVE",
    PeerMessage::Presence { .. } => "PRESENCE",
    PeerMessage::Received { .. } => "RECEIVED",
    PeerMessage::Have(_) => "HAVE",
    PeerMessage::Want { .. } => "WANT",
    PeerMessage::RoomLog { .. } => "ROOM_LOG",
    PeerMessage::Entries(_) => "ENTRIES",
    PeerMessage::Lines { .. } => "LINES",
    PeerMessage::Refused { .. } => "REFUSED",
    PeerMessage::Ping => "PING",
    PeerMessage::Pong => "PONG",
    PeerMessage::Unknown => "a command of a later version",
});

/// The names that no example has covered.
fn missing<'a>(all: &[&'a str], seen: &BTreeSet<&str>) -> Vec<&'a str> {
    all.iter().copied().filter(|name| !seen.contains(name)).collect()
}

fn read(line: &str) -> Result<RequestEnvelope, RequestParseError> {
    RequestEnvelope::read(serde_json::from_str::<Map<String, Value>>(line).unwrap())
}

/// A request with its id, in the order that a session sends.
#[derive(Serialize)]
struct Sent<'a> {
    #[serde(flatten)]
    request: &'a TrackerRequest,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a RequestId>,
}

fn message(line: &str) -> TrackerMessage {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))
}

fn peer_message(line: &str) -> PeerMessage<'_> {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))
}

#[test]
fn every_request_is_written_as_it_is_shown() {
    let mut seen = BTreeSet::new();
    for line in examples("json tracker-request") {
        let RequestEnvelope { id, username: _, request } =
            read(line).unwrap_or_else(|refused| panic!("{line}: {refused:?}"));
        let sent = Sent { request: &request, id: id.as_ref() };
        assert_eq!(serde_json::to_string(&sent).unwrap(), line);
        seen.insert(request_name(&request));
    }
    assert_eq!(missing(REQUESTS, &seen), [""; 0]);
}

#[test]
fn requests_in_other_clothes_are_read() {
    for line in examples("json tracker-request read-only") {
        assert!(read(line).is_ok(), "{line}");
    }
}

#[test]
fn requests_are_refused_with_the_code_that_is_shown() {
    for code in ["MALFORMED", "UNKNOWN_COMMAND", "MISSING_PARAMETER"] {
        for line in examples(&format!("json tracker-refused {code}")) {
            assert_eq!(code_name(&read(line).unwrap_err().code), code, "{line}");
        }
    }
}

#[test]
fn every_tracker_frame_is_encoded_as_documented() {
    let (mut statuses, mut codes, mut changes) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let written = examples("json tracker-message");
    let read_only = examples("json tracker-message read-only");
    for line in written.iter().chain(&read_only) {
        let message = message(line);
        if written.contains(line) {
            assert_eq!(serde_json::to_string(&message).unwrap(), *line);
        }
        let TrackerMessage::Status(status) = message else { continue };
        statuses.insert(status_name(&status));
        match *status {
            Status::Error(refusal) => {
                codes.insert(code_name(&refusal.code));
            }
            Status::RoomUpdate(update) => {
                changes.insert(change_name(&update.change.kind));
            }
            _ => {}
        }
    }
    assert_eq!(missing(STATUSES, &statuses), [""; 0]);
    assert_eq!(missing(CODES, &codes), [""; 0]);
    assert_eq!(missing(CHANGES, &changes), [""; 0]);
}

#[test]
fn every_peer_frame_is_encoded_as_documented() {
    let mut seen = BTreeSet::new();
    for line in examples("json peer-message") {
        let message = peer_message(line);
        assert_eq!(serde_json::to_string(&message).unwrap(), line);
        seen.insert(peer_name(&message));
    }
    for line in examples("json peer-message read-only") {
        seen.insert(peer_name(&peer_message(line)));
    }
    assert_eq!(missing(PEER_MESSAGES, &seen), [""; 0]);
}

#[test]
fn no_block_goes_unread() {
    let known = [
        "json tracker-request",
        "json tracker-request read-only",
        "json tracker-refused MALFORMED",
        "json tracker-refused UNKNOWN_COMMAND",
        "json tracker-refused MISSING_PARAMETER",
        "json tracker-message",
        "json tracker-message read-only",
        "json peer-message",
        "json peer-message read-only",
        // The peer's own tests read these blocks.
        "json event",
        "json answer",
        "json request",
        "json reply",
        "json line-vector",
        "json endorsement-vector",
        "json login-key-vector",
    ];
    for opening in PAGE.lines().filter_map(|line| line.strip_prefix("```")).filter(|words| !words.is_empty())
    {
        assert!(known.contains(&opening), "no test reads ```{opening}");
    }
}

#[test]
fn the_page_states_the_limits_in_force() {
    let seconds = |time: Duration| usize::try_from(time.as_secs()).unwrap();
    for (name, value) in [
        ("FRAME_MAX", limits::FRAME_MAX),
        ("FRAME_MAX_BEFORE_LOGIN", limits::FRAME_MAX_BEFORE_LOGIN),
        ("JSON_DEPTH", limits::JSON_DEPTH),
        ("TEXT_MAX", limits::TEXT_MAX),
        ("ORIGINAL_RECV", limits::ORIGINAL_RECV),
        ("USERNAME_MAX", limits::USERNAME_MAX),
        ("ROOM_NAME_MAX", limits::ROOM_NAME_MAX),
        ("DIAL_TIMEOUT", seconds(limits::DIAL_TIMEOUT)),
        ("FIRST_BYTE_TIMEOUT", seconds(limits::FIRST_BYTE_TIMEOUT)),
        ("WRITE_TIMEOUT", seconds(limits::WRITE_TIMEOUT)),
        ("LINGER_TIME", seconds(limits::LINGER_TIME)),
    ] {
        let start = format!("| `{name}` | ");
        let row = PAGE.lines().find_map(|line| line.strip_prefix(&start));
        let row = row.unwrap_or_else(|| panic!("no row for {name}"));
        let stated: String =
            row.chars().take_while(|c| c.is_ascii_digit() || *c == ',').filter(|c| *c != ',').collect();
        assert_eq!(stated.parse(), Ok(value), "{name}");
    }
}
