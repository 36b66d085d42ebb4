//! Tests of the protection of a running program's memory and environment from other programs on the same computer.
//! The control checks that an ordinary program is readable.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
mod programs;

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Instant;

use common::Tracker;
use programs::{PATIENCE, Piped, flags};
use rustix::process::getuid;

/// The id of an unprivileged user. It replaces root, to whom all files in `/proc` would belong anyway.
const NOBODY: u32 = 65534;

/// The owner of the files of this process in `/proc`. It is root if the system protects the process's memory.
fn owner(id: u32) -> u32 {
    fs::metadata(format!("/proc/{id}/environ")).unwrap().uid()
}

/// The soft and the hard limit of a core file of this process.
fn core_limits(id: u32) -> Vec<String> {
    let limits = fs::read_to_string(format!("/proc/{id}/limits")).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    line["Max core file size".len()..].split_whitespace().take(2).map(ToOwned::to_owned).collect()
}

/// Makes a command run as an unprivileged user. Returns the user's id.
fn as_somebody(command: &mut Command) -> u32 {
    if getuid().is_root() {
        command.uid(NOBODY);
        return NOBODY;
    }
    getuid().as_raw()
}

/// Copies a program to a place where every user may run it.
fn copy_of(program: &str, folder: &Path) -> String {
    let copy = folder.join("program");
    assert!(Command::new("cp").args([program, copy.to_str().unwrap()]).status().unwrap().success());
    fs::set_permissions(&copy, Permissions::from_mode(0o755)).unwrap();
    copy.to_str().unwrap().to_owned()
}

/// A child process that is killed when this value is dropped, so that it does not outlive the test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_core_nor_environment_of_a_peer_is_readable() {
    let tracker = Tracker::start().await;
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
    let mut command = Command::new(copy_of(env!("CARGO_BIN_EXE_peer"), folder.path()));
    as_somebody(&mut command);
    let mut arguments = flags(tracker.address, &folder.path().join("data"));
    arguments.extend(["--username", "ana", "--output", "json", "--register"].map(Into::into));
    let mut ana = Piped::start_as(command, &arguments, Some("a secret in the environment"));
    ana.event("logged_in");
    assert_eq!(owner(ana.id()), 0);
    assert_eq!(core_limits(ana.id()), ["0", "0"]);
}

#[test]
fn control_other_programs_are_readable() {
    let mut command = Command::new("sleep");
    let user = as_somebody(&mut command);
    let sleep = Killed(command.arg("60").stdin(Stdio::null()).spawn().unwrap());
    let deadline = Instant::now() + PATIENCE;
    // A process that was started as another user belongs to that user only after a moment.
    while owner(sleep.0.id()) != user {
        assert!(Instant::now() < deadline, "it belongs to {}", owner(sleep.0.id()));
        thread::yield_now();
    }
    assert_ne!(user, 0);
}
