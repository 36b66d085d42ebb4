//! The safety number of two users: 60 digits that are equal on both sides if, and only if, no third party intercepts
//! them.
//!
//! The construction follows Signal. For each side, a version, the key and the name are hashed with SHA-512. The key is
//! appended and the hash repeated 5,200 times. Every five of the first 30 bytes give five digits. The two halves stand
//! in ascending order, so both sides read the same number, such as `04321 98765 …`.

use commons::keys::PublicKey;
use commons::names::Username;
use sha2::{Digest, Sha512};

/// Rounds of hashing. They make the search for a second key with the same digits that much more expensive.
const ROUNDS: usize = 5200;

const DOMAIN: &[u8] = b"p2p-chat safety number v1";

/// The safety number of two users and their keys, in twelve groups of five digits.
pub(crate) fn safety_number(one: (&Username, PublicKey), other: (&Username, PublicKey)) -> String {
    let mut halves = [half(one), half(other)];
    halves.sort();
    halves.concat().join(" ")
}

fn half((user, key): (&Username, PublicKey)) -> Vec<String> {
    let key = key.as_bytes();
    let mut hash =
        Sha512::new().chain_update(DOMAIN).chain_update(key).chain_update(user.as_str()).finalize();
    for _ in 0..ROUNDS {
        hash = Sha512::new().chain_update(hash).chain_update(key).finalize();
    }
    let digits =
        |five: &[u8]| five.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte)) % 100_000;
    hash[..30].chunks(5).map(|five| format!("{:05}", digits(five))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_see_the_same_digits_and_another_key_changes_them() {
        let (ana, bob) = (Username::parse("ana").unwrap(), Username::parse("bob").unwrap());
        let key = |n| PublicKey::new([n; 32]);
        let number = safety_number((&ana, key(1)), (&bob, key(2)));
        assert_eq!(number, safety_number((&bob, key(2)), (&ana, key(1))));
        assert_ne!(number, safety_number((&ana, key(1)), (&bob, key(3))));
        assert_eq!(number.split(' ').map(str::len).collect::<Vec<_>>(), [5; 12]);
        assert!(number.chars().all(|c| c.is_ascii_digit() || c == ' '));
    }
}
