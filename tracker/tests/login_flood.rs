//! A test of many logins with unknown names.
//! Other users must still be able to sign in.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may")]

mod common;

use common::{Client, TestTracker, WRONG, sign_in, with_id};
use serde_json::json;
use tokio::task::JoinSet;
use tracker::config::PasswordCost;

/// The number of connections that offer passwords for unknown names, from 16 networks.
const FLOOD: usize = 160;

/// Offers passwords for unknown names forever.
async fn flood(tracker: std::net::SocketAddr, number: usize) {
    loop {
        let mut client = Client::connect_from([40, number as u8 % 16 + 1], tracker).await;
        for attempt in 0..3 {
            let name = format!("nobody{number}-{attempt}");
            client
                .try_send(&json!({"cmd": "LOGIN", "username": name, "password": WRONG, "port": 5000}))
                .await;
            if client.try_recv().await.is_none() {
                break;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_names_do_not_crowd_out_password_logins() {
    let cost = PasswordCost { memory: 2 * 1024, passes: 2 };
    let tracker = TestTracker::start_with(|config| config.password_cost = cost).await;
    for number in 0..8 {
        tracker.user(&format!("user{number}")).await;
    }
    let mut guessers = JoinSet::new();
    for number in 0..FLOOD {
        guessers.spawn(flood(tracker.address, number));
    }
    // The flood has its full effect once a client gets BUSY.
    let mut probe = Client::connect_from([40, 1], tracker.address).await;
    let login = json!({"cmd": "LOGIN", "username": "nobody", "password": WRONG, "port": 5000});
    while probe.ask(login.clone()).await["code"] != "BUSY" {
        probe = Client::connect_from([40, 1], tracker.address).await;
    }
    let mut busy = Vec::new();
    for number in 0..8 {
        // Half of the users sign in from their known network, the others from a new one.
        let mut user = match number % 2 {
            0 => tracker.connect().await,
            _ => tracker.connect_from([41, number]).await,
        };
        let reply = user.ask(with_id(sign_in("LOGIN", &format!("user{number}"), 5000))).await;
        if reply["status"] != "OK" {
            busy.push(reply);
        }
    }
    guessers.abort_all();
    assert_eq!(busy, Vec::<serde_json::Value>::new());
}
