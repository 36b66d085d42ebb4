//! Recognises the user's password where it was typed as a message, without keeping it.
//!
//! What is kept is a hash of it under a key that was drawn for this run and is in no file: it is of no use after the
//! program has ended, and unlike a digest it fits no table.

use std::io;

use commons::keys::Seed;
use sha2::{Digest, Sha256};

use crate::identity::password::Password;

/// A hash of the password under a key of this run.
pub(crate) struct RecognisedPassword {
    key: Seed,
    hash: [u8; 32],
}

impl RecognisedPassword {
    pub(crate) fn new(password: &Password) -> io::Result<Self> {
        let key = Seed::random()?;
        let hash = hash(&key, password.as_bytes());
        Ok(Self { key, hash })
    }

    /// Whether a line is the password, apart from space around it.
    pub(crate) fn is(&self, line: &str) -> bool {
        [line, line.trim()].iter().any(|line| hash(&self.key, line.as_bytes()) == self.hash)
    }
}

/// Says nothing of the password.
impl std::fmt::Debug for RecognisedPassword {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RecognisedPassword(..)")
    }
}

/// The key has a fixed length, so nothing else has the same bytes.
fn hash(key: &Seed, text: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(key.as_bytes()).chain_update(text).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_password_itself_is_recognised() {
        let known = RecognisedPassword::new(&Password::typed("correct horse")).unwrap();
        for line in ["correct horse", " correct horse ", "correct horse\n"] {
            assert!(known.is(line), "{line:?}");
        }
        for line in ["", "correct", "correct horse!", "/correct horse", "Correct horse"] {
            assert!(!known.is(line), "{line:?}");
        }
        let again = RecognisedPassword::new(&Password::typed("correct horse")).unwrap();
        assert_ne!(known.hash, again.hash, "each has a key of its own");
        assert_eq!(format!("{known:?}"), "RecognisedPassword(..)");
    }
}
