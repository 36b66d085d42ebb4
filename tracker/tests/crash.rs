//! Tests of the program under SIGKILL and on a full disk.
//! No change that it confirmed with OK may be lost.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may")]

mod common;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Instant;

use common::device::{Device, ask};
use common::program::{Program, Writers, all_rooms, assert_kept};
use common::signer::{Signer, change_room};
use common::{PASSWORD, PATIENCE, room, sign_in, with_id};
use commons::net::connection::Connection;
use commons::net::socket::Socket;
use commons::room_log::entry::Change;
use commons::room_log::facts::Policy;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifteen_kills_lose_nothing_that_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let mut expected: Vec<String> = Vec::new();
    for round in 0..15 {
        let program = Program::start(folder.path());
        let mut writers = Writers::start(&program, round, 4).await;
        expected.extend(writers.next(20 + 3 * round).await);
        drop(program);
        expected.extend(writers.rest().await);
    }
    assert!(expected.len() >= 15 * 20);
    assert_kept(folder.path(), &expected).await;
}

#[tokio::test]
async fn kills_lose_no_entry_that_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let mut program = Program::start(folder.path());
    let mut ana = Signer::register(program.address, "ana").await;
    ana.create("sala", Policy::Open, false).await;
    let mut log = ana.log("sala").await;
    for round in 0..5 {
        for number in 0..3 {
            let entry = ana.next(&log, Change::Topic(format!("{round} {number}")));
            assert_eq!(ana.outcome(change_room(&entry)).await, "OK");
            log.append(entry).unwrap();
        }
        // The last entry may be stored or not: nobody has confirmed it.
        let unconfirmed = ana.next(&log, Change::Topic(format!("{round} last")));
        ana.session.send(&change_room(&unconfirmed)).await.unwrap();
        drop(program);
        program = Program::start(folder.path());
        ana = ana.again(program.address).await;
        let stored = ana.log("sala").await;
        assert!(stored.entries().starts_with(log.entries()), "round {round}");
        assert!(stored.after(log.head().epoch).iter().all(|entry| *entry == unconfirmed));
        log = stored;
    }
}

/// The environment variable for the child process that runs the store of the control.
const NAIVE_STORE: &str = "TRACKER_TEST_NAIVE_STORE";

/// Not a separate test. In the child process, it rewrites all entries for each change, as the legacy tracker did.
#[test]
fn naive_store() {
    let Ok(path) = std::env::var(NAIVE_STORE) else { return };
    let mut entries: Vec<u32> = (0..20_000).collect();
    loop {
        entries.push(entries.len() as u32);
        File::create(&path).unwrap().write_all(serde_json::to_string(&entries).unwrap().as_bytes()).unwrap();
        println!("\nacknowledged {}", entries.len());
    }
}

/// Kills of the naive store, of which one must cost it something.
const KILLS: usize = 300;

/// Control: the same kills must lose changes of a store that truncates its file and rewrites it.
#[test]
fn control_naive_store_loses_confirmed_changes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.json");
    let is_lost = |round: usize| {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "naive_store", "--nocapture"])
            .env(NAIVE_STORE, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut counts = lines.filter_map(|line| line.strip_prefix("acknowledged ")?.parse::<usize>().ok());
        let acknowledged = counts.nth(20 + round).unwrap();
        child.kill().unwrap();
        let acknowledged = counts.last().unwrap_or(acknowledged);
        child.wait().unwrap();
        let stored: Vec<u32> = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap_or_default();
        stored.len() < acknowledged
    };
    // A kill may come at a moment without a write, so some loss among many kills is expected.
    assert!((0..KILLS).any(|round| is_lost(round % 30)), "no loss in {KILLS} kills");
}

#[tokio::test]
async fn full_disk_is_reported_and_service_resumes_with_space() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(folder.path());
    let mut ana = program.connect().await;
    ana.ok(with_id(sign_in("REGISTER", "ana", 5000))).await;
    ana.ok(room("CREATE_ROOM", "before")).await;
    let length = fs::metadata(folder.path().join("rooms_db.journal")).unwrap().len();
    // The disk is full in the middle of the next line.
    program.limit_files(&(length + 50).to_string());
    for _ in 0..3 {
        let refused = ana.ask(room("CREATE_ROOM", "during")).await;
        assert_eq!(refused["code"], "STORAGE", "{refused}");
    }
    assert_eq!(all_rooms(&mut ana).await, ["before"], "nothing is pretended");
    let mut again = program.connect().await;
    again.ok(with_id(sign_in("LOGIN", "ana", 6000))).await;
    let peer = again.ok(json!({"cmd": "GET_PEER", "peer": "ana"})).await;
    assert_eq!((&peer["peer"]["port"], &peer["peer"]["connected"]), (&json!(6000), &json!(true)));

    program.limit_files("unlimited");
    again.ok(room("CREATE_ROOM", "after")).await;
    drop(program);
    let program = Program::start(folder.path());
    let mut ana = program.connect().await;
    ana.ok(sign_in("LOGIN", "ana", 5000)).await;
    assert_eq!(all_rooms(&mut ana).await, ["after", "before"]);
}

/// Whether anything of ana is left: her account or any room.
async fn is_anything_left(program: &Program) -> bool {
    let mut witness = program.connect().await;
    witness.ok(sign_in("REGISTER", "witness", 5000)).await;
    let account = witness.ask(json!({"cmd": "GET_PEER", "peer": "ana"})).await;
    account["status"] == "OK" || !all_rooms(&mut witness).await.is_empty()
}

