//! The schema of the JSON commands: their names, and the fields of each with their types.
//!
//! [`Command`](crate::api::Command) is read from the same objects. The check against this table comes first. Its error
//! names fields and types only: it never repeats a value, which may be a password or chat text.

use commons::keys::PublicKey;
use commons::names::{RoomName, Username};
use commons::protocol::with_tracker::RoomsFate;
use commons::room_log::facts::Policy;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::api::conversation::Conversation;
use crate::limits::MESSAGE_ID_DIGITS;

/// The type of a field's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// A string that is not empty.
    Text,
    /// The name of a room.
    Room,
    /// The name of a user.
    User,
    /// A conversation: `{"room":…}` or `{"to":…}`.
    Conversation,
    /// A whole number of at least 1.
    Count,
    /// A message id, or its last digits.
    Message,
    /// A complete message id.
    MessageId,
    /// A password, as the user typed it.
    Password,
    /// A key in hex.
    Key,
    /// A time in seconds, a whole number from one.
    Seconds,
    /// The fate of rooms: `hand_on` or `delete`.
    RoomsFate,
    /// A consent: `true` or `false`.
    Consent,
    /// The rule by which users join a room: `open` or `invite`.
    Policy,
}

/// A field of a JSON command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// The name of the field.
    pub name: &'static str,
    /// The type of its value.
    pub r#type: Type,
    /// True if the command is invalid without the field.
    pub required: bool,
}

/// A command that a program can give, with its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Schema {
    /// The value of `command`.
    #[serde(rename = "command")]
    pub name: &'static str,
    /// The fields besides `command` and `id`.
    #[serde(serialize_with = "names_of")]
    pub fields: &'static [Field],
    /// A short description of the command.
    pub help: &'static str,
}

/// The room of a command about a room; the open one if absent.
const OF_ROOM: Field = optional("room", Type::Room);

