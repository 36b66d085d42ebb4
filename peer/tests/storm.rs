//! Load tests: many peers lose their tracker at once and return soon after it, without a password check.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::time::{Duration, Instant};

use common::{Computer, Peer, Tracker};
use peer::api::Event;
use peer::api::status::TrackerState;
use peer::service::Keep;
use serde_json::Value;

/// Longest time until all peers are back.
const BACK: Duration = Duration::from_secs(10);

/// Duration of the outage, longer than any wait between two attempts to reach the tracker.
const OUTAGE: Duration = Duration::from_secs(10);

/// Number of members in each room.
const SEATS: usize = 3;

/// Registers this number of peers in rooms of three.
async fn crowd(tracker: &Tracker, peers: usize) -> Vec<Peer> {
    let mut crowd: Vec<Peer> = Vec::with_capacity(peers);
    for n in 0..peers {
        let computer = Computer::new(Keep::InMemory);
        let mut peer = Peer::register_on(computer, tracker.address, &format!("user{n}")).await;
        let room = format!("room {}", n / SEATS);
        if n % SEATS == 0 {
            peer.create(&room).await
        } else {
            peer.join(&room).await
        }
        crowd.push(peer);
    }
    crowd
}

async fn all_see(crowd: &mut [Peer], state: TrackerState) {
    for peer in crowd {
        peer.until(|e| matches!(e, Event::Tracker { state: seen, .. } if *seen == state)).await;
    }
}

/// Replaces the password of every user in the tracker's folder by another one.
fn spoil_passwords(tracker: &Tracker) {
    let file = tracker.folder().join("users_db.json");
    let mut users: serde_json::Map<String, Value> =
        serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let mut hashes: Vec<_> = users.values().cloned().collect();
    hashes.rotate_left(1);
    for (hash, others) in users.values_mut().zip(hashes) {
        *hash = others;
    }
    fs::write(file, serde_json::to_vec(&users).unwrap()).unwrap();
}

/// Stops the tracker for `outage` and restarts it. Returns the time until all peers are back.
async fn all_come_back(peers: usize, outage: Duration) -> Duration {
    let mut tracker = Tracker::start().await;
    let mut crowd = crowd(&tracker, peers).await;
    all_see(&mut crowd, TrackerState::Connected).await;
    tracker.down().await;
    all_see(&mut crowd, TrackerState::Lost).await;
    tokio::time::sleep(outage).await;
    spoil_passwords(&tracker);
    tracker::folder_check::accept_edits(tracker.folder()).await.unwrap();
    tracker.up().await;
    let start = Instant::now();
    all_see(&mut crowd, TrackerState::Connected).await;
    let took = start.elapsed();
    println!("{peers} peers were back after {took:?}");
    // The control: a password would have been refused.
    let refused = crowd[0].try_elsewhere().await.map(drop).unwrap_err();
    assert_eq!(refused.code(), "INVALID_CREDENTIALS");
    // Their rooms are open.
    crowd[0].say("all here").await;
    for peer in &mut crowd[1..SEATS] {
        peer.receives("all here").await;
    }
    took
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_peers_are_back_soon_after_their_tracker() {
    all_come_back(100, Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a thousand peers in one process, on a machine that does nothing else"]
async fn thousand_peers_return_in_ten_seconds_after_a_long_outage() {
    let took = all_come_back(1000, OUTAGE).await;
    assert!(took < BACK, "it took {took:?}");
}
