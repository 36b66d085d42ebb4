//! The interface between the peer and its frontends: commands and events here, answers in `answer.rs`.
//!
//! The terminal is one frontend; the JSON output is another, and so is each tab of the page. All types are serde types, so a frontend may run in
//! another process.

pub mod account;
pub mod administration;
pub mod answer;
pub mod bad_line;
pub mod conversation;
mod debug;
pub mod error;
pub mod error_details;
pub mod loss;
pub mod missing_conversation;
pub mod past;
pub mod request;
pub mod room_command;
pub mod room_entry;
mod say;
pub mod schema;
pub mod sign_in;
pub mod snapshot;
pub mod status;
#[cfg(test)]
pub(crate) mod testing;
pub mod tracker_loss;
pub mod undeliverable;

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use commons::keys::PublicKey;
use commons::names::{RoomName, Username};
use commons::room_log::facts::Policy;
use commons::snapshot::{ChangeKind, RoomSnapshot};
use commons::timestamp::milliseconds;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::api::account::AccountCommand;
use crate::api::administration::{AdminCommand, AdminEvent};
use crate::api::conversation::Conversation;
use crate::api::error_details::ErrorDetails;
use crate::api::past::{After, Before};
use crate::api::room_command::RoomCommand;
use crate::api::room_entry::RoomEntry;
use crate::api::sign_in::SignInCommand;
use crate::api::status::{LinkState, TrackerState};
use crate::api::tracker_loss::TrackerLoss;
use crate::api::undeliverable::Undeliverable;
use crate::identity::password::Password;
use crate::untrusted::UntrustedText;

