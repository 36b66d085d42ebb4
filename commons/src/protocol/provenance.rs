//! Provenance: the position of a message in its author's stream, and the signature that proves it.
//!
//! The messages of one author in one conversation form a stream. They are numbered from 1 without gaps for each
//! incarnation of the author's store, and each digest covers the previous digest. So one signature covers a whole
//! signed batch, and its chain also fixes all earlier messages.
//!
//! Example: messages 4, 5 and 6 are sent as a signed batch. Message 4 carries `previous` (the digest of message 3) and
//! `device`; message 6 carries `signature`.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::digest::Digest;
use crate::incarnation::Incarnation;
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
    /// The room's revision at the time of writing, or the epoch of its log; 0 in private conversations.
    pub revision: u64,
    /// The latest messages of others that the author had seen, at most [`HEADS_MAX`](crate::limits::HEADS_MAX). Only
    /// earlier versions name any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub heads: Vec<Uuid>,
    /// The digest of the last entry of the room's log when the message was written. The first message of a signed batch in
    /// a room with a log has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head: Option<Digest>,
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

/// The last message that a peer has of one stream. Two members who name the same message by different digests have a
/// proof that its author has signed two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamTip {
    /// The author of the stream.
    pub username: String,
    /// The incarnation of the author's store.
    pub incarnation: Incarnation,
    /// The sequence number of the message.
    pub seq: u64,
    /// The digest of the message, which covers all messages of the stream before it.
    pub digest: Digest,
}

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
