//! Colours: which thing has which, and whether there are any.

use std::env;

use colored::Color;
use colored::control::ShouldColorize;

/// Colours for names, each far from the others and readable on dark and on light; none is the yellow of the program or
/// the red of a failure.
const NAMES: [u8; 9] = [33, 37, 71, 66, 99, 107, 170, 173, 208];

/// Paints text, or leaves it plain.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    on: bool,
}

impl Style {
    /// Colours on a terminal unless `NO_COLOR` or its kin say otherwise, or it is a dumb one.
    #[must_use]
    pub fn from_env() -> Self {
        let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self { on: !dumb && ShouldColorize::from_env().should_colorize() }
    }

    /// No colours.
    #[must_use]
    pub fn plain() -> Self {
        Self { on: false }
    }

    fn style(self, codes: &str, text: &str) -> String {
        if self.on && !text.is_empty() { format!("\x1b[{codes}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn colour(self, colour: Color, text: &str) -> String {
        self.style(&colour.to_fg_str(), text)
    }

    /// What the program says.
    pub(crate) fn system(self, text: &str) -> String {
        self.colour(Color::Yellow, text)
    }

    /// What failed.
    pub(crate) fn failure(self, text: &str) -> String {
        self.colour(Color::Red, text)
    }

    /// What is private.
    pub(crate) fn private(self, text: &str) -> String {
        self.colour(Color::Magenta, text)
    }

    /// What is there to look up, not to read.
    pub(crate) fn faint(self, text: &str) -> String {
        self.style("2", text)
    }

    /// What matters.
    #[must_use]
    pub fn strong(self, text: &str) -> String {
        self.style("1", text)
    }

    /// A line that calls one by name.
    pub(crate) fn mention(self, text: &str) -> String {
        self.style("1;7", text)
    }

    /// A user's name or something of that user's, in the colour that this user always has.
    #[must_use]
    pub fn of_user(self, name: &str, text: &str) -> String {
        let colour = Color::AnsiColor(NAMES[steady_hash(name) % NAMES.len()]);
        self.colour(colour, text)
    }
}

/// FNV-1a: the same on every computer and in every version, so that a user has the same colour everywhere.
fn steady_hash(text: &str) -> usize {
    let hash =
        text.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_keeps_a_colour_and_plain_stays_plain() {
        let paint = Style { on: true };
        assert_eq!(paint.of_user("ana", "x"), paint.of_user("ana", "x"));
        assert_ne!(paint.of_user("ana", "x"), paint.of_user("bob", "x"));
        assert_ne!(paint.system("x"), "x");
        assert_eq!(Style::plain().failure("x"), "x");
    }
}
