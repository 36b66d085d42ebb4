//! The last drawing of the input and of the line above it: how many rows it takes once the screen has another width.
//!
//! The line editor counts on as many rows as it has drawn. Most terminals break rows that have become too long, and so
//! the drawing begins further up than the editor believes; what is above the editor's rows would stay for ever. A few
//! terminals cut such rows off: going further up there would erase messages.

use crate::terminal::layout::{break_rows, width};

/// Whether this terminal breaks rows that are too long once it is narrower, by what the environment says of it. The
/// innermost program decides; where nothing tells, no: an old row that stays does less harm than a message that is gone.
pub(crate) fn rewraps(variable: impl Fn(&str) -> Option<String>) -> bool {
    let has = |name: &str| variable(name).is_some_and(|value| !value.is_empty());
    if has("TMUX") {
        return true;
    }
    if has("STY") || has("XTERM_VERSION") {
        return false;
    }
    const REWRAPPING: &[&str] =
        &["tmux", "alacritty", "foot", "xterm-kitty", "xterm-ghostty", "wezterm", "contour", "rxvt-unicode"];
    let term = variable("TERM").unwrap_or_default();
    let marks = [
        "VTE_VERSION",
        "KONSOLE_VERSION",
        "KITTY_WINDOW_ID",
        "WEZTERM_PANE",
        "ALACRITTY_WINDOW_ID",
        "GHOSTTY_RESOURCES_DIR",
        "ITERM_SESSION_ID",
        "WT_SESSION",
    ];
    let programs = ["iTerm.app", "Apple_Terminal", "WezTerm", "vscode", "ghostty"];
    REWRAPPING.iter().any(|name| term.starts_with(name))
        || marks.iter().any(|mark| has(mark))
        || variable("TERM_PROGRAM").is_some_and(|program| programs.contains(&program.as_str()))
}

/// What was drawn last.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Drawing {
    /// Columns of the screen; 0 where nothing was drawn.
    pub(crate) columns: usize,
    /// The line above the input.
    pub(crate) status: String,
    /// What stands before the input.
    pub(crate) prompt: String,
    /// The input as it is shown, and how much of it, in bytes, is before the cursor.
    pub(crate) input: String,
    pub(crate) cursor: usize,
    /// What is shown behind the input.
    pub(crate) hint: String,
}

impl Drawing {
    /// How many rows more than the editor believes are above the cursor, now that a screen of so many columns has broken
    /// what was drawn.
    pub(crate) fn rows_added(&self, columns: usize) -> usize {
        if self.columns == 0 || columns == 0 || columns >= self.columns {
            return 0;
        }
        let before = self.input.get(..self.cursor).unwrap_or(&self.input);
        let above = rows_of(&format!("{}{before}", self.prompt), self.columns);
        let all = rows_of(&format!("{}{}{}", self.prompt, self.input, self.hint), self.columns);
        let (cursor_row, cursor_column) = (above.len() - 1, above.last().map_or(0, |row| width(row)));
        let rows_above = std::iter::once(self.status.as_str()).chain(all.iter().map(String::as_str));
        let broken: usize = rows_above.take(1 + cursor_row).map(|row| rows_of(row, columns).len()).sum();
        let at_end = all.get(cursor_row).is_some_and(|row| width(row) == cursor_column);
        // A cursor behind a row that just fits stays beside it.
        let within = if at_end { cursor_column.saturating_sub(1) } else { cursor_column } / columns;
        (broken + within).saturating_sub(1 + cursor_row)
    }

    /// The column behind the input.
    pub(crate) fn end_of_input(&self) -> usize {
        let rows = rows_of(&format!("{}{}", self.prompt, self.input), self.columns.max(1));
        rows.last().map_or(0, |row| width(row)) % self.columns.max(1)
    }
}

/// The rows that a text takes on a screen of so many columns.
fn rows_of(text: &str, columns: usize) -> Vec<String> {
    match break_rows(text, 0, columns) {
        Some(broken) => broken.split('\n').map(str::to_owned).collect(),
        None => text.split('\n').map(str::to_owned).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawing(columns: usize, status: usize, input: usize, cursor: usize) -> Drawing {
        let (status, input) = ("s".repeat(status), "i".repeat(input));
        Drawing { columns, status, prompt: "> ".into(), input, cursor, hint: String::new() }
    }

    #[test]
    fn rows_that_the_terminal_breaks_are_counted() {
        assert_eq!(drawing(80, 40, 5, 5).rows_added(60), 0, "all fits");
        assert_eq!(drawing(80, 40, 5, 5).rows_added(30), 1, "the status line takes two rows");
        assert_eq!(drawing(80, 79, 5, 5).rows_added(20), 3);
        assert_eq!(
            drawing(80, 40, 50, 50).rows_added(30),
            2,
            "and the cursor is in the second row of the input"
        );
        assert_eq!(drawing(80, 40, 50, 3).rows_added(30), 1, "what is below the cursor does not count");
        // The input took two rows, of which the first is broken in three.
        assert_eq!(drawing(80, 10, 100, 100).rows_added(30), 2);
        assert_eq!(drawing(80, 10, 28, 28).rows_added(30), 0, "a row that just fits");
        assert_eq!(drawing(80, 10, 5, 5).rows_added(90), 0, "a wider screen joins nothing");
        assert_eq!(Drawing::default().rows_added(10), 0);
    }

    #[test]
    fn the_innermost_program_says_whether_rows_are_broken() {
        let told = |variables: &[(&str, &str)]| {
            rewraps(|name| {
                variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            })
        };
        assert!(told(&[("TMUX", "/tmp/x"), ("XTERM_VERSION", "XTerm(390)"), ("TERM", "screen")]));
        assert!(told(&[("TERM", "xterm-256color"), ("VTE_VERSION", "7600")]));
        assert!(told(&[("TERM", "foot")]) && told(&[("TERM_PROGRAM", "vscode")]));
        assert!(!told(&[("STY", "1.pts"), ("VTE_VERSION", "7600"), ("TERM", "screen")]));
        assert!(!told(&[("XTERM_VERSION", "XTerm(390)"), ("TERM", "xterm-256color")]));
        assert!(!told(&[("TERM", "xterm-256color")]) && !told(&[("TERM", "linux")]) && !told(&[]));
    }
}
