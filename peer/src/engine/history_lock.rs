//! The lock of the history.
//!
//! The first look at the history in a run, and the first after [`HISTORY_LOCK_IDLE`] without activity, requires the password.
//! Pure: time is an argument.

use commons::protocol::with_tracker::ErrorCode;
use tokio::time::Instant;

use crate::api::error::CommandError;
use crate::limits::{HISTORY_LOCK_IDLE, HISTORY_LOCK_TRIES};

/// The state of the lock, which is locked at first.
#[derive(Debug, Default)]
pub(crate) struct HistoryLock {
    /// The time of the last activity while the history was unlocked; `None` if it is locked.
    open: Option<Instant>,
    wrong: usize,
}

impl HistoryLock {
    /// Records activity at this peer; locks the history if the last activity was too long ago.
    pub(crate) fn touch(&mut self, now: Instant) {
        let idle = |since: Instant| now.duration_since(since) >= HISTORY_LOCK_IDLE;
        self.open = self.open.filter(|since| !idle(*since)).map(|_| now);
    }

    /// Returns true if the next look at the history requires the password.
    pub(crate) fn is_locked(&self, now: Instant) -> bool {
        Self { open: self.open, wrong: self.wrong }.check(now).is_err()
    }

    /// Checks that the history is unlocked.
    pub(crate) fn check(&mut self, now: Instant) -> Result<(), CommandError> {
        self.touch(now);
        self.open.filter(|_| !self.is_exhausted()).map(|_| ()).ok_or_else(|| self.error())
    }

    /// Records an attempt to unlock the history, with a right or a wrong password.
    pub(crate) fn attempt(&mut self, right: bool, now: Instant) -> Result<(), CommandError> {
        if right && !self.is_exhausted() {
            *self = Self { open: Some(now), wrong: 0 };
            return Ok(());
        }
        self.wrong += 1;
        Err(self.error())
    }

    /// Returns true if too many passwords were wrong: no password unlocks the history any more.
    fn is_exhausted(&self) -> bool {
        self.wrong >= HISTORY_LOCK_TRIES
    }

    /// Returns the error that asks for the password, with the number of wrong ones that remain.
    pub(crate) fn error(&self) -> CommandError {
        match HISTORY_LOCK_TRIES.saturating_sub(self.wrong) {
            0 => CommandError::refused(ErrorCode::TooManyAttempts, "too many wrong passwords"),
            tries_left => CommandError::PasswordWanted { tries_left },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_look_and_one_after_a_pause_want_the_password() {
        let now = Instant::now();
        let mut history_lock = HistoryLock::default();
        assert_eq!(history_lock.check(now), Err(CommandError::PasswordWanted { tries_left: 3 }));
        assert_eq!(history_lock.attempt(true, now), Ok(()));
        let busy = now + HISTORY_LOCK_IDLE / 2;
        history_lock.touch(busy);
        assert_eq!(history_lock.check(busy + HISTORY_LOCK_IDLE / 2), Ok(()));
        assert_eq!(
            history_lock.check(busy + HISTORY_LOCK_IDLE * 2),
            Err(CommandError::PasswordWanted { tries_left: 3 })
        );
    }

    #[tokio::test]
    async fn three_wrong_passwords_are_too_many() {
        let now = Instant::now();
        let mut history_lock = HistoryLock::default();
        for tries_left in [2, 1] {
            assert_eq!(history_lock.attempt(false, now), Err(CommandError::PasswordWanted { tries_left }));
        }
        let exhausted = history_lock.attempt(false, now);
        assert_eq!(exhausted.as_ref().unwrap_err().code(), "TOO_MANY_ATTEMPTS");
        assert_eq!(history_lock.attempt(true, now), exhausted, "the right one comes too late");
        assert_eq!(history_lock.check(now), exhausted);
    }
}
