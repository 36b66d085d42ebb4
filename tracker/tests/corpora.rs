//! A replay of the corpora that the fuzzer collected.
//! The folder `.fuzz/` holds the fuzz targets and the script that runs them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    unreachable_pub,
    reason = "a test fails by panicking"
)]

#[path = "../../.fuzz/properties/recovery.rs"]
mod recovery;
#[path = "../../.fuzz/properties/replay.rs"]
mod replay;

use replay::replay;

#[test]
fn files_are_recovered_or_named_as_damaged() {
    replay(include_str!("../../.fuzz/corpora/recovery.txt"), recovery::hold);
}
