//! Key prefixes: the first hex digits of a key, which people read and type instead of all 64.

use commons::keys::PublicKey;

/// The first `count` hex digits of a key.
pub(crate) fn first_digits(key: &PublicKey, count: usize) -> String {
    key.to_string().chars().take(count).collect()
}
