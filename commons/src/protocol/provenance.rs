//! Where a chat line stands in what its author has written, and what proves it.
//!
//! An author's lines in one conversation are a stream: numbered from 1 without gaps for each incarnation of the author's
//! store, and each line's digest covers the digest of the one before. So one signature vouches for all lines before it.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::keys::{PublicKey, Signature};

/// A line's place in its stream, as the wire carries it beside the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provenance {
    /// Which life of the author's store wrote it.
    pub incarnation: Incarnation,
    /// The number in the stream, from 1.
    pub seq: u64,
    /// Lamport time: higher than that of every line that the author had seen.
    pub lamport: u64,
    /// The state of the room in which it was written; 0 in private.
    pub revision: u64,
    /// The latest lines of the others that the author had seen, [`HEADS_MAX`](crate::limits::HEADS_MAX) at most.
    pub heads: Vec<Uuid>,
    /// The digest of the line before, zeros before the first one: on the first line of a group.
    pub previous: Option<Digest>,
    /// The author's key: on the first line of a group.
    pub device: Option<PublicKey>,
    /// Over the digest of this line, by the author's key: ends a group. Earlier versions signed no private messages.
    pub signature: Option<Signature>,
}

/// A life of an author's store: random, and another one after a restore. 16 hex digits on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Incarnation(pub u64);

/// A SHA-256 digest: 64 hex digits on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Digest(pub [u8; 32]);

/// The numbers of a stream that somebody has or wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamSpans {
    /// Whose stream.
    pub username: String,
    /// Which life of the author's store.
    pub incarnation: Incarnation,
    /// First and last number of each piece without a gap, ascending.
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
