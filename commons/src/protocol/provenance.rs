//! Provenance: the position of a message in its author's stream, and the signature that proves it.
//!
//! The messages of one author in one conversation form a stream. They are numbered from 1 without gaps for each
//! incarnation of the author's store, and each digest covers the previous digest. So one signature covers a whole
//! signed batch, and its chain also fixes all earlier messages.
//!
//! Example: messages 4, 5 and 6 are sent as a signed batch. Message 4 carries `previous` (the digest of message 3) and
//! `device`; message 6 carries `signature`.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::keys::{PublicKey, Signature};

/// Position of a message in its stream, as the wire carries it beside the text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Provenance {
    /// The incarnation of the author's store.
    pub incarnation: Incarnation,
    /// The sequence number in the stream, from 1.
    pub seq: u64,
    /// Lamport time: higher than that of every message that the author had seen.
    pub lamport: u64,
    /// The room's revision at the time of writing; 0 in private conversations.
    pub revision: u64,
    /// The latest messages of others that the author had seen, at most [`HEADS_MAX`](crate::limits::HEADS_MAX).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub heads: Vec<Uuid>,
    /// The digest of the previous message, or zeros before the first one. Only the first message of a signed batch has
    /// it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous: Option<Digest>,
    /// The author's device key. Only the first message of a signed batch has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<PublicKey>,
    /// The device key's signature over the digest of this message. It ends a signed batch. Earlier versions did not
    /// sign private messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
}

impl Provenance {
    /// Whether the message is the first one of a signed batch.
    #[must_use]
    pub fn begins_batch(&self) -> bool {
        self.previous.is_some()
    }

    /// Whether the message is the last one of a signed batch.
    #[must_use]
    pub fn ends_batch(&self) -> bool {
        self.signature.is_some()
    }
}

/// One incarnation of an author's store. It is random, and a restored backup starts another one. 16 hex digits on the
/// wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Incarnation(pub u64);

/// A SHA-256 digest, with 64 hex digits on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Digest(pub [u8; 32]);

/// The sequence numbers of one stream that a peer has or wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamSpans {
    /// The author of the stream.
    pub username: String,
    /// The incarnation of the author's store.
    pub incarnation: Incarnation,
    /// The first and last sequence number of each gapless span, ascending.
    pub spans: Vec<(u64, u64)>,
}

impl TryFrom<String> for Incarnation {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        bytes(&text).map(|bytes| Self(u64::from_be_bytes(bytes))).ok_or("an incarnation is 16 hex digits")
    }
}

impl From<Incarnation> for String {
    fn from(incarnation: Incarnation) -> Self {
        hex(&incarnation.0.to_be_bytes())
    }
}

impl TryFrom<String> for Digest {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        bytes(&text).map(Self).ok_or("a digest is 64 hex digits")
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        hex(&digest.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

fn hex(bytes: &[u8]) -> String {
    base16ct::lower::encode_string(bytes)
}

fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let decoded = base16ct::lower::decode(text, &mut bytes).ok()?.len();
    (decoded == N).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_hex_on_the_wire() {
        let json = |value: &str| serde_json::from_str::<Incarnation>(value);
        assert_eq!(json("\"00000000000000ff\"").unwrap(), Incarnation(255));
        assert_eq!(serde_json::to_string(&Incarnation(255)).unwrap(), "\"00000000000000ff\"");
        for wrong in ["\"ff\"", "\"00000000000000FF\"", "\"00000000000000ff00\"", "255"] {
            assert!(json(wrong).is_err(), "{wrong}");
        }
    }
}
