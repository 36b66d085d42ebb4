//! Text that another person or program chose.
//!
//! The type cannot be printed, formatted or logged by accident. The terminal shows it only after the sanitizer has made
//! it safe.

use std::fmt;

use commons::names::RoomName;
use serde::{Deserialize, Serialize};

/// Chat text, or text from a tracker: it may contain terminal control sequences, hidden characters or look-alikes.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UntrustedText(String);

impl UntrustedText {
    /// Returns true if the text contains this lowercase word, in any case, with no letter or digit next to it.
    #[must_use]
    pub fn has_word(&self, word: &str) -> bool {
        let text = self.0.to_lowercase();
        let edge = |c: Option<char>| !c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        text.match_indices(word).any(|(at, found)| {
            edge(text[..at].chars().next_back()) && edge(text[at + found.len()..].chars().next())
        })
    }
}

impl UntrustedText {
    /// Returns the text as changed by a function; it stays untrusted.
    #[must_use]
    pub fn reworded(&self, reword: impl FnOnce(&str) -> String) -> Self {
        Self(reword(&self.0))
    }
}

impl From<String> for UntrustedText {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for UntrustedText {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl PartialEq<str> for UntrustedText {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

/// Hides the text: chat text stays out of logs.
impl fmt::Debug for UntrustedText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Untrusted({} bytes)", self.0.len())
    }
}

/// Text that others chose, or may have chosen: only the sanitizer makes it fit for a screen.
pub trait AsUntrusted {
    /// Returns the text itself: to compare, to measure or to send, never to show.
    fn expose(&self) -> &str;
}

impl AsUntrusted for UntrustedText {
    fn expose(&self) -> &str {
        &self.0
    }
}

/// A room name is printable, but may be a stack of combining marks.
impl AsUntrusted for RoomName {
    fn expose(&self) -> &str {
        self.as_str()
    }
}

impl AsUntrusted for str {
    fn expose(&self) -> &str {
        self
    }
}

impl AsUntrusted for String {
    fn expose(&self) -> &str {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_text_is_shown_and_all_of_it_is_sent() {
        let text = UntrustedText::from("canary");
        assert_eq!(format!("{text:?}"), "Untrusted(6 bytes)");
        assert_eq!(serde_json::to_string(&text).unwrap(), "\"canary\"");
    }

    #[test]
    fn word_is_found_only_as_a_whole_word() {
        for (text, found) in [("hey Ana!", true), ("banana", false), ("ana_b", false), ("", false)] {
            assert_eq!(UntrustedText::from(text).has_word("ana"), found, "{text}");
        }
    }
}
