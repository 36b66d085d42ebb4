//! Tests of encrypted sessions.
//! They check which key signs in to which account, when plaintext is refused, and how the sweep pings a peer.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may")]

mod common;

use std::time::Duration;

use common::device::{Device, ask, by_key};
use common::{PASSWORD, PATIENCE, TestTracker, sign_in};
use commons::limits::FRAME_MAX;
use commons::net::connection::Connection;
use commons::net::socket::{FirstByte, Listener, Socket};
use commons::net::tls::{Identity, Purpose};
use serde_json::{Value, json};
use tokio::time::timeout;

#[tokio::test]
async fn a_bound_key_needs_no_password_and_any_other_is_refused() {
    let tracker = TestTracker::start().await;
    let (own, stranger) = (Device::new(), Device::new());
    let (_, reply) = own.ask(tracker.address, sign_in("REGISTER", "ana", 5000)).await;
    assert_eq!(reply["status"], "OK", "{reply}");
    let (_, reply) = own.ask(tracker.address, by_key("ana")).await;
    assert_eq!(reply["status"], "OK", "{reply}");
    let (_, reply) = stranger.ask(tracker.address, by_key("ana")).await;
    assert_eq!(reply["code"], "INVALID_CREDENTIALS", "{reply}");
    let (_, reply) = own.ask(tracker.address, by_key("nobody")).await;
    assert_eq!(reply["code"], "INVALID_CREDENTIALS", "{reply}");
    // A plaintext session proves no key.
    let mut plain = tracker.connect().await;
    assert_eq!(plain.refused(by_key("ana")).await, "MISSING_PARAMETER");
}

#[tokio::test]
async fn an_account_with_keys_is_not_talked_down_to_plaintext() {
    let tracker = TestTracker::start().await;
    let (_, reply) = Device::new().ask(tracker.address, sign_in("REGISTER", "ana", 5000)).await;
    assert_eq!(reply["status"], "OK", "{reply}");
    let mut plain = tracker.connect().await;
    assert_eq!(plain.refused(sign_in("LOGIN", "ana", 5000)).await, "PLAINTEXT_REFUSED");
    // An account without keys may sign in over plaintext until it gets its first key.
    drop(tracker.original("bob").await);
    tracker.connect().await.ok(sign_in("LOGIN", "bob", 5000)).await;
    let (_, reply) = Device::new().ask(tracker.address, sign_in("LOGIN", "bob", 5000)).await;
    assert_eq!(reply["status"], "OK", "{reply}");
    assert_eq!(tracker.connect().await.refused(sign_in("LOGIN", "bob", 5000)).await, "PLAINTEXT_REFUSED");
}

#[tokio::test]
async fn fifth_device_replaces_the_oldest_across_a_restart() {
    // The key of an admin would stay.
    let tracker = TestTracker::start_with(|config| config.first_user_is_admin = false).await;
    let devices: Vec<_> = (0..5).map(|_| Device::new()).collect();
    let mut requests = vec![sign_in("REGISTER", "ana", 5000)];
    requests.resize(5, sign_in("LOGIN", "ana", 5000));
    for (device, request) in devices.iter().zip(requests) {
        let (_, reply) = device.ask(tracker.address, request).await;
        assert_eq!(reply["status"], "OK", "{reply}");
    }

    let tracker = TestTracker::start_in(tracker.stop().await, |_| ()).await;
    for device in &devices[1..] {
        let (_, reply) = device.ask(tracker.address, by_key("ana")).await;
        assert_eq!(reply["status"], "OK", "{reply}");
    }
    let (_, reply) = devices[0].ask(tracker.address, by_key("ana")).await;
    assert_eq!(reply["code"], "INVALID_CREDENTIALS", "{reply}");
}