/// Every command, in the order in which `help` lists them.
pub const COMMANDS: &[Schema] = &[
    schema(
        "say",
        &[required("text", Type::Text), optional("conversation", Type::Conversation)],
        "send a message; line feeds are part of it",
    ),
    schema("switch", &[required("conversation", Type::Conversation)], "open a conversation"),
    schema(
        "read",
        &[optional("conversation", Type::Conversation)],
        "say which conversation is read here; none if absent",
    ),
    schema(
        "create",
        &[required("room", Type::Room), optional("policy", Type::Policy)],
        "create a room and enter it; without a policy anybody may join",
    ),
    schema("join", &[required("room", Type::Room)], "enter a room"),
    schema(
        "leave",
        &[optional("conversation", Type::Conversation), optional("room", Type::Room)],
        "leave a room, or end a private chat",
    ),
    schema("delete", &[optional("room", Type::Room)], "delete a room that is yours"),
    schema("room", &[OF_ROOM], "describe a room with a log: who is in it, and by whose invitation"),
    schema(
        "invite",
        &[OF_ROOM, required("user", Type::User)],
        "for owners: invite a user whose key you have met",
    ),
    schema("uninvite", &[OF_ROOM, required("user", Type::User)], "for owners: take an invitation back"),
    schema("kick", &[OF_ROOM, required("user", Type::User)], "for owners: remove a member"),
    schema("ban", &[OF_ROOM, required("user", Type::User)], "for owners: remove a user for good"),
    schema("unban", &[OF_ROOM, required("user", Type::User)], "for owners: lift a ban"),
    schema("give", &[OF_ROOM, required("user", Type::User)], "for owners: make a member the owner"),
    schema(
        "successor",
        &[OF_ROOM, optional("user", Type::User)],
        "for owners: who may become the owner after 30 days without you",
    ),
    schema("topic", &[OF_ROOM, required("text", Type::Text)], "for owners: set the topic"),
    schema("policy", &[OF_ROOM, required("policy", Type::Policy)], "for owners: open, or by invitation only"),
    schema("peers", &[], "list who is connected"),
    schema("rooms", &[], "list the rooms"),
    schema("users", &[optional("conversation", Type::Conversation)], "list the members of a conversation"),
    schema("whoami", &[], "show your name and the state of your connections"),
    schema(
        "history",
        &[
            optional("lines", Type::Count),
            optional("conversation", Type::Conversation),
            optional("before", Type::MessageId),
            optional("before_from", Type::User),
            optional("after", Type::MessageId),
            optional("after_from", Type::User),
            PASSWORD,
        ],
        "show the last messages of a conversation, or those before or after one",
    ),
    schema(
        "search",
        &[
            required("words", Type::Text),
            optional("before", Type::MessageId),
            optional("before_from", Type::User),
            PASSWORD,
        ],
        "find messages by words, from:USER, in:ROOM or in:@USER, since:DAY, until:DAY",
    ),
    schema("conversations", &[PASSWORD], "list the conversations on this computer, ended ones too"),
    schema(
        "export",
        &[required("file", Type::Text), optional("conversation", Type::Conversation), PASSWORD],
        "write a conversation to a new file",
    ),
    schema(
        "forget",
        &[required("conversation", Type::Conversation), PASSWORD],
        "erase a conversation on this computer",
    ),
    schema("receipts", &[optional("conversation", Type::Conversation)], "show who has your last messages"),
    schema("outbox", &[], "show which of your messages wait, and for whom"),
    schema("away", &[optional("text", Type::Text)], "show others that you are away, until your next message"),
    schema("back", &[], "show others that you are back"),
    schema("filter", &[], "show what your word filter holds"),
    schema("withdraw", &[required("message", Type::Message)], "withdraw a message that nobody has confirmed"),
    schema("unlock", &[required("password", Type::Password)], "unlock the history"),
    schema("block", &[optional("user", Type::User)], "block a user's private messages, or list the blocked"),
    schema("unblock", &[required("user", Type::User)], "receive a user's private messages again"),
    schema("mute", &[optional("user", Type::User)], "mute a user in rooms, or list the muted"),
    schema("unmute", &[required("user", Type::User)], "show a user's messages in rooms again"),
    schema("accept_chat", &[required("user", Type::User)], "accept the private chat for which a user asks"),
    schema("accept", &[required("user", Type::User)], "accept a user's changed key"),
    schema("verify", &[required("user", Type::User)], "show the safety number to compare with a user"),
    schema("verified", &[required("user", Type::User)], "record that the safety numbers are equal"),
    schema("keys", &[], "list your keys"),
    schema("endorse", &[required("key", Type::Text)], "endorse the key of a further device of yours"),
    schema("revoke", &[required("key", Type::Text)], "take away the key of a computer that is lost"),
    schema(
        "password",
        &[required("old", Type::Password), required("new", Type::Password)],
        "change your password",
    ),
    schema(
        "delete_account",
        &[required("password", Type::Password), optional("rooms", Type::RoomsFate)],
        "delete your account for ever; your rooms go to other members, or are deleted",
    ),
    schema("sessions", &[], "for admins: list the sessions of the tracker"),
    schema("admin_kick", &[required("user", Type::User)], "for admins: end the session of a user"),
    schema(
        "admin_ban",
        &[optional("user", Type::User), optional("address", Type::Text), optional("seconds", Type::Seconds)],
        "for admins: ban a user, an address or a network",
    ),
    schema(
        "admin_unban",
        &[optional("user", Type::User), optional("address", Type::Text)],
        "for admins: lift a ban",
    ),
    schema("admin_bans", &[], "for admins: list the bans"),
    schema("admin_announce", &[required("text", Type::Text)], "for admins: send a text to everybody"),
    schema("admin_delete_room", &[required("room", Type::Room)], "for admins: delete a room of any user"),
    schema("admin_remove", &[required("user", Type::User)], "for admins: delete the account of a user"),
    schema(
        "export_identity",
        &[required("password", Type::Password)],
        "export your account, for another computer of yours",
    ),
    schema(
        "sign_in",
        &[
            TRACKER,
            TRACKER_KEY,
            USERNAME,
            NEW_PASSWORD,
            optional("changed_to", Type::Password),
            USE_PASSWORD,
            SEND_DIGEST,
        ],
        "sign in to an account",
    ),
    schema(
        "register",
        &[TRACKER, TRACKER_KEY, USERNAME, NEW_PASSWORD, optional("code", Type::Password), SEND_DIGEST],
        "create an account and sign in to it",
    ),
    schema(
        "import_identity",
        &[required("content", Type::Text), NEW_PASSWORD, TRACKER],
        "take over an account that was exported on another computer",
    ),
    schema("sign_out", &[], "sign out"),
    schema("quit", &[], "sign out and end"),
    schema("help", &[], "list these commands"),
];

