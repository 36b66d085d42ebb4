//! Rate limiters: a token bucket for actions that may come in bursts, and a sliding window for an exact maximum.
//!
//! The time is an argument, and a refused caller gets the time to wait. Example: a bucket with `burst: 3` and `every: 1
//! s` grants three actions at once. The fourth must wait one second. A window of 5 within 10 s never grants a sixth
//! action in any 10 s.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// The rate of a token bucket: a burst, and one more action per interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    /// The maximum number of actions at once.
    pub(crate) burst: u32,
    /// The time after which one more action is granted.
    pub(crate) every: Duration,
}

/// A token bucket. In any span of time, it grants at most `burst` actions and one more for each `every` in the span.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TokenBucket {
    /// The time at which the bucket is full again. This one value describes the whole state.
    full_at: Option<Instant>,
}

/// The times of the recent actions within a span.
#[derive(Debug, Clone, Default)]
pub(crate) struct SlidingWindow {
    times: VecDeque<Instant>,
}

impl TokenBucket {
    /// Checks whether one action may be taken so that `rest` actions are left. On an error, returns the time to wait.
    pub(crate) fn may_take(&self, pace: Rate, rest: u32, now: Instant) -> Result<(), Duration> {
        let Some(full_at) = self.full_at else { return Ok(()) };
        let most = pace.every * pace.burst.saturating_sub(rest);
        match (full_at.max(now) + pace.every).saturating_duration_since(now + most) {
            Duration::ZERO => Ok(()),
            wait => Err(wait),
        }
    }

    /// Takes one action. On an error, returns the time to wait.
    pub(crate) fn take(&mut self, pace: Rate, now: Instant) -> Result<(), Duration> {
        self.may_take(pace, 0, now)?;
        self.full_at = Some(self.full_at.map_or(now, |full_at| full_at.max(now)) + pace.every);
        Ok(())
    }

    /// Returns one action that was taken for nothing.
    pub(crate) fn put_back(&mut self, pace: Rate) {
        self.full_at = self.full_at.and_then(|full_at| full_at.checked_sub(pace.every));
    }
}

impl SlidingWindow {
    /// Records an action now, if there were fewer than `most` within `span`. On an error, returns the time to wait.
    pub(crate) fn take(&mut self, most: usize, span: Duration, now: Instant) -> Result<(), Duration> {
        while self.times.front().is_some_and(|first| now.saturating_duration_since(*first) >= span) {
            self.times.pop_front();
        }
        if self.times.len() >= most {
            let first = self.times.front().copied().unwrap_or(now);
            return Err((first + span).saturating_duration_since(now));
        }
        self.times.push_back(now);
        Ok(())
    }

    /// Removes the latest recorded action, because it had no effect.
    pub(crate) fn put_back(&mut self) {
        self.times.pop_back();
    }
}

/// The text of a wait in whole seconds, rounded up.
pub(crate) fn in_seconds(wait: Duration) -> String {
    format!("{} s", wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
}

/// A wait in whole milliseconds for programs, rounded up.
pub(crate) fn in_milliseconds(wait: Duration) -> u64 {
    u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_pace() {
        let pace = Rate { burst: 3, every: SECOND };
        let (mut bucket, start) = (TokenBucket::default(), Instant::now());
        let mut taken = 0;
        for tenth in 0..=100 {
            let now = start + SECOND / 10 * tenth;
            match bucket.take(pace, now) {
                Ok(()) => taken += 1,
                Err(wait) => {
                    assert!(bucket.may_take(pace, 0, now + wait).is_ok());
                    assert!(bucket.may_take(pace, 0, now + wait - SECOND / 1000).is_err());
                }
            }
        }
        assert_eq!(taken, 3 + 10);
        bucket.put_back(pace);
        assert_eq!(bucket.take(pace, start + SECOND * 10), Ok(()));
        // A long pause fills the bucket only up to its burst.
        let later = start + SECOND * 1000;
        assert_eq!((0..10).filter(|_| bucket.take(pace, later).is_ok()).count(), 3);
    }

    #[test]
    fn some_leave_a_rest_for_others() {
        let pace = Rate { burst: 3, every: SECOND };
        let (mut bucket, now) = (TokenBucket::default(), Instant::now());
        bucket.take(pace, now).unwrap();
        assert_eq!(bucket.may_take(pace, 2, now), Err(SECOND));
        assert_eq!(bucket.may_take(pace, 1, now), Ok(()));
        assert_eq!(bucket.may_take(pace, 0, now), Ok(()));
    }

    #[test]
    fn a_window_never_holds_more_than_it_may() {
        let (mut window, start, span) = (SlidingWindow::default(), Instant::now(), SECOND * 10);
        let taken: Vec<_> = (0..1000)
            .map(|tick| start + SECOND / 7 * tick)
            .filter(|now| window.take(5, span, *now).is_ok())
            .collect();
        assert!(taken.len() > 5 * 10);
        assert!(taken.windows(6).all(|six| six[5] - six[0] >= span));
        assert_eq!(window.times.len(), 5);
        let now = start + SECOND * 1000;
        for _ in 0..5 {
            window.take(5, span, now).unwrap();
        }
        assert_eq!(window.take(5, span, now + SECOND), Err(SECOND * 9));
        window.put_back();
        assert_eq!(window.take(5, span, now + SECOND), Ok(()));
    }

    #[test]
    fn waits_are_rounded_up() {
        assert_eq!(in_seconds(Duration::from_millis(200)), "1 s");
        assert_eq!(in_seconds(SECOND), "1 s");
        assert_eq!(in_seconds(Duration::from_millis(1001)), "2 s");
        assert_eq!(in_milliseconds(Duration::from_millis(1001)), 1001);
        assert_eq!(in_milliseconds(Duration::from_nanos(1)), 1);
    }
}
