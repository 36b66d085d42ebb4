//! Tests of hostile input.
//! The tracker answers it or closes the connection, and other clients notice nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may")]

mod common;

use std::time::{Duration, Instant};

use common::{PASSWORD, TestTracker, WRONG, room, sign_in};
use commons::net::plaintext::Plaintext;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// Sends these bytes to a tracker, closes the sending side, and returns everything that the tracker answers.
async fn say(tracker: &TestTracker, bytes: &[u8]) -> String {
    let mut client = tracker.connect().await;
    let stream = client.stream.get_mut();
    // The tracker may close the connection before it has read everything.
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
    let mut answer = Vec::new();
    let _ = timeout(common::PATIENCE, stream.read_to_end(&mut answer))
        .await
        .expect("neither answered nor closed");
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn frame_that_is_no_object_is_refused_and_closed() {
    let tracker = TestTracker::start().await;
    for bytes in
        [&b"GET / HTTP/1.1\r\n\r\n"[..], b"[]", b"\xff\xff", b"  nonsense", b"{\"cmd\":\"PING\"", b"{}}"]
    {
        let answer = say(&tracker, bytes).await;
        assert!(answer.ends_with("}\n") && answer.contains("\"MALFORMED\""), "{bytes:?} → {answer}");
    }
    assert_eq!(say(&tracker, b"\x16\x03\x01\x02\x00").await, "", "TLS is not spoken yet");
}

#[tokio::test]
async fn frames_have_a_limit_before_and_after_login() {
    let tracker = TestTracker::start().await;
    let frame = |length: usize| {
        let empty = json!({"cmd": "PING", "x": ""}).to_string();
        json!({"cmd": "PING", "x": "x".repeat(length - empty.len())}).to_string()
    };
    assert!(say(&tracker, frame(4096).as_bytes()).await.contains("NOT_LOGGED_IN"));
    assert!(say(&tracker, frame(4097).as_bytes()).await.contains("FRAME_TOO_LARGE"));
    let mut ana = tracker.user("ana").await;
    ana.send_bytes(frame(65536).as_bytes()).await;
    assert_eq!(ana.recv().await, json!({"cmd": "PONG"}));
    ana.send_bytes(frame(65537).as_bytes()).await;
    assert_eq!(ana.recv().await["code"], "FRAME_TOO_LARGE");
    ana.is_closed().await;
}

#[tokio::test]
async fn a_bad_object_leaves_the_session_and_the_next_request() {
    let tracker = TestTracker::start().await;
    let mut ana = tracker.user("ana").await;
    let deep = "{\"a\":".repeat(17) + "1" + &"}".repeat(17);
    for bad in ["{nonsense}", "{\"cmd\":\"PING\",}", "{\"cmd\":\"\u{0}\"}", &deep, "{\"cmd\":[]}", "{}"] {
        ana.send_bytes(format!("{bad}{}", json!({"cmd": "PING"})).as_bytes()).await;
        assert_eq!(ana.recv().await["code"], "MALFORMED", "{bad}");
        assert_eq!(ana.recv().await, json!({"cmd": "PONG"}), "{bad}");
    }
}

/// Only one parser reads a request. Two keys of the same name therefore cannot mean one user to a check and another to
/// the action.
#[tokio::test]
async fn last_of_doubled_keys_counts_everywhere() {
    let tracker = TestTracker::start().await;
    let mut ana = tracker.user("ana").await;
    ana.ok(room("CREATE_ROOM", "sala")).await;
    drop(tracker.user("bob").await);
    let mut client = tracker.connect().await;
    let login = format!(
        r#"{{"cmd":"LOGIN","username":"ana","username":"bob","password":"{PASSWORD}","port":5000,"id":1}}"#
    );
    client.send_bytes(login.as_bytes()).await;
    assert_eq!(client.recv().await["status"], "OK");
    client.send_bytes(br#"{"cmd":"DELETE_ROOM","username":"bob","room":"sala","username":"ana"}"#).await;
    assert_eq!(client.recv().await["code"], "FORBIDDEN", "the session is bob's");
    client.send_bytes(br#"{"cmd":"DELETE_ROOM","username":"ana","room":"sala","username":"bob"}"#).await;
    assert_eq!(client.recv().await["code"], "NOT_A_MEMBER");
    ana.expect_no_push().await;
}

#[tokio::test]
async fn requests_may_be_split_and_joined_at_any_byte() {
    let tracker = TestTracker::start().await;
    let mut ana = tracker.user("ana").await;
    let requests = format!(
        "{} \n{}{}",
        room("CREATE_ROOM", "são {\"}"),
        room("LEAVE_ROOM", "são {\"}"),
        room("DELETE_ROOM", "são {\"}")
    );
    for cut in 0..=requests.len() {
        let (one, other) = requests.as_bytes().split_at(cut);
        ana.send_bytes(one).await;
        tokio::task::yield_now().await;
        ana.send_bytes(other).await;
        for _ in 0..3 {
            assert_eq!(ana.recv().await["status"], "OK", "cut at {cut}");
        }
    }
}

#[tokio::test]
async fn plaintext_is_refused_where_it_is_not_wanted() {
    let tracker = TestTracker::start_with(|config| config.plaintext = Plaintext::Never).await;
    let answer = say(&tracker, sign_in("REGISTER", "ana", 5000).to_string().as_bytes()).await;
    assert!(answer.contains("PLAINTEXT_REFUSED"), "{answer}");
}

#[tokio::test]
async fn oldest_unauthenticated_connection_is_displaced() {
    let tracker = TestTracker::start_with(|config| config.connections.preauth = 3).await;
    let mut ana = tracker.user("ana").await;
    let mut strangers = Vec::new();
    for _ in 0..4 {
        let mut stranger = tracker.connect().await;
        assert_eq!(stranger.refused(json!({"cmd": "PING"})).await, "NOT_LOGGED_IN");
        strangers.push(stranger);
    }
    assert_eq!(strangers[0].recv().await["code"], "BUSY");
    strangers[0].is_closed().await;
    // An authenticated connection has no slot to lose.
    strangers[1].ok(sign_in("REGISTER", "bob", 5000)).await;
    for _ in 0..10 {
        let mut stranger = tracker.connect().await;
        assert_eq!(stranger.refused(json!({"cmd": "PING"})).await, "NOT_LOGGED_IN");
    }
    ana.expect_no_push().await;
    strangers[1].expect_no_push().await;
}

/// A pseudo-random generator that gives the same numbers in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % sides
    }

    fn garbage(&mut self) -> Vec<u8> {
        let valid = [
            sign_in("REGISTER", "mallory", 5000).to_string(),
            json!({"cmd": "LOGIN", "username": "ana", "password": WRONG, "port": 5000, "id": 1}).to_string(),
            room("DELETE_ROOM", "sala").to_string(),
            json!({"cmd": "LIST_ROOMS", "limit": 99999999999u64, "after": "\u{202e}"}).to_string(),
        ];
        let mut bytes = valid[self.roll(valid.len())].clone().into_bytes();
        match self.roll(6) {
            0 => (0..self.roll(9000)).map(|_| self.roll(256) as u8).collect(),
            1 => "{\"a\":".repeat(self.roll(30_000)).into_bytes(),
            2 => [b"{\"cmd\":\"".to_vec(), vec![b'A'; self.roll(200_000)]].concat(),
            3 => bytes[..self.roll(bytes.len())].to_vec(),
            4 => {
                for _ in 0..3 {
                    let at = self.roll(bytes.len());
                    bytes[at] = self.roll(256) as u8;
                }
                bytes
            }
            _ => bytes.repeat(1 + self.roll(20)),
        }
    }
}

/// The resident memory of this process in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn thirty_rounds_of_garbage_harm_no_user() {
    let tracker = TestTracker::start().await;
    let mut ana = tracker.user("ana").await;
    ana.ok(room("CREATE_ROOM", "sala")).await;
    let mut dice = Dice(42);
    let mut slowest = Duration::ZERO;
    let mut before = 0;
    for round in 0..30 {
        let garbage: Vec<_> = (0..50).map(|_| dice.garbage()).collect();
        let attack = async {
            for bytes in &garbage {
                say(&tracker, bytes).await;
            }
        };
        let healthy = async {
            for _ in 0..20 {
                let begun = Instant::now();
                let rooms = ana.ok(json!({"cmd": "LIST_ROOMS"})).await;
                assert!(rooms["rooms"]["sala"].is_object());
                slowest = slowest.max(begun.elapsed());
                tokio::task::yield_now().await;
            }
        };
        tokio::join!(attack, healthy);
        if round == 2 {
            before = resident();
        }
    }
    let growth = resident().saturating_sub(before);
    assert!(growth <= 20 * 1024 * 1024, "grew by {growth} bytes");
    assert!(slowest < Duration::from_secs(10), "an answer took {slowest:?}");
    // The tracker stops without an error, so no task has panicked.
    tracker.stop().await;
}
