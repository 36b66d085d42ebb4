//! The password reset by the operator.
//! It is for users who have lost their password and all their keys.
//!
//! It works on the data folder of a stopped tracker. It also removes the user's keys, because an unknown person may
//! hold them. The user's contacts are therefore warned about the new key, as they should be.

use std::path::Path;

use commons::login_key::LoginKey;
use commons::names::Username;
use commons::user::PasswordDigest;
use tokio::task::spawn_blocking;

use crate::config::PasswordCost;
use crate::password_proofs::NewPassword;
use crate::password_queue::HashOrigin;
use crate::passwords::Passwords;
use crate::repositories::Repositories;
use crate::repositories::data_folder::OpenError;
use crate::repositories::stored_password::StoredPassword;
use crate::repositories::update::StorageError;

/// The reason why a password was not reset.
#[derive(Debug, thiserror::Error)]
pub enum ResetError {
    /// No account has this name.
    #[error("there is no user {0}: nothing was changed")]
    NoSuchUser(Username),
    /// The data folder cannot be read, or a tracker uses it.
    #[error(transparent)]
    Data(#[from] OpenError),
    /// The password hash cannot be computed.
    #[error("the password cannot be hashed, perhaps for lack of memory. Nothing was changed")]
    Password,
    /// The disk refused a write.
    #[error("the disk refused a write and may be full. Free some space and run the command again")]
    Storage,
}

/// A prepared reset: the folder is locked and the user exists.
#[derive(Debug)]
pub struct PasswordReset {
    repositories: Repositories,
    username: Username,
}

impl PasswordReset {
    /// Opens the data folder of a stopped tracker and finds the user, before the operator types a password.
    pub fn begin(data: &Path, username: Username) -> Result<Self, ResetError> {
        let repositories = Repositories::open(data)?;
        match repositories.users().exists(&username) {
            true => Ok(Self { repositories, username }),
            false => Err(ResetError::NoSuchUser(username)),
        }
    }

    /// Sets the new password, as it was typed, and removes all keys of the user. A user who could sign in by the digest, as
    /// original programs do, still can.
    pub async fn finish(self, typed: String, cost: PasswordCost) -> Result<(), ResetError> {
        let (tracker, username) = (self.repositories.key().public_key(), self.username.clone());
        let present = self.repositories.users().password(&username);
        let digest = present.is_some_and(|present| present.digest().is_some());
        let digest = digest.then(|| PasswordDigest::of_typed(&typed));
        let derived = spawn_blocking(move || LoginKey::derive(typed.as_bytes(), &tracker, &username)).await;
        let login_key = Some(derived.map_err(|_| ResetError::Password)?.map_err(|_| ResetError::Password)?);
        let passwords = Passwords::new(cost, tracker).map_err(|_| ResetError::Password)?;
        let new = passwords.hash(HashOrigin::operator(), NewPassword { digest, login_key });
        let replaced = self.replace(new.await.map_err(|_| ResetError::Password)?).await;
        self.repositories.close().await.and(replaced).map_err(|_| ResetError::Storage)
    }

    /// Removes the keys first. If the program stops in between, the old password is still valid and the reset can be
    /// repeated.
    async fn replace(&self, password: StoredPassword) -> Result<(), StorageError> {
        self.repositories.admins().forget_keys(&self.username, |_| true).await?;
        self.repositories.peers().unbind_all(&self.username).await?;
        self.repositories.users().replace(&self.username, None, password).await.map(drop)
    }
}
