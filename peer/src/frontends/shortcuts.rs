//! Shortcuts for commands: the keys Ctrl-C and Alt-n, and `/more`.
//!
//! Each becomes a normal command.

use std::time::Instant;

use crate::api::Command;
use crate::api::answer::Answer;
use crate::api::error::CommandError;
use crate::frontends::Frontend;
use crate::frontends::conversations::next_unread;
use crate::frontends::output::OutputClosed;
use crate::frontends::paging::Paging;
use crate::frontends::renderer::Renderer;
use crate::identity::password::Password;

impl Frontend {
    /// Says what the next Ctrl-C does. Without an editor, this function applies the rule of Ctrl-C; the terminal itself
    /// has dropped the typed line.
    pub(crate) async fn interrupted(&mut self) -> Result<Option<Command>, OutputClosed> {
        if self.editor.is_some() {
            self.show(self.renderer.interrupted()).await?;
            return Ok(None);
        }
        let (secret, yes) = (self.pending_prompts.wants_password(), self.pending_prompts.wants_yes());
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
        let rows = std::iter::once(String::new()).chain(self.renderer.interrupted());
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

    /// Executes a command. A page of `/more` begins at the newest message if its last one was erased meanwhile; a
    /// program decides that for itself.
    pub(crate) async fn execute_page(
        &mut self,
        command: &mut Command,
    ) -> Result<Option<Result<Answer, CommandError>>, OutputClosed> {
        let outcome = self.execute(command).await?;
        let is_request = matches!(&self.renderer, Renderer::Json(replies, _) if replies.requests);
        let newest = outcome.as_ref().filter(|_| !is_request);
        let Some(newest) = newest.and_then(|it| Paging::restarted(command, it)) else { return Ok(outcome) };
        *command = newest;
        self.execute(command).await
    }

    /// Returns the command that opens the next conversation with unread messages.
    pub(crate) async fn next_unread(&mut self) -> Result<Option<Command>, OutputClosed> {
        let mut status = self.service.status().await;
        self.renderer.conversations().complete(&mut status);
        let next = next_unread(&status);
        if next.is_none() {
            self.show(self.renderer.nothing_unread()).await?;
        }
        Ok(next.map(|conversation| Command::Open { conversation }))
    }
}
