//! Unread messages of conversations that are not open.
//!
//! They are kept until the conversation is opened.

use std::collections::{BTreeMap, VecDeque};

use uuid::Uuid;

use crate::api::conversation::Conversation;
use crate::api::snapshot::{Snapshot, UnreadSummary};
use crate::frontends::terminal::message_rows::DisplayMessage;
use crate::limits::{UNREAD_CHATS, UNREAD_MESSAGES};

/// The unread messages of one conversation, oldest first.
#[derive(Default)]
pub(crate) struct UnreadMessages {
    pub(crate) messages: VecDeque<DisplayMessage>,
    /// The number of older messages that were dropped because of the bound.
    pub(crate) dropped: usize,
}

/// The unread messages of all conversations.
#[derive(Default)]
pub(crate) struct Unread {
    conversations: BTreeMap<Conversation, UnreadMessages>,
    /// The unread messages of earlier runs, which are in the history.
    earlier: BTreeMap<Conversation, EarlierMessages>,
}

/// The unread messages that earlier runs left in one conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EarlierMessages {
    /// The number of messages, at most 500.
    pub(crate) count: usize,
    /// The id of the first one.
    pub(crate) first: Uuid,
}

impl Unread {
    /// Starts with the unread messages in a snapshot.
    pub(crate) fn of_earlier_runs(snapshot: &Snapshot) -> Self {
        let earlier = snapshot.unread.iter().map(|UnreadSummary { conversation, messages, first }| {
            (conversation.clone(), EarlierMessages { count: *messages, first: *first })
        });
        Self { earlier: earlier.collect(), ..Self::default() }
    }

    /// Takes the unread messages of earlier runs of a conversation that is opened.
    pub(crate) fn take_earlier(&mut self, conversation: &Conversation) -> Option<EarlierMessages> {
        self.earlier.remove(conversation)
    }

    /// Returns the number of unread messages of a conversation.
    pub(crate) fn count(&self, conversation: &Conversation) -> usize {
        let live = self.conversations.get(conversation).map_or(0, |unread| unread.messages.len());
        live + self.earlier.get(conversation).map_or(0, |earlier| earlier.count)
    }

    /// Keeps a message. Returns true if it is the first unread one of its conversation.
    pub(crate) fn keep(&mut self, conversation: &Conversation, message: DisplayMessage) -> bool {
        if !self.conversations.contains_key(conversation) && self.conversations.len() >= UNREAD_CHATS {
            // Private messages were shown when they arrived, so little is lost; rooms are few.
            let private =
                self.conversations.keys().find(|chat| matches!(chat, Conversation::Private(_))).cloned();
            private.map(|private| self.conversations.remove(&private));
        }
        let unread = self.conversations.entry(conversation.clone()).or_default();
        if unread.messages.len() >= UNREAD_MESSAGES {
            unread.messages.pop_front();
            unread.dropped += 1;
        }
        unread.messages.push_back(message);
        unread.messages.len() == 1
    }

    /// Returns the rooms with unread messages.
    pub(crate) fn rooms(&self) -> Vec<Conversation> {
        self.conversations.keys().filter(|chat| matches!(chat, Conversation::Room(_))).cloned().collect()
    }

    /// Returns true if a message of this conversation is still unread.
    pub(crate) fn has(&self, conversation: &Conversation, id: Uuid) -> bool {
        self.conversations
            .get(conversation)
            .is_some_and(|unread| unread.messages.iter().any(|message| message.id == id))
    }

    /// Takes the unread messages of a conversation that is opened.
    pub(crate) fn take(&mut self, conversation: &Conversation) -> UnreadMessages {
        self.conversations.remove(conversation).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use commons::names::Username;

    use super::*;

    fn message(text: &str) -> DisplayMessage {
        DisplayMessage {
            id: Uuid::nil(),
            from: Username::parse("bob").unwrap(),
            text: text.into(),
            at: DateTime::UNIX_EPOCH,
            unencrypted: false,
            note: None,
            filtered: false,
        }
    }

    fn private(name: &str) -> Conversation {
        Conversation::Private(Username::parse(name).unwrap())
    }

    #[test]
    fn newest_unread_messages_stay_and_dropped_ones_are_counted() {
        let mut unread = Unread::default();
        let chat = private("bob");
        assert!(unread.keep(&chat, message("first")));
        for _ in 0..UNREAD_MESSAGES {
            assert!(!unread.keep(&chat, message("more")));
        }
        let taken = unread.take(&chat);
        assert_eq!((taken.messages.len(), taken.dropped), (UNREAD_MESSAGES, 1));
        assert!(unread.take(&chat).messages.is_empty());
    }

    #[test]
    fn many_private_chats_do_not_fill_the_memory() {
        let mut unread = Unread::default();
        for n in 0..UNREAD_CHATS * 2 {
            unread.keep(&private(&format!("bob{n}")), message("hi"));
        }
        assert_eq!(unread.conversations.len(), UNREAD_CHATS);
    }
}
