//! A signed chat message: its content, its digest, and its form on the wire.
//!
//! The digest covers bytes at fixed positions and never JSON, because two programs may write the same JSON in two
//! ways. It includes the digest of the text instead of the text itself. So a message can still be verified after
//! its text was withdrawn. For example, a peer gets message 2 of 3 withdrawn: it has only the SHA-256 of the text.
//! This is enough to compute the chain of digests that the signature covers.

use std::fmt;

use chrono::{DateTime, Datelike, Utc};
use commons::digest::Digest;
use commons::keys::PublicKey;
use commons::limits::{HEADS_MAX, TEXT_MAX};
use commons::names::Username;
use commons::protocol::between_peers::{WireMessage, WireText};
use commons::protocol::provenance::Provenance;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::history::conversation::ConversationId;
use crate::limits::{LAMPORT_MAX, SEQ_MAX};

/// The prefix of a message digest. It ensures that a signature of something else is never valid for a message.
const DOMAIN: &[u8] = b"p2p-chat line v1\0";

/// The prefix of the digest of a message in a room with a log.
const DOMAIN_WITH_HEAD: &[u8] = b"p2p-chat message v2\0";

/// The predecessor digest of the first message of a stream: 32 zero bytes.
pub const NO_DIGEST: Digest = Digest([0; 32]);

/// A message with its provenance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedMessage {
    /// The message id, unique per author.
    pub id: Uuid,
    /// The user that wrote the message.
    pub author: Username,
    /// The send time by the author's clock, in whole milliseconds.
    pub sent_at: DateTime<Utc>,
    /// The text, or its digest if the message was withdrawn.
    pub text: Text,
    /// The position of the message in its author's stream, with what proves it.
    pub provenance: Provenance,
}

/// The text of a message, or what is left of it.
#[derive(Clone, PartialEq, Eq)]
pub enum Text {
    /// The text itself, at most [`TEXT_MAX`] bytes.
    Plain(String),
    /// The SHA-256 of a text that its author withdrew.
    Withdrawn(Digest),
}

/// Omits the chat text, which must stay out of logs. The digest stays out too, because it would confirm a guess of
/// the text.
impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if matches!(self, Self::Plain(_)) { "Plain(..)" } else { "Withdrawn(..)" })
    }
}

impl Text {
    /// Returns the text, or an empty string if the message was withdrawn.
    #[must_use]
    pub fn plain(&self) -> &str {
        match self {
            Self::Plain(text) => text,
            Self::Withdrawn(_) => "",
        }
    }

    /// Returns the SHA-256 of the text.
    #[must_use]
    pub fn digest(&self) -> Digest {
        match self {
            Self::Plain(text) => Digest(Sha256::digest(text.as_bytes()).into()),
            Self::Withdrawn(digest) => *digest,
        }
    }
}

/// Values that all messages of a signed batch share: its first message carries them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchStart {
    /// The author's key.
    pub device: PublicKey,
    /// The digest of the last entry of the room's log; `None` where there is no log. It covers all entries, so also the
    /// room and its members.
    pub head: Option<Digest>,
}

