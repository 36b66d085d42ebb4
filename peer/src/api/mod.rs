//! Everything that a face may know: what it asks of the peer, what it is answered, what it is told unasked.
//!
//! The terminal is a face, the JSON output another. All of it is serde, so that a face may be on the other side
//! of a wire.

pub mod account;
mod debug;
pub mod error;
pub mod loss;
pub mod missing_conversation;
pub mod past;
pub mod request;
pub mod schema;
pub mod status;
pub mod tracker_loss;

use std::fmt;
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use commons::keys::PublicKey;
use commons::names::{RoomName, Username};
use commons::protocol::with_tracker::{BoundKey, ListedPeer};
use commons::snapshot::{ChangeKind, Member, RoomSnapshot};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::api::account::AccountCommand;
use crate::api::past::{FoundLine, KeptConversation, OwnLine, Past, PastLine, WaitingLine};
use crate::api::status::Status;
use crate::api::tracker_loss::TrackerLoss;
use crate::identity::password::Password;
use crate::untrusted::UntrustedText;

/// Where lines go: a room, or one other user.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Conversation {
    /// A room one sits in.
    Room(RoomName),
    /// A private chat.
    #[serde(rename = "to")]
    Private(Username),
}

/// As it is typed: `sala`, `@bob`.
impl fmt::Display for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Room(room) => write!(f, "{room}"),
            Self::Private(user) => write!(f, "@{user}"),
        }
    }
}

/// A command of a frontend. Each has one flat name, which is its `command` as JSON: see [`request`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// Send a message. A private chat is begun if need be, and stays as it is open or not.
    Say {
        /// The conversation; the open one where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        conversation: Option<Conversation>,
        /// The text; may have several lines.
        text: String,
        /// The message id, for a frontend that has to recognise its own [`Event::Sent`]; made up where absent.
        #[serde(skip)]
        id: Option<Uuid>,
    },
    /// Open a conversation: a room of which one is a member, or a private chat, begun if need be.
    #[serde(rename = "switch")]
    Open {
        /// The conversation.
        conversation: Conversation,
    },
    /// List the users who are connected.
    Peers,
    /// List the rooms.
    Rooms,
    /// List the conversations that are on this computer.
    Conversations,
    /// Make a room and enter it.
    Create {
        /// Its name.
        room: RoomName,
    },
    /// Enter a room.
    Join {
        /// Its name.
        room: RoomName,
    },
    /// Give up the membership of a room, or end a private chat.
    Leave {
        /// The conversation; the open one where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        conversation: Option<Conversation>,
    },
    /// Delete a room that one owns.
    Delete {
        /// Its name; the open one where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        room: Option<RoomName>,
    },
    /// List the members of a conversation.
    Users {
        /// The conversation; the open one where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        conversation: Option<Conversation>,
    },
    /// Tell the user's name and the state of this peer.
    #[serde(rename = "whoami")]
    WhoAmI,
    /// Block a user's private messages; without a name, list the blocked users.
    Block {
        /// The user.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<Username>,
    },
    /// Receive a user's private messages again.
    Unblock {
        /// The user.
        user: Username,
    },
    /// Accept a user's announced keys after a change.
    Accept {
        /// The user.
        user: Username,
    },
    /// Show the safety number, which both users compare.
    Verify {
        /// The other user.
        user: Username,
    },
    /// Remember that the numbers were the same.
    Verified {
        /// The other user.
        user: Username,
    },
    /// Show the last messages of a conversation.
    History {
        /// How many.
        #[serde(default = "past::default_lines")]
        lines: usize,
        /// The conversation; the open one where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        conversation: Option<Conversation>,
        /// The message before which they stand; the end of the conversation where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<Uuid>,
    },
    /// Find messages in all conversations.
    Search {
        /// Words that they contain, and filters: `from:bob`, `in:sala`, `in:@bob`, `since:2026-11-01`, `until:2026-11-30`.
        words: String,
        /// The message that they are older than; the newest come first where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<Uuid>,
    },
    /// Unlock the history, after [`PasswordWanted`](error::CommandError::PasswordWanted).
    Unlock {
        /// As it was typed.
        password: Password,
    },
    /// Write a conversation to a file, as JSON lines.
    Export {
        /// The file; it must not exist yet.
        file: PathBuf,
        /// The conversation; the open one where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        conversation: Option<Conversation>,
    },
    /// Erase the messages of a conversation on this computer.
    Forget {
        /// The conversation.
        conversation: Conversation,
    },
    /// Show who has the last own messages of a conversation.
    Receipts {
        /// The conversation; the open one where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        conversation: Option<Conversation>,
    },
    /// Show the own messages that some recipient has not acknowledged.
    Outbox,
    /// Take a message back that nobody has yet.
    Withdraw {
        /// The message id, or the end of it.
        #[serde(rename = "message")]
        id: String,
    },
    /// Sign out and close every link; the memberships stay.
    Quit,
    /// A command about the user's own account; as JSON it is as flat as the others.
    #[serde(untagged)]
    Account(AccountCommand),
}

