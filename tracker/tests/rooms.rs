//! Tests of rooms over the wire.
//! They check the rules, and which members get which pushes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may")]

mod common;

use common::{TestTracker, members, room};
use serde_json::{Value, json};

#[tokio::test]
async fn three_meet_and_a_fourth_is_refused() {
    let tracker = TestTracker::start().await;
    let mut ana = tracker.user_at("ana", 5001).await;
    let mut bob = tracker.user_at("bob", 5002).await;
    let mut carla = tracker.original("carla").await;
    let mut dora = tracker.user("dora").await;

    let made = ana.ok(room("CREATE_ROOM", "sala")).await;
    assert_eq!((&made["room"]["owner"], &made["room"]["revision"]), (&json!("ana"), &json!(1)));
    assert_eq!(made["room"]["peer_owner"]["port"], 5001);
    let joined = bob.ok(room("JOIN_ROOM", "sala")).await;
    assert_eq!(members(&joined["room"]), ["ana", "bob"]);
    let pushed = ana.expect_push("joined", "bob").await;
    assert_eq!(pushed, joined["room"], "a push carries the whole room");
    carla.ok(room("JOIN_ROOM", "sala")).await;
    ana.expect_push("joined", "carla").await;
    let pushed = bob.expect_push("joined", "carla").await;
    assert_eq!(pushed["peer_two"]["username"], "carla");
    assert_eq!(dora.refused(room("JOIN_ROOM", "sala")).await, "ROOM_FULL");

    let again = carla.ok(room("JOIN_ROOM", "sala")).await;
    assert_eq!(again["room"], pushed, "joining again changes nothing");
    for member in [&mut ana, &mut bob, &mut carla, &mut dora] {
        member.expect_no_push().await;
    }
}

#[tokio::test]
async fn names_are_unique_and_checked() {
    let tracker = TestTracker::start().await;
    let mut ana = tracker.user("ana").await;
    ana.ok(room("CREATE_ROOM", "sala")).await;
    for (request, code) in [
        (room("CREATE_ROOM", "sala"), "ROOM_EXISTS"),
        (room("CREATE_ROOM", " sala"), "INVALID_NAME"),
        (room("CREATE_ROOM", "a\u{1b}[2J"), "INVALID_NAME"),
        (room("CREATE_ROOM", "@bob"), "INVALID_NAME"),
        (room("CREATE_ROOM", "/quit"), "INVALID_NAME"),
        (room("JOIN_ROOM", "/quit"), "ROOM_NOT_FOUND"),
        (room("JOIN_ROOM", "quarto"), "ROOM_NOT_FOUND"),
        (room("LEAVE_ROOM", "quarto"), "ROOM_NOT_FOUND"),
        (room("DELETE_ROOM", "quarto"), "ROOM_NOT_FOUND"),
        (json!({"cmd": "JOIN_ROOM"}), "MISSING_PARAMETER"),
        (json!({"cmd": "JOIN_ROOM", "room": [1]}), "MALFORMED"),
    ] {
        assert_eq!(ana.refused(request.clone()).await, code, "{request}");
    }
}

#[tokio::test]
async fn an_owner_who_leaves_stays_the_owner() {
    let tracker = TestTracker::start().await;
    let mut ana = tracker.user("ana").await;
    let mut bob = tracker.user("bob").await;
    let mut carla = tracker.user("carla").await;
    let mut dora = tracker.user("dora").await;
    ana.ok(room("CREATE_ROOM", "sala")).await;
    bob.ok(room("JOIN_ROOM", "sala")).await;
    carla.ok(room("JOIN_ROOM", "sala")).await;
    ana.expect_push("joined", "bob").await;
    ana.expect_push("joined", "carla").await;
    bob.expect_push("joined", "carla").await;

    ana.ok(room("LEAVE_ROOM", "sala")).await;
    let left = bob.expect_push("left", "ana").await;
    carla.expect_push("left", "ana").await;
    assert_eq!(
        (members(&left), &left["owner"], &left["peer_owner"]),
        (vec!["bob", "carla"], &json!("ana"), &Value::Null)
    );
    assert_eq!(ana.refused(room("LEAVE_ROOM", "sala")).await, "NOT_A_MEMBER");
    assert_eq!(dora.refused(room("JOIN_ROOM", "sala")).await, "ROOM_FULL", "the owner's seat is kept");

    bob.ok(room("LEAVE_ROOM", "sala")).await;
    carla.expect_push("left", "bob").await;
    ana.expect_no_push().await;
    let back = ana.ok(room("JOIN_ROOM", "sala")).await;
    assert_eq!(members(&back["room"]), ["ana", "carla"]);
    carla.expect_push("joined", "ana").await;
}

