//! Tests of an attacker who records a session and sends it to the tracker again.
//! The recording has no effect unless the session was plaintext.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may")]

mod common;

use std::net::SocketAddr;
use std::sync::Arc;

use common::device::{Device, ask, by_key};
use common::{Client, PATIENCE, TestTracker, room, sign_in};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// A proxy between one client and the tracker. It records the bytes that the client sends.
struct Recorder {
    address: SocketAddr,
    recording: JoinHandle<Vec<u8>>,
    /// Notifies the proxy to send the client's last bytes a second time.
    again: Arc<Notify>,
}

impl Recorder {
    /// All bytes that the client sent before it closed the connection.
    async fn recorded(self) -> Vec<u8> {
        timeout(PATIENCE, self.recording).await.unwrap().unwrap()
    }
}

async fn recorder(tracker: SocketAddr) -> Recorder {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let again = Arc::new(Notify::new());
    let told_again = again.clone();
    let recording = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut tracker = TcpStream::connect(tracker).await.unwrap();
        let (mut received, mut output) = client.split();
        let (mut answers, mut on) = tracker.split();
        let record = async {
            let (mut recorded, mut bytes, mut last) = (Vec::new(), [0; 4096], Vec::new());
            loop {
                tokio::select! {
                    length = received.read(&mut bytes) => match length {
                        Ok(length @ 1..) => last = bytes[..length].to_vec(),
                        _ => break recorded,
                    },
                    () = told_again.notified() => {}
                }
                recorded.extend(&last);
                on.write_all(&last).await.unwrap();
            }
        };
        // Only the client ends the recording.
        let answer = async {
            let _ = tokio::io::copy(&mut answers, &mut output).await;
            std::future::pending().await
        };
        tokio::select! {
            recorded = record => recorded,
            never = answer => never,
        }
    });
    Recorder { address, recording, again }
}

/// Sends a recording to the tracker. Returns everything that the tracker answers until it closes the connection.
async fn replay(tracker: &TestTracker, recorded: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(tracker.address).await.unwrap();
    // The tracker may close the connection before it has read everything.
    let _ = stream.write_all(recorded).await;
    let _ = stream.shutdown().await;
    let mut answer = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("the tracker leaves it open");
    answer
}

async fn has_rooms(witness: &mut Client) -> Value {
    witness.ok(json!({"cmd": "LIST_ROOMS"})).await["rooms"].take()
}

#[tokio::test]
async fn a_recorded_session_opens_nothing_and_repeats_nothing() {
    let tracker = TestTracker::start().await;
    let mut witness = tracker.user("witness").await;
    let ana = Device::new();
    drop(ana.session(tracker.address, sign_in("REGISTER", "ana", 5000)).await);
    let recorder = recorder(tracker.address).await;
    let mut session = ana.session(recorder.address, by_key("ana")).await;
    for cmd in ["CREATE_ROOM", "DELETE_ROOM"] {
        let reply = ask(&mut session, room(cmd, "sala")).await;
        assert_eq!(reply["status"], "OK", "{reply}");
        if cmd == "CREATE_ROOM" {
            assert!(has_rooms(&mut witness).await["sala"].is_object());
        }
    }
    drop(session);
    let recorded = recorder.recorded().await;
    assert!(recorded.len() > 500, "{}", recorded.len());

    // The test replays the complete recording and several parts of it.
    for end in [recorded.len(), recorded.len() / 2, recorded.len() / 4] {
        let answer = replay(&tracker, &recorded[..end]).await;
        assert!(!String::from_utf8_lossy(&answer).contains("status"), "the tracker answers in the clear");
        let found = witness.ok(json!({"cmd": "GET_PEER", "peer": "ana"})).await;
        assert_eq!(found["peer"]["connected"], false, "ana is signed in by a recording");
        assert_eq!(has_rooms(&mut witness).await, json!({}));
    }
}

#[tokio::test]
async fn the_same_recording_in_the_clear_does_it_all_again() {
    let tracker = TestTracker::start().await;
    let mut witness = tracker.user("witness").await;
    drop(tracker.original("ana").await);
    let recorder = recorder(tracker.address).await;
    let mut session = Client::connect(recorder.address).await;
    session.ok(sign_in("LOGIN", "ana", 5000)).await;
    session.ok(room("CREATE_ROOM", "sala")).await;
    drop(session);
    let recorded = recorder.recorded().await;
    let (mut ana, _) = tracker.back("ana").await;
    ana.send(&room("DELETE_ROOM", "sala")).await;
    // Ana may first get a push that she went offline.
    while ana.recv().await["status"] != "OK" {}
    assert_eq!(has_rooms(&mut witness).await, json!({}));

    let answer = replay(&tracker, &recorded).await;
    assert!(String::from_utf8_lossy(&answer).contains("Login realizado"));
    assert!(has_rooms(&mut witness).await["sala"].is_object());
}

#[tokio::test]
async fn repeated_encrypted_frame_ends_the_session() {
    let tracker = TestTracker::start().await;
    let recorder = recorder(tracker.address).await;
    let mut ana = Device::new().session(recorder.address, sign_in("REGISTER", "ana", 5000)).await;
    let reply = ask(&mut ana, room("CREATE_ROOM", "sala")).await;
    assert_eq!(reply["status"], "OK", "{reply}");
    recorder.again.notify_one();
    let next = ana.recv_within(PATIENCE).await;
    assert!(!matches!(next, Ok(Some(_))), "the second one was answered too");
}

#[tokio::test]
async fn a_frame_that_is_sent_twice_in_the_clear_is_taken_twice() {
    let tracker = TestTracker::start().await;
    let recorder = recorder(tracker.address).await;
    let mut ana = Client::connect(recorder.address).await;
    ana.ok(sign_in("REGISTER", "ana", 5000)).await;
    ana.ok(room("CREATE_ROOM", "sala")).await;
    recorder.again.notify_one();
    assert_eq!(ana.recv().await["code"], "ROOM_EXISTS");
}
