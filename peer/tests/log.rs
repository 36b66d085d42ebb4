//! Tests of the log file: its content at the most detailed level, and its permissions.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
mod programs;

use std::fs::{self, File, Permissions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::thread;

use common::Tracker;
use portable_pty::{CommandBuilder, PtySize, native_pty_system};
use programs::{Piped, Screen, flags};
use rustyline::DefaultEditor;
use tracing_subscriber::fmt;

/// Letters that nothing else logs, so that each one in a log is a keystroke.
const FIRST: &str = "ÞßæðÞßæð";
const SECOND: &str = "ŁøŋħŁøŋħ";

/// The variable by which the control passes the path of the log to its child process.
const CHILD_LOG: &str = "LOG_OF_A_LINE_EDITOR";

fn letters_in(log: &str) -> Vec<char> {
    FIRST.chars().chain(SECOND.chars()).filter(|letter| log.contains(*letter)).collect()
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().mode() & 0o777
}

/// Registers, changes the password and unlocks the history, which covers every password question at a terminal.
fn types_passwords_at_a_terminal(flags: &[String], environment: &[(&str, &str)]) {
    let mut ana = Screen::start(flags, environment, 24, 100);
    ana.shows("Your name:");
    ana.line("ana");
    ana.shows("Password:");
    ana.line(FIRST);
    ana.shows("Make one? [Y/n]");
    ana.line("y");
    ana.shows("again:");
    ana.line(FIRST);
    ana.shows("Welcome, ana.");
    ana.line("/password");
    ana.shows_row("The password you have (not shown; empty ends this)");
    ana.line(FIRST);
    ana.shows_row("The new one");
    ana.line(SECOND);
    ana.shows_row("The new one again");
    ana.line(SECOND);
    ana.shows("your password is changed");
    ana.line("/create sala");
    ana.shows("── sala ──");
    ana.line("a needle");
    ana.shows("<ana> a needle");
    ana.line("/search needle");
    let found = |screen: &Screen| screen.text().matches("needle").count() == 3;
    ana.wait("what was found", found);
    ana.line("/quit");
    assert_eq!(ana.end(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_password_is_logged_at_trace() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let log = data.path().join("peer.log");
    let environment = [("PEER_LOG", log.to_str().unwrap()), ("RUST_LOG", "trace")];
    let flags = flags(tracker.address, data.path());
    types_passwords_at_a_terminal(&flags, &environment);
    let at_terminal = fs::read_to_string(&log).unwrap();

    let mut arguments = flags.clone();
    arguments.extend(["password", "--username", "ana"].map(Into::into));
    let mut change = Screen::start(&arguments, &environment, 24, 100);
    for (question, answer) in [("Password:", SECOND), ("New password:", FIRST), ("The same again:", FIRST)] {
        change.shows(question);
        change.line(answer);
    }
    change.shows("the password is changed");
    assert_eq!(change.end(), 0);

    let mut ana = Piped::start_in(&flags, Some(FIRST), &environment);
    ana.line("/search needle");
    ana.line(FIRST);
    ana.until(|line| line.contains("a *needle*"));
    ana.close_input();
    assert_eq!(ana.end().status, Some(0));

    let log = fs::read_to_string(&log).unwrap();
    assert!(log.len() > at_terminal.len() && !at_terminal.is_empty(), "nothing was logged");
    assert_eq!(letters_in(&log), [] as [char; 0], "{log}");
    let ours = |line: &str| {
        line.split_whitespace().any(|word| {
            ["commons", "peer", "tracker"]
                .iter()
                .any(|name| word.strip_prefix(name).is_some_and(|rest| rest.starts_with(':')))
        })
    };
    let foreign: Vec<_> = log.lines().filter(|line| !ours(line)).collect();
    assert_eq!(foreign, [] as [&str; 0]);
}

#[test]
fn control_a_line_editor_logs_keystrokes_without_the_filter() {
    let log = tempfile::NamedTempFile::new().unwrap();
    let pair = native_pty_system().openpty(PtySize::default()).unwrap();
    let mut command = CommandBuilder::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child_of_the_control", "--ignored", "--nocapture"]);
    command.env(CHILD_LOG, log.path());
    command.env("TERM", "xterm-256color");
    let mut child = pair.slave.spawn_command(command).unwrap();
    drop(pair.slave);
    let mut output = pair.master.try_clone_reader().unwrap();
    let reading = thread::spawn(move || {
        // The end of a pseudo-terminal is reported as an error.
        let _ = output.read_to_end(&mut Vec::new());
    });
    let mut keys = pair.master.take_writer().unwrap();
    keys.write_all(format!("{FIRST}\r").as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    drop((keys, pair.master));
    reading.join().unwrap();
    let logged = fs::read_to_string(log.path()).unwrap();
    assert!(!letters_in(&logged).is_empty(), "the line editor logged no keystroke: {logged}");
}

/// A program that logs everything and reads one line at its terminal.
#[test]
#[ignore = "a child process of the control"]
fn child_of_the_control() {
    let Some(log) = std::env::var_os(CHILD_LOG) else { return };
    let file = File::options().append(true).open(log).unwrap();
    fmt().with_max_level(tracing::Level::TRACE).with_writer(file).with_ansi(false).init();
    DefaultEditor::new().unwrap().readline("> ").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_can_read_the_log_file() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let (new, wide) = (data.path().join("new.log"), data.path().join("wide.log"));
    fs::write(&wide, "an earlier run\n").unwrap();
    fs::set_permissions(&wide, Permissions::from_mode(0o644)).unwrap();
    let mut arguments = flags(tracker.address, data.path());
    arguments.extend(["--username", "ana", "--register", "--output", "json"].map(Into::into));
    for log in [&new, &wide] {
        let environment = [("PEER_LOG", log.to_str().unwrap())];
        let mut ana = Piped::start_in(&arguments, Some("long enough"), &environment);
        ana.event("logged_in");
        ana.close_input();
        assert_eq!(ana.end().status, Some(0));
        assert_eq!(mode(log), 0o600, "{}", log.display());
    }
    assert!(fs::read_to_string(&wide).unwrap().starts_with("an earlier run\n"), "the log is appended to");
}
