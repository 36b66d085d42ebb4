//! The tracker's log where everything is logged: its own events, and none of the libraries that it is made of.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::sync::Arc;

use common::device::Device;
use common::{TestTracker, sign_in};
use rustix::process::{Pid, Signal, kill_process};

/// What the banner writes besides log events.
const BANNER: [&str; 2] = ["data in", "fingerprint"];

#[tokio::test]
async fn the_tracker_logs_only_its_own_events() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tracker"));
    command.args(["--listen", "127.0.0.1:0", "--data"]).arg(folder.path()).env("RUST_LOG", "trace");
    let mut tracker = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut ready = String::new();
    BufReader::new(tracker.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    let address = ready.trim().rsplit(' ').next().unwrap().parse().unwrap();
    drop(Device::new().session(address, sign_in("REGISTER", "ana", 5000)).await);
    kill_process(Pid::from_child(&tracker), Signal::TERM).unwrap();
    let mut log = String::new();
    tracker.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert!(tracker.wait().unwrap().success());
    assert!(log.contains("new connection"), "nothing was logged: {log}");
    let own = |line: &&str| BANNER.iter().any(|words| line.contains(words)) || line.contains(" tracker::");
    let foreign: Vec<_> = log.lines().filter(|line| !own(line)).collect();
    assert_eq!(foreign, [] as [&str; 0]);
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
