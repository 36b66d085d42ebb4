//! What is asked where nobody sees the answer: the password that opens the past, and those of `/password`. Pure.

use crate::api::Command;
use crate::api::error::CommandError;
use crate::identity::password::Password;
use crate::terminal::new_password::{Answered, NewPassword, QUESTIONS};
use crate::terminal::usage;

/// The answers so far, and what they are for.
#[derive(Default)]
pub(crate) struct Asking {
    new_password: NewPassword,
    /// What is done once the password was told.
    looking: Option<Command>,
}

/// What an answer led to.
pub(crate) enum Next {
    /// This is to be done.
    Run(Command),
    /// There are more questions.
    Wait,
    /// Nothing is done, for this reason; what is asked again.
    Refuse(CommandError, &'static [&'static str]),
}

impl Asking {
    /// `/password` begins, from the start.
    pub(crate) fn begin(&mut self) {
        self.new_password = NewPassword::default();
    }

    /// This command wants the password first; whether that was asked already and answered wrong.
    pub(crate) fn password(&mut self, command: Command) -> bool {
        let wrong = matches!(command, Command::Unlock { .. });
        if !wrong {
            self.looking = Some(command);
        }
        wrong
    }

    /// Whether the next line is the password, wherever it comes from.
    pub(crate) fn wants_password(&self) -> bool {
        self.looking.is_some()
    }

    /// The password was judged, and is not asked again: what was to be done with it.
    pub(crate) fn judged(&mut self) -> Option<Command> {
        self.looking.take()
    }

    /// Takes the next answer. An empty one ends the questions.
    pub(crate) fn answer(&mut self, answer: Password) -> Next {
        if self.looking.is_some() {
            if !answer.is_empty() {
                return Next::Run(Command::Unlock { password: answer });
            }
            self.looking = None;
            return Next::Refuse(usage("the past stays shut"), &[]);
        }
        match self.new_password.answer(answer) {
            Answered::Complete(wish) => Next::Run(Command::Account(wish)),
            Answered::More => Next::Wait,
            Answered::Nothing => Next::Refuse(usage("the password stays as it is"), &[]),
            Answered::Different => Next::Refuse(usage("the two are different: once more"), &QUESTIONS[1..]),
            Answered::TooShort => Next::Refuse(CommandError::PasswordTooShort, &QUESTIONS[1..]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_for_what_was_asked_and_an_empty_one_is_none() {
        let mut asking = Asking::default();
        assert!(!asking.password(Command::Search { words: "x".into() }));
        let Next::Run(unlock @ Command::Unlock { .. }) = asking.answer(Password::typed("wrong")) else {
            panic!("no command")
        };
        assert!(asking.password(unlock), "it was wrong");
        assert!(asking.wants_password());
        assert!(asking.judged() == Some(Command::Search { words: "x".into() }));
        asking.password(Command::History { lines: 1, conversation: None });
        assert!(matches!(asking.answer(Password::typed("")), Next::Refuse(..)));
        assert!(!asking.wants_password());
    }
}
