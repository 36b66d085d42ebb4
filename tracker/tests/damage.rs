//! Tests of a damaged data folder.
//! The tracker detects flipped bits, missing files and outdated files, and changes no file.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use common::device::{Device, ask};
use common::{TestTracker, config, room, sign_in};
use serde_json::{Value, json};
use tempfile::TempDir;
use tracker::folder_check::check;
use tracker::recovery::{Kind, recovered};
use tracker::server::TrackerServer;

/// The files of a folder by name.
type Files = BTreeMap<String, Vec<u8>>;

fn files_in(folder: &Path) -> Files {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let named = files.map(|file| (file.file_name().into_string().unwrap(), fs::read(file.path()).unwrap()));
    named.filter(|(name, _)| name != "lock").collect()
}

fn folder_with(files: &Files) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        }
    }
    folder
}

/// The files of a small tracker at three times: after a first stop, after a second stop, and while it runs.
async fn small_folder() -> [Files; 3] {
    let work = async |tracker: &TestTracker, name: &str| {
        let device = Device::new();
        let mut session = device.session(tracker.address, sign_in("REGISTER", name, 5000)).await;
        let made = ask(&mut session, room("CREATE_ROOM", &format!("sala {name}"))).await;
        assert_eq!(made["status"], "OK", "{made}");
    };
    let tracker = TestTracker::start().await;
    work(&tracker, "ana").await;
    let folder = tracker.stop().await;
    let first = files_in(folder.path());
    let tracker = TestTracker::start_in(folder, |_| ()).await;
    work(&tracker, "bob").await;
    let at_work = files_in(tracker.folder.path());
    let folder = tracker.stop().await;
    [first, files_in(folder.path()), at_work]
}

/// The error with which a start fails, if any. The files must be unchanged.
async fn why_refused(files: &Files) -> Option<String> {
    let folder = folder_with(files);
    let error = TrackerServer::bind(config(folder.path())).await.err()?.to_string();
    assert_eq!(files_in(folder.path()), *files, "{error}");
    Some(error)
}

/// Flips every `step`th bit of every file and checks that each flip is detected.
async fn flip(step: usize) {
    let [_, stopped, at_work] = small_folder().await;
    let mut flips = 0;
    for (files, names) in [(&stopped, ".json .key"), (&at_work, ".journal")] {
        let folder = folder_with(files);
        check(folder.path()).unwrap();
        for (name, good) in files {
            let path = folder.path().join(name);
            if !names.split(' ').any(|ending| name.ends_with(ending)) {
                continue;
            }
            for bit in (0..good.len() * 8).step_by(step) {
                let mut bad = good.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                fs::write(&path, &bad).unwrap();
                match check(folder.path()) {
                    Err(error) => assert!(error.to_string().contains(name.as_str()), "{name}: {error}"),
                    // A flip can set the last byte of a sector to zero, as a power cut does. The check then reports the
                    // cut.
                    Ok(notes) => assert!(notes[0].contains("cut off"), "{name}, bit {bit}"),
                }
                // A start must agree with the check.
                if bit % (step * 101) == 0 {
                    let mut files = files.clone();
                    files.insert(name.clone(), bad);
                    assert!(why_refused(&files).await.is_some(), "{name}, bit {bit}");
                }
                flips += 1;
            }
            fs::write(&path, good).unwrap();
        }
    }
    assert!(flips * step > 10_000, "{flips}");
}

#[tokio::test]
async fn a_flipped_bit_of_any_file_is_noticed() {
    flip(13).await;
}

/// The same test with every bit: `cargo test -p tracker --test damage -- --ignored`.
#[tokio::test]
#[ignore = "some 30,000 folders"]
async fn every_flipped_bit_of_any_file_is_noticed() {
    flip(1).await;
}

