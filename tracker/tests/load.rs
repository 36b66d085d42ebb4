//! The scenarios of the load test, at a fiftieth of their size.
//! Times and ratios are for reading only, because they depend on the machine.

#![cfg(target_os = "linux")]
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may"
)]

#[path = "../examples/load/scenarios/mod.rs"]
mod scenarios;

use std::process::Command;
use std::time::Duration;

use scenarios::server::{self, ServerProgram};
use scenarios::{Scenario, Sizes};
use serde_json::Value;

/// Not a separate test. In the child process, it serves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn load_server() {
    if server::is_server() {
        server::serve().await;
    }
}

fn server_program() -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "load_server", "--nocapture"]);
    command
}

/// Runs a scenario and returns its figures.
async fn run(scenario: Scenario) -> Value {
    let sizes = Sizes {
        encrypted: 120,
        plaintext: 240,
        active: vec![1, 2, 20],
        operations: 400,
        rate: 20,
        rooms: 6,
        ping_timeout: Duration::from_millis(500),
        users: 20_000,
        workers: 3,
        time: Duration::from_secs(12),
    };
    let figures = scenario.run(&sizes, &ServerProgram(&server_program)).await;
    println!("{figures}");
    figures["figures"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_idle_sessions_are_served_and_fill_rooms() {
    let figures = run(Scenario::Sessions).await;
    assert_eq!(figures["rooms_of_three"], 120, "{figures}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn room_operations_succeed_at_each_number_of_sessions() {
    let figures = run(Scenario::Operations).await;
    let counts: Vec<_> = figures["active"].as_array().unwrap().iter().map(|it| &it["operations"]).collect();
    assert_eq!(counts, [400, 400, 400], "{figures}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_of_a_room_reaches_its_owner() {
    let figures = run(Scenario::Updates).await;
    // Each change waits for its update, so the number is complete.
    assert_eq!(figures["changes"], 12, "{figures}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_sweep_pings_all_plaintext_peers() {
    let figures = run(Scenario::Sweep).await;
    assert_eq!((&figures["peers"], &figures["silent_peers"]), (&240.into(), &3.into()), "{figures}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_users_are_back_after_a_reconnect_storm() {
    let figures = run(Scenario::Storm).await;
    assert_eq!(figures["sessions"], 120, "{figures}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn start_with_many_users_is_measured() {
    let figures = run(Scenario::Restart).await;
    assert_eq!(figures["users"], 20_000, "{figures}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn soak_leaves_no_user_room_or_descriptor() {
    let figures = run(Scenario::Soak).await;
    assert_eq!((&figures["users_left"], &figures["rooms_left"]), (&0.0.into(), &0.0.into()), "{figures}");
    let at_rest = figures["descriptors_at_rest"].as_u64().unwrap();
    // A session has one descriptor, so a leak of one a round is noticed.
    assert!(at_rest < 40, "{figures}");
}
