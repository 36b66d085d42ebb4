//! The rules that the controls of the simulation leave out, one at a time. Each omission must be found out.

/// A rule of the engine that is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Omission {
    /// Pending messages are sent when a link comes up.
    PendingAtLink,
    /// A link that is full goes on when it has room.
    RoomAgain,
    /// A message that did not fit is sent later.
    RefusedMessage,
    /// HAVEs are sent at each tick.
    HaveAtTick,
    /// A HAVE acknowledges messages.
    HaveIsAck,
    /// A stored message is acknowledged to its author.
    Ack,
    /// The history learns who the members are.
    NoteRoom,
    /// Messages for former members are given up.
    GiveUp,
    /// Only the messages for former members are given up.
    KeepForMembers,
    /// Unshown messages are shown at the next start.
    Unshown,
    /// Private chats with waiting messages are reopened at the next start.
    ReopenPrivate,
    /// A changed key holds messages when it is announced.
    HoldAnnounced,
    /// A changed key holds messages when a link comes up.
    HoldAtLink,
    /// A changed key gets no messages that others ask for.
    HoldHandOver,
    /// Messages go on when a key was accepted.
    ReleaseHold,
    /// The answer of the tracker lets a command go on.
    LookupAnswered,
}

impl Omission {
    /// All of them, each with the seed of a world that finds it out.
    #[cfg(test)]
    pub(crate) const ALL: [(Self, u64); 16] = [
        (Self::PendingAtLink, 0),
        (Self::RoomAgain, 26),
        (Self::RefusedMessage, 7),
        (Self::HaveAtTick, 1),
        (Self::HaveIsAck, 0),
        (Self::Ack, 1),
        (Self::NoteRoom, 0),
        (Self::GiveUp, 0),
        (Self::KeepForMembers, 1),
        (Self::Unshown, 94),
        (Self::ReopenPrivate, 1),
        (Self::HoldAnnounced, 1),
        (Self::HoldAtLink, 0),
        (Self::HoldHandOver, 3),
        (Self::ReleaseHold, 11),
        (Self::LookupAnswered, 1),
    ];
}
