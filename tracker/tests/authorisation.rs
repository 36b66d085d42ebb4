//! Tests of every command with every kind of client.
//! A command without a row does not compile.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may")]

mod common;

use common::{PASSWORD, TestTracker, WRONG, members, room};
use commons::digest::Digest;
use commons::keys::{PublicKey, Seed, Signature};
use commons::names::Username;
use commons::protocol::administration::{AdminRequest, BanTarget, NewBan};
use commons::protocol::page::Page;
use commons::protocol::with_tracker::{Credentials, RoomsFate, Secret, TrackerRequest};
use commons::room_log::entry::{Change, Entry, SignedEntry};
use serde_json::{Value, json};

/// The kind of client that sends a request. Ana owns the room `sala`, and bob is a guest in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Requester {
    NotLoggedIn,
    PreAuth,
    Member,
    Owner,
    /// The owner, on a session that a newer login has replaced.
    Stale,
}

const REQUESTERS: [Requester; 5] =
    [Requester::NotLoggedIn, Requester::PreAuth, Requester::Member, Requester::Owner, Requester::Stale];

/// The result for each client, in the order of [`REQUESTERS`].
fn row(request: &TrackerRequest) -> [&'static str; 5] {
    match request {
        TrackerRequest::Register(_) | TrackerRequest::Login(_) => {
            ["OK", "ALREADY_LOGGED_IN", "ALREADY_LOGGED_IN", "ALREADY_LOGGED_IN", "closed"]
        }
        TrackerRequest::Logout
        | TrackerRequest::ListPeers(_)
        | TrackerRequest::GetPeer { .. }
        | TrackerRequest::ListRooms(_)
        | TrackerRequest::CreateRoom { .. }
        | TrackerRequest::JoinRoom { .. }
        | TrackerRequest::RoomLog { .. }
        | TrackerRequest::ListKeys
        | TrackerRequest::ChangePassword { .. }
        | TrackerRequest::DeleteAccount { .. } => ["NOT_LOGGED_IN", "OK", "OK", "OK", "closed"],
        TrackerRequest::LeaveRoom { .. } => ["NOT_LOGGED_IN", "NOT_A_MEMBER", "OK", "OK", "closed"],
        TrackerRequest::DeleteRoom { .. } => ["NOT_LOGGED_IN", "NOT_A_MEMBER", "NOT_OWNER", "OK", "closed"],
        // No session here has proven a key: see `tracker/tests/room_log.rs`.
        TrackerRequest::ChangeRoom { .. } => {
            ["NOT_LOGGED_IN", "INVALID_ENTRY", "INVALID_ENTRY", "INVALID_ENTRY", "closed"]
        }
        TrackerRequest::RevokeKey { .. } | TrackerRequest::EndorseKey { .. } => {
            ["NOT_LOGGED_IN", "KEY_NOT_FOUND", "KEY_NOT_FOUND", "KEY_NOT_FOUND", "closed"]
        }
        // No session here acts as an admin: see `tracker/tests/administration.rs`.
        TrackerRequest::Admin(
            AdminRequest::Sessions(_)
            | AdminRequest::Bans(_)
            | AdminRequest::Announce { .. }
            | AdminRequest::Kick { .. }
            | AdminRequest::Ban(_)
            | AdminRequest::Unban(_)
            | AdminRequest::AdminDeleteRoom { .. }
            | AdminRequest::RemoveUser { .. },
        ) => ["NOT_LOGGED_IN", "NOT_ADMIN", "NOT_ADMIN", "NOT_ADMIN", "closed"],
        TrackerRequest::Ping => ["NOT_LOGGED_IN", "PONG", "PONG", "PONG", "closed"],
        TrackerRequest::Pong => ["silence", "silence", "silence", "silence", "closed"],
    }
}

/// The command after this one. A new command does not compile until it is part of the chain.
fn after(request: &TrackerRequest) -> Option<TrackerRequest> {
    let sala = || "sala".to_owned();
    Some(match request {
        TrackerRequest::Register(_) => TrackerRequest::Login(credentials("ana")),
        TrackerRequest::Login(_) => TrackerRequest::Logout,
        TrackerRequest::Logout => TrackerRequest::ListPeers(Page::default()),
        TrackerRequest::ListPeers(_) => TrackerRequest::GetPeer { peer: "ana".to_owned() },
        TrackerRequest::GetPeer { .. } => TrackerRequest::ListRooms(Page::default()),
        TrackerRequest::ListRooms(_) => TrackerRequest::CreateRoom { room: "quarto".to_owned() },
        TrackerRequest::CreateRoom { .. } => TrackerRequest::JoinRoom { room: sala() },
        TrackerRequest::JoinRoom { .. } => TrackerRequest::LeaveRoom { room: sala() },
        TrackerRequest::LeaveRoom { .. } => TrackerRequest::DeleteRoom { room: sala() },
        TrackerRequest::DeleteRoom { .. } => TrackerRequest::ChangeRoom { entry: Box::new(deletion()) },
        TrackerRequest::ChangeRoom { .. } => TrackerRequest::RoomLog { room: sala(), after: 0 },
        TrackerRequest::RoomLog { .. } => TrackerRequest::ListKeys,
        TrackerRequest::ListKeys => TrackerRequest::RevokeKey { key: PublicKey::new([7; 32]) },
        TrackerRequest::RevokeKey { .. } => {
            TrackerRequest::EndorseKey { key: PublicKey::new([7; 32]), signature: Signature([7; 64]) }
        }
        TrackerRequest::EndorseKey { .. } => TrackerRequest::ChangePassword {
            password: Some(Secret(PASSWORD.to_owned())),
            login_key: None,
            new_password: Some(Secret(WRONG.to_owned())),
            new_login_key: None,
        },
        TrackerRequest::ChangePassword { .. } => {
            let password = Some(Secret(PASSWORD.to_owned()));
            TrackerRequest::DeleteAccount { password, login_key: None, rooms: RoomsFate::HandOn }
        }
        TrackerRequest::DeleteAccount { .. } => TrackerRequest::Ping,
        TrackerRequest::Ping => TrackerRequest::Pong,
        TrackerRequest::Pong => TrackerRequest::Admin(AdminRequest::Sessions(Page::default())),
        TrackerRequest::Admin(request) => return after_admin(request).map(TrackerRequest::Admin),
    })
}

