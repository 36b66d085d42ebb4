//! The digest of a password, by which a user is authenticated on the wire.
//! The tracker never receives the typed password, only this digest.

use std::fmt;

use serde::Serialize;
use sha2::{Digest, Sha256};

/// Lower-case hex SHA-256 of a typed password: 64 digits, never shown by `Debug`.
///
/// On a plaintext connection the digest is as good as the password. Only an encrypted connection protects it.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct PasswordDigest(String);

impl PasswordDigest {
    /// Computes the digest of a typed password.
    #[must_use]
    pub fn of_typed(password: &str) -> Self {
        Self(base16ct::lower::encode_string(&Sha256::digest(password.as_bytes())))
    }

    /// Parses a digest from the wire. Returns `None` if the text is not 64 lower-case hex digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::is_digest(text).then(|| Self(text.to_owned()))
    }

    /// Whether a text has the form of a digest: 64 lower-case hex digits.
    #[must_use]
    pub fn is_digest(text: &str) -> bool {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        text.len() == 64 && text.bytes().all(hex)
    }

    /// The 64 digits. They are for hashing and sending only.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordDigest(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_as_the_original_programs_do() {
        let digest = PasswordDigest::of_typed("123456");
        assert_eq!(digest.as_str(), "8d969eef6ecad3c29a3a629280e686cf0c3f5d5a86aff3ca12020c923adc6c92");
        assert_eq!(PasswordDigest::parse(digest.as_str()), Some(digest));
    }

    #[test]
    fn takes_nothing_but_lower_case_hex() {
        for bad in ["", "abc", &"g".repeat(64), &"A".repeat(64), &"a".repeat(65)] {
            assert_eq!(PasswordDigest::parse(bad), None);
        }
    }

    #[test]
    fn debug_hides_the_secret() {
        assert_eq!(format!("{:?}", PasswordDigest::of_typed("secret")), "PasswordDigest(..)");
    }
}
