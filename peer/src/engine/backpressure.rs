//! Backpressure on the author of messages. Pure.
//!
//! A fast author waits for recipients that keep reading, so that the outbox stays short. The wait is bounded: a slow
//! recipient must not hold up the author's commands.
//!
//! Example: after every 500 messages, or 1 MiB of text, the history counts the messages that wait for each recipient. If
//! 2,000 or more wait for a linked recipient, or a fifth of its quota, the author's next message waits until fewer do: at
//! most 1 s while the recipient takes none, and at most 10 s in all. Then 500 messages or 1 MiB pass without a wait. From
//! half of the quota on, the author waits up to 5 s after each message that the recipient took, and at most 60 s in all, so
//! that nothing is given up for a recipient that reads.

use std::collections::BTreeMap;

use commons::names::Username;
use tokio::time::Instant;

use crate::limits::{
    BACKPRESSURE_FULL_MAX, BACKPRESSURE_FULL_WAIT, BACKPRESSURE_MAX, BACKPRESSURE_MESSAGES,
    BACKPRESSURE_NEARLY_FULL, BACKPRESSURE_PERCENT, BACKPRESSURE_STRIDE, BACKPRESSURE_STRIDE_BYTES,
    BACKPRESSURE_WAIT,
};

/// The recipients that lag, and the wait of the author for them.
#[derive(Debug, Default)]
pub(in crate::engine) struct Backpressure {
    /// The number and the bytes of the messages since the last count.
    written: (usize, usize),
    is_checking: bool,
    /// The recipients with too many waiting messages.
    behind: BTreeMap<Username, Lag>,
    /// The number and the bytes of the messages that pass freely after a wait that took too long.
    free: (usize, usize),
}

/// A recipient with too many waiting messages.
#[derive(Debug, Default)]
struct Lag {
    /// Whether it uses so much of its quota that messages are soon given up.
    is_nearly_full: bool,
    /// The last time at which it took a message.
    progress: Option<Instant>,
}

impl Lag {
    /// Returns until when a message waits for this recipient.
    fn until(&self, since: Instant) -> Instant {
        let (wait, max) = match self.progress {
            Some(_) if self.is_nearly_full => (BACKPRESSURE_FULL_WAIT, BACKPRESSURE_FULL_MAX),
            _ => (BACKPRESSURE_WAIT, BACKPRESSURE_MAX),
        };
        let progress = self.progress.map_or(since, |progress| progress.max(since));
        (progress + wait).min(since + max)
    }
}

impl Backpressure {
    /// Counts a message of this length. Returns whether the history must count the messages that wait.
    pub(in crate::engine) fn note_written(&mut self, bytes: usize) -> bool {
        self.free = (self.free.0.saturating_sub(1), self.free.1.saturating_sub(bytes));
        self.written = (self.written.0 + 1, self.written.1 + bytes);
        let is_due = self.written.0 >= BACKPRESSURE_STRIDE || self.written.1 >= BACKPRESSURE_STRIDE_BYTES;
        let is_due = is_due && !self.is_checking;
        if is_due {
            (self.written, self.is_checking) = ((0, 0), true);
        }
        is_due
    }

    /// Returns until when a message to these recipients waits; `None` if it need not wait. `since` is the begin of this
    /// message's wait, so that messages of other conversations do not prolong it. `is_linked` returns whether messages are
    /// being sent to a recipient. Others do not count: their messages wait anyway.
    pub(in crate::engine) fn must_wait(
        &mut self,
        since: &mut Option<Instant>,
        recipients: &[Username],
        is_linked: impl Fn(&Username) -> bool,
        now: Instant,
    ) -> Option<Instant> {
        if self.free.0 > 0 && self.free.1 > 0 {
            return None;
        }
        let linked = recipients.iter().filter(|user| is_linked(user));
        let behind: Vec<_> = linked.filter_map(|user| self.behind.get(user)).collect();
        if behind.is_empty() {
            return None;
        }
        let since = *since.get_or_insert(now);
        let until = behind.iter().map(|lag| lag.until(since)).max();
        if until.is_some_and(|until| now < until) {
            return until;
        }
        self.free = (BACKPRESSURE_STRIDE, BACKPRESSURE_STRIDE_BYTES);
        None
    }

    /// Applies the number of messages that wait for each recipient, and the part of its quota, in percent, that each
    /// uses.
    pub(in crate::engine) fn checked(&mut self, waiting: &[(Username, usize)], used: &[(Username, usize)]) {
        self.is_checking = false;
        let many = waiting.iter().filter(|(_, messages)| *messages >= BACKPRESSURE_MESSAGES);
        let much = used.iter().filter(|(_, percent)| *percent >= BACKPRESSURE_PERCENT);
        let mut before = std::mem::take(&mut self.behind);
        for (user, _) in many.chain(much) {
            let progress = before.remove(user).and_then(|lag| lag.progress);
            let lag = self.behind.entry(user.clone()).or_default();
            lag.progress = lag.progress.or(progress);
        }
        for (user, percent) in used {
            if let Some(lag) = self.behind.get_mut(user) {
                lag.is_nearly_full = *percent >= BACKPRESSURE_NEARLY_FULL;
            }
        }
    }