impl Command {
    /// A message to the open conversation.
    pub fn say(text: impl Into<String>) -> Self {
        Self::Say { conversation: None, text: text.into(), id: None }
    }

    /// A message to one user.
    pub fn send_private(to: Username, text: impl Into<String>) -> Self {
        Self::Say { conversation: Some(Conversation::Private(to)), text: text.into(), id: None }
    }
}

/// What a command brings, beside the events that it causes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Answer {
    /// Done; the events tell the rest.
    Done,
    /// Who is connected, by name.
    Peers {
        /// Everybody, oneself included.
        peers: Vec<ListedPeer>,
    },
    /// Which rooms exist, by name.
    Rooms {
        /// All of them.
        rooms: Vec<RoomSnapshot>,
    },
    /// Who is in the open conversation.
    Users {
        /// Which conversation.
        conversation: Conversation,
        /// Its members; of a private chat both sides.
        members: Vec<Present>,
    },
    /// Who one is.
    WhoAmI {
        /// How one stands.
        status: Status,
    },
    /// Who is shut out.
    Blocked {
        /// By name.
        users: Vec<Username>,
    },
    /// Which keys one has.
    Keys {
        /// The one bound first in front; `current` is this computer's.
        keys: Vec<BoundKey>,
    },
    /// The account is no more, and the peer has ended.
    AccountDeleted,
    /// The number to compare with a user, by voice or in person.
    SafetyNumber {
        /// With whom.
        user: Username,
        /// Sixty digits in twelve groups.
        number: String,
        /// Whether it was compared before.
        verified: bool,
        /// Whether it is of a key that is not accepted.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        changed: bool,
    },
    /// The last lines of a conversation, oldest first.
    History {
        /// Which conversation: a field `room` or `with`.
        #[serde(flatten)]
        of: Past,
        /// The name by which a command finds a room, where a newer one has the plain name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        named: Option<RoomName>,
        /// Its lines.
        lines: Vec<PastLine>,
        /// Whether there are older ones: ask for those `before` the first of these.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        more: bool,
    },
    /// Lines that hold what was looked for, newest first.
    Found {
        /// Of any conversation.
        lines: Vec<FoundLine>,
        /// Whether there are older ones: ask for those `before` the last of these.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        more: bool,
    },
    /// The conversations that are kept on this computer, or that one takes part in.
    Conversations {
        /// The one with the newest message first.
        conversations: Vec<KeptConversation>,
    },
    /// A conversation was written to a file.
    Exported {
        /// Which file.
        file: PathBuf,
        /// How many lines.
        lines: usize,
    },
    /// A conversation was erased on this computer.
    Forgotten {
        /// How many lines.
        lines: usize,
    },
    /// The last own lines of a conversation, and who has them.
    Receipts {
        /// Which conversation: a field `room` or `with`.
        #[serde(flatten)]
        of: Past,
        /// Oldest first.
        lines: Vec<OwnLine>,
    },
    /// Own lines that wait for somebody.
    Outbox {
        /// Oldest first.
        lines: Vec<WaitingLine>,
    },
    /// A line was taken back.
    Withdrawn {
        /// Which.
        id: Uuid,
    },
    /// The end: what is still on its way to whom.
    Quit {
        /// Lines that were not delivered in time, by user.
        undelivered: Vec<(Username, usize)>,
    },
}

