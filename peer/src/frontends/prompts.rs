//! The prompts for passwords and confirmations during the chat, and the handling of the answers.
//!
//! Passwords are not shown while they are typed. Confirmations are.

use commons::counted::counted;

use crate::api::Command;
use crate::api::error::CommandError;
use crate::api::loss::Loss;
use crate::frontends::Frontend;
use crate::frontends::command_outcome::CommandOutcome;
use crate::frontends::json::replies::Origin;
use crate::frontends::new_password::PROMPTS;
use crate::frontends::output::OutputClosed;
use crate::frontends::pending_prompts::PromptStep;
use crate::frontends::renderer::Renderer;
use crate::frontends::terminal::losses::{Warning, rooms_question, warning};
use crate::identity::password::Password;

impl Frontend {
    /// Prompts for hidden answers, if an editor can hide them.
    pub(crate) fn prompt(&self, prompts: &[&str]) {
        if let Some(editor) = &self.editor {
            editor.prompt(prompts);
        }
    }

    /// Handles the next hidden answer: the password that unlocks the history, or one of `/password`.
    pub(crate) async fn take_secret(&mut self, answer: Password) -> Result<Option<Command>, OutputClosed> {
        match self.pending_prompts.answer(answer) {
            PromptStep::Run(command) => return Ok(Some(command)),
            PromptStep::Check(unlock) => self.check_old_password(&unlock).await?,
            PromptStep::Wait => self.show(Vec::new()).await?,
            PromptStep::Refuse(why, prompts) => {
                self.prompt(prompts);
                return self.refuse(&why).await;
            }
        }
        Ok(None)
    }

    /// Checks the first answer of `/password`. After a wrong one the prompts begin again.
    async fn check_old_password(&mut self, unlock: &Command) -> Result<(), OutputClosed> {
        match self.execute(unlock).await? {
            Some(Err(CommandError::PasswordWanted { tries_left })) => {
                self.pending_prompts.begin();
                self.prompt(&PROMPTS);
                let left = counted(tries_left, "try", "tries");
                self.refuse(&CommandError::usage(&format!("wrong password: {left} left"))).await?;
            }
            Some(Err(error)) => {
                self.pending_prompts.begin();
                self.prompt(&[]);
                if !self.is_final_error(&error.words()) {
                    self.refuse(&error).await?;
                }
            }
            Some(Ok(_)) | None => self.show(Vec::new()).await?,
        }
        Ok(())
    }

    /// Asks a person for confirmation before data is lost. Returns true if the command waits for it.
    pub(crate) async fn confirm_first(&mut self, command: &Command) -> Result<bool, OutputClosed> {
        if !self.person {
            return Ok(false);
        }
        let Some(loss) = self.service.loss(command).await else { return Ok(false) };
        // A command that would be refused needs no confirmation.
        if let Err(error) = self.service.is_refused(&loss).await {
            self.refuse_command(&error, Some(command)).await?;
            return Ok(true);
        }
        // For the account, the password is the confirmation. The fate of its rooms is prompted for first.
        let prompt =
            if let Loss::Account { .. } = &loss { rooms_question(&loss) } else { Some(warning(&loss)) };
        let Some(Warning { mut rows, question }) = prompt else { return Ok(false) };
        self.pending_prompts.confirm(command.clone());
        match &self.editor {
            Some(editor) => editor.prompt_visibly(&question),
            None => rows.push(question),
        }
        self.show(rows).await?;
        Ok(true)
    }

    /// Handles the answer to the prompt for a confirmation. Returns the command if it was confirmed.
    pub(crate) async fn answered(&mut self, answer: &str) -> Result<Option<Command>, OutputClosed> {
        let refusal = self.pending_prompts.refusal();
        let confirmed = self.pending_prompts.confirmed(answer);
        if confirmed.is_none() {
            return self.refuse(&CommandError::usage(refusal)).await;
        }
        // Showing nothing removes the question from the screen.
        self.show(Vec::new()).await?;
        Ok(confirmed)
    }

    /// Asks for the password that this command needs.
    pub(crate) async fn prompt_password(
        &mut self,
        command: Command,
        tries_left: usize,
    ) -> Result<(), OutputClosed> {
        let command_loss =
            self.service.loss(&command).await.filter(|loss| matches!(loss, Loss::Account { .. }));
        let wrong = self.pending_prompts.password(command);
        if !wrong {
            self.prompt_origin = self.renderer.begin(Origin::default());
        }
        let loss = command_loss.map(|loss| warning(&loss));
        if let Some(loss) = loss.as_ref().filter(|_| !wrong && matches!(self.renderer, Renderer::Text(_))) {
            self.show(loss.rows.clone()).await?;
        }
        let left = counted(tries_left, "try", "tries");
        let question = loss.map_or_else(|| "Your password, to look back".to_owned(), |loss| loss.question);
        if self.editor.is_none() {
            if let (Renderer::Text(_), true) = (&self.renderer, self.pending_prompts.is_for_deletion()) {
                return self
                    .show(vec![format!("{question} ({left} left): the next line is taken for it")])
                    .await;
            }
            return self.refuse(&CommandError::PasswordWanted { tries_left }).await.map(drop);
        }
        self.prompt(&[&format!("{question}: {left} left (not shown; empty ends this)")]);
        if wrong {
            self.refuse(&CommandError::usage("wrong password")).await.map(drop)
        } else {
            self.show(Vec::new()).await
        }
    }

    /// Ends the question for the password. If it was right, returns the command that waited for it.
    pub(crate) async fn unlocked(
        &mut self,
        unlocked: Result<(), CommandError>,
    ) -> Result<CommandOutcome, OutputClosed> {
        let waiting = self.pending_prompts.take_waiting();
        // The answer may have arrived before the question was shown.
        self.prompt(&[]);
        match (unlocked, waiting) {
            (Ok(()), Some(command)) => return Ok(CommandOutcome::Unlocked(command)),
            (Ok(()), None) => {}
            (Err(error), _) if self.is_final_error(&error.words()) => {}
            (Err(error), _) => drop(self.refuse(&error).await?),
        }
        Ok(CommandOutcome::Out)
    }
}
