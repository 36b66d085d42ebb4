//! The query of `/search`: words, and the filters `from:`, `in:`, `since:` and `until:`. Pure.
//!
//! For example, `from:bob in:sala meeting` finds bob's messages in the room sala that contain "meeting".

use chrono::{DateTime, Days, Local, NaiveDate, NaiveTime, Utc};
use commons::names::{RoomName, Username};

use crate::api::conversation::Conversation;

/// A search query as it is typed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct SearchQuery {
    /// The words that are no filter, separated by spaces.
    pub(crate) words: String,
    pub(crate) from: Option<Username>,
    pub(crate) conversation: Option<Conversation>,
    /// The earliest time, included.
    pub(crate) since: Option<DateTime<Utc>>,
    /// The latest time, excluded.
    pub(crate) until: Option<DateTime<Utc>>,
}

impl SearchQuery {
    /// Parses a query; a day begins and ends by this device's clock. An error says what is wrong.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut query = Self::default();
        let mut words = Vec::new();
        for token in tokens(text) {
            match token {
                Token::Word(word) => words.push(word),
                Token::Filter("from", name) => {
                    let name = name.strip_prefix('@').unwrap_or(name);
                    let user =
                        Username::parse(name).map_err(|error| format!("from: takes a user: {error}"))?;
                    query.from = Some(user);
                }
                Token::Filter("in", name) => query.conversation = Some(conversation(name)?),
                Token::Filter("since", day) => query.since = Some(time(day, "since", 0)?),
                // The named day is included.
                Token::Filter(_, day) => query.until = Some(time(day, "until", 1)?),
            }
        }
        query.words = words.join(" ");
        Ok(query)
    }
}

/// Parses a conversation as it is typed: `sala`, `@bob`.
fn conversation(name: &str) -> Result<Conversation, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("in: takes a room or @user: {error}");
    match name.strip_prefix('@') {
        Some(user) => Username::parse(user).map(Conversation::Private).map_err(|error| wrong(&error)),
        None => RoomName::parse(name).map(Conversation::Room).map_err(|error| wrong(&error)),
    }
}

/// Parses a time, or a day; a day becomes its start, moved by `days` days.
fn time(text: &str, filter: &str, days: u64) -> Result<DateTime<Utc>, String> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.to_utc());
    }
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
    let midnight =
        day.and_then(|day| day.checked_add_days(Days::new(days))).map(|day| day.and_time(NaiveTime::MIN));
    // If a change to summer time skips midnight, the day begins later.
    let start = midnight.and_then(|start| {
        let begins = |hours| (start + chrono::TimeDelta::hours(hours)).and_local_timezone(Local).earliest();
        begins(0).or_else(|| begins(1))
    });
    start.map(|start| start.to_utc()).ok_or_else(|| format!("{filter}: takes a day, as {filter}:2026-11-30"))
}

enum Token<'a> {
    Word(&'a str),
    Filter(&'static str, &'a str),
}

const FILTERS: [&str; 4] = ["from", "in", "since", "until"];

/// Splits a query into words and filters. Quotes keep a room's name together, and make a word of text that looks like a
/// filter.
fn tokens(text: &str) -> impl Iterator<Item = Token<'_>> {
    let mut rest = text.trim_start();
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let filter = FILTERS.into_iter().find(|name| {
            rest.strip_prefix(name).is_some_and(|behind| {
                behind
                    .strip_prefix(':')
                    .is_some_and(|value| !value.is_empty() && !value.starts_with(char::is_whitespace))
            })
        });
        let value = &rest[filter.map_or(0, |name| name.len() + 1)..];
        let (value, behind) = match value.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => value.split_at(value.find(char::is_whitespace).unwrap_or(value.len())),
        };
        rest = behind.trim_start();
        Some(filter.map_or(Token::Word(value), |name| Token::Filter(name, value)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> SearchQuery {
        SearchQuery::parse(text).unwrap()
    }

    #[test]
    fn filters_are_read_among_the_words() {
        let query = parsed("plan from:bob in:sala  for us");
        assert_eq!(query.words, "plan for us");
        assert_eq!(query.from, Username::parse("bob").ok());
        assert_eq!(query.conversation, RoomName::parse("sala").ok().map(Conversation::Room));
        let private = parsed("in:@bob from:@ana");
        assert_eq!(private.conversation, Username::parse("bob").ok().map(Conversation::Private));
        assert_eq!((private.from, private.words.as_str()), (Username::parse("ana").ok(), ""));
        let quoted = parsed(r#"in:"sala de estar" x"#);
        assert_eq!(quoted.conversation, RoomName::parse("sala de estar").ok().map(Conversation::Room));
        assert_eq!(quoted.words, "x");
    }

    #[test]
    fn quotes_make_a_word_of_a_filter_and_other_colons_are_words() {
        assert_eq!(
            parsed(r#""from:bob" http://x note:5 in: Größe"#).words,
            "from:bob http://x note:5 in: Größe"
        );
        assert_eq!(parsed(r#""open"#).words, "open");
        assert_eq!(parsed("  "), SearchQuery::default());
    }

    #[test]
    fn days_include_their_ends() {
        let day = parsed("since:2026-11-01 until:2026-11-01");
        let (since, until) = (day.since.unwrap(), day.until.unwrap());
        let hours = (until - since).num_hours();
        assert!((23..=25).contains(&hours), "{hours}");
        let exact = parsed("since:2026-11-01T10:00:00Z");
        assert_eq!(exact.since, Some("2026-11-01T10:00:00Z".parse().unwrap()));
    }

    #[test]
    fn invalid_filter_is_refused_with_an_example() {
        for (text, named) in [
            ("from:Bob!", "from: takes a user"),
            ("in:@Bob", "in: takes a room or @user"),
            ("since:yesterday", "since:2026-11-30"),
            ("until:2026-02-30", "until:2026-11-30"),
            ("until:+262142-12-31", "until:2026-11-30"),
        ] {
            assert!(SearchQuery::parse(text).unwrap_err().contains(named), "{text}");
        }
    }
}
