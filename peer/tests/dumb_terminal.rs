//! Tests of a terminal that cannot edit (TERM=dumb).
//! The terminal itself echoes the input, so the peer turns the echo off for secrets.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
mod programs;
mod proxy;

use common::Tracker;
use commons::net::socket::Listener;
use programs::{PASSWORD, Screen, flags};
use proxy::Proxy;

const DUMB: (&str, &str) = ("TERM", "dumb");

#[tokio::test(flavor = "multi_thread")]
async fn the_password_for_the_history_is_not_echoed() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut arguments = flags(tracker.address, data.path());
    arguments.extend(["--username", "ana", "--register"].map(Into::into));
    let mut ana = Screen::start(&arguments, &[DUMB, ("PEER_PASSWORD", PASSWORD)], 24, 80);
    ana.shows("Welcome, ana.");
    ana.line("/create sala");
    ana.shows("── sala ──");
    ana.line("a needle");
    // The control: an ordinary line is echoed, and shown once more as a message.
    ana.wait("the echo", |screen| screen.text().matches("a needle").count() == 2);
    ana.line("/search needle");
    ana.shows("3 tries left");
    ana.line("a wrong canary");
    ana.shows("2 tries left");
    ana.line(PASSWORD);
    ana.wait("what was found", |screen| screen.text().matches("needle").count() == 4);
    ana.line("shown again");
    ana.wait("the echo", |screen| screen.text().matches("shown again").count() == 2);
    assert!(!ana.text().contains("canary") && !ana.text().contains(PASSWORD), "{}", ana.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_echoed_between_two_questions_for_a_secret() {
    let tracker = Tracker::start().await;
    tracker.peer("ana").await.dies().await;
    let way = Proxy::to(tracker.address).await;
    let data = tempfile::tempdir().unwrap();
    let mut ana = Screen::start(&flags(way.address, data.path()), &[DUMB], 24, 80);
    ana.shows("Your name:");
    // A slow tracker: a user who types on meanwhile expects the next question.
    let silent = Listener::bind("127.0.0.1:0").await.unwrap();
    way.lead_to(silent.local_addr().unwrap());
    // The connection of the start would be reused for the sign-in.
    way.cut();
    assert!(ana.echoes(), "the control: a name is shown");
    ana.line("ana");
    ana.shows("Password:");
    ana.line("the first canary");
    silent.accept().await.unwrap();
    assert!(!ana.echoes(), "what is typed ahead would be shown");
    ana.line("the second canary");
    ana.keys("\x03");
    ana.end();
    ana.wait("the terminal back", |screen| screen.is_cooked());
    assert!(!ana.text().contains("canary"), "{}", ana.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_drops_the_line_and_a_second_one_quits() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut bob = tracker.peer("bob").await;
    bob.create("sala").await;
    let mut arguments = flags(tracker.address, data.path());
    arguments.extend(["--username", "ana", "--register"].map(Into::into));
    let mut ana = Screen::start(&arguments, &[DUMB, ("PEER_PASSWORD", PASSWORD)], 48, 80);
    ana.shows("Welcome, ana.");
    ana.line("/join sala");
    bob.linked("ana").await;
    let hints = |count: usize| {
        move |screen: &Screen| screen.text().matches("Press Ctrl-C again within 2 seconds").count() == count
    };
    ana.keys("half a message\x03");
    ana.wait("the hint", hints(1));
    ana.line("a whole one");
    bob.receives("a whole one").await;
    // A question ends without an answer, and the program goes on.
    ana.line("/history");
    ana.shows("your password, to look back");
    ana.keys("\x03");
    ana.shows("the history stays locked");
    ana.line("still here");
    bob.receives("still here").await;
    ana.keys("\x03");
    ana.wait("the hint", hints(2));
    ana.keys("\x03");
    assert_eq!(ana.end(), 0);
    ana.shows("Goodbye.");
}