/// A command of a frontend. Each has one flat name, which is its `command` as JSON: see [`request`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// Send a message. This begins a private chat if there is none, and does not change the open conversation.
    Say {
        /// The conversation; the open one if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        conversation: Option<Conversation>,
        /// The text of the message, which may have several lines.
        text: String,
        /// The message id, for a frontend that must recognise its own [`Event::Sent`]; generated if absent.
        #[serde(skip)]
        id: Option<Uuid>,
    },
    /// Open a conversation: a room of which this user is a member, or a private chat, which begins if there is none.
    #[serde(rename = "switch")]
    Open {
        /// The conversation to open.
        conversation: Conversation,
    },
    /// Say which conversation the user is reading at this frontend from now on; none if absent. Without this command it is
    /// the open one, except on a page.
    Read {
        /// The conversation on the screen.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        conversation: Option<Conversation>,
    },
    /// List the connected users.
    Peers,
    /// List all rooms of the tracker.
    Rooms,
    /// List the conversations that are stored on this device.
    Conversations,
    /// Create a room and enter it.
    Create {
        /// The name of the new room.
        room: RoomName,
        /// The rule by which others join.
        #[serde(default)]
        policy: Policy,
    },
    /// Join an existing room.
    Join {
        /// The name of the room.
        room: RoomName,
    },
    /// Give up the membership of a room, or end a private chat.
    Leave {
        /// The conversation; the open one if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        conversation: Option<Conversation>,
    },
    /// Delete a room that this user owns.
    Delete {
        /// The room's name; the open room if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        room: Option<RoomName>,
    },
    /// List the members of a conversation.
    Users {
        /// The conversation; the open one if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        conversation: Option<Conversation>,
    },
    /// Show the user's name and the state of this peer.
    #[serde(rename = "whoami")]
    WhoAmI,
    /// Block a user's private messages; without a name, list the blocked users.
    Block {
        /// The user to block.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<Username>,
    },
    /// Receive a user's private messages again.
    Unblock {
        /// The user to unblock.
        user: Username,
    },
    /// Mute a user in rooms; without a name, list the muted users.
    Mute {
        /// The user to mute.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<Username>,
    },
    /// Show a user's messages in rooms again.
    Unmute {
        /// The muted user.
        user: Username,
    },
    /// Accept the private chat for which a user asks.
    AcceptChat {
        /// The user who asks.
        user: Username,
    },
    /// Accept the keys that the tracker announces for a user, after a change.
    Accept {
        /// The user whose keys are accepted.
        user: Username,
    },
    /// Show the safety number, which both users compare.
    Verify {
        /// The other user.
        user: Username,
    },
    /// Record that both users compared the safety number and found it equal.
    Verified {
        /// The other user.
        user: Username,
    },
    /// Show the last messages of a conversation.
    History {
        /// The number of messages to show.
        #[serde(default = "past::default_lines")]
        lines: usize,
        /// The conversation; the open one if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        conversation: Option<Conversation>,
        /// A message: only messages before it are shown. If absent, the last messages of the conversation are shown.
        #[serde(flatten)]
        before: Option<Before>,
        /// A message: the first messages after it are shown. A command has either this or `before`.
        #[serde(flatten)]
        after: Option<After>,
    },
    /// Find messages in all conversations.
    Search {
        /// The words to find, and filters: `from:bob`, `in:sala`, `in:@bob`, `since:2026-11-01`, `until:2026-11-30`.
        words: String,
        /// A message: only older ones are found. If absent, the search begins with the newest message.
        #[serde(flatten)]
        before: Option<Before>,
    },
    /// Unlock the history, after [`PasswordWanted`](error::CommandError::PasswordWanted).
    Unlock {
        /// The password as the user typed it.
        password: Password,
    },
    /// Export a conversation to a file, one JSON object a line.
    Export {
        /// The path of the file, which must not exist yet.
        file: PathBuf,
        /// The conversation; the open one if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        conversation: Option<Conversation>,
    },
    /// Erase the messages of a conversation on this device.
    Forget {
        /// The conversation to erase.
        conversation: Conversation,
    },
    /// Show which members have this user's last messages of a conversation.
    Receipts {
        /// The conversation; the open one if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        conversation: Option<Conversation>,
    },
    /// Show this user's messages that some recipient has not acknowledged.
    Outbox,
    /// Show others that this user is away, until the next message.
    Away {
        /// The text beside the name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
    },
    /// Show others that this user is back.
    Back,
    /// Show what the word filter holds.
    Filter,
    /// Show a message that the screen has folded. Only a person's screen folds messages.
    #[serde(skip)]
    Show {
        /// The message id, or its last digits.
        id: String,
    },
    /// Withdraw a message that no recipient has acknowledged yet.
    Withdraw {
        /// The message id, or its last digits.
        #[serde(rename = "message")]
        id: String,
    },
    /// Sign out and close every link; the memberships stay.
    Quit,
    /// Sign out as with [`Self::Quit`]. A program whose page stays open waits for the next sign-in; others end.
    SignOut,
    /// A command of a user who is not signed in.
    #[serde(untagged)]
    SignIn(SignInCommand),
    /// A command about the user's own account; its JSON form is as flat as the others.
    #[serde(untagged)]
    Account(AccountCommand),
    /// A command about a room with a log.
    #[serde(untagged)]
    Room(RoomCommand),
    /// A command of an admin of the tracker.
    #[serde(untagged)]
    Admin(AdminCommand),
}

