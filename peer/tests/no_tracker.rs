//! Tests of the messages for an unreachable, full or stopped tracker.
//! Each message must name the cause and a remedy.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
mod network;
mod programs;
mod proxy;

use std::env;
use std::io::{Write, stderr};
use std::net::TcpStream;

use common::Tracker;
use commons::net::connection::Connection;
use commons::net::socket::Listener;
use network::Network;
use programs::{PASSWORD, Piped, Screen, flags, json};
use proxy::Proxy;
use serde_json::{Value, json as object};

/// A tracker that allows one connection per network in ten minutes and has already accepted it.
async fn full() -> Tracker {
    let tracker = Tracker::start_with(|config| {
        (config.limit_loopback, config.connections.new_per_network) = (true, 1);
    })
    .await;
    drop(TcpStream::connect(tracker.address).unwrap());
    tracker
}

/// A program at a tracker's address that answers every connection with this object in plaintext.
async fn answering(answer: Value) -> std::net::SocketAddr {
    let listener = Listener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let mut connection = Connection::new(socket, 4096);
            // The client may have closed the connection.
            let _ = connection.send(&answer).await;
            connection.close().await;
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_tracker_names_its_limit_and_the_wait() {
    let tracker = full().await;
    let data = tempfile::tempdir().unwrap();
    let mut ana = Screen::start(&flags(tracker.address, data.path()), &[], 24, 100);
    ana.shows("does not let you in now");
    ana.shows("new connections from your network in 10 minutes: 1, the most that there may be.");
    ana.shows("they may be somebody else's");
    assert_eq!(ana.end(), 1);
    assert!(!ana.text().contains("start one"), "{}", ana.text());
    let end = Piped::bot(tracker.address, data.path(), "ana", true).end();
    assert_eq!((end.status, &json(&end.stdout[0])["code"]), (Some(1), &object!("BUSY")), "{end:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn control_another_answer_in_plaintext_is_no_tracker() {
    let data = tempfile::tempdir().unwrap();
    for answer in [
        object!({"status": "ERROR", "msg": "no"}),
        object!({"status": "ERROR", "msg": "wrong name or password", "code": "INVALID_CREDENTIALS"}),
        object!({"status": "OK", "msg": "welcome"}),
    ] {
        let end = Piped::bot(answering(answer.clone()).await, data.path(), "ana", true).end();
        assert_eq!(json(&end.stdout[0])["code"], "NOT_A_TRACKER", "{answer}: {end:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn plaintext_of_another_program_steers_no_terminal() {
    let data = tempfile::tempdir().unwrap();
    let msg = format!("\u{1b}[2J\nfull{}", "x".repeat(1000));
    let address = answering(object!({"status": "ERROR", "msg": msg, "code": "BUSY"})).await;
    let mut ana = Screen::start(&flags(address, data.path()), &[], 24, 80);
    ana.shows("It says: \\u{1b}[2J");
    ana.shows("they may be somebody else's");
    assert_eq!(ana.end(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_and_cut_connection_are_distinguished() {
    let mut tracker = Tracker::start().await;
    let way = Proxy::to(tracker.address).await;
    let data = tempfile::tempdir().unwrap();
    let mut bot = Piped::bot(way.address, data.path(), "robot", true);
    let folder = tempfile::tempdir().unwrap();
    let mut ana = Screen::user(tracker.address, folder.path(), "ana", 24, 100);
    bot.event("logged_in");
    way.cut();
    let lost = bot.until(|line| json(line)["state"] == "lost");
    assert!(["CLOSED", "RESET"].contains(&json(&lost)["reason"].as_str().unwrap()), "{lost}");
    bot.until(|line| json(line)["state"] == "connected");
    tracker.down().await;
    let lost = bot.until(|line| json(line)["state"] == "lost");
    assert_eq!(json(&lost)["reason"], "STOPPED");
    ana.shows("*** the tracker is out of reach, it was stopped: talk goes on, looking for it");
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_connection_is_reported_as_such() {
    let mut tracker = Tracker::start().await;
    tracker.down().await;
    let data = tempfile::tempdir().unwrap();
    let end = Piped::bot(tracker.address, data.path(), "ana", true).end();
    assert!(end.stderr[0].contains("nothing listens there"), "{end:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_tracker_another_address_is_prompted_for() {
    let network = match Network::of(1) {
        Ok(network) => network,
        Err(why) if env::var_os("NAMESPACES").is_some() => panic!("no network namespaces: {why}"),
        Err(why) => {
            // Written directly, because `eprintln!` shows nothing if the test passes.
            let skipped = format!("skipped, for there are no network namespaces here: {why}\n");
            return stderr().write_all(skipped.as_bytes()).unwrap();
        }
    };
    let (data, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let folder = ["--data".to_owned(), data.path().to_str().unwrap().to_owned()];
    let mut ana = Screen::start_elsewhere(&network.command_on(0), &folder, &[]);
    ana.shows("no tracker answers at 127.0.0.1:6060: nothing listens there");
    ana.shows("start this peer with --host");
    ana.shows("Address of the tracker, HOST:PORT (empty ends):");
    ana.line("nonsense");
    ana.shows("an address is HOST:PORT");
    // The port is free, because the network namespace is new.
    let tracker = "127.0.0.1:7070".parse().unwrap();
    let mut host = Piped::bot_elsewhere(network.command_on(0), tracker, other.path(), "bob", &["--host"]);
    host.event("logged_in");
    ana.line("127.0.0.1:7070");
    ana.creates_account("ana");
    ana.line("/quit");
    assert_eq!(ana.end(), 0);
    // The next start, also in pipes, uses the typed address.
    let in_pipes = |folder: &[String]| {
        let mut entering = network.command_on(0);
        entering.arg(env!("CARGO_BIN_EXE_peer"));
        let flags = folder.iter().map(String::as_str).chain(["--username", "ana", "--output", "json"]);
        let flags: Vec<_> = flags.map(str::to_owned).collect();
        Piped::start_as(entering, &flags, Some(PASSWORD))
    };
    let mut again = in_pipes(&folder);
    again.event("logged_in");
    again.line("/quit");
    assert_eq!(again.end().status, Some(0));
    // The controls: a flag takes precedence, and if nothing was typed, a program in pipes asks for nothing.
    let default = ["--tracker".to_owned(), "127.0.0.1:6060".to_owned()];
    let end = in_pipes(&[folder.as_slice(), default.as_slice()].concat()).end();
    assert_eq!(end.status, Some(1), "{end:?}");
    let elsewhere = tempfile::tempdir().unwrap();
    let end = in_pipes(&["--data".to_owned(), elsewhere.path().to_str().unwrap().to_owned()]).end();
    assert_eq!(end.status, Some(1), "{end:?}");
}
