//! Tests of registration and login.
//! They also check the stored form of a password.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may")]

mod common;

use common::{PASSWORD, TestTracker, WRONG, sign_in, with_id};
use serde_json::{Value, json};

#[tokio::test]
async fn a_user_registers_leaves_and_comes_back() {
    let tracker = TestTracker::start().await;
    let mut ana = tracker.original("ana").await;
    let goodbye = ana.ok(json!({"cmd": "LOGOUT"})).await;
    assert!(goodbye["msg"].is_string());
    ana.is_closed().await;

    let (mut ana, reply) = tracker.back("ana").await;
    assert_eq!(reply["rooms"], json!({}));
    assert_eq!(reply["id"], "sign-in");
    ana.expect_no_push().await;
}

#[tokio::test]
async fn a_name_is_registered_once_however_many_ask() {
    let tracker = TestTracker::start().await;
    let mut granted = 0;
    let mut clients = Vec::new();
    for _ in 0..10 {
        let mut client = tracker.connect().await;
        client.send(&sign_in("REGISTER", "ana", 5000)).await;
        clients.push(client);
    }
    for client in &mut clients {
        let reply = client.recv().await;
        match reply["status"].as_str() {
            Some("OK") => granted += 1,
            _ => assert_eq!(reply["code"], "USERNAME_TAKEN"),
        }
    }
    assert_eq!(granted, 1);
}

/// The code of the answer to a registration on a new connection; null if it is accepted.
async fn registered(tracker: &TestTracker, name: &str) -> Value {
    tracker.connect().await.ask(with_id(sign_in("REGISTER", name, 5000))).await["code"].take()
}

#[tokio::test]
async fn user_names_are_of_any_script_and_look_unlike() {
    let tracker = TestTracker::start().await;
    for name in ["joão", "łukasz", "李", "иван", "oca", "paul1"] {
        assert!(registered(&tracker, name).await.is_null(), "{name}");
        tracker.back(name).await;
    }
    // Cyrillic letters, a letter for a digit, a mixed name, and a reserved one.
    for name in ["оса", "paull", "раypal", "systern"] {
        assert_eq!(registered(&tracker, name).await, "INVALID_NAME", "{name}");
    }
    // Control: after the account is deleted, the look-alike is free.
    tracker.back("oca").await.0.ok(json!({"cmd": "DELETE_ACCOUNT", "password": PASSWORD})).await;
    assert!(registered(&tracker, "оса").await.is_null());
    assert_eq!(registered(&tracker, "oca").await, "INVALID_NAME");
}

#[tokio::test]
async fn look_alikes_at_the_same_moment_make_one_user() {
    let tracker = TestTracker::start().await;
    let mut clients = Vec::new();
    for name in ["paul1", "paull"].repeat(5) {
        let mut client = tracker.connect().await;
        client.send(&sign_in("REGISTER", name, 5000)).await;
        clients.push(client);
    }
    let mut granted = 0;
    for client in &mut clients {
        granted += usize::from(client.recv().await["status"] == "OK");
    }
    assert_eq!(granted, 1);
}

#[tokio::test]
async fn look_alikes_are_refused_after_a_restart_too() {
    let tracker = TestTracker::start().await;
    let mut ana = tracker.user("ana").await;
    ana.ok(json!({"cmd": "CREATE_ROOM", "room": "sala 1"})).await;
    let tracker = TestTracker::start_in(tracker.stop().await, |_| {}).await;
    assert_eq!(registered(&tracker, "аnа").await, "INVALID_NAME");
    let (mut ana, _) = tracker.back("ana").await;
    assert_eq!(
        ana.ask(json!({"cmd": "CREATE_ROOM", "room": "sala l", "id": 1})).await["code"],
        "INVALID_NAME"
    );
    assert_eq!(
        ana.ask(json!({"cmd": "CREATE_ROOM", "room": "sala 1", "id": 2})).await["code"],
        "ROOM_EXISTS"
    );
    ana.ok(json!({"cmd": "DELETE_ROOM", "room": "sala 1"})).await;
    ana.ok(json!({"cmd": "CREATE_ROOM", "room": "sala l"})).await;
}

