//! The rate limiter of one session's requests.
//!
//! It combines three token buckets: for all requests, for changes, and for RATE_LIMITED replies. The time is an
//! argument. Example: a client that ignores RATE_LIMITED replies uses up the third bucket. The session then reads
//! nothing from it until the next request is due.

use std::time::Duration;

use commons::protocol::with_tracker::TrackerRequest;
use tokio::time::Instant;

use crate::limits::{CHANGE_PACE, REFUSAL_PACE, REQUEST_PACE};
use crate::rate_limit::TokenBucket;

/// The token buckets of one session.
#[derive(Debug, Default)]
pub(crate) struct RequestLimiter {
    requests: TokenBucket,
    changes: TokenBucket,
    refusals: TokenBucket,
    read_paused_until: Option<Instant>,
}

impl RequestLimiter {
    /// Counts a request, or a frame that is no request (`None`). On an error, returns the time to wait before the next
    /// request.
    pub(crate) fn ask(&mut self, request: Option<&TrackerRequest>, now: Instant) -> Result<(), Duration> {
        let mut asked = self.requests.take(REQUEST_PACE, now);
        if asked.is_ok() && request.is_some_and(changes_something) {
            asked = self.changes.take(CHANGE_PACE, now);
        }
        asked.inspect_err(|wait| {
            if self.refusals.take(REFUSAL_PACE, now).is_err() {
                self.read_paused_until = Some(now + *wait);
            }
        })
    }

    /// The end of the current read pause, if there is one. A client that keeps sending without waiting is not read
    /// until then, so its data stays in its own send buffer.
    pub(crate) fn read_paused_until(&self, now: Instant) -> Option<Instant> {
        self.read_paused_until.filter(|until| *until > now)
    }
}

fn changes_something(request: &TrackerRequest) -> bool {
    use TrackerRequest::{ChangePassword, DeleteAccount, EndorseKey, RevokeKey};
    use TrackerRequest::{CreateRoom, DeleteRoom, JoinRoom, LeaveRoom};
    matches!(
        request,
        CreateRoom { .. }
            | JoinRoom { .. }
            | LeaveRoom { .. }
            | DeleteRoom { .. }
            | RevokeKey { .. }
            | EndorseKey { .. }
            | ChangePassword { .. }
            | DeleteAccount { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends a request a hundred times a second for a minute, except while reading is paused. Returns how many requests
    /// were granted and how many were refused.
    fn hammer(request: &TrackerRequest) -> (u32, u32) {
        let (mut rates, start) = (RequestLimiter::default(), Instant::now());
        let (mut granted, mut refused) = (0, 0);
        for tick in 0..6000 {
            let now = start + Duration::from_millis(10) * tick;
            if rates.read_paused_until(now).is_none() {
                match rates.ask(Some(request), now) {
                    Ok(()) => granted += 1,
                    Err(_) => refused += 1,
                }
            }
        }
        (granted, refused)
    }

    #[test]
    fn ten_requests_at_once_and_five_a_second() {
        let (granted, refused) = hammer(&TrackerRequest::Ping);
        assert!((300..=310).contains(&granted), "{granted}");
        assert!((10..=400).contains(&refused), "{refused} of 6000 were worth an answer");
    }

    #[test]
    fn five_changes_at_once_and_one_a_second() {
        let (granted, refused) = hammer(&TrackerRequest::JoinRoom { room: "sala".to_owned() });
        assert!((55..=65).contains(&granted), "{granted}");
        assert!((10..=400).contains(&refused), "{refused}");
    }

    #[test]
    fn who_waits_as_told_is_served() {
        let (mut rates, mut now) = (RequestLimiter::default(), Instant::now());
        for _ in 0..100 {
            if let Err(wait) = rates.ask(Some(&TrackerRequest::Ping), now) {
                now += wait;
                assert_eq!(rates.ask(Some(&TrackerRequest::Ping), now), Ok(()));
            }
            assert_eq!(rates.read_paused_until(now), None);
        }
    }
}
