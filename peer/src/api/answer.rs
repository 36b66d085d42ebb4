//! The answer to a command: its result, besides the events that it causes.

use std::path::PathBuf;

use commons::names::{RoomName, Username};
use commons::protocol::with_tracker::BoundKey;
use commons::snapshot::RoomSnapshot;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::api::administration::AdminAnswer;
use crate::api::bad_line::BadLine;
use crate::api::conversation::Conversation;
use crate::api::past;
use crate::api::room_command::RoomReport;
use crate::api::status::{MemberStatus, OnlineUser, Status};

/// The result of a command, besides the events that it causes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Answer {
    /// The command was carried out; the events carry the details.
    Done,
    /// The connected users, sorted by name.
    Peers {
        /// All connected users, this one included.
        peers: Vec<OnlineUser>,
    },
    /// The rooms of the tracker, sorted by name.
    Rooms {
        /// All rooms, each with its complete state.
        rooms: Vec<RoomSnapshot>,
    },
    /// A room as its log shows it.
    Room(Box<RoomReport>),
    /// The members of a conversation.
    Users {
        /// The conversation that was asked for.
        conversation: Conversation,
        /// Its members; for a private chat, both users.
        members: Vec<MemberStatus>,
    },
    /// The name of this user and the state of this peer.
    WhoAmI {
        /// The state of this peer.
        status: Status,
    },
    /// The users whose messages in rooms are not shown as they come.
    Muted {
        /// The muted users, sorted by name.
        users: Vec<Username>,
    },
    /// The users whose private messages are blocked.
    Blocked {
        /// The blocked users, sorted by name.
        users: Vec<Username>,
    },
    /// The device keys of this user's account.
    Keys {
        /// The keys in the order in which they were bound; `current` marks the key of this device.
        keys: Vec<BoundKey>,
    },
    /// The user signed in by a command.
    LoggedIn {
        /// The name of the user.
        username: Username,
    },
    /// The account was exported.
    IdentityExported {
        /// The content of the file, sealed under the account's password.
        content: String,
    },
    /// An account was imported, and can sign in on this device.
    IdentityImported {
        /// The name of the account.
        username: Username,
        /// The address of its tracker.
        tracker: String,
    },
    /// The account was deleted, and the peer has ended.
    AccountDeleted,
    /// The safety number, which both users compare by voice or in person.
    SafetyNumber {
        /// The other user.
        user: Username,
        /// Sixty digits in twelve groups.
        number: String,
        /// True if the number was compared before.
        verified: bool,
        /// True if the number belongs to a key that is not accepted.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        changed: bool,
    },
    /// The last messages of a conversation, oldest first.
    History {
        /// The conversation: a field `room` or `with`.
        #[serde(flatten)]
        of: past::PastConversation,
        /// The name by which a command finds the room, if a newer room has the plain name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        named: Option<RoomName>,
        /// The messages of the conversation, oldest first.
        lines: Vec<past::PastMessage>,
        /// True if there are older messages: ask for those `before` the first of these. In the answer to a command with
        /// `after`: true if there are newer ones.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        more: bool,
    },
    /// The messages that match a search, newest first.
    Found {
        /// Messages of any conversation, newest first.
        lines: Vec<past::FoundMessage>,
        /// True if there are older matches: ask for those `before` the last of these.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        more: bool,
    },
    /// The conversations that are stored on this device, or in which this user takes part.
    Conversations {
        /// The conversations; the one with the newest message comes first.
        conversations: Vec<past::ConversationSummary>,
    },
    /// A conversation was exported to a file.
    Exported {
        /// The path of the file.
        file: PathBuf,
        /// The number of exported messages.
        lines: usize,
    },
    /// A conversation was erased on this device.
    Forgotten {
        /// The number of erased messages.
        lines: usize,
    },
    /// This user's last messages of a conversation, with the recipients that have them.
    Receipts {
        /// The conversation: a field `room` or `with`.
        #[serde(flatten)]
        of: past::PastConversation,
        /// The messages, oldest first.
        lines: Vec<past::OwnMessage>,
    },
    /// This user's messages that some recipient has not acknowledged.
    Outbox {
        /// The messages, oldest first.
        lines: Vec<past::WaitingMessage>,
    },
    /// The content of the word filter.
    Filter {
        /// Its file, which may be missing.
        file: PathBuf,
        /// The number of words and expressions.
        words: usize,
        /// The lines that were left out.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        bad: Vec<BadLine>,
        /// The reason why the file cannot be read now; the words are those of before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// A message was withdrawn.
    Withdrawn {
        /// The message id.
        id: Uuid,
    },
    /// The peer ends, and some messages may still wait for recipients.
    Quit {
        /// The number of messages that were not delivered in time, by user.
        undelivered: Vec<(Username, usize)>,
    },
    /// An answer to a command of an admin.
    #[serde(untagged)]
    Admin(AdminAnswer),
}
