//! Tests of secrets: private data is not on the wire, in a folder or in a log unless it must be there.
//! Each search has a control that finds something.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
mod proxy;
mod raw_client;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::{Peer, Tracker, user};
use commons::login_key::LoginKey;
use commons::net::socket::Listener;
use commons::net::tls::Purpose;
use peer::api::answer::Answer;
use peer::api::error::CommandError;
use peer::api::{Command, Event};
use proxy::Proxy;
use raw_client::{
    RawClient, RawLink, digest, files_in, hello, message, seal_as_before, sealed_in, seed_in, sign_in,
};
use serde_json::json;

const TEXT: &str = "a text for bob alone";
const ROOM: &str = "a room of our own";

async fn to_the_port_of(listener: &Listener) -> Proxy {
    Proxy::to(listener.local_addr().unwrap()).await
}

#[tokio::test]
async fn recorded_traffic_reveals_nothing() {
    let tracker = Tracker::start().await;
    let to_tracker = Proxy::to(tracker.address).await;
    let listener = Listener::bind("127.0.0.1:0").await.unwrap();
    let to_bob = to_the_port_of(&listener).await;
    let mut ana = Peer::register(to_tracker.address, "ana").await;
    let mut bob = RawClient::register(to_tracker.address, "bob", listener, to_bob.address.port()).await;
    bob.session.ok(&json!({"cmd": "CREATE_ROOM", "room": ROOM})).await;
    ana.join(ROOM).await;
    ana.tell("bob", TEXT).await.unwrap();
    assert_eq!(bob.receives().await, TEXT);
    ana.say("a text for the room").await;
    assert_eq!(bob.receives().await, "a text for the room");
    ana.run(Command::Rooms).await.unwrap();
    for proxy in [&to_tracker, &to_bob] {
        assert!(proxy.received_bytes() > 2000, "nothing was recorded");
        for secret in [
            &*digest("ana"),
            &digest("bob"),
            ROOM,
            TEXT,
            "a text for the room",
            "login_key",
            "REGISTER",
            "HELLO",
        ] {
            assert!(!proxy.received(secret), "{secret}");
        }
    }
}

#[tokio::test]
async fn control_recorded_plaintext_reveals_everything() {
    let tracker = Tracker::start().await;
    let to_tracker = Proxy::to(tracker.address).await;
    let mut bob = tracker.peer("bob").await;
    let to_bob = Proxy::to(bob.service.local_addr()).await;
    let mut original = RawLink::in_the_clear(to_tracker.address).await;
    original.ok(&sign_in("REGISTER", "original", 5000)).await;
    original.ok(&json!({"cmd": "CREATE_ROOM", "room": ROOM})).await;
    let mut link = RawLink::in_the_clear(to_bob.address).await;
    link.send(&hello("original")).await;
    link.send(&message("original", TEXT)).await;
    bob.receives(TEXT).await;
    assert!(to_tracker.received(&digest("original")) && to_tracker.received(ROOM) && to_bob.received(TEXT));
}

#[tokio::test]
async fn a_second_start_sends_no_password() {
    let mut tracker = Tracker::start().await;
    let ana = tracker.peer("ana").await;
    ana.service.stop().await;
    tracker.down().await;
    // From now on none of ana's passwords opens the account, so a successful start did not send one.
    let file = tracker.folder().join("users_db.json");
    let mut users: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    users["ana"] = json!(digest("somebody else"));
    std::fs::write(&file, users.to_string()).unwrap();
    tracker::folder_check::accept_edits(tracker.folder()).await.unwrap();
    tracker.up().await;
    let elsewhere = ana.try_elsewhere().await.err();
    assert!(
        matches!(&elsewhere, Some(error @ CommandError::Refused { .. }) if error.code() == "INVALID_CREDENTIALS"),
        "{elsewhere:?}"
    );
    ana.again().await.run(Command::Rooms).await.unwrap();
}

#[tokio::test]
async fn a_seal_of_the_first_version_opens_and_is_sealed_anew_at_once() {
    let tracker = Tracker::start().await;
    let ana = tracker.peer("ana").await;
    ana.service.stop().await;
    let seed = seed_in(ana.folder(), "ana");
    seal_as_before(ana.folder(), "ana");
    assert_eq!(sealed_in(ana.folder()).1["version"], json!(null));
    let again = ana.again().await;
    assert_eq!(sealed_in(ana.folder()).1["version"], json!(2));
    assert_eq!(seed_in(again.folder(), "ana").as_bytes(), seed.as_bytes());
}

fn holds(content: &[u8], text: &str) -> bool {
    content.windows(text.len()).any(|window| window == text.as_bytes())
}

