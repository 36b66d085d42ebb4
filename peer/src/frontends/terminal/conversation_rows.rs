//! The stored conversations as a table. Pure.
//!
//! `/conversations` shows it.

use chrono::{DateTime, FixedOffset, Utc};
use commons::counted::counted;

use crate::api::past::{ConversationSummary, PastConversation};
use crate::frontends::terminal::scrollback::address;
use crate::frontends::terminal::tables::Tables;

impl Tables<'_> {
    /// Renders all conversations, the one with the newest message first; days are in the user's time zone.
    pub(crate) fn conversations(&self, all: &[ConversationSummary], zone: FixedOffset) -> Vec<String> {
        if all.is_empty() {
            return vec![self.title("no conversations yet: /join a room or /msg somebody")];
        }
        let day = |at: Option<DateTime<Utc>>| {
            at.map_or_else(|| "-".to_owned(), |at| at.with_timezone(&zone).format("%Y-%m-%d").to_string())
        };
        let row = |it: &ConversationSummary| {
            let state = match (it.ended, it.unread) {
                // A private chat cannot end: it is only closed on this device.
                (true, _) if matches!(it.of, PastConversation::With(_)) => "closed".to_owned(),
                (true, _) => "ended".to_owned(),
                (false, 0) => String::new(),
                (false, unread) => format!("{unread} unread"),
            };
            vec![
                address(&it.of, it.named.as_ref()),
                it.messages.to_string(),
                day(it.first),
                day(it.last),
                state,
            ]
        };
        let body: Vec<_> = all.iter().map(row).collect();
        let title = self.title(&counted(all.len(), "conversation", "conversations"));
        let head = ["CONVERSATION", "LINES", "FIRST", "LAST", ""];
        std::iter::once(title).chain(self.rows(&head, &body)).collect()
    }
}

#[cfg(test)]
mod tests {
    use chrono::Offset;
    use commons::names::{RoomName, Username};

    use super::*;
    use crate::frontends::terminal::style::Style;

    #[test]
    fn ended_and_unread_conversations_are_marked() {
        let sala = || RoomName::parse("sala").unwrap();
        let at = Some(DateTime::UNIX_EPOCH);
        let stored = |of, named: Option<&str>, unread, ended| ConversationSummary {
            of,
            named: named.map(|name| RoomName::parse(name).unwrap()),
            id: None,
            messages: 12,
            first: at,
            last: at,
            unread,
            ended,
        };
        let bob = PastConversation::With(Username::parse("bob").unwrap());
        let empty =
            ConversationSummary { messages: 0, first: None, last: None, ..stored(bob, None, 2, false) };
        let carla = PastConversation::With(Username::parse("carla").unwrap());
        let all = [
            stored(PastConversation::Room(sala()), None, 0, false),
            stored(PastConversation::Room(sala()), Some("sala#3c24"), 0, true),
            empty,
            stored(carla, None, 0, true),
        ];
        let tables = Tables { paint: Style::plain(), you: None, columns: Some(80) };
        let shown = [
            "4 conversations",
            "  CONVERSATION  LINES  FIRST       LAST",
            "  sala          12     1970-01-01  1970-01-01",
            "  sala#3c24     12     1970-01-01  1970-01-01  ended",
            "  @bob          0      -           -           2 unread",
            "  @carla        12     1970-01-01  1970-01-01  closed",
        ];
        assert_eq!(tables.conversations(&all, Utc.fix()), shown);
    }
}
