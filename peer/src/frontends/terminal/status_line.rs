//! The status row above the input.
//!
//! It shows the open conversation, unread messages elsewhere, the state of the tracker, and the connected members.

use commons::names::Username;
use commons::snapshot::Member;

use crate::api::conversation::Conversation;
use crate::api::status::Status;
use crate::api::status::{TrackerState, Trust};
use crate::frontends::terminal::layout::{shorten, width};
use crate::frontends::terminal::sanitize::sanitize;
use crate::frontends::terminal::style::Style;

/// The content of the status row, for example `sala [equipe 2, @bob 1] (offline: tracker) (3 messages wait) · ● bob ○
/// carla`. It is cut to the screen when it is drawn, because the width may change until then.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StatusLine {
    pieces: Vec<(Tone, String)>,
}

/// The kind of a piece, which decides its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tone {
    Conversation,
    Unread,
    Failure,
    Faint,
    /// A member who is connected.
    Present,
}

impl StatusLine {
    pub(crate) fn new(status: &Status, members: &[Member], waiting: usize) -> Self {
        let name = status.open.as_ref().map_or_else(|| "lobby".to_owned(), shown);
        let mut pieces = vec![(Tone::Conversation, name)];
        if let Some(Conversation::Private(user)) = &status.open {
            pieces.extend(mark(status, user));
        }
        let unread: Vec<_> = status.conversations.iter().filter(|(_, count)| *count > 0).collect();
        if !unread.is_empty() {
            let counts =
                unread.iter().map(|(chat, count)| format!("{} {count}", shown(chat))).collect::<Vec<_>>();
            pieces.push((Tone::Unread, format!(" [{}]", counts.join(", "))));
        }
        if status.tracker == TrackerState::Lost {
            pieces.push((Tone::Failure, " (offline: tracker)".to_owned()));
        }
        match waiting {
            0 => {}
            1 => pieces.push((Tone::Faint, " (1 message waits)".to_owned())),
            messages => pieces.push((Tone::Faint, format!(" ({messages} messages wait)"))),
        }
        let others = members.iter().filter(|member| Some(&member.username) != status.username.as_ref());
        for (n, Member { username, connected, .. }) in others.enumerate() {
            pieces.push((Tone::Faint, if n == 0 { " · " } else { " " }.to_owned()));
            pieces.push(match connected {
                true => (Tone::Present, format!("● {username}")),
                false => (Tone::Faint, format!("○ {username}")),
            });
            pieces.extend(mark(status, username));
        }
        Self { pieces }
    }

    /// Renders one row of at most this many columns.
    pub(crate) fn row(&self, columns: usize, paint: Style) -> String {
        let mut row = String::new();
        let mut left = columns;
        for (tone, text) in &self.pieces {
            // A piece that does not fit ends the row, so that no piece follows a gap.
            if left == 0 {
                break;
            }
            let piece = shorten(text, left);
            row.push_str(&match tone {
                Tone::Conversation => paint.strong(&piece),
                Tone::Unread => paint.system(&piece),
                Tone::Failure => paint.failure(&piece),
                Tone::Faint => paint.faint(&piece),
                Tone::Present => paint.of_user(text.trim_start_matches("● "), &piece),
            });
            left = if piece == *text { left - width(text) } else { 0 };
        }
        row
    }
}

/// Returns the mark of a user's trust, if it is not the usual one.
fn mark(status: &Status, user: &Username) -> Option<(Tone, String)> {
    let (tone, mark) = match status.trust.get(user)? {
        Trust::Verified => (Tone::Faint, " ✓"),
        Trust::Unverified => return None,
        Trust::Changed => (Tone::Failure, " !"),
        Trust::Unencrypted => (Tone::Failure, " ~"),
    };
    Some((tone, mark.to_owned()))
}

/// Characters that the program itself uses around names.
const OURS: &[char] = &['●', '○', '✓', '~', '·', '@', '[', ']', '>', '<', '*', '/', '─', '…', '✗', '⚠', '"'];

