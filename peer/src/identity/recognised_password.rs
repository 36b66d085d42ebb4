//! Recognition of the user's password when it is typed as a message.
//! The password itself is not kept.
//!
//! Only a hash is kept, under a key that is drawn for this run and stored in no file. It is useless after the program
//! has ended and, unlike a plain digest, fits no precomputed table.

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

    /// Whether a line of input is the password, ignoring white space around it.
    pub(crate) fn is(&self, line: &str) -> bool {
        [line, line.trim()].iter().any(|line| hash(&self.key, line.as_bytes()) == self.hash)
    }
}

/// The output does not reveal the password or its hash.
impl std::fmt::Debug for RecognisedPassword {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RecognisedPassword(..)")
    }
}

/// Hashes the key and the text. The key has a fixed length, so no other pair yields the same bytes.
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
