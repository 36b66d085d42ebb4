//! The protocol between two peers: the messages of a link and their JSON form.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::digest::Digest;
use crate::incarnation::Incarnation;
use crate::keys::{PublicKey, Signature};
use crate::protocol::provenance::{Provenance, StreamSpans, StreamTip};
use crate::room_log::entry::SignedEntry;
use crate::room_log::head::SignedHead;
use crate::timestamp::milliseconds_if_any;

/// A frame between peers. Texts are borrowed from the received frame, because most are read once and moved on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "cmd", rename_all = "SCREAMING_SNAKE_CASE")]
#[serde(try_from = "Fields<'_>", bound(deserialize = "'de: 'a"))]
pub enum PeerMessage<'a> {
    /// The greeting of the dialer, which is the first frame.
    Hello(Greeting<'a>),
    /// The listener's answer to HELLO on an encrypted link. The link is up only then.
    Welcome(Greeting<'a>),
    /// A chat message.
    Message {
        /// The room's name, or `None` for a private message.
        room: Option<Cow<'a, str>>,
        /// The message itself.
        #[serde(flatten)]
        message: WireMessage<'a>,
    },
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
    Have(Have),
    /// A request for the entries of a room's log. The answer is one ENTRIES.
    RoomLog {
        /// The room's id.
        room_id: Uuid,
        /// The epoch after which the entries are wanted.
        after: u64,
    },
    /// Entries of a room's log.
    Entries(LogEntries),
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
        #[serde(rename = "lines")]
        messages: Vec<WireMessage<'a>>,
    },
    /// The sender is away or back. Only a program that supports HAVE gets it.
    Presence {
        /// The text beside the name; `None` if the sender is back.
        #[serde(skip_serializing_if = "Option::is_none")]
        away: Option<Cow<'a, str>>,
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
    #[serde(skip_serializing)]
    Unknown,
}

/// The state of a conversation at the sender.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Have {
    /// The room's id; `None` is the private conversation of the two.
    pub room_id: Option<Uuid>,
    /// The messages of each stream.
    pub streams: Vec<StreamSpans>,
    /// The highest Lamport time of the conversation that the sender accepts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lamport: Option<u64>,
    /// The last entry of the room's log that the sender knows, signed by the tracker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_head: Option<Box<SignedHead>>,
    /// The last message of each stream, at most [`TIPS_MAX`](crate::limits::TIPS_MAX).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tips: Vec<StreamTip>,
}

/// Entries of a room's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogEntries {
    /// The room's id.
    pub room_id: Uuid,
    /// The entries, in the order of their epochs.
    pub entries: Vec<SignedEntry>,
    /// The last entry of the log that the sender knows, signed by the tracker.
    pub log_head: Box<SignedHead>,
}

/// Self-description of one side of a link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Greeting<'a> {
    /// The claimed name of the user.
    pub username: Cow<'a, str>,
    /// Start time of the program in milliseconds since 1970, by which a restart is recognised. Legacy clients send
    /// none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<u64>,
    /// Whether the program supports HAVE, WANT and LINES.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub catch_up: bool,
    /// The port on which the program accepts links, never 0. With the IP address of this connection it can be dialled
    /// later without a tracker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// A chat message in its wire form, in the order of its fields.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct WireMessage<'a> {
    /// The author. In MESSAGE this is the link's own user.
    pub username: Cow<'a, str>,
    /// The text of at most [`TEXT_MAX`](crate::limits::TEXT_MAX) bytes, or what is left of it.
    #[serde(flatten)]
    pub content: WireText<'a>,
    /// The unique id of the message (UUID v7). Legacy clients send none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Uuid>,
    /// Time of writing by the author's clock.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "milliseconds_if_any")]
    pub sent_at: Option<DateTime<Utc>>,
    /// The id of the room, new for each creation. It is absent in private messages, in LINES, and from programs that
    /// keep no provenance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room_id: Option<Uuid>,
    /// Position of the message in its author's stream. Legacy clients send none.
    #[serde(flatten)]
    pub provenance: Option<Box<Provenance>>,
}

/// The text of a message on the wire, as a field of that name.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WireText<'a> {
    /// The text itself, in the field `content`.
    Content(Cow<'a, str>),
    /// The SHA-256 of a text that its author has withdrawn.
    Withdrawn(Digest),
}

/// Chat text stays out of logs. So does its digest, because it would confirm a guess of the text.
impl std::fmt::Debug for WireText<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if matches!(self, Self::Content(_)) { "Content(..)" } else { "Withdrawn(..)" })
    }
}

/// Chat text stays out of logs.
impl std::fmt::Debug for WireMessage<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WireMessage").field("id", &self.id).finish_non_exhaustive()
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
    #[serde(borrow)]
    away: Option<Text<'a>>,
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
    head: Option<Digest>,
    previous: Option<Digest>,
    device: Option<PublicKey>,
    signature: Option<Signature>,
    streams: Option<Vec<StreamSpans>>,
    log_head: Option<Box<SignedHead>>,
    tips: Option<Vec<StreamTip>>,
    entries: Option<Vec<SignedEntry>>,
    after: Option<u64>,
    #[serde(borrow)]
    lines: Option<Vec<Self>>,
}

