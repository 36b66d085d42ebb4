//! Exponential backoff with jitter.
//! Many peers that lose the same tracker must not all reconnect at the same moment.
//!
//! Example: with `first` = 0.5 s and `most` = 8 s the full waits are 0.5, 1, 2, 4, 8, 8 s. Each wait is a random time
//! between half of the full wait and all of it.

use std::time::Duration;

/// A sequence of waits: `first`, then doubled up to `most`, each shortened at random by up to a half.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    next: Duration,
}

impl Backoff {
    /// Starts at `first` and never waits longer than `most`.
    #[must_use]
    pub fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, next: first }
    }

    /// Returns the next wait and doubles the one after it.
    pub fn wait(&mut self) -> Duration {
        let full = self.next;
        self.next = (full * 2).min(self.most);
        full.mul_f64(0.5 + 0.5 * fastrand::f64())
    }

    /// Starts over with the first wait, because something has changed for the better.
    pub fn reset(&mut self) {
        self.next = self.first;
    }

    /// Notes the end of a connection that lasted for `held`. Only a connection that outlasted `most` resets the waits.
    /// So a server that accepts and closes at once is not contacted again and again.
    pub fn connection_ended(&mut self, held: Duration) {
        if held > self.most {
            self.reset();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_to_its_bound_and_starts_over() {
        let second = Duration::from_secs(1);
        let mut backoff = Backoff::new(second / 2, second * 8);
        for full in [0.5, 1.0, 2.0, 4.0, 8.0, 8.0] {
            let wait = backoff.wait().as_secs_f64();
            assert!((full / 2.0..=full).contains(&wait), "{wait} of {full}");
        }
        backoff.connection_ended(second * 9);
        assert!(backoff.wait() <= second / 2);
        backoff.reset();
        assert!(backoff.wait() <= second / 2);
    }

    #[test]
    fn connections_that_end_at_once_do_not_start_the_waits_over() {
        let second = Duration::from_secs(1);
        let mut backoff = Backoff::new(second / 2, second * 8);
        for _ in 0..6 {
            backoff.wait();
            backoff.connection_ended(second);
        }
        assert!(backoff.wait() >= second * 4);
    }
}
