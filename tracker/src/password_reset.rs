//! The operator's way to give a user another password: for whoever has lost both the old one and every key.
//!
//! It works on the folder of a tracker that is stopped. The keys go too, since nobody knows who holds them now; so the
//! user's friends are told of a new key, as they should be.

use std::path::Path;

use commons::names::Username;
use commons::user::PasswordDigest;

use crate::config::PasswordCost;
use crate::password_queue::Asker;
use crate::passwords::Passwords;
use crate::repositories::Repositories;
use crate::repositories::data_folder::OpenError;
use crate::repositories::update::StorageError;

/// Why a password was not reset.
#[derive(Debug, thiserror::Error)]
pub enum ResetError {
    /// There is no such account.
    #[error("there is no user {0}: nothing was changed")]
    NoSuchUser(Username),
    /// The state cannot be read, or a tracker is at work there.
    #[error(transparent)]
    Data(#[from] OpenError),
    /// The password cannot be hashed.
    #[error("the password cannot be hashed: is there too little memory? Nothing was changed")]
    Password,
    /// The disk refused.
    #[error("the disk could not be written: is it full? Run this again")]
    Storage,
}

/// A reset that can be done: the folder is locked, and the user exists.
#[derive(Debug)]
pub struct PasswordReset {
    repositories: Repositories,
    username: Username,
}

impl PasswordReset {
    /// Finds the user in the folder of a tracker, before anybody has to type a password.
    pub fn begin(data: &Path, username: Username) -> Result<Self, ResetError> {
        let repositories = Repositories::open(data)?;
        match repositories.users().exists(&username) {
            true => Ok(Self { repositories, username }),
            false => Err(ResetError::NoSuchUser(username)),
        }
    }

    /// Gives the user this password, and takes all keys away.
    pub async fn finish(self, digest: PasswordDigest, cost: PasswordCost) -> Result<(), ResetError> {
        let passwords = Passwords::new(cost).map_err(|_| ResetError::Password)?;
        let hash = passwords.hash(Asker::operator(), digest).await.map_err(|_| ResetError::Password)?;
        let replaced = self.replace(hash).await;
        self.repositories.close().await.and(replaced).map_err(|_| ResetError::Storage)
    }

    /// The keys go first: stopped in between, the old password still stands, and this can be run again.
    async fn replace(&self, hash: String) -> Result<(), StorageError> {
        self.repositories.peers().unbind_all(&self.username).await?;
        self.repositories.users().replace(&self.username, None, hash).await.map(drop)
    }
}
