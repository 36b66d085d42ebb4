//! Tests of login keys: they prove a password in place of its digest, and accounts that have only the digest get one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may")]

mod common;

use std::fs;
use std::sync::Arc;

use common::device::{Device, ask};
use common::{PASSWORD, TestTracker, WRONG};
use commons::login_key::LoginKey;
use commons::names::Username;
use serde_json::{Value, json};
use tracker::config::PasswordCost;
use tracker::password_reset::PasswordReset;
use tracker::server::fingerprint;

/// The typed password whose digest is [`PASSWORD`].
const TYPED: &str = "123456";

fn user(name: &str) -> Username {
    Username::parse(name).unwrap()
}

/// The login key of a typed password at this tracker.
fn login_key(tracker: &TestTracker, name: &str, typed: &str) -> String {
    let key = fingerprint(tracker.folder.path()).unwrap();
    LoginKey::derive(typed.as_bytes(), &key, &user(name)).unwrap().to_hex().to_string()
}

/// A REGISTER or LOGIN with these proofs.
fn by(cmd: &str, name: &str, digest: Option<&str>, login_key: Option<&str>) -> Value {
    json!({"cmd": cmd, "username": name, "password": digest, "login_key": login_key, "port": 5000, "id": 1})
}

/// Sends a sign-in from a new device. Returns the code of a refusal, or `OK`.
async fn tried(tracker: &TestTracker, request: Value) -> String {
    let (_, reply) = Device::new().ask(tracker.address, request).await;
    reply["code"].as_str().unwrap_or("OK").to_owned()
}

/// A tracker on the files of an original one, where ana's password is [`TYPED`].
async fn with_an_originals_account() -> TestTracker {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("users_db.json"), json!({"ana": PASSWORD}).to_string()).unwrap();
    TestTracker::start_in(Arc::new(folder), |_| ()).await
}

#[tokio::test]
async fn login_key_alone_registers_and_signs_in() {
    let tracker = TestTracker::start().await;
    let (right, wrong) = (login_key(&tracker, "ana", TYPED), login_key(&tracker, "ana", "another"));
    assert_eq!(tried(&tracker, by("REGISTER", "ana", None, Some("short"))).await, "MALFORMED");
    assert_eq!(tried(&tracker, by("REGISTER", "ana", None, None)).await, "MISSING_PARAMETER");
    assert_eq!(tried(&tracker, by("REGISTER", "ana", None, Some(&right))).await, "OK");
    let tracker = TestTracker::start_in(tracker.stop().await, |_| ()).await;
    assert_eq!(tried(&tracker, by("LOGIN", "ana", None, Some(&right))).await, "OK");
    assert_eq!(tried(&tracker, by("LOGIN", "ana", None, Some(&wrong))).await, "INVALID_CREDENTIALS");
    // The tracker never had the digest, and the login key is no digest.
    for digest in [PASSWORD, &right] {
        assert_eq!(tried(&tracker, by("LOGIN", "ana", Some(digest), None)).await, "INVALID_CREDENTIALS");
    }
    assert_eq!(tried(&tracker, by("LOGIN", "nobody", None, Some(&right))).await, "INVALID_CREDENTIALS");
    assert!(!folder_holds(&tracker, &right) && folder_holds(&tracker, "login_key:"));
}

