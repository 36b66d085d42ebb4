//! The form of commands and events in logs: no text of a chat, no password.

use std::fmt;

use crate::api::{Command, Event};

/// Chat text stays out of logs.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Command(..)")
    }
}

/// Chat text stays out of logs.
impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message { id, .. } => write!(f, "Message({id})"),
            Self::Sent { id, .. } => write!(f, "Sent({id})"),
            Self::Error { code, .. } => write!(f, "Error({code})"),
            other => f.write_str(&serde_json::to_string(other).map_err(|_| fmt::Error)?),
        }
    }
}
