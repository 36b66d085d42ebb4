//! Tests of login keys in the peer: the tracker gets no digest of a password without consent, and no proof of it after it
//! has refused a known key.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
mod programs;
mod proxy;
mod raw_client;

use std::fs;
use std::io::{Write, stderr};
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::{Arc, Mutex};

use common::{Peer, Tracker, password_of, peer_config, user};
use commons::keys::Seed;
use commons::limits::FRAME_MAX;
use commons::net::connection::Connection;
use commons::net::socket::Listener;
use commons::net::tls::{Identity, Purpose};
use commons::protocol::with_tracker::RoomsFate;
use commons::user::PasswordDigest;
use peer::api::Command;
use peer::api::account::AccountCommand;
use peer::api::error::CommandError;
use peer::api::sign_in::{Consent, SignIn};
use peer::identity::password::Password;
use peer::service::PeerService;
use programs::{PASSWORD, Piped, Screen, flags, json};
use proxy::{Deed, Proxy};
use raw_client::{RawLink, digest, sign_in};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A proxy before the tracker that holds the tracker's own key, so that it reads every request.
async fn reader_of(tracker: &Tracker) -> Proxy {
    let text = fs::read_to_string(tracker.folder().join("tracker.key")).unwrap();
    let seed = base16ct::lower::decode_vec(text.lines().next().unwrap()).unwrap();
    let seed = Seed::new(seed.try_into().unwrap());
    let proxy = Proxy::to(tracker.address).await;
    proxy.does(Deed::Middle(Identity::new(&seed, Purpose::Session).unwrap()));
    proxy
}

#[tokio::test]
async fn encrypted_sessions_carry_no_digest() {
    let tracker = Tracker::start().await;
    let reader = reader_of(&tracker).await;
    let ana = Peer::register(reader.address, "ana").await;
    let elsewhere = ana.elsewhere().await;
    let (old, new) = (password_of("ana"), Password::typed("something newer"));
    let change = AccountCommand::ChangePassword { old: old.clone(), new: new.clone() };
    elsewhere.run(Command::Account(change)).await.unwrap();
    let elsewhere = ana.try_elsewhere_with(&new).await.unwrap();
    let delete = AccountCommand::Delete { name: None, password: Some(new.clone()), rooms: RoomsFate::HandOn };
    elsewhere.run(Command::Account(delete)).await.unwrap();
    for sent in ["REGISTER", "LOGIN", "CHANGE_PASSWORD", "DELETE_ACCOUNT", r#""new_login_key":""#] {
        assert!(reader.received(sent), "{sent}");
    }
    for secret in [old.digest(), new.digest()] {
        assert!(!reader.received(secret.as_str()));
    }
    // Control: an original program sends the digest.
    let plain = Proxy::to(tracker.address).await;
    RawLink::in_the_clear(plain.address).await.ok(&sign_in("REGISTER", "original", 5000)).await;
    assert!(plain.received(&digest("original")));
}

