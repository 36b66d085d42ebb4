//! How often something may happen: a bucket for what may come in bursts, a window where a number is meant to the letter.
//!
//! Pure: the time is an argument, and who may not yet is told how long to wait.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// A rule: so many at once, and one more each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    /// How many at once.
    pub(crate) burst: u32,
    /// The time in which one more becomes due.
    pub(crate) every: Duration,
}

/// What is left of a pace. In any span of time no more is taken than `burst` and one for each `every` in the span.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TokenBucket {
    /// When everything that was taken will have become due again: one number says it all.
    full_at: Option<Instant>,
}

/// The last times at which something happened, as many as may lie within a span.
#[derive(Debug, Clone, Default)]
pub(crate) struct SlidingWindow {
    times: VecDeque<Instant>,
}

impl TokenBucket {
    /// Whether one may be taken so that `rest` are left; otherwise how long to wait.
    pub(crate) fn may_take(&self, pace: Rate, rest: u32, now: Instant) -> Result<(), Duration> {
        let Some(full_at) = self.full_at else { return Ok(()) };
        let most = pace.every * pace.burst.saturating_sub(rest);
        match (full_at.max(now) + pace.every).saturating_duration_since(now + most) {
            Duration::ZERO => Ok(()),
            wait => Err(wait),
        }
    }

    /// Takes one, or tells how long to wait.
    pub(crate) fn take(&mut self, pace: Rate, now: Instant) -> Result<(), Duration> {
        self.may_take(pace, 0, now)?;
        self.full_at = Some(self.full_at.map_or(now, |full_at| full_at.max(now)) + pace.every);
        Ok(())
    }

    /// Puts one back that was taken for nothing.
    pub(crate) fn put_back(&mut self, pace: Rate) {
        self.full_at = self.full_at.and_then(|full_at| full_at.checked_sub(pace.every));
    }
}

impl SlidingWindow {
    /// Notes that it happens now, if it has not happened `most` times within `span`; otherwise how long to wait.
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

    /// Forgets the latest that was noted: it came to nothing.
    pub(crate) fn put_back(&mut self) {
        self.times.pop_back();
    }
}

/// A wait in words: whole seconds, never fewer than it takes.
pub(crate) fn in_seconds(wait: Duration) -> String {
    format!("{} s", wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
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
        // A long rest fills it to the brim and no higher.
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
    }
}
