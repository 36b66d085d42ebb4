//! The fuzzing corpora as regression tests: inputs that the fuzzer found interesting are tried again in every run.
//! `.fuzz/` holds the targets and the way to run them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    unreachable_pub,
    reason = "a test fails by panicking"
)]

#[path = "../../.fuzz/properties/frames.rs"]
mod frames;
#[path = "../../.fuzz/properties/greetings.rs"]
mod greetings;
#[path = "../../.fuzz/properties/names.rs"]
mod names;
#[path = "../../.fuzz/properties/peer_messages.rs"]
mod peer_messages;
#[path = "../../.fuzz/properties/replay.rs"]
mod replay;
#[path = "../../.fuzz/properties/room_log.rs"]
mod room_log;
#[path = "../../.fuzz/properties/tracker_messages.rs"]
mod tracker_messages;
#[path = "../../.fuzz/properties/tracker_requests.rs"]
mod tracker_requests;

use replay::replay;

#[test]
fn frames_are_cut_the_same_however_they_come() {
    replay(include_str!("../../.fuzz/corpora/frames.txt"), frames::hold);
}

#[test]
fn requests_are_read_or_refused() {
    replay(include_str!("../../.fuzz/corpora/tracker_requests.txt"), tracker_requests::hold);
}

#[test]
fn frames_of_a_tracker_are_parsed_or_refused() {
    replay(include_str!("../../.fuzz/corpora/tracker_messages.txt"), tracker_messages::hold);
}

#[test]
fn frames_of_peers_are_parsed_or_refused() {
    replay(include_str!("../../.fuzz/corpora/peer_messages.txt"), peer_messages::hold);
}

#[test]
fn first_frame_is_a_greeting_or_an_error() {
    replay(include_str!("../../.fuzz/corpora/greetings.txt"), greetings::hold);
}

#[test]
fn names_are_taken_whole_or_refused_safely() {
    replay(include_str!("../../.fuzz/corpora/names.txt"), names::hold);
}

#[test]
fn room_log_keeps_its_rules_under_any_changes() {
    replay(include_str!("../../.fuzz/corpora/room_log.txt"), room_log::hold);
}
