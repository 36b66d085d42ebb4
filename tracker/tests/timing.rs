//! How long a refusal takes tells nobody which names have an account. Both kinds are tried in turn within one run, so that
//! whatever else the machine does falls on both.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may")]

mod common;

use std::time::Duration;

use common::{TestTracker, WRONG};
use serde_json::json;
use tokio::time::Instant;
use tracker::config::PasswordCost;

/// How long each of these names takes to be refused with this code: the medians of so many tries.
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
/// Refused before a password is looked at.
const NO_NAME: (&str, &str) = ("Bob", "INVALID_NAME");

#[tokio::test]
async fn known_and_unknown_names_take_the_same_time_and_one_that_is_not_hashed_does_not() {
    let [known, unknown, unhashed] = medians(25, [KNOWN, UNKNOWN, NO_NAME]).await;
    assert!(known.abs_diff(unknown) < known / 2, "{known:?} and {unknown:?}");
    assert!(known.abs_diff(unhashed) > known / 2, "a missing hash is not seen: {known:?} and {unhashed:?}");
}

/// The same to the letter; it wants a machine that does nothing else:
/// `cargo test -p tracker --test timing -- --ignored`.
#[tokio::test]
#[ignore = "2,000 tries of 20 ms each"]
async fn known_and_unknown_names_differ_by_less_than_two_milliseconds_over_two_thousand_tries() {
    let [known, unknown] = medians(1000, [KNOWN, UNKNOWN]).await;
    assert!(known.abs_diff(unknown) < Duration::from_millis(2), "{known:?} and {unknown:?}");
}