#[tokio::test]
async fn wrong_password_hides_the_name_and_the_third_closes() {
    let tracker = TestTracker::start().await;
    tracker.user("ana").await;
    let mut client = tracker.connect().await;
    let guess = |name: &str, password: &str| json!({"cmd": "LOGIN", "username": name, "password": password, "port": 5000, "id": 1});
    let known = client.ask(guess("ana", WRONG)).await;
    assert_eq!(known["code"], "INVALID_CREDENTIALS");
    let unknown = client.ask(guess("bob", WRONG)).await;
    assert_eq!(unknown, known);
    // A text that is no digest counts as a wrong password too.
    assert_eq!(client.ask(guess("ana", "123456")).await, known);
    client.is_closed().await;

    let mut client = tracker.connect().await;
    client.ask(guess("ana", WRONG)).await;
    client.ask(guess("ana", WRONG)).await;
    client.ok(guess("ana", PASSWORD)).await;
}

#[tokio::test]
async fn missing_or_invalid_parameter_is_named() {
    let tracker = TestTracker::start().await;
    let mut client = tracker.connect().await;
    for (request, code) in [
        (json!({"cmd": "LOGIN", "username": "ana", "port": 5000}), "MISSING_PARAMETER"),
        (json!({"cmd": "REGISTER", "username": "ana", "port": 5000}), "MISSING_PARAMETER"),
        (json!({"cmd": "REGISTER", "username": "ana", "password": "123456", "port": 5000}), "MALFORMED"),
        (sign_in("REGISTER", "ana", 0), "MALFORMED"),
        (sign_in("REGISTER", "Ana", 5000), "INVALID_NAME"),
        (sign_in("LOGIN", "jo o", 5000), "INVALID_NAME"),
        (sign_in("REGISTER", "tracker", 5000), "INVALID_NAME"),
        (json!({"cmd": "REGISTER", "username": 5, "password": PASSWORD, "port": 1}), "MALFORMED"),
        (json!({"cmd": "NOPE"}), "UNKNOWN_COMMAND"),
        (json!({"cmd": null}), "MALFORMED"),
    ] {
        assert_eq!(client.refused(request.clone()).await, code, "{request}");
    }
    let hint = client.ask(with_id(sign_in("REGISTER", "Ana", 5000))).await;
    assert!(hint["msg"].as_str().unwrap().contains("try ana"), "{hint}");
    client.ok(with_id(sign_in("REGISTER", "ana", 5000))).await;
}

#[tokio::test]
async fn a_digest_of_an_original_file_logs_in_and_becomes_a_hash() {
    let folder = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let path = folder.path().join("users_db.json");
    std::fs::write(&path, json!({"ana": PASSWORD, "bob": PASSWORD}).to_string()).unwrap();
    let tracker = TestTracker::start_in(folder, |_| ()).await;

    let mut client = tracker.connect().await;
    let wrong = json!({"cmd": "LOGIN", "username": "ana", "password": WRONG, "port": 5000});
    assert_eq!(client.refused(wrong).await, "INVALID_CREDENTIALS");
    tracker.back("ana").await;
    tracker.back("ana").await;
    let folder = tracker.stop().await;
    let users: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert!(users["ana"].as_str().unwrap().starts_with("$argon2id$"));
    assert_eq!(users["bob"], PASSWORD);
    let tracker = TestTracker::start_in(folder, |_| ()).await;
    tracker.back("ana").await;
}

#[tokio::test]
async fn no_password_is_stored_in_plaintext() {
    let tracker = TestTracker::start().await;
    tracker.user("ana").await;
    let folder = tracker.stop().await;
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains(PASSWORD));
    }
}
