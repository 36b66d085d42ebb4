//! The wait before a retry of a refused command, as text for people. Pure.
//!
//! The tracker sends it in milliseconds; long waits are shown in minutes or hours.

use std::time::Duration;

/// Greatest number of seconds, or of minutes, that is shown as such.
const COUNTED: u64 = 90;

/// Appends the wait to the text of a refusal, if the text does not contain it already. The wait is never read from the
/// text.
pub(crate) fn with_wait(words: String, retry_after: Option<Duration>) -> String {
    match retry_after.map(in_words) {
        Some(wait) if !shows(&words, &wait) => format!("{words} (try again in {wait})"),
        _ => words,
    }
}

/// Returns true if the text contains this wait, and not only as the end of a larger number.
fn shows(words: &str, wait: &str) -> bool {
    words.match_indices(wait).any(|(at, _)| !words[..at].ends_with(|before: char| before.is_ascii_digit()))
}

/// Returns the wait in a suitable unit, rounded up: it is never shorter than the real one.
fn in_words(wait: Duration) -> String {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let minutes = seconds.div_ceil(60);
    if seconds <= COUNTED {
        format!("{seconds} s")
    } else if minutes <= COUNTED {
        format!("{minutes} minutes")
    } else {
        format!("{} hours", minutes.div_ceil(60))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_is_shown_in_round_units_and_never_too_short() {
        for (milliseconds, expected) in [
            (1, "1 s"),
            (90_000, "90 s"),
            (90_001, "2 minutes"),
            (180_000, "3 minutes"),
            (3_600_001, "61 minutes"),
            (7_048_000, "2 hours"),
            (7_201_000, "3 hours"),
        ] {
            let words = with_wait("too fast".to_owned(), Some(Duration::from_millis(milliseconds)));
            assert_eq!(words, format!("too fast (try again in {expected})"));
        }
        let longest = with_wait(String::new(), Some(Duration::from_millis(u64::MAX)));
        assert!(longest.ends_with("hours)"), "{longest}");
    }

    #[test]
    fn wait_is_added_to_any_words_that_lack_it() {
        let with_seconds =
            |words: &str, seconds| with_wait(words.to_owned(), Some(Duration::from_secs(seconds)));
        assert_eq!(with_seconds("sachte", 7200), "sachte (try again in 2 hours)");
        assert_eq!(with_seconds("too fast: wait 3 s", 3), "too fast: wait 3 s");
        assert_eq!(with_seconds("too fast: wait 13 s", 3), "too fast: wait 13 s (try again in 3 s)");
        assert_eq!(with_wait("wait 7200 s".to_owned(), None), "wait 7200 s");
    }
}