#[tokio::test]
async fn interrupted_deletion_can_be_repeated() {
    for stopped_at in ["rooms", "peers", "users"] {
        let folder = tempfile::tempdir().unwrap();
        let length =
            |name: &str| fs::metadata(folder.path().join(format!("{name}_db.journal"))).unwrap().len();
        let program = Program::start(folder.path());
        let device = Device::new();
        let mut ana = device.session(program.address, sign_in("REGISTER", "ana", 5000)).await;
        // The file that must become full is made much longer than the others, so that they have room left.
        for number in 0.. {
            if length(stopped_at) > ["rooms", "peers", "users"].map(length).iter().sum::<u64>() / 2 + 4000 {
                break;
            }
            match stopped_at {
                "rooms" => {
                    for cmd in ["CREATE_ROOM", "LEAVE_ROOM"] {
                        grant(&mut ana, room(cmd, &format!("sala {number}"))).await;
                    }
                }
                "peers" => ana = Device::new().session(program.address, sign_in("LOGIN", "ana", 5000)).await,
                _ => {
                    let same =
                        json!({"cmd": "CHANGE_PASSWORD", "password": PASSWORD, "new_password": PASSWORD});
                    grant(&mut ana, same).await;
                }
            }
        }
        grant(&mut ana, room("CREATE_ROOM", "quarto")).await;
        program.limit_files(&(length(stopped_at) + 10).to_string());
        let delete = json!({"cmd": "DELETE_ACCOUNT", "password": PASSWORD});
        assert_eq!(ask(&mut ana, delete.clone()).await["code"], "STORAGE", "{stopped_at}");
        assert!(!matches!(ana.recv_within(PATIENCE).await, Ok(Some(_))), "the session is closed");
        drop(program);

        let program = Program::start(folder.path());
        let mut ana = device.session(program.address, sign_in("LOGIN", "ana", 5000)).await;
        grant(&mut ana, delete).await;
        assert!(!is_anything_left(&program).await, "{stopped_at}");
    }
}

/// Sends a request that must succeed.
async fn grant(session: &mut Connection<Socket>, request: Value) {
    let reply = ask(session, request).await;
    assert_eq!(reply["status"], "OK", "{reply}");
}

/// In the opposite order, with the account deleted first, a stop in between leaves rooms that no user can delete.
#[tokio::test]
async fn control_account_deleted_before_its_rooms_leaves_them() {
    let folder = tempfile::tempdir().unwrap();
    let mut program = Program::start(folder.path());
    let mut ana = program.connect().await;
    ana.ok(sign_in("REGISTER", "ana", 5000)).await;
    ana.ok(room("CREATE_ROOM", "sala")).await;
    program.signal("TERM");
    program.child.wait().unwrap();
    fs::write(folder.path().join("users_db.json"), "{}").unwrap();
    let mut check = Command::new(env!("CARGO_BIN_EXE_tracker"));
    let output = check.args(["check", "--accept-edits"]).arg(folder.path()).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("the room \"sala\" belongs to ana, who has no account"), "{error}");
}

#[tokio::test]
async fn it_takes_as_many_descriptors_as_it_may_have() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start_limited(folder.path(), "ulimit -Sn 40");
    let mut users = Vec::new();
    for number in 0..60 {
        let mut user = program.connect().await;
        user.ok(sign_in("REGISTER", &format!("user{number}"), 5000)).await;
        users.push(user);
    }
}

#[tokio::test]
async fn a_signal_stops_it_in_good_order() {
    for signal in ["INT", "TERM"] {
        let folder = tempfile::tempdir().unwrap();
        let mut program = Program::start(folder.path());
        let mut ana = program.connect().await;
        ana.ok(with_id(sign_in("REGISTER", "ana", 5000))).await;
        let begun = Instant::now();
        program.signal(signal);
        assert_eq!(ana.recv().await, json!({"status": "SHUTTING_DOWN"}));
        assert_eq!(program.child.wait().unwrap().code(), Some(0));
        assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
        assert_eq!(fs::read_to_string(folder.path().join("users_db.journal")).unwrap().lines().count(), 1);
        let users: Value =
            serde_json::from_slice(&fs::read(folder.path().join("users_db.json")).unwrap()).unwrap();
        assert!(users["ana"].is_string());
    }
}

#[test]
fn error_is_one_line_with_the_right_exit_status() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tracker"));
        command.arg("--data").arg(folder.path()).args(arguments);
        let output = command.output().unwrap();
        assert_eq!(output.stdout, b"");
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(run(&["--ping-interval", "soon"]).0, Some(2));
    assert_eq!(run(&["--ping-interval", "0s"]).0, Some(2));
    assert_eq!(run(&["--plaintext", "perhaps"]).0, Some(2));
    let (status, error) = run(&["--listen", "nowhere.invalid:1"]);
    assert_eq!((status, error.lines().count()), (Some(1), 1), "{error}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (status, error) = run(&["--listen", &taken.local_addr().unwrap().to_string()]);
    assert_eq!((status, error.lines().count()), (Some(1), 1), "{error}");
    assert!(error.contains("--listen"), "{error}");
    fs::write(folder.path().join("users_db.json"), "{").unwrap();
    let (status, error) = run(&["--listen", "127.0.0.1:0"]);
    assert_eq!((status, error.lines().count()), (Some(1), 1), "{error}");
    assert!(error.contains("users_db.json, line 1"), "{error}");
}