#[tokio::test]
async fn the_tracker_keeps_its_key_and_shows_which_keys_are_whose() {
    let tracker = TestTracker::start().await;
    let ana = Device::new();
    let (mut session, _) = ana.ask(tracker.address, sign_in("REGISTER", "ana", 5000)).await;
    let found = ask(&mut session, json!({"cmd": "GET_PEER", "peer": "ana"})).await;
    assert_eq!(found["peer"]["keys"], json!([ana.identity(Purpose::Link).key()]), "{found}");
    drop(session);
    let key = |address| {
        let ana = ana.identity(Purpose::Session);
        async move { Socket::dial_encrypted(address, &ana).await.unwrap().remote_key() }
    };
    let before = key(tracker.address).await;
    let tracker = TestTracker::start_in(tracker.stop().await, |_| ()).await;
    assert_eq!(key(tracker.address).await, before);
    let other = TestTracker::start().await;
    assert_ne!(key(other.address).await, before);
}

/// Accepts links with this key and answers the PING on each.
fn answer_pings(listener: Listener, identity: Identity) {
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            if !matches!(socket.opening().await, Ok(FirstByte::Tls)) {
                continue;
            }
            let Ok(socket) = socket.accept_encrypted(&identity).await else { continue };
            let mut link = Connection::new(socket, FRAME_MAX);
            if let Ok(Some(frame)) = link.recv().await {
                assert_eq!(frame.parse_owned::<Value>().unwrap(), json!({"cmd": "PING"}));
                link.send(&json!({"cmd": "PONG"})).await.unwrap();
                link.close().await;
            }
        }
    });
}

#[tokio::test]
async fn sweep_accepts_only_the_key_of_the_session() {
    let tracker = TestTracker::start_with(|config| {
        (config.ping_interval, config.ping_timeout) = (Duration::from_millis(200), PATIENCE);
    })
    .await;
    let (ana, bob, thief) = (Device::new(), Device::new(), Device::new());
    let mut sessions = Vec::new();
    for (name, session, port) in [("ana", &ana, &ana), ("bob", &bob, &thief)] {
        let listener = Listener::bind("127.0.0.1:0").await.unwrap();
        let number = listener.local_addr().unwrap().port();
        answer_pings(listener, port.identity(Purpose::Link));
        let (session, reply) = session.ask(tracker.address, sign_in("REGISTER", name, number)).await;
        assert_eq!(reply["status"], "OK", "{reply}");
        sessions.push(session);
    }
    // Ana's peer proves her own key. The peer at bob's port proves a different one.
    let seen = async {
        loop {
            let mut peers = Vec::new();
            for name in ["ana", "bob"] {
                let found = ask(&mut sessions[0], json!({"cmd": "GET_PEER", "peer": name})).await;
                peers.push(found["peer"].clone());
            }
            if peers[0]["last_ping"].is_string() && peers[1]["connected"] == false {
                return peers;
            }
            tokio::task::yield_now().await;
        }
    };
    let peers = timeout(PATIENCE, seen).await.unwrap();
    assert_eq!(peers[0]["connected"], true);
    assert!(peers[1]["last_ping"].is_null());
}

#[tokio::test]
async fn password_and_digest_are_not_on_the_disk() {
    let tracker = TestTracker::start().await;
    let ana = Device::new();
    let (_, reply) = ana.ask(tracker.address, sign_in("REGISTER", "ana", 5000)).await;
    assert_eq!(reply["status"], "OK", "{reply}");
    let key = ana.identity(Purpose::Session).key().to_string();
    let folder = tracker.stop().await;
    let files: Vec<String> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|file| String::from_utf8_lossy(&std::fs::read(file.unwrap().path()).unwrap()).into_owned())
        .collect();
    let holds = |text: &str| files.iter().any(|file| file.contains(text));
    // Control: the search finds the name and the public key.
    assert!(holds("ana") && holds(&key));
    assert!(!holds(PASSWORD), "the digest is what a client proves itself by");
    let seed: String = ana.seed.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(!holds(&seed));
}
