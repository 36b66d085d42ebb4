//! Everything that a face may know: what it asks of the peer, what it is answered, what it is told unasked.
//!
//! The terminal is a face, the JSON output another. All of it is serde, so that a face may be on the other side
//! of a wire.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Utc};
use commons::keys::PublicKey;
use commons::names::{RoomName, Username};
use commons::protocol::with_tracker::{BoundKey, ErrorCode, ListedPeer};
use commons::snapshot::{ChangeKind, Member, RoomSnapshot};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::password::Password;
use crate::untrusted::Untrusted;

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

/// What a face asks for.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// Say something in the open conversation.
    Say {
        /// What; may have several lines.
        text: String,
    },
    /// Say something to a user in private, whatever is open.
    Tell {
        /// To whom.
        to: Username,
        /// What.
        text: String,
    },
    /// Show a conversation: a room one sits in, or a private chat, begun if need be.
    Open {
        /// Which.
        conversation: Conversation,
    },
    /// Who is connected.
    Peers,
    /// Which rooms exist.
    Rooms,
    /// Make a room and enter it.
    Create {
        /// Its name.
        room: RoomName,
    },
    /// Enter a room.
    Join {
        /// Which.
        room: RoomName,
    },
    /// Give up a seat, or end a private chat.
    Leave {
        /// Which; the open one where absent.
        conversation: Option<Conversation>,
    },
    /// End a room one owns.
    Delete {
        /// Which; the open one where absent.
        room: Option<RoomName>,
    },
    /// Who is in the open conversation.
    Users,
    /// Who one is, and how one stands.
    WhoAmI,
    /// Shut out a user's private lines; without a name, list who is shut out.
    Block {
        /// Whom.
        user: Option<Username>,
    },
    /// Hear a user's private lines again.
    Unblock {
        /// Whom.
        user: Username,
    },
    /// Take a user's announced keys for right, after a change.
    Accept {
        /// Whose.
        user: Username,
    },
    /// Show the number that both sides compare to know that nobody stands between.
    Verify {
        /// With whom.
        user: Username,
    },
    /// Remember that the numbers were the same.
    Verified {
        /// With whom.
        user: Username,
    },
    /// Something of one's own account.
    Account(AccountCommand),
    /// Sign out and close every link; seats are kept.
    Quit,
}

/// What a face asks for of the user's own account.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "account", rename_all = "snake_case")]
pub enum AccountCommand {
    /// Which keys it has.
    Keys,
    /// Take one of the keys away: of a computer that is lost.
    Revoke {
        /// Its first digits.
        key: String,
    },
    /// Change the password, here and at the tracker.
    ChangePassword {
        /// What it is.
        old: Password,
        /// What it is to be.
        new: Password,
    },
    /// End it and leave nothing of it on this computer; the peer ends too.
    Delete {
        /// The user's name, typed again.
        name: Username,
    },
}

/// Passwords stay out of logs.
impl fmt::Debug for AccountCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccountCommand(..)")
    }
}

/// Chat text stays out of logs.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Command(..)")
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
    /// A line was heard.
    Message {
        /// Which.
        id: Uuid,
        /// Where; `None` is private.
        room: Option<RoomName>,
        /// Who said it.
        from: Username,
        /// What was said.
        content: Untrusted,
        /// When, by the author's clock.
        sent_at: DateTime<Utc>,
    },
    /// One's own line is on its way.
    Sent {
        /// Which.
        id: Uuid,
        /// Where to: a field `room` or `to`.
        #[serde(flatten)]
        conversation: Conversation,
        /// What was said; may have been pasted.
        content: Untrusted,
    },
    /// A line arrived at one of those it was for.
    Delivered {
        /// Which.
        id: Uuid,
        /// At whose.
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
    /// The tracker can be asked, or no longer. Talk goes on without it.
    Tracker {
        /// Since now.
        state: TrackerState,
    },
    /// Something went wrong that nobody asked for.
    Error {
        /// For programs.
        code: String,
        /// For people; may be the tracker's words.
        message: Untrusted,
    },
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

/// Why a line will not arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Undeliverable {
    /// The user is not connected, or no link could be made.
    Unreachable,
    /// More is on its way to that user than may wait.
    QueueFull,
    /// Longer than the user's (original) program can take.
    TextTooLong,
    /// The user's key has changed and was not accepted.
    KeyChanged,
}

