//! Questions to whoever types, with answers that nobody sees, and what becomes of these.

use crate::api::Command;
use crate::api::error::CommandError;
use crate::identity::password::Password;
use crate::terminal::asking::Next;
use crate::terminal::counted::counted;
use crate::terminal::output::Gone;
use crate::terminal::replies::Origin;
use crate::terminal::{Carried, Terminal, usage};

impl Terminal {
    /// Asks, where somebody can type without being seen.
    pub(crate) fn ask(&self, questions: &[&str]) {
        if let Some(editor) = &self.editor {
            editor.ask(questions);
        }
    }

    /// The next answer that was not shown: the password that opens the past, or one of `/password`.
    pub(crate) async fn take_secret(&mut self, answer: Password) -> Result<Option<Command>, Gone> {
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

    /// Asks for the password, without which this command looks at nothing.
    pub(crate) async fn ask_password(&mut self, command: Command, tries_left: usize) -> Result<(), Gone> {
        let wrong = self.asking.password(command);
        if !wrong {
            self.asked_from = self.face.begin(Origin::default());
        }
        if self.editor.is_none() {
            return self.refuse(&CommandError::PasswordWanted { tries_left }).await.map(drop);
        }
        let left = counted(tries_left, "try", "tries");
        self.ask(&[&format!("Your password, to look back: {left} left (not shown; empty ends this)")]);
        if wrong {
            self.refuse(&usage("wrong password")).await.map(drop)
        } else {
            self.show(Vec::new()).await
        }
    }

    /// The password was judged for the last time: what was to be done then, where it was right.
    pub(crate) async fn unlocked(&mut self, judged: Result<(), CommandError>) -> Result<Carried, Gone> {
        let looking = self.asking.judged();
        // The answer may have come before the question.
        self.ask(&[]);
        match (judged, looking) {
            (Ok(()), Some(command)) => return Ok(Carried::Unlocked(command)),
            (Ok(()), None) => {}
            (Err(error), _) if self.is_last_word(&error.words()) => {}
            (Err(error), _) => drop(self.refuse(&error).await?),
        }
        Ok(Carried::Out)
    }
}
