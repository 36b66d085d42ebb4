//! "3 people wrote 12 lines while you were away": what is told before lines that were missed. Pure.

use chrono::{DateTime, TimeDelta, Utc};
use commons::names::Username;

use crate::api::Conversation;
use crate::terminal::counted::counted;
use crate::terminal::paint::Paint;
use crate::terminal::status_line::shown;

/// Within this time, who tells of no more lines than another tells of the same ones.
const SAME_NEWS: TimeDelta = TimeDelta::seconds(30);

/// Lines that were missed in a conversation.
pub(crate) struct Absence {
    pub(crate) conversation: Conversation,
    pub(crate) people: usize,
    pub(crate) lines: u64,
    pub(crate) told: DateTime<Utc>,
}

impl Absence {
    /// Whether it is known by this what another member tells.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        self.conversation == other.conversation
            && other.lines <= self.lines
            && other.told < self.told + SAME_NEWS
    }

    /// In a row; `here` is the open conversation.
    pub(crate) fn words(&self, here: bool) -> String {
        let lines = if self.lines == 1 { "1 line".to_owned() } else { format!("{} lines", self.lines) };
        let wrote = match &self.conversation {
            Conversation::Private(user) => format!("{user} wrote you {lines}"),
            Conversation::Room(_) => {
                let place = if here { String::new() } else { format!(" in {}", shown(&self.conversation)) };
                format!("{} wrote {lines}{place}", counted(self.people, "person", "people"))
            }
        };
        format!("── {wrote} while you were away ──")
    }
}

/// Earlier messages of an author that are not here.
pub(crate) fn missing_row(paint: Paint, lines: u64, from: &Username) -> String {
    let lines = if lines == 1 { "1 earlier line".to_owned() } else { format!("{lines} earlier lines") };
    paint.faint(&format!("({lines} of {from} not here yet)"))
}

#[cfg(test)]
mod tests {
    use commons::names::{RoomName, Username};

    use super::*;

    fn absence(conversation: Conversation, lines: u64, second: i64) -> Absence {
        Absence { conversation, people: 3, lines, told: DateTime::UNIX_EPOCH + TimeDelta::seconds(second) }
    }

    #[test]
    fn says_who_and_where_and_not_twice() {
        let room = Conversation::Room(RoomName::parse("sala").unwrap());
        let bob = Conversation::Private(Username::parse("bob").unwrap());
        let first = absence(room.clone(), 12, 0);
        assert_eq!(first.words(true), "── 3 people wrote 12 lines while you were away ──");
        assert_eq!(first.words(false), "── 3 people wrote 12 lines in sala while you were away ──");
        assert_eq!(absence(bob.clone(), 1, 0).words(false), "── bob wrote you 1 line while you were away ──");
        assert!(first.covers(&absence(room.clone(), 9, 10)));
        for other in [absence(room.clone(), 13, 10), absence(room, 12, 60), absence(bob, 3, 10)] {
            assert!(!first.covers(&other));
        }
    }
}