/// Control: without the manifest, many a flipped bit in a JSON file stays undetected.
#[tokio::test]
async fn control_the_json_alone_does_not_show_a_flipped_bit() {
    let [_, stopped, _] = small_folder().await;
    for (kind, name) in [(Kind::Users, "users"), (Kind::Rooms, "rooms"), (Kind::Peers, "peers")] {
        let good = &stopped[&format!("{name}_db.json")];
        let sound = recovered(kind, good, b"").unwrap();
        let silent = (0..good.len() * 8).filter(|bit| {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            recovered(kind, &bad, b"").is_ok_and(|now| now != sound)
        });
        assert!(silent.count() > 50, "{name}");
    }
}

#[tokio::test]
async fn every_missing_file_is_noticed_and_named() {
    let [_, stopped, at_work] = small_folder().await;
    for files in [stopped, at_work] {
        assert_eq!(files.len(), 12, "{:?}", files.keys());
        for name in files.keys() {
            let mut left = files.clone();
            left.remove(name);
            let error = why_refused(&left).await.unwrap_or_else(|| panic!("{name} is missing"));
            assert!(error.contains(&format!("{name} is missing")), "{error}");
        }
    }
}

#[tokio::test]
async fn every_file_of_an_older_time_is_noticed() {
    let [older, stopped, at_work] = small_folder().await;
    let mut swaps = 0;
    for files in [&stopped, &at_work] {
        for (name, old) in &older {
            if files[name] != *old {
                let mut swapped = files.clone();
                swapped.insert(name.clone(), old.clone());
                let error = why_refused(&swapped).await.unwrap_or_else(|| panic!("{name} is older"));
                assert!(error.contains(name.as_str()), "{name}: {error}");
                swaps += 1;
            }
        }
    }
    assert!(swaps >= 12, "{swaps}");
    // All files of the same earlier time are a backup, which is accepted.
    assert_eq!(why_refused(&older).await, None);
}

#[tokio::test]
async fn a_folder_with_the_key_alone_is_new() {
    let [_, mut files, _] = small_folder().await;
    files.retain(|name, _| !name.contains("_db"));
    let folder = Arc::new(folder_with(&files));
    let tracker = TestTracker::start_in(folder, |_| ()).await;
    tracker.user("ana").await;
    let again = files_in(tracker.stop().await.path());
    assert_eq!((why_refused(&again).await, &again["tracker.key"]), (None, &files["tracker.key"]));
}

/// Runs `tracker check` with these arguments on a folder.
fn run_check(arguments: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tracker")).arg("check").args(arguments).arg(folder).output().unwrap()
}

/// Runs `tracker check`. Returns its exit status, stdout and stderr.
fn checked(arguments: &[&str], folder: &Path) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = run_check(arguments, folder);
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[tokio::test]
async fn edits_made_by_hand_are_taken_when_asked_to() {
    let [_, mut files, _] = small_folder().await;
    let mut rooms: Value = serde_json::from_slice(&files["rooms_db.json"]).unwrap();
    rooms["sala ana"]["peer_one"] = rooms["sala bob"]["peer_owner"].clone();
    files.insert("rooms_db.json".to_owned(), rooms.to_string().into_bytes());
    let folder = Arc::new(folder_with(&files));
    let (status, stdout, stderr) = checked(&[], folder.path());
    assert_eq!((status, &*stdout), (Some(1), ""), "{stderr}");
    assert!(stderr.contains("rooms_db.json is not as the tracker left it"), "{stderr}");
    assert_eq!(files_in(folder.path()), files, "a check touches nothing");
    let (status, stdout, stderr) = checked(&["--accept-edits"], folder.path());
    assert_eq!(status, Some(0), "{stderr}");
    assert!(stdout.contains("sound: 2 accounts, 2 rooms"), "{stdout}");
    assert_eq!(checked(&[], folder.path()).0, Some(0));
    let tracker = TestTracker::start_in(folder, |_| ()).await;
    let by_password = Device::new();
    let login = common::with_id(sign_in("LOGIN", "bob", 5000));
    let (_session, reply) = by_password.ask(tracker.address, login).await;
    assert_eq!(reply["rooms"].as_object().unwrap().len(), 2);
}

