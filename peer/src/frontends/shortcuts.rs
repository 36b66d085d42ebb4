//! Shortcuts for commands: the keys Ctrl-C and Alt-n, and `/more`.
//!
//! Each becomes a normal command.

use std::time::Instant;

use crate::api::Command;
use crate::api::conversation::Conversation;
use crate::api::error::CommandError;
use crate::api::status::Status;
use crate::frontends::Frontend;
use crate::frontends::output::OutputClosed;
use crate::identity::password::Password;

impl Frontend {
    /// Says what the next Ctrl-C does. Without an editor, this function applies the rule of Ctrl-C; the terminal itself
    /// has dropped the typed line.
    pub(crate) async fn interrupted(&mut self) -> Result<Option<Command>, OutputClosed> {
        if self.editor.is_some() {
            self.show(self.face.interrupted()).await?;
            return Ok(None);
        }
        let (secret, yes) = (self.asking.wants_password(), self.asking.wants_yes());
        if self.interrupt.press(!secret && !yes, Instant::now()) {
            return Ok(Some(Command::Quit));
        }
        if secret {
            return self.take_secret(Password::typed("")).await;
        }
        if yes {
            return self.answered("").await;
        }
        // The terminal has echoed ^C on this row.
        let rows = std::iter::once(String::new()).chain(self.face.interrupted());
        self.show(rows.collect()).await?;
        Ok(None)
    }

    /// Returns the command that shows the messages before those shown last: `/more`.
    pub(crate) async fn more(&mut self) -> Result<Option<Command>, OutputClosed> {
        match self.paging.next() {
            Some(command) => Ok(Some(command)),
            None => {
                self.refuse(&CommandError::usage("nothing older is kept: begin with /history or /search"))
                    .await
            }
        }
    }

    /// Returns the command that opens the next conversation with unread messages.
    pub(crate) async fn next_unread(&mut self) -> Result<Option<Command>, OutputClosed> {
        let next = next_unread(&self.service.status());
        if next.is_none() {
            self.show(self.face.nothing_unread()).await?;
        }
        Ok(next.map(|conversation| Command::Open { conversation }))
    }
}

/// Returns the next conversation with unread messages: after the open one, then from the start.
fn next_unread(status: &Status) -> Option<Conversation> {
    let at = |open: &Conversation| status.conversations.iter().position(|(chat, _)| chat == open);
    let open = status.open.as_ref().and_then(at).map_or(0, |at| at + 1);
    let (before, behind) = status.conversations.split_at(open);
    let mut unread = behind.iter().chain(before).filter(|(_, count)| *count > 0);
    unread.next().map(|(chat, _)| chat.clone())
}