fn folder_holds(folder: &Path, text: &str) -> bool {
    files_in(folder).iter().any(|(_, content)| holds(content, text))
}

#[tokio::test]
async fn secrets_are_in_no_folder_and_in_no_log() {
    let log = tempfile::NamedTempFile::new().unwrap();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(Arc::new(log.reopen().unwrap()))
        .init();
    let mut tracker = Tracker::start().await;
    let (mut ana, mut bob) = (tracker.peer("ana").await, tracker.peer("bob").await);
    ana.create(ROOM).await;
    bob.join(ROOM).await;
    ana.linked("bob").await;
    ana.say("a text for the room").await;
    bob.receives("a text for the room").await;
    ana.tell("bob", TEXT).await.unwrap();
    bob.receives(TEXT).await;
    // Failures are logged too: a refused session, an invalid frame, a message under another name.
    RawLink::in_the_clear(tracker.address).await.ask(&sign_in("LOGIN", "ana", 5000)).await;
    let mut original = RawLink::in_the_clear(tracker.address).await;
    original.ok(&sign_in("REGISTER", "original", 5000)).await;
    let mut link = RawLink::in_the_clear(ana.service.local_addr()).await;
    link.send(&hello("original")).await;
    link.send(&message("bob", TEXT)).await;
    link.send(&json!({"cmd": "MESSAGE", "content": TEXT})).await;
    link.send(&message("original", "heard last")).await;
    ana.receives("heard last").await;

    let seeds = [seed_in(ana.folder(), "ana"), seed_in(bob.folder(), "bob")];
    for peer in [&ana, &bob] {
        peer.service.stop().await;
    }
    tracker.down().await;
    let log = std::fs::read(log.path()).unwrap();
    // The control: expected text is found.
    assert!(holds(&log, "a message under another name was dropped"), "nothing was logged");
    assert!(folder_holds(tracker.folder(), ROOM));
    let key =
        |n: usize| commons::net::tls::Identity::new(&seeds[n], Purpose::Link).unwrap().key().to_string();
    assert!(folder_holds(tracker.folder(), &key(0)) && folder_holds(tracker.folder(), &key(1)));
    assert!(!folder_holds(ana.folder(), &key(1)), "whom a user knows is sealed");

    let hex = |n: usize| base16ct::lower::encode_string(seeds[n].as_bytes());
    let login_key = |name| {
        let password = format!("password of {name}");
        LoginKey::derive(password.as_bytes(), &tracker.key(), &user(name)).unwrap().to_hex().to_string()
    };
    let [of_ana, of_bob] = ["ana", "bob"].map(login_key);
    let secrets = [digest("ana"), digest("bob"), digest("original"), of_ana, of_bob, hex(0), hex(1)];
    let secrets = secrets.iter().map(String::as_str);
    for secret in secrets.chain(["password of ", TEXT, "a text for the room", "heard last"]) {
        assert!(!holds(&log, secret), "the log holds {secret}");
        for folder in [tracker.folder(), ana.folder(), bob.folder()] {
            assert!(!folder_holds(folder, secret), "{} holds {secret}", folder.display());
        }
    }
    for (path, _) in files_in(ana.folder()).into_iter().filter(|(path, _)| path.ends_with("identity.json")) {
        let modes = [(path.as_path(), 0o600), (path.parent().unwrap(), 0o700)];
        assert_eq!(
            modes.map(|(path, _)| path.metadata().unwrap().mode() & 0o777),
            modes.map(|(_, mode)| mode)
        );
    }
    for (_, content) in [tracker.folder(), ana.folder(), bob.folder()].into_iter().flat_map(files_in) {
        for seed in &seeds {
            assert!(!content.windows(32).any(|window| window == seed.as_bytes()));
        }
    }
}

/// Names of users and a room that occur nowhere by chance.
const FRIEND: &str = "constance-of-the-hill";
const FOE: &str = "mordred-of-the-lake";
const NAMES: [&str; 3] = [FRIEND, FOE, ROOM];

/// Whether a name occurs in a file or in a file's name.
fn folder_names(folder: &Path, name: &str) -> bool {
    let in_path = |path: &Path| path.strip_prefix(folder).unwrap().to_string_lossy().contains(name);
    files_in(folder).iter().any(|(path, content)| in_path(path) || holds(content, name))
}

