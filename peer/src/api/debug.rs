//! The form of commands and events in logs.
//!
//! It contains no chat text and no password.

use std::fmt;

use crate::api::{Command, Event};

/// Hides every field: a command may hold chat text or a password.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Command(..)")
    }
}

/// Shows a message by its id and an error by its code: chat text stays out of logs.
impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message { id, .. } => write!(f, "Message({id})"),
            Self::Sent { id, .. } => write!(f, "Sent({id})"),
            Self::Presence { user, .. } => write!(f, "Presence({user})"),
            Self::Error { code, .. } => write!(f, "Error({code})"),
            other => f.write_str(&serde_json::to_string(other).map_err(|_| fmt::Error)?),
        }
    }
}
