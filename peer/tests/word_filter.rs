//! The word filter at a terminal: a message with a word of the filter stays in the input, and one that arrives is folded.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
mod programs;

use common::Tracker;
use peer::api::Event;
use programs::{PASSWORD, Screen};

const CTRL_C: &str = "\x03";

#[tokio::test(flavor = "multi_thread")]
async fn filtered_message_stays_in_the_input_or_is_folded() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut bob = tracker.peer("bob").await;
    bob.create("sala").await;
    let mut ana = Screen::user(tracker.address, data.path(), "ana", 60, 120);
    ana.line("/join sala");
    ana.shows("sala · ● bob");
    bob.linked("ana").await;
    std::fs::write(data.path().join("filter.txt"), "# mine\nspam\n/(/\n").unwrap();

    ana.line("buy spam");
    ana.shows("your filter has spam: nothing was sent");
    ana.ends_with(&["sala · ● bob", "> buy spam"]);
    ana.keys(CTRL_C);
    ana.ends_with(&["sala · ● bob", ">"]);
    ana.line("buy ham");
    bob.receives("buy ham").await;
    let is_spam = |event: &Event| matches!(event, Event::Message { content, .. } if *content == *"buy spam");
    assert!(!bob.saw(is_spam));

    bob.say("SPAM, ana!").await;
    ana.shows("<bob> hidden by your filter, /show ");
    let text = ana.text();
    assert!(!text.contains("SPAM"), "{text}");
    let id = text.split("your filter, /show ").nth(1).unwrap().split_whitespace().next().unwrap();
    ana.line(&format!("/show {id}"));
    ana.shows("to look back");
    assert!(!ana.text().contains("SPAM"), "it is locked as the history is");
    ana.line(PASSWORD);
    ana.shows("<bob> SPAM, ana!");
    ana.line("/forget sala");
    ana.shows("Forget sala? [y/N]");
    ana.line("y");
    ana.shows("erased on this computer");
    ana.line(&format!("/show {id}"));
    ana.shows("No folded message has this ID.");
    ana.line("/filter");
    ana.shows("line 3 is left out: this is no regular expression");
}