/// Ana, who has a contact, a blocked user and a room. Returns ana and the contact.
async fn known_by_all(tracker: &Tracker) -> [Peer; 2] {
    let (mut ana, mut friend) = (tracker.peer("ana").await, tracker.peer(FRIEND).await);
    ana.create(ROOM).await;
    friend.join(ROOM).await;
    ana.linked(FRIEND).await;
    ana.say("a text for the room").await;
    friend.receives("a text for the room").await;
    ana.run(Command::Block { user: Some(user(FOE)) }).await.unwrap();
    [ana, friend]
}

/// The path of the file with this name in a peer's folder.
fn file_of(peer: &Peer, name: &str) -> PathBuf {
    sealed_in(peer.folder()).0.with_file_name(name)
}

/// Replaces the sealed files by the unencrypted ones of earlier versions.
fn keep_as_before(ana: &Peer, pins: &serde_json::Value) {
    for name in ["known_keys.sealed", "blocked.sealed"] {
        std::fs::remove_file(file_of(ana, name)).unwrap();
    }
    std::fs::write(file_of(ana, "known_keys.json"), pins.to_string()).unwrap();
    std::fs::write(file_of(ana, "blocked.json"), json!([FOE]).to_string()).unwrap();
}

#[tokio::test]
async fn a_stolen_disk_names_no_person_and_no_room() {
    let mut tracker = Tracker::start().await;
    let [ana, friend] = known_by_all(&tracker).await;
    // A thief may also cut the power of a running computer.
    assert_eq!(NAMES.map(|name| folder_names(ana.folder(), name)), [false; 3], "while it runs");
    for peer in [&ana, &friend] {
        peer.service.stop().await;
    }
    tracker.down().await;
    assert_eq!(NAMES.map(|name| folder_names(ana.folder(), name)), [false; 3]);
    // The control: unencrypted names are found.
    assert!(folder_names(tracker.folder(), FRIEND) && folder_names(tracker.folder(), ROOM));
    assert!(folder_names(friend.folder(), FRIEND), "a user's own folder has the user's name");
    keep_as_before(&ana, &json!({FRIEND: {"keys": []}}));
    assert!(folder_names(ana.folder(), FRIEND) && folder_names(ana.folder(), FOE));
}

#[tokio::test]
async fn plaintext_files_of_an_earlier_version_are_sealed_at_start() {
    let tracker = Tracker::start().await;
    let [ana, friend] = known_by_all(&tracker).await;
    ana.service.stop().await;
    let seed = seed_in(friend.folder(), FRIEND);
    let key = commons::net::tls::Identity::new(&seed, Purpose::Link).unwrap().key();
    keep_as_before(&ana, &json!({FRIEND: {"keys": [key]}}));

    let mut again = ana.again().await;
    assert!(!folder_names(again.folder(), FRIEND) && !folder_names(again.folder(), FOE));
    let blocked = again.run(Command::Block { user: None }).await.unwrap();
    assert_eq!(blocked, Answer::Blocked { users: vec![user(FOE)] });
    again.linked(FRIEND).await;
    assert!(!again.saw(|event| matches!(event, Event::KeyChanged { .. })));
    // The pin is still valid: another key is a change and not a first meeting.
    friend.service.stop().await;
    let _elsewhere = friend.elsewhere().await;
    again.until(|event| matches!(event, Event::KeyChanged { peer, .. } if *peer == user(FRIEND))).await;
}

#[tokio::test]
async fn damaged_or_exchanged_file_stops_the_start() {
    let tracker = Tracker::start().await;
    let [ana, _friend] = known_by_all(&tracker).await;
    ana.service.stop().await;
    let files = ["known_keys.sealed", "blocked.sealed"].map(|name| file_of(&ana, name));
    let [pins, blocked] = files.clone().map(|file| std::fs::read(file).unwrap());
    let torn = &pins[..pins.len() / 2];
    for (wrong, at, name) in
        [(torn, 0, "known_keys.sealed"), (&blocked, 0, "known_keys.sealed"), (&pins, 1, "blocked.sealed")]
    {
        std::fs::write(&files[at], wrong).unwrap();
        let refused = ana.try_again().await.err().expect("it was taken for nothing").to_string();
        assert!(refused.contains(name) && refused.contains("move it away"), "{refused}");
        assert_eq!(std::fs::read(&files[at]).unwrap(), wrong, "it stays as it is");
        std::fs::write(&files[at], [&pins, &blocked][at]).unwrap();
    }
    // The damaged file was the only obstacle, and the program starts without it once it is moved away.
    ana.again().await.service.stop().await;
    std::fs::remove_file(&files[1]).unwrap();
    let again = ana.again().await;
    let blocked = again.run(Command::Block { user: None }).await.unwrap();
    assert_eq!(blocked, Answer::Blocked { users: Vec::new() });
}
