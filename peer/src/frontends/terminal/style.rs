//! The colours of the screen.
//!
//! Each kind of text has one; a dumb terminal or `NO_COLOR` has none.

use std::env;

use colored::Color;
use colored::control::ShouldColorize;

/// Colours for names, each distinct from the others and readable on dark and on light. None is the yellow of the
/// program or the red of an error.
const NAMES: [u8; 9] = [33, 37, 71, 66, 99, 107, 170, 173, 208];

/// Paints text, or leaves it plain.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    on: bool,
}

impl Style {
    /// Uses colours on a terminal, unless it is a dumb one, or `NO_COLOR` or a similar variable forbids them.
    #[must_use]
    pub fn from_env() -> Self {
        let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self { on: !dumb && ShouldColorize::from_env().should_colorize() }
    }

    /// Uses no colours.
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

    /// Paints text of the program.
    pub(crate) fn system(self, text: &str) -> String {
        self.colour(Color::Yellow, text)
    }

    /// Paints an error text.
    pub(crate) fn failure(self, text: &str) -> String {
        self.colour(Color::Red, text)
    }

    /// Paints a private message.
    pub(crate) fn private(self, text: &str) -> String {
        self.colour(Color::Magenta, text)
    }

    /// Paints reference text that need not be read.
    pub(crate) fn faint(self, text: &str) -> String {
        self.style("2", text)
    }

    /// Paints important text.
    #[must_use]
    pub fn strong(self, text: &str) -> String {
        self.style("1", text)
    }

    /// Paints a message that names this user.
    pub(crate) fn mention(self, text: &str) -> String {
        self.style("1;7", text)
    }

    /// Paints a user's name, or text of that user, in the user's constant colour.
    #[must_use]
    pub fn of_user(self, name: &str, text: &str) -> String {
        let colour = Color::AnsiColor(NAMES[steady_hash(name) % NAMES.len()]);
        self.colour(colour, text)
    }
}

/// FNV-1a hash: it is the same on every computer and in every version, so a user has the same colour everywhere.
fn steady_hash(text: &str) -> usize {
    let hash =
        text.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_has_one_colour_and_plain_output_has_none() {
        let paint = Style { on: true };
        assert_eq!(paint.of_user("ana", "x"), paint.of_user("ana", "x"));
        assert_ne!(paint.of_user("ana", "x"), paint.of_user("bob", "x"));
        assert_ne!(paint.system("x"), "x");
        assert_eq!(Style::plain().failure("x"), "x");
    }
}
