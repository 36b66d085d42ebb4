//! The head of a room's log: its last entry, signed by the tracker that ordered the entries.
//!
//! Two signed heads of one room with the same epoch and different digests prove that the tracker has shown different
//! rooms to different people.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::keys::{PublicKey, Seed, Signature};
use crate::room_log::layout::{prefixed, struct_layout};

/// Prefix of what is signed. It separates heads from other uses of the tracker's key.
const DOMAIN: &[u8] = b"p2p-chat room head v1\0";

/// The last entry of a room's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The digest of the room's first entry.
    pub room: Digest,
    /// The number of the last entry.
    pub epoch: u64,
    /// The digest of the last entry.
    pub digest: Digest,
}

struct_layout!(Head { room, epoch, digest });

/// A head with the tracker's signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedHead {
    /// The signed values.
    #[serde(flatten)]
    pub head: Head,
    /// The signature by the tracker's key.
    pub signature: Signature,
}

impl Head {
    /// The bytes that are signed.
    #[must_use]
    pub fn statement(&self) -> Vec<u8> {
        prefixed(DOMAIN, self)
    }

    /// Signs the head with the tracker's key.
    #[must_use]
    pub fn sign(self, tracker: &Seed) -> SignedHead {
        SignedHead { head: self, signature: tracker.sign(&self.statement()) }
    }
}

impl SignedHead {
    /// Whether this tracker has signed the head.
    #[must_use]
    pub fn is_signed_by(&self, tracker: &PublicKey) -> bool {
        tracker.has_signed(&self.head.statement(), &self.signature)
    }

    /// Whether the two heads prove that the tracker has shown different rooms: it has signed both, for one epoch.
    #[must_use]
    pub fn contradicts(&self, other: &Self, tracker: &PublicKey) -> bool {
        let (one, two) = (self.head, other.head);
        one.room == two.room
            && one.epoch == two.epoch
            && one.digest != two.digest
            && self.is_signed_by(tracker)
            && other.is_signed_by(tracker)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_two_signed_heads_of_one_epoch_are_a_proof() {
        let seed = Seed::new([7; 32]);
        let (tracker, room) = (seed.public_key(), Digest([1; 32]));
        let head = |epoch, digest| Head { room, epoch, digest: Digest([digest; 32]) };
        let signed = head(2, 1).sign(&seed);
        assert!(signed.contradicts(&head(2, 2).sign(&seed), &tracker));
        assert!(!signed.contradicts(&head(2, 1).sign(&seed), &tracker), "the same head");
        assert!(!signed.contradicts(&head(3, 2).sign(&seed), &tracker), "a later head");
        assert!(!signed.contradicts(&head(2, 2).sign(&Seed::new([8; 32])), &tracker), "a forged head");
        let elsewhere = Head { room: Digest([2; 32]), ..head(2, 2) };
        assert!(!signed.contradicts(&elsewhere.sign(&seed), &tracker), "another room");
    }
}
