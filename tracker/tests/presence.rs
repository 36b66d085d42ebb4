//! Tests of presence.
//! They check which users are shown as connected, and when the seat of an offline user is freed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may")]

mod common;

use std::time::Duration;

use common::{PATIENCE, PingPort, TestTracker, members, room, sign_in, with_id};
use serde_json::{Value, json};

#[tokio::test]
async fn a_lost_session_is_shown_and_so_is_the_return() {
    let tracker = TestTracker::start().await;
    let mut ana = tracker.user("ana").await;
    let mut bob = tracker.original("bob").await;
    ana.ok(room("CREATE_ROOM", "sala")).await;
    bob.ok(room("JOIN_ROOM", "sala")).await;
    ana.expect_push("joined", "bob").await;

    drop(bob);
    let offline = ana.expect_push("offline", "bob").await;
    assert_eq!((members(&offline), &offline["peer_one"]), (vec!["ana", "bob"], &Value::Null));
    assert_eq!(offline["members"][1]["connected"], false);
    let (mut bob, reply) = tracker.back("bob").await;
    assert_eq!(members(&reply["rooms"]["sala"]), ["ana", "bob"]);
    assert_eq!(reply["rooms"]["sala"]["members"][1]["connected"], true);
    let online = ana.expect_push("online", "bob").await;
    assert_eq!(online["peer_one"]["username"], "bob");
    assert!(online["revision"].as_u64() > offline["revision"].as_u64());

    bob.ok(json!({"cmd": "LOGOUT"})).await;
    ana.expect_push("offline", "bob").await;
}

#[tokio::test]
async fn newest_login_wins_and_the_old_end_does_not_affect_it() {
    let tracker = TestTracker::start().await;
    let mut ana = tracker.user("ana").await;
    let mut old = tracker.user("bob").await;
    ana.ok(room("CREATE_ROOM", "sala")).await;
    old.ok(room("JOIN_ROOM", "sala")).await;
    ana.expect_push("joined", "bob").await;

    let mut new = tracker.connect().await;
    new.ok(with_id(sign_in("LOGIN", "bob", 6000))).await;
    assert_eq!(old.recv().await, json!({"status": "SUPERSEDED"}));
    old.is_closed().await;
    let online = ana.expect_push("online", "bob").await;
    assert_eq!(online["peer_one"]["port"], 6000, "the address may have changed");
    ana.expect_no_push().await;
    ana.ok(json!({"cmd": "LIST_PEERS"})).await["peers"]["bob"].as_object().expect("bob is still there");
    ana.ok(room("LEAVE_ROOM", "sala")).await;
    new.expect_push("left", "ana").await;
}

#[tokio::test]
async fn original_session_is_superseded_silently() {
    let tracker = TestTracker::start().await;
    let mut old = tracker.original("bob").await;
    let (mut new, _) = tracker.back("bob").await;
    old.is_closed().await;
    new.expect_no_push().await;
}

#[tokio::test]
async fn stop_is_announced_to_clients_that_understand() {
    let tracker = TestTracker::start().await;
    let mut ana = tracker.user("ana").await;
    let mut bob = tracker.original("bob").await;
    let stop = tokio::spawn(tracker.stop());
    assert_eq!(ana.recv().await, json!({"status": "SHUTTING_DOWN"}));
    ana.is_closed().await;
    bob.is_closed().await;
    drop((ana, bob));
    stop.await.unwrap();
}

#[tokio::test]
async fn reserved_seat_is_freed_after_the_hold() {
    let tracker = TestTracker::start_with(|config| {
        (config.ping_interval, config.ping_timeout) = (Duration::from_millis(300), PATIENCE);
        config.seat_hold = Duration::ZERO;
    })
    .await;
    let port = PingPort::answering().await;
    let mut ana = tracker.user_at("ana", port.port).await;
    let mut bob = tracker.user_at("bob", port.port).await;
    let mut dora = tracker.user_at("dora", port.port).await;
    let next = async |client: &mut common::Client| loop {
        let line = client.recv().await;
        if line["status"] != "PING" {
            return line;
        }
    };
    ana.send(&room("CREATE_ROOM", "sala")).await;
    assert_eq!(next(&mut ana).await["status"], "OK");
    bob.send(&room("JOIN_ROOM", "sala")).await;
    assert_eq!(next(&mut bob).await["status"], "OK");
    assert_eq!(next(&mut ana).await["change"]["kind"], "joined");
    drop(bob);
    assert_eq!(next(&mut ana).await["change"]["kind"], "offline");
    let freed = next(&mut ana).await;
    assert_eq!(freed["change"], json!({"kind": "left", "username": "bob"}));
    assert_eq!(members(&freed["room"]), ["ana"]);

    dora.send(&room("JOIN_ROOM", "sala")).await;
    assert_eq!(next(&mut dora).await["status"], "OK");
    assert_eq!(next(&mut ana).await["change"]["kind"], "joined");
    // The owner's seat stays reserved, however long the owner is offline.
    drop(ana);
    let offline = next(&mut dora).await;
    assert_eq!(offline["change"], json!({"kind": "offline", "username": "ana"}));
    for _ in 0..2 {
        while dora.recv().await["status"] != "PING" {}
    }
    dora.send(&room("LEAVE_ROOM", "sala")).await;
    assert_eq!(next(&mut dora).await["status"], "OK");
    let (_, reply) = tracker.back("ana").await;
    assert_eq!(members(&reply["rooms"]["sala"]), ["ana"]);
}
