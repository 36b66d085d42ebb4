//! The frames for other peers as plain data, and their encoding for each dialect.
//!
//! Example: a message of a room goes to bob and carla, who both have a peer of this project, and to py, who has a legacy
//! client. It is encoded twice: once with its proof, and once without.

use std::sync::Arc;

use bytes::Bytes;
use commons::names::RoomName;
use commons::net::frame::{FrameError, encode};
use commons::protocol::between_peers::{Have, LogEntries, PeerMessage, WireMessage};
use commons::protocol::provenance::StreamSpans;
use uuid::Uuid;

use crate::history::message::SignedMessage;
use crate::history::report::OutgoingMessage;
use crate::peer_communication::dialect::Dialect;
use crate::untrusted::{AsUntrusted, UntrustedText};

/// A frame for another peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Frame {
    /// The messages of a conversation that this peer has stored. Only [`Dialect::Full`] reads it.
    Have(Have),
    /// A request for entries of a room's log. Only [`Dialect::Full`] reads it.
    RoomLog {
        /// The room's id.
        room_id: Uuid,
        /// The epoch after which the entries are wanted.
        after: u64,
    },
    /// The answer to a request for entries. Only [`Dialect::Full`] reads it.
    Entries(LogEntries),
    /// A request for messages of a conversation. Only [`Dialect::Full`] reads it.
    Want {
        /// The room's id; `None` is the private conversation of the two.
        room_id: Option<Uuid>,
        /// The requested messages of each stream.
        streams: Vec<StreamSpans>,
    },
    /// Whole signed batches: backlog, or the answer to WANT. Only [`Dialect::Full`] reads it.
    Lines {
        /// The room's id; `None` is the private conversation of the two.
        room_id: Option<Uuid>,
        /// The messages, ordered within each stream.
        messages: Vec<SignedMessage>,
    },
    /// An own message. Its recipients share it, so that it is encoded once per form.
    Message(Arc<OutgoingMessage>),
    /// This user is away or back. Only [`Dialect::Full`] reads it.
    Presence {
        /// The text beside the name; `None` if this user is back.
        away: Option<UntrustedText>,
    },
    /// This user leaves a conversation.
    Leave {
        /// The room's name; `None` is the private conversation of the two.
        room: Option<RoomName>,
    },
}

impl Frame {
    /// Id of the message if the outcome of its write must be reported.
    pub(crate) fn message_id(&self) -> Option<Uuid> {
        if let Self::Message(message) = self { Some(message.message.id) } else { None }
    }

    /// Encodes the frame for a program of this dialect. Returns `None` if the program has no such frame. Programs without
    /// a history get a message without its proof. A legacy client gets a LEAVE without a room: it would show a notice
    /// for a named room beside the tracker's own.
    pub(crate) fn encode(&self, dialect: Dialect) -> Result<Option<Bytes>, FrameError> {
        let frame = match self {
            Self::Have(_)
            | Self::Want { .. }
            | Self::Lines { .. }
            | Self::RoomLog { .. }
            | Self::Entries(_)
            | Self::Presence { .. }
                if dialect != Dialect::Full =>
            {
                return Ok(None);
            }
            Self::Presence { away } => {
                PeerMessage::Presence { away: away.as_ref().map(|text| text.expose().into()) }
            }
            Self::Have(have) => PeerMessage::Have(have.clone()),
            Self::RoomLog { room_id, after } => PeerMessage::RoomLog { room_id: *room_id, after: *after },
            Self::Entries(entries) => PeerMessage::Entries(entries.clone()),
            Self::Want { room_id, streams } => {
                PeerMessage::Want { room_id: *room_id, streams: streams.clone() }
            }
            Self::Lines { room_id, messages } => {
                let messages = messages.iter().map(|message| message.wire(None)).collect();
                PeerMessage::Lines { room_id: *room_id, messages }
            }
            Self::Message(message) => {
                let OutgoingMessage { message, room, conversation, .. } = &**message;
                let signed = message.wire(conversation.room());
                let message = match dialect {
                    Dialect::Full => signed,
                    Dialect::Basic | Dialect::Legacy => {
                        WireMessage { provenance: None, room_id: None, ..signed }
                    }
                };
                PeerMessage::Message { room: room.as_ref().map(|room| room.as_str().into()), message }
            }
            Self::Leave { room } => {
                let named = room.as_ref().filter(|_| dialect != Dialect::Legacy);
                PeerMessage::Leave { room: named.map(|room| room.as_str().into()) }
            }
        };
        encode(&frame).map(Some)
    }
}

/// Encodes frames and remembers the last message, because a message goes to several recipients in a row.
#[derive(Debug, Default)]
pub(crate) struct FrameEncoder {
    message: Option<Arc<OutgoingMessage>>,
    signed: Option<Bytes>,
    unsigned: Option<Bytes>,
}

impl FrameEncoder {
    pub(crate) fn encode(&mut self, frame: &Frame, dialect: Dialect) -> Result<Option<Bytes>, FrameError> {
        let Frame::Message(message) = frame else { return frame.encode(dialect) };
        if !self.message.as_ref().is_some_and(|last| Arc::ptr_eq(last, message)) {
            *self = Self { message: Some(Arc::clone(message)), ..Self::default() };
        }
        let form = if dialect == Dialect::Full { &mut self.signed } else { &mut self.unsigned };
        if form.is_none() {
            *form = frame.encode(dialect)?;
        }
        Ok(form.clone())
    }
}

