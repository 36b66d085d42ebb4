//! The row above messages that were missed. Pure.
//!
//! It waits for the first of them that is marked as late. A message that was written just now only took another way.
//!
//! For example: "3 people wrote 12 messages while you were away".

use commons::counted::counted;
use std::collections::BTreeMap;

use commons::names::Username;

use crate::api::Event;
use crate::api::conversation::Conversation;
use crate::frontends::terminal::message_rows::DisplayMessage;
use crate::frontends::terminal::status_line::shown;
use crate::frontends::terminal::style::Style;

/// The missed messages of a conversation; with no other authors, they are this user's own.
struct Absence<'a> {
    conversation: &'a Conversation,
    people: usize,
    messages: u64,
}

impl Absence<'_> {
    /// Returns the row; `here` is true for the open conversation.
    fn words(&self, here: bool) -> String {
        let messages = counted(self.messages, "message", "messages");
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

/// The absences that are announced and not shown yet.
#[derive(Default)]
pub(crate) struct PendingBanners {
    /// The authors and messages: at most one count for the messages of others, and one for the user's own.
    counts: BTreeMap<(Conversation, bool), (usize, u64)>,
}

impl PendingBanners {
    /// Notes an announcement. It replaces an earlier one of the same kind.
    pub(crate) fn note(&mut self, event: &Event) {
        if let Event::Missed { conversation, people, lines } = event {
            self.counts.insert((conversation.clone(), *people == 0), (*people, *lines));
        }
    }

    /// Returns the rows to show above a message: none if it is not marked as late. `open` is the open conversation.
    pub(crate) fn take(
        &mut self,
        paint: Style,
        conversation: &Conversation,
        message: &DisplayMessage,
        open: Option<&Conversation>,
    ) -> Vec<String> {
        if message.note.is_none() {
            return Vec::new();
        }
        let of = [false, true].map(|own| (conversation.clone(), own));
        let row = |(people, messages)| {
            paint.system(&Absence { conversation, people, messages }.words(open == Some(conversation)))
        };
        of.iter().filter_map(|of| self.counts.remove(of)).map(row).collect()
    }
}

/// Says that the screen was too slow for some notices.
pub(crate) fn lagged_row(paint: Style) -> String {
    paint.system("*** this screen was too slow for some notices; every message follows")
}

/// Says how many earlier messages of an author are missing here.
pub(crate) fn missing_row(paint: Style, messages: u64, from: &Username) -> String {
    let messages = counted(messages, "earlier message", "earlier messages");
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
