//! Tests of floods of connections and requests.
//! Only the network that causes a flood is limited. The limits apply to loopback here, and each 127.0.x.y is a network
//! of its own.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may")]

mod common;

use std::time::Duration;

use common::device::Device;
use common::{Client, TestTracker, room, sign_in};
use commons::net::first_bytes::PlaintextAnswer;
use commons::net::socket::Socket;
use commons::net::tls::Purpose;
use serde_json::{Value, json};
use tokio::time::{Instant, advance, pause, resume};

const FLOODER: [u8; 2] = [9, 1];
const SOMEBODY: [u8; 2] = [9, 2];

async fn limited() -> TestTracker {
    TestTracker::start_with(|config| config.limit_loopback = true).await
}

/// Connects and sends a request. Returns the connection, or the reason why the tracker refused it.
async fn let_in(tracker: &TestTracker, source: [u8; 2]) -> Result<Client, String> {
    let mut client = tracker.connect_from(source).await;
    client.try_send(&json!({"cmd": "PING"})).await;
    // During a flood, the tracker closes some connections without a reason.
    let Some(reply) = client.try_recv().await else { return Err("closed".to_owned()) };
    match reply["code"].as_str() {
        Some("NOT_LOGGED_IN") => Ok(client),
        Some("BUSY") => {
            client.is_closed().await;
            Err(reply["msg"].as_str().unwrap().to_owned())
        }
        _ => panic!("{reply}"),
    }
}

#[tokio::test]
async fn a_network_has_sixteen_connections() {
    let tracker = limited().await;
    let mut held = Vec::new();
    for _ in 0..16 {
        held.push(let_in(&tracker, FLOODER).await.unwrap());
    }
    let refused = let_in(&tracker, FLOODER).await.err().expect("the seventeenth is refused");
    assert!(refused.contains("your network"), "{refused}");
    let_in(&tracker, SOMEBODY).await.unwrap();
    // A connection that ends makes room.
    let mut left = held.pop().unwrap();
    left.ok(sign_in("REGISTER", "ana", 5000)).await;
    left.ok(json!({"cmd": "LOGOUT"})).await;
    left.is_closed().await;
    let begun = Instant::now();
    while let_in(&tracker, FLOODER).await.is_err() {
        assert!(begun.elapsed() < common::PATIENCE);
    }
}

#[tokio::test]
async fn surplus_encrypted_connection_gets_limit_and_wait() {
    let tracker = TestTracker::start_with(|config| {
        config.limit_loopback = true;
        (config.connections.per_network, config.connections.new_per_network) = (1, 2);
    })
    .await;
    let identity = Device::new().identity(Purpose::Session);
    let refusal = async || {
        let refused = Socket::dial_encrypted(tracker.address, &identity).await.unwrap_err();
        let answer = refused.get_ref().and_then(|error| error.downcast_ref::<PlaintextAnswer>());
        let answer: Value = serde_json::from_slice(&answer.expect("a word in plaintext").0).unwrap();
        assert_eq!((&answer["status"], &answer["code"]), (&json!("ERROR"), &json!("BUSY")), "{answer}");
        answer["msg"].as_str().unwrap().to_owned()
    };
    let first = Socket::dial_encrypted(tracker.address, &identity).await.unwrap();
    let reported = refusal().await;
    assert!(reported.contains("connections from your network: 1, the most that there may be"), "{reported}");
    drop(first);
    let begun = Instant::now();
    // The first connection counts until the tracker has noticed its end.
    let second = loop {
        match Socket::dial_encrypted(tracker.address, &identity).await {
            Ok(second) => break second,
            Err(_) => assert!(begun.elapsed() < common::PATIENCE),
        }
    };
    drop(second);
    loop {
        let reported = refusal().await;
        if let Some((_, wait)) =
            reported.split_once("in 10 minutes: 2, the most that there may be. To try again, wait ")
        {
            assert!(wait.ends_with(" s"), "{reported}");
            return;
        }
        assert!(begun.elapsed() < common::PATIENCE, "{reported}");
    }
}

#[tokio::test]
async fn a_network_brings_thirty_two_new_connections_in_ten_minutes() {
    let tracker = limited().await;
    let mut let_in_before = 0;
    let begun = Instant::now();
    let refused = loop {
        assert!(begun.elapsed() < common::PATIENCE);
        match let_in(&tracker, FLOODER).await {
            Ok(_closed) => let_in_before += 1,
            // The tracker has not noticed yet that the last connections were closed.
            Err(refused) if refused.contains("Close one") => {}
            Err(refused) => break refused,
        }
    };
    assert_eq!(let_in_before, 32);
    assert!(refused.contains("wait 600 s") || refused.contains("wait 59"), "{refused}");
    let_in(&tracker, SOMEBODY).await.unwrap();
    pause();
    advance(Duration::from_secs(600)).await;
    resume();
    let_in(&tracker, FLOODER).await.unwrap();
}

#[tokio::test]
async fn loopback_has_no_such_limits_unless_configured() {
    let tracker = TestTracker::start().await;
    let mut held = Vec::new();
    for _ in 0..50 {
        held.push(let_in(&tracker, FLOODER).await.unwrap());
    }
}