/// Computes the digest of a message from its content and the digest of the previous message. `me` is this peer's
/// user: the names of both users identify a private conversation.
#[must_use]
pub fn digest(
    conversation: &ConversationId,
    me: &Username,
    message: &SignedMessage,
    start: &BatchStart,
    previous: &Digest,
) -> Digest {
    let provenance = &message.provenance;
    let mut hash = Sha256::new();
    let name = |name: &Username, hash: &mut Sha256| {
        // A name has at most 32 bytes, so its length fits in one byte.
        hash.update([u8::try_from(name.as_str().len()).unwrap_or(u8::MAX)]);
        hash.update(name.as_str());
    };
    hash.update(if start.head.is_some() { DOMAIN_WITH_HEAD } else { DOMAIN });
    match conversation {
        ConversationId::Room(id) => {
            hash.update([0]);
            hash.update(id.as_bytes());
        }
        ConversationId::Private(other) => {
            hash.update([1]);
            name(me.min(other), &mut hash);
            name(me.max(other), &mut hash);
        }
    }
    if let Some(head) = start.head {
        hash.update(head.0);
    }
    name(&message.author, &mut hash);
    hash.update(start.device.as_bytes());
    hash.update(provenance.incarnation.0.to_be_bytes());
    hash.update(provenance.seq.to_be_bytes());
    hash.update(previous.0);
    hash.update(provenance.lamport.to_be_bytes());
    hash.update(provenance.revision.to_be_bytes());
    hash.update(message.sent_at.timestamp_millis().to_be_bytes());
    hash.update(message.id.as_bytes());
    // There are at most `HEADS_MAX` heads, so their number fits in one byte.
    hash.update([u8::try_from(provenance.heads.len()).unwrap_or(u8::MAX)]);
    for head in &provenance.heads {
        hash.update(head.as_bytes());
    }
    hash.update(message.text.digest().0);
    Digest(hash.finalize().into())
}

impl SignedMessage {
    /// Converts the message to its form on the wire.
    #[must_use]
    pub fn wire(&self, room_id: Option<Uuid>) -> WireMessage<'_> {
        WireMessage {
            room_id,
            username: self.author.as_str().into(),
            content: match &self.text {
                Text::Plain(text) => WireText::Content(text.into()),
                Text::Withdrawn(digest) => WireText::Withdrawn(*digest),
            },
            id: Some(self.id),
            sent_at: Some(self.sent_at),
            provenance: Some(Box::new(self.provenance.clone())),
        }
    }

    /// Reads a message from the wire, or returns the reason why it is invalid.
    pub fn read(wire: WireMessage<'_>) -> Result<Self, &'static str> {
        let provenance = *wire.provenance.ok_or("a message without provenance")?;
        let sent_at = wire.sent_at.ok_or("a message without a send time")?;
        let text = match wire.content {
            WireText::Content(text) => Text::Plain(text.into_owned()),
            WireText::Withdrawn(digest) => Text::Withdrawn(digest),
        };
        if text.plain().len() > TEXT_MAX || provenance.heads.len() > HEADS_MAX {
            return Err("a message beyond its limits");
        }
        if !(1..=SEQ_MAX).contains(&provenance.seq)
            || provenance.lamport > LAMPORT_MAX
            || provenance.revision > SEQ_MAX
            || !(0..=9999).contains(&sent_at.year())
        {
            return Err("a message with a number out of range");
        }
        Ok(Self {
            id: wire.id.ok_or("a message without an id")?,
            author: Username::parse(&wire.username).map_err(|_| "a message without a valid author name")?,
            sent_at: to_millis(sent_at),
            text,
            provenance,
        })
    }

    /// Returns an upper estimate of the encoded size of the message in a LINES frame, in bytes.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        /// The size of all fixed fields, with the longest numbers.
        const FIXED: usize = 240;
        /// The size of one head with its quotes and comma.
        const HEAD: usize = 39;
        /// The size of `previous` and `device`.
        const START: usize = 155;
        /// The size of the `head` field.
        const ROOM_HEAD: usize = 74;
        /// The size of the `signature` field.
        const END: usize = 145;
        let text = match &self.text {
            Text::Plain(text) => text.bytes().map(escaped_len).sum(),
            Text::Withdrawn(_) => 64,
        };
        let Provenance { heads, head, previous, signature, .. } = &self.provenance;
        let ends =
            head.map_or(0, |_| ROOM_HEAD) + previous.map_or(0, |_| START) + signature.map_or(0, |_| END);
        FIXED + self.author.as_str().len() + text + heads.len() * HEAD + ends
    }
}

/// Rounds a time down to whole milliseconds, the precision of the wire.
pub(crate) fn to_millis(time: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(time.timestamp_millis()).unwrap_or_default()
}

