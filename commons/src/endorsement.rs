//! Endorsements: one key of a user vouches for another key of the same user.
//! Contacts who have pinned the first key accept the other without a warning.
//!
//! An endorsement is a bare signature. The reader finds the two keys by trying the few keys of the user. If both keys
//! were sent with it, the rooms in the reply to LOGIN would not fit a frame. Example: bob's laptop key 1 signs a
//! statement about phone key 2; a contact who pinned key 1 then pins key 2.

use crate::keys::{PublicKey, Seed, Signature};
use crate::limits::KEYS_PER_USER;
use crate::names::Username;

/// Prefix of the signed statement. It separates endorsements from other uses of the key: sessions, links and messages.
const DOMAIN: &[u8] = b"p2p-chat endorsement v1\0";

/// The content of an endorsement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endorsement {
    /// The endorsing key.
    pub by: PublicKey,
    /// The endorsed key.
    pub key: PublicKey,
}

impl Endorsement {
    /// Signs an endorsement of `key`, another key of this user.
    #[must_use]
    pub fn sign(user: &Username, by: &Seed, key: PublicKey) -> Signature {
        by.sign(&Self { by: by.public_key(), key }.statement(user))
    }

    /// Finds the two of `keys` that this signature is about, if any. Only the first [`KEYS_PER_USER`] keys are tried.
    #[must_use]
    pub fn read(user: &Username, keys: &[PublicKey], signature: &Signature) -> Option<Self> {
        let keys = &keys[..keys.len().min(KEYS_PER_USER)];
        let pairs = keys.iter().flat_map(|by| keys.iter().map(|key| Self { by: *by, key: *key }));
        pairs.filter(|pair| pair.by != pair.key).find(|pair| pair.is_signed(user, signature))
    }

    /// Whether the signature endorses these keys for this user.
    #[must_use]
    pub fn is_signed(&self, user: &Username, signature: &Signature) -> bool {
        self.by.has_signed(&self.statement(user), signature)
    }

    fn statement(&self, user: &Username) -> Vec<u8> {
        // A name has at most 32 bytes.
        let length = u8::try_from(user.as_str().len()).unwrap_or(u8::MAX);
        [DOMAIN, &[length], user.as_str().as_bytes(), self.by.as_bytes(), self.key.as_bytes()].concat()
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    const PAGE: &str = include_str!("../../docs/protocol.md");

    fn user(name: &str) -> Username {
        Username::parse(name).unwrap()
    }

    /// The test vector of the protocol page.
    #[derive(Deserialize)]
    struct Vector {
        username: Username,
        seed: String,
        key: PublicKey,
        statement: String,
        signature: Signature,
    }

    #[test]
    fn the_page_shows_what_is_signed() {
        let mut lines = PAGE.lines().skip_while(|line| *line != "```json endorsement-vector").skip(1);
        let vector: Vector = serde_json::from_str(lines.next().unwrap()).unwrap();
        let seed: [u8; 32] = base16ct::lower::decode_vec(vector.seed).unwrap().try_into().unwrap();
        let seed = Seed::new(seed);
        let endorsement = Endorsement { by: seed.public_key(), key: vector.key };
        let statement = base16ct::lower::encode_string(&endorsement.statement(&vector.username));
        assert_eq!(statement, vector.statement);
        assert_eq!(Endorsement::sign(&vector.username, &seed, vector.key), vector.signature);
        let keys = [vector.key, seed.public_key()];
        assert_eq!(Endorsement::read(&vector.username, &keys, &vector.signature), Some(endorsement));
    }

    #[test]
    fn it_is_of_one_user_one_direction_and_these_keys() {
        let (bob, one) = (user("bob"), Seed::new([1; 32]));
        let [a, b, c] = [1, 2, 3].map(|n| Seed::new([n; 32]).public_key());
        let signature = Endorsement::sign(&bob, &one, b);
        assert_eq!(Endorsement::read(&bob, &[b, a, c], &signature), Some(Endorsement { by: a, key: b }));
        assert_eq!(Endorsement::read(&user("bo"), &[a, b], &signature), None);
        assert_eq!(Endorsement::read(&bob, &[a, c], &signature), None);
        assert!(!Endorsement { by: b, key: a }.is_signed(&bob, &signature));
        // A key that endorses itself proves nothing.
        assert_eq!(Endorsement::read(&bob, &[a, b], &Endorsement::sign(&bob, &one, a)), None);
    }

    #[test]
    fn a_crowd_of_keys_is_not_tried() {
        let (bob, one) = (user("bob"), Seed::new([1; 32]));
        let mut keys: Vec<_> = (2..).take(KEYS_PER_USER).map(|n| Seed::new([n; 32]).public_key()).collect();
        let signature = Endorsement::sign(&bob, &one, keys[0]);
        keys.push(one.public_key());
        assert_eq!(Endorsement::read(&bob, &keys, &signature), None);
        keys.swap(1, KEYS_PER_USER);
        assert!(Endorsement::read(&bob, &keys, &signature).is_some());
    }
}
