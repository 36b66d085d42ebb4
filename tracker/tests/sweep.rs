//! Tests of the liveness sweep.
//! They check which peers count as alive and how soon a dead peer is noticed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may")]

mod common;

use std::time::{Duration, Instant};

use common::{Client, PingPort, TestTracker, room, sign_in, with_id};
use serde_json::{Value, json};

const INTERVAL: Duration = Duration::from_millis(500);
/// Long enough for a peer that answers, even on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The number of peers that accept a connection and send nothing.
const TARPITS: u32 = 9;

async fn sweeping() -> TestTracker {
    TestTracker::start_with(|config| (config.ping_interval, config.ping_timeout) = (INTERVAL, TIMEOUT)).await
}

/// Registers a legacy client, which cannot be pinged inside its session, with a peer on this port.
async fn original_at(tracker: &TestTracker, name: &str, port: u16) -> Client {
    let mut client = tracker.connect().await;
    client.ok(sign_in("REGISTER", name, port)).await;
    client
}

#[tokio::test]
async fn dead_peer_is_noticed_in_time_despite_slow_others() {
    let tracker = sweeping().await;
    let answering = PingPort::answering().await;
    let mut ana = original_at(&tracker, "ana", answering.port).await;
    let mut bob = original_at(&tracker, "bob", answering.port).await;
    ana.ok(room("CREATE_ROOM", "sala")).await;
    bob.ok(room("JOIN_ROOM", "sala")).await;
    ana.expect_push("joined", "bob").await;
    let mut tarpits = Vec::new();
    for n in 0..TARPITS {
        let port = PingPort::tarpit().await;
        let client = original_at(&tracker, &format!("tarpit{n}"), port.port).await;
        tarpits.push((port, client));
    }
    let dead = PingPort::answering().await;
    let mut carla = original_at(&tracker, "carla", dead.port).await;
    carla.ok(room("JOIN_ROOM", "sala")).await;
    ana.expect_push("joined", "carla").await;

    let died = Instant::now();
    drop(dead);
    let offline = ana.expect_push("offline", "carla").await;
    let took = died.elapsed();
    // If the pings ran one after the other, they would take longer than this.
    assert!(took < TIMEOUT * TARPITS, "{took:?}");
    assert_eq!(offline["members"][2]["connected"], false);
    bob.expect_push("joined", "carla").await;
    bob.expect_push("offline", "carla").await;

    // The session is still open, and LIST_PEERS shows only the peers that answer.
    carla.expect_push("offline", "carla").await;
    let deadline = Instant::now() + common::PATIENCE;
    loop {
        let peers = carla.ok(json!({"cmd": "LIST_PEERS"})).await;
        let shown = peers["peers"].as_object().unwrap();
        if shown.len() == 2 {
            assert!(shown["ana"]["last_ping"].as_str().unwrap().ends_with('Z'));
            break;
        }
        assert!(Instant::now() < deadline, "{peers}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn peer_that_answers_again_is_online() {
    let tracker = sweeping().await;
    let answering = PingPort::answering().await;
    let mut ana = original_at(&tracker, "ana", answering.port).await;
    ana.ok(room("CREATE_ROOM", "sala")).await;
    let port = PingPort::answering().await;
    let number = port.port;
    let mut bob = original_at(&tracker, "bob", number).await;
    bob.ok(room("JOIN_ROOM", "sala")).await;
    ana.expect_push("joined", "bob").await;
    drop(port);
    ana.expect_push("offline", "bob").await;
    let _port = PingPort::on(number).await;
    let online = ana.expect_push("online", "bob").await;
    assert_eq!(online["peer_one"]["port"], number);
    bob.expect_push("offline", "bob").await;
    bob.expect_push("online", "bob").await;
}

#[tokio::test]
async fn a_session_that_answers_inside_is_alive() {
    let tracker = sweeping().await;
    let tarpit = PingPort::tarpit().await;
    let mut ana = tracker.connect().await;
    ana.ok(with_id(sign_in("REGISTER", "ana", tarpit.port))).await;
    for _ in 0..2 {
        assert_eq!(ana.recv().await, json!({"status": "PING"}));
        ana.send(&json!({"cmd": "PONG"})).await;
    }
    ana.send(&json!({"cmd": "GET_PEER", "peer": "ana"})).await;
    let reply = loop {
        let line = ana.recv().await;
        match line["status"].as_str() {
            Some("PING") => ana.send(&json!({"cmd": "PONG"})).await,
            _ => break line,
        }
    };
    assert_eq!(reply["peer"]["connected"], true);
    assert!(reply["peer"]["last_ping"].is_string());
}

#[tokio::test]
async fn a_verdict_never_hits_a_newer_login() {
    let tracker = TestTracker::start_with(|config| {
        (config.ping_interval, config.ping_timeout) = (Duration::from_millis(200), TIMEOUT);
    })
    .await;
    let answering = PingPort::answering().await;
    let mut ana = original_at(&tracker, "ana", answering.port).await;
    ana.ok(room("CREATE_ROOM", "sala")).await;
    let tarpit = PingPort::tarpit().await;
    let mut old = tracker.connect().await;
    old.ok(with_id(sign_in("REGISTER", "bob", tarpit.port))).await;
    old.ok(room("JOIN_ROOM", "sala")).await;
    ana.expect_push("joined", "bob").await;
    // While the sweep pings the old session, a newer login names a port that answers.
    assert_eq!(old.recv().await, json!({"status": "PING"}));
    let mut new = tracker.connect().await;
    new.ok(sign_in("LOGIN", "bob", answering.port)).await;
    ana.expect_push("online", "bob").await;
    let seen = async {
        loop {
            let peer = new.ok(json!({"cmd": "GET_PEER", "peer": "bob"})).await;
            if peer["peer"]["last_ping"] != Value::Null {
                return peer;
            }
            tokio::task::yield_now().await;
        }
    };
    let peer = tokio::time::timeout(common::PATIENCE, seen).await.unwrap();
    assert_eq!(peer["peer"]["connected"], true);
    ana.expect_no_push().await;
}
