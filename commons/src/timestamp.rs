//! How the time of a message is written in JSON: RFC 3339 in UTC, always with three digits of milliseconds.
//!
//! Example: `2026-01-01T12:00:00.000Z`. All these texts have one length, so they sort as the times do.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};

/// Writes a time. Digits after the milliseconds are cut.
pub fn milliseconds<S: Serializer>(time: &DateTime<Utc>, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(&text(*time))
}

/// Writes a time, if there is one.
pub fn milliseconds_if_any<S: Serializer>(time: &Option<DateTime<Utc>>, out: S) -> Result<S::Ok, S::Error> {
    time.map(text).serialize(out)
}

fn text(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits_of_milliseconds() {
        let times = [(0, "00.000Z"), (120_000_000, "00.120Z"), (1_999_999, "00.001Z")];
        for (nanoseconds, end) in times {
            let time = DateTime::from_timestamp(0, nanoseconds).unwrap();
            let written = milliseconds(&time, serde_json::value::Serializer).unwrap();
            assert_eq!(written, format!("1970-01-01T00:00:{end}"));
            assert_eq!(milliseconds_if_any(&Some(time), serde_json::value::Serializer).unwrap(), written);
        }
    }
}
