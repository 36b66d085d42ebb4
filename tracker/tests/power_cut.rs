//! Tests of a power cut.
//! The tracker is frozen, its disk is copied, and the next start uses the copy.
//!
//! A kill does not test flushing, because the kernel still writes the data that it was given. Here the disk is an image
//! file with an ext4 file system on a loop device. The image holds only data that was flushed, or written back by
//! chance. This needs root and a loop device. Without them the tests report it and pass; with `LOOP_MOUNTS=required`
//! they fail.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may")]

mod common;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::device::{Device, by_key};
use common::program::{Program, Writers, assert_kept};
use common::{sign_in, with_id};
use commons::limits::FRAME_MAX;
use commons::net::connection::Connection;
use commons::net::socket::Socket;
use commons::net::tls::Purpose;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The size of the disk in bytes. It has room for some thousands of rooms.
const DISK_BYTES: u64 = 32 * 1024 * 1024;

/// A file system in an image file. It is mounted for the lifetime of this value.
struct Disk {
    folder: TempDir,
}

impl Disk {
    /// Creates an empty file system. An error says why this is impossible.
    fn blank() -> Result<Self, String> {
        let folder = tempfile::tempdir().unwrap();
        let disk = Self { folder };
        File::create(disk.image()).unwrap().set_len(DISK_BYTES).unwrap();
        run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(disk.image()))?;
        disk.mount()
    }

    /// Copies the image of this disk as a power cut would leave it. It can be mounted after this disk is dropped.
    fn copy(&self) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::copy(self.image(), folder.path().join("image")).unwrap();
        folder
    }

    /// Mounts a copied image.
    fn of(folder: TempDir) -> Self {
        Self { folder }.mount().unwrap()
    }

    fn mount(self) -> Result<Self, String> {
        fs::create_dir(self.path()).unwrap();
        run(Command::new("mount").args(["-o", "loop"]).arg(self.image()).arg(self.path()))?;
        Ok(self)
    }

    fn image(&self) -> PathBuf {
        self.folder.path().join("image")
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("mounted")
    }

    fn data(&self) -> PathBuf {
        self.path().join("data")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = run(Command::new("umount").arg(self.path()));
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("{command:?}: {stderr}")) }
}

/// Creates a disk, or prints why the test is skipped.
fn disk() -> Option<Disk> {
    match Disk::blank() {
        Ok(disk) => Some(disk),
        Err(why) if std::env::var_os("LOOP_MOUNTS").is_some() => panic!("no loop mounts: {why}"),
        Err(why) => {
            eprintln!("skipped, no loop mounts here: {why}");
            None
        }
    }
}

/// Signs in by key and disconnects, again and again, until the tracker is gone. Each login changes the presence.
async fn come_and_go(address: SocketAddr, name: String) {
    let device = Device::new();
    let register = with_id(sign_in("REGISTER", &name, 5000));
    let _ = try_ask(&device, address, register).await;
    for port in 5001.. {
        let mut login = with_id(by_key(&name));
        login["port"] = json!(port);
        if try_ask(&device, address, login).await.is_none() {
            return;
        }
    }
}

/// Sends a request to a tracker that may be gone.
async fn try_ask(device: &Device, address: SocketAddr, request: Value) -> Option<()> {
    let identity = device.identity(Purpose::Session);
    let socket = Socket::dial_encrypted(address, &identity).await.ok()?;
    let mut session = Connection::new(socket, FRAME_MAX);
    session.send(&request).await.ok()?;
    session.recv().await.ok()?.map(drop)
}

/// Cuts the power this many times. The tracker must start after each cut, and all confirmed changes must be there at
/// the end.
async fn cut_power(times: usize) {
    let Some(mut disk) = disk() else { return };
    let mut expected: Vec<String> = Vec::new();
    for round in 0..times {
        let program = Program::start(&disk.data());
        let visitor = tokio::spawn(come_and_go(program.address, format!("p{round}")));
        let mut writers = Writers::start(&program, round, 2).await;
        expected.extend(writers.next(10 + 7 * (round % 5)).await);
        program.signal("STOP");
        let copy = disk.copy();
        drop(program);
        expected.extend(writers.rest().await);
        visitor.await.unwrap();
        drop(disk);
        disk = Disk::of(copy);
    }
    assert!(expected.len() >= times * 10);
    assert_kept(&disk.data(), &expected).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_power_cuts_lose_nothing_that_was_acknowledged() {
    cut_power(3).await;
}

/// The same test with more cuts: `cargo test -p tracker --test power_cut -- --ignored`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "50 power cuts take half a minute"]
async fn fifty_power_cuts_lose_nothing_that_was_acknowledged() {
    cut_power(50).await;
}

/// The environment variable for the child process that runs the store of the control.
const UNFLUSHED_STORE: &str = "TRACKER_TEST_UNFLUSHED_STORE";

/// Not a separate test. In the child process, it appends to two journals as an earlier tracker did. It flushes changes
/// of an account or of keys, but not changes of presence.
#[test]
fn unflushed_store() {
    let Ok(folder) = std::env::var(UNFLUSHED_STORE) else { return };
    let create = |name: &str| File::create(Path::new(&folder).join(name)).unwrap();
    let (mut users, mut peers) = (create("users"), create("peers"));
    for number in 0.. {
        writeln!(peers, "{}", json!({"seq": number, "key": "ana", "value": "somewhere"})).unwrap();
        if number % 16 == 0 {
            peers.sync_data().unwrap();
        }
        writeln!(users, "{}", json!({"seq": number, "key": "ana", "value": "a hash"})).unwrap();
        users.sync_data().unwrap();
        println!("\nacknowledged {number}");
    }
}

/// Reads a journal as an earlier tracker did. Each line must be complete, and only an incomplete line may follow.
fn strictly_read(journal: &[u8]) -> Result<usize, ()> {
    let mut lines: Vec<_> = journal.split(|byte| *byte == b'\n').collect();
    let tail = lines.pop().unwrap_or_default();
    let torn = serde_json::from_slice::<Value>(tail).is_err_and(|error| error.is_eof());
    let whole = lines.iter().all(|line| serde_json::from_slice::<Value>(line).is_ok());
    if whole && torn { Ok(lines.len()) } else { Err(()) }
}

/// Control: the same cuts with an unflushed presence journal. The strict reader refuses the journal, or lines are lost.
#[test]
fn control_power_cuts_spoil_a_journal_that_is_not_flushed() {
    let (mut refused, mut lost) = (0, 0);
    for round in 0..5 {
        let Some(disk) = disk() else { return };
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "unflushed_store", "--nocapture"])
            .env(UNFLUSHED_STORE, disk.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut counts = lines.filter_map(|line| line.strip_prefix("acknowledged ")?.parse::<usize>().ok());
        let acknowledged = counts.nth(40 + round).unwrap();
        run(Command::new("kill").args(["-s", "STOP", &child.id().to_string()])).unwrap();
        let copy = disk.copy();
        child.kill().unwrap();
        child.wait().unwrap();
        drop((counts, disk));
        let disk = Disk::of(copy);
        let read = |name: &str| strictly_read(&fs::read(disk.path().join(name)).unwrap());
        assert!(read("users").is_ok_and(|remaining| remaining > acknowledged), "what is flushed is there");
        refused += usize::from(read("peers").is_err());
        lost += usize::from(read("peers").is_ok_and(|remaining| remaining <= acknowledged));
    }
    assert!(refused > 0, "of 5 cuts {lost} only left a journal that lacks lines");
}
