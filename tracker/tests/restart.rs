//! Tests of the start on an existing data folder.
//! The folder holds the tracker's own files, legacy files or damaged files, or another tracker uses it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use common::{PASSWORD, TestTracker, config, members, room};
use serde_json::{Value, json};
use tempfile::TempDir;
use tracker::server::{StartError, TrackerServer};

/// Every file of a folder, by name.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    files.map(|file| (file.file_name().into_string().unwrap(), fs::read(file.path()).unwrap())).collect()
}

/// Copies a folder in its current state, as a crash would leave it.
fn copy(folder: &Path) -> Arc<TempDir> {
    let copy = tempfile::tempdir().unwrap();
    // The copy keeps the permissions, because the tracker refuses a key that others can read.
    for name in contents(folder).into_keys() {
        fs::copy(folder.join(&name), copy.path().join(name)).unwrap();
    }
    Arc::new(copy)
}

async fn refused(folder: &Path) -> String {
    match TrackerServer::bind(config(folder)).await {
        Ok(_) => panic!("it started"),
        Err(error @ StartError::Data(_)) => error.to_string(),
        Err(other) => panic!("{other}"),
    }
}

async fn rooms(client: &mut common::Client) -> Value {
    client.ok(json!({"cmd": "LIST_ROOMS", "id": 1})).await["rooms"].take()
}