/// What a peer tells its faces unasked.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// Signed in for the first time in this run.
    LoggedIn {
        /// Under which name.
        username: Username,
    },
    /// Sitting in a room, which is the open conversation now.
    RoomEntered {
        /// Its state.
        room: Box<RoomSnapshot>,
    },
    /// The tracker says that one sits in a room that was not entered on this computer: `/join` enters it.
    RoomAvailable {
        /// Which.
        room: RoomName,
    },
    /// A room one sits in changed.
    RoomUpdate {
        /// Which.
        room: RoomName,
        /// What happened.
        change: ChangeKind,
        /// To whom.
        username: Username,
        /// Who sits there now.
        members: Vec<Username>,
    },
    /// One's own seat is free: by one's own wish, or lost while away.
    RoomLeft {
        /// Where.
        room: RoomName,
    },
    /// A room one sat in is gone.
    RoomDeleted {
        /// Which.
        room: RoomName,
    },
    /// A peer can be talked to directly, or no longer.
    Link {
        /// Who.
        peer: Username,
        /// Since now.
        state: LinkState,
        /// Whether nobody between can read it.
        encrypted: bool,
        /// Whether both have compared the safety number.
        verified: bool,
    },
    /// A key came up for a user that is not the one pinned: no line goes to that user before it is accepted.
    KeyChanged {
        /// Whose.
        peer: Username,
        /// The key that is not known.
        fingerprint: PublicKey,
    },
    /// Keys of a user that were not the pinned ones are pinned now: messages go to that user again. Comes without a
    /// `key_changed` before it where nobody had to be warned.
    KeyAccepted {
        /// Whose.
        peer: Username,
        /// Whether a key that was pinned before vouches for them; else the user of this peer accepted them.
        endorsed: bool,
    },
    /// This computer has a new key beside others of the account: friends who know those are warned of it, until one of
    /// them endorses it.
    NewKey {
        /// The new key.
        fingerprint: PublicKey,
    },
    /// A line was heard.
    Message {
        /// Which.
        id: Uuid,
        /// Where; `None` is private.
        room: Option<RoomName>,
        /// Who said it.
        from: Username,
        /// Whose private chat an own message of another computer belongs to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<Username>,
        /// What was said.
        content: UntrustedText,
        /// When, by the author's clock.
        sent_at: DateTime<Utc>,
        /// Whether it was caught up, rather than heard as it was said.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        late: bool,
        /// How many earlier lines of this author are not here, where that is news.
        #[serde(default, skip_serializing_if = "is_zero")]
        missing: u64,
    },
    /// Lines that were written while one was away are about to come.
    Missed {
        /// Where: a field `room` or `to`.
        #[serde(flatten)]
        conversation: Conversation,
        /// How many people wrote them.
        people: usize,
        /// How many there are.
        lines: u64,
    },
    /// Somebody signed two different lines with one number: what this author says is not the same for everybody.
    Fork {
        /// Where: a field `room` or `to`.
        #[serde(flatten)]
        conversation: Conversation,
        /// Who.
        author: Username,
    },
    /// One's own line is on the disk, and on its way.
    Sent {
        /// Which.
        id: Uuid,
        /// Where to: a field `room` or `to`.
        #[serde(flatten)]
        conversation: Conversation,
        /// What was said; may have been pasted.
        content: UntrustedText,
    },
    /// A line arrived at one of those it was for.
    Delivered {
        /// Which.
        id: Uuid,
        /// At whose.
        to: Username,
    },
    /// A message was written to somebody whose program, a legacy client, acknowledges nothing: no `delivered` follows.
    Written {
        /// Which.
        id: Uuid,
        /// To whom.
        to: Username,
    },
    /// A line did not and will not arrive.
    Undelivered {
        /// Which.
        id: Uuid,
        /// At whose.
        to: Username,
        /// Why.
        reason: Undeliverable,
    },
    /// Looking at the past wants the password: the next line that is typed is taken for it.
    PasswordWanted {
        /// How often it may be wrong.
        tries_left: usize,
    },
    /// The tracker can be asked, or no longer. Talk goes on without it.
    Tracker {
        /// Since now.
        state: TrackerState,
        /// Why it is lost, as far as that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<TrackerLoss>,
    },
    /// The tracker was known at another address, by the same key: what this computer keeps of the user there was moved.
    TrackerMoved {
        /// Where it was known.
        from: String,
        /// Where it is.
        to: String,
    },
    /// Something went wrong that nobody asked for.
    Error {
        /// For programs.
        code: String,
        /// For people; may be the tracker's words.
        message: UntrustedText,
        /// The own messages that are lost by it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        messages: Vec<Uuid>,
    },
}

/// Whether a peer can be talked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LinkState {
    /// It can.
    Up,
    /// It cannot.
    Down,
}

/// A member of a conversation, and how sure it is that it is that person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Present {
    /// Who, and whether there.
    #[serde(flatten)]
    pub member: Member,
    /// What the name is worth.
    pub trust: Trust,
}

/// How sure it is that a name is the person's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trust {
    /// Both have compared the safety number, or it is oneself.
    Verified,
    /// The key is the one that was met first; nobody has compared.
    Unverified,
    /// Another key has come up: nothing is sent before it is accepted.
    Changed,
    /// There is no key: an original program, whose lines others can read.
    Unencrypted,
}

/// Whether the tracker can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrackerState {
    /// It can.
    Connected,
    /// It cannot; the peer is trying.
    Lost,
}

/// Why a line will not arrive, or not yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Undeliverable {
    /// Longer than the user's (original) program can take.
    TextTooLong,
    /// The user's key has changed: it waits until that is accepted.
    KeyChanged,
    /// The user left, or oneself did, before it arrived.
    Left,
    /// The program ends: it goes out at the next start.
    Waiting,
    /// It was erased here before it had arrived; whoever has it may still hand it on.
    Forgotten,
    /// More messages wait for that user than one recipient may have: the oldest are given up. Others in the room may still
    /// hand them on.
    QueueFull,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}
