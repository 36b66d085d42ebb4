//! What is asked where nobody sees the answer: the password that opens the past, and those of `/password`. Pure.

use crate::api::Command;
use crate::api::account::AccountCommand;
use crate::api::error::CommandError;
use crate::identity::password::Password;
use crate::terminal::new_password::{Answered, NewPassword, QUESTIONS};

/// The answers so far, and what they are for.
#[derive(Default)]
pub(crate) struct Asking {
    new_password: NewPassword,
    /// What is done once the password was told.
    looking: Option<Command>,
    /// What is done after a yes.
    confirming: Option<Command>,
}

/// Whether a command brings the password with it.
pub(crate) fn tells_password(command: &Command) -> bool {
    matches!(
        command,
        Command::Unlock { .. } | Command::Account(AccountCommand::Delete { password: Some(_), .. })
    )
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
        let wrong = tells_password(&command);
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

    /// The command that tells the password.
    pub(crate) fn with_password(&self, password: Password) -> Command {
        match &self.looking {
            Some(Command::Account(AccountCommand::Delete { name, .. })) => {
                let (name, password) = (name.clone(), Some(password));
                Command::Account(AccountCommand::Delete { name, password })
            }
            _ => Command::Unlock { password },
        }
    }

    /// Whether the password is wanted for this: to end the account, and not to look back.
    pub(crate) fn is_for_deletion(&self) -> bool {
        matches!(self.looking, Some(Command::Account(_)))
    }

    /// This command is carried out after a yes only.
    pub(crate) fn confirm(&mut self, command: Command) {
        self.confirming = Some(command);
    }

    /// Whether the next line is a yes or a no.
    pub(crate) fn wants_yes(&self) -> bool {
        self.confirming.is_some()
    }

    /// The command, where the answer is a yes.
    pub(crate) fn confirmed(&mut self, answer: &str) -> Option<Command> {
        let yes = ["y", "yes", "s", "sim"].contains(&answer.trim().to_lowercase().as_str());
        self.confirming.take().filter(|_| yes)
    }

    /// Takes the next answer. An empty one ends the questions.
    pub(crate) fn answer(&mut self, answer: Password) -> Next {
        if self.looking.is_some() {
            if !answer.is_empty() {
                return Next::Run(self.with_password(answer));
            }
            let why = if self.is_for_deletion() { "nothing was deleted" } else { "the past stays shut" };
            self.looking = None;
            return Next::Refuse(CommandError::usage(why), &[]);
        }
        match self.new_password.answer(answer) {
            Answered::Complete(wish) => Next::Run(Command::Account(wish)),
            Answered::More => Next::Wait,
            Answered::Nothing => Next::Refuse(CommandError::usage("the password stays as it is"), &[]),
            Answered::Different => Next::Refuse(
                CommandError::usage("The two new passwords are different. Type the new one again, twice."),
                &QUESTIONS[1..],
            ),
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
        assert!(!asking.password(Command::Search { words: "x".into(), before: None }));
        let Next::Run(unlock @ Command::Unlock { .. }) = asking.answer(Password::typed("wrong")) else {
            panic!("no command")
        };
        assert!(asking.password(unlock), "it was wrong");
        assert!(asking.wants_password());
        assert!(asking.judged() == Some(Command::Search { words: "x".into(), before: None }));
        asking.password(Command::History { lines: 1, conversation: None, before: None });
        assert!(matches!(asking.answer(Password::typed("")), Next::Refuse(..)));
        assert!(!asking.wants_password());
    }

    #[test]
    fn the_password_that_deletes_goes_with_the_deletion() {
        let delete = |password| Command::Account(AccountCommand::Delete { name: None, password });
        let mut asking = Asking::default();
        assert!(!asking.password(delete(None)));
        let secret = Password::typed("secret");
        let Next::Run(told) = asking.answer(secret.clone()) else { panic!("no command") };
        assert!(told == delete(Some(secret)));
        assert!(asking.password(told), "it was wrong");
        assert!(asking.is_for_deletion());
    }

    #[test]
    fn only_a_yes_is_a_yes() {
        for (answer, yes) in
            [("y", true), (" YES ", true), ("sim", true), ("", false), ("n", false), ("x", false)]
        {
            let mut asking = Asking::default();
            asking.confirm(Command::Quit);
            assert_eq!(asking.confirmed(answer).is_some(), yes, "{answer:?}");
            assert!(!asking.wants_yes(), "it is asked once");
        }
    }
}