fn folder_holds(tracker: &TestTracker, text: &str) -> bool {
    let files = fs::read_dir(tracker.folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let mut contents = files.filter(|path| path.is_file()).map(|path| fs::read(path).unwrap());
    contents.any(|content| String::from_utf8_lossy(&content).contains(text))
}

#[tokio::test]
async fn originals_account_gets_a_login_key_and_keeps_its_digest() {
    let tracker = with_an_originals_account().await;
    let key = login_key(&tracker, "ana", TYPED);
    let (by_key, both) =
        (by("LOGIN", "ana", None, Some(&key)), by("LOGIN", "ana", Some(PASSWORD), Some(&key)));
    assert_eq!(tried(&tracker, by_key.clone()).await, "DIGEST_REQUIRED");
    let wrong = by("LOGIN", "ana", Some(WRONG), Some(&key));
    assert_eq!(tried(&tracker, wrong).await, "INVALID_CREDENTIALS");
    assert_eq!(tried(&tracker, by_key.clone()).await, "DIGEST_REQUIRED", "a wrong digest stores nothing");
    // An original program signs in first, which replaces the plain digest by a hash.
    tracker.connect().await.ok(by("LOGIN", "ana", Some(PASSWORD), None)).await;
    assert_eq!(tried(&tracker, both).await, "OK");
    let tracker = TestTracker::start_in(tracker.stop().await, |_| ()).await;
    assert_eq!(tried(&tracker, by_key).await, "OK");
    assert_eq!(tried(&tracker, by("LOGIN", "ana", Some(PASSWORD), None)).await, "OK");
    assert!(!folder_holds(&tracker, PASSWORD) && !folder_holds(&tracker, &key));
}

#[tokio::test]
async fn password_change_forgets_proofs_without_a_new_value() {
    let tracker = with_an_originals_account().await;
    let (old, new) = (login_key(&tracker, "ana", TYPED), login_key(&tracker, "ana", "another"));
    let device = Device::new();
    let mut session = device.session(tracker.address, by("LOGIN", "ana", Some(PASSWORD), Some(&old))).await;
    let change = |proof: &str, new: Value| {
        let mut request = json!({"cmd": "CHANGE_PASSWORD", "login_key": proof});
        request.as_object_mut().unwrap().extend(new.as_object().unwrap().clone());
        request
    };
    let nothing = ask(&mut session, change(&old, json!({}))).await;
    assert_eq!(nothing["code"], "MISSING_PARAMETER", "{nothing}");
    let wrong = ask(&mut session, change(&new, json!({"new_login_key": new}))).await;
    assert_eq!(wrong["code"], "INVALID_CREDENTIALS", "{wrong}");
    let changed = ask(&mut session, change(&old, json!({"new_login_key": new}))).await;
    assert_eq!(changed["status"], "OK", "{changed}");
    for (proofs, expected) in [
        ((None, Some(&*new)), "OK"),
        ((None, Some(&*old)), "INVALID_CREDENTIALS"),
        // Otherwise the old password would still open the account.
        ((Some(PASSWORD), None), "INVALID_CREDENTIALS"),
    ] {
        assert_eq!(tried(&tracker, by("LOGIN", "ana", proofs.0, proofs.1)).await, expected);
    }
    // A program of an earlier version changes the digest. The old login key opens nothing afterwards.
    let mut session = device.session(tracker.address, by("LOGIN", "ana", None, Some(&new))).await;
    let changed = ask(&mut session, change(&new, json!({"new_password": PASSWORD}))).await;
    assert_eq!(changed["status"], "OK", "{changed}");
    assert_eq!(tried(&tracker, by("LOGIN", "ana", None, Some(&new))).await, "DIGEST_REQUIRED");
    assert_eq!(tried(&tracker, by("LOGIN", "ana", Some(PASSWORD), None)).await, "OK");
}

#[tokio::test]
async fn login_key_proves_the_deletion_of_an_account() {
    let tracker = TestTracker::start().await;
    let key = login_key(&tracker, "ana", TYPED);
    let mut session = Device::new().session(tracker.address, by("REGISTER", "ana", None, Some(&key))).await;
    let wrong = ask(&mut session, json!({"cmd": "DELETE_ACCOUNT", "login_key": WRONG})).await;
    assert_eq!(wrong["code"], "INVALID_CREDENTIALS", "{wrong}");
    let deleted = ask(&mut session, json!({"cmd": "DELETE_ACCOUNT", "login_key": key})).await;
    assert_eq!(deleted["status"], "OK", "{deleted}");
    assert_eq!(tried(&tracker, by("LOGIN", "ana", None, Some(&key))).await, "INVALID_CREDENTIALS");
}

#[tokio::test]
async fn reset_password_signs_in_by_login_key() {
    // The account of an original program keeps its digest; that of our programs gets none.
    for (original, by_digest) in [(true, "OK"), (false, "INVALID_CREDENTIALS")] {
        let tracker = if original { with_an_originals_account().await } else { TestTracker::start().await };
        if !original {
            let key = login_key(&tracker, "ana", "forgotten");
            assert_eq!(tried(&tracker, by("REGISTER", "ana", None, Some(&key))).await, "OK");
        }
        let folder = tracker.stop().await;
        let reset = PasswordReset::begin(folder.path(), user("ana")).unwrap();
        reset.finish("something newer".to_owned(), PasswordCost { memory: 8, passes: 1 }).await.unwrap();
        let tracker = TestTracker::start_in(folder, |_| ()).await;
        let digest = commons::user::PasswordDigest::of_typed("something newer");
        let mut plain = tracker.connect().await;
        let reply = plain.ask(by("LOGIN", "ana", Some(digest.as_str()), None)).await;
        assert_eq!(reply["code"].as_str().unwrap_or("OK"), by_digest, "{reply}");
        let key = login_key(&tracker, "ana", "something newer");
        assert_eq!(tried(&tracker, by("LOGIN", "ana", None, Some(&key))).await, "OK");
        assert_eq!(tried(&tracker, by("LOGIN", "ana", Some(PASSWORD), None)).await, "INVALID_CREDENTIALS");
    }
}

#[tokio::test]
async fn new_tracker_key_makes_login_keys_outdated() {
    let tracker = TestTracker::start().await;
    let (device, key) = (Device::new(), login_key(&tracker, "ana", TYPED));
    drop(device.session(tracker.address, by("REGISTER", "ana", None, Some(&key))).await);
    let folder = tracker.stop().await;
    fs::remove_file(folder.path().join("tracker.key")).unwrap();
    tracker::folder_check::accept_edits(folder.path()).await.unwrap();
    let tracker = TestTracker::start_in(folder, |_| ()).await;
    let new = login_key(&tracker, "ana", TYPED);
    assert_ne!(new, key);
    assert_eq!(tried(&tracker, by("LOGIN", "ana", None, Some(&new))).await, "LOGIN_KEY_OUTDATED");
    // The device's key still signs in, and sets the password again.
    let mut session = device.session(tracker.address, by("LOGIN", "ana", None, None)).await;
    let changed = ask(&mut session, json!({"cmd": "CHANGE_PASSWORD", "new_login_key": new})).await;
    assert_eq!(changed["status"], "OK", "{changed}");
    assert_eq!(tried(&tracker, by("LOGIN", "ana", None, Some(&new))).await, "OK");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn question_for_the_digest_is_not_a_wrong_password() {
    let folder = with_an_originals_account().await.stop().await;
    let tracker = TestTracker::start_in(folder, |config| config.limit_loopback = true).await;
    let key = login_key(&tracker, "ana", TYPED);
    let login = async |digest: Option<&str>| {
        let request = by("LOGIN", "ana", digest, Some(&key));
        tracker.connect_from([9, 1]).await.ask(request).await["code"].take()
    };
    // A user who hesitates does not wait for it afterwards.
    for _ in 0..4 {
        assert_eq!(login(None).await, "DIGEST_REQUIRED");
    }
    // Control: wrong digests count, and then no question is answered either.
    for _ in 0..3 {
        assert_eq!(login(Some(WRONG)).await, "INVALID_CREDENTIALS");
    }
    assert_eq!(login(None).await, "TOO_MANY_ATTEMPTS");
}
