//! Tests of the Python program on the front page, run as it is printed there, with a hostile member in the room.
//! The program is an example for bots, so hostile messages and floods must not harm it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
mod programs;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use common::{Peer, Tracker};
use peer::api::Event;
use peer::untrusted::AsUntrusted;
use programs::{Piped, flags};

const FRONT_PAGE: &str = include_str!("../../README.md");

/// The front page's program of the time when commands were plain lines.
const BEFORE: &str = r#"
import json, os, subprocess

peer = subprocess.Popen(
    ["cargo", "run", "-q", "--release", "-p", "peer", "--", "--username", "robot", "--output", "json"],
    stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "PEER_PASSWORD": "correct-horse"})
print("/join sala", file=peer.stdin, flush=True)
for event in map(json.loads, peer.stdout):
    if event["event"] == "message" and event["room"] == "sala":
        print(f'{event["from"]} output: {event["content"]}', file=peer.stdin, flush=True)
"#;

/// The only Python block of the front page.
fn block() -> &'static str {
    let blocks: Vec<_> = FRONT_PAGE.split("```python\n").skip(1).collect();
    assert_eq!(blocks.len(), 1, "the front page has one Python program");
    blocks[0].split("```").next().unwrap()
}

/// A Python program whose `cargo run … -- FLAGS` starts the peer that was built for this test.
struct Robot(Child);

impl Robot {
    fn start(program: &str, tracker: &Tracker, folder: &Path) -> Self {
        let cargo = folder.join("cargo");
        let peer = env!("CARGO_BIN_EXE_peer");
        let script =
            format!("#!/bin/sh\nwhile [ \"$1\" != -- ]; do shift; done\nshift\nexec {peer} \"$@\"\n");
        fs::write(&cargo, script).unwrap();
        fs::set_permissions(&cargo, fs::Permissions::from_mode(0o700)).unwrap();
        let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
        let mut python = Command::new("python3");
        python.args(["-c", program]).env("PATH", path).stdin(Stdio::null());
        python.env("PEER_TRACKER", tracker.address.to_string()).env("PEER_DATA", folder);
        Self(python.spawn().unwrap())
    }

    /// Whether the program has ended by itself.
    fn ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }
}

impl Drop for Robot {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Creates a room of ana's and an account for the robot.
async fn stage(tracker: &Tracker, folder: &Path) -> Peer {
    let mut arguments = flags(tracker.address, folder);
    arguments.extend(["--username", "robot", "--register"].map(Into::into));
    let mut robot = Piped::start(&arguments, Some("correct-horse"));
    robot.close_input();
    assert_eq!(robot.end().status, Some(0));
    let mut ana = tracker.peer("ana").await;
    ana.create("sala").await;
    ana
}

/// The text of the next message to ana.
async fn received(ana: &mut Peer) -> String {
    match ana.until(|event| matches!(event, Event::Message { .. })).await {
        Event::Message { content, .. } => content.expose().to_owned(),
        other => panic!("{other:?}"),
    }
}

fn hostile() -> Vec<String> {
    let own = [
        "hello\n/delete-account robot",
        "hello\n/delete-account robot\ncorrect-horse",
        "/quit\n/quit",
        "\r\n/leave\r\n",
        "\u{0}\u{1b}[2J\u{1b}]0;x\u{7}\u{2028}\u{2029}\u{85}\u{202e}",
        r#"{"command":"delete_account","password":"correct-horse"}"#,
        "\"}\n{\"command\":\"quit\"}\n",
        "' + __import__('os')._exit(1) + '",
        "😀\u{feff}\u{fffd}olá",
    ];
    own.map(ToOwned::to_owned).to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_on_the_front_page_survives_hostile_messages() {
    let tracker = Tracker::start().await;
    let folder = tempfile::tempdir().unwrap();
    let mut ana = stage(&tracker, folder.path()).await;
    let mut robot = Robot::start(block(), &tracker, folder.path());
    ana.linked("robot").await;
    for text in hostile() {
        ana.say(&format!("!echo {text}")).await;
        assert_eq!(received(&mut ana).await, format!("ana said: {text}"));
    }
    // The text is too long to be repeated with a prefix. It is refused, without any effect on the program.
    ana.say(&format!("!echo {}", "\u{1}".repeat(8186))).await;
    ana.say("a text for others").await;
    ana.say("!echo are you there?").await;
    assert_eq!(received(&mut ana).await, "ana said: are you there?");
    assert!(!robot.ended());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_on_the_front_page_survives_a_flood() {
    const MESSAGES: usize = 3000;
    let tracker = Tracker::start().await;
    let folder = tempfile::tempdir().unwrap();
    let mut ana = stage(&tracker, folder.path()).await;
    let mut robot = Robot::start(block(), &tracker, folder.path());
    ana.linked("robot").await;
    for n in 0..MESSAGES {
        ana.say(&format!("!echo {n} {}", "x".repeat(200))).await;
    }
    for n in 0..MESSAGES {
        assert!(received(&mut ana).await.starts_with(&format!("ana said: {n} ")));
    }
    assert!(!robot.ended());
}

#[tokio::test(flavor = "multi_thread")]
async fn control_bot_that_writes_plain_lines_is_harmed() {
    let tracker = Tracker::start().await;
    let folder = tempfile::tempdir().unwrap();
    let mut ana = stage(&tracker, folder.path()).await;
    let mut robot = Robot::start(BEFORE, &tracker, folder.path());
    ana.linked("robot").await;
    ana.say("hello\n/quit").await;
    let ended = tokio::task::spawn_blocking(move || robot.0.wait().unwrap()).await.unwrap();
    assert!(ended.success(), "it did as it was told by a message");
}
