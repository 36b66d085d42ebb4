//! Password-based sealing of secrets on the disk.
//! A thief of the disk alone cannot sign in as the user.
//!
//! The encryption key is derived with argon2id from the password as it was typed. The tracker only gets a login key
//! or a digest of the password, so a thief of that and the disk must still guess the password.

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use commons::keys::Seed;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::identity::password::Password;
use crate::limits::{SEAL_MEMORY_MAX, SEAL_PASSES_MAX};

/// The earlier format, whose key is derived from the digest, and its context.
const EARLIER: u8 = 1;
const EARLIER_CONTEXT: &str = "p2p-chat identity v1";

/// The current format.
const PRESENT: u8 = 2;

/// Cost of argon2id for one password. The default is the second recommendation of RFC 9106; lower costs are for tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealCost {
    /// Memory in KiB, at most `SEAL_MEMORY_MAX` when a seal is opened.
    pub memory: u32,
    /// Number of passes over the memory, at most `SEAL_PASSES_MAX`.
    pub passes: u32,
}

impl Default for SealCost {
    fn default() -> Self {
        Self { memory: 64 * 1024, passes: 3 }
    }
}

/// A sealed secret as the disk holds it. The texts are hex.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Sealed {
    #[serde(default = "earlier")]
    version: u8,
    cost: SealCost,
    salt: String,
    nonce: String,
    sealed: String,
}

/// The version of a file without a version field, as the first format was.
fn earlier() -> u8 {
    EARLIER
}

/// Reason why a seal does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The password is wrong, or the seal was changed.
    #[error("wrong password")]
    WrongPassword,
    /// The file is not a seal, or this computer cannot compute the key.
    #[error("the file with your key cannot be read")]
    Unusable,
}

impl Sealed {
    /// Seals a secret under a password. `context` names its purpose and is authenticated: the seal does not open for
    /// another one.
    pub(crate) fn seal(
        secret: &[u8],
        context: &str,
        password: &Password,
        cost: SealCost,
    ) -> Result<Self, SealError> {
        let random = || Seed::random().map_err(|_| SealError::Unusable);
        let (salt, nonce) = (random()?, random()?);
        let (salt, nonce) = (&salt.as_bytes()[..16], &nonce.as_bytes()[..24]);
        let payload = Payload { msg: secret, aad: context.as_bytes() };
        let nonce_array: [u8; 24] = nonce.try_into().map_err(|_| SealError::Unusable)?;
        let sealed = cipher(password.as_bytes(), salt, cost)?.encrypt(&nonce_array.into(), payload);
        let hex = base16ct::lower::encode_string;
        Ok(Self {
            version: PRESENT,
            cost,
            salt: hex(salt),
            nonce: hex(nonce),
            sealed: hex(&sealed.map_err(|_| SealError::Unusable)?),
        })
    }

    /// Opens the seal. The result is wiped when dropped.
    pub(crate) fn open(&self, context: &str, password: &Password) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let unhex = |text: &str| base16ct::lower::decode_vec(text).map_err(|_| SealError::Unusable);
        let (salt, sealed) = (unhex(&self.salt)?, unhex(&self.sealed)?);
        let nonce: [u8; 24] = unhex(&self.nonce)?.try_into().map_err(|_| SealError::Unusable)?;
        let (cipher, context) = match self.version {
            EARLIER => (cipher(password.digest().as_str().as_bytes(), &salt, self.cost)?, EARLIER_CONTEXT),
            PRESENT => (cipher(password.as_bytes(), &salt, self.cost)?, context),
            _ => return Err(SealError::Unusable),
        };
        let opened = cipher.decrypt(&nonce.into(), Payload { msg: &sealed, aad: context.as_bytes() });
        opened.map(Zeroizing::new).map_err(|_| SealError::WrongPassword)
    }

    /// Whether an earlier version sealed it, so that it must be sealed again.
    pub(crate) fn is_earlier(&self) -> bool {
        self.version == EARLIER
    }
}

fn cipher(secret: &[u8], salt: &[u8], cost: SealCost) -> Result<XChaCha20Poly1305, SealError> {
    // The file may come from another person, so the cost is bounded.
    if cost.memory > SEAL_MEMORY_MAX || cost.passes > SEAL_PASSES_MAX {
        return Err(SealError::Unusable);
    }
    let params = Params::new(cost.memory, cost.passes, 1, Some(32)).map_err(|_| SealError::Unusable)?;
    let mut key = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(secret, salt, &mut *key)
        .map_err(|_| SealError::Unusable)?;
    XChaCha20Poly1305::new_from_slice(&*key).map_err(|_| SealError::Unusable)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: SealCost = SealCost { memory: 64, passes: 1 };
    const HERE: &str = "here";

    #[test]
    fn only_the_right_password_opens_an_unchanged_seal() {
        let (secret, right) = (b"a secret".as_slice(), Password::typed("right"));
        let sealed = Sealed::seal(secret, HERE, &right, CHEAP).unwrap();
        assert_eq!(*sealed.open(HERE, &right).unwrap(), secret);
        assert_eq!(sealed.open(HERE, &Password::typed("wrong")).err(), Some(SealError::WrongPassword));
        assert_eq!(sealed.open("elsewhere", &right).err(), Some(SealError::WrongPassword));
        let mut changed = sealed.clone();
        changed.sealed.replace_range(0..1, if sealed.sealed.starts_with('0') { "1" } else { "0" });
        assert_eq!(changed.open(HERE, &right).err(), Some(SealError::WrongPassword));
        let written = serde_json::to_string(&sealed).unwrap();
        assert!(!written.contains(&base16ct::lower::encode_string(secret)));
    }

    #[test]
    fn digest_for_the_tracker_does_not_open_the_seal() {
        let password = Password::typed("right");
        let digest = Password::typed(password.digest().as_str());
        let sealed = Sealed::seal(b"a secret", HERE, &password, CHEAP).unwrap();
        assert_eq!(sealed.open(HERE, &digest).err(), Some(SealError::WrongPassword));
        // The digest did open the earlier format, which used the digest as the password.
        let earlier = Sealed::seal(b"a secret", EARLIER_CONTEXT, &digest, CHEAP).unwrap();
        let earlier = Sealed { version: EARLIER, ..earlier };
        assert!(earlier.is_earlier() && !sealed.is_earlier());
        assert_eq!(*earlier.open(HERE, &password).unwrap(), b"a secret");
        assert!(earlier.open(HERE, &digest).is_err());
    }

    #[test]
    fn a_seal_that_would_cost_everything_is_not_tried() {
        let password = Password::typed("right");
        let sealed = Sealed::seal(b"a secret", HERE, &password, CHEAP).unwrap();
        for cost in [SealCost { memory: u32::MAX, ..CHEAP }, SealCost { passes: u32::MAX, ..CHEAP }] {
            let dear = Sealed { cost, ..sealed.clone() };
            assert_eq!(dear.open(HERE, &password).err(), Some(SealError::Unusable));
        }
    }
}