/// A text that serde can borrow inside an `Option`, which it cannot do for a plain `Cow`.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Fields<'a> {
    fn message(self) -> Result<WireMessage<'a>, &'static str> {
        let provenance = self.provenance();
        let content = match (self.content, self.withdrawn) {
            (Some(content), None) => WireText::Content(content.0),
            (None, Some(digest)) => WireText::Withdrawn(digest),
            _ => return Err("a message needs \"content\" or \"withdrawn\""),
        };
        Ok(WireMessage {
            room_id: self.room_id,
            username: self.username.ok_or("a message needs \"username\"")?.0,
            content,
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
            head: self.head,
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
            "MESSAGE" => {
                Self::Message { room: fields.room.take().map(|room| room.0), message: fields.message()? }
            }
            "LEAVE" => Self::Leave { room: fields.room.map(|room| room.0) },
            "RECEIVED" => Self::Received { id: fields.id.ok_or("RECEIVED needs \"id\"")? },
            "REFUSED" => Self::Refused { code: fields.code.ok_or("REFUSED needs \"code\"")?.0 },
            "HAVE" => Self::Have(Have {
                room_id: fields.room_id,
                streams: streams(&mut fields)?,
                lamport: fields.lamport,
                log_head: fields.log_head,
                tips: fields.tips.unwrap_or_default(),
            }),
            "ROOM_LOG" => Self::RoomLog {
                room_id: fields.room_id.ok_or("ROOM_LOG needs \"room_id\"")?,
                after: fields.after.unwrap_or(0),
            },
            "ENTRIES" => Self::Entries(LogEntries {
                room_id: fields.room_id.ok_or("ENTRIES needs \"room_id\"")?,
                entries: fields.entries.ok_or("ENTRIES needs \"entries\"")?,
                log_head: fields.log_head.ok_or("ENTRIES needs \"log_head\"")?,
            }),
            "WANT" => Self::Want { room_id: fields.room_id, streams: streams(&mut fields)? },
            "LINES" => {
                let lines = fields.lines.ok_or("LINES needs \"lines\"")?;
                let messages = lines.into_iter().map(Fields::message).collect::<Result<_, _>>()?;
                Self::Lines { room_id: fields.room_id, messages }
            }
            "PRESENCE" => Self::Presence { away: fields.away.map(|text| text.0) },
            "PING" => Self::Ping,
            "PONG" => Self::Pong,
            _ => Self::Unknown,
        })
    }
}

/// Code of a refused HELLO: its key is not pinned for its name, but others are.
pub const KEY_CHANGED: &str = "KEY_CHANGED";

/// Code of a refused HELLO: the key cannot be checked, because the tracker did not answer or announces others. The
/// dialer tries again later.
pub const KEY_UNKNOWN: &str = "KEY_UNKNOWN";

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
        let PeerMessage::Message { room, message } =
            read(r#"{"cmd": "MESSAGE", "room": null, "username": "ana", "content": "ol\u00e1"}"#)
        else {
            panic!("not a message")
        };
        assert!(room.is_none() && message.content == WireText::Content("olá".into()) && message.id.is_none());
        assert_eq!(read(r#"{"cmd": "LEAVE"}"#), PeerMessage::Leave { room: None });
        assert_eq!(read(r#"{"cmd": "DANCE", "tempo": 3}"#), PeerMessage::Unknown);
    }

    #[test]
    fn plain_text_is_borrowed_from_the_frame() {
        let json = r#"{"cmd":"MESSAGE","room":"sala","username":"ana","content":"hi"}"#;
        let PeerMessage::Message { message, .. } = serde_json::from_str(json).unwrap() else { panic!() };
        assert!(matches!(message.content, WireText::Content(Cow::Borrowed("hi"))));
        assert!(matches!(message.username, Cow::Borrowed("ana")));
    }

    #[test]
    fn messages_survive_encoding_as_json() {
        let mut wire = WireMessage {
            room_id: Some(Uuid::now_v7()),
            username: "ana".into(),
            content: WireText::Content("two\nlines \"quoted\"".into()),
            id: Some(Uuid::now_v7()),
            sent_at: DateTime::from_timestamp_millis(1_735_732_800_123),
            provenance: Some(Box::new(Provenance {
                incarnation: Incarnation(7),
                seq: 1,
                lamport: 9,
                revision: 3,
                heads: vec![Uuid::now_v7()],
                head: Some(Digest([4; 32])),
                previous: Some(Digest([0; 32])),
                device: Some(PublicKey::new([1; 32])),
                signature: Some(Signature([2; 64])),
            })),
        };
        let message = PeerMessage::Message { room: Some("sala".into()), message: wire.clone() };
        let json = serde_json::to_string(&message).unwrap();
        assert_eq!(serde_json::from_str::<PeerMessage<'_>>(&json).unwrap(), message);
        (wire.room_id, wire.content) = (None, WireText::Withdrawn(Digest([3; 32])));
        let lines = PeerMessage::Lines { room_id: Some(Uuid::now_v7()), messages: vec![wire] };
        let json = serde_json::to_string(&lines).unwrap();
        assert_eq!(serde_json::from_str::<PeerMessage<'_>>(&json).unwrap(), lines);
    }

    #[test]
    fn chat_text_stays_out_of_debug() {
        let json = r#"{"cmd":"MESSAGE","room":"sala","username":"ana","content":"canary"}"#;
        assert!(!format!("{:?}", serde_json::from_str::<PeerMessage<'_>>(json).unwrap()).contains("canary"));
    }
}
