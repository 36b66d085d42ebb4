//! The list of commands for people.
//!
//! It has two columns that fit one screen, or one row per command with its description.

use crate::frontends::slash_commands::{COMMANDS, Spec};
use crate::frontends::terminal::layout::{pad, width, wrap};
use crate::frontends::terminal::tables::{PIPE_COLUMNS, Tables};

/// The effect of each command, short enough for a column.
const SHORT: &[(&str, &str)] = &[
    ("/rooms", "rooms there are"),
    ("/peers", "who is online"),
    ("/create", "make a room"),
    ("/join", "enter a room"),
    ("/users", "who is in here"),
    ("/room", "its signed log"),
    ("/msg", "talk in private"),
    ("/switch", "open another"),
    ("/leave", "leave it"),
    ("/delete", "end your room"),
    ("/conversations", "all kept here"),
    ("/history", "what was said"),
    ("/search", "find messages"),
    ("/more", "what is older"),
    ("/show", "unfold one"),
    ("/filter", "your word filter"),
    ("/away", "tell others"),
    ("/back", "you are here"),
    ("/receipts", "who has yours"),
    ("/outbox", "what waits"),
    ("/withdraw", "take one back"),
    ("/export", "write to a file"),
    ("/forget", "erase it here"),
    ("/whoami", "your status"),
    ("/block", "block privately"),
    ("/unblock", "hear again"),
    ("/mute", "hide in rooms"),
    ("/unmute", "show again"),
    ("/accept-chat", "take a request"),
    ("/verify", "compare numbers"),
    ("/verified", "they were equal"),
    ("/accept", "take a new key"),
    ("/keys", "your keys"),
    ("/endorse", "vouch for a key"),
    ("/revoke", "take a key away"),
    ("/password", "change it"),
    ("/delete-account", "end it for ever"),
    ("/sessions", "for admins"),
    ("/admin", "for admins"),
    ("/help", "one in full"),
    ("/quit", "sign out"),
];

/// The command that stands below the two columns, which would need one more row for it.
const NAMED_BELOW: &str = "/sessions";

/// The rows below the two columns.
const BELOW: [&str; 2] = [
    "//text begins with a slash; @USER text goes to one; /sessions is for admins",
    "● online ○ offline ✓ verified ! key changed ~ not encrypted ↺ came late",
];

impl Tables<'_> {
    /// Renders the list of all commands, or one of them.
    pub(crate) fn help(&self, only: Option<&Spec>) -> Vec<String> {
        if only.is_none()
            && let Some(rows) = self.two_columns()
        {
            return rows;
        }
        let listed: Vec<&Spec> = only.map_or_else(|| COMMANDS.iter().collect(), |spec| vec![spec]);
        let left = listed.iter().map(|spec| width(&spec.usage())).fold(0, std::cmp::max);
        let mut rows = Vec::new();
        for spec in listed {
            let aliases = match spec.aliases {
                [] => String::new(),
                aliases => format!(" (also {})", aliases.join(", ")),
            };
            rows.extend(self.entry(&spec.usage(), left, &format!("{}{aliases}", spec.help)));
        }
        if only.is_none() {
            rows.extend(self.entry(
                "text",
                left,
                "sent to the open conversation; //text starts with a slash",
            ));
            rows.extend(self.entry("@USER text", left, "sent to one user, whatever is open"));
            rows.extend(self.entry(
                "marks",
                left,
                "● online ○ offline ✓ verified ! another key than before ~ not encrypted ↺ came late",
            ));
            rows.extend(self.entry(
                "keys",
                left,
                "Tab completes, Alt-Enter starts a new line, Up recalls, Ctrl-D ends",
            ));
        }
        rows
    }

    /// Renders all commands on one screen, if it is wide enough.
    fn two_columns(&self) -> Option<Vec<String>> {
        let left = COMMANDS.iter().map(|spec| width(&spec.usage())).fold(0, std::cmp::max);
        let right = SHORT.iter().map(|(_, short)| width(short)).fold(0, std::cmp::max);
        let cell = 2 + left + 2 + right;
        self.columns.filter(|columns| 2 * cell < *columns)?;
        let entry = |spec: &Spec| {
            let short = SHORT.iter().find(|(name, _)| *name == spec.name).map_or("", |(_, short)| short);
            let gap = " ".repeat(left - width(&spec.usage()) + 2);
            format!("  {}{gap}{}", self.paint.strong(&spec.usage()), pad(short, right))
        };
        let listed: Vec<_> = COMMANDS.iter().filter(|spec| spec.name != NAMED_BELOW).collect();
        let (first, second) = listed.split_at(listed.len().div_ceil(2));
        let row = |(n, spec): (usize, &&Spec)| {
            let beside = second.get(n).map_or_else(String::new, |spec| entry(spec));
            format!("{}{beside}", entry(spec)).trim_end().to_owned()
        };
        let below = BELOW.iter().map(|row| self.paint.faint(row));
        Some(first.iter().enumerate().map(row).chain(below).collect())
    }

    /// Renders the typed text on the left; its meaning stands beside it or, on a narrow screen, below.
    fn entry(&self, typed: &str, left: usize, meaning: &str) -> Vec<String> {
        const MEANING: usize = 24;
        let columns = self.columns.unwrap_or(PIPE_COLUMNS).saturating_sub(1);
        let beside = columns.saturating_sub(left + 4);
        if beside < MEANING {
            let below =
                wrap(meaning, columns.saturating_sub(6)).into_iter().map(|row| format!("      {row}"));
            return std::iter::once(format!("  {}", self.paint.strong(typed))).chain(below).collect();
        }
        let gap = " ".repeat(left.saturating_sub(width(typed)) + 2);
        let first = format!("  {}{gap}", self.paint.strong(typed));
        let next = " ".repeat(left + 4);
        let rows = wrap(meaning, beside).into_iter().enumerate();
        rows.map(|(n, row)| format!("{}{row}", if n == 0 { &first } else { &next })).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frontends::terminal::style::Style;

    /// Rows of a small screen above the status row and the input.
    const ROWS: usize = 22;

    fn tables(columns: Option<usize>) -> Tables<'static> {
        Tables { paint: Style::plain(), you: None, columns }
    }

    #[test]
    fn the_help_names_every_command() {
        let (all, screen) = (tables(None).help(None).join("\n"), tables(Some(80)).help(None).join("\n"));
        for spec in COMMANDS {
            assert!(all.contains(&spec.usage()) && all.contains(spec.help), "{}", spec.name);
            assert!(screen.contains(&spec.usage()), "{}", spec.name);
            assert!(tables(Some(80)).help(Some(spec))[0].contains(&spec.usage()), "{}", spec.name);
        }
    }

    #[test]
    fn every_command_has_a_short_text() {
        let (named, known) = (SHORT.iter().map(|(name, _)| *name), COMMANDS.iter().map(|spec| spec.name));
        assert!(named.eq(known), "in the same order");
    }

    #[test]
    fn the_help_fits_a_small_screen() {
        let rows = tables(Some(80)).help(None);
        assert!(rows.len() <= ROWS && rows.iter().all(|row| width(row) < 80), "{rows:#?}");
        assert!(tables(Some(60)).help(None).len() > ROWS, "the control: a row each is too much");
    }
}