#[tokio::test]
async fn the_limits_are_settings() {
    let tracker = TestTracker::start_with(|config| {
        config.limit_loopback = true;
        config.connections.per_network = 2;
    })
    .await;
    let _held = (let_in(&tracker, FLOODER).await.unwrap(), let_in(&tracker, FLOODER).await.unwrap());
    assert!(let_in(&tracker, FLOODER).await.is_err());
}

/// Opens 1,000 silent connections from 100 networks and keeps them open.
async fn flood(tracker: &TestTracker) -> Vec<Client> {
    let mut silent = Vec::new();
    for number in 0..1000_u16 {
        silent.push(tracker.connect_from([8, (number / 10) as u8 + 1]).await);
    }
    silent
}

#[tokio::test]
async fn thousand_silent_connections_block_no_user() {
    let tracker = limited().await;
    let mut somebody = tracker.connect_from(SOMEBODY).await;
    somebody.ok(sign_in("REGISTER", "ana", 5000)).await;
    let silent = flood(&tracker).await;
    let mut again = tracker.connect_from(SOMEBODY).await;
    again.ok(sign_in("LOGIN", "ana", 5000)).await;
    drop(silent);
}

#[tokio::test]
async fn control_without_limits_the_flood_blocks_all_users() {
    let tracker = TestTracker::start_with(|config| config.connections.sessions = 256).await;
    let _silent = flood(&tracker).await;
    assert!(let_in(&tracker, SOMEBODY).await.is_err());
}

/// Signs in a user whose token buckets are full. The clock is paused afterwards.
async fn rested(tracker: &TestTracker) -> Client {
    let mut ana = tracker.connect_from(SOMEBODY).await;
    ana.ok(sign_in("REGISTER", "ana", 5000)).await;
    ana.ok(room("CREATE_ROOM", "sala")).await;
    pause();
    advance(Duration::from_secs(60)).await;
    ana
}

#[tokio::test]
async fn ten_requests_at_once_then_five_a_second() {
    let tracker = limited().await;
    let mut ana = rested(&tracker).await;
    for _ in 0..10 {
        ana.expect_no_push().await;
    }
    let mut refused = ana.ask(json!({"cmd": "PING", "id": 7})).await;
    let wait = refused["retry_after_ms"].take().as_u64().unwrap();
    assert!((1..=200).contains(&wait), "one more each 200 ms, not after {wait} ms");
    assert_eq!(
        refused,
        json!({"status": "ERROR", "msg": "too fast: wait 1 s", "code": "RATE_LIMITED", "retry_after_ms": null, "id": 7})
    );
    // A frame that is no request counts too.
    ana.send_bytes(b"{nonsense}").await;
    assert_eq!(ana.recv().await["code"], "RATE_LIMITED");
    for _ in 0..20 {
        advance(Duration::from_millis(200)).await;
        ana.expect_no_push().await;
    }
    assert_eq!(ana.refused(json!({"cmd": "PING"})).await, "RATE_LIMITED");
}

#[tokio::test]
async fn five_changes_of_rooms_at_once_then_one_a_second() {
    let tracker = limited().await;
    let mut ana = rested(&tracker).await;
    // The tracker answers ROOM_NOT_FOUND without the disk, so the paused clock does not advance.
    for _ in 0..5 {
        assert_eq!(ana.refused(room("JOIN_ROOM", "nada")).await, "ROOM_NOT_FOUND");
    }
    assert_eq!(ana.refused(room("JOIN_ROOM", "nada")).await, "RATE_LIMITED");
    ana.expect_no_push().await;
    advance(Duration::from_secs(1)).await;
    assert_eq!(ana.refused(room("JOIN_ROOM", "nada")).await, "ROOM_NOT_FOUND");
    assert_eq!(ana.refused(room("LEAVE_ROOM", "nada")).await, "RATE_LIMITED");
}

#[tokio::test]
async fn client_that_does_not_wait_is_read_more_slowly() {
    let tracker = limited().await;
    let mut ana = rested(&tracker).await;
    let begun = Instant::now();
    ana.send_bytes(&b"{\"cmd\":\"PING\"}\n".repeat(200)).await;
    let mut granted = 0;
    for _ in 0..200 {
        granted += u32::from(ana.recv().await["cmd"] == "PONG");
    }
    // The paused clock advances to the next timer. Reading all requests took this long.
    let took = begun.elapsed();
    assert!(took > Duration::from_secs(10), "{took:?}");
    assert!(granted > 50, "{granted}");
}

#[tokio::test]
async fn loopback_has_no_rate_limit_unless_configured() {
    let tracker = TestTracker::start().await;
    let mut ana = rested(&tracker).await;
    let begun = Instant::now();
    for _ in 0..100 {
        ana.expect_no_push().await;
        assert_eq!(ana.refused(room("JOIN_ROOM", "nada")).await, "ROOM_NOT_FOUND");
    }
    assert_eq!(begun.elapsed(), Duration::ZERO);
}
