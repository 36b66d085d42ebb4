//! Tests of the program's memory.
//! Password hashes must not make it grow.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may")]

mod common;

use std::fs;
use std::process::Command;
use std::sync::Arc;

use argon2::{Algorithm, Argon2, Params, PasswordHasher, Version};
use common::program::Program;
use common::sign_in;
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, spawn_blocking};

/// The maximum resident memory in bytes: two buffers of 19 MiB and the rest of the tracker.
const RESIDENT_MAX: usize = 64 * 1024 * 1024;

/// The resident memory of a process in bytes.
fn resident(pid: u32) -> usize {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() * 1024
}

/// Registers this many users, eight at a time. Returns the resident memory of the tracker.
async fn resident_after(registrations: usize) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(folder.path());
    let places = Arc::new(Semaphore::new(8));
    let mut clients = JoinSet::new();
    for number in 0..registrations {
        let (place, address) = (places.clone().acquire_owned().await.unwrap(), program.address);
        clients.spawn(async move {
            let mut client = common::Client::connect(address).await;
            // The newest job is first in the queue, so an older one may get BUSY.
            loop {
                let reply = client.ask(sign_in("REGISTER", &format!("u{number}"), 5000)).await;
                if reply["status"] == "OK" {
                    break;
                }
                assert_eq!(reply["code"], "BUSY", "{reply}");
                client = common::Client::connect(address).await;
            }
            drop(place);
        });
        while let Some(done) = clients.try_join_next() {
            done.unwrap();
        }
    }
    clients.join_all().await;
    resident(program.child.id())
}

#[tokio::test]
async fn five_hundred_hashes_leave_little_memory_in_use() {
    let resident = resident_after(500).await;
    assert!(resident <= RESIDENT_MAX, "{} MiB", resident >> 20);
}

/// The same test with more hashes: `cargo test -p tracker --test memory -- --ignored`.
#[tokio::test]
#[ignore = "10,000 hashes take some minutes"]
async fn ten_thousand_hashes_leave_little_memory_in_use() {
    let resident = resident_after(10_000).await;
    assert!(resident <= RESIDENT_MAX, "{} MiB", resident >> 20);
}

/// The environment variable for the child process that hashes as an earlier tracker did.
const ALLOCATING: &str = "TRACKER_TEST_ALLOCATING";

/// Not a separate test. In the child process, each hash allocates its memory on one of the runtime's many threads.
#[tokio::test]
async fn allocating_hasher() {
    if std::env::var_os(ALLOCATING).is_none() {
        return;
    }
    let params = Params::new(19 * 1024, 2, 1, None).unwrap();
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let cores = Arc::new(Semaphore::new(2));
    let mut hashes = JoinSet::new();
    for _ in 0..208 {
        let (argon2, cores) = (argon2.clone(), cores.clone());
        hashes.spawn(async move {
            let _core = cores.acquire().await.unwrap();
            spawn_blocking(move || argon2.hash_password(b"a password").map(drop)).await.unwrap().unwrap();
        });
    }
    hashes.join_all().await;
    println!("\nresident {}", resident(std::process::id()));
}

#[test]
fn control_memory_allocated_for_each_hash_stays_in_use() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "allocating_hasher", "--nocapture"])
        .env(ALLOCATING, "yes")
        .output()
        .unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    let resident = output.lines().find_map(|line| line.strip_prefix("resident ")).expect(&output);
    assert!(resident.parse::<usize>().unwrap() > RESIDENT_MAX, "{resident}");
}
