//! Tests of the tracker's log at its most verbose level.
//! It must contain the tracker's own events and none of its libraries.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use common::device::Device;
use common::{Client, PASSWORD, TestTracker, WRONG, sign_in};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

/// The texts of the banner on stderr, which is not part of the log.
const BANNER: [&str; 2] = ["data in", "fingerprint"];

/// A tracker program that logs at the most verbose level.
struct Loud(Child, SocketAddr);

impl Loud {
    fn start(folder: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tracker"));
        command.args(["--listen", "127.0.0.1:0", "--data"]).arg(folder).env("RUST_LOG", "trace");
        let mut tracker = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut ready = String::new();
        BufReader::new(tracker.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        let address = ready.trim().rsplit(' ').next().unwrap().parse().unwrap();
        Self(tracker, address)
    }

    /// Stops the program in order and returns its log.
    fn end(mut self) -> String {
        kill_process(Pid::from_child(&self.0), Signal::TERM).unwrap();
        let mut log = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        assert!(self.0.wait().unwrap().success());
        log
    }
}

#[tokio::test]
async fn the_tracker_logs_only_its_own_events() {
    let folder = tempfile::tempdir().unwrap();
    let tracker = Loud::start(folder.path());
    drop(Device::new().session(tracker.1, sign_in("REGISTER", "ana", 5000)).await);
    let log = tracker.end();
    assert!(log.contains("new connection"), "nothing was logged: {log}");
    let own = |line: &&str| BANNER.iter().any(|words| line.contains(words)) || line.contains(" tracker::");
    let foreign: Vec<_> = log.lines().filter(|line| !own(line)).collect();
    assert_eq!(foreign, [] as [&str; 0]);
}

/// The password is in a wrong field, in a frame that is no request, and after the end of a too long frame.
#[tokio::test]
async fn no_misplaced_password_is_logged_or_stored() {
    const TYPED: &str = "canary-typed";
    let folder = tempfile::tempdir().unwrap();
    let tracker = Loud::start(folder.path());
    let mut ana = Client::connect(tracker.1).await;
    ana.ok(sign_in("REGISTER", "ana", 5000)).await;
    for secret in [TYPED, WRONG] {
        for request in [
            json!({"cmd": secret}),
            json!({"cmd": "LOGIN", "username": secret, "password": secret, "port": 5000}),
            json!({"cmd": "LOGIN", "username": "ana", "password": [secret], "port": 5000}),
            json!({"cmd": "LOGIN", "username": "ana", "password": secret, "port": secret}),
            json!({"cmd": "LOGIN", "username": "ana", "password": secret, "port": 5000, "address": secret}),
            json!({"cmd": "REGISTER", "username": "bob", "password": TYPED, "port": 5000, "id": secret}),
        ] {
            assert_eq!(Client::connect(tracker.1).await.ask(request).await["status"], "ERROR");
        }
        for words in [
            format!("{secret}\n"),
            format!("{{\"cmd\":\"LOGIN\",\"password\":\"{secret}{}", "x".repeat(5000)),
        ] {
            let mut client = Client::connect(tracker.1).await;
            client.send_bytes(words.as_bytes()).await;
            assert_eq!(client.recv().await["status"], "ERROR");
        }
        for request in [
            json!({"cmd": "CHANGE_PASSWORD", "password": secret, "new_password": TYPED}),
            json!({"cmd": "GET_PEER", "peer": secret}),
            json!({"cmd": "DELETE_ROOM", "room": secret}),
        ] {
            assert_eq!(ana.ask(request).await["status"], "ERROR");
        }
    }
    let log = tracker.end();
    // Control: the log contains the expected events.
    assert!(log.contains("registered username=ana"), "{log}");
    for secret in [TYPED, WRONG, PASSWORD] {
        assert!(!log.contains(secret), "{log}");
        for file in fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()) {
            let content = String::from_utf8_lossy(&fs::read(&file).unwrap()).into_owned();
            assert!(!content.contains(secret), "{}", file.display());
        }
    }
}

#[tokio::test]
async fn control_libraries_log_too_without_the_filter() {
    let log = tempfile::NamedTempFile::new().unwrap();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(Arc::new(log.reopen().unwrap()))
        .init();
    let tracker = TestTracker::start().await;
    drop(Device::new().session(tracker.address, sign_in("REGISTER", "ana", 5000)).await);
    let log = fs::read_to_string(log.path()).unwrap();
    assert!(log.contains("rustls::"), "{log}");
}
