//! A password as it was typed: it opens what is sealed on this computer, and only its digest leaves it.

use commons::limits::PASSWORD_MIN_CHARS;
use commons::user::PasswordDigest;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// What a person typed. Never shown, wiped when dropped.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Password(Zeroizing<String>);

impl Password {
    /// What was typed.
    #[must_use]
    pub fn typed(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// What the tracker is told.
    #[must_use]
    pub fn digest(&self) -> PasswordDigest {
        PasswordDigest::of_typed(&self.0)
    }

    /// Whether nothing was typed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it is too short to be set. A shorter one from before still signs in.
    #[must_use]
    pub fn is_too_short(&self) -> bool {
        self.0.chars().count() < PASSWORD_MIN_CHARS
    }

    /// The text: for sealing only.
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
