//! Tests of the registration modes and of the message of the day.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may")]
#![cfg(unix)]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use common::device::Device;
use common::{TestTracker, sign_in, with_id};
use serde_json::{Value, json};
use tracker::config::RegistrationMode;

fn register(name: &str, code: Option<&str>) -> Value {
    let mut request = with_id(sign_in("REGISTER", name, 5000));
    request["code"] = json!(code);
    request
}

fn write_codes(path: &Path, codes: &str) {
    fs::write(path, codes).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// The result of a registration on a new connection.
async fn result(tracker: &TestTracker, request: &Value) -> Value {
    let mut reply = tracker.connect().await.ask(request.clone()).await;
    if reply["code"].is_null() { reply["status"].take() } else { reply["code"].take() }
}

#[tokio::test]
async fn closed_tracker_accepts_no_new_account() {
    let open = TestTracker::start().await;
    open.user("ana").await;
    let folder = open.stop().await;
    let tracker =
        TestTracker::start_in(folder, |config| config.registration = RegistrationMode::Closed).await;
    assert_eq!(result(&tracker, &register("bob", None)).await, "REGISTRATION_CLOSED");
    assert_eq!(result(&tracker, &register("ana", Some("x"))).await, "REGISTRATION_CLOSED");
    tracker.back("ana").await;
}

#[tokio::test]
async fn registration_code_is_demanded_and_limited() {
    let folder = tempfile::tempdir().unwrap();
    let codes = folder.path().join("codes");
    write_codes(&codes, "spring\nsummer\n");
    let tracker = TestTracker::start_with(|config| {
        config.registration = RegistrationMode::Code;
        config.registration_code_file = Some(codes.clone());
        config.limit_loopback = true;
    })
    .await;
    assert_eq!(result(&tracker, &register("ana", None)).await, "CODE_REQUIRED");
    assert_eq!(result(&tracker, &register("ana", Some("summer"))).await, "OK");
    tracker.back("ana").await;
    // The third wrong code closes the connection, and the next one must wait.
    let mut guesser = tracker.connect().await;
    for _ in 0..3 {
        assert_eq!(guesser.refused(register("bob", Some("winter"))).await, "WRONG_CODE");
    }
    guesser.is_closed().await;
    let again = tracker.connect().await.ask(register("bob", Some("spring"))).await;
    assert_eq!(again["code"], "TOO_MANY_ATTEMPTS", "{again}");
    assert!(again["retry_after_ms"].is_u64(), "{again}");
    // Another network does not wait.
    let mut other = tracker.connect_from([9, 9]).await;
    other.ok(register("carla", Some("spring"))).await;
}

#[tokio::test]
async fn guesses_from_many_networks_block_no_user() {
    let folder = tempfile::tempdir().unwrap();
    let codes = folder.path().join("codes");
    write_codes(&codes, "spring\n");
    let tracker = TestTracker::start_with(|config| {
        config.registration = RegistrationMode::Code;
        config.registration_code_file = Some(codes.clone());
        config.limit_loopback = true;
    })
    .await;
    for network in 0..80 {
        let mut guesser = tracker.connect_from([20, network]).await;
        assert_eq!(guesser.refused(register("bob", Some("winter"))).await, "WRONG_CODE", "{network}");
    }
    tracker.connect_from([21, 1]).await.ok(register("carla", Some("spring"))).await;
}

#[tokio::test]
async fn message_of_the_day_comes_with_the_sign_in() {
    let tracker = TestTracker::start_with(|config| config.motd = Some("be kind".to_owned())).await;
    let device = Device::new();
    let (_, reply) = device.ask(tracker.address, register("ana", None)).await;
    assert_eq!(reply["motd"], "be kind");
    let (_, reply) = device.ask(tracker.address, with_id(sign_in("LOGIN", "ana", 5000))).await;
    assert_eq!(reply["motd"], "be kind");
    let mut original = tracker.connect().await;
    assert!(original.ask(sign_in("REGISTER", "py", 5000)).await.get("motd").is_none());
    let quiet = TestTracker::start().await;
    assert!(device.ask(quiet.address, register("ana", None)).await.1.get("motd").is_none());
}
