//! Questions to whoever types, with answers that nobody sees, and what becomes of these.

use crate::api::Command;
use crate::api::error::CommandError;
use crate::api::loss::Loss;
use crate::identity::password::Password;
use crate::terminal::asking::Next;
use crate::terminal::counted::counted;
use crate::terminal::losses::{Warning, warning};
use crate::terminal::output::OutputClosed;
use crate::terminal::renderer::Renderer;
use crate::terminal::replies::Origin;
use crate::terminal::{CommandOutcome, Terminal};

impl Terminal {
    /// Asks, where somebody can type without being seen.
    pub(crate) fn ask(&self, questions: &[&str]) {
        if let Some(editor) = &self.editor {
            editor.ask(questions);
        }
    }

    /// The next answer that was not shown: the password that opens the past, or one of `/password`.
    pub(crate) async fn take_secret(&mut self, answer: Password) -> Result<Option<Command>, OutputClosed> {
        match self.asking.answer(answer) {
            Next::Run(command) => return Ok(Some(command)),
            Next::Wait => self.show(Vec::new()).await?,
            Next::Refuse(why, questions) => {
                self.ask(questions);
                return self.refuse(&why).await;
            }
        }
        Ok(None)
    }

    /// Asks a person for a yes before something is lost; whether the command waits for it.
    pub(crate) async fn asks_first(&mut self, command: &Command) -> Result<bool, OutputClosed> {
        // The password is what the account asks for.
        let loss = self.service.loss(command).filter(|loss| !matches!(loss, Loss::Account(_)));
        let Some(loss) = loss.filter(|_| self.person) else { return Ok(false) };
        // A command that will be refused is not asked about.
        if let Err(error) = self.service.is_refused(&loss).await {
            self.refuse_command(&error, Some(command)).await?;
            return Ok(true);
        }
        self.asking.confirm(command.clone());
        let Warning { mut rows, question } = warning(&loss);
        match &self.editor {
            Some(editor) => editor.ask_openly(&question),
            None => rows.push(question),
        }
        self.show(rows).await?;
        Ok(true)
    }

    /// The answer to that: the command after a yes.
    pub(crate) async fn answered(&mut self, answer: &str) -> Result<Option<Command>, OutputClosed> {
        let confirmed = self.asking.confirmed(answer);
        if confirmed.is_none() {
            return self.refuse(&CommandError::usage("nothing was deleted")).await;
        }
        // The question goes off the screen.
        self.show(Vec::new()).await?;
        Ok(confirmed)
    }

    /// Asks for the password, without which this command looks at nothing.
    pub(crate) async fn ask_password(
        &mut self,
        command: Command,
        tries_left: usize,
    ) -> Result<(), OutputClosed> {
        let command_loss = self.service.loss(&command).filter(|loss| matches!(loss, Loss::Account(_)));
        let wrong = self.asking.password(command);
        if !wrong {
            self.asked_from = self.face.begin(Origin::default());
        }
        let loss = command_loss.map(|loss| warning(&loss));
        if let Some(loss) = loss.as_ref().filter(|_| !wrong && matches!(self.face, Renderer::Text(_))) {
            self.show(loss.rows.clone()).await?;
        }
        let left = counted(tries_left, "try", "tries");
        let asked = loss.map_or_else(|| "Your password, to look back".to_owned(), |loss| loss.question);
        if self.editor.is_none() {
            if let (Renderer::Text(_), true) = (&self.face, self.asking.is_for_deletion()) {
                return self
                    .show(vec![format!("{asked} ({left} left): the next line is taken for it")])
                    .await;
            }
            return self.refuse(&CommandError::PasswordWanted { tries_left }).await.map(drop);
        }
        self.ask(&[&format!("{asked}: {left} left (not shown; empty ends this)")]);
        if wrong {
            self.refuse(&CommandError::usage("wrong password")).await.map(drop)
        } else {
            self.show(Vec::new()).await
        }
    }

    /// The password was judged for the last time: what was to be done then, where it was right.
    pub(crate) async fn unlocked(
        &mut self,
        judged: Result<(), CommandError>,
    ) -> Result<CommandOutcome, OutputClosed> {
        let looking = self.asking.judged();
        // The answer may have come before the question.
        self.ask(&[]);
        match (judged, looking) {
            (Ok(()), Some(command)) => return Ok(CommandOutcome::Unlocked(command)),
            (Ok(()), None) => {}
            (Err(error), _) if self.is_last_word(&error.words()) => {}
            (Err(error), _) => drop(self.refuse(&error).await?),
        }
        Ok(CommandOutcome::Out)
    }
}
