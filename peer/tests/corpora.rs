//! The fuzzing corpora as regression tests: inputs that the fuzzer found interesting are tried again in every run.
//! `.fuzz/` holds the targets and the way to run them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    unreachable_pub,
    reason = "a test fails by panicking"
)]

#[path = "../../.fuzz/properties/display.rs"]
mod display;
#[path = "../../.fuzz/properties/replay.rs"]
mod replay;
#[path = "../../.fuzz/properties/screen.rs"]
mod screen;

use replay::replay;

#[test]
fn shown_text_is_safe() {
    replay(include_str!("../../.fuzz/corpora/display.txt"), display::hold);
}

#[test]
fn rows_of_others_fit_and_are_indented() {
    replay(include_str!("../../.fuzz/corpora/screen.txt"), screen::hold);
}
