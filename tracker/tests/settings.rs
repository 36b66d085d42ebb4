//! Tests of the settings file and its reload, in the real program.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![cfg(unix)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};

use clap::Args as _;
use common::{Client, sign_in};
use commons::settings::effective::{Effective, effective};
use commons::settings::file::SettingsFile;
use commons::settings::load;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tracker::config::{Config, RELOADABLE};

const PAGE: &str = include_str!("../../docs/settings.md");

const EXAMPLE: &str = include_str!("../../docs/tracker.toml");

/// A folder with a settings file and a data folder.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new(settings: &str) -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        place.write(settings);
        place
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("tracker.toml")
    }

    fn write(&self, settings: &str) {
        fs::write(self.file(), settings).unwrap();
    }

    /// The program on this place, with an environment that holds no settings.
    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tracker"));
        for (name, _) in std::env::vars_os() {
            let name = name.into_string().unwrap_or_default();
            if name.starts_with("TRACKER_") || name == "RUST_LOG" {
                command.env_remove(name);
            }
        }
        command.arg("--config").arg(self.file()).arg("--data").arg(self.folder.path().join("data"));
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().unwrap()
    }

    fn start(&self) -> Running {
        let mut command = self.command();
        command.args(["--listen", "127.0.0.1:0"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        let address = ready.trim().rsplit(' ').next().unwrap().parse().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap()).lines();
        Running { child, address, log }
    }
}

/// A running tracker. It is killed at the end of its test.
struct Running {
    child: Child,
    address: SocketAddr,
    log: Lines<BufReader<ChildStderr>>,
}

impl Running {
    fn hang_up(&self) {
        kill_process(Pid::from_child(&self.child), Signal::HUP).unwrap();
    }

    /// Reads the log up to a line with these words.
    fn logged(&mut self, words: &str) {
        assert!(self.log.by_ref().any(|line| line.unwrap().contains(words)), "not logged: {words}");
    }

