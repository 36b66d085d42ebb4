//! Tests of the operator's commands in the shell, with the real program.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![cfg(target_os = "linux")]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use common::device::{Device, by_key, receive};
use common::program::Program;
use common::{Client, PATIENCE, sign_in, with_id};
use serde_json::json;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

/// A running program, and the shell of its operator.
struct Place {
    folder: TempDir,
    program: Program,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = Program::start_limited(folder.path(), "export TRACKER_LOG_DIR=\"$5/logs\"");
        Self { folder, program }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        run(self.folder.path(), arguments)
    }

    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn refused(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// Waits for a line of the security log that contains all of these words.
    async fn logged(&self, words: &[&str]) -> String {
        let path = self.folder.path().join("logs/security.log");
        let found = async {
            loop {
                let text = fs::read_to_string(&path).unwrap_or_default();
                let line = text.lines().find(|line| words.iter().all(|word| line.contains(word)));
                if let Some(line) = line {
                    return line.to_owned();
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("not logged: {words:?}"))
    }
}

fn run(data: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tracker")).args(arguments).arg("--data").arg(data).output().unwrap()
}

#[tokio::test]
async fn operator_administers_the_running_tracker() {
    let place = Place::new();
    let (ana, bob) = (Device::new(), Device::new());
    let address = place.program.address;
    let mut at_work = Vec::new();
    for (device, name) in [(&ana, "ana"), (&bob, "bob")] {
        at_work.push(device.session(address, with_id(sign_in("REGISTER", name, 5000))).await);
    }
    let users = place.ok(&["users"]);
    let rows: Vec<_> = users.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
    assert_eq!(
        rows,
        [vec!["user", "keys", "state"], vec!["ana", "1", "admin,", "online"], vec!["bob", "1", "online"]]
    );
    assert_eq!(place.ok(&["sessions"]).lines().count(), 3);
    assert!(place.ok(&["admin", "add", "bob"]).contains("bob is an admin"));
    place.logged(&["a user becomes an admin", "the operator", "bob"]).await;
    assert_eq!(place.ok(&["admin", "list"]).lines().count(), 2);
    place.ok(&["admin", "remove", "bob"]);
    assert!(place.refused(&["admin", "remove", "bob"]).contains("bob is no admin"));
    assert!(place.refused(&["admin", "add", "nobody"]).contains("there is no user nobody"));

    place.ok(&["admin", "announce", "restart at noon"]);
    let push = receive(&mut at_work[1]).await;
    assert_eq!(push, json!({"status": "ANNOUNCEMENT", "from": null, "text": "restart at noon"}));
    let line = place.logged(&["an announcement", "bytes=15"]).await;
    assert!(!line.contains("noon"), "the log holds no text: {line}");

    place.ok(&["admin", "ban", "bob", "2h"]);
    assert_eq!(receive(&mut at_work[1]).await["code"], "BANNED");
    place.logged(&["an admin banned", "the operator", "user bob"]).await;
    assert!(place.ok(&["admin", "bans"]).contains("user bob"));
    assert!(place.ok(&["users"]).contains("banned"));
    place.ok(&["admin", "unban", "bob"]);
    assert_eq!(place.ok(&["admin", "bans"]).lines().count(), 1);
    place.ok(&["admin", "ban", "192.0.2.7/24"]);
    assert!(place.ok(&["admin", "bans"]).contains("address 192.0.2.0/24"));

    let mut bob = bob.session(address, with_id(by_key("bob"))).await;
    assert_eq!(
        common::device::ask(&mut bob, json!({"cmd": "CREATE_ROOM", "room": "sala"})).await["status"],
        "OK"
    );
    place.ok(&["admin", "delete-room", "sala"]);
    assert_eq!(receive(&mut bob).await["change"]["kind"], "deleted");
    place.ok(&["admin", "kick", "bob"]);
    assert_eq!(receive(&mut bob).await["code"], "KICKED");
    place.ok(&["admin", "remove-user", "bob"]);
    place.logged(&["an admin deleted an account", "the operator", "bob"]).await;
    assert_eq!(place.ok(&["users"]).lines().count(), 2);
}

#[test]
fn commands_need_the_running_tracker_of_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&["users"][..], &["sessions"], &["admin", "list"], &["admin", "add", "ana"]] {
        let output = run(folder.path(), arguments);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && error.contains("no tracker runs on this data folder"), "{error}");
    }
}

#[tokio::test]
async fn acts_of_an_admin_are_in_the_security_log() {
    let place = Place::new();
    let device = Device::new();
    let mut ana = device.session(place.program.address, with_id(sign_in("REGISTER", "ana", 5000))).await;
    let mut bob = Client::connect(place.program.address).await;
    bob.ok(with_id(sign_in("REGISTER", "bob", 5000))).await;
    for (request, words) in [
        (json!({"cmd": "BAN", "address": "192.0.2.7", "seconds": 60}), ["ana", "address 192.0.2.7"]),
        (json!({"cmd": "UNBAN", "address": "192.0.2.7"}), ["lifted a ban", "192.0.2.7"]),
        (json!({"cmd": "KICK", "user": "bob"}), ["ended a session", "bob"]),
        (json!({"cmd": "REMOVE_USER", "user": "bob"}), ["deleted an account", "bob"]),
    ] {
        assert_eq!(common::device::ask(&mut ana, request).await["status"], "OK");
        place.logged(&words).await;
    }
    place.logged(&["the first user becomes an admin", "ana"]).await;
}

#[tokio::test]
async fn reload_changes_registration_and_the_message_of_the_day() {
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("tracker.toml");
    let codes = folder.path().join("codes");
    fs::write(&settings, "").unwrap();
    let export = format!("export TRACKER_CONFIG='{}'", settings.display());
    let program = Program::start_limited(&folder.path().join("data"), &export);
    let data = folder.path().join("data");
    let reload = || run(&data, &["reload"]);
    let register = |name: &'static str| async move {
        let mut client = Client::connect(program.address).await;
        client.ask(with_id(sign_in("REGISTER", name, 5000))).await
    };
    assert!(register("ana").await.get("motd").is_none());
    fs::write(&settings, "motd = \"be kind\"\n").unwrap();
    assert!(reload().status.success());
    assert_eq!(register("bob").await["motd"], "be kind");

    // The file of codes is missing, then exposed: nothing changes.
    fs::write(&settings, format!("registration = \"code\"\nregistration_code_file = {codes:?}\n")).unwrap();
    assert!(!reload().status.success());
    fs::write(&codes, "spring\n").unwrap();
    fs::set_permissions(&codes, fs::Permissions::from_mode(0o644)).unwrap();
    let output = reload();
    assert!(String::from_utf8(output.stderr).unwrap().contains("chmod 600"));
    assert_eq!(register("carla").await["motd"], "be kind");
    fs::set_permissions(&codes, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(reload().status.success());
    assert_eq!(register("dora").await["code"], "CODE_REQUIRED");
    fs::write(&settings, "registration = \"closed\"\n").unwrap();
    assert!(reload().status.success());
    assert_eq!(register("dora").await["code"], "REGISTRATION_CLOSED");
}