#[cfg(test)]
mod tests {
    use commons::incarnation::Incarnation;
    use commons::names::Username;

    use super::*;
    use crate::history::conversation::ConversationId;

    const DIALECTS: [Dialect; 3] = [Dialect::Full, Dialect::Basic, Dialect::Legacy];

    /// The example of `docs/protocol.md` that begins like this.
    fn example(start: &str) -> &'static str {
        let page = include_str!("../../../docs/protocol.md");
        page.lines().find(|line| line.starts_with(start)).unwrap()
    }

    fn encoded(frame: &Frame, dialect: Dialect) -> String {
        let bytes = frame.encode(dialect).unwrap().unwrap();
        String::from_utf8(bytes.to_vec()).unwrap().trim_end().to_owned()
    }

    /// The room's message of the examples.
    fn message() -> Arc<OutgoingMessage> {
        let frame = serde_json::from_str(example(r#"{"cmd":"MESSAGE","room":"sala""#)).unwrap();
        let PeerMessage::Message { room, message } = frame else { panic!("not a message") };
        let (room, conversation) =
            (RoomName::parse(&room.unwrap()).ok(), ConversationId::Room(message.room_id.unwrap()));
        let message = SignedMessage::read(message).unwrap();
        Arc::new(OutgoingMessage { row: 1, conversation, room, message, audience: Vec::new() })
    }

    #[test]
    fn frames_are_encoded_as_documented() {
        let streams = |username: &str, incarnation, spans: &[(u64, u64)]| {
            let username = Username::parse(username).unwrap().to_string();
            vec![StreamSpans { username, incarnation: Incarnation(incarnation), spans: spans.to_vec() }]
        };
        let room_id = message().conversation.room();
        let frame = serde_json::from_str(example(r#"{"cmd":"LINES""#)).unwrap();
        let PeerMessage::Lines { messages, .. } = frame else { panic!("not lines") };
        let messages = messages.into_iter().map(|message| SignedMessage::read(message).unwrap()).collect();
        let spans = [(1, 50), (61, 64)];
        let stored = streams("ana", 0x0123_4567_89ab_cdef, &spans);
        for (frame, start) in [
            (
                Frame::Have(Have {
                    room_id,
                    streams: stored,
                    lamport: None,
                    log_head: None,
                    tips: Vec::new(),
                }),
                r#"{"cmd":"HAVE""#,
            ),
            (Frame::Want { room_id: None, streams: streams("bob", u64::MAX, &[(1, 1)]) }, r#"{"cmd":"WANT""#),
            (Frame::Lines { room_id: None, messages }, r#"{"cmd":"LINES""#),
            (Frame::Message(message()), r#"{"cmd":"MESSAGE","room":"sala""#),
            (Frame::Presence { away: Some("lunch".into()) }, r#"{"cmd":"PRESENCE","away""#),
            (Frame::Presence { away: None }, r#"{"cmd":"PRESENCE"}"#),
            (Frame::Leave { room: message().room.clone() }, r#"{"cmd":"LEAVE","room":"sala""#),
        ] {
            assert_eq!(encoded(&frame, Dialect::Full), example(start));
            let is_shared = matches!(frame, Frame::Message(_) | Frame::Leave { .. });
            assert_eq!(frame.encode(Dialect::Basic).unwrap().is_some(), is_shared);
        }
        let left = Frame::Leave { room: None };
        for dialect in DIALECTS {
            assert_eq!(encoded(&left, dialect), example(r#"{"cmd":"LEAVE","room":null"#));
        }
    }

    #[test]
    fn other_programs_get_messages_without_proof() {
        let frame = Frame::Message(message());
        for dialect in [Dialect::Basic, Dialect::Legacy] {
            let text = encoded(&frame, dialect);
            assert!(text.contains("sala") && text.contains("sent_at"), "{text}");
            for field in ["room_id", "seq", "heads", "signature"] {
                assert!(!text.contains(field), "{text}");
                assert!(
                    encoded(&frame, Dialect::Full).contains(field) || field == "signature",
                    "the control"
                );
            }
        }
        let left = Frame::Leave { room: message().room.clone() };
        assert_eq!(encoded(&left, Dialect::Legacy), encoded(&Frame::Leave { room: None }, Dialect::Full));
    }

    #[test]
    fn message_to_several_recipients_is_encoded_once_per_form() {
        let (mut encoder, frame) = (FrameEncoder::default(), Frame::Message(message()));
        let again = frame.clone();
        let [full, basic, legacy] = DIALECTS.map(|dialect| encoder.encode(&frame, dialect).unwrap().unwrap());
        assert_eq!(encoder.encode(&again, Dialect::Full).unwrap().unwrap().as_ptr(), full.as_ptr());
        assert_eq!(basic.as_ptr(), legacy.as_ptr());
        let other = Frame::Message(message());
        let different = encoder.encode(&other, Dialect::Full).unwrap().unwrap();
        assert_ne!(different.as_ptr(), full.as_ptr(), "the control");
    }
}
