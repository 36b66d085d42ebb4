//! A rate limiter for questions to the tracker about unknown users. Pure: time is an argument.
//!
//! Anybody who can dial this peer can invent names, and each question counts against this user's rate limit. So at most
//! [`QUESTIONS_MAX`] questions are asked in any [`QUESTIONS_TIME`].
//!
//! Example: with 10 in 10 s, the eleventh question is refused until the first one is 10 s old.

use std::collections::VecDeque;

use tokio::time::Instant;

use crate::limits::{QUESTIONS_MAX, QUESTIONS_TIME};

/// Times of the recent questions, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct QuestionLimiter {
    asked: VecDeque<Instant>,
}

impl QuestionLimiter {
    /// Whether one more question may be asked now. If so, it is counted.
    pub(crate) fn try_acquire(&mut self, now: Instant) -> bool {
        while self.asked.front().is_some_and(|asked| *asked + QUESTIONS_TIME <= now) {
            self.asked.pop_front();
        }
        let may = self.asked.len() < QUESTIONS_MAX;
        if may {
            self.asked.push_back(now);
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn questions_are_bounded_in_any_period() {
        let (mut limiter, now) = (QuestionLimiter::default(), Instant::now());
        let asked = (0..99).filter(|_| limiter.try_acquire(now)).count();
        assert_eq!(asked, QUESTIONS_MAX);
        assert!(!limiter.try_acquire(now + QUESTIONS_TIME / 2));
        assert!(limiter.try_acquire(now + QUESTIONS_TIME));
    }
}
