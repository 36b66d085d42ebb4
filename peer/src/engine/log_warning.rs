//! The contradictions between the tracker and the log of a room, and how the user is warned of them.

use commons::names::{RoomName, Username};

use crate::api::Event;

/// A contradiction between the tracker and the log of a room. The user is warned of each once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LogWarning {
    /// The tracker shows a member who is none by the log.
    Ghost(Username),
    /// The tracker shows a room without its log.
    NoLog,
    /// The tracker shows an older state than it showed before.
    Older,
    /// The tracker shows another entry in the place of a known one.
    Split,
    /// The tracker has shown this member another entry in the place of a known one.
    SplitWith(Username),
    /// The tracker sent an entry that breaks the rules.
    Invalid,
    /// A member signs messages for another state of the room.
    OtherLog(Username),
}

impl LogWarning {
    /// The event that warns the user.
    pub(crate) fn event(&self, room: &RoomName) -> Event {
        let (code, text) = match self {
            Self::Ghost(user) => (
                "GHOST",
                format!(
                    "The tracker lists {user} in {room}, but nobody has signed that. {user} gets nothing. Tell the others, and ask the \
                     tracker's operator."
                ),
            ),
            Self::OtherLog(user) => (
                "OTHER_LOG",
                format!(
                    "{user} signs messages in {room} for another state of the room than yours. They are not shown. Compare /room \
                     with {user} by another way: the tracker may have shown you two different rooms."
                ),
            ),
            Self::NoLog => (
                "LOG_MISSING",
                format!(
                    "The tracker shows {room} without its signed log. The members stay as they were. Ask its operator."
                ),
            ),
            Self::Older => (
                "LOG_OLDER",
                format!(
                    "The tracker shows an older state of {room} than before. The members stay as they were. It may have been restored \
                     from a backup: ask its operator."
                ),
            ),
            Self::SplitWith(user) => (
                "SPLIT_VIEW",
                format!(
                    "The tracker has shown {user} another {room} than you, and has signed both. Nothing is sent there until you \
                     have looked at /room. Compare it with {user} by another way, and ask the tracker's operator."
                ),
            ),
            Self::Split => (
                "SPLIT_VIEW",
                format!(
                    "The tracker has shown two different states of {room}. Nothing is sent there until you have looked at /room. \
                     Compare it with the others by another way."
                ),
            ),
            Self::Invalid => (
                "LOG_INVALID",
                format!(
                    "The tracker sent an entry for {room} that breaks its rules. It was ignored. Ask the tracker's operator."
                ),
            ),
        };
        Event::error(code, text)
    }
}
