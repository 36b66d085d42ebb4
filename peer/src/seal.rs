//! A user's private key on the disk: sealed with a key that follows from the password, so that a stolen disk alone does
//! not make a thief the user.

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use commons::keys::Seed;
use commons::user::PasswordDigest;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// What is sealed together with the key, so that a seal for something else is none for it.
const DOMAIN: &[u8] = b"p2p-chat identity v1";

/// What argon2id is to spend on one password. The default is what RFC 9106 recommends second; less is for tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealCost {
    /// Memory in KiB.
    pub memory: u32,
    /// Passes over it.
    pub passes: u32,
}

impl Default for SealCost {
    fn default() -> Self {
        Self { memory: 64 * 1024, passes: 3 }
    }
}

/// A private key as the disk holds it. The texts are hex.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Sealed {
    cost: SealCost,
    salt: String,
    nonce: String,
    sealed: String,
}

/// Why a seal does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SealError {
    /// The password is another one, or the seal was changed.
    #[error("wrong password")]
    WrongPassword,
    /// The file is no seal, or this computer cannot compute one.
    #[error("the file with your key cannot be read")]
    Unusable,
}

impl Sealed {
    /// Seals a private key under a password.
    pub(crate) fn seal(seed: &Seed, password: &PasswordDigest, cost: SealCost) -> Result<Self, SealError> {
        let random = || Seed::random().map_err(|_| SealError::Unusable);
        let (salt, nonce) = (random()?, random()?);
        let (salt, nonce) = (&salt.as_bytes()[..16], &nonce.as_bytes()[..24]);
        let payload = Payload { msg: seed.as_bytes(), aad: DOMAIN };
        let nonce_array: [u8; 24] = nonce.try_into().map_err(|_| SealError::Unusable)?;
        let sealed = cipher(password, salt, cost)?.encrypt(&nonce_array.into(), payload);
        let hex = base16ct::lower::encode_string;
        Ok(Self {
            cost,
            salt: hex(salt),
            nonce: hex(nonce),
            sealed: hex(&sealed.map_err(|_| SealError::Unusable)?),
        })
    }

    /// Opens the seal.
    pub(crate) fn open(&self, password: &PasswordDigest) -> Result<Seed, SealError> {
        let unhex = |text: &str| base16ct::lower::decode_vec(text).map_err(|_| SealError::Unusable);
        let nonce: [u8; 24] = unhex(&self.nonce)?.try_into().map_err(|_| SealError::Unusable)?;
        let sealed = unhex(&self.sealed)?;
        let payload = Payload { msg: &sealed, aad: DOMAIN };
        let opened = cipher(password, &unhex(&self.salt)?, self.cost)?.decrypt(&nonce.into(), payload);
        let opened = Zeroizing::new(opened.map_err(|_| SealError::WrongPassword)?);
        opened.as_slice().try_into().map(Seed::new).map_err(|_| SealError::Unusable)
    }
}

fn cipher(password: &PasswordDigest, salt: &[u8], cost: SealCost) -> Result<XChaCha20Poly1305, SealError> {
    let params = Params::new(cost.memory, cost.passes, 1, Some(32)).map_err(|_| SealError::Unusable)?;
    let mut key = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(password.as_str().as_bytes(), salt, &mut *key)
        .map_err(|_| SealError::Unusable)?;
    XChaCha20Poly1305::new_from_slice(&*key).map_err(|_| SealError::Unusable)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: SealCost = SealCost { memory: 64, passes: 1 };

    #[test]
    fn only_the_password_opens_the_seal_and_a_changed_one_does_not_open() {
        let (seed, right) = (Seed::random().unwrap(), PasswordDigest::of_typed("right"));
        let sealed = Sealed::seal(&seed, &right, CHEAP).unwrap();
        assert_eq!(sealed.open(&right).unwrap().as_bytes(), seed.as_bytes());
        assert_eq!(sealed.open(&PasswordDigest::of_typed("wrong")).err(), Some(SealError::WrongPassword));
        let mut changed = sealed.clone();
        changed.sealed.replace_range(0..1, if sealed.sealed.starts_with('0') { "1" } else { "0" });
        assert_eq!(changed.open(&right).err(), Some(SealError::WrongPassword));
        assert!(
            !serde_json::to_string(&sealed)
                .unwrap()
                .contains(&base16ct::lower::encode_string(seed.as_bytes()))
        );
    }
}
