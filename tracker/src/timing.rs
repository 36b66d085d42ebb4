//! A histogram of durations.
//!
//! It counts durations in buckets with fixed upper bounds, as Prometheus expects them. Two readings of one histogram
//! give the durations between them.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The upper bounds of the buckets in seconds. Longer durations are in a last bucket of their own.
pub(crate) const BOUNDS: [f64; 15] =
    [0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// The share of durations below the slowest in a hundred.
pub(crate) const P99: f64 = 0.99;

/// A histogram that many tasks fill.
#[derive(Debug, Default)]
pub(crate) struct Timing(Mutex<TimingCounts>);

/// A reading of a histogram.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct TimingCounts {
    /// The number of durations in each bucket, and above the last bound.
    pub(crate) buckets: [u64; BOUNDS.len() + 1],
    /// The sum of all durations in seconds.
    pub(crate) seconds: f64,
    /// The latest duration.
    pub(crate) latest: Duration,
}

impl Timing {
    /// Counts a duration.
    pub(crate) fn note(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let bucket = BOUNDS.partition_point(|bound| *bound < seconds);
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.buckets[bucket] += 1;
        counts.seconds += seconds;
        counts.latest = duration;
    }

    /// Reads the histogram.
    pub(crate) fn counts(&self) -> TimingCounts {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TimingCounts {
    /// The number of durations.
    pub(crate) fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Returns the counts of two histograms together. The latest duration is the longer of both.
    #[must_use]
    pub(crate) fn plus(mut self, other: Self) -> Self {
        self.buckets.iter_mut().zip(other.buckets).for_each(|(bucket, more)| *bucket += more);
        Self { seconds: self.seconds + other.seconds, latest: self.latest.max(other.latest), ..self }
    }

    /// Returns the counts since an earlier reading of the same histogram.
    #[must_use]
    pub(crate) fn since(mut self, earlier: &Self) -> Self {
        self.buckets
            .iter_mut()
            .zip(earlier.buckets)
            .for_each(|(bucket, then)| *bucket = bucket.saturating_sub(then));
        Self { seconds: self.seconds - earlier.seconds, ..self }
    }

    /// Returns the upper bound of the bucket that holds this share of the durations, in seconds. Returns `None` without
    /// any duration. Durations above the last bound count as the last bound.
    pub(crate) fn quantile(&self, share: f64) -> Option<f64> {
        let wanted = (self.count() as f64 * share).ceil().max(1.0) as u64;
        let mut below = 0;
        let bucket = self.buckets.iter().position(|count| {
            below += count;
            below >= wanted
        })?;
        Some(BOUNDS[bucket.min(BOUNDS.len() - 1)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_counted_by_bucket() {
        let timing = Timing::default();
        assert_eq!(timing.counts().quantile(0.5), None);
        for milliseconds in [1, 1, 1, 30, 20_000] {
            timing.note(Duration::from_millis(milliseconds));
        }
        let counts = timing.counts();
        assert_eq!((counts.count(), counts.latest.as_secs()), (5, 20));
        assert_eq!(
            [0.5, 0.6, 0.8, 1.0].map(|share| counts.quantile(share)),
            [0.001, 0.001, 0.05, 10.0].map(Some)
        );
        timing.note(Duration::from_micros(300));
        let later = timing.counts().since(&counts);
        assert_eq!((later.count(), later.quantile(P99)), (1, Some(0.0005)));
        assert_eq!(later.plus(counts).buckets, timing.counts().buckets);
    }
}