/// The command of admins after this one.
fn after_admin(request: &AdminRequest) -> Option<AdminRequest> {
    let bob = || "bob".to_owned();
    let target = || BanTarget { user: Some(bob()), address: None };
    Some(match request {
        AdminRequest::Sessions(_) => AdminRequest::Bans(Page::default()),
        AdminRequest::Bans(_) => AdminRequest::Announce { text: "noon".to_owned() },
        AdminRequest::Announce { .. } => AdminRequest::Kick { user: bob() },
        AdminRequest::Kick { .. } => AdminRequest::Ban(NewBan { target: target(), seconds: None }),
        AdminRequest::Ban(_) => AdminRequest::Unban(target()),
        AdminRequest::Unban(_) => AdminRequest::AdminDeleteRoom { room: "sala".to_owned() },
        AdminRequest::AdminDeleteRoom { .. } => AdminRequest::RemoveUser { user: bob() },
        AdminRequest::RemoveUser { .. } => return None,
    })
}

fn commands() -> impl Iterator<Item = TrackerRequest> {
    std::iter::successors(Some(TrackerRequest::Register(credentials("nova"))), after)
}

/// An entry of the owner that deletes a room.
fn deletion() -> SignedEntry {
    let (seed, room) = (Seed::new([7; 32]), Digest([7; 32]));
    let (author, key) = (Username::parse("ana").unwrap(), seed.public_key());
    Entry { room, epoch: 2, previous: room, time: 0, author, key, change: Change::Deleted }.sign(&seed)
}

fn credentials(username: &str) -> Credentials {
    let password = Some(Secret(PASSWORD.to_owned()));
    let username = username.to_owned();
    Credentials { username, password, login_key: None, address: None, port: 5000, code: None }
}

/// The result of a request by a kind of client, and the state after it.
async fn get(requester: Requester, request: &Value) -> (String, Value) {
    let tracker = TestTracker::start().await;
    let mut ana = tracker.user("ana").await;
    let mut bob = tracker.user("bob").await;
    ana.ok(room("CREATE_ROOM", "sala")).await;
    bob.ok(room("JOIN_ROOM", "sala")).await;
    ana.expect_push("joined", "bob").await;
    let mut witness = tracker.user("witness").await;
    let mut client = match requester {
        Requester::NotLoggedIn => tracker.connect().await,
        Requester::PreAuth => tracker.user("dora").await,
        Requester::Member => bob,
        Requester::Owner => ana,
        Requester::Stale => {
            tracker.back("ana").await;
            assert_eq!(ana.recv().await, json!({"status": "SUPERSEDED"}));
            ana
        }
    };
    client.try_send(request).await;
    client.try_send(&json!({"cmd": "PING", "id": "after"})).await;
    let got = match client.try_recv().await {
        None => "closed".to_owned(),
        Some(reply) if reply["id"] == "after" => "silence".to_owned(),
        Some(reply) => {
            let what = [&reply["code"], &reply["status"], &reply["cmd"]].into_iter().find_map(Value::as_str);
            what.unwrap().to_owned()
        }
    };
    (got, witness.ok(json!({"cmd": "LIST_ROOMS"})).await["rooms"].take())
}

#[tokio::test]
async fn each_user_gets_own_data_and_nothing_else() {
    for command in commands() {
        let request = serde_json::to_value(&command).unwrap();
        for (requester, expected) in REQUESTERS.into_iter().zip(row(&command)) {
            let (got, rooms) = get(requester, &request).await;
            assert_eq!(got, expected, "{requester:?} asks {request}");
            if !["OK", "PONG"].contains(&expected) {
                assert_eq!(members(&rooms["sala"]), ["ana", "bob"], "{requester:?} asks {request}");
                assert_eq!(rooms.as_object().unwrap().len(), 1, "{requester:?} asks {request}");
            }
        }
    }
}

#[tokio::test]
async fn request_under_another_name_is_refused() {
    for command in commands() {
        let mut request = serde_json::to_value(&command).unwrap();
        request["username"] = json!("ana");
        let expected = match &command {
            TrackerRequest::Register(_) | TrackerRequest::Login(_) => "ALREADY_LOGGED_IN",
            TrackerRequest::Pong => "silence",
            _ => "FORBIDDEN",
        };
        for requester in [Requester::PreAuth, Requester::Member] {
            let (got, rooms) = get(requester, &request).await;
            assert_eq!(got, expected, "{requester:?} asks {request}");
            assert_eq!(members(&rooms["sala"]), ["ana", "bob"]);
        }
        // The same request is valid for the user whose name it contains.
        if expected == "FORBIDDEN" {
            let (got, _) = get(Requester::Owner, &request).await;
            assert_eq!(got, row(&command)[3], "the owner asks {request}");
        }
    }
}
