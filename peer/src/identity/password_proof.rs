//! The proofs of a password that the tracker gets: its login key, and its digest if the user permits it.

use commons::keys::PublicKey;
use commons::login_key::{LoginKey, LoginKeyError};
use commons::names::Username;
use commons::user::PasswordDigest;
use tokio::task::spawn_blocking;

use crate::identity::password::Password;

/// The proofs of one password.
#[derive(Debug, Clone)]
pub(crate) struct PasswordProof {
    /// The login key for this tracker and this user.
    pub(crate) login_key: LoginKey,
    /// The digest, if the user permits that the tracker gets it.
    pub(crate) digest: Option<PasswordDigest>,
}

impl PasswordProof {
    /// Derives the login key for the tracker with this key. That is slow, so it runs on a thread of its own.
    pub(crate) async fn derive(
        password: &Password,
        tracker: PublicKey,
        user: &Username,
    ) -> Result<Self, LoginKeyError> {
        let (password, user) = (password.clone(), user.clone());
        let derived = spawn_blocking(move || LoginKey::derive(password.as_bytes(), &tracker, &user)).await;
        Ok(Self { login_key: derived.map_err(|_| LoginKeyError)??, digest: None })
    }
}
