//! Figures as people read them, with their units.

use std::time::Duration;

/// A time in milliseconds, with two digits after the point at most.
pub(crate) fn milliseconds(seconds: f64) -> String {
    format!("{} ms", (seconds * 1e5).round() / 100.0)
}

/// A share in percent.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// A size in bytes, KiB or MiB.
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        0..10_240 => format!("{bytes} bytes"),
        10_240..10_485_760 => format!("{} KiB", bytes / 1024),
        _ => format!("{} MiB", bytes / (1024 * 1024)),
    }
}

/// The two largest units of a duration.
pub(crate) fn rough(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) if seconds.is_multiple_of(60) => format!("{minutes} min"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, ..) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_written_with_their_units() {
        assert_eq!([0, 20_480, 52_428_800].map(size), ["0 bytes", "20 KiB", "50 MiB"]);
        assert_eq!([0.001_25, 0.0, 2.5].map(milliseconds), ["1.25 ms", "0 ms", "2500 ms"]);
        assert_eq!(percent(0.1234), "12.3 %");
        let uptimes = [5, 65, 300, 3 * 3600 + 120, 90_000].map(|seconds| rough(Duration::from_secs(seconds)));
        assert_eq!(uptimes, ["5 s", "1 min 5 s", "5 min", "3 h 2 min", "1 d 1 h"]);
    }
}