#[tokio::test]
async fn only_the_owner_deletes_and_all_members_are_notified() {
    let tracker = TestTracker::start().await;
    let mut ana = tracker.user("ana").await;
    let mut bob = tracker.user("bob").await;
    let mut dora = tracker.user("dora").await;
    let first = ana.ok(room("CREATE_ROOM", "sala")).await;
    bob.ok(room("JOIN_ROOM", "sala")).await;
    ana.expect_push("joined", "bob").await;
    assert_eq!(bob.refused(room("DELETE_ROOM", "sala")).await, "NOT_OWNER");
    assert_eq!(dora.refused(room("DELETE_ROOM", "sala")).await, "NOT_A_MEMBER");

    ana.ok(room("DELETE_ROOM", "sala")).await;
    let push = bob.recv().await;
    assert_eq!(push["change"], json!({"kind": "deleted", "username": "ana"}));
    assert_eq!((&push["room"], &push["name"]), (&Value::Null, &json!("sala")));
    assert_eq!(push["room_id"], first["room"]["id"]);
    ana.expect_no_push().await;
    dora.expect_no_push().await;
    let second = ana.ok(room("CREATE_ROOM", "sala")).await;
    assert_ne!(first["room"]["id"], second["room"]["id"]);
}

#[tokio::test]
async fn user_joins_a_bounded_number_of_rooms() {
    let tracker = TestTracker::start().await;
    let mut ana = tracker.user("ana").await;
    let mut bob = tracker.user("bob").await;
    bob.ok(room("CREATE_ROOM", "theirs")).await;
    for n in 0..16 {
        ana.ok(room("CREATE_ROOM", &format!("room {n}"))).await;
    }
    assert_eq!(ana.refused(room("CREATE_ROOM", "one more")).await, "TOO_MANY_ROOMS");
    assert_eq!(ana.refused(room("JOIN_ROOM", "theirs")).await, "TOO_MANY_ROOMS");
    ana.ok(room("JOIN_ROOM", "room 5")).await;
    ana.ok(room("LEAVE_ROOM", "room 5")).await;
    ana.ok(room("JOIN_ROOM", "theirs")).await;
}

#[tokio::test]
async fn replies_carry_the_id_that_was_asked_with() {
    let tracker = TestTracker::start().await;
    let mut ana = tracker.user("ana").await;
    for n in 0..20 {
        ana.send(&json!({"cmd": "CREATE_ROOM", "room": format!("{n}"), "id": n})).await;
    }
    ana.send(&json!({"cmd": "PING", "id": "last"})).await;
    for n in 0..20 {
        assert_eq!(ana.recv().await["id"], n);
    }
    assert_eq!(ana.recv().await, json!({"cmd": "PONG", "id": "last"}));
}

#[tokio::test]
async fn within_a_session_no_older_state_follows_a_newer_one() {
    let tracker = TestTracker::start().await;
    let mut ana = tracker.user("ana").await;
    ana.ok(room("CREATE_ROOM", "sala")).await;
    let mut guests = Vec::new();
    for name in ["bob", "carla"] {
        let mut guest = tracker.user(name).await;
        guests.push(tokio::spawn(async move {
            for _ in 0..50 {
                guest.send(&room("JOIN_ROOM", "sala")).await;
                guest.send(&room("LEAVE_ROOM", "sala")).await;
                let mut replies = 0;
                while replies < 2 {
                    replies += usize::from(guest.recv().await["status"] == "OK");
                }
            }
        }));
    }
    let mut revision = 1;
    for _ in 0..200 {
        let (_, _, room) = ana.push().await;
        let next = room["revision"].as_u64().unwrap();
        assert!(next >= revision, "{next} after {revision}");
        revision = next;
    }
    assert_eq!(revision, 201);
    for guest in guests {
        guest.await.unwrap();
    }
}
