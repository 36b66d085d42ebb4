//! Reasons why the session with the tracker closed.
//!
//! A reason comes from the error of the connection, or from the tracker's last message.

use std::io::{self, ErrorKind};

use serde::{Deserialize, Serialize};

/// The reason why the session with the tracker closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TrackerLoss {
    /// The tracker announced that it stops.
    Stopped,
    /// The tracker closed the connection without an announcement.
    Closed,
    /// The connection was reset.
    Reset,
    /// Nothing arrived within the time limit.
    TimedOut,
    /// The tracker's computer refused the connection: no program listens there.
    Refused,
    /// The tracker turned this peer away. The answer was not authenticated, so this is not certain.
    TurnedAway,
    /// The connection failed in another way.
    Failed,
}

impl TrackerLoss {
    /// The reason that an I/O error of the connection implies.
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
