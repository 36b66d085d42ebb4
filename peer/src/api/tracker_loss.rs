//! Why the tracker cannot be asked any more, as far as the connection tells.

use std::io::{self, ErrorKind};

use serde::{Deserialize, Serialize};

/// Why the tracker cannot be asked any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TrackerLoss {
    /// The tracker said that it stops.
    Stopped,
    /// The tracker closed the connection without a word.
    Closed,
    /// The connection was reset.
    Reset,
    /// Nothing came for too long.
    TimedOut,
    /// Its computer refused the connection: no program listens there.
    Refused,
    /// It turned this peer away, as far as an answer without proof can tell.
    TurnedAway,
    /// The connection failed in another way.
    Failed,
}

impl TrackerLoss {
    /// What an error of a connection tells.
    pub(crate) fn of(error: &io::Error) -> Self {
        match error.kind() {
            ErrorKind::ConnectionRefused => Self::Refused,
            ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => Self::Reset,
            ErrorKind::TimedOut => Self::TimedOut,
            ErrorKind::UnexpectedEof => Self::Closed,
            _ => Self::Failed,
        }
    }
}