/// Returns a conversation as it is typed, safe for the screen. A room name that could look like text of the program
/// stands in quotes.
pub(crate) fn shown(conversation: &Conversation) -> String {
    let name = sanitize(&conversation.to_string());
    match conversation {
        Conversation::Room(room) if room.as_str().contains(OURS) => {
            format!("\"{}\"", name.replace('"', "\\\""))
        }
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use commons::names::RoomName;

    use super::*;

    fn status() -> Status {
        let room = |name: &str| Conversation::Room(RoomName::parse(name).unwrap());
        let bob = Username::parse("bob").unwrap();
        Status {
            username: Username::parse("ana").ok(),
            open: Some(room("sala")),
            conversations: vec![(room("sala"), 0), (room("equipe"), 2), (Conversation::Private(bob), 1)],
            tracker: TrackerState::Lost,
            tracker_address: "127.0.0.1:6060".into(),
            tracker_key: None,
            listening: "127.0.0.1:5000".into(),
            trust: BTreeMap::new(),
            known_users: Vec::new(),
            known_rooms: Vec::new(),
        }
    }

    fn member(name: &str, connected: bool) -> Member {
        Member {
            username: Username::parse(name).unwrap(),
            connected,
            since: 1,
            keys: Vec::new(),
            endorsements: Vec::new(),
            in_menu: false,
        }
    }

    #[test]
    fn status_line_names_the_conversation_and_unread_others() {
        let members = [member("ana", true), member("bob", true), member("carla", false)];
        let line = StatusLine::new(&status(), &members, 3).row(80, Style::plain());
        assert_eq!(line, "sala [equipe 2, @bob 1] (offline: tracker) (3 messages wait) · ● bob ○ carla");
        let calm =
            Status { open: None, conversations: Vec::new(), tracker: TrackerState::Connected, ..status() };
        assert_eq!(StatusLine::new(&calm, &[], 0).row(80, Style::plain()), "lobby");
    }

    #[test]
    fn a_name_that_is_worth_more_or_less_than_usual_is_marked() {
        let trust = [
            ("bob", Trust::Verified),
            ("carla", Trust::Changed),
            ("dora", Trust::Unencrypted),
            ("eve", Trust::Unverified),
        ];
        let trust: BTreeMap<_, _> =
            trust.into_iter().map(|(name, trust)| (Username::parse(name).unwrap(), trust)).collect();
        let calm = Status { conversations: Vec::new(), tracker: TrackerState::Connected, trust, ..status() };
        let members = ["bob", "carla", "dora", "eve"].map(|name| member(name, name != "carla"));
        let line = StatusLine::new(&calm, &members, 0).row(80, Style::plain());
        assert_eq!(line, "sala · ● bob ✓ ○ carla ! ● dora ~ ● eve");
        let chat = Conversation::Private(Username::parse("bob").unwrap());
        let private = Status { open: Some(chat), ..calm };
        assert_eq!(StatusLine::new(&private, &[], 0).row(80, Style::plain()), "@bob ✓");
    }

    #[test]
    fn without_an_open_room_the_status_line_names_none() {
        let room = |name: &str| shown(&Conversation::Room(RoomName::parse(name).unwrap()));
        assert_eq!(room("sala de estar!"), "sala de estar!");
        assert_eq!(room("sala · ● bob ✓"), "\"sala · ● bob ✓\"");
        assert_eq!(room("a\" · ● bob"), "\"a\\\" · ● bob\"");
        assert_eq!(room("@bob"), "\"@bob\"");
    }

    #[test]
    fn stays_on_one_row_however_narrow() {
        let line = StatusLine::new(&status(), &[member("bob", true)], 1);
        for columns in 0..60 {
            let line = line.row(columns, Style::plain());
            assert!(width(&line) <= columns, "{columns}: {line}");
        }
        assert_eq!(StatusLine::new(&status(), &[], 0).row(11, Style::plain()), "sala [equi…");
    }
}
