//! The prompts that a person has not answered, and the commands that wait for the answers. Pure.
//!
//! An answer is the password that unlocks the history, a password of `/password`, or the confirmation of a loss.

use commons::protocol::with_tracker::RoomsFate;

use crate::api::Command;
use crate::api::account::AccountCommand;
use crate::api::error::CommandError;
use crate::frontends::new_password::{Answered, NewPassword, PROMPTS};
use crate::identity::password::Password;

/// The answers so far, and the commands that wait for them.
#[derive(Default)]
pub(crate) struct PendingPrompts {
    new_password: NewPassword,
    /// The command that runs after the history is unlocked.
    password_for: Option<Command>,
    /// The command that runs after a confirmation.
    confirmation_for: Option<Command>,
}

/// Returns true if a command carries the password.
pub(crate) fn carries_password(command: &Command) -> bool {
    matches!(
        command,
        Command::Unlock { .. } | Command::Account(AccountCommand::Delete { password: Some(_), .. })
    )
}

/// Returns the fate of the user's rooms that an answer names.
fn rooms_fate(answer: &str) -> Option<RoomsFate> {
    match answer {
        "" | "h" | "hand on" => Some(RoomsFate::HandOn),
        "d" | "delete" => Some(RoomsFate::Delete),
        _ => None,
    }
}

/// The next step after an answer.
pub(crate) enum PromptStep {
    /// Run this command.
    Run(Command),
    /// Run this command, which checks the password of now; then wait for the answers to further prompts.
    Check(Command),
    /// Wait for the answers to further prompts.
    Wait,
    /// Do nothing, for this reason; these prompts are shown again.
    Refuse(CommandError, &'static [&'static str]),
}

impl PendingPrompts {
    /// Begins `/password` with its first prompt.
    pub(crate) fn begin(&mut self) {
        self.new_password = NewPassword::default();
    }

    /// Notes a command that needs the password first. Returns true if the command carried a wrong password.
    pub(crate) fn password(&mut self, command: Command) -> bool {
        let wrong = carries_password(&command);
        if !wrong {
            self.password_for = Some(command);
        }
        wrong
    }

    /// Returns true if the next line is the password, from a terminal or a pipe.
    pub(crate) fn wants_password(&self) -> bool {
        self.password_for.is_some()
    }

    /// Ends the question for the password. Returns the command that waited for it.
    pub(crate) fn take_waiting(&mut self) -> Option<Command> {
        self.password_for.take()
    }

    /// Returns the command that carries the password.
    pub(crate) fn with_password(&self, password: Password) -> Command {
        match &self.password_for {
            Some(Command::Account(AccountCommand::Delete { name, rooms, .. })) => {
                let (name, password, rooms) = (name.clone(), Some(password), *rooms);
                Command::Account(AccountCommand::Delete { name, password, rooms })
            }
            _ => Command::Unlock { password },
        }
    }

    /// Returns true if the password is for the deletion of the account, not for the history.
    pub(crate) fn is_for_deletion(&self) -> bool {
        matches!(self.password_for, Some(Command::Account(_)))
    }

    /// Notes a command that needs a confirmation first.
    pub(crate) fn confirm(&mut self, command: Command) {
        self.confirmation_for = Some(command);
    }

    /// Returns true if the next line is a confirmation or a refusal.
    pub(crate) fn wants_yes(&self) -> bool {
        self.confirmation_for.is_some()
    }