    /// Connects and registers a user. Returns the client and the status of the reply.
    async fn register(&self, name: &str) -> (Client, String) {
        let mut client = Client::connect(self.address).await;
        let reply = client.ask(sign_in("REGISTER", name, 5000)).await;
        (client, reply["status"].as_str().unwrap().to_owned())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn defaults() -> Vec<Effective> {
    let command = Config::augment_args(clap::Command::new("tracker")).mut_args(|arg| arg.env(None::<&str>));
    let matches = command.clone().get_matches_from(["tracker"]);
    effective(&command, None, &matches)
}

#[test]
fn show_prints_each_setting_with_its_origin() {
    let place = Place::new("max_sessions = 5\nping_interval = \"60s\"\nlog_files = 2\n");
    let mut command = place.command();
    command.env("TRACKER_MAX_SESSIONS", "6").args(["--log-files", "3", "config", "show"]);
    let shown = text(&command.output().unwrap().stdout);
    let line = |key: &str| shown.lines().find(|line| line.starts_with(key)).unwrap().to_owned();
    assert_eq!(line("seat_hold"), "seat_hold = \"24h\"  # default");
    assert_eq!(
        line("ping_interval"),
        format!("ping_interval = \"60s\"  # {}, line 2", place.file().display())
    );
    assert_eq!(line("max_sessions"), "max_sessions = 6  # TRACKER_MAX_SESSIONS");
    assert_eq!(line("log_files"), "log_files = 3  # --log-files");
}

#[test]
fn check_names_each_error_with_its_line() {
    let place = Place::new("max_sesions = 5\nping_interval = \"0s\"\n");
    let checked = place.run(&["config", "check"]);
    assert_eq!(checked.status.code(), Some(1));
    let file = place.file().display().to_string();
    let expected = format!(
        "tracker: {file}, line 1: there is no setting \"max_sesions\": did you mean max_sessions?\n\
         tracker: {file}, line 2: ping_interval = \"0s\": must be more than zero\n"
    );
    assert_eq!(text(&checked.stderr), expected);
    // A tracker does not start with them either.
    let started = place.run(&[]);
    assert_eq!((started.status.code(), text(&started.stderr)), (Some(1), expected));
    // Control: a correct file, named as an argument, is accepted.
    let correct = place.folder.path().join("correct.toml");
    fs::write(&correct, "max_sessions = 5\n").unwrap();
    let checked = place.run(&["config", "check", correct.to_str().unwrap()]);
    assert!(checked.status.success(), "{checked:?}");
}

#[tokio::test]
async fn a_reload_changes_a_limit_of_the_running_tracker() {
    let place = Place::new("max_sessions = 1\n");
    let tracker = place.start();
    let (_ana, first) = tracker.register("ana").await;
    assert_eq!((first.as_str(), tracker.register("bob").await.1.as_str()), ("OK", "ERROR"));
    place.write("max_sessions = 3\nlisten = \"127.0.0.1:9\"\nlimit_loopback = true\n");
    // Control: the changed file alone changes nothing.
    assert_eq!(tracker.register("bob").await.1, "ERROR");
    let reloaded = place.run(&["reload"]);
    let expected = "limit_loopback = true needs a restart, until then: false\nmax_sessions = 3, before: 1\n";
    assert_eq!((text(&reloaded.stderr), text(&reloaded.stdout)), (String::new(), expected.to_owned()));
    assert_eq!(tracker.register("bob").await.1, "OK");
    assert!(text(&place.run(&["reload"]).stdout).starts_with("limit_loopback = true needs a restart"));
}

#[tokio::test]
async fn a_hangup_reloads_and_does_not_end_the_tracker() {
    let place = Place::new("max_sessions = 1\n");
    let mut tracker = place.start();
    let (_ana, _) = tracker.register("ana").await;
    place.write("max_sessions = 2\n");
    tracker.hang_up();
    tracker.logged("max_sessions = 2, before: 1");
    assert_eq!(tracker.register("bob").await.1, "OK");
}

#[tokio::test]
async fn a_reload_changes_the_log_level() {
    let place = Place::new("log_level = \"error\"\n");
    let mut tracker = place.start();
    tracker.register("ana").await;
    place.write("log_level = \"info\"\n");
    assert!(place.run(&["reload"]).status.success());
    tracker.register("bob").await;
    let next = |tracker: &mut Running| tracker.log.find(|line| line.as_ref().unwrap().contains(" tracker::"));
    assert!(next(&mut tracker).unwrap().unwrap().contains("log_level = \"info\", before: \"error\""));
    tracker.logged("registered username=bob");
}

#[tokio::test]
async fn a_bad_file_leaves_the_old_settings_in_force() {
    let place = Place::new("max_sessions = 1\n");
    let mut tracker = place.start();
    let (_ana, _) = tracker.register("ana").await;
    place.write("max_sessions = 9\nmax_session = 9\n");
    let reloaded = place.run(&["reload"]);
    assert_eq!(reloaded.status.code(), Some(1));
    assert!(
        text(&reloaded.stderr)
            .ends_with("line 2: there is no setting \"max_session\": did you mean max_sessions?\n")
    );
    tracker.hang_up();
    tracker.logged("the settings stay as they are");
    assert_eq!(tracker.register("bob").await.1, "ERROR");
}

#[test]
fn reload_without_a_tracker_is_an_error() {
    let place = Place::new("");
    let reloaded = place.run(&["reload"]);
    assert_eq!(reloaded.status.code(), Some(1));
    assert!(
        text(&reloaded.stderr).starts_with("tracker: no tracker runs on this data folder"),
        "{reloaded:?}"
    );
}

#[test]
fn only_the_owner_can_use_the_control_socket() {
    use std::os::unix::fs::PermissionsExt as _;

    let place = Place::new("");
    let tracker = place.start();
    let socket = place.folder.path().join("data/control.sock");
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    // A crash leaves the socket behind, and the next start replaces it.
    drop(tracker);
    assert!(socket.exists());
    let mut again = place.start();
    assert!(place.run(&["reload"]).status.success());
    kill_process(Pid::from_child(&again.child), Signal::TERM).unwrap();
    assert!(again.child.wait().unwrap().success());
    assert!(!socket.exists());
}

/// The settings of the page's tables: the key, the default, and whether a reload takes it over.
fn documented() -> BTreeMap<String, (String, bool)> {
    let rows = PAGE.lines().filter_map(|line| {
        let cells: Vec<_> = line.strip_prefix("| `")?.split('|').map(str::trim).collect();
        let key = cells[0].trim_matches('`').to_owned();
        Some((key, (cells.get(2)?.trim_matches('`').to_owned(), cells.get(3)? == &"yes")))
    });
    rows.collect()
}

#[test]
fn the_page_names_each_setting_with_its_default() {
    let documented = documented();
    let expected: BTreeMap<_, _> = defaults()
        .into_iter()
        .map(|Effective { key, value, .. }| {
            let is_reloadable = RELOADABLE.contains(&key.as_str());
            (key, (value.unwrap_or_else(|| "not set".to_owned()), is_reloadable))
        })
        .collect();
    assert_eq!(documented, expected);
    for key in RELOADABLE {
        assert!(expected.contains_key(key), "{key} is no setting");
    }
}

#[test]
fn the_example_holds_every_setting_and_its_default() {
    let is_setting = |line: &str| line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '));
    let lines =
        EXAMPLE.lines().map(|line| line.strip_prefix('#').filter(|line| is_setting(line)).unwrap_or(line));
    let file = SettingsFile::parse(Path::new("tracker.toml"), &lines.collect::<Vec<_>>().join("\n")).unwrap();
    let command = Config::augment_args(clap::Command::new("tracker"));
    load::check(&command, &file).unwrap();
    let found: BTreeSet<_> = file.entries.iter().map(|entry| entry.key.clone()).collect();
    let defaults = defaults();
    assert_eq!(found, defaults.iter().map(|setting| setting.key.clone()).collect());
    for entry in &file.entries {
        let default = defaults.iter().find(|setting| setting.key == entry.key).unwrap().value.clone();
        let default = default.map(|value| value.trim_matches('"').to_owned());
        assert!(default.is_none_or(|default| default == entry.value), "{entry:?}");
    }
    // As it stands, the example changes nothing.
    assert_eq!(SettingsFile::parse(Path::new("tracker.toml"), EXAMPLE).unwrap().entries, []);
}
