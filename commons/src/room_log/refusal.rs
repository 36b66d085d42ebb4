//! The reasons why an entry is not accepted.

use crate::limits::{ENTRIES_MAX, ENTRIES_PER_DAY};

/// Reason why an entry may not follow a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The entry does not follow the last one. Its author has seen an older log, or another one.
    #[error("the room has changed meanwhile")]
    Stale,
    /// The entry belongs to another room, or is no first entry.
    #[error("the entry belongs to another room")]
    OtherRoom,
    /// The signature is wrong.
    #[error("the signature is wrong")]
    Signature,
    /// The key is none of the author's in this room.
    #[error("the key is none of the author's")]
    UnknownKey,
    /// The key was revoked.
    #[error("the key was revoked")]
    RevokedKey,
    /// The owner has ended the room.
    #[error("the room has ended")]
    Ended,
    /// The time is earlier than that of the entry before.
    #[error("the time is earlier than that of the entry before")]
    Time,
    /// The log has too many entries, or the author has made too many today.
    #[error("too many changes: at most {ENTRIES_PER_DAY} a day by one user, and {ENTRIES_MAX} in all")]
    TooMany,
    /// The room has no free place for a guest.
    #[error("the room is full")]
    Full,
    /// The user is not a member.
    #[error("the user is not a member")]
    NotAMember,
    /// Only the owner may do this.
    #[error("only the owner can do this")]
    NotOwner,
    /// The room is for invited users.
    #[error("the owner has not invited this user")]
    NotInvited,
    /// The owner has banned the user.
    #[error("the owner has banned this user")]
    Banned,
    /// The entry changes nothing, for example because the user is a member already.
    #[error("the entry changes nothing")]
    NoChange,
    /// A value is not allowed here, for example a list that is too long.
    #[error("a value of the entry is not allowed")]
    Value,
}
