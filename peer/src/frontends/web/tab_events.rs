//! The events that only tabs get: what kind of program serves the page, and why it ends.

use serde::Serialize;
use serde_json::json;

use crate::api::error::CommandError;
use crate::frontends::json::events;
use crate::untrusted::UntrustedText;

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

/// The end of a sign-in or of the program, and its reason if the service ended by itself.
#[derive(Serialize)]
struct EndEvent {
    event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<UntrustedText>,
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

/// Renders the end of a sign-in.
pub(crate) fn signed_out(failure: Option<CommandError>) -> Vec<String> {
    end("signed_out", failure)
}

/// Renders the end of the program, which is the last event of each tab.
pub(crate) fn program_ended(failure: Option<CommandError>) -> Vec<String> {
    end("program_ended", failure)
}

fn end(event: &'static str, failure: Option<CommandError>) -> Vec<String> {
    let code = failure.as_ref().map(CommandError::code);
    events::line(&EndEvent { event, code, message: failure.map(|failure| failure.words()) })
}
