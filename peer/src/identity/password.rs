//! A password as it was typed.
//! It opens sealed files on this computer. Only its login key leaves the computer, or its digest with the user's consent.

use commons::limits::PASSWORD_MIN_CHARS;
use commons::user::PasswordDigest;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// A typed password. It is never shown and is wiped when dropped.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Password(Zeroizing<String>);

impl Password {
    /// Wraps the text that a person typed.
    #[must_use]
    pub fn typed(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The digest of the password, by which original programs and earlier versions sign in.
    #[must_use]
    pub fn digest(&self) -> PasswordDigest {
        PasswordDigest::of_typed(&self.0)
    }

    /// Whether nothing was typed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it is shorter than [`PASSWORD_MIN_CHARS`] and cannot be set. A shorter one of an earlier version still
    /// signs in.
    #[must_use]
    pub fn is_too_short(&self) -> bool {
        self.0.chars().count() < PASSWORD_MIN_CHARS
    }

    /// The text in bytes. It is for sealing and for the login key only.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl From<String> for Password {
    fn from(text: String) -> Self {
        Self::typed(text)
    }
}

impl From<Password> for String {
    fn from(password: Password) -> Self {
        password.0.to_string()
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(..)")
    }
}
