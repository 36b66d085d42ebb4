//! Tests of the log files of a running tracker.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![cfg(unix)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use common::{Client, PASSWORD, WRONG, room, sign_in};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

const NAMES: [&str; 4] = ["server.log", "connections.log", "errors.log", "security.log"];

/// A tracker with log files. It is killed at the end of its test.
struct Logging {
    child: Child,
    address: SocketAddr,
    folder: TempDir,
}

impl Logging {
    fn start(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_tracker"));
        command.args(["--listen", "127.0.0.1:0", "--data"]).arg(folder.path().join("data"));
        command.arg("--log-dir").arg(folder.path().join("logs")).args(arguments).env("RUST_LOG", "info");
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        let address = ready.trim().rsplit(' ').next().unwrap().parse().unwrap();
        Self { child, address, folder }
    }

    fn logs(&self) -> PathBuf {
        self.folder.path().join("logs")
    }

    async fn client(&self) -> Client {
        Client::connect(self.address).await
    }

    /// Stops the tracker in order, and returns the text of each file.
    fn end(mut self) -> BTreeMap<&'static str, String> {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success());
        NAMES.into_iter().map(|name| (name, fs::read_to_string(self.logs().join(name)).unwrap())).collect()
    }
}

impl Drop for Logging {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Signs users in and out, with failures, and changes rooms.
async fn use_tracker(tracker: &Logging) {
    let mut ana = tracker.client().await;
    ana.ok(sign_in("REGISTER", "ana", 5000)).await;
    let mut bob = tracker.client().await;
    bob.ok(sign_in("REGISTER", "bob", 5001)).await;
    ana.ok(room("CREATE_ROOM", "tea")).await;
    bob.ok(room("JOIN_ROOM", "tea")).await;
    bob.ok(room("LEAVE_ROOM", "tea")).await;
    bob.ok(json!({"cmd": "LOGOUT"})).await;
    for name in ["ana", "typed-into-the-wrong-field"] {
        let mut other = tracker.client().await;
        let mut login = sign_in("LOGIN", name, 5000);
        login["password"] = json!(WRONG);
        assert_eq!(other.refused(login).await, "INVALID_CREDENTIALS");
    }
}

#[tokio::test]
async fn each_event_is_in_the_files_of_its_class() {
    let tracker = Logging::start(&[]);
    // The files exist from the start.
    assert!(NAMES.iter().all(|name| tracker.logs().join(name).is_file()));
    use_tracker(&tracker).await;
    let files = tracker.end();
    for (name, text) in &files {
        assert!(text.starts_with("=== tracker "), "{name}: {text}");
        for secret in [PASSWORD, WRONG, "typed-into"] {
            assert!(!text.contains(secret), "{name} holds {secret}: {text}");
        }
    }
    for (words, expected) in [
        ("new connection", [true, true, false, false]),
        ("signed in username=ana", [true, true, false, false]),
        ("signed off username=bob", [true, true, false, false]),
        ("registered username=ana", [true, false, false, true]),
        ("wrong password or key username=ana", [true, false, false, true]),
        ("wrong password or key username=\"(no account)\"", [true, false, false, true]),
        ("room created room=tea owner=ana", [true, false, false, false]),
        ("room entered room=tea username=bob", [true, false, false, false]),
        ("room left room=tea username=bob", [true, false, false, false]),
    ] {
        assert_eq!(NAMES.map(|name| files[name].contains(words)), expected, "{words}: {files:?}");
    }
    assert_eq!(files["errors.log"].lines().count(), 1, "{files:?}");
}

#[tokio::test]
async fn a_json_log_has_one_object_a_line() {
    let tracker = Logging::start(&["--log-format", "json"]);
    use_tracker(&tracker).await;
    let files = tracker.end();
    for text in files.values() {
        let objects: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(objects[0]["version"].is_string() && objects[0]["pid"].is_u64(), "{objects:?}");
    }
    let failed = files["security.log"].lines().find(|line| line.contains("wrong password")).unwrap();
    let failed: Value = serde_json::from_str(failed).unwrap();
    assert_eq!(
        (&failed["class"], &failed["level"], &failed["username"]),
        (&"security".into(), &"WARN".into(), &"ana".into())
    );
}

#[tokio::test]
async fn a_limit_is_logged_with_the_user_who_reached_it() {
    let tracker = Logging::start(&["--limit-loopback"]);
    let mut ana = tracker.client().await;
    ana.ok(sign_in("REGISTER", "ana", 5000)).await;
    while ana.ask(json!({"cmd": "LIST_ROOMS"})).await["code"] != "RATE_LIMITED" {}
    let files = tracker.end();
    let line = files["security.log"].lines().find(|line| line.contains("a client reached a limit"));
    assert!(
        line.is_some_and(|line| line.contains("username=ana") && line.contains("code=RateLimited")),
        "{files:?}"
    );
}

#[test]
fn a_folder_that_cannot_be_used_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("logs");
    fs::write(&path, "a file").unwrap();
    let start = |logs: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tracker"));
        command.args(["--listen", "127.0.0.1:0", "--data"]).arg(folder.path().join("data"));
        command.arg("--log-dir").arg(logs).output().unwrap()
    };
    let output = start(&path);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1));
    let expected = format!("tracker: the log cannot be opened: {}", path.join("server.log").display());
    assert!(text.starts_with(&expected), "{text}");
}
