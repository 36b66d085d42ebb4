//! Tests of the time that a refused login takes.
//! It must not reveal which names have an account. Known and unknown names take turns in one run, so that other load
//! affects both equally.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may")]

mod common;

use std::time::Duration;

use common::{TestTracker, WRONG};
use serde_json::json;
use tokio::time::Instant;
use tracker::config::PasswordCost;

/// The median time after which each of these names is refused with its code.
async fn medians<const N: usize>(tries: usize, names: [(&str, &str); N]) -> [Duration; N] {
    let tracker = TestTracker::start_with(|config| config.password_cost = PasswordCost::default()).await;
    tracker.user("ana").await;
    let mut took = [const { Vec::new() }; N];
    for _ in 0..tries {
        for (took, (name, code)) in took.iter_mut().zip(names) {
            let mut client = tracker.connect().await;
            let begun = Instant::now();
            let login = json!({"cmd": "LOGIN", "username": name, "password": WRONG, "port": 5000});
            assert_eq!(client.refused(login).await, code);
            took.push(begun.elapsed());
        }
    }
    took.map(|mut took| {
        took.sort_unstable();
        took[tries / 2]
    })
}

const KNOWN: (&str, &str) = ("ana", "INVALID_CREDENTIALS");
const UNKNOWN: (&str, &str) = ("bob", "INVALID_CREDENTIALS");
/// The tracker refuses this name before it checks a password.
const NO_NAME: (&str, &str) = ("Bob", "INVALID_NAME");

#[tokio::test]
async fn known_and_unknown_names_take_the_same_time() {
    let [known, unknown, unhashed] = medians(25, [KNOWN, UNKNOWN, NO_NAME]).await;
    assert!(known.abs_diff(unknown) < known / 2, "{known:?} and {unknown:?}");
    assert!(known.abs_diff(unhashed) > known / 2, "a missing hash is not seen: {known:?} and {unhashed:?}");
}

/// The same test with a stricter limit, for an idle machine: `cargo test -p tracker --test timing -- --ignored`.
#[tokio::test]
#[ignore = "2,000 tries of 20 ms each"]
async fn known_and_unknown_names_differ_by_less_than_two_ms() {
    let [known, unknown] = medians(1000, [KNOWN, UNKNOWN]).await;
    assert!(known.abs_diff(unknown) < Duration::from_millis(2), "{known:?} and {unknown:?}");
}