/// The password that unlocks the history for one command, if it is locked.
const PASSWORD: Field = optional("password", Type::Password);

const TRACKER: Field = optional("tracker", Type::Text);
const TRACKER_KEY: Field = optional("tracker_key", Type::Key);
const USERNAME: Field = required("username", Type::User);
const NEW_PASSWORD: Field = required("password", Type::Password);

const USE_PASSWORD: Field = optional("use_password", Type::Consent);
const SEND_DIGEST: Field = optional("send_digest", Type::Consent);

const fn schema(name: &'static str, fields: &'static [Field], help: &'static str) -> Schema {
    Schema { name, fields, help }
}

const fn required(name: &'static str, r#type: Type) -> Field {
    Field { name, r#type, required: true }
}

const fn optional(name: &'static str, r#type: Type) -> Field {
    Field { name, r#type, required: false }
}

fn names_of<S: serde::Serializer>(fields: &[Field], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(fields.iter().map(Field::shown))
}

impl Schema {
    /// True if the field `password` only unlocks the history first.
    pub(crate) fn unlocks(&self) -> bool {
        self.fields.contains(&PASSWORD)
    }
}

impl Field {
    /// Returns the name, followed by a question mark if the field is optional.
    fn shown(&self) -> String {
        format!("{}{}", self.name, if self.required { "" } else { "?" })
    }
}

impl Type {
    /// Returns true if a value is of this type.
    pub(crate) fn takes(self, value: &Value) -> bool {
        let text = value.as_str();
        match self {
            Self::Text => text.is_some_and(|text| !text.is_empty()),
            Self::Password => text.is_some(),
            Self::Consent => value.is_boolean(),
            Self::Key => text.is_some_and(|text| text.parse::<PublicKey>().is_ok()),
            Self::RoomsFate => RoomsFate::deserialize(value).is_ok(),
            Self::Policy => Policy::deserialize(value).is_ok(),
            Self::Room => text.is_some_and(|text| RoomName::parse(text).is_ok()),
            Self::User => text.is_some_and(|text| Username::parse(text).is_ok()),
            Self::Conversation => Conversation::deserialize(value).is_ok(),
            Self::Count => value.as_u64().is_some_and(|count| count > 0 && usize::try_from(count).is_ok()),
            Self::Seconds => value.as_u64().is_some_and(|count| count > 0),
            Self::Message => text.is_some_and(is_end_of_id),
            Self::MessageId => text.is_some_and(|text| Uuid::parse_str(text).is_ok()),
        }
    }

    /// Describes a value of this type, for an error message.
    pub(crate) fn described(self) -> &'static str {
        match self {
            Self::Text => "a text that is not empty",
            Self::Room => "a room's name",
            Self::User => "a user's name",
            Self::Conversation => "{\"room\":…} or {\"to\":…}",
            Self::Count => "a whole number from 1",
            Self::Seconds => "a time in seconds, a whole number from 1, such as 7200 for two hours",
            Self::Message => "a message id, or its last four digits or more",
            Self::MessageId => "a whole message id",
            Self::Password => "a text",
            Self::Consent => "true or false",
            Self::RoomsFate => "\"hand_on\" or \"delete\"",
            Self::Policy => "\"open\" or \"invite\"",
            Self::Key => "a key of 64 hex digits",
        }
    }
}

/// Returns true if the text is an id, or long enough an end of one.
pub(crate) fn is_end_of_id(text: &str) -> bool {
    text.len() >= MESSAGE_ID_DIGITS && text.chars().all(|c| c.is_ascii_hexdigit() || c == '-')
}