#[tokio::test]
async fn originals_account_is_taken_over_on_loopback_unasked() {
    let tracker = Tracker::start().await;
    RawLink::in_the_clear(tracker.address).await.ok(&sign_in("REGISTER", "ana", 5000)).await;
    let reader = reader_of(&tracker).await;
    let wrong = Peer::try_first(reader.address, "ana", &Password::typed("wrong")).await.err();
    assert!(matches!(wrong, Some(CommandError::Refused { .. })), "{wrong:?}");
    let ana = Peer::try_first(reader.address, "ana", &password_of("ana")).await.unwrap();
    assert!(reader.received(&digest("ana")), "the digest was sent once");
    ana.service.stop().await;
    let later = reader_of(&tracker).await;
    let again = Peer::try_first(later.address, "ana", &password_of("ana")).await.unwrap();
    assert!(later.received(r#""login_key":""#) && !later.received(&digest("ana")));
    // A program that sends the digest still signs in. It needs a key, as before.
    let identity = Identity::new(&Seed::random().unwrap(), Purpose::Session).unwrap();
    let mut other = RawLink::encrypted(tracker.address, &identity).await.unwrap();
    other.ok(&sign_in("LOGIN", "ana", 5000)).await;
    let mut plain = RawLink::in_the_clear(tracker.address).await;
    assert_eq!(plain.ask(&sign_in("LOGIN", "ana", 5000)).await.unwrap()["code"], "PLAINTEXT_REFUSED");
    again.service.stop().await;
}

/// An address of this computer that is not on loopback, if it has a network.
fn own_address() -> Option<SocketAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    // This sends nothing. It only chooses the interface.
    let chosen = socket.connect("192.0.2.1:9").and_then(|()| socket.local_addr());
    chosen.ok().filter(|address| !address.ip().is_loopback() && !address.ip().is_unspecified())
}

/// A tracker with the account of an original program, at an address that is not on loopback.
async fn originals_account_elsewhere() -> Option<(Tracker, SocketAddr)> {
    let Some(mut elsewhere) = own_address() else {
        // Written directly, because `eprintln!` shows nothing if the test passes.
        stderr().write_all(b"skipped, for this computer has no network\n").unwrap();
        return None;
    };
    let mut tracker = Tracker::start().await;
    let mut original = RawLink::in_the_clear(tracker.address).await;
    let mut request = sign_in("REGISTER", "ana", 5000);
    request["password"] = json!(PasswordDigest::of_typed(PASSWORD).as_str());
    original.ok(&request).await;
    drop(original);
    tracker.down().await;
    tracker.address = SocketAddr::from(([0, 0, 0, 0], tracker.address.port()));
    tracker.up().await;
    elsewhere.set_port(tracker.address.port());
    Some((tracker, elsewhere))
}

async fn tries(tracker: SocketAddr, data: &Path, consent: Consent) -> Result<(), CommandError> {
    let service = PeerService::start(peer_config(tracker, data)).await.unwrap();
    let (username, password) = (user("ana"), Password::typed(PASSWORD));
    let sign_in = SignIn { username, password, register: false, changed_to: None, code: None, consent };
    let outcome = service.sign_in(sign_in).await;
    service.stop().await;
    outcome
}

#[tokio::test]
async fn digest_goes_to_another_computer_with_consent_only() {
    let Some((_tracker, elsewhere)) = originals_account_elsewhere().await else { return };
    let folders: Vec<TempDir> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
    let refused = Err(CommandError::DigestRequired(user("ana")));
    for _ in 0..2 {
        assert_eq!(tries(elsewhere, folders[0].path(), Consent::default()).await, refused);
        // The tracker would have stored the login key with a digest. Nor is the key left that was made for this.
        let left = raw_client::files_in(folders[0].path());
        assert!(!left.iter().any(|(path, _)| path.ends_with("identity.json")), "{left:?}");
    }
    let consent = Consent { send_digest: true, ..Consent::default() };
    assert_eq!(tries(elsewhere, folders[1].path(), consent).await, Ok(()));
    assert_eq!(tries(elsewhere, folders[2].path(), Consent::default()).await, Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn person_is_asked_before_the_digest_is_sent() {
    let Some((_tracker, elsewhere)) = originals_account_elsewhere().await else { return };
    let data = tempfile::tempdir().unwrap();
    let mut arguments = flags(elsewhere, data.path());
    arguments.extend(["--username", "ana"].map(Into::into));
    for (answer, end) in [("n", "The digest was not sent."), ("y", "Welcome, ana.")] {
        let mut ana = Screen::start(&arguments, &[], 24, 80);
        ana.shows("Password:");
        ana.line(PASSWORD);
        ana.shows("made the account ana");
        ana.shows("Send the digest once? [y/n]");
        // The question has no default answer.
        ana.line("");
        ana.shows("Type y or n.");
        ana.line(answer);
        ana.shows(end);
        if answer == "y" {
            ana.line("/quit");
        }
        ana.end();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn program_consents_to_the_digest_by_a_flag_or_field() {
    let Some((_tracker, elsewhere)) = originals_account_elsewhere().await else { return };
    let [data, other] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut ana = Piped::bot(elsewhere, data.path(), "ana", false);
    let error = ana.event("error");
    assert_eq!(error["code"], "DIGEST_REQUIRED");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("--send-digest") && message.contains(r#""send_digest":true"#), "{message}");
    assert_eq!(ana.end().status, Some(1));
    // Both ways of a consent. After the first, the tracker has the login key.
    let mut arguments = flags(elsewhere, other.path());
    arguments.extend(["--input", "json"].map(Into::into));
    let mut ana = Piped::start(&arguments, None);
    let sign_in = json!({"command": "sign_in", "username": "ana", "password": PASSWORD});
    ana.line(&sign_in.to_string());
    assert_eq!(json(&ana.until(|line| json(line)["line"] == 1))["code"], "DIGEST_REQUIRED");
    let mut consenting = sign_in;
    consenting["send_digest"] = json!("yes");
    ana.line(&consenting.to_string());
    assert_eq!(json(&ana.until(|line| json(line)["line"] == 2))["code"], "USAGE");
    consenting["send_digest"] = json!(true);
    ana.line(&consenting.to_string());
    ana.event("logged_in");
    ana.close_input();
    assert_eq!(ana.end().status, Some(0));
    let mut arguments = flags(elsewhere, data.path());
    arguments.extend(["--username", "ana", "--output", "json", "--send-digest"].map(Into::into));
    let mut ana = Piped::start(&arguments, Some(PASSWORD));
    ana.event("logged_in");
    ana.close_input();
    assert_eq!(ana.end().status, Some(0));
}

/// A tracker that registers everybody and then refuses every login. It records the requests.
async fn refusing_tracker() -> (SocketAddr, Arc<Mutex<Vec<Value>>>) {
    let listener = Listener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let identity = Identity::new(&Seed::random().unwrap(), Purpose::Session).unwrap();
    let requests = Arc::new(Mutex::new(Vec::new()));
    let recorded = Arc::clone(&requests);
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let Ok(socket) = socket.accept_encrypted(&identity).await else { continue };
            let recorded = Arc::clone(&recorded);
            tokio::spawn(async move {
                let mut session = Connection::new(socket, FRAME_MAX);
                while let Ok(Some(frame)) = session.recv().await {
                    let request: Value = frame.parse_owned().unwrap();
                    let reply = match request["cmd"].as_str().unwrap() {
                        "LOGIN" => {
                            json!({"status": "ERROR", "msg": "no", "code": "INVALID_CREDENTIALS", "id": request["id"]})
                        }
                        _ => json!({"status": "OK", "msg": "", "id": request["id"], "keys": []}),
                    };
                    recorded.lock().unwrap().push(request);
                    if session.send(&reply).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (address, requests)
}

#[tokio::test]
async fn tracker_that_refuses_a_known_key_gets_no_proof_unasked() {
    let (address, requests) = refusing_tracker().await;
    let ana = Peer::register(address, "ana").await;
    ana.service.stop().await;
    let sent = || std::mem::take(&mut *requests.lock().unwrap());
    let proves = |sent: &[Value]| sent.iter().filter(|it| it.get("login_key").is_some()).count();
    assert_eq!(proves(&sent()), 1, "the registration");
    let refused = ana.try_again().await.err();
    assert_eq!(refused, Some(CommandError::KeyRefused(user("ana"))));
    let unasked = sent();
    assert!(unasked.iter().any(|it| it["cmd"] == "LOGIN"));
    assert!(unasked.iter().all(|it| it.get("login_key").is_none() && it.get("password").is_none()));
    // Control: after a consent the proof is sent.
    let tried = ana.try_again_as(|sign_in| sign_in.consent.use_password = true).await.err();
    assert_eq!(tried, Some(CommandError::AccountUnknown(user("ana"))));
    assert_eq!(proves(&sent()), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn revoked_key_is_bound_again_after_a_question() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    // The first user is the admin, whose key a password alone cannot revoke.
    let _first = tracker.peer("first").await;
    let mut ana = Piped::bot(tracker.address, data.path(), "ana", true);
    ana.event("logged_in");
    ana.close_input();
    assert_eq!(ana.end().status, Some(0));
    let revoke = async || {
        let elsewhere = Peer::try_first(tracker.address, "ana", &Password::typed(PASSWORD)).await.unwrap();
        let listed = elsewhere.run(Command::Account(AccountCommand::Keys)).await.unwrap();
        let peer::api::answer::Answer::Keys { keys } = listed else { panic!("{listed:?}") };
        for key in keys.into_iter().filter(|key| !key.current) {
            let revoke = AccountCommand::Revoke { key: key.key.to_string() };
            elsewhere.run(Command::Account(revoke)).await.unwrap();
        }
        elsewhere.service.stop().await;
    };
    revoke().await;
    let mut bot = Piped::bot(tracker.address, data.path(), "ana", false);
    let error = bot.event("error");
    assert_eq!((&error["code"], &error["reason"]), (&json!("INVALID_CREDENTIALS"), &json!("KEY_REFUSED")));
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("--use-password") && message.contains(r#""use_password":true"#), "{message}");
    assert_eq!(bot.end().status, Some(1));
    let mut arguments = flags(tracker.address, data.path());
    arguments.extend(["--username", "ana"].map(Into::into));
    let mut person = Screen::start(&arguments, &[], 24, 80);
    person.shows("Password:");
    person.line(PASSWORD);
    person.shows("refuses this computer's key of ana");
    person.shows("Sign in with the password? [y/n]");
    person.line("y");
    person.shows("Welcome, ana.");
    person.line("/quit");
    assert_eq!(person.end(), 0);
    revoke().await;
    arguments.extend(["--output", "json", "--use-password"].map(Into::into));
    let mut bot = Piped::start(&arguments, Some(PASSWORD));
    bot.event("logged_in");
    bot.close_input();
    assert_eq!(bot.end().status, Some(0));
}
