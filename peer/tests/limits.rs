//! Tests of limits: a misbehaving client costs little and delays nobody.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::io::Write as _;
use std::net::TcpStream;

use common::{Tracker, room, user};
use commons::limits::FRAME_MAX_BEFORE_LOGIN;
use commons::user::PasswordDigest;
use peer::api::answer::Answer;
use peer::api::{Command, Event};
use peer::limits::RETIRE_TIME;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde_json::json;

/// A member that joins and accepts connections, and never reads a byte of them.
struct Mute {
    _tracker: TcpStream,
    listener: std::net::TcpListener,
}

impl Mute {
    fn joins(tracker: std::net::SocketAddr, room: &str) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut session = TcpStream::connect(tracker).unwrap();
        let password = PasswordDigest::of_typed("mute");
        let register = json!({"cmd": "REGISTER", "username": "mute", "password": password, "port": port});
        let join = json!({"cmd": "JOIN_ROOM", "room": room});
        write!(session, "{register}\n{join}\n").unwrap();
        Self { _tracker: session, listener }
    }
}

#[tokio::test]
async fn member_that_never_reads_delays_no_other() {
    let tracker = Tracker::start().await;
    let mut ana = tracker.peer("ana").await;
    let mut bob = tracker.peer("bob").await;
    ana.create("sala").await;
    bob.join("sala").await;
    ana.linked("bob").await;
    let _mute = Mute::joins(tracker.address, "sala");
    ana.until(|e| matches!(e, Event::RoomUpdate { username, .. } if *username == user("mute"))).await;

    // Twice the capacity of a link's send queue. Each message is short enough for a legacy client.
    let line = "x".repeat(3500);
    let lines = 2 * peer::limits::LINK_QUEUE_BYTES / line.len();
    for _ in 0..lines {
        ana.say(&line).await;
    }
    assert_eq!(bob.next_messages(lines).await.len(), lines);
    let Ok(Answer::Outbox { lines }) = ana.run(Command::Outbox).await else { panic!("no outbox") };
    assert!(
        lines.iter().any(|waiting| waiting.message.waits == [user("mute")]),
        "what it does not read waits"
    );
}

#[tokio::test]
async fn sign_out_waits_briefly_for_an_open_connection() {
    let tracker = Tracker::start().await;
    let mut ana = tracker.peer("ana").await;
    ana.create("sala").await;
    let mute = Mute::joins(tracker.address, "sala");
    let listener = mute.listener.try_clone().unwrap();
    let (mut link, _) = tokio::task::spawn_blocking(move || listener.accept()).await.unwrap().unwrap();
    writeln!(link, r#"{{"cmd":"WELCOME","username":"mute","instance":1}}"#).unwrap();
    ana.linked("mute").await;
    let began = std::time::Instant::now();
    ana.run(Command::Quit).await.unwrap();
    ana.service.stop().await;
    // The expected time is one second. The former defect took ten, which even a fast machine shows.
    assert!(began.elapsed() < RETIRE_TIME * 2, "{:?}", began.elapsed());
}

#[tokio::test]
async fn garbage_at_the_port_disturbs_no_conversation() {
    let tracker = Tracker::start().await;
    let [ana, mut bob, _carla] = common::three_in(&tracker, "sala").await;
    let mut runner = TestRunner::deterministic();
    let garbage = proptest::collection::vec(proptest::num::u8::ANY, 1..2 * FRAME_MAX_BEFORE_LOGIN);
    let known = [
        r#"{"cmd":"HELLO"}"#,
        r#"{"cmd":"HELLO","username":"ana"}"#,
        r#"{"cmd":"HELLO","username":"../../x"}"#,
        r#"{"cmd":"HELLO","username":"eve","instance":-1}"#,
        r#"{"cmd":"HELLO","username":"eve"}{"cmd":"MESSAGE"}{"cmd":"RECEIVED","id":"x"}{nonsense}"#,
        r#"{"cmd":"HELLO","username":"eve"}{"cmd":"MESSAGE","room":"sala","username":"eve","content":5}"#,
    ];
    for round in 0..30 {
        for n in 0..8 {
            let bytes = garbage.new_tree(&mut runner).unwrap().current();
            let mut attack = TcpStream::connect(ana.service.local_addr()).unwrap();
            let sent = match n {
                0..4 => attack.write_all(&bytes),
                4 => attack.write_all(&[b"{\"a\":", &b"[".repeat(4000)[..]].concat()),
                5 => {
                    attack.write_all(&[b"{\"cmd\":\"", &b"x".repeat(2 * FRAME_MAX_BEFORE_LOGIN)[..]].concat())
                }
                _ => attack.write_all(known[(round + n) % known.len()].as_bytes()),
            };
            // The peer may have closed the connection already.
            drop(sent);
        }
        let text = format!("round {round}");
        bob.say(&text).await;
        ana.say(&text).await;
        bob.receives(&text).await;
    }
    assert!(
        bob.service
            .status()
            .await
            .conversations
            .iter()
            .any(|(c, _)| *c == peer::api::conversation::Conversation::Room(room("sala")))
    );
}
