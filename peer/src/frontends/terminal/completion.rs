//! Completion of commands and known names with Tab.
//!
//! The names come from the state of the peer.

use commons::names::{RoomName, Username};

use crate::api::conversation::Conversation;
use crate::api::status::Status;
use crate::frontends::slash_commands::{ArgKind, COMMANDS, Spec, find};

/// The names to which Tab can complete.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Words {
    /// The names of users, without `@`.
    pub(crate) users: Vec<String>,
    /// The names of rooms.
    pub(crate) rooms: Vec<String>,
    /// The conversations that can be opened, as they are typed.
    pub(crate) conversations: Vec<String>,
}

/// The known names; they are converted to words only after a change.
#[derive(Default, PartialEq)]
pub(crate) struct Known {
    users: Vec<Username>,
    rooms: Vec<RoomName>,
    conversations: Vec<Conversation>,
}

impl Known {
    /// Returns the words for Tab, if they changed.
    pub(crate) fn changed_words(&mut self, status: &Status) -> Option<Words> {
        let now = Self {
            users: status.known_users.clone(),
            rooms: status.known_rooms.clone(),
            conversations: status.conversations.iter().map(|(chat, _)| chat.clone()).collect(),
        };
        if *self == now {
            return None;
        }
        *self = now;
        Some(Words {
            users: self.users.iter().map(Username::to_string).collect(),
            rooms: self.rooms.iter().map(RoomName::to_string).collect(),
            conversations: self.conversations.iter().map(Conversation::to_string).collect(),
        })
    }
}

/// Returns the start of the word before the cursor, and its possible completions.
#[must_use]
pub(crate) fn complete(before_cursor: &str, words: &Words) -> (usize, Vec<String>) {
    let fitting = |typed: &str, names: &mut dyn Iterator<Item = String>| -> Vec<String> {
        names.filter(|name| name.starts_with(typed)).collect()
    };
    let spaced = |name: &String| format!("{name} ");
    if let Some((name, _)) = before_cursor.split_once(' ').filter(|_| before_cursor.starts_with('/')) {
        let (start, typed) = (name.len() + 1, &before_cursor[name.len() + 1..]);
        let at = if typed.starts_with('@') { "@" } else { "" };
        let mut candidates: Box<dyn Iterator<Item = String>> = match find(name).map(|spec| spec.takes) {
            Some(ArgKind::Room) => Box::new(words.rooms.iter().cloned()),
            Some(ArgKind::User) if !typed.contains(' ') => {
                Box::new(words.users.iter().map(|user| format!("{at}{user} ")))
            }
            Some(ArgKind::Conversation) => Box::new(words.conversations.iter().cloned()),
            Some(ArgKind::Command) => Box::new(COMMANDS.iter().map(|spec| spec.name.to_owned())),
            _ => return last_word(before_cursor, words),
        };
        return (start, fitting(typed, &mut candidates));
    }
    if before_cursor.starts_with('/') {
        let name = |spec: &Spec| {
            if spec.arguments.is_empty() { spec.name.to_owned() } else { spaced(&spec.name.into()) }
        };
        return (0, fitting(before_cursor, &mut COMMANDS.iter().map(name)));
    }
    last_word(before_cursor, words)
}

/// Completes a user's name inside a message, with `@` or without.
fn last_word(before_cursor: &str, words: &Words) -> (usize, Vec<String>) {
    let start = before_cursor.rfind(char::is_whitespace).map_or(0, |space| space + 1);
    let typed = &before_cursor[start..];
    let (at, name) = typed.strip_prefix('@').map_or(("", typed), |name| ("@", name));
    if typed.is_empty() {
        return (start, Vec::new());
    }
    let users = words.users.iter().filter(|user| user.starts_with(name));
    (start, users.map(|user| format!("{at}{user} ")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tab_completes_commands_rooms_and_users() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let words = Words {
            users: names(&["ana", "bob"]),
            rooms: names(&["sala", "sala de estar"]),
            conversations: names(&["sala", "@bob"]),
        };
        for (before, start, found) in [
            ("/jo", 0, &["/join "][..]),
            ("/ro", 0, &["/rooms", "/room "]),
            ("/join sa", 6, &["sala", "sala de estar"]),
            ("/join sala d", 6, &["sala de estar"]),
            ("/msg b", 5, &["bob "]),
            ("/msg @b", 5, &["@bob "]),
            ("/msg bob a", 9, &["ana "]),
            ("/switch @", 8, &["@bob"]),
            ("/help /wh", 6, &["/whoami"]),
            ("@a", 0, &["@ana "]),
            ("hey bo", 4, &["bob "]),
            ("hey ", 4, &[]),
        ] {
            assert_eq!(complete(before, &words), (start, names(found)), "{before}");
        }
    }
}
