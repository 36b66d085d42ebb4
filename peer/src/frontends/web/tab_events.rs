//! The events that only tabs get: what kind of program serves the page, and why it ends.

use serde::Serialize;
use serde_json::json;

use crate::api::error::CommandError;
use crate::frontends::json::events;

/// The program that serves the page, as far as a user must know it before ending it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Program {
    /// True if the program also runs the tracker, which ends with it.
    pub hosts_tracker: bool,
    /// True if the program also reads commands, so that it ends when the user signs out.
    pub ends_at_sign_out: bool,
}

#[derive(Serialize)]
struct ProgramEvent {
    event: &'static str,
    hosts_tracker: bool,
    ends_at_sign_out: bool,
}

impl Program {
    /// Renders the first event of each tab.
    pub(crate) fn event(self) -> Vec<String> {
        let Self { hosts_tracker, ends_at_sign_out } = self;
        events::line(&ProgramEvent { event: "program", hosts_tracker, ends_at_sign_out })
    }
}

/// Renders the role of an admin, which follows the snapshot.
pub(crate) fn admin() -> Vec<String> {
    events::line(&json!({"event": "admin"}))
}

/// Renders the end of the program, which is the last event of each tab.
pub(crate) fn program_ended(failure: Option<CommandError>) -> Vec<String> {
    events::end("program_ended", failure)
}