    /// Returns what a refusal means.
    pub(crate) fn refusal(&self) -> &'static str {
        match self.confirmation_for {
            Some(Command::Leave { .. }) => "you are still in it",
            _ => "nothing was deleted",
        }
    }

    /// Returns the command if the answer confirms it.
    pub(crate) fn confirmed(&mut self, answer: &str) -> Option<Command> {
        let answer = answer.trim().to_lowercase();
        match (self.confirmation_for.take()?, answer.as_str()) {
            (Command::Account(AccountCommand::Delete { name, password, .. }), answer) => {
                let rooms = rooms_fate(answer)?;
                Some(Command::Account(AccountCommand::Delete { name, password, rooms }))
            }
            (command, "y" | "yes" | "s" | "sim") => Some(command),
            _ => None,
        }
    }

    /// Handles the next answer. An empty one ends the prompts.
    pub(crate) fn answer(&mut self, answer: Password) -> PromptStep {
        if self.password_for.is_some() {
            if !answer.is_empty() {
                return PromptStep::Run(self.with_password(answer));
            }
            let why = if self.is_for_deletion() { "nothing was deleted" } else { "the history stays locked" };
            self.password_for = None;
            return PromptStep::Refuse(CommandError::usage(why), &[]);
        }
        match self.new_password.answer(answer) {
            Answered::Complete(command) => PromptStep::Run(Command::Account(command)),
            Answered::Old(password) => PromptStep::Check(Command::Unlock { password }),
            Answered::More => PromptStep::Wait,
            Answered::Nothing => PromptStep::Refuse(CommandError::usage("the password stays as it is"), &[]),
            Answered::Different => PromptStep::Refuse(
                CommandError::usage("The two new passwords are different. Type the new one again, twice."),
                &PROMPTS[1..],
            ),
            Answered::TooShort => PromptStep::Refuse(CommandError::PasswordTooShort, &PROMPTS[1..]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn password_is_for_the_waiting_command_and_empty_is_none() {
        let mut pending_prompts = PendingPrompts::default();
        assert!(!pending_prompts.password(Command::Search { words: "x".into(), before: None }));
        let PromptStep::Run(unlock @ Command::Unlock { .. }) =
            pending_prompts.answer(Password::typed("wrong"))
        else {
            panic!("no command")
        };
        assert!(pending_prompts.password(unlock), "it was wrong");
        assert!(pending_prompts.wants_password());
        assert!(pending_prompts.take_waiting() == Some(Command::Search { words: "x".into(), before: None }));
        pending_prompts.password(Command::History {
            lines: 1,
            conversation: None,
            before: None,
            after: None,
        });
        assert!(matches!(pending_prompts.answer(Password::typed("")), PromptStep::Refuse(..)));
        assert!(!pending_prompts.wants_password());
    }

    #[test]
    fn password_is_sent_with_the_deletion_it_confirms() {
        let delete = |password| {
            Command::Account(AccountCommand::Delete { name: None, password, rooms: RoomsFate::Delete })
        };
        let mut pending_prompts = PendingPrompts::default();
        assert!(!pending_prompts.password(delete(None)));
        let secret = Password::typed("secret");
        let PromptStep::Run(command) = pending_prompts.answer(secret.clone()) else { panic!("no command") };
        assert!(command == delete(Some(secret)));
        assert!(pending_prompts.password(command), "it was wrong");
        assert!(pending_prompts.is_for_deletion());
    }

    #[test]
    fn rooms_are_handed_on_unless_the_answer_says_delete() {
        let delete = |rooms| Command::Account(AccountCommand::Delete { name: None, password: None, rooms });
        for (answer, fate) in [
            ("", Some(RoomsFate::HandOn)),
            (" Hand on ", Some(RoomsFate::HandOn)),
            ("D", Some(RoomsFate::Delete)),
            ("delete", Some(RoomsFate::Delete)),
            ("y", None),
            ("no", None),
        ] {
            let mut pending_prompts = PendingPrompts::default();
            pending_prompts.confirm(delete(RoomsFate::HandOn));
            assert!(pending_prompts.confirmed(answer) == fate.map(delete), "{answer:?}");
        }
    }

    #[test]
    fn only_a_yes_is_a_yes() {
        for (answer, yes) in
            [("y", true), (" YES ", true), ("sim", true), ("", false), ("n", false), ("x", false)]
        {
            let mut pending_prompts = PendingPrompts::default();
            pending_prompts.confirm(Command::Quit);
            assert_eq!(pending_prompts.confirmed(answer).is_some(), yes, "{answer:?}");
            assert!(!pending_prompts.wants_yes(), "it is asked once");
        }
    }
}
