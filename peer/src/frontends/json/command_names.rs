//! The translation of slash commands in a text into their JSON names.
//!
//! A program that uses JSON commands reads errors and advice in its own terms.

use crate::api::schema::COMMANDS;
use crate::frontends::slash_commands::find;

/// The slash commands whose JSON name is a different one.
const OTHERWISE: [(&str, &str); 6] = [
    ("/msg", "say"),
    ("/more", "history"),
    ("/show", "history"),
    ("/accept-chat", "accept_chat"),
    ("/delete-account", "delete_account"),
    ("/admin", "admin_bans"),
];

/// Replaces each slash command by its JSON name in quotes: `/history` becomes `"history"`.
pub(crate) fn with_json_names(text: &str) -> String {
    text.split_inclusive(' ').map(named).collect()
}

fn named(word: &str) -> String {
    let is_name = |c: char| c.is_ascii_lowercase() || c == '-' || c == '/';
    let end = word.find(|c| !is_name(c)).unwrap_or(word.len());
    let (name, rest) = word.split_at(end);
    let known = find(name).filter(|_| name.starts_with('/')).and_then(|spec| {
        let other = OTHERWISE.iter().find(|(slash, _)| *slash == spec.name);
        let json = other.map_or_else(|| spec.name.trim_start_matches('/'), |(_, json)| json);
        COMMANDS.iter().find(|schema| schema.name == json)
    });
    known.map_or_else(|| word.to_owned(), |schema| format!("\"{}\"{rest}", schema.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frontends::slash_commands;

    #[test]
    fn slash_commands_become_json_names_and_nothing_else_changes() {
        for (text, expected) in [
            ("You are not in sala. /join sala enters it.", "You are not in sala. \"join\" sala enters it."),
            ("/leave, or /msg bob; /delete-account", "\"leave\", or \"say\" bob; \"delete_account\""),
            ("1/2 of /home/ana/history stays", "1/2 of /home/ana/history stays"),
            ("none, leave it", "none, leave it"),
        ] {
            assert_eq!(with_json_names(text), expected);
        }
    }

    #[test]
    fn every_slash_command_has_a_json_name() {
        for spec in slash_commands::COMMANDS {
            assert_ne!(with_json_names(spec.name), spec.name);
        }
    }
}
