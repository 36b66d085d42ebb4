//! The prompts for a change of the password. Pure.
//!
//! The answers become one command.

use crate::api::account::AccountCommand;
use crate::identity::password::Password;

/// The prompts, in this order.
pub(crate) const PROMPTS: [&str; 3] =
    ["The password you have (not shown; empty ends this)", "The new one", "The new one again"];

/// The answers given so far.
#[derive(Default)]
pub(crate) struct NewPassword {
    answers: Vec<Password>,
}

/// The result of an answer.
pub(crate) enum Answered {
    /// The password of now, which is checked before the new one is typed.
    Old(Password),
    /// More prompts follow.
    More,
    /// The two new passwords differ: both are asked for again.
    Different,
    /// The new password is too short: both are asked for again.
    TooShort,
    /// The answer was empty: nothing changes.
    Nothing,
    /// The command is complete.
    Complete(AccountCommand),
}

impl NewPassword {
    /// Handles the next answer.
    pub(crate) fn answer(&mut self, answer: Password) -> Answered {
        if answer.is_empty() {
            self.answers.clear();
            return Answered::Nothing;
        }
        self.answers.push(answer);
        match self.answers.as_slice() {
            [_, new, again] if new == again && new.is_too_short() => {
                self.answers.truncate(1);
                Answered::TooShort
            }
            [old, new, again] if new == again => {
                let command = AccountCommand::ChangePassword { old: old.clone(), new: new.clone() };
                self.answers.clear();
                Answered::Complete(command)
            }
            [_, _, _] => {
                self.answers.truncate(1);
                Answered::Different
            }
            [old] => Answered::Old(old.clone()),
            _ => Answered::More,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(typed: &[&str]) -> Vec<Answered> {
        let mut asked = NewPassword::default();
        typed.iter().map(|text| asked.answer(Password::typed(*text))).collect()
    }

    #[test]
    fn the_new_one_is_typed_twice() {
        let [.., last] = &answers(&["old", "the new one", "the neu one", "the new one", "the new one"])[..]
        else {
            panic!()
        };
        let expected = AccountCommand::ChangePassword {
            old: Password::typed("old"),
            new: Password::typed("the new one"),
        };
        assert!(matches!(last, Answered::Complete(command) if *command == expected));
        assert!(matches!(&answers(&["old", "new", "neu"])[..], [.., Answered::Different]));
    }

    #[test]
    fn an_empty_answer_ends_it_anywhere_and_forgets_the_rest() {
        for typed in [&[""][..], &["old", ""], &["old", "new", ""]] {
            assert!(matches!(answers(typed).last(), Some(Answered::Nothing)));
        }
        let again = answers(&["old", "", "old", "eight888", "eight888"]);
        assert!(matches!(again.last(), Some(Answered::Complete(_))));
    }

    #[test]
    fn a_new_one_of_seven_characters_is_asked_for_again() {
        let [.., short, _, last] = &answers(&["old", "séven77", "séven77", "éight888", "éight888"])[..]
        else {
            panic!()
        };
        assert!(matches!(short, Answered::TooShort) && matches!(last, Answered::Complete(_)));
    }
}
