//! What peers say to each other.

use std::borrow::Cow;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use uuid::Uuid;

/// A message between peers. Texts are borrowed from the frame: most are looked at once and moved on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Fields<'_>", bound(deserialize = "'de: 'a"))]
pub enum PeerMessage<'a> {
    /// "I am": the first frame of whoever dialled.
    Hello(Greeting<'a>),
    /// "And I am": the listener's answer to a HELLO on an encrypted link, which is up only then.
    Welcome(Greeting<'a>),
    /// A chat line.
    Message(Line<'a>),
    /// The speaker leaves a conversation; `None` is the private one.
    Leave {
        /// Which room.
        room: Option<Cow<'a, str>>,
    },
    /// Cumulative: the lines sent on this link up to this one have arrived and were shown or refused.
    Received {
        /// The last of them.
        id: Uuid,
    },
    /// Are you there?
    Ping,
    /// Yes.
    Pong,
    /// "I do not talk to you": the listener's answer to a HELLO whose key is not the one it has pinned.
    Refused {
        /// Why: [`KEY_CHANGED`].
        code: Cow<'a, str>,
    },
    /// A command of a later version: ignored.
    Unknown,
}

/// Who is speaking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting<'a> {
    /// The user's name, not yet believed.
    pub username: Cow<'a, str>,
    /// When the program started, in milliseconds since 1970, so that a restarted peer is known; the original
    /// programs send none.
    pub instance: Option<u64>,
}

/// A chat line as the wire carries it.
#[derive(Clone, PartialEq, Eq)]
pub struct Line<'a> {
    /// The room, or `None` for a private line.
    pub room: Option<Cow<'a, str>>,
    /// Who says it; must be the link's own user.
    pub username: Cow<'a, str>,
    /// What is said.
    pub content: Cow<'a, str>,
    /// Tells the line from all others (UUID v7); the original programs send none.
    pub id: Option<Uuid>,
    /// When it was written, by the author's clock.
    pub sent_at: Option<DateTime<Utc>>,
}

/// Chat text stays out of logs.
impl std::fmt::Debug for Line<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line").field("room", &self.room).field("id", &self.id).finish_non_exhaustive()
    }
}

/// All fields of all messages: read in one pass, without the copy that a tagged enum makes.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    cmd: Text<'a>,
    #[serde(borrow)]
    room: Option<Text<'a>>,
    #[serde(borrow)]
    username: Option<Text<'a>>,
    #[serde(borrow)]
    content: Option<Text<'a>>,
    #[serde(borrow)]
    code: Option<Text<'a>>,
    id: Option<Uuid>,
    sent_at: Option<DateTime<Utc>>,
    instance: Option<u64>,
}

/// Serde borrows a `Cow` but not an `Option<Cow>`; this one it does.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> TryFrom<Fields<'a>> for PeerMessage<'a> {
    type Error = &'static str;

    fn try_from(fields: Fields<'a>) -> Result<Self, Self::Error> {
        let Fields { cmd, room, username, content, code, id, sent_at, instance } = fields;
        let text = |text: Option<Text<'a>>| text.map(|text| text.0);
        let (room, username, content) = (text(room), text(username), text(content));
        let greeting = |username: Option<Cow<'a, str>>| {
            username.map(|username| Greeting { username, instance }).ok_or("a greeting needs \"username\"")
        };
        Ok(match &*cmd.0 {
            "HELLO" => Self::Hello(greeting(username)?),
            "WELCOME" => Self::Welcome(greeting(username)?),
            "MESSAGE" => Self::Message(Line {
                room,
                username: username.ok_or("MESSAGE needs \"username\"")?,
                content: content.ok_or("MESSAGE needs \"content\"")?,
                id,
                sent_at,
            }),
            "LEAVE" => Self::Leave { room },
            "RECEIVED" => Self::Received { id: id.ok_or("RECEIVED needs \"id\"")? },
            "REFUSED" => Self::Refused { code: text(code).ok_or("REFUSED needs \"code\"")? },
            "PING" => Self::Ping,
            "PONG" => Self::Pong,
            _ => Self::Unknown,
        })
    }
}

