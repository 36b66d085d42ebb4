//! The protocol between two peers: the messages of a link and their JSON form.

use std::borrow::Cow;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use uuid::Uuid;

use crate::keys::{PublicKey, Signature};
use crate::protocol::provenance::{Digest, Incarnation, Provenance, StreamSpans};

/// A frame between peers. Texts are borrowed from the received frame, because most are read once and moved on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Fields<'_>", bound(deserialize = "'de: 'a"))]
pub enum PeerMessage<'a> {
    /// The greeting of the dialer, which is the first frame.
    Hello(Greeting<'a>),
    /// The listener's answer to HELLO on an encrypted link. The link is up only then.
    Welcome(Greeting<'a>),
    /// A chat message.
    Message(Line<'a>),
    /// The sender leaves a conversation.
    Leave {
        /// The room's name; `None` is the private conversation.
        room: Option<Cow<'a, str>>,
    },
    /// A cumulative ack: the messages sent on this link up to this one are stored or were refused.
    Received {
        /// The id of the last such message.
        id: Uuid,
    },
    /// The messages of a conversation that the sender has.
    Have {
        /// The room's id; `None` is the private conversation of the two.
        room_id: Option<Uuid>,
        /// The messages of each stream.
        streams: Vec<StreamSpans>,
        /// The highest Lamport time of the conversation that the sender accepts.
        lamport: Option<u64>,
    },
    /// A request for messages. The answer is one batch of LINES per WANT.
    Want {
        /// The room's id; `None` is the private conversation of the two.
        room_id: Option<Uuid>,
        /// The requested messages of each stream.
        streams: Vec<StreamSpans>,
    },
    /// Messages of any author in whole signed batches: backlog, or the answer to WANT.
    Lines {
        /// The room's id; `None` is the private conversation of the two.
        room_id: Option<Uuid>,
        /// The messages, ordered within each stream.
        lines: Vec<Line<'a>>,
    },
    /// A liveness check, answered with PONG.
    Ping,
    /// The answer to PING.
    Pong,
    /// The listener's refusal of a HELLO whose key it does not accept for that name.
    Refused {
        /// The reason: [`KEY_CHANGED`] or [`KEY_UNKNOWN`].
        code: Cow<'a, str>,
    },
    /// A command of a later version, which is ignored.
    Unknown,
}

/// Self-description of one side of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting<'a> {
    /// The claimed name of the user.
    pub username: Cow<'a, str>,
    /// Start time of the program in milliseconds since 1970, by which a restart is recognised. Legacy clients send
    /// none.
    pub instance: Option<u64>,
    /// Whether the program supports HAVE, WANT and LINES.
    pub catch_up: bool,
    /// The port on which the program accepts links, never 0. With the IP address of this connection it can be dialled
    /// later without a tracker.
    pub port: Option<u16>,
}

/// A chat message in its wire form.
#[derive(Clone, PartialEq, Eq)]
pub struct Line<'a> {
    /// The room's name, or `None` for a private message. In LINES it is always `None`.
    pub room: Option<Cow<'a, str>>,
    /// The id of the room, new for each creation. It is absent in private messages, in LINES, and from programs that
    /// keep no provenance.
    pub room_id: Option<Uuid>,
    /// The author. In MESSAGE this is the link's own user.
    pub username: Cow<'a, str>,
    /// The text of at most [`TEXT_MAX`](crate::limits::TEXT_MAX) bytes. It is empty if the message was withdrawn.
    pub content: Cow<'a, str>,
    /// The SHA-256 of a text that its author has withdrawn.
    pub withdrawn: Option<Digest>,
    /// The unique id of the message (UUID v7). Legacy clients send none.
    pub id: Option<Uuid>,
    /// Time of writing by the author's clock.
    pub sent_at: Option<DateTime<Utc>>,
    /// Position of the message in its author's stream. Legacy clients send none.
    pub provenance: Option<Box<Provenance>>,
}

/// Chat text stays out of logs.
impl std::fmt::Debug for Line<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line").field("room", &self.room).field("id", &self.id).finish_non_exhaustive()
    }
}