    /// Notes that a recipient took a message. Returns whether the history must count again.
    pub(in crate::engine) fn on_delivery(&mut self, to: &Username, now: Instant) -> bool {
        let Some(lag) = self.behind.get_mut(to) else { return false };
        lag.progress = Some(now);
        !std::mem::replace(&mut self.is_checking, true)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn slow_recipient_holds_up_the_author_for_a_bounded_time() {
        let (bob, start) = (Username::parse("bob").unwrap(), Instant::now());
        let recipients = [bob.clone()];
        let (mut backpressure, mut since) = (Backpressure::default(), None);
        assert!(
            (1..BACKPRESSURE_STRIDE).all(|_| !backpressure.note_written(1)) && backpressure.note_written(1)
        );
        backpressure.checked(&[(bob.clone(), BACKPRESSURE_MESSAGES - 1)], &[]);
        assert_eq!(backpressure.must_wait(&mut None, &recipients, |_| true, start), None);
        backpressure.checked(&[(bob.clone(), BACKPRESSURE_MESSAGES)], &[]);
        assert_eq!(backpressure.must_wait(&mut None, &recipients, |_| false, start), None, "bob is away");
        let mut now = start;
        // Bob takes a message again and again, but never enough of them.
        while backpressure.must_wait(&mut since, &recipients, |_| true, now).is_some() {
            assert!(now < start + BACKPRESSURE_MAX);
            now += Duration::from_millis(100);
            backpressure.on_delivery(&bob, now);
            backpressure.checked(&[(bob.clone(), BACKPRESSURE_MESSAGES)], &[]);
        }
        assert!(now >= start + BACKPRESSURE_MAX);
        for _ in 0..BACKPRESSURE_STRIDE {
            assert_eq!(backpressure.must_wait(&mut None, &recipients, |_| true, now), None);
            backpressure.note_written(1);
        }
        let until = backpressure.must_wait(&mut None, &recipients, |_| true, now);
        assert_eq!(until, Some(now + BACKPRESSURE_WAIT), "a recipient that takes nothing");
    }

    #[tokio::test]
    async fn message_elsewhere_does_not_prolong_a_wait() {
        let (bob, carla) = (Username::parse("bob").unwrap(), Username::parse("carla").unwrap());
        let start = Instant::now();
        let (mut backpressure, mut since) = (Backpressure::default(), None);
        backpressure.checked(&[(bob.clone(), BACKPRESSURE_MESSAGES)], &[]);
        let mut now = start;
        while backpressure.must_wait(&mut since, std::slice::from_ref(&bob), |_| true, now).is_some() {
            assert!(now < start + BACKPRESSURE_MAX, "the wait began again");
            now += BACKPRESSURE_WAIT / 2;
            backpressure.on_delivery(&bob, now);
            assert_eq!(backpressure.must_wait(&mut None, std::slice::from_ref(&carla), |_| true, now), None);
        }
        assert!(now >= start + BACKPRESSURE_MAX, "bob takes messages");
    }

    /// Returns how long a message waits for bob, who uses a part of his quota and takes a message every 2 s.
    fn wait_for_slow_reader(percent: usize) -> Duration {
        let (bob, start) = (Username::parse("bob").unwrap(), Instant::now());
        let (mut backpressure, mut since, mut now) = (Backpressure::default(), None, start);
        backpressure.checked(&[], &[(bob.clone(), percent)]);
        backpressure.on_delivery(&bob, start);
        while backpressure.must_wait(&mut since, std::slice::from_ref(&bob), |_| true, now).is_some() {
            now += Duration::from_secs(1);
            if now.duration_since(start).as_secs().is_multiple_of(2) {
                backpressure.on_delivery(&bob, now);
                backpressure.checked(&[], &[(bob.clone(), percent)]);
            }
        }
        now - start
    }

    #[tokio::test]
    async fn reader_near_its_quota_slows_the_author_down() {
        assert_eq!(wait_for_slow_reader(BACKPRESSURE_NEARLY_FULL), BACKPRESSURE_FULL_MAX, "bounded");
        assert_eq!(wait_for_slow_reader(BACKPRESSURE_NEARLY_FULL - 1), BACKPRESSURE_WAIT, "the control");
        assert_eq!(wait_for_slow_reader(BACKPRESSURE_PERCENT - 1), Duration::ZERO);
    }

    #[tokio::test]
    async fn long_messages_are_counted_sooner_and_pass_in_smaller_numbers() {
        let (bob, now) = (Username::parse("bob").unwrap(), Instant::now());
        let recipients = [bob.clone()];
        let mut backpressure = Backpressure::default();
        let half = BACKPRESSURE_STRIDE_BYTES / 2;
        assert!(!backpressure.note_written(half) && backpressure.note_written(half));
        let full = [(bob, BACKPRESSURE_NEARLY_FULL)];
        backpressure.checked(&[], &full);
        // Bob takes nothing, so the wait is short.
        let mut since = None;
        let until = backpressure.must_wait(&mut since, &recipients, |_| true, now);
        assert_eq!(until, Some(now + BACKPRESSURE_WAIT));
        let now = now + BACKPRESSURE_WAIT;
        assert_eq!(backpressure.must_wait(&mut since, &recipients, |_| true, now), None);
        for _ in 0..2 {
            assert_eq!(backpressure.must_wait(&mut None, &recipients, |_| true, now), None);
            backpressure.note_written(half);
        }
        assert!(backpressure.must_wait(&mut None, &recipients, |_| true, now).is_some());
    }
}
