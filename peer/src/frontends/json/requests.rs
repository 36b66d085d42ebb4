//! The handling of a program's JSON requests.
//!
//! Each line is complete: no answer or password is ever taken from the next line.

use crate::api::Command;
use crate::api::answer::Answer;
use crate::api::error::CommandError;
use crate::api::request::{Action, Request, RequestParseError, parse};
use crate::frontends::Frontend;
use crate::frontends::json::replies::Origin;
use crate::frontends::output::OutputClosed;
use crate::frontends::user_input::UserInput;
use crate::limits::LINE_MAX;

impl Frontend {
    /// Returns the number of an input line; input from the editor has none.
    pub(crate) fn number(&mut self, input: &UserInput) -> Option<u64> {
        let is_line = matches!(input, UserInput::Line(_) | UserInput::TooLong(_) | UserInput::NoText);
        (is_line && self.editor.is_none()).then(|| {
            self.lines += 1;
            self.lines
        })
    }

    /// Returns the command that a line contains, if it is one; handles all other input itself.
    pub(crate) async fn understand_request(
        &mut self,
        input: UserInput,
        origin: Origin,
    ) -> Result<Option<Command>, OutputClosed> {
        let line = match input {
            UserInput::Line(line) if line.trim().is_empty() => return Ok(None),
            UserInput::Line(line) => line,
            UserInput::End => {
                self.renderer.begin(Origin::default());
                return Ok(Some(Command::Quit));
            }
            UserInput::TooLong(length) => {
                self.renderer.begin(origin);
                let why = format!("a line has at most {LINE_MAX} bytes, this one has {length}");
                return self.refuse(&CommandError::usage(&why)).await;
            }
            UserInput::NoText => {
                self.renderer.begin(origin);
                return self.refuse(&CommandError::usage("this line is not UTF-8 text")).await;
            }
            // Only a terminal produces these.
            UserInput::TooFast(_)
            | UserInput::Secret(_)
            | UserInput::Answer(_)
            | UserInput::OwnPassword
            | UserInput::Filtered(_)
            | UserInput::Choices(_)
            | UserInput::Interrupted
            | UserInput::NextUnread => return Ok(None),
        };
        let Request { id, password, action } = match parse(&line) {
            Ok(request) => request,
            Err(RequestParseError { id, reason }) => {
                self.renderer.begin(Origin { id, ..origin });
                return self.refuse(&CommandError::usage(&reason)).await;
            }
        };
        self.renderer.begin(Origin { id, ..origin });
        let command = match action {
            Action::Run(mut command) => match self.renderer.conversations().name_open(&mut command) {
                Ok(()) => command,
                Err(error) => return self.refuse_command(&error, Some(&command)).await,
            },
            Action::Help => {
                self.show(self.renderer.help(None)).await?;
                return Ok(None);
            }
        };
        match password {
            Some(password) => Ok(self.unlocks(Command::Unlock { password }).await?.then_some(command)),
            None => Ok(Some(command)),
        }
    }

    /// Unlocks the history for the command that carried the password; reports a wrong password.
    async fn unlocks(&mut self, unlock: Command) -> Result<bool, OutputClosed> {
        match self.execute(&unlock).await? {
            Some(Ok(Answer::Done)) => return Ok(true),
            Some(Err(error)) => {
                self.refused |= matches!(error, CommandError::PasswordWanted { .. });
                self.refuse(&error).await?;
            }
            // The program was asked to stop, which the loop notices too.
            Some(Ok(_)) | None => {}
        }
        Ok(false)
    }
}
