//! The row above messages that were missed. Pure.
//!
//! For example: "3 people wrote 12 messages while you were away".

use commons::names::Username;

use crate::api::conversation::Conversation;
use crate::frontends::terminal::counted::counted;
use crate::frontends::terminal::status_line::shown;
use crate::frontends::terminal::style::Style;

/// The missed messages of a conversation; with no other authors, they are this user's own.
pub(crate) struct Absence<'a> {
    pub(crate) conversation: &'a Conversation,
    pub(crate) people: usize,
    pub(crate) messages: u64,
}

impl Absence<'_> {
    /// Returns the row; `here` is true for the open conversation.
    pub(crate) fn words(&self, here: bool) -> String {
        let messages =
            if self.messages == 1 { "1 message".to_owned() } else { format!("{} messages", self.messages) };
        let name = if here { String::new() } else { format!(" in {}", shown(self.conversation)) };
        let wrote = match self.conversation {
            _ if self.people == 0 => return format!("── you wrote {messages}{name} on another computer ──"),
            Conversation::Private(user) => format!("{user} wrote you {messages}"),
            Conversation::Room(_) => {
                format!("{} wrote {messages}{name}", counted(self.people, "person", "people"))
            }
        };
        format!("── {wrote} while you were away ──")
    }
}

/// Says that the screen was too slow for some notices.
pub(crate) fn lagged_row(paint: Style) -> String {
    paint.system("*** this screen was too slow for some notices; every message follows")
}

/// Says how many earlier messages of an author are missing here.
pub(crate) fn missing_row(paint: Style, messages: u64, from: &Username) -> String {
    let messages =
        if messages == 1 { "1 earlier message".to_owned() } else { format!("{messages} earlier messages") };
    paint.faint(&format!("({messages} of {from} not here yet)"))
}

#[cfg(test)]
mod tests {
    use commons::names::RoomName;

    use super::*;

    #[test]
    fn banner_names_authors_counts_and_conversations() {
        let room = Conversation::Room(RoomName::parse("sala").unwrap());
        let bob = Conversation::Private(Username::parse("bob").unwrap());
        let words =
            |conversation, people, messages, here| Absence { conversation, people, messages }.words(here);
        assert_eq!(words(&room, 3, 12, true), "── 3 people wrote 12 messages while you were away ──");
        assert_eq!(
            words(&room, 3, 12, false),
            "── 3 people wrote 12 messages in sala while you were away ──"
        );
        assert_eq!(words(&bob, 1, 1, false), "── bob wrote you 1 message while you were away ──");
        assert_eq!(words(&room, 0, 2, true), "── you wrote 2 messages on another computer ──");
    }
}
