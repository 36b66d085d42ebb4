//! The proof of authorship of a signed batch.
//!
//! A signed batch is a sequence of consecutive messages of one stream. Each message's digest covers the digest
//! before it, so the signature of the last digest proves all of them. The first message names the author's key, the head
//! of the room's log, and the digest of the preceding message. Thus a batch can be verified alone, and any peer can pass it on without its
//! neighbours.
//!
//! Example: a batch holds messages 4, 5 and 6. Message 4 names the key and the digest of 3, and message 6 carries
//! the signature. If somebody changes 5, the digests of 5 and 6 change, and the signature fails.

use commons::digest::Digest;
use commons::keys::{PublicKey, Signature};
use commons::names::Username;
use ed25519_dalek::{Signer, SigningKey};

use crate::history::conversation::ConversationId;
use crate::history::message::{BatchStart, NO_DIGEST, SignedMessage, digest};

/// The prefix of the signed data. It separates these signatures from the proofs of links, which use the same key.
const DOMAIN: &[u8] = b"p2p-chat line signature v1\0";

/// The chain of digests of a signed batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chain {
    /// The author's key and the head of the room's log, as the first message names them.
    pub(crate) start: BatchStart,
    /// The digest of the message before the batch.
    pub(crate) previous: Digest,
    /// The digest of each message, in order.
    pub(crate) digests: Vec<Digest>,
}

impl Chain {
    /// Returns the digest of the last message, which the author signs.
    pub(crate) fn tip(&self) -> Digest {
        self.digests.last().copied().unwrap_or(self.previous)
    }
}

/// Computes the chain of a batch, or says why the messages form none.
pub(crate) fn chain(
    conversation: &ConversationId,
    me: &Username,
    batch: &[SignedMessage],
) -> Result<Chain, &'static str> {
    const BROKEN: &str = "messages that do not belong together";
    let Some(first) = batch.first() else { return Err(BROKEN) };
    let (Some(device), Some(previous)) = (first.provenance.device, first.provenance.previous) else {
        return Err("messages without their beginning");
    };
    if (first.provenance.seq == 1) != (previous == NO_DIGEST) {
        return Err("a first message after another, or another after none");
    }
    let follows = |(earlier, later): (&SignedMessage, &SignedMessage)| {
        let (a, b) = (&earlier.provenance, &later.provenance);
        earlier.author == later.author
            && a.incarnation == b.incarnation
            && a.seq + 1 == b.seq
            && a.revision == b.revision
            && a.lamport <= b.lamport
            && a.signature.is_none()
            && b.previous.is_none()
            && b.device.is_none()
            && b.head.is_none()
    };
    if !batch.iter().zip(&batch[1..]).all(follows) {
        return Err(BROKEN);
    }
    let start = BatchStart { device, head: first.provenance.head };
    let mut tip = previous;
    let digests = batch.iter().map(|message| {
        tip = digest(conversation, me, message, &start, &tip);
        tip
    });
    Ok(Chain { start, previous, digests: digests.collect() })
}

/// Signs the digest of the last message.
pub(crate) fn sign(key: &SigningKey, tip: &Digest) -> Signature {
    Signature(key.sign(&signed(tip)).to_bytes())
}

/// Returns whether the key signed this digest.
pub(crate) fn is_signed(device: &PublicKey, tip: &Digest, signature: &Signature) -> bool {
    device.has_signed(&signed(tip), signature)
}

fn signed(tip: &Digest) -> Vec<u8> {
    [DOMAIN, &tip.0].concat()
}

#[cfg(test)]
mod tests {
    use commons::protocol::between_peers::PeerMessage;
    use serde::Deserialize;

    use super::*;

    const PAGE: &str = include_str!("../../../docs/protocol.md");

    /// A test vector of the protocol page.
    #[derive(Deserialize)]
    struct Vector {
        me: Username,
        lines: Box<serde_json::value::RawValue>,
        digests: Vec<Digest>,
    }

    #[test]
    fn digests_and_signatures_are_those_of_the_page() {
        let block = PAGE.split("```json line-vector\n").nth(1).unwrap().split("```").next().unwrap();
        let mut signed = 0;
        for vector in block.lines() {
            let Vector { me, lines, digests } = serde_json::from_str(vector).unwrap();
            let frame: PeerMessage<'_> = serde_json::from_str(lines.get()).unwrap();
            assert_eq!(serde_json::to_string(&frame).unwrap(), lines.get());
            let PeerMessage::Lines { room_id, messages } = frame else { panic!("no LINES") };
            let batch: Vec<_> =
                messages.into_iter().map(|message| SignedMessage::read(message).unwrap()).collect();
            let conversation = match room_id {
                Some(room) => ConversationId::Room(room),
                None => ConversationId::Private(batch[0].author.clone()),
            };
            let chain = chain(&conversation, &me, &batch).unwrap();
            assert_eq!(chain.digests, digests);
            if let Some(signature) = batch.last().unwrap().provenance.signature {
                assert!(is_signed(&chain.start.device, &chain.tip(), &signature));
                assert!(!is_signed(&chain.start.device, &chain.previous, &signature));
                signed += 1;
            }
        }
        assert_eq!(signed, 1);
    }

    #[test]
    fn signature_of_something_else_signs_no_message() {
        let key = SigningKey::from_bytes(&[1; 32]);
        let device = PublicKey::new(key.verifying_key().to_bytes());
        let tip = Digest([2; 32]);
        assert!(is_signed(&device, &tip, &sign(&key, &tip)));
        assert!(!is_signed(&device, &tip, &Signature(key.sign(&tip.0).to_bytes())));
        // A key of small order would accept many signatures.
        assert!(!is_signed(&PublicKey::new([0; 32]), &tip, &Signature([0; 64])));
    }
}
