//! A rate limiter for dials to addresses that only the tracker has announced. Pure: time is an argument.
//!
//! A tracker can announce another address at every moment. So at most [`DIALS_MAX`] such dials are made in any
//! [`DIALS_TIME`].

use std::collections::VecDeque;

use tokio::time::Instant;

use crate::limits::{DIALS_MAX, DIALS_TIME};

/// Times of the recent dials, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct DialLimiter {
    recent: VecDeque<Instant>,
}

impl DialLimiter {
    /// Counts one more dial, or returns the time from which it is allowed.
    pub(crate) fn try_acquire(&mut self, now: Instant) -> Result<(), Instant> {
        while self.recent.front().is_some_and(|first| *first + DIALS_TIME <= now) {
            self.recent.pop_front();
        }
        match self.recent.front() {
            Some(first) if self.recent.len() >= DIALS_MAX => Err(*first + DIALS_TIME),
            _ => {
                self.recent.push_back(now);
                Ok(())
            }
        }
    }
}