/// Why a HELLO is refused: its key is not one that is pinned for its name.
pub const KEY_CHANGED: &str = "KEY_CHANGED";

impl Serialize for PeerMessage<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let mut map = out.serialize_map(None)?;
        match self {
            Self::Hello(greeting) | Self::Welcome(greeting) => {
                let cmd = if matches!(self, Self::Hello(_)) { "HELLO" } else { "WELCOME" };
                map.serialize_entry("cmd", cmd)?;
                map.serialize_entry("username", &greeting.username)?;
                if let Some(instance) = greeting.instance {
                    map.serialize_entry("instance", &instance)?;
                }
            }
            Self::Message(line) => {
                map.serialize_entry("cmd", "MESSAGE")?;
                map.serialize_entry("room", &line.room)?;
                map.serialize_entry("username", &line.username)?;
                map.serialize_entry("content", &line.content)?;
                if let Some(id) = &line.id {
                    map.serialize_entry("id", id)?;
                }
                if let Some(time) = &line.sent_at {
                    map.serialize_entry("sent_at", &time.to_rfc3339_opts(SecondsFormat::Millis, true))?;
                }
            }
            Self::Leave { room } => {
                map.serialize_entry("cmd", "LEAVE")?;
                map.serialize_entry("room", room)?;
            }
            Self::Received { id } => {
                map.serialize_entry("cmd", "RECEIVED")?;
                map.serialize_entry("id", id)?;
            }
            Self::Refused { code } => {
                map.serialize_entry("cmd", "REFUSED")?;
                map.serialize_entry("code", code)?;
            }
            Self::Ping => map.serialize_entry("cmd", "PING")?,
            Self::Pong => map.serialize_entry("cmd", "PONG")?,
            Self::Unknown => return Err(serde::ser::Error::custom("an unknown command cannot be sent")),
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_original_programs_send() {
        let read = |json| serde_json::from_str::<PeerMessage<'_>>(json).unwrap();
        let hello = PeerMessage::Hello(Greeting { username: "ana".into(), instance: None });
        assert_eq!(read(r#"{"cmd": "HELLO", "username": "ana"}"#), hello);
        let PeerMessage::Message(line) =
            read(r#"{"cmd": "MESSAGE", "room": null, "username": "ana", "content": "ol\u00e1"}"#)
        else {
            panic!("not a message")
        };
        assert_eq!((line.room, &*line.content, line.id), (None, "olá", None));
        assert_eq!(read(r#"{"cmd": "LEAVE"}"#), PeerMessage::Leave { room: None });
        assert_eq!(read(r#"{"cmd": "DANCE", "tempo": 3}"#), PeerMessage::Unknown);
    }

    #[test]
    fn plain_text_is_borrowed_from_the_frame() {
        let json = r#"{"cmd":"MESSAGE","room":"sala","username":"ana","content":"hi"}"#;
        let PeerMessage::Message(line) = serde_json::from_str(json).unwrap() else { panic!() };
        assert!(matches!(line.content, Cow::Borrowed("hi")));
        assert!(matches!(line.username, Cow::Borrowed("ana")));
    }

    #[test]
    fn survives_the_way_through_json() {
        let line = PeerMessage::Message(Line {
            room: Some("sala".into()),
            username: "ana".into(),
            content: "two\nlines \"quoted\"".into(),
            id: Some(Uuid::now_v7()),
            sent_at: DateTime::from_timestamp_millis(1_735_732_800_123),
        });
        let json = serde_json::to_string(&line).unwrap();
        assert_eq!(serde_json::from_str::<PeerMessage<'_>>(&json).unwrap(), line);
    }

    #[test]
    fn chat_text_stays_out_of_debug() {
        let json = r#"{"cmd":"MESSAGE","room":"sala","username":"ana","content":"canary"}"#;
        assert!(!format!("{:?}", serde_json::from_str::<PeerMessage<'_>>(json).unwrap()).contains("canary"));
    }
}
