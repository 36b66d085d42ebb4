//! The commands that a program can give as JSON: their names, and the fields of each with their types.
//!
//! [`Command`](crate::api::Command) is read from the same objects. This table says first what is wrong with an object, by
//! names only: a message never repeats a value, which may be a password or somebody's text.

use commons::names::{RoomName, Username};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::api::Conversation;
use crate::limits::LINE_ID_DIGITS;

/// The type of a field's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// A string that is not empty.
    Text,
    /// A room's name.
    Room,
    /// A user's name.
    User,
    /// `{"room":…}` or `{"to":…}`.
    Conversation,
    /// A whole number from 1.
    Count,
    /// A message id, or the last digits of it.
    Message,
    /// A whole message id.
    MessageId,
    /// A password, as it was typed.
    Password,
}

/// A field of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// The type of its value.
    pub r#type: Type,
    /// Whether the command means nothing without it.
    pub required: bool,
}

/// A command as a program gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Schema {
    /// What stands in `command`.
    #[serde(rename = "command")]
    pub name: &'static str,
    /// Its fields, besides `command` and `id`.
    #[serde(serialize_with = "names_of")]
    pub fields: &'static [Field],
    /// What it does.
    pub help: &'static str,
}

/// Every command, in the order in which `help` lists them.
pub const COMMANDS: &[Schema] = &[
    schema(
        "say",
        &[required("text", Type::Text), optional("conversation", Type::Conversation)],
        "send a message; line feeds are part of it",
    ),
    schema("switch", &[required("conversation", Type::Conversation)], "open a conversation"),
    schema("create", &[required("room", Type::Room)], "make a room and enter it"),
    schema("join", &[required("room", Type::Room)], "enter a room"),
    schema(
        "leave",
        &[optional("conversation", Type::Conversation), optional("room", Type::Room)],
        "leave a room, or end a private chat",
    ),
    schema("delete", &[optional("room", Type::Room)], "delete a room that is yours"),
    schema("peers", &[], "list who is connected"),
    schema("rooms", &[], "list the rooms"),
    schema("users", &[optional("conversation", Type::Conversation)], "list the members of a conversation"),
    schema("whoami", &[], "tell who you are and how you are connected"),
    schema(
        "history",
        &[
            optional("lines", Type::Count),
            optional("conversation", Type::Conversation),
            optional("before", Type::MessageId),
            PASSWORD,
        ],
        "show the last messages of a conversation, or those before one",
    ),
    schema(
        "search",
        &[required("words", Type::Text), optional("before", Type::MessageId), PASSWORD],
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
    schema("withdraw", &[required("message", Type::Message)], "take a message back that nobody has"),
    schema("unlock", &[required("password", Type::Password)], "unlock the history"),
    schema("block", &[optional("user", Type::User)], "block a user's private messages, or list the blocked"),
    schema("unblock", &[required("user", Type::User)], "receive a user's private messages again"),
    schema("accept", &[required("user", Type::User)], "accept a user's changed key"),
    schema("verify", &[required("user", Type::User)], "show the safety number to compare with a user"),
    schema("verified", &[required("user", Type::User)], "remember that the numbers were the same"),
    schema("keys", &[], "list your keys"),
    schema("endorse", &[required("key", Type::Text)], "vouch for the key of a further computer of yours"),
    schema("revoke", &[required("key", Type::Text)], "take away the key of a computer that is lost"),
    schema(
        "password",
        &[required("old", Type::Password), required("new", Type::Password)],
        "change your password",
    ),
    schema("delete_account", &[required("password", Type::Password)], "delete your account for ever"),
    schema("quit", &[], "sign out and end"),
    schema("help", &[], "list these commands"),
];

/// What unlocks the history for one command, where it is locked.
const PASSWORD: Field = optional("password", Type::Password);

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
    /// Whether its field `password` only unlocks the history first.
    pub(crate) fn unlocks(&self) -> bool {
        self.fields.contains(&PASSWORD)
    }
}

impl Field {
    /// Its name, with a question mark where it may be absent.
    fn shown(&self) -> String {
        format!("{}{}", self.name, if self.required { "" } else { "?" })
    }
}

impl Type {
    /// Whether a value is of this type.
    pub(crate) fn takes(self, value: &Value) -> bool {
        let text = value.as_str();
        match self {
            Self::Text => text.is_some_and(|text| !text.is_empty()),
            Self::Password => text.is_some(),
            Self::Room => text.is_some_and(|text| RoomName::parse(text).is_ok()),
            Self::User => text.is_some_and(|text| Username::parse(text).is_ok()),
            Self::Conversation => Conversation::deserialize(value).is_ok(),
            Self::Count => value.as_u64().is_some_and(|count| count > 0 && usize::try_from(count).is_ok()),
            Self::Message => text.is_some_and(is_message_id),
            Self::MessageId => text.is_some_and(|text| Uuid::parse_str(text).is_ok()),
        }
    }

    /// What a value of this type is.
    pub(crate) fn described(self) -> &'static str {
        match self {
            Self::Text => "a text that is not empty",
            Self::Room => "a room's name",
            Self::User => "a user's name",
            Self::Conversation => "{\"room\":…} or {\"to\":…}",
            Self::Count => "a whole number from 1",
            Self::Message => "a message id, or its last four digits or more",
            Self::MessageId => "a whole message id",
            Self::Password => "a text",
        }
    }
}

/// Whether this is a message id, or enough of its end to stand for it.
pub(crate) fn is_message_id(text: &str) -> bool {
    text.len() >= LINE_ID_DIGITS && text.chars().all(|c| c.is_ascii_hexdigit() || c == '-')
}
