//! The events of `docs/protocol.md`, byte for byte: what the page shows is what `--output json` prints.

#![allow(clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fmt::Debug;

use peer::api::{Answer, Event};
use serde::Serialize;
use serde::de::DeserializeOwned;

const PAGE: &str = include_str!("../../docs/protocol.md");

/// The lines of every block that opens with exactly these words; never none.
fn examples(words: &str) -> Vec<&'static str> {
    let opening = format!("```{words}");
    let mut lines = PAGE.lines();
    let mut found = Vec::new();
    while lines.by_ref().any(|line| line == opening) {
        found.extend(lines.by_ref().take_while(|line| *line != "```"));
    }
    assert!(!found.is_empty(), "no example of {words}");
    found
}

/// Reads a line, and wants the same line when it is written again.
fn read<T: Serialize + DeserializeOwned + Debug>(line: &str) -> T {
    let value: T = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    assert_eq!(serde_json::to_string(&value).ok().as_deref(), Some(line));
    value
}

/// One table: an exhaustive match that names every variant, and the list of those names.
macro_rules! variants {
    ($function:ident, $all:ident: $type:ty { $($pattern:pat => $name:literal),* $(,)? }) => {
        fn $function(value: &$type) -> &'static str {
            match value { $($pattern => $name),* }
        }
        const $all: &[&str] = &[$($name),*];
    };
}

variants!(event_name, EVENTS: Event {
    Event::LoggedIn { .. } => "logged_in",
    Event::RoomEntered { .. } => "room_entered",
    Event::RoomUpdate { .. } => "room_update",
    Event::RoomLeft { .. } => "room_left",
    Event::RoomDeleted { .. } => "room_deleted",
    Event::Link { .. } => "link",
    Event::Message { .. } => "message",
    Event::Sent { .. } => "sent",
    Event::Delivered { .. } => "delivered",
    Event::Undelivered { .. } => "undelivered",
    Event::Tracker { .. } => "tracker",
    Event::Error { .. } => "error",
});

variants!(answer_name, ANSWERS: Answer {
    Answer::Peers { .. } => "peers",
    Answer::Rooms { .. } => "rooms",
    Answer::Users { .. } => "users",
    Answer::WhoAmI { .. } => "who_am_i",
    Answer::Blocked { .. } => "blocked",
    // Neither is printed: their events tell all there is.
    Answer::Done => "done",
    Answer::Quit { .. } => "quit",
});

#[test]
fn every_event_is_printed_as_it_is_shown() {
    let seen: BTreeSet<_> = examples("json event").into_iter().map(|line| event_name(&read(line))).collect();
    assert_eq!(seen, EVENTS.iter().copied().collect());
}

#[test]
fn every_answer_is_printed_as_it_is_shown() {
    let seen: BTreeSet<_> = examples("json answer").into_iter().map(|line| answer_name(&read(line))).collect();
    assert_eq!(seen, ANSWERS.iter().copied().filter(|name| !["done", "quit"].contains(name)).collect());
}
