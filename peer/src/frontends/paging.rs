//! The pages of `/more`. Pure.
//!
//! Each page shows the messages before the oldest one on the screen.

use crate::api::Command;
use crate::api::answer::Answer;
use crate::api::conversation::Conversation;
use crate::api::error::CommandError;
use crate::api::past::Before;

/// The command that shows the next page.
#[derive(Default)]
pub(crate) struct Paging {
    next: Option<Command>,
}

impl Paging {
    /// Notes the messages that a command has shown.
    pub(crate) fn note(&mut self, command: &Command, answer: &Answer) {
        match (command, answer) {
            (
                Command::History { lines, after: None, .. },
                Answer::History { of, named, lines: shown, more },
            ) => {
                let room = named.clone().map(Conversation::Room);
                let conversation = Some(room.unwrap_or_else(|| of.clone().into()));
                let (lines, before) = (*lines, shown.first().filter(|_| *more).map(Before::from));
                self.next =
                    before.map(|it| Command::History { lines, conversation, before: Some(it), after: None });
            }
            (Command::Search { words, .. }, Answer::Found { lines, more }) => {
                let before = lines.last().filter(|_| *more).map(|oldest| Before::from(&oldest.message));
                self.next = before.map(|it| Command::Search { words: words.clone(), before: Some(it) });
            }
            _ => {}
        }
    }

    /// Returns the command for the newest page, if the message at which a page was to end has been erased.
    pub(crate) fn restarted(command: &Command, outcome: &Result<Answer, CommandError>) -> Option<Command> {
        match (command.clone(), outcome) {
            (
                Command::History { lines, conversation, before: Some(_), after },
                Err(CommandError::NotStored),
            ) => Some(Command::History { lines, conversation, before: None, after }),
            (Command::Search { words, before: Some(_) }, Err(CommandError::NotStored)) => {
                Some(Command::Search { words, before: None })
            }
            _ => None,
        }
    }

    /// Returns the command for the next page, if there are older messages.
    pub(crate) fn next(&self) -> Option<Command> {
        self.next.clone()
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use commons::names::{RoomName, Username};
    use uuid::Uuid;

    use super::*;
    use crate::api::past::{FoundMessage, PastConversation, PastMessage};

    fn message(id: u128) -> PastMessage {
        PastMessage {
            id: Uuid::from_u128(id),
            from: Username::parse("bob").unwrap(),
            content: "hi".into(),
            sent_at: DateTime::UNIX_EPOCH,
            signed: true,
            filtered: false,
            muted: false,
        }
    }

    fn of() -> PastConversation {
        PastConversation::Room(RoomName::parse("sala").unwrap())
    }

    #[test]
    fn more_continues_before_the_oldest_shown_message() {
        let mut paging = Paging::default();
        assert!(paging.next().is_none());
        let command = Command::History { lines: 5, conversation: None, before: None, after: None };
        let older = RoomName::parse("sala#3c24").ok();
        let shown =
            |more, named| Answer::History { of: of(), named, lines: vec![message(1), message(2)], more };
        let before = || Some(Before::from(&message(1)));
        for (named, name) in [(None, "sala"), (older, "sala#3c24")] {
            paging.note(&command, &shown(true, named));
            let conversation = RoomName::parse(name).ok().map(Conversation::Room);
            assert!(
                paging.next()
                    == Some(Command::History { lines: 5, conversation, before: before(), after: None })
            );
        }
        paging.note(&command, &Answer::Done);
        assert!(paging.next().is_some(), "other answers change nothing");
        paging.note(&command, &shown(false, None));
        assert!(paging.next().is_none(), "that was all");
    }

    #[test]
    fn begins_at_the_newest_message_if_its_last_one_was_erased() {
        let before = || Some(Before::from(&message(4)));
        let search = |before| Command::Search { words: "x".into(), before };
        let history = |before| Command::History { lines: 5, conversation: None, before, after: None };
        let erased = Err(CommandError::NotStored);
        assert!(Paging::restarted(&search(before()), &erased) == Some(search(None)));
        assert!(Paging::restarted(&history(before()), &erased) == Some(history(None)));
        assert!(Paging::restarted(&history(None), &erased).is_none(), "that would not end");
        assert!(Paging::restarted(&history(before()), &Ok(Answer::Done)).is_none());
        assert!(Paging::restarted(&history(before()), &Err(CommandError::NotYourself)).is_none());
    }

    #[test]
    fn more_continues_the_same_search() {
        let mut paging = Paging::default();
        let found = |id| FoundMessage { of: of(), named: None, excerpt: None, message: message(id) };
        let command = Command::Search { words: "x from:bob".into(), before: None };
        paging.note(&command, &Answer::Found { lines: vec![found(9), found(4)], more: true });
        let next = Command::Search { words: "x from:bob".into(), before: Some(Before::from(&message(4))) };
        assert!(paging.next() == Some(next));
    }
}
