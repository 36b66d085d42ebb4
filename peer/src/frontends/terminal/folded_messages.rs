//! The messages that the screen does not show as a whole, for `/show`. Pure.

use std::collections::VecDeque;

use crate::api::answer::Answer;
use crate::frontends::terminal::message_rows::{DisplayMessage, MessageRow, Moment};
use crate::frontends::terminal::style::Style;
use crate::limits::{FOLDED_KEPT, SHOWN_ROWS};

/// The last messages that were folded, or hidden by the word filter.
#[derive(Default)]
pub(crate) struct FoldedMessages {
    messages: VecDeque<DisplayMessage>,
}

impl FoldedMessages {
    /// Keeps a message that is about to be shown, if it may be folded.
    pub(crate) fn keep(&mut self, message: &DisplayMessage) {
        if message.may_be_folded() {
            self.messages.retain(|other| other.id != message.id || other.from != message.from);
            self.messages.push_front(message.clone());
            self.messages.truncate(FOLDED_KEPT);
        }
    }

    /// Keeps the messages of an answer that may be folded.
    pub(crate) fn keep_all(&mut self, answer: &Answer) {
        match answer {
            Answer::History { lines, .. } => lines.iter().for_each(|it| self.keep(&it.clone().into())),
            Answer::Found { lines, .. } => lines.iter().for_each(|it| self.keep(&it.message.clone().into())),
            _ => {}
        }
    }

    /// Drops all messages: some of them may have been erased.
    pub(crate) fn clear(&mut self) {
        self.messages.clear();
    }

    /// Renders the message of this id as a whole.
    pub(crate) fn rows(&self, id: &str, paint: Style, moment: Moment) -> Vec<String> {
        let Some(message) = self.find(id) else {
            return vec![paint.faint("No folded message has this ID. /export FILE writes all messages.")];
        };
        let message = &DisplayMessage { filtered: false, ..message.clone() };
        MessageRow { message, moment, paint, most: SHOWN_ROWS }.plain()
    }

    /// Returns the newest message whose id ends in these digits.
    fn find(&self, id: &str) -> Option<&DisplayMessage> {
        let digits = id.replace('-', "");
        self.messages.iter().find(|message| message.id.simple().to_string().ends_with(&digits))
    }
}
