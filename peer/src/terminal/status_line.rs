//! The line above the input: where one is, what is unread elsewhere, whether the tracker is there, who is here.

use commons::snapshot::Member;

use crate::api::{Conversation, Status, TrackerState};
use crate::terminal::layout::{shorten, width};
use crate::terminal::paint::Paint;
use crate::terminal::safe_text::display_safe;

/// `sala [equipe 2, @bob 1] (offline: tracker) · ● bob ○ carla`, cut to one row of the screen.
pub(crate) fn status_line(status: &Status, members: &[Member], columns: usize, paint: Paint) -> String {
    let mut row = Row { text: String::new(), left: columns.saturating_sub(1) };
    let place = status.open.as_ref().map_or_else(|| "lobby".to_owned(), shown);
    row.push(&place, |text| paint.strong(text));
    let unread: Vec<_> = status.conversations.iter().filter(|(_, count)| *count > 0).collect();
    if !unread.is_empty() {
        let counts =
            unread.iter().map(|(chat, count)| format!("{} {count}", shown(chat))).collect::<Vec<_>>();
        row.push(&format!(" [{}]", counts.join(", ")), |text| paint.system(text));
    }
    if status.tracker == TrackerState::Lost {
        row.push(" (offline: tracker)", |text| paint.failure(text));
    }
    let others = members.iter().filter(|member| Some(&member.username) != status.username.as_ref());
    for (n, Member { username, connected, .. }) in others.enumerate() {
        row.push(if n == 0 { " · " } else { " " }, |text| paint.faint(text));
        let name = username.as_str();
        match connected {
            true => row.push(&format!("● {name}"), |text| paint.of_user(name, text)),
            false => row.push(&format!("○ {name}"), |text| paint.faint(text)),
        }
    }
    row.text
}

/// A conversation as it is typed, fit for the screen.
pub(crate) fn shown(conversation: &Conversation) -> String {
    display_safe(&conversation.to_string())
}

/// One row, which takes what fits.
struct Row {
    text: String,
    left: usize,
}

impl Row {
    fn push(&mut self, text: &str, paint: impl Fn(&str) -> String) {
        if self.left > 0 {
            let piece = shorten(text, self.left);
            // What does not fit ends the row, so that nothing stands behind a gap.
            self.left = if piece == text { self.left - width(text) } else { 0 };
            self.text.push_str(&paint(&piece));
        }
    }
}

#[cfg(test)]
mod tests {
    use commons::names::RoomName;
    use commons::names::Username;

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
            listening: "127.0.0.1:5000".into(),
            known_users: Vec::new(),
            known_rooms: Vec::new(),
        }
    }

    fn member(name: &str, connected: bool) -> Member {
        Member { username: Username::parse(name).unwrap(), connected, since: 1, keys: Vec::new() }
    }

    #[test]
    fn tells_where_one_is_and_what_happens_elsewhere() {
        let members = [member("ana", true), member("bob", true), member("carla", false)];
        let line = status_line(&status(), &members, 80, Paint::plain());
        assert_eq!(line, "sala [equipe 2, @bob 1] (offline: tracker) · ● bob ○ carla");
        let calm =
            Status { open: None, conversations: Vec::new(), tracker: TrackerState::Connected, ..status() };
        assert_eq!(status_line(&calm, &[], 80, Paint::plain()), "lobby");
    }

    #[test]
    fn stays_on_one_row_however_narrow() {
        for columns in 0..60 {
            let line = status_line(&status(), &[member("bob", true)], columns, Paint::plain());
            assert!(width(&line) < columns.max(1), "{columns}: {line}");
        }
        assert_eq!(status_line(&status(), &[], 12, Paint::plain()), "sala [equi…");
    }
}
