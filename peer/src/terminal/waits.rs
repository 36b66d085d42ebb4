//! A wait as people tell it: the tracker counts seconds.

/// Seconds, or minutes, up to which they are counted as such.
const COUNTED: u64 = 90;

/// Words that end in a wait of so many seconds, with the wait as people tell it.
pub(crate) fn in_words(text: &str) -> String {
    let told = text.rsplit_once("wait ").and_then(|(before, wait)| {
        let seconds = wait.strip_suffix(" s")?.parse().ok()?;
        Some(format!("{before}wait {}", told(seconds)))
    });
    told.unwrap_or_else(|| text.to_owned())
}

/// Never less than it is.
fn told(seconds: u64) -> String {
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
    fn a_wait_is_told_as_people_do_and_never_shorter_than_it_is() {
        for (wait, told) in [
            ("1 s", "1 s"),
            ("90 s", "90 s"),
            ("91 s", "2 minutes"),
            ("180 s", "3 minutes"),
            ("3601 s", "61 minutes"),
            ("7048 s", "2 hours"),
            ("7201 s", "3 hours"),
        ] {
            assert_eq!(in_words(&format!("too fast: wait {wait}")), format!("too fast: wait {told}"));
        }
        for other in ["wait", "wait  s", "wait a bit", "wait 99999999999999999999999 s", "100 s", ""] {
            assert_eq!(in_words(other), other);
        }
    }
}