#[tokio::test]
async fn edits_that_are_not_sound_are_refused() {
    let [_, stopped, at_work] = small_folder().await;
    let users: Value = serde_json::from_slice(&stopped["users_db.json"]).unwrap();
    let only_ana = json!({"ana": users["ana"]}).to_string();
    for (files, name, bytes, says) in [
        (&stopped, "users_db.json", &*only_ana, "\"sala bob\" belongs to bob, who has no account"),
        (&stopped, "users_db.json", "{\n\"ana\": 7}", "users_db.json, line 2"),
        (&at_work, "users_db.journal", "rubbish\n", "users_db.journal, line 1"),
        (&stopped, "tracker.key", "rubbish", "tracker.key, line 1"),
    ] {
        let mut files = files.clone();
        files.insert(name.to_owned(), bytes.as_bytes().to_vec());
        let folder = folder_with(&files);
        let (status, stdout, stderr) = checked(&["--accept-edits"], folder.path());
        assert_eq!((status, &*stdout), (Some(1), ""), "{stderr}");
        assert!(stderr.contains(says), "{stderr}");
        assert_eq!(files_in(folder.path()), files, "{name}");
    }
}

#[tokio::test]
async fn missing_files_are_accepted_on_request() {
    let [_, stopped, at_work] = small_folder().await;
    for (files, name) in
        [(&stopped, "manifest.json"), (&stopped, "tracker.key"), (&at_work, "peers_db.journal")]
    {
        let mut files = files.clone();
        files.remove(name);
        let folder = folder_with(&files);
        assert!(why_refused(&files).await.is_some(), "{name}");
        let (status, _, stderr) = checked(&["--accept-edits"], folder.path());
        assert_eq!(status, Some(0), "{name}: {stderr}");
        assert_eq!(why_refused(&files_in(folder.path())).await, None, "{name}");
    }
}

#[tokio::test]
async fn a_check_reads_the_folder_of_a_tracker_at_work() {
    let tracker = TestTracker::start().await;
    let _ana = tracker.user("ana").await;
    let (status, stdout, stderr) = checked(&[], tracker.folder.path());
    assert_eq!(status, Some(0), "{stderr}");
    assert!(stdout.contains("sound: 1 account, "), "{stdout}");
    let (status, _, stderr) = checked(&["--accept-edits"], tracker.folder.path());
    assert_eq!(status, Some(1));
    assert!(stderr.contains("in use by another tracker"), "{stderr}");
}

#[tokio::test]
async fn an_original_without_its_accounts_is_refused() {
    let peer =
        json!({"username": "ana", "last_ping": null, "address": "localhost", "port": 1, "connected": true});
    let rooms = json!({"sala": {"name": "sala", "peer_owner": peer, "peer_one": null, "peer_two": null}});
    let mut files = Files::new();
    files.insert("rooms_db.json".to_owned(), rooms.to_string().into_bytes());
    let error = why_refused(&files).await.unwrap();
    assert!(error.contains("users_db.json is missing"), "{error}");
    // There are accounts now, but none for the owner. The room is set aside, so that nobody inherits it.
    files.insert("users_db.json".to_owned(), b"{}".to_vec());
    let folder = Arc::new(folder_with(&files));
    let (status, stdout, _) = checked(&[], folder.path());
    assert_eq!(status, Some(0));
    assert!(stdout.contains("\"sala\" is set aside: its owner ana has no account"), "{stdout}");
    let tracker = TestTracker::start_in(folder, |_| ()).await;
    tracker.user("ana").await;
    let tracker = TestTracker::start_in(tracker.stop().await, |_| ()).await;
    let (mut ana, _) = tracker.back("ana").await;
    assert_eq!(ana.ok(json!({"cmd": "LIST_ROOMS", "id": 1})).await["rooms"], json!({}));
}
