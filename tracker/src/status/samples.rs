//! The samples of the last hour, from which the charts of the status page are drawn.

use std::collections::VecDeque;
use std::time::Duration;

use crate::limits::{SAMPLE_INTERVAL, SAMPLES_MAX};
use crate::status::reading::Reading;
use crate::timing::{P99, TimingCounts};

/// The figures of one moment that have a chart.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sample {
    uptime: Duration,
    sessions: usize,
    requests: TimingCounts,
    cpu_seconds: f64,
    system_busy_seconds: f64,
    system_seconds: f64,
}

/// The samples of the last hour, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Samples(VecDeque<Sample>);

/// The figures between two samples.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Interval {
    /// The number of sessions at its end.
    pub(crate) sessions: f64,
    /// The number of requests in a second.
    pub(crate) requests_per_second: f64,
    /// The time from a request to its reply in seconds: that of 99 of 100 requests is shorter. Zero without any request.
    pub(crate) slowest_seconds: f64,
    /// The processor time of the tracker, as a share of one processor.
    pub(crate) cpu: f64,
    /// The processor time of the computer, as a share of all its processors.
    pub(crate) system_cpu: f64,
}

impl Sample {
    /// Takes a sample from a reading.
    pub(crate) fn of(reading: &Reading) -> Self {
        let process = reading.process.unwrap_or_default();
        Self {
            uptime: reading.uptime,
            sessions: reading.load.sessions,
            requests: reading.requests,
            cpu_seconds: process.cpu_seconds,
            system_busy_seconds: process.system_busy_seconds,
            system_seconds: process.system_seconds,
        }
    }

    /// The figures between an earlier sample and this one.
    pub(crate) fn since(&self, earlier: &Self) -> Interval {
        let seconds = self.uptime.saturating_sub(earlier.uptime).as_secs_f64();
        let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
        let requests = self.requests.since(&earlier.requests);
        Interval {
            sessions: self.sessions as f64,
            requests_per_second: share(requests.count() as f64, seconds),
            slowest_seconds: requests.quantile(P99).unwrap_or(0.0),
            cpu: share(self.cpu_seconds - earlier.cpu_seconds, seconds),
            system_cpu: share(
                self.system_busy_seconds - earlier.system_busy_seconds,
                self.system_seconds - earlier.system_seconds,
            ),
        }
    }
}

impl Samples {
    /// Adds a sample. The oldest one is dropped after an hour.
    pub(crate) fn push(&mut self, sample: Sample) {
        if self.0.len() >= SAMPLES_MAX {
            self.0.pop_front();
        }
        self.0.push_back(sample);
    }

    /// Returns the figures between each two samples, up to this moment. The first sample stands for the start. A sample
    /// of a moment ago is left out: the figures of so short a time would say little.
    pub(crate) fn intervals(&self, now: Sample) -> Vec<Interval> {
        let is_old = |sample: &&Sample| now.uptime.saturating_sub(sample.uptime) >= SAMPLE_INTERVAL / 2;
        let first = self.0.iter().take(1);
        let earlier: Vec<_> = first.chain(self.0.iter().skip(1).filter(is_old)).collect();
        let later = earlier.iter().copied().skip(1).chain([&now]);
        earlier.iter().zip(later).map(|(earlier, later)| later.since(earlier)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timing::Timing;

    #[test]
    fn intervals_are_between_two_samples() {
        let (timing, mut samples) = (Timing::default(), Samples::default());
        let sample = |seconds: u64, sessions: usize, timing: &Timing| Sample {
            uptime: Duration::from_secs(seconds),
            sessions,
            requests: timing.counts(),
            cpu_seconds: seconds as f64 / 4.0,
            ..Sample::default()
        };
        assert_eq!(samples.intervals(Sample::default()), []);
        samples.push(sample(0, 0, &timing));
        (0..20).for_each(|_| timing.note(Duration::from_millis(1)));
        samples.push(sample(10, 7, &timing));
        let now = Sample { sessions: 3, uptime: Duration::from_secs(16), ..sample(10, 0, &timing) };
        let [first, second] = samples.intervals(now)[..] else { panic!("two intervals") };
        assert_eq!(
            (first.sessions, first.requests_per_second, first.slowest_seconds, first.cpu),
            (7.0, 2.0, 0.001, 0.25)
        );
        assert_eq!((second.sessions, second.requests_per_second, second.slowest_seconds), (3.0, 0.0, 0.0));
        let a_moment_later = Sample { uptime: Duration::from_secs(11), ..now };
        assert_eq!(samples.intervals(a_moment_later).len(), 1);
    }

    #[test]
    fn only_samples_of_the_last_hour_are_stored() {
        let mut samples = Samples::default();
        for seconds in 0..=SAMPLES_MAX as u64 {
            samples.push(Sample { uptime: Duration::from_secs(seconds), ..Sample::default() });
        }
        assert_eq!((samples.0.len(), samples.0[0].uptime.as_secs()), (SAMPLES_MAX, 1));
    }
}
