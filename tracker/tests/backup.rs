//! Tests of `tracker backup` and `tracker restore`.
//! A backup is a snapshot of one moment, complete and private, and a restore accepts nothing else.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may")]

mod common;

use std::fs::{self, Permissions};
use std::io::{BufRead as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::device::{Device, ask, by_key};
use common::program::{Program, Writers, assert_kept};
use common::signer::Signer;
use common::{Client, TestTracker, room, sign_in, with_id};
use commons::room_log::entry::Change;
use commons::room_log::facts::Policy;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::json;
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;
use tokio::sync::mpsc::{Sender, channel};
use tokio::task::spawn_blocking;

/// Runs a task of the program. Returns whether it succeeded, and all that it wrote.
fn run(task: &str, file: &Path, data: &Path) -> (bool, String) {
    // A task that waits for ever fails its test.
    let output = Command::new("timeout")
        .args(["120", env!("CARGO_BIN_EXE_tracker")])
        .arg(task)
        .arg(file)
        .arg("--data")
        .arg(data)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
    (output.status.success(), text)
}

/// Runs a task that must succeed, while the test goes on with its clients.
async fn done(task: &'static str, file: &Path, data: &Path) -> String {
    let (file, data) = (file.to_owned(), data.to_owned());
    let (done, text) = spawn_blocking(move || run(task, &file, &data)).await.unwrap();
    assert!(done, "{task}: {text}");
    text
}

/// Runs a task that must be refused.
fn refused(task: &str, file: &Path, data: &Path) -> String {
    let (done, text) = run(task, file, data);
    assert!(!done, "{task}: {text}");
    text
}

/// The names of the files in a folder, in order.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A stopped tracker with a user and a room, and its backup.
struct Stopped {
    folder: TempDir,
}

impl Stopped {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let stopped = Self { folder };
        let program = Program::start(&stopped.data());
        let mut ana = program.connect().await;
        ana.ok(sign_in("REGISTER", "ana", 5000)).await;
        ana.ok(room("CREATE_ROOM", "sala")).await;
        drop(program);
        done("backup", &stopped.backup(), &stopped.data()).await;
        stopped
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn backup(&self) -> PathBuf {
        self.folder.path().join("backup.tar")
    }

    fn restored(&self) -> PathBuf {
        self.folder.path().join("restored")
    }

    /// Writes another file, and checks that it is refused as a backup for this reason, and that nothing is restored.
    fn refuses(&self, bytes: &[u8], reason: &str) {
        let file = self.folder.path().join("other.tar");
        fs::write(&file, bytes).unwrap();
        for task in ["restore", "check"] {
            let text = refused(task, &file, &self.restored());
            assert!(text.contains(reason) && text.contains("other.tar"), "{task}: {text}");
        }
        assert!(!self.restored().exists());
    }
}

/// Registers users one after the other until the tracker is gone.
async fn register(address: std::net::SocketAddr, acknowledged: Sender<String>) {
    for number in 0.. {
        let name = format!("new{number}");
        let Ok(stream) = tokio::net::TcpStream::connect(address).await else { return };
        let mut client = Client { stream: tokio::io::BufReader::new(stream) };
        client.try_send(&sign_in("REGISTER", &name, 5000)).await;
        let Some(reply) = client.try_recv().await else { return };
        if reply["status"] == "OK" {
            // The test may have ended.
            let _ = acknowledged.send(format!("user {name}")).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backup_under_writes_has_all_acknowledged_changes() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let program = Program::start(&data);
    let mut writers = Writers::start(&program, 0, 4).await;
    let (sender, mut registered) = channel(1);
    let registering = tokio::spawn(register(program.address, sender));
    let mut expected = Vec::new();
    for round in 0..3 {
        expected.extend(writers.next(30).await);
        expected.push(registered.recv().await.unwrap());
        let backup = folder.path().join(format!("{round}.tar"));
        let text = done("backup", &backup, &data).await;
        assert!(text.contains("checked") && text.contains("private key"), "{text}");
        let restored = folder.path().join(format!("restored {round}"));
        done("restore", &backup, &restored).await;
        assert_kept(&restored, &expected).await;
    }
    // The writers went on all the time.
    expected.extend(writers.next(30).await);
    drop((registered, program));
    registering.await.unwrap();
    expected.extend(writers.rest().await);
    assert_kept(&data, &expected).await;
}

/// Control: a copy of the files one after the other, with changes in between.
#[tokio::test]
async fn control_copied_files_do_not_belong_together() {
    let folder = tempfile::tempdir().unwrap();
    let (data, copy) = (folder.path().join("data"), folder.path().join("copy"));
    let program = Program::start(&data);
    let mut ana = program.connect().await;
    ana.ok(sign_in("REGISTER", "ana", 5000)).await;
    fs::create_dir(&copy).unwrap();
    let copy_files = |wanted: fn(&str) -> bool| {
        for name in names(&data).iter().filter(|name| wanted(name) && *name != "control.sock") {
            fs::copy(data.join(name), copy.join(name)).unwrap();
        }
    };
    copy_files(|name| name.starts_with("users"));
    let mut bob = program.connect().await;
    bob.ok(sign_in("REGISTER", "bob", 5000)).await;
    bob.ok(room("CREATE_ROOM", "sala")).await;
    copy_files(|name| !name.starts_with("users"));
    let (sound, text) = run("check", &copy, &copy);
    assert!(!sound && text.contains("bob"), "{text}");
}

#[tokio::test]
async fn restored_tracker_has_its_key_and_newer_revisions() {
    let folder = tempfile::tempdir().unwrap();
    let (data, backup) = (folder.path().join("data"), folder.path().join("backup.tar"));
    let restored = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let fingerprint = |data: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tracker"));
        command.arg("fingerprint").arg("--data").arg(data).output().unwrap().stdout
    };
    let program = Program::start(&data);
    let mut ana = program.connect().await;
    ana.ok(sign_in("REGISTER", "ana", 5000)).await;
    ana.ok(room("CREATE_ROOM", "sala")).await;
    let mut carla = Signer::register(program.address, "carla").await;
    carla.create("signed", Policy::Invite, false).await;
    let log = carla.log("signed").await;
    done("backup", &backup, &data).await;
    // The tracker goes on, and peers see later revisions. Each start begins another block of them.
    drop(program);
    drop(Program::start(&data));
    let program = Program::start(&data);
    let mut bob = program.connect().await;
    bob.ok(sign_in("REGISTER", "bob", 5000)).await;
    let seen = bob.ok(room("JOIN_ROOM", "sala")).await["room"]["revision"].as_u64().unwrap();
    drop(program);
    done("restore", &backup, restored.path()).await;
    assert_eq!(fingerprint(&data), fingerprint(restored.path()));
    let tracker = TestTracker::start_in(restored, |_| ()).await;
    let (_ana, reply) = tracker.back("ana").await;
    let sala = &reply["rooms"]["sala"];
    assert!(sala["revision"].as_u64().unwrap() > seen, "{reply}");
    assert_eq!(common::members(sala), ["ana"]);
    let mut carla = carla.again(tracker.address).await;
    assert_eq!(carla.log("signed").await, log);
    assert_eq!(carla.change("signed", Change::Topic("tea".to_owned())).await, "OK");
}

#[tokio::test]
async fn restored_tracker_has_its_admins_and_bans() {
    let folder = tempfile::tempdir().unwrap();
    let (data, backup) = (folder.path().join("data"), folder.path().join("backup.tar"));
    let restored = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let program = Program::start(&data);
    let [ana, bob, carla] = [Device::new(), Device::new(), Device::new()];
    for (device, name) in [(&ana, "ana"), (&bob, "bob"), (&carla, "carla")] {
        device.session(program.address, with_id(sign_in("REGISTER", name, 5000))).await;
    }
    let mut session = ana.session(program.address, with_id(by_key("ana"))).await;
    let ban = ask(&mut session, json!({"cmd": "BAN", "user": "bob", "id": 1})).await;
    assert_eq!(ban["status"], "OK", "the first user is an admin: {ban}");
    done("backup", &backup, &data).await;
    drop(program);
    let text = done("restore", &backup, restored.path()).await;
    assert!(text.contains("1 admin, 1 ban"), "{text}");
    let tracker = TestTracker::start_in(restored, |_| ()).await;
    let mut session = ana.session(tracker.address, with_id(by_key("ana"))).await;
    let bans = ask(&mut session, json!({"cmd": "BANS", "id": 1})).await;
    assert_eq!(bans["bans"]["user bob"]["by"], "ana", "{bans}");
    for request in [by_key("bob"), sign_in("LOGIN", "bob", 5000), sign_in("REGISTER", "other", 5000)] {
        let (_, reply) = bob.ask(tracker.address, with_id(request)).await;
        assert_eq!(reply["code"], "BANNED", "{reply}");
    }
    // Control: carla is not banned, and no admin.
    let mut session = carla.session(tracker.address, with_id(by_key("carla"))).await;
    assert_eq!(ask(&mut session, json!({"cmd": "BANS", "id": 1})).await["code"], "NOT_ADMIN");
}

#[tokio::test]
async fn backup_is_private_and_replaces_no_file() {
    let tracker = Stopped::new().await;
    assert_eq!(fs::metadata(tracker.backup()).unwrap().permissions().mode() & 0o777, 0o600);
    let before = fs::read(tracker.backup()).unwrap();
    let text = refused("backup", &tracker.backup(), &tracker.data());
    assert!(text.contains("exists already"), "{text}");
    assert_eq!(fs::read(tracker.backup()).unwrap(), before);
    let nothing = tracker.folder.path().join("nothing");
    let text = refused("backup", &tracker.folder.path().join("new.tar"), &nothing);
    assert!(text.contains("no data of a tracker"), "{text}");
    // No temporary file is left.
    assert_eq!(names(tracker.folder.path()), ["backup.tar", "data"]);
}

#[tokio::test]
async fn restore_takes_a_new_folder_only() {
    let tracker = Stopped::new().await;
    let before = names(&tracker.data());
    let text = refused("restore", &tracker.backup(), &tracker.data());
    assert!(text.contains("is not empty"), "{text}");
    assert_eq!(names(&tracker.data()), before);
    let text = done("restore", &tracker.backup(), &tracker.restored()).await;
    assert!(text.contains("1 account, 1 room"), "{text}");
    let checked = done("check", &tracker.restored(), &tracker.restored()).await;
    assert_eq!(checked, done("check", &tracker.backup(), &tracker.data()).await);
    for name in names(&tracker.restored()) {
        let mode = fs::metadata(tracker.restored().join(&name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name}");
    }
    assert_kept(&tracker.restored(), &["user ana".to_owned(), "room sala".to_owned()]).await;
}

#[tokio::test]
async fn restore_that_fails_leaves_nothing() {
    let tracker = Stopped::new().await;
    // The folder cannot be created below a file.
    let below = tracker.backup().join("data");
    refused("restore", &tracker.backup(), &below);
    // A file size limit is a full disk: the file of the users does not fit.
    let limited = Command::new("sh")
        .args([
            "-c",
            "trap '' XFSZ; ulimit -f 0; exec \"$@\"",
            "sh",
            env!("CARGO_BIN_EXE_tracker"),
            "restore",
        ])
        .arg(tracker.backup())
        .arg("--data")
        .arg(tracker.restored())
        .output()
        .unwrap();
    assert!(!limited.status.success(), "{limited:?}");
    assert!(!tracker.restored().exists(), "{:?}", names(&tracker.restored()));
}

#[tokio::test]
async fn restore_refuses_a_folder_that_others_can_change() {
    let tracker = Stopped::new().await;
    fs::create_dir(tracker.restored()).unwrap();
    for mode in [0o777, 0o770, 0o702] {
        fs::set_permissions(tracker.restored(), Permissions::from_mode(mode)).unwrap();
        let text = refused("restore", &tracker.backup(), &tracker.restored());
        assert!(text.contains("can be changed by others"), "{text}");
        assert!(names(&tracker.restored()).is_empty());
    }
    // Control: others may see the folder.
    fs::set_permissions(tracker.restored(), Permissions::from_mode(0o755)).unwrap();
    done("restore", &tracker.backup(), &tracker.restored()).await;
}

#[tokio::test]
async fn pipe_in_place_of_a_file_is_refused_at_once() {
    let tracker = Stopped::new().await;
    let new = tracker.folder.path().join("new.tar");
    for name in ["users_db.json", "users_db.journal", "manifest.json", "tracker.key", "lock"] {
        let (path, away) = (tracker.data().join(name), tracker.folder.path().join("away"));
        fs::rename(&path, &away).unwrap();
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        // A check of sound files does not look at the lock.
        for task in ["backup", "check"].into_iter().take(if name == "lock" { 1 } else { 2 }) {
            let file = if task == "backup" { &new } else { &tracker.data() };
            let text = refused(task, file, &tracker.data());
            assert!(text.contains(name) && text.contains("not a regular file"), "{task}: {text}");
        }
        fs::rename(&away, &path).unwrap();
    }
    // Control: the files themselves are accepted.
    done("backup", &new, &tracker.data()).await;
}

#[tokio::test]
async fn cut_or_changed_backup_is_refused() {
    let tracker = Stopped::new().await;
    let good = fs::read(tracker.backup()).unwrap();
    tracker.refuses(&good[..good.len() - 1024], "is no complete backup");
    tracker.refuses(&good[..good.len() / 2], "is no complete backup");
    tracker.refuses(&[], "is no complete backup");
    tracker.refuses(&[&good[..], b"more"].concat(), "is no complete backup");
    let at = good.windows(3).position(|bytes| bytes == b"ana").unwrap();
    let changed = [&good[..at], b"eve", &good[at + 3..]].concat();
    tracker.refuses(&changed, "users_db.json does not match");
    // Control: the same bytes without a change are accepted.
    let copy = tracker.folder.path().join("copy.tar");
    fs::write(&copy, &good).unwrap();
    done("check", &copy, &tracker.data()).await;
}

/// A tracker that begins to send a backup, and never ends. Dropping it frees the data folder.
struct Endless {
    _lock: fs::File,
    listener: UnixListener,
}

impl Endless {
    fn on(data: &Path) -> Self {
        let lock = fs::File::open(data.join("lock")).unwrap();
        lock.lock().unwrap();
        // The tracker that was killed has left its socket.
        let _ = fs::remove_file(data.join("control.sock"));
        Self { _lock: lock, listener: UnixListener::bind(data.join("control.sock")).unwrap() }
    }

    /// Answers a request for a backup. Returns the connection.
    fn begins(&self) -> UnixStream {
        let (mut stream, _) = self.listener.accept().unwrap();
        let mut request = String::new();
        std::io::BufReader::new(&stream).read_line(&mut request).unwrap();
        stream.write_all(b"{\"status\":\"OK\",\"lines\":[]}\nthe tracker's key").unwrap();
        stream
    }
}

#[tokio::test]
async fn stopped_backup_leaves_nothing_and_the_next_one_tidies() {
    let tracker = Stopped::new().await;
    let new = tracker.folder.path().join("new.tar");
    let hidden = || {
        let names = names(tracker.folder.path());
        names.into_iter().filter(|name| name.starts_with(".tracker-backup-")).collect::<Vec<_>>()
    };
    let endless = Endless::on(&tracker.data());
    for (signal, is_left) in [("TERM", false), ("INT", false), ("KILL", true)] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tracker"));
        command.arg("backup").arg(&new).arg("--data").arg(tracker.data());
        let mut backup = command.stderr(Stdio::null()).spawn().unwrap();
        let _stream = endless.begins();
        assert_eq!(hidden().len(), 1, "it is being written");
        let kill = format!("kill -s {signal} {}", backup.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
        assert!(!backup.wait().unwrap().success());
        assert_eq!(!hidden().is_empty(), is_left, "{signal}");
        assert!(!new.exists());
    }
    drop(endless);
    // A file that is in use, and a link, stay.
    let (used, link) = (
        tracker.folder.path().join(".tracker-backup-used"),
        tracker.folder.path().join(".tracker-backup-link"),
    );
    let lock = fs::File::create(&used).unwrap();
    lock.lock().unwrap();
    std::os::unix::fs::symlink(tracker.backup(), &link).unwrap();
    done("backup", &new, &tracker.data()).await;
    assert_eq!(hidden(), [".tracker-backup-link", ".tracker-backup-used"]);
}

/// An archive with these entries: type, name and claimed size.
fn archive(entries: &[(EntryType, &str, u64)]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (kind, name, size) in entries {
        let mut header = Header::new_ustar();
        header.as_ustar_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(0o600);
        header.set_mtime(0);
        header.set_size(*size);
        header.set_cksum();
        builder.append(&header, &[][..]).unwrap();
    }
    builder.into_inner().unwrap()
}

#[tokio::test]
async fn hostile_archives_are_refused() {
    let tracker = Stopped::new().await;
    let file = EntryType::Regular;
    for name in ["../escaped", "/tmp/escaped", "a/b", "", ".hidden", "\u{1b}[2J"] {
        tracker.refuses(&archive(&[(file, name, 0)]), "is no complete backup");
    }
    for kind in
        [EntryType::Symlink, EntryType::Link, EntryType::Directory, EntryType::GNUSparse, EntryType::XHeader]
    {
        tracker.refuses(&archive(&[(kind, "users_db.json", 0)]), "is no complete backup");
    }
    tracker.refuses(&archive(&[(file, "users_db.json", u64::MAX / 4)]), "is no complete backup");
    let many = vec![(file, "users_db.json", 0); 100_000];
    tracker.refuses(&archive(&many), "too many files");
    // A file without content costs nothing, whatever its size.
    let huge = tracker.folder.path().join("huge.tar");
    fs::File::create(&huge).unwrap().set_len(1 << 40).unwrap();
    let text = refused("restore", &huge, &tracker.restored());
    assert!(text.contains("larger than any backup"), "{text}");
    assert!(!tracker.restored().exists() && !Path::new("/tmp/escaped").exists());
}

#[tokio::test]
async fn sparse_backup_fills_no_memory() {
    let tracker = Stopped::new().await;
    for kind in [EntryType::Regular, EntryType::XHeader, EntryType::GNULongName] {
        let sparse = tracker.folder.path().join("sparse.tar");
        let claimed = (4 << 30) - 4096;
        fs::write(&sparse, &archive(&[(kind, "users_db.json", claimed)])[..512]).unwrap();
        fs::File::options().write(true).open(&sparse).unwrap().set_len(4 << 30).unwrap();
        for task in ["restore", "check"] {
            // An address space of 2 GB does not hold what the file claims.
            let limited = Command::new("sh")
                .args(["-c", "ulimit -v 2000000; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_tracker"), task])
                .args([&sparse, Path::new("--data"), &tracker.restored()])
                .output()
                .unwrap();
            let text = String::from_utf8_lossy(&limited.stderr);
            assert!(text.contains("is no complete backup"), "{task}: {text}");
        }
    }
}

#[tokio::test]
async fn people_can_unpack_a_backup_without_the_program() {
    let tracker = Stopped::new().await;
    let unpacked = tracker.folder.path().join("unpacked");
    fs::create_dir(&unpacked).unwrap();
    fs::set_permissions(&unpacked, Permissions::from_mode(0o700)).unwrap();
    let script = "tar -xf \"$1\" -C \"$2\" && cd \"$2\" && sha256sum --quiet -c SHA256SUMS && rm SHA256SUMS";
    let status =
        Command::new("sh").args(["-c", script, "sh"]).arg(tracker.backup()).arg(&unpacked).status().unwrap();
    assert!(status.success());
    assert_kept(&unpacked, &["user ana".to_owned(), "room sala".to_owned()]).await;
}
