//! Tests of a full disk: the program reports it, keeps every message that it showed as sent, and continues when there
//! is space again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
mod programs;

use common::Tracker;
use programs::{Piped, limit_files};

#[tokio::test(flavor = "multi_thread")]
async fn full_disk_refuses_messages_until_there_is_space() {
    let tracker = Tracker::start().await;
    let [ana_data, bob_data] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let mut ana = Piped::bot_with_a_small_disk(tracker.address, ana_data.path(), "ana");
    ana.line("/create sala");
    ana.event("room_entered");
    let mut bob = Piped::bot(tracker.address, bob_data.path(), "bob", true);
    bob.line("/join sala");
    ana.event("link");
    ana.line("before");
    assert_eq!(bob.event("message")["content"], "before");

    limit_files(ana.id(), Some(1));
    ana.line("no room for this");
    let refused = ana.event("error");
    assert_eq!(refused["code"], "STORAGE", "{refused}");
    bob.line("to a full disk");
    bob.event("sent");
    bob.line("@ana and in private");
    bob.event("sent");

    limit_files(ana.id(), None);
    let mut received = [(); 2].map(|()| ana.event("message")["content"].as_str().unwrap().to_owned());
    received.sort();
    assert_eq!(received, ["and in private", "to a full disk"], "they come again by themselves");
    bob.event("delivered");
    bob.event("delivered");
    ana.line("there is room");
    assert_eq!(ana.event("sent")["content"], "there is room");
    assert_eq!(bob.event("message")["content"], "there is room");
    let sent: Vec<_> = ana.passed().into_iter().filter(|line| line.contains("no room for this")).collect();
    assert!(!sent.iter().any(|line| line.contains(r#""event":"sent""#)), "{sent:?}");
}