/// All fields of all frames. They are read in one pass, without the copy that a tagged enum makes.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    cmd: Option<Text<'a>>,
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
    catch_up: Option<bool>,
    port: Option<u16>,
    room_id: Option<Uuid>,
    withdrawn: Option<Digest>,
    incarnation: Option<Incarnation>,
    seq: Option<u64>,
    lamport: Option<u64>,
    revision: Option<u64>,
    heads: Option<Vec<Uuid>>,
    previous: Option<Digest>,
    device: Option<PublicKey>,
    signature: Option<Signature>,
    streams: Option<Vec<StreamSpans>>,
    #[serde(borrow)]
    lines: Option<Vec<Self>>,
}

/// A text that serde can borrow inside an `Option`, which it cannot do for a plain `Cow`.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Fields<'a> {
    fn line(self) -> Result<Line<'a>, &'static str> {
        let provenance = self.provenance();
        let content = match (self.content, &self.withdrawn) {
            (Some(content), None) => content.0,
            (None, Some(_)) => Cow::Borrowed(""),
            _ => return Err("a line needs \"content\" or \"withdrawn\""),
        };
        Ok(Line {
            room: self.room.map(|room| room.0),
            room_id: self.room_id,
            username: self.username.ok_or("a line needs \"username\"")?.0,
            content,
            withdrawn: self.withdrawn,
            id: self.id,
            sent_at: self.sent_at,
            provenance,
        })
    }

    fn provenance(&self) -> Option<Box<Provenance>> {
        Some(Box::new(Provenance {
            incarnation: self.incarnation?,
            seq: self.seq?,
            lamport: self.lamport?,
            revision: self.revision.unwrap_or(0),
            heads: self.heads.clone().unwrap_or_default(),
            previous: self.previous,
            device: self.device,
            signature: self.signature,
        }))
    }

    fn greeting(self) -> Result<Greeting<'a>, &'static str> {
        let username = self.username.ok_or("a greeting needs \"username\"")?.0;
        let (catch_up, port) = (self.catch_up.unwrap_or(false), self.port.filter(|port| *port > 0));
        Ok(Greeting { username, instance: self.instance, catch_up, port })
    }
}

impl<'a> TryFrom<Fields<'a>> for PeerMessage<'a> {
    type Error = &'static str;

    fn try_from(mut fields: Fields<'a>) -> Result<Self, Self::Error> {
        let cmd = fields.cmd.take().ok_or("\"cmd\" is missing")?;
        let streams = |fields: &mut Fields<'_>| fields.streams.take().ok_or("\"streams\" is missing");
        Ok(match &*cmd.0 {
            "HELLO" => Self::Hello(fields.greeting()?),
            "WELCOME" => Self::Welcome(fields.greeting()?),
            "MESSAGE" => Self::Message(fields.line()?),
            "LEAVE" => Self::Leave { room: fields.room.map(|room| room.0) },
            "RECEIVED" => Self::Received { id: fields.id.ok_or("RECEIVED needs \"id\"")? },
            "REFUSED" => Self::Refused { code: fields.code.ok_or("REFUSED needs \"code\"")?.0 },
            "HAVE" => Self::Have {
                room_id: fields.room_id,
                streams: streams(&mut fields)?,
                lamport: fields.lamport,
            },
            "WANT" => Self::Want { room_id: fields.room_id, streams: streams(&mut fields)? },
            "LINES" => {
                let lines = fields.lines.ok_or("LINES needs \"lines\"")?;
                let lines = lines.into_iter().map(Fields::line).collect::<Result<_, _>>()?;
                Self::Lines { room_id: fields.room_id, lines }
            }
            "PING" => Self::Ping,
            "PONG" => Self::Pong,
            _ => Self::Unknown,
        })
    }
}

/// Code of a refused HELLO: its key is not pinned for its name, but others are.
pub const KEY_CHANGED: &str = "KEY_CHANGED";

