//! The rules that the controls of the simulation leave out, one at a time. At least one seed must detect each omission.

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
    /// The history is given the members of each room.
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
    /// The tracker is not asked about a user again and again.
    LookupLimiter,
    /// Messages to users whom nobody knows are refused.
    RefuseUnknown,
    /// The rooms of the last run are entered again.
    RememberRooms,
    /// The history forgets a room that ended.
    LeaveRoom,
    /// An older snapshot of a room is ignored.
    #[cfg(test)]
    RevisionOrder,
    /// Messages are held back until the tracker confirms the membership of their author.
    Release,
    /// A first message waits for the Lamport time of another member.
    LamportWait,
    /// Missed messages are counted when a link comes up.
    CountMissed,
    /// A message of the backlog that was not counted is counted when it comes.
    CountBacklog,
    /// A live message that was announced as missed is late.
    AnnouncedIsLate,
    /// A link that was full takes no message before the engine resumes it.
    #[cfg(test)]
    OpensAtResume,
    /// HAVEs are compared with the history.
    Comparison,
    /// Messages are handed over to members who ask for them.
    HandOver,
    /// Messages are handed over to members only.
    HandOverToMembers,
    /// Messages are handed over from the revision of joining on.
    HandOverSince,
    /// Messages of a link that was replaced are ignored.
    ReplacedLink,
    /// A command that follows messages waits until they are stored.
    CommandsWait,
    /// Commands and waits go on when all own messages are stored.
    AllStored,
    /// A wait for messages ends when they are delivered, not before.
    DrainWaits,
    /// A wait for messages is bounded.
    DrainBound,
    /// A block takes effect.
    Block,
    /// A message that was written to a legacy client does not count as delivered.
    Written,
    /// Messages wait while a legacy client does not show their room.
    HideRooms,
    /// Messages go on when a legacy client shows their room again.
    ShowsAgain,
    /// Members compare the logs of their rooms.
    CompareHeads,
    /// Members compare the last messages of each author.
    CompareTips,
    /// A user whom only the tracker lists is no member of a room with a log.
    GhostFilter,
    /// A member whom the tracker leaves out stays a member.
    MembersOfLog,
    /// The time of joining is that of the log.
    SinceOfLog,
    /// Only the keys of the log count.
    KeysOfLog,
    /// The signature of an entry is checked.
    #[cfg(test)]
    EntrySignatures,
    /// A state of the log that is older than the known one is ignored.
    #[cfg(test)]
    NewestState,
    /// After a split view nothing is written before the user has looked at the room.
    SplitStops,
}

impl Omission {
    /// All of them, each with the seed of a world that finds it out.
    #[cfg(test)]
    pub(crate) const ALL: [(Self, u64); 48] = [
        (Self::PendingAtLink, 2),
        (Self::RoomAgain, 7),
        (Self::RefusedMessage, 22),
        (Self::HaveAtTick, 6),
        (Self::HaveIsAck, 0),
        (Self::Ack, 1),
        (Self::NoteRoom, 0),
        (Self::GiveUp, 4),
        (Self::KeepForMembers, 2),
        (Self::Unshown, 58),
        (Self::ReopenPrivate, 10),
        (Self::HoldAnnounced, 8),
        (Self::HoldAtLink, 1),
        (Self::HoldHandOver, 1),
        (Self::ReleaseHold, 2),
        (Self::LookupAnswered, 0),
        (Self::LookupLimiter, 8),
        (Self::RefuseUnknown, 9),
        (Self::RememberRooms, 9),
        (Self::LeaveRoom, 12),
        (Self::RevisionOrder, 10),
        (Self::Release, 2),
        (Self::LamportWait, 1),
        (Self::CountMissed, 0),
        (Self::CountBacklog, 0),
        (Self::AnnouncedIsLate, 5),
        (Self::OpensAtResume, 139),
        (Self::Comparison, 3),
        (Self::HandOver, 3),
        (Self::HandOverToMembers, 3),
        (Self::HandOverSince, 11),
        (Self::ReplacedLink, 52),
        (Self::CommandsWait, 0),
        (Self::AllStored, 4),
        (Self::DrainWaits, 4),
        (Self::DrainBound, 5),
        (Self::Block, 6),
        (Self::Written, 14),
        (Self::HideRooms, 14),
        (Self::ShowsAgain, 14),
        (Self::CompareHeads, 65),
        (Self::GhostFilter, 84),
        (Self::MembersOfLog, 86),
        (Self::SinceOfLog, 63),
        (Self::KeysOfLog, 87),
        (Self::EntrySignatures, 89),
        (Self::NewestState, 88),
        (Self::SplitStops, 64),
    ];
}
