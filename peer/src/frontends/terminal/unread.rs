//! Unread messages of conversations that are not open.
//!
//! They are kept until the conversation is opened.

use std::collections::{BTreeMap, VecDeque};

use uuid::Uuid;

use crate::api::conversation::Conversation;
use crate::frontends::terminal::message_rows::DisplayMessage;
use crate::limits::{UNREAD_CHATS, UNREAD_LINES};

/// The unread messages of one conversation, oldest first.
#[derive(Default)]
pub(crate) struct UnreadMessages {
    pub(crate) lines: VecDeque<DisplayMessage>,
    /// The number of older messages that were dropped because of the bound.
    pub(crate) dropped: usize,
}

/// The unread messages of all conversations.
#[derive(Default)]
pub(crate) struct Unread {
    missed: BTreeMap<Conversation, UnreadMessages>,
}

impl Unread {
    /// Keeps a message. Returns true if it is the first unread one of its conversation.
    pub(crate) fn keep(&mut self, conversation: &Conversation, said: DisplayMessage) -> bool {
        if !self.missed.contains_key(conversation) && self.missed.len() >= UNREAD_CHATS {
            // Private messages were shown when they arrived, so little is lost; rooms are few.
            let private = self.missed.keys().find(|chat| matches!(chat, Conversation::Private(_))).cloned();
            private.map(|private| self.missed.remove(&private));
        }
        let missed = self.missed.entry(conversation.clone()).or_default();
        if missed.lines.len() >= UNREAD_LINES {
            missed.lines.pop_front();
            missed.dropped += 1;
        }
        missed.lines.push_back(said);
        missed.lines.len() == 1
    }

    /// Returns the rooms with unread messages.
    pub(crate) fn rooms(&self) -> Vec<Conversation> {
        self.missed.keys().filter(|chat| matches!(chat, Conversation::Room(_))).cloned().collect()
    }

    /// Returns true if a message of this conversation is still unread.
    pub(crate) fn has(&self, conversation: &Conversation, id: Uuid) -> bool {
        self.missed.get(conversation).is_some_and(|missed| missed.lines.iter().any(|said| said.id == id))
    }

    /// Takes the unread messages of a conversation that is opened.
    pub(crate) fn take(&mut self, conversation: &Conversation) -> UnreadMessages {
        self.missed.remove(conversation).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use commons::names::Username;

    use super::*;

    fn said(text: &str) -> DisplayMessage {
        DisplayMessage {
            id: Uuid::nil(),
            from: Username::parse("bob").unwrap(),
            text: text.into(),
            at: DateTime::UNIX_EPOCH,
            unencrypted: false,
            note: None,
        }
    }

    fn private(name: &str) -> Conversation {
        Conversation::Private(Username::parse(name).unwrap())
    }

    #[test]
    fn keeps_the_newest_lines_and_says_how_many_are_gone() {
        let mut unread = Unread::default();
        let chat = private("bob");
        assert!(unread.keep(&chat, said("first")));
        for _ in 0..UNREAD_LINES {
            assert!(!unread.keep(&chat, said("more")));
        }
        let missed = unread.take(&chat);
        assert_eq!((missed.lines.len(), missed.dropped), (UNREAD_LINES, 1));
        assert!(unread.take(&chat).lines.is_empty());
    }

    #[test]
    fn many_strangers_do_not_fill_the_memory() {
        let mut unread = Unread::default();
        for n in 0..UNREAD_CHATS * 2 {
            unread.keep(&private(&format!("bob{n}")), said("hi"));
        }
        assert_eq!(unread.missed.len(), UNREAD_CHATS);
    }
}
