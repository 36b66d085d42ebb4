//! The login key: the proof of a password that a tracker gets in place of the password's digest.
//!
//! It is slow to compute, and differs for each tracker and each user. So a tracker cannot guess passwords from it at the
//! speed of SHA-256, and no other tracker accepts it.

use std::fmt;

use argon2::{Algorithm, Argon2, Params, Version};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::keys::PublicKey;
use crate::limits::{LOGIN_KEY_MEMORY, LOGIN_KEY_PASSES};
use crate::names::Username;

/// Prefix of the salt's input. It separates this salt from other hashes over a tracker's key and a name.
const DOMAIN: &[u8] = b"p2p-chat login key v1";

/// Error: the login key could not be computed, perhaps for lack of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the login key cannot be computed, perhaps for lack of memory")]
pub struct LoginKeyError;

/// A login key: 32 bytes, 64 lower-case hex digits on the wire. It is never shown and is wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct LoginKey(Zeroizing<[u8; 32]>);

impl LoginKey {
    /// Derives the login key of a typed password for the tracker with this key. It takes some ten milliseconds and
    /// [`LOGIN_KEY_MEMORY`], so an asynchronous caller needs a thread for it.
    pub fn derive(password: &[u8], tracker: &PublicKey, user: &Username) -> Result<Self, LoginKeyError> {
        let params =
            Params::new(LOGIN_KEY_MEMORY, LOGIN_KEY_PASSES, 1, Some(32)).map_err(|_| LoginKeyError)?;
        let mut key = Zeroizing::new([0; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(password, &salt(tracker, user), &mut *key)
            .map_err(|_| LoginKeyError)?;
        Ok(Self(key))
    }

    /// Parses a login key from the wire. Returns `None` if the text is not 64 lower-case hex digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut key = Zeroizing::new([0; 32]);
        let length = base16ct::lower::decode(text, &mut *key).ok()?.len();
        (length == key.len()).then_some(Self(key))
    }

    /// The 64 digits. They are for hashing and sending only.
    #[must_use]
    pub fn to_hex(&self) -> Zeroizing<String> {
        Zeroizing::new(base16ct::lower::encode_string(&*self.0))
    }
}

/// The salt: a hash over three fields, each preceded by its length in one byte, so that no two inputs are equal.
fn salt(tracker: &PublicKey, user: &Username) -> [u8; 32] {
    let mut hash = Sha256::new();
    for field in [DOMAIN, tracker.as_bytes(), user.as_str().as_bytes()] {
        // The longest field is a name or a key: 32 bytes.
        hash.update([u8::try_from(field.len()).unwrap_or(u8::MAX)]);
        hash.update(field);
    }
    hash.finalize().into()
}

impl fmt::Debug for LoginKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoginKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    const PAGE: &str = include_str!("../../docs/protocol.md");

    /// A test vector of the protocol page.
    #[derive(Deserialize)]
    struct Vector {
        password: String,
        tracker: PublicKey,
        username: String,
        salt: String,
        login_key: String,
    }

    fn vectors() -> Vec<Vector> {
        let block = PAGE.split("```json login-key-vector\n").nth(1).unwrap().split("```").next().unwrap();
        block.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn login_keys_are_those_of_the_page() {
        for Vector { password, tracker, username, salt: expected, login_key } in vectors() {
            let user = Username::parse(&username).unwrap();
            assert_eq!(base16ct::lower::encode_string(&salt(&tracker, &user)), expected);
            let key = LoginKey::derive(password.as_bytes(), &tracker, &user).unwrap();
            assert_eq!(key.to_hex().as_str(), login_key);
        }
    }

    #[test]
    fn each_vector_of_the_page_has_another_login_key() {
        let all = vectors();
        let different: std::collections::BTreeSet<_> = all.iter().map(|vector| &vector.login_key).collect();
        assert!(all.len() >= 4 && different.len() == all.len());
    }

    #[test]
    fn parses_64_lower_case_hex_digits_only() {
        let text = "0f".repeat(32);
        assert_eq!(LoginKey::parse(&text).unwrap().to_hex().as_str(), text);
        for bad in ["", "0f", &"0F".repeat(32), &"0g".repeat(32), &"0f".repeat(33), &"0f".repeat(31)] {
            assert_eq!(LoginKey::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn debug_hides_the_login_key() {
        assert_eq!(format!("{:?}", LoginKey::parse(&"0f".repeat(32)).unwrap()), "LoginKey(..)");
    }
}
