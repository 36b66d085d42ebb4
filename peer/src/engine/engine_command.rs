//! The commands that the engine carries out: those about conversations, the keys of others and the lock of the history.

use commons::names::{RoomName, Username};
use commons::protocol::listed_peer::ListedPeer;
use uuid::Uuid;

use crate::api::conversation::Conversation;

/// A command for the engine, with the conversation and the id that the frontend left open.
#[derive(Debug)]
pub(crate) enum EngineCommand {
    Say {
        to: Conversation,
        text: String,
        id: Uuid,
    },
    Open(Conversation),
    EndPrivate(Username),
    /// Lists the members of a conversation.
    Users(Conversation),
    /// Describes a room with a log.
    DescribeRoom(RoomName),
    /// Says of each connected user, as the tracker lists them, whether that user is away.
    MarkAway(Vec<ListedPeer>),
    /// Lists the blocked users.
    Blocked,
    Block(Username),
    Unblock(Username),
    /// Accepts the private chat for which a user asks.
    AcceptChat(Username),
    /// Accepts the keys that the tracker announces for a user.
    Accept(Username),
    /// Shows the safety number.
    Verify(Username),
    /// Records that the safety number was compared.
    Verified(Username),
    /// Does nothing. As every command it is answered once all own messages are stored, so that the command that follows
    /// it comes after them.
    WaitForTurn {
        /// Whether the user gave the command that follows. A page gives some by itself.
        is_by_user: bool,
    },
    /// Says to all linked users that the user is away, with a text that may be empty.
    Away(String),
    /// Says that the user is back.
    Back,
    /// Waits until no message is on its way to a recipient that is connected: in one conversation, or in all. The wait
    /// is bounded.
    Drain(Option<Conversation>),
    /// Checks that a message that waits was not sent to any of these recipients, who may have it by now.
    CheckUnsent {
        row: i64,
        room: Option<Uuid>,
        to: Vec<Username>,
    },
    /// Checks that the history is unlocked.
    CheckUnlocked,
    /// The user gave a password, which is right or wrong.
    Unlock {
        is_right: bool,
    },
    /// Asks for the password, whether the history is locked or not.
    RequestPassword,
}