/// How a peer stands: what a prompt or a status line shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Signed in as; `None` before.
    pub username: Option<Username>,
    /// The conversation that lines go to.
    pub open: Option<Conversation>,
    /// Every conversation with the number of lines heard since it was last open.
    pub conversations: Vec<(Conversation, usize)>,
    /// Whether the tracker can be asked.
    pub tracker: TrackerState,
    /// The tracker's address, as it was given.
    pub tracker_address: String,
    /// Where this peer takes links.
    pub listening: String,
    /// What the names of the others in the open conversation are worth.
    pub trust: BTreeMap<Username, Trust>,
    /// Everybody that was met or listed in this run, for completion.
    pub known_users: Vec<Username>,
    /// Every room that was entered or listed in this run, for completion.
    pub known_rooms: Vec<RoomName>,
}

/// Why a command was not carried out. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The tracker refused; its words are not shown here, see [`CommandError::words`].
    #[error("the tracker refused")]
    Refused {
        /// Why, for programs.
        code: ErrorCode,
        /// Why, for people; the tracker's words.
        msg: Untrusted,
    },
    /// The tracker cannot be asked now.
    #[error("the tracker cannot be reached: talk goes on, this command has to wait until it is back")]
    TrackerLost,
    /// A private chat with oneself.
    #[error("that is you: choose somebody else")]
    NotYourself,
    /// The user is not connected.
    #[error("{0} is not connected: try again when /peers shows the name")]
    Unreachable(Username),
    /// No conversation is open, or not the one that was named.
    #[error("no conversation is open by that name, or none at all: /join a room or /msg somebody")]
    NoConversation,
    /// Longer than a line may be.
    #[error("a message has at most {max} bytes, this one has {length}: send it in parts")]
    TextTooLong {
        /// Bytes of the text.
        length: usize,
        /// Bytes it may have.
        max: usize,
    },
    /// The user's key is another one than before.
    #[error("the key of {0} has changed: ask {0} by another way, compare with /verify {0}, then /accept {0}")]
    KeyChanged(Username),
    /// The tracker is not the one that was met at this address before.
    #[error(
        "the tracker at {address} shows another key than the one known here: it was set up anew, or somebody stands \
         between. Ask whoever runs it what `tracker fingerprint` prints. Only if that is the new key, start with \
         --tracker {address}#{found} (known here: {pinned})"
    )]
    TrackerKeyChanged {
        /// Where.
        address: String,
        /// The key that was met before.
        pinned: PublicKey,
        /// The key that answers now.
        found: PublicKey,
    },
    /// The line is no command.
    #[error("{0}")]
    Usage(String),
    /// This computer failed.
    #[error("{0}")]
    Local(String),
}

impl CommandError {
    /// The stable code for programs.
    #[must_use]
    pub fn code(&self) -> String {
        let own = match self {
            Self::Refused { code, .. } => {
                return match serde_json::to_value(code) {
                    Ok(serde_json::Value::String(code)) => code,
                    _ => "UNKNOWN".to_owned(),
                };
            }
            Self::TrackerLost => "TRACKER_LOST",
            Self::NotYourself => "NOT_YOURSELF",
            Self::Unreachable(_) => "UNREACHABLE",
            Self::NoConversation => "NO_CONVERSATION",
            Self::TextTooLong { .. } => "TEXT_TOO_LONG",
            Self::KeyChanged(_) => "KEY_CHANGED",
            Self::TrackerKeyChanged { .. } => "TRACKER_KEY_CHANGED",
            Self::Usage(_) => "USAGE",
            Self::Local(_) => "LOCAL",
        };
        own.to_owned()
    }

    /// What went wrong, for people: the tracker's words where it refused, ours otherwise.
    #[must_use]
    pub fn words(&self) -> Untrusted {
        match self {
            Self::Refused { msg, .. } => msg.clone(),
            own => own.to_string().into(),
        }
    }

    /// The error as a face that speaks JSON shows it.
    #[must_use]
    pub fn event(&self) -> Event {
        Event::Error { code: self.code(), message: self.words() }
    }
}
