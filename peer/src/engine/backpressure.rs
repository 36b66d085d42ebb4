//! Backpressure on the author of messages. Pure.
//!
//! A fast author waits for recipients that keep reading, so that the outbox stays short. The wait is bounded: a slow
//! recipient must not hold up the author's commands.
//!
//! Example: after every 500 messages the history counts the messages that wait for each recipient. If 2,000 or more wait
//! for a linked recipient, the author's next message waits until fewer do: at most 1 s while the recipient takes none,
//! and at most 10 s in all. Then 500 messages pass without a wait.

use std::collections::BTreeSet;

use commons::names::Username;
use tokio::time::Instant;

use crate::limits::{BACKPRESSURE_MAX, BACKPRESSURE_MESSAGES, BACKPRESSURE_STRIDE, BACKPRESSURE_WAIT};

/// The recipients that lag, and the wait of the author for them.
#[derive(Debug, Default)]
pub(in crate::engine) struct Backpressure {
    /// The number of messages since the last count.
    written: usize,
    is_checking: bool,
    /// The recipients with too many waiting messages.
    behind: BTreeSet<Username>,
    /// The number of messages that pass freely after a wait that took too long.
    free: usize,
    /// The last time at which such a recipient took a message.
    progress: Option<Instant>,
}

impl Backpressure {
    /// Counts a message. Returns whether the history must count the messages that wait.
    pub(in crate::engine) fn note_written(&mut self) -> bool {
        self.free = self.free.saturating_sub(1);
        self.written += 1;
        let is_due = self.written >= BACKPRESSURE_STRIDE && !self.is_checking;
        if is_due {
            (self.written, self.is_checking) = (0, true);
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
        let is_behind = recipients.iter().any(|user| self.behind.contains(user) && is_linked(user));
        if self.free > 0 || !is_behind {
            return None;
        }
        let since = *since.get_or_insert(now);
        let progress = self.progress.map_or(since, |progress| progress.max(since));
        let until = (progress + BACKPRESSURE_WAIT).min(since + BACKPRESSURE_MAX);
        if now < until {
            return Some(until);
        }
        self.free = BACKPRESSURE_STRIDE;
        None
    }

    /// Applies the number of messages that wait for each recipient.
    pub(in crate::engine) fn checked(&mut self, waiting: &[(Username, usize)]) {
        self.is_checking = false;
        let behind = waiting.iter().filter(|(_, messages)| *messages >= BACKPRESSURE_MESSAGES);
        self.behind = behind.map(|(user, _)| user.clone()).collect();
    }

    /// Notes that a recipient took a message. Returns whether the history must count again.
    pub(in crate::engine) fn on_delivery(&mut self, to: &Username, now: Instant) -> bool {
        if !self.behind.contains(to) {
            return false;
        }
        self.progress = Some(now);
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
            (1..BACKPRESSURE_STRIDE).all(|_| !backpressure.note_written()) && backpressure.note_written()
        );
        backpressure.checked(&[(bob.clone(), BACKPRESSURE_MESSAGES - 1)]);
        assert_eq!(backpressure.must_wait(&mut None, &recipients, |_| true, start), None);
        backpressure.checked(&[(bob.clone(), BACKPRESSURE_MESSAGES)]);
        assert_eq!(backpressure.must_wait(&mut None, &recipients, |_| false, start), None, "bob is away");
        let mut now = start;
        // Bob takes a message again and again, but never enough of them.
        while backpressure.must_wait(&mut since, &recipients, |_| true, now).is_some() {
            assert!(now < start + BACKPRESSURE_MAX);
            now += Duration::from_millis(100);
            backpressure.on_delivery(&bob, now);
            backpressure.checked(&[(bob.clone(), BACKPRESSURE_MESSAGES)]);
        }
        assert!(now >= start + BACKPRESSURE_MAX);
        for _ in 0..BACKPRESSURE_STRIDE {
            assert_eq!(backpressure.must_wait(&mut None, &recipients, |_| true, now), None);
            backpressure.note_written();
        }
        let until = backpressure.must_wait(&mut None, &recipients, |_| true, now);
        assert_eq!(until, Some(now + BACKPRESSURE_WAIT), "a recipient that takes nothing");
    }

    #[tokio::test]
    async fn message_elsewhere_does_not_prolong_a_wait() {
        let (bob, carla) = (Username::parse("bob").unwrap(), Username::parse("carla").unwrap());
        let start = Instant::now();
        let (mut backpressure, mut since) = (Backpressure::default(), None);
        backpressure.checked(&[(bob.clone(), BACKPRESSURE_MESSAGES)]);
        let mut now = start;
        while backpressure.must_wait(&mut since, std::slice::from_ref(&bob), |_| true, now).is_some() {
            assert!(now < start + BACKPRESSURE_MAX, "the wait began again");
            now += BACKPRESSURE_WAIT / 2;
            backpressure.on_delivery(&bob, now);
            assert_eq!(backpressure.must_wait(&mut None, std::slice::from_ref(&carla), |_| true, now), None);
        }
        assert!(now >= start + BACKPRESSURE_MAX, "bob takes messages");
    }
}
