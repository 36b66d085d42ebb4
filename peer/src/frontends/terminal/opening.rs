//! The opening of a conversation on the screen: its header, its earlier messages, and the unread ones.

use crate::api::Command;
use crate::api::answer::Answer;
use crate::api::conversation::Conversation;
use crate::api::error::CommandError;
use crate::frontends::terminal::message_rows::Moment;
use crate::frontends::terminal::request_rows;
use crate::frontends::terminal::scrollback::{HistoryRows, NEW};
use crate::frontends::terminal::status_line::shown;
use crate::frontends::terminal::unread::UnreadMessages;
use crate::frontends::terminal::view::View;
use crate::limits::SCROLLBACK;

impl View {
    /// Renders the header of the open conversation if it is a different one than before. Its earlier messages follow
    /// with [`Self::arrive`].
    pub fn opened(&mut self) -> Vec<String> {
        if self.shown.as_ref() == self.open() {
            return Vec::new();
        }
        self.shown = self.open().cloned();
        self.scrollback.is_due = self.shown.is_some();
        match &self.shown {
            None => Vec::new(),
            Some(Conversation::Room(name)) => {
                let room = self.conversations.rooms().find(name);
                room.map(|room| self.room_rows().header(room)).unwrap_or_default()
            }
            Some(open @ Conversation::Private(user)) => {
                request_rows::header(self.paint, user, self.conversations.is_request(open))
            }
        }
    }

    /// Returns true if a conversation was opened and its earlier messages are not shown yet.
    #[must_use]
    pub fn has_arrived(&self) -> bool {
        self.scrollback.is_due
    }

    /// Returns the command that reads the earlier messages of the open conversation.
    pub(crate) fn look_back(&self) -> Command {
        let unread = self.shown.as_ref().map_or(0, |shown| self.unread.count(shown));
        let lines = SCROLLBACK.max(unread);
        Command::History { lines, conversation: self.shown.clone(), before: None, after: None }
    }

    /// Renders the earlier messages of the conversation that was opened, if the history is unlocked, and its unread
    /// messages.
    pub fn arrive(&mut self, looked: &Result<Answer, CommandError>, moment: Moment) -> Vec<String> {
        let Some(open) = self.shown.clone() else { return Vec::new() };
        looked.iter().for_each(|answer| self.folded.keep_all(answer));
        let earlier = self.unread.take_earlier(&open);
        let unread = |id| self.unread.has(&open, id);
        let rows = HistoryRows { paint: self.paint, moment };
        let mut rows = self.scrollback.rows(looked, &open, unread, earlier, &self.you, rows);
        let unread = self.unread.take(&open);
        if earlier.is_none() && !unread.messages.is_empty() {
            rows.push(self.paint.system(NEW));
        }
        rows.extend(self.unread_rows(&open, &unread, moment));
        rows
    }

    /// Renders the unread messages of a conversation that is not open, under its name.
    pub(crate) fn unread_under_name(&mut self, conversation: &Conversation, moment: Moment) -> Vec<String> {
        let unread = self.unread.take(conversation);
        if unread.messages.is_empty() {
            return Vec::new();
        }
        let title = self.paint.system(&format!("── {}, not read yet ──", shown(conversation)));
        std::iter::once(title).chain(self.unread_rows(conversation, &unread, moment)).collect()
    }

    fn unread_rows(&self, of: &Conversation, unread: &UnreadMessages, moment: Moment) -> Vec<String> {
        let dropped = (unread.dropped > 0)
            .then(|| self.paint.system(&format!("({} earlier messages were not kept)", unread.dropped)));
        let rows = unread.messages.iter().flat_map(|message| self.message_row(of, message, moment));
        dropped.into_iter().chain(rows).collect()
    }
}
