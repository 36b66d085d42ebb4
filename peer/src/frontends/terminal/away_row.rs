//! The row that tells a user of the own away text, and the words for the text of others.

use crate::frontends::terminal::sanitize::sanitize;
use crate::untrusted::UntrustedText;

/// Returns the row after the user's own away text has changed.
pub(crate) fn away_row(away: Option<&UntrustedText>) -> String {
    match away {
        None => "You are back.".to_owned(),
        Some(text) => format!("You are {}. Your next message ends this, or /back.", away_words(text)),
    }
}

/// Returns `away`, with the text of the user if there is one.
pub(crate) fn away_words(text: &UntrustedText) -> String {
    if *text == *"" { "away".to_owned() } else { format!("away: {}", sanitize(text)) }
}