#[tokio::test]
async fn the_three_files_exist_from_the_first_start() {
    let tracker = TestTracker::start().await;
    for name in ["users", "rooms", "peers"] {
        let path = tracker.folder.path().join(format!("{name}_db.json"));
        assert_eq!(serde_json::from_slice::<Value>(&fs::read(&path).unwrap()).unwrap(), json!({}));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
}

#[tokio::test]
async fn users_rooms_and_memberships_survive_stop_and_crash() {
    let tracker = TestTracker::start().await;
    let mut ana = tracker.user_at("ana", 5001).await;
    let mut bob = tracker.user_at("bob", 5002).await;
    ana.ok(room("CREATE_ROOM", "são joão")).await;
    bob.ok(room("JOIN_ROOM", "são joão")).await;
    ana.expect_push("joined", "bob").await;
    ana.ok(room("CREATE_ROOM", "gone")).await;
    ana.ok(room("DELETE_ROOM", "gone")).await;
    ana.ok(room("LEAVE_ROOM", "são joão")).await;
    let before = rooms(&mut ana).await["são joão"].take();

    let crashed = copy(tracker.folder.path());
    drop((ana, bob));
    let stopped = tracker.stop().await;
    for name in ["users", "rooms", "peers"] {
        let journal = fs::read_to_string(stopped.path().join(format!("{name}_db.journal"))).unwrap();
        assert_eq!(journal.lines().count(), 1, "no change: {journal}");
    }
    // The address of a user is presence. An orderly stop keeps it, and a crash may lose it.
    for (folder, port) in [(stopped, json!(5002)), (crashed, Value::Null)] {
        let tracker = TestTracker::start_in(folder, |_| ()).await;
        let (mut ana, _) = tracker.back("ana").await;
        let after = rooms(&mut ana).await;
        assert_eq!(after.as_object().unwrap().len(), 1);
        let after = &after["são joão"];
        assert_eq!((&after["id"], &after["owner"]), (&before["id"], &json!("ana")));
        assert_eq!((members(after), &after["members"][0]["connected"]), (vec!["bob"], &json!(false)));
        let peer = ana.ok(json!({"cmd": "GET_PEER", "peer": "bob"})).await;
        assert_eq!((&peer["peer"]["connected"], &peer["peer"]["port"]), (&json!(false), &port));
        ana.ok(room("JOIN_ROOM", "são joão")).await;
    }
}

#[tokio::test]
async fn revisions_grow_across_a_crash_though_presence_is_lost() {
    let tracker = TestTracker::start().await;
    let mut ana = tracker.user("ana").await;
    let mut bob = tracker.user("bob").await;
    ana.ok(room("CREATE_ROOM", "sala")).await;
    bob.ok(room("JOIN_ROOM", "sala")).await;
    ana.expect_push("joined", "bob").await;
    let mut last = 0;
    for _ in 0..5 {
        drop(bob);
        ana.expect_push("offline", "bob").await;
        bob = tracker.back("bob").await.0;
        last = ana.expect_push("online", "bob").await["revision"].as_u64().unwrap();
    }
    let journal = fs::read_to_string(tracker.folder.path().join("rooms_db.journal")).unwrap();
    assert!(!journal.contains(&format!("\"revision\":{last}")), "presence is in the journal: {journal}");
    for folder in [copy(tracker.folder.path()), {
        drop((ana, bob));
        tracker.stop().await
    }] {
        let tracker = TestTracker::start_in(folder, |_| ()).await;
        let (_ana, reply) = tracker.back("ana").await;
        let revision = reply["rooms"]["sala"]["revision"].as_u64().unwrap();
        assert!(revision > last, "{revision} after {last}");
    }
}

#[tokio::test]
async fn zeros_at_a_journals_end_are_cut_off() {
    let tracker = TestTracker::start().await;
    let mut ana = tracker.user("ana").await;
    ana.ok(room("CREATE_ROOM", "sala")).await;
    for name in ["users", "rooms", "peers"] {
        let crashed = copy(tracker.folder.path());
        let path = crashed.path().join(format!("{name}_db.journal"));
        let mut journal = fs::read(&path).unwrap();
        journal.extend([0; 700]);
        fs::write(&path, journal).unwrap();
        let restarted = TestTracker::start_in(crashed, |_| ()).await;
        let (mut ana, _) = restarted.back("ana").await;
        assert!(rooms(&mut ana).await["sala"].is_object());
    }
}

#[tokio::test]
async fn a_folder_in_use_is_refused_and_free_again_afterwards() {
    let tracker = TestTracker::start().await;
    let error = refused(tracker.folder.path()).await;
    assert!(error.contains("in use by another tracker"), "{error}");
    let folder = tracker.stop().await;
    TestTracker::start_in(folder, |_| ()).await;
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let tracker = TestTracker::start().await;
    let folder = tempfile::tempdir().unwrap();
    let taken = tracker::config::Config { listen: tracker.address.to_string(), ..config(folder.path()) };
    let error = TrackerServer::bind(taken).await.unwrap_err().to_string();
    assert!(error.contains(&tracker.address.to_string()) && error.contains("--listen"), "{error}");
}

/// The files of a legacy tracker. Some entries break the rules of this tracker.
fn original_files() -> Arc<TempDir> {
    let peer = |name: &str| json!({"username": name, "last_ping": null, "address": "localhost", "port": null, "connected": true});
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, value: Value| fs::write(folder.path().join(name), value.to_string()).unwrap();
    write("users_db.json", json!({"ana": PASSWORD, "bob": PASSWORD, "João": PASSWORD}));
    write(
        "rooms_db.json",
        json!({
            "sala": {"name": "sala", "peer_owner": peer("ana"), "peer_one": null, "peer_two": peer("bob")},
            "orphan": {"name": "orphan", "peer_owner": null, "peer_one": peer("bob"), "peer_two": null},
            "empty": {"name": "empty", "peer_owner": null, "peer_one": null, "peer_two": null},
            "shouting": {"name": "shouting", "peer_owner": peer("João"), "peer_one": null, "peer_two": null},
        }),
    );
    let odd = json!({"username": "bob", "last_ping": {"a": 1}, "address": "127.0.0.0.1", "port": 5, "connected": true});
    write("peers_db.json", json!({"ana": peer("ana"), "bob": odd, "João": peer("João")}));
    Arc::new(folder)
}

#[tokio::test]
async fn an_originals_files_are_taken_over() {
    let folder = original_files();
    let tracker = TestTracker::start_in(folder, |_| ()).await;
    let (mut ana, _) = tracker.back("ana").await;
    let found = rooms(&mut ana).await;
    assert_eq!(found.as_object().unwrap().keys().collect::<Vec<_>>(), ["orphan", "sala"]);
    assert_eq!((members(&found["sala"]), &found["sala"]["owner"]), (vec!["ana", "bob"], &json!("ana")));
    assert_eq!((members(&found["orphan"]), &found["orphan"]["owner"]), (vec!["bob"], &json!("bob")));
    let peers = ana.ok(json!({"cmd": "LIST_PEERS"})).await;
    assert_eq!(peers["peers"].as_object().unwrap().len(), 1, "who was connected then is not connected now");
    // A new room replaces an invalid entry that was kept and not served.
    let made = ana.ok(room("CREATE_ROOM", "empty")).await;
    let id = found["sala"]["id"].clone();

    let folder = tracker.stop().await;
    let file = |name: &str| -> Value {
        serde_json::from_slice(&fs::read(folder.path().join(name)).unwrap()).unwrap()
    };
    assert_eq!(file("users_db.json")["João"], PASSWORD);
    assert_eq!(file("peers_db.json")["João"]["address"], "localhost");
    assert_eq!(file("rooms_db.json")["shouting"]["peer_owner"]["username"], "João");
    assert_eq!(file("rooms_db.json")["empty"]["id"], made["room"]["id"]);
    let tracker = TestTracker::start_in(folder, |_| ()).await;
    let (mut ana, _) = tracker.back("ana").await;
    assert_eq!(rooms(&mut ana).await["sala"]["id"], id, "a room that was taken over keeps its identity");
}

#[tokio::test]
async fn invalid_guest_of_a_migrated_room_is_removed_alone() {
    let folder = original_files();
    let path = folder.path().join("rooms_db.json");
    let mut rooms: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    rooms["sala"]["peer_one"] =
        json!({"username": "João", "address": null, "port": null, "connected": false});
    fs::write(&path, rooms.to_string()).unwrap();
    let tracker = TestTracker::start_in(folder, |_| ()).await;
    let (mut ana, _) = tracker.back("ana").await;
    let mut carla = tracker.user("carla").await;
    let room = carla.ok(room("JOIN_ROOM", "sala")).await["room"].take();
    assert_eq!((members(&room), &room["owner"]), (vec!["ana", "bob", "carla"], &json!("ana")));
    drop(ana.expect_push("joined", "carla").await);
}

/// The output of `tracker check` on a folder.
fn report(folder: &Path) -> String {
    let check = Command::new(env!("CARGO_BIN_EXE_tracker")).arg("check").arg(folder).output().unwrap();
    assert!(check.status.success(), "{check:?}");
    String::from_utf8(check.stdout).unwrap()
}

#[tokio::test]
async fn invalid_owner_of_a_migrated_room_loses_the_room() {
    let folder = original_files();
    let path = folder.path().join("rooms_db.json");
    let mut rooms: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let joao = json!({"username": "João", "address": null, "port": null, "connected": false});
    rooms["sala"]["peer_one"] = rooms["sala"]["peer_owner"].take();
    rooms["sala"]["peer_owner"] = joao.clone();
    rooms["orphan"]["peer_two"] = joao;
    fs::write(&path, rooms.to_string()).unwrap();
    // The check reports it before the first start, when the operator can still repair it.
    let reported = report(folder.path());
    let of_owner =
        reported.lines().find(|line| line.contains("the name of its owner \"João\"")).expect(&reported);
    assert!(of_owner.contains("the room \"sala\" belongs to ana now"), "{of_owner}");
    assert!(of_owner.contains("give that user a name that fits"), "{of_owner}");
    assert!(reported.contains("a seat in the room \"orphan\" is free: the name \"João\""), "{reported}");
    // No member of this room has a valid name. The room is not served, and the report names the documentation.
    let remaining =
        reported.lines().find(|line| line.contains("\"shouting\" does not fit")).expect(&reported);
    assert!(remaining.contains("data/README.md"), "{remaining}");
    let tracker = TestTracker::start_in(folder, |_| ()).await;
    let (mut ana, _) = tracker.back("ana").await;
    let mut carla = tracker.user("carla").await;
    let sala = carla.ok(room("JOIN_ROOM", "sala")).await["room"].take();
    assert_eq!((members(&sala), &sala["owner"]), (vec!["ana", "bob", "carla"], &json!("ana")));
    drop(ana.expect_push("joined", "carla").await);
    drop((ana, carla));
    // The report appears only once, and the new owner may delete the room.
    let folder = tracker.stop().await;
    assert!(!report(folder.path()).contains("the name of its owner"));
    let tracker = TestTracker::start_in(folder, |_| ()).await;
    let (mut ana, _) = tracker.back("ana").await;
    ana.ok(room("DELETE_ROOM", "sala")).await;
}

#[tokio::test]
async fn a_damaged_file_is_named_and_nothing_is_touched() {
    let tracker = TestTracker::start().await;
    let mut ana = tracker.user("ana").await;
    ana.ok(room("CREATE_ROOM", "sala")).await;
    // The journals hold all changes. The JSON files are still empty.
    let crashed = copy(tracker.folder.path());
    drop(ana);
    let stopped = tracker.stop().await;
    let line_two = |folder: &Path, name: &str| {
        let text = fs::read_to_string(folder.join(name)).unwrap();
        text.replacen("\": ", "\"; ", 1).into_bytes()
    };
    let flipped = |folder: &Path, name: &str| {
        let mut bytes = fs::read(folder.join(name)).unwrap();
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
        bytes
    };
    let path = |folder: &Arc<TempDir>| folder.path().to_owned();
    for (folder, name, bytes, line) in [
        (&stopped, "users_db.json", b"".to_vec(), 1),
        (&stopped, "users_db.json", b"[]".to_vec(), 1),
        (&stopped, "users_db.json", b"{\n\"ana\": \"123456\"\n}".to_vec(), 2),
        (&stopped, "users_db.json", b"{\n\"ana\": \"\xff\"\n}".to_vec(), 2),
        (&stopped, "rooms_db.json", b"{\n\"sala\": []\n}".to_vec(), 2),
        (&stopped, "peers_db.json", b"{\n\n\"ana\": 7}".to_vec(), 3),
        (&stopped, "rooms_db.json", line_two(&path(&stopped), "rooms_db.json"), 2),
        (&crashed, "users_db.journal", flipped(&path(&crashed), "users_db.journal"), 2),
        (&crashed, "rooms_db.journal", flipped(&path(&crashed), "rooms_db.journal"), 2),
        (&crashed, "peers_db.journal", b"{}\n".to_vec(), 1),
    ] {
        let folder = copy(folder.path());
        fs::write(folder.path().join(name), bytes).unwrap();
        let before = contents(folder.path());
        let error = refused(folder.path()).await;
        assert!(error.contains(&format!("{name}, line {line}:")), "{error}");
        assert!(!error.contains("argon2id"), "no secret in {error}");
        assert_eq!(contents(folder.path()), before, "{name}");
    }
    let folder = copy(crashed.path());
    fs::remove_file(folder.path().join("users_db.json")).unwrap();
    let error = refused(folder.path()).await;
    assert!(error.contains("users_db.json is missing"), "{error}");
}

#[tokio::test]
async fn journal_cut_at_any_byte_holds_the_complete_lines() {
    let tracker = TestTracker::start().await;
    for name in ["ana", "bob"] {
        tracker.user(name).await;
    }
    let crashed = copy(tracker.folder.path());
    let journal = fs::read(crashed.path().join("users_db.journal")).unwrap();
    assert_eq!(journal.iter().filter(|byte| **byte == b'\n').count(), 3);
    // The first line names the generation and is written together with the file.
    let first = journal.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    for cut in first..=journal.len() {
        let folder = copy(crashed.path());
        fs::write(folder.path().join("users_db.journal"), &journal[..cut]).unwrap();
        let tracker = TestTracker::start_in(folder, |_| ()).await;
        let whole = journal[first..cut].iter().filter(|byte| **byte == b'\n').count();
        let folder = tracker.stop().await;
        let users: Value =
            serde_json::from_slice(&fs::read(folder.path().join("users_db.json")).unwrap()).unwrap();
        assert_eq!(users.as_object().unwrap().len(), whole, "cut at {cut}");
    }
}
