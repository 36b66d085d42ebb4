//! Tests of `--monitor`, in the real program.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may")]

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

use common::{Client, sign_in};

/// A tracker program, and the lines on its console.
struct Running {
    child: Child,
    console: Lines<BufReader<ChildStderr>>,
    address: SocketAddr,
}

impl Running {
    fn start(folder: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tracker"));
        command.args(["--listen", "127.0.0.1:0", "--data"]).arg(folder.join("data"));
        command.arg("--log-dir").arg(folder.join("logs")).args(arguments).env_remove("TRACKER_MONITOR");
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        let address = ready.trim_end().strip_prefix("tracker listening on ").expect(&ready).parse().unwrap();
        let console = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, console, address }
    }

    async fn register(&self, name: &str) -> Client {
        let mut client = Client::connect(self.address).await;
        client.ok(sign_in("REGISTER", name, 5000)).await;
        client
    }

    /// Reads the console until a line has this text.
    fn wait_for(&mut self, text: &str) -> String {
        self.console.by_ref().map_while(Result::ok).find(|line| line.contains(text)).expect(text)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn monitor_shows_figures_tasks_and_the_busiest_session() {
    let folder = tempfile::tempdir().unwrap();
    let mut tracker = Running::start(folder.path(), &["--monitor", "1s"]);
    let mut ana = tracker.register("ana").await;
    ana.expect_no_push().await;
    let figures = tracker.wait_for("sessions 1, users 1, rooms 0");
    assert!(figures.contains("monitor") && figures.contains("| up "), "{figures}");
    #[cfg(target_os = "linux")]
    assert!(["cpu ", "memory ", "threads ", "computer: "].iter().all(|it| figures.contains(it)), "{figures}");
    for task in ["accept", "requests", "sweep", "push", "journal writer", "password hashing", "log"] {
        tracker.wait_for(&format!("  {task} "));
    }
    tracker.wait_for("  session ");
    let session = tracker.wait_for("  ana ");
    let words: Vec<_> = session.split_whitespace().collect();
    assert_eq!(words[3], "2", "{session}");
    // The figures are not in the log files.
    let log = fs::read_to_string(folder.path().join("logs/server.log")).unwrap();
    assert!(!log.contains("monitor:") && !log.contains("password hashing"), "{log}");
}

#[tokio::test]
async fn reload_starts_the_monitor() {
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("tracker.toml");
    fs::write(&settings, "").unwrap();
    let mut tracker = Running::start(folder.path(), &["--config", settings.to_str().unwrap()]);
    fs::write(&settings, "monitor = \"1s\"").unwrap();
    let reload = Command::new(env!("CARGO_BIN_EXE_tracker"))
        .args(["--data", folder.path().join("data").to_str().unwrap(), "reload"])
        .output()
        .unwrap();
    assert!(reload.status.success(), "{reload:?}");
    tracker.wait_for("sessions 0, users 0, rooms 0");
}

#[tokio::test]
async fn control_without_the_flag_the_monitor_prints_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut tracker = Running::start(folder.path(), &[]);
    drop(tracker.register("ana").await);
    tracker.wait_for("connection ended");
    tracker.child.kill().unwrap();
    let mut rest = String::new();
    for line in tracker.console.by_ref().map_while(Result::ok) {
        rest.push_str(&line);
    }
    assert!(!rest.contains("sessions 0"), "{rest}");
}

#[test]
fn too_short_interval_is_refused() {
    let output = Command::new(env!("CARGO_BIN_EXE_tracker")).args(["--monitor", "10ms"]).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && text.contains("must be at least 1s"), "{text}");
}
