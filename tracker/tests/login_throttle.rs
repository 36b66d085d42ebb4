//! Tests of the login throttle.
//! Clients that guess passwords wait, and a user with the correct password does not. The limits apply to loopback here,
//! and each 127.0.x.y is a network of its own.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may")]

mod common;

use std::time::Duration;

use common::device::{Device, by_key};
use common::{PASSWORD, TestTracker, WRONG, sign_in, with_id};
use serde_json::{Value, json};
use tokio::time::{Instant, advance, pause, resume};
use tracker::config::ConnectionLimits;

const GUESSER: [u8; 2] = [9, 1];
const OWNER: [u8; 2] = [9, 2];

async fn limited() -> TestTracker {
    TestTracker::start_with(|config| config.limit_loopback = true).await
}

/// Sends one login on a new connection.
async fn login(tracker: &TestTracker, source: [u8; 2], name: &str, password: &str) -> Value {
    let request = json!({"cmd": "LOGIN", "username": name, "password": password, "port": 5000, "id": 1});
    tracker.connect_from(source).await.ask(request).await
}

#[tokio::test]
async fn guesses_count_across_connections_but_not_for_the_owner() {
    let tracker = limited().await;
    tracker.user("ana").await;
    pause();
    for name in ["ana", "bob"] {
        for _ in 0..3 {
            assert_eq!(login(&tracker, GUESSER, name, WRONG).await["code"], "INVALID_CREDENTIALS");
        }
    }
    for wait in ["1 s", "2 s", "4 s"] {
        let known = login(&tracker, GUESSER, "ana", WRONG).await;
        assert_eq!(known["code"], "TOO_MANY_ATTEMPTS");
        let seconds = known["retry_after_ms"].as_u64().unwrap().div_ceil(1000);
        assert_eq!(format!("{seconds} s"), wait, "{known}");
        assert!(known["msg"].as_str().unwrap().ends_with(&format!("wait {wait}")), "{known}");
        assert_eq!(login(&tracker, GUESSER, "bob", WRONG).await, known, "nothing tells who exists");
        assert_eq!(login(&tracker, GUESSER, "ana", PASSWORD).await, known, "nor which password is right");
        advance(Duration::from_secs(wait[..1].parse().unwrap())).await;
        for name in ["ana", "bob"] {
            assert_eq!(login(&tracker, GUESSER, name, WRONG).await["code"], "INVALID_CREDENTIALS");
        }
    }
    resume();
    assert_eq!(login(&tracker, OWNER, "ana", PASSWORD).await["status"], "OK");
    assert_eq!(login(&tracker, GUESSER, "ana", WRONG).await["code"], "TOO_MANY_ATTEMPTS");
}

/// Guesses for some minutes from each of 64 networks, as often as the tracker permits. Returns the number of checked
/// guesses.
async fn besiege(tracker: &TestTracker, minutes: u64) -> u32 {
    let begun = Instant::now();
    let mut due = [begun; 64];
    let mut judged = 0;
    while begun.elapsed() < Duration::from_secs(60 * minutes) {
        for (number, due) in due.iter_mut().enumerate() {
            // Without a throttle, ten guesses per round are enough for the control.
            for _ in 0..10 {
                if *due > Instant::now() {
                    break;
                }
                let reply = login(tracker, [20, number as u8 + 1], "ana", WRONG).await;
                if reply["code"] == "INVALID_CREDENTIALS" {
                    judged += 1;
                    continue;
                }
                assert_eq!(reply["code"], "TOO_MANY_ATTEMPTS", "{reply}");
                let msg = reply["msg"].as_str().unwrap();
                let wait = msg.split("wait ").nth(1).and_then(|wait| wait.strip_suffix(" s")).unwrap();
                *due = Instant::now() + Duration::from_secs(wait.parse().unwrap());
            }
        }
        advance(Duration::from_secs(60)).await;
    }
    judged
}

#[tokio::test]
async fn guessers_get_a_hundred_checks_an_hour() {
    let tracker = TestTracker::start_with(|config| {
        config.limit_loopback = true;
        let most = usize::MAX;
        config.connections =
            ConnectionLimits { sessions: most, preauth: most, per_network: most, new_per_network: most };
    })
    .await;
    tracker.user("ana").await;
    pause();
    let judged = besiege(&tracker, 60).await;
    assert!((50..=100).contains(&judged), "{judged}");
    // From another network, her password is checked at once. Afterwards her key signs in.
    resume();
    let device = Device::new();
    drop(device.session(tracker.address, sign_in("LOGIN", "ana", 5000)).await);
    drop(device.session(tracker.address, by_key("ana")).await);
}

#[tokio::test]
async fn without_the_count_the_same_siege_would_pay() {
    let tracker = TestTracker::start().await;
    tracker.user("ana").await;
    pause();
    // Four minutes are enough for the control.
    let judged = besiege(&tracker, 4).await;
    assert!(judged > 1000, "{judged}");
}

#[tokio::test]
async fn a_right_password_lets_its_network_mistype_again() {
    let tracker = limited().await;
    tracker.user("ana").await;
    for _ in 0..3 {
        for _ in 0..2 {
            assert_eq!(login(&tracker, OWNER, "ana", WRONG).await["code"], "INVALID_CREDENTIALS");
        }
        assert_eq!(login(&tracker, OWNER, "ana", PASSWORD).await["status"], "OK");
    }
}

#[tokio::test]
async fn loopback_is_not_counted_unless_configured() {
    let tracker = TestTracker::start().await;
    tracker.user("ana").await;
    for _ in 0..10 {
        assert_eq!(login(&tracker, GUESSER, "ana", WRONG).await["code"], "INVALID_CREDENTIALS");
    }
    for number in 0..10 {
        let mut client = tracker.connect_from(GUESSER).await;
        client.ok(sign_in("REGISTER", &format!("user{number}"), 5000)).await;
    }
}

#[tokio::test]
async fn a_network_makes_five_accounts_an_hour() {
    let tracker = limited().await;
    let register = async |source, name: &str| {
        tracker.connect_from(source).await.ask(with_id(sign_in("REGISTER", name, 5000))).await
    };
    for number in 0..5 {
        assert_eq!(register(GUESSER, &format!("user{number}")).await["status"], "OK");
        // A registration that fails does not count.
        assert_eq!(register(GUESSER, "user0").await["code"], "USERNAME_TAKEN");
    }
    let refused = register(GUESSER, "user5").await;
    assert_eq!(refused["code"], "RATE_LIMITED");
    assert!(refused["msg"].as_str().unwrap().contains("wait 3"), "{refused}");
    assert_eq!(register(OWNER, "user5").await["status"], "OK");
    pause();
    advance(Duration::from_secs(3600)).await;
    resume();
    assert_eq!(register(GUESSER, "user6").await["status"], "OK");
}
