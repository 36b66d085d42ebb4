//! Tests of a room with a legacy client, by the double in `legacy/`, and of plaintext from others.
//! Plaintext must not allow anybody to use another user's name or room.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
mod legacy;

use common::{PATIENCE, Peer, Tracker, room, user};
use legacy::{LegacyClient, Shown};
use peer::api::conversation::Conversation;
use peer::api::undeliverable::Undeliverable;
use peer::api::{Command, Event};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The JSON object of one `recv`.
async fn recv(stream: &mut TcpStream) -> Option<Value> {
    let mut buffer = [0; 4096];
    let read = timeout(PATIENCE, stream.read(&mut buffer)).await.unwrap().unwrap_or(0);
    (read > 0).then(|| serde_json::from_slice(&buffer[..read]).unwrap())
}

/// Creates a room of ana's with a legacy client in it.
async fn room_with_an_original(tracker: &Tracker) -> (Peer, LegacyClient) {
    let mut ana = tracker.peer("ana").await;
    ana.create("sala").await;
    let py = LegacyClient::registered(tracker.address, "py");
    py.join("sala");
    ana.linked("py").await;
    (ana, py)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn original_program_and_two_peers_exchange_messages() {
    let tracker = Tracker::start().await;
    let mut ana = tracker.peer("ana").await;
    let mut zoe = tracker.peer("zoe").await;
    ana.create("sala").await;
    zoe.join("sala").await;
    let py = LegacyClient::registered(tracker.address, "py");
    py.join("sala");
    ana.linked("py").await;
    zoe.linked("py").await;

    for n in 0..20 {
        ana.say(&format!("from ana {n}")).await;
        zoe.say(&format!("from zoe {n}")).await;
    }
    let (mut of_ana, mut of_zoe) = (0, 0);
    while of_ana < 20 || of_zoe < 20 {
        let Shown::Room { from, text } = py.until(|shown| matches!(shown, Shown::Room { .. })) else {
            unreachable!()
        };
        let count = if from == "ana" { &mut of_ana } else { &mut of_zoe };
        assert_eq!(text, format!("from {from} {count}"));
        *count += 1;
    }
    py.say("oi");
    assert_eq!(ana.receives("oi").await, user("py"));
    assert_eq!(zoe.receives("oi").await, user("py"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn text_too_long_for_a_legacy_client_is_refused_visibly() {
    let tracker = Tracker::start().await;
    let (mut ana, py) = room_with_an_original(&tracker).await;
    ana.say(&"x".repeat(4096)).await;
    let event = ana.until(|e| matches!(e, Event::Undelivered { .. })).await;
    assert!(matches!(event, Event::Undelivered { reason: Undeliverable::TextTooLong, .. }));
    ana.say("short").await;
    py.receives("short");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ending_a_private_chat_keeps_the_link_of_a_shared_room() {
    let tracker = Tracker::start().await;
    let (ana, py) = room_with_an_original(&tracker).await;
    ana.tell("py", "psst").await.unwrap();
    py.receives_privately("psst");
    ana.run(Command::Leave { conversation: Some(Conversation::Private(user("py"))) }).await.unwrap();
    ana.say("still linked").await;
    let shown = py.until(|shown| matches!(shown, Shown::Disconnected(_) | Shown::Room { .. }));
    assert_eq!(shown, Shown::Room { from: "ana".into(), text: "still linked".into() });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_leave_from_it_the_link_is_dialled_again() {
    let tracker = Tracker::start().await;
    let (mut ana, py) = room_with_an_original(&tracker).await;
    // The legacy client ends a private chat, and with it the whole link.
    assert!(py.chat_with("ana"));
    py.leave();
    py.is_dialled_by("ana");
    ana.linked("py").await;
    ana.say("again").await;
    py.receives("again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_under_other_names_or_rooms_are_refused() {
    let tracker = Tracker::start().await;
    let mut ana = tracker.peer("ana").await;
    ana.create("sala").await;
    let eve = LegacyClient::registered(tracker.address, "eve");
    let mut stream = TcpStream::connect(ana.service.local_addr()).await.unwrap();
    let mut say = async |message: Value| {
        stream.write_all(format!("{message}\n").as_bytes()).await.unwrap();
    };
    say(json!({"cmd": "HELLO", "username": "eve"})).await;
    say(json!({"cmd": "MESSAGE", "room": null, "username": "bob", "content": "I am bob"})).await;
    say(json!({"cmd": "MESSAGE", "room": "sala", "username": "eve", "content": "not a member"})).await;
    say(json!({"cmd": "MESSAGE", "room": null, "username": "eve", "content": "I am eve"})).await;
    assert_eq!(ana.receives("I am eve").await, user("eve"));
    assert!(!ana.saw(|e| matches!(e, Event::Message { .. })));
    assert_eq!(ana.opened().await, Some(Conversation::Room(room("sala"))));
    drop(eve);
}

#[tokio::test]
async fn a_port_answers_ping_and_closes_on_anything_else_than_hello() {
    let tracker = Tracker::start().await;
    let ana = tracker.peer("ana").await;
    let mut stream = TcpStream::connect(ana.service.local_addr()).await.unwrap();
    stream.write_all(br#"{"cmd":"PING"}"#).await.unwrap();
    assert_eq!(recv(&mut stream).await, Some(json!({"cmd": "PONG"})));
    for first in [
        &br#"{"cmd":"MESSAGE","room":null,"username":"eve","content":"hi"}"#[..],
        b"[1]",
        b"\x16\x03\x01\x00\x05hello",
        b"GET / HTTP/1.1\r\n",
    ] {
        let mut stream = TcpStream::connect(ana.service.local_addr()).await.unwrap();
        stream.write_all(first).await.unwrap();
        assert_eq!(recv(&mut stream).await, None);
    }
}

#[tokio::test]
async fn plaintext_may_use_a_free_name_but_none_with_keys() {
    let tracker = Tracker::start().await;
    let mut ana = tracker.peer("ana").await;
    let _bob = tracker.peer("bob").await;
    for (name, text) in [("bob", "I have no key of bob's"), ("zed", "nobody has this name")] {
        let mut stream = TcpStream::connect(ana.service.local_addr()).await.unwrap();
        for message in [
            json!({"cmd": "HELLO", "username": name}),
            json!({"cmd": "MESSAGE", "room": null, "username": name, "content": text}),
        ] {
            stream.write_all(format!("{message}\n").as_bytes()).await.unwrap();
        }
        if name == "bob" {
            assert_eq!(recv(&mut stream).await, None);
        } else {
            assert_eq!(ana.receives(text).await, user(name));
        }
    }
    assert!(!ana.saw(|e| matches!(e, Event::Message { .. })));
}
