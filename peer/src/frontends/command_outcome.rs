//! The outcome of one command: whether the loop of the terminal goes on, and with what.

use crate::api::Command;

/// The outcome of a command.
pub(crate) enum CommandOutcome {
    Out,
    /// The history is unlocked: the command that waited for it runs next.
    Unlocked(Command),
    /// The command was `/quit`, or the account is deleted: these are the last rows.
    Quit(Vec<String>),
    /// A signal asked the program to stop during the command.
    Stopped,
}