/// An event that the peer publishes to its frontends.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The user signed in for the first time in this run.
    LoggedIn {
        /// The name of the user.
        username: Username,
    },
    /// This user entered a room. It is the open conversation now at the frontend whose command entered it, and at one
    /// that had nothing open.
    RoomEntered {
        /// The state of the room.
        room: Box<RoomSnapshot>,
    },
    /// The tracker lists this user as a member of a room that was not entered on this device; `/join` enters it.
    RoomAvailable {
        /// The name of the room.
        room: RoomName,
    },
    /// A room of this user changed.
    RoomUpdate {
        /// The name of the room.
        room: RoomName,
        /// The kind of the change.
        change: ChangeKind,
        /// The member whom the change concerns.
        username: Username,
        /// The members after the change.
        members: Vec<Username>,
        /// The state of the room after the change.
        room_state: Box<RoomSnapshot>,
    },
    /// The owner of a room invites this user, as the tracker says. The room's log proves it when the user joins.
    Invited {
        /// The name of the room.
        room: RoomName,
        /// The owner of the room.
        by: Username,
    },
    /// Somebody else has signed a change of a room.
    RoomEntry(RoomEntry),
    /// This user is no longer a member of a room: by leaving it, or the membership was lost while away.
    RoomLeft {
        /// The name of the room.
        room: RoomName,
    },
    /// A room of this user was deleted.
    RoomDeleted {
        /// The name of the room.
        room: RoomName,
    },
    /// A link to a peer opened or closed.
    Link {
        /// The user at the other end of the link.
        peer: Username,
        /// The new state of the link.
        state: LinkState,
        /// True if the link is encrypted, so that nobody on the network can read it.
        encrypted: bool,
        /// True if the safety number was compared.
        verified: bool,
    },
    /// A user presented a key that is not pinned: no message goes to that user until the key is accepted.
    KeyChanged {
        /// The user who presented the key.
        peer: Username,
        /// The key that is not pinned.
        fingerprint: PublicKey,
    },
    /// Keys of a user that were not the pinned ones are pinned now: messages go to that user again. No `key_changed`
    /// precedes this event if there was nothing to warn of.
    KeyAccepted {
        /// The user whose keys are pinned now.
        peer: Username,
        /// True if a key that was pinned before endorses them; false if this user accepted them.
        endorsed: bool,
    },
    /// This device has a new key beside others of the account. Contacts who know the others are warned of it, until one
    /// of those endorses it.
    NewKey {
        /// The new device key.
        fingerprint: PublicKey,
    },
    /// A message was received.
    Message {
        /// The message id.
        id: Uuid,
        /// The room; `None` for a private message.
        room: Option<RoomName>,
        /// The author of the message.
        from: Username,
        /// The other user of the private chat, if another device of this user sent the message.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<Username>,
        /// The text of the message.
        content: UntrustedText,
        /// The time of sending, by the author's clock.
        #[serde(serialize_with = "milliseconds")]
        sent_at: DateTime<Utc>,
        /// True if the message came with a backlog, rather than as it was sent.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        late: bool,
        /// The number of this author's earlier messages that are missing here, if that is news.
        #[serde(default, skip_serializing_if = "past::is_zero")]
        missing: u64,
        /// True if the word filter of this device hides the message.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        filtered: bool,
        /// True if the message is a request for a private chat, as [`Event::ChatRequest`] says.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        request: bool,
        /// True if the author is muted: the message is stored and not shown as it comes.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        muted: bool,
    },
    /// Messages that were written while this user was away are about to come.
    Missed {
        /// The conversation: a field `room` or `to`.
        #[serde(flatten)]
        conversation: Conversation,
        /// The number of authors.
        people: usize,
        /// The number of messages.
        lines: u64,
    },
    /// An author signed two different messages with one sequence number: members do not all see the same messages of
    /// that author.
    Fork {
        /// The conversation: a field `room` or `to`.
        #[serde(flatten)]
        conversation: Conversation,
        /// The author who signed both.
        author: Username,
    },
    /// This user's message is durable on the disk, and waits to be sent.
    Sent {
        /// The message id.
        id: Uuid,
        /// The conversation: a field `room` or `to`.
        #[serde(flatten)]
        conversation: Conversation,
        /// The text of the message, which may have been pasted.
        content: UntrustedText,
        /// The time of sending, by the clock of this device.
        #[serde(serialize_with = "milliseconds")]
        sent_at: DateTime<Utc>,
        /// The users to whom it goes; `None` if it comes again from the history.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        recipients: Option<Vec<Username>>,
    },
    /// A recipient acknowledged a message.
    Delivered {
        /// The message id.
        id: Uuid,
        /// The recipient that acknowledged it.
        to: Username,
    },
    /// A message was written to a legacy client, which acknowledges nothing: no `delivered` follows.
    Written {
        /// The message id.
        id: Uuid,
        /// The user of the legacy client.
        to: Username,
    },
    /// A message was not delivered to a recipient, for good or for now.
    Undelivered {
        /// The message id.
        id: Uuid,
        /// The recipient that does not have it.
        to: Username,
        /// The reason, which also says if the message still waits.
        reason: Undeliverable,
    },
    /// The history is locked: the next line that is typed is taken for the password.
    PasswordWanted {
        /// The number of wrong passwords that remain.
        tries_left: usize,
    },
    /// The session with the tracker opened or closed. Links stay open without it.
    Tracker {
        /// The new state of the session.
        state: TrackerState,
        /// The reason why the session closed, as far as it is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<TrackerLoss>,
    },
    /// The tracker was known at another address, by the same key: this device's data of the user moved to the new
    /// address.
    TrackerMoved {
        /// The address at which it was known.
        from: String,
        /// The address at which it is now.
        to: String,
    },
    /// A private chat began: by a command of any frontend, or by a message of the other user.
    ConversationStarted {
        /// The private chat: a field `to`.
        #[serde(flatten)]
        conversation: Conversation,
    },
    /// A private chat ended.
    ConversationEnded {
        /// The private chat: a field `to`.
        #[serde(flatten)]
        conversation: Conversation,
        /// The user who left it: this user, at any frontend, or the other one.
        by: Username,
    },
    /// This user has blocked a user's private messages, or receives them again.
    BlockChanged {
        /// The user who is blocked or not.
        user: Username,
        /// True if the user is blocked now.
        blocked: bool,
    },
    /// This user has muted a user in rooms, or sees that user's messages again.
    MuteChanged {
        /// The user who is muted or not.
        user: Username,
        /// True if the user is muted now.
        muted: bool,
    },
    /// A user with whom this user shares no room and no chat asks for a private chat. The first messages are shown. The
    /// others wait at their author until this user replies or accepts.
    ChatRequest {
        /// The user who asks.
        user: Username,
    },
    /// A private chat for which a user asked was accepted: by a reply, by a command, or because both share a room now.
    ChatAccepted {
        /// The user who asked.
        user: Username,
    },
    /// A linked user, or this user, is away or back.
    Presence {
        /// The user, this one included.
        user: Username,
        /// The text of a user who is away, which may be empty; `None` if the user is back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        away: Option<UntrustedText>,
    },
    /// This user has compared the safety number of another user and found it equal.
    KeyVerified {
        /// The user whose key is verified.
        peer: Username,
    },
    /// The messages of a conversation were erased on this device.
    HistoryErased {
        /// The conversation, as the command named it: a field `room` or `to`.
        #[serde(flatten)]
        conversation: Conversation,
        /// The number of erased messages.
        lines: usize,
    },
    /// A message of this user was withdrawn. Nobody had confirmed it.
    MessageWithdrawn {
        /// The message id.
        id: Uuid,
    },
    /// This frontend was too slow, and events were dropped. All messages follow. For everything else it asks for the
    /// state.
    Lagged,
    /// An error that no command caused.
    Error {
        /// The stable code for programs.
        code: String,
        /// The text for people, which may come from the tracker.
        message: UntrustedText,
        /// The ids of this user's messages that are lost by the error.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        messages: Vec<Uuid>,
        /// The time in milliseconds after which a retry may work, if the tracker sent it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<u64>,
        /// The parts of the error from which a frontend builds the next question.
        #[serde(flatten)]
        details: Box<ErrorDetails>,
    },
    /// An event that an admin, the operator, or the end of an account causes.
    #[serde(untagged)]
    Admin(AdminEvent),
}