/// Code of a refused HELLO: the key cannot be judged, because the tracker did not answer or announces others. The
/// dialer tries again later.
pub const KEY_UNKNOWN: &str = "KEY_UNKNOWN";

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
                if greeting.catch_up {
                    map.serialize_entry("catch_up", &true)?;
                }
                if let Some(port) = greeting.port {
                    map.serialize_entry("port", &port)?;
                }
            }
            Self::Message(line) => {
                map.serialize_entry("cmd", "MESSAGE")?;
                map.serialize_entry("room", &line.room)?;
                line.write(&mut map)?;
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
            Self::Have { room_id, streams, lamport } => {
                map.serialize_entry("cmd", "HAVE")?;
                map.serialize_entry("room_id", room_id)?;
                map.serialize_entry("streams", streams)?;
                if let Some(lamport) = lamport {
                    map.serialize_entry("lamport", lamport)?;
                }
            }
            Self::Want { room_id, streams } => {
                map.serialize_entry("cmd", "WANT")?;
                map.serialize_entry("room_id", room_id)?;
                map.serialize_entry("streams", streams)?;
            }
            Self::Lines { room_id, lines } => {
                map.serialize_entry("cmd", "LINES")?;
                map.serialize_entry("room_id", room_id)?;
                map.serialize_entry("lines", lines)?;
            }
            Self::Ping => map.serialize_entry("cmd", "PING")?,
            Self::Pong => map.serialize_entry("cmd", "PONG")?,
            Self::Unknown => return Err(serde::ser::Error::custom("an unknown command cannot be sent")),
        }
        map.end()
    }
}

impl Line<'_> {
    /// Writes all fields except the room's name.
    fn write<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("username", &self.username)?;
        match &self.withdrawn {
            None => map.serialize_entry("content", &self.content)?,
            Some(digest) => map.serialize_entry("withdrawn", digest)?,
        }
        if let Some(id) = &self.id {
            map.serialize_entry("id", id)?;
        }
        if let Some(time) = &self.sent_at {
            map.serialize_entry("sent_at", &time.to_rfc3339_opts(SecondsFormat::Millis, true))?;
        }
        if let Some(room_id) = &self.room_id {
            map.serialize_entry("room_id", room_id)?;
        }
        let Some(provenance) = &self.provenance else { return Ok(()) };
        map.serialize_entry("incarnation", &provenance.incarnation)?;
        map.serialize_entry("seq", &provenance.seq)?;
        map.serialize_entry("lamport", &provenance.lamport)?;
        map.serialize_entry("revision", &provenance.revision)?;
        if !provenance.heads.is_empty() {
            map.serialize_entry("heads", &provenance.heads)?;
        }
        if let Some(previous) = &provenance.previous {
            map.serialize_entry("previous", previous)?;
        }
        if let Some(device) = &provenance.device {
            map.serialize_entry("device", device)?;
        }
        match &provenance.signature {
            Some(signature) => map.serialize_entry("signature", signature),
            None => Ok(()),
        }
    }
}

/// Writes a message in the form of LINES.
impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let mut map = out.serialize_map(None)?;
        self.write(&mut map)?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_original_programs_send() {
        let read = |json| serde_json::from_str::<PeerMessage<'_>>(json).unwrap();
        let hello = PeerMessage::Hello(Greeting {
            username: "ana".into(),
            instance: None,
            catch_up: false,
            port: None,
        });
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
        let mut line = Line {
            room: Some("sala".into()),
            room_id: Some(Uuid::now_v7()),
            username: "ana".into(),
            content: "two\nlines \"quoted\"".into(),
            withdrawn: None,
            id: Some(Uuid::now_v7()),
            sent_at: DateTime::from_timestamp_millis(1_735_732_800_123),
            provenance: Some(Box::new(Provenance {
                incarnation: Incarnation(7),
                seq: 1,
                lamport: 9,
                revision: 3,
                heads: vec![Uuid::now_v7()],
                previous: Some(Digest([0; 32])),
                device: Some(PublicKey::new([1; 32])),
                signature: Some(Signature([2; 64])),
            })),
        };
        let message = PeerMessage::Message(line.clone());
        let json = serde_json::to_string(&message).unwrap();
        assert_eq!(serde_json::from_str::<PeerMessage<'_>>(&json).unwrap(), message);
        (line.room, line.room_id, line.withdrawn) = (None, None, Some(Digest([3; 32])));
        line.content = "".into();
        let lines = PeerMessage::Lines { room_id: Some(Uuid::now_v7()), lines: vec![line] };
        let json = serde_json::to_string(&lines).unwrap();
        assert_eq!(serde_json::from_str::<PeerMessage<'_>>(&json).unwrap(), lines);
    }

    #[test]
    fn chat_text_stays_out_of_debug() {
        let json = r#"{"cmd":"MESSAGE","room":"sala","username":"ana","content":"canary"}"#;
        assert!(!format!("{:?}", serde_json::from_str::<PeerMessage<'_>>(json).unwrap()).contains("canary"));
    }
}
