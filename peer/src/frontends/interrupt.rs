//! The rule for Ctrl-C. Pure: time is an argument.
//!
//! The first one clears the line, a second one on an empty line quits.

use std::time::Instant;

use crate::limits::QUIT_KEY_WAIT;

/// The state that tells a first Ctrl-C from a second.
#[derive(Default)]
pub(crate) struct Interrupt {
    first: Option<Instant>,
}

impl Interrupt {
    /// Handles a Ctrl-C. Returns true if the program ends: it is the second one within [`QUIT_KEY_WAIT`], and the line
    /// is empty.
    pub(crate) fn press(&mut self, line_is_empty: bool, now: Instant) -> bool {
        let second = self.first.is_some_and(|first| now.saturating_duration_since(first) <= QUIT_KEY_WAIT);
        self.first = Some(now);
        second && line_is_empty
    }

    /// Handles a line that was sent: the next Ctrl-C is the first again.
    pub(crate) fn reset(&mut self) {
        self.first = None;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_a_second_ctrl_c_in_time_on_an_empty_line_quits() {
        let now = Instant::now();
        let late = now + QUIT_KEY_WAIT + Duration::from_millis(1);
        let quits = |presses: &[(bool, Instant)]| {
            let mut interrupt = Interrupt::default();
            presses.iter().map(|(empty, at)| interrupt.press(*empty, *at)).last().unwrap()
        };
        assert!(!quits(&[(true, now)]), "one alone");
        assert!(quits(&[(false, now), (true, now + QUIT_KEY_WAIT)]));
        assert!(quits(&[(true, now), (true, now)]));
        assert!(!quits(&[(true, now), (true, late)]), "too late: it is the first again");
        assert!(!quits(&[(false, now), (false, now)]), "there is text again: it is cleared");
        assert!(quits(&[(true, now), (true, late), (true, late)]));
    }

    #[test]
    fn a_line_that_was_sent_makes_the_next_one_the_first() {
        let mut interrupt = Interrupt::default();
        interrupt.press(true, Instant::now());
        interrupt.reset();
        assert!(!interrupt.press(true, Instant::now()));
    }
}
