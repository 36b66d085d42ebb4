//! A test of a client that never reads.
//! The tracker closes it at a bound, and no other client waits for it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may")]

mod common;

use std::time::{Duration, Instant};

use common::{TestTracker, room};
use commons::limits::WRITE_TIMEOUT;
use serde_json::json;

/// The number of rooms: the maximum for one user. Each login of the owner causes as many pushes.
const ROOMS: usize = 16;

/// The number of logins. Their pushes exceed the buffers of the kernel and the tracker by far.
const LOGINS: usize = 4000;

#[tokio::test]
async fn client_that_never_reads_is_closed_and_delays_no_other() {
    let tracker = TestTracker::start().await;
    let mut ana = tracker.user("ana").await;
    let mut slow = tracker.original("slow").await;
    let mut carla = tracker.user("carla").await;
    for n in 0..ROOMS {
        let name = format!("{n} {}", "日本".repeat(30));
        ana.ok(room("CREATE_ROOM", &name)).await;
        slow.ok(room("JOIN_ROOM", &name)).await;
        ana.expect_push("joined", "slow").await;
        carla.ok(room("JOIN_ROOM", &name)).await;
        ana.expect_push("joined", "carla").await;
        slow.expect_push("joined", "carla").await;
    }
    // Carla gets a push for every login of ana in every room, and at last for the end of the slow session.
    let reading = tokio::spawn(async move {
        let mut online = 0;
        loop {
            let (kind, username, _) = carla.push().await;
            match (&*kind, &*username) {
                ("online", "ana") => online += 1,
                ("offline", "slow") => return (carla, online),
                other => panic!("{other:?}"),
            }
        }
    });
    let mut longest = Duration::ZERO;
    let mut logins = 0;
    while !reading.is_finished() {
        assert!(logins < LOGINS, "the slow reader is still there");
        let begun = Instant::now();
        (ana, _) = tracker.back("ana").await;
        longest = longest.max(begun.elapsed());
        logins += 1;
    }
    // If others waited for the slow client, they would wait as long as a write may take.
    assert!(longest < WRITE_TIMEOUT, "somebody waited {longest:?}");
    let (mut carla, online) = reading.await.unwrap();
    assert!(online >= ROOMS, "{online}");
    let rest = async {
        let mut online = online;
        while online < logins * ROOMS {
            online += usize::from(carla.push().await.0 == "online");
        }
    };
    tokio::time::timeout(common::PATIENCE, rest).await.expect("carla missed something");
    let peers = ana.ask(json!({"cmd": "LIST_PEERS", "prefix": "slow", "id": 1}));
    let peers = tokio::time::timeout(common::PATIENCE, peers).await.unwrap();
    assert_ne!(peers["peers"]["slow"]["connected"], true);
}
