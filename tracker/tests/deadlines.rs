//! Tests of the time limits for unauthenticated connections.
//! The clock is paused and jumps to the next timer.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may")]

mod common;

use std::time::Duration;

use common::TestTracker;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt};
use tokio::time::Instant;

fn about(took: Duration, seconds: u64) {
    let expected = Duration::from_secs(seconds);
    assert!(took >= expected && took < expected + Duration::from_secs(2), "{took:?} instead of {expected:?}");
}

#[tokio::test(start_paused = true)]
async fn silent_connection_is_closed_after_ten_seconds() {
    let tracker = TestTracker::start().await;
    let mut client = tracker.connect().await;
    let begun = Instant::now();
    assert_eq!(client.stream.read(&mut [0; 100]).await.unwrap(), 0);
    about(begun.elapsed(), 10);
}

#[tokio::test(start_paused = true)]
async fn endless_first_frame_is_closed_after_ten_seconds() {
    let tracker = TestTracker::start().await;
    let mut client = tracker.connect().await;
    let begun = Instant::now();
    client.send_bytes(b"{\"cmd\":").await;
    let mut line = String::new();
    client.stream.read_line(&mut line).await.unwrap();
    about(begun.elapsed(), 10);
    assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["code"], "NOT_LOGGED_IN");
    assert_eq!(client.stream.read(&mut [0; 100]).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn connection_without_sign_in_is_closed_after_thirty_seconds() {
    let tracker = TestTracker::start().await;
    let mut client = tracker.connect().await;
    let begun = Instant::now();
    assert_eq!(client.refused(json!({"cmd": "PING"})).await, "NOT_LOGGED_IN");
    let mut rest = String::new();
    client.stream.read_to_string(&mut rest).await.unwrap();
    about(begun.elapsed(), 30);
    assert_eq!(serde_json::from_str::<Value>(&rest).unwrap()["code"], "NOT_LOGGED_IN");
}