/// Returns the number of bytes that one byte of text takes in JSON.
fn escaped_len(byte: u8) -> usize {
    match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
        0..0x20 => 6,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use commons::incarnation::Incarnation;
    use commons::keys::Signature;
    use commons::protocol::between_peers::PeerMessage;

    use super::*;
    use crate::history::testing::{device, room, time, user};

    fn message(text: &str) -> SignedMessage {
        SignedMessage {
            id: Uuid::from_u128(0x0194_2150_43fb_7a5c_9c38_2f6d_1b7e_8a90),
            author: user("ana"),
            sent_at: time(),
            text: Text::Plain(text.to_owned()),
            provenance: Provenance {
                incarnation: Incarnation(0x0123_4567_89ab_cdef),
                seq: 1,
                lamport: 5,
                revision: 3,
                heads: vec![Uuid::from_u128(9)],
                head: None,
                previous: Some(NO_DIGEST),
                device: Some(device("ana")),
                signature: Some(Signature([0xff; 64])),
            },
        }
    }

    #[test]
    fn no_message_is_longer_on_the_wire_than_counted() {
        let longest = user(&"a".repeat(32));
        for text in ["", "olá \"bob\"\n", "\u{0}\u{1b}\u{7f}\t", &"\u{1}".repeat(TEXT_MAX)] {
            let mut message = message(text);
            message.author = longest.clone();
            let provenance = &mut message.provenance;
            (provenance.seq, provenance.lamport, provenance.revision) = (u64::MAX, u64::MAX, u64::MAX);
            provenance.heads = vec![Uuid::from_u128(1); HEADS_MAX];
            provenance.head = Some(NO_DIGEST);
            let lines = PeerMessage::Lines { room_id: None, messages: vec![message.wire(None)] };
            let frame = PeerMessage::Lines { room_id: None, messages: Vec::new() };
            let json = |message| serde_json::to_string(&message).unwrap().len();
            let taken = json(lines) - json(frame);
            assert!(
                (taken..taken + 16).contains(&message.encoded_len()),
                "{taken} {}",
                message.encoded_len()
            );
        }
    }

    #[test]
    fn comes_back_from_the_wire_as_it_went() {
        let mut message = message("olá");
        assert_eq!(SignedMessage::read(message.wire(None)).as_ref(), Ok(&message));
        let start = BatchStart { device: device("ana"), head: None };
        let digest = digest(&room(), &user("bob"), &message, &start, &NO_DIGEST);
        message.text = Text::Withdrawn(message.text.digest());
        let read = SignedMessage::read(message.wire(None)).unwrap();
        assert_eq!(read, message);
        assert_eq!(super::digest(&room(), &user("bob"), &read, &start, &NO_DIGEST), digest);
    }

    #[test]
    fn message_beyond_its_bounds_is_refused() {
        let refused = |change: fn(&mut SignedMessage)| {
            let mut message = message("hi");
            change(&mut message);
            SignedMessage::read(message.wire(None)).is_err()
        };
        assert!(!refused(|_| ()));
        assert!(refused(|message| message.text = Text::Plain("x".repeat(TEXT_MAX + 1))));
        assert!(refused(|message| message.provenance.seq = 0));
        assert!(refused(|message| message.provenance.seq = SEQ_MAX + 1));
        assert!(refused(|message| message.provenance.lamport = LAMPORT_MAX + 1));
        assert!(refused(|message| message.provenance.heads = vec![Uuid::nil(); HEADS_MAX + 1]));
        assert!(refused(|message| message.sent_at = DateTime::<Utc>::MAX_UTC));
        let mut without = message("hi");
        without.provenance.seq = 1;
        let mut wire = without.wire(None);
        wire.id = None;
        assert!(SignedMessage::read(wire).is_err());
    }

    #[test]
    fn texts_stay_out_of_debug() {
        let plain = message("canary");
        assert!(!format!("{plain:?}").contains("canary"));
        let withdrawn = Text::Withdrawn(plain.text.digest());
        assert_eq!(format!("{withdrawn:?}"), "Withdrawn(..)");
    }
}
