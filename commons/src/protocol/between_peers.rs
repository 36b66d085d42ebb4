//! What peers say to each other.

use std::borrow::Cow;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use uuid::Uuid;

use crate::keys::{PublicKey, Signature};
use crate::protocol::provenance::{Digest, Incarnation, Provenance, StreamSpans};

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
    /// Cumulative: the lines sent on this link up to this one are stored or were refused.
    Received {
        /// The last of them.
        id: Uuid,
    },
    /// "These lines of the conversation I have."
    Have {
        /// Which room; `None` is the private conversation of the two.
        room_id: Option<Uuid>,
        /// What of whom.
        streams: Vec<StreamSpans>,
        /// How far the conversation is: the highest Lamport time that the speaker believes.
        lamport: Option<u64>,
    },
    /// "Give me these": answered by LINES, one batch a WANT.
    Want {
        /// Which room; `None` is the private conversation of the two.
        room_id: Option<Uuid>,
        /// What of whom.
        streams: Vec<StreamSpans>,
    },
    /// Lines of anybody, in whole groups: late, or wanted.
    Lines {
        /// Which room; `None` is the private conversation of the two.
        room_id: Option<Uuid>,
        /// Ordered within each stream.
        lines: Vec<Line<'a>>,
    },
    /// Are you there?
    Ping,
    /// Yes.
    Pong,
    /// "I do not talk to you": the listener's answer to a HELLO whose key is not the one it has pinned.
    Refused {
        /// Why: [`KEY_CHANGED`] or [`KEY_UNKNOWN`].
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
    /// Whether the program understands HAVE, WANT and LINES.
    pub catch_up: bool,
    /// The port at which the program takes links: with the IP address of this one, where to dial it later while no tracker
    /// answers. Not 0.
    pub port: Option<u16>,
}

/// A chat line as the wire carries it.
#[derive(Clone, PartialEq, Eq)]
pub struct Line<'a> {
    /// The room, or `None` for a private line; in LINES always `None`.
    pub room: Option<Cow<'a, str>>,
    /// Which life of the room; absent in private, in LINES, and from programs that keep no provenance.
    pub room_id: Option<Uuid>,
    /// Who says it; in MESSAGE the link's own user.
    pub username: Cow<'a, str>,
    /// What is said; empty where it was taken back.
    pub content: Cow<'a, str>,
    /// The SHA-256 of a text that its author took back.
    pub withdrawn: Option<Digest>,
    /// Tells the line from all others (UUID v7); the original programs send none.
    pub id: Option<Uuid>,
    /// When it was written, by the author's clock.
    pub sent_at: Option<DateTime<Utc>>,
    /// Where it stands in what its author wrote; the original programs know nothing of it.
    pub provenance: Option<Box<Provenance>>,
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

/// Serde borrows a `Cow` but not an `Option<Cow>`; this one it does.
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

/// Why a HELLO is refused: its key is not one that is pinned for its name.
pub const KEY_CHANGED: &str = "KEY_CHANGED";

/// The listener cannot tell whose key this is: the tracker did not say, or announces others. The dialer tries again later.
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
    /// Everything but the room's name.
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

/// A line as LINES carries it.
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
