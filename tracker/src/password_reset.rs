//! The operator's way to give a user another password: for whoever has lost both the old one and every key.
//!
//! It works on the folder of a tracker that is stopped. The keys go too, since nobody knows who holds them now; so the
//! user's friends are told of a new key, as they should be.

use std::path::Path;

use commons::names::Username;
use commons::user::PasswordDigest;
use tokio::task::spawn_blocking;

use crate::config::PasswordCost;
use crate::passwords::Passwords;
use crate::repositories::Repositories;
use crate::repositories::data_folder::OpenError;

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

/// Gives a user of the tracker of this folder another password, and takes all of the user's keys away.
pub async fn reset_password(
    data: &Path,
    cost: PasswordCost,
    username: &Username,
    digest: PasswordDigest,
) -> Result<(), ResetError> {
    let data = data.to_owned();
    let opened = spawn_blocking(move || Repositories::open(&data)).await;
    let repositories = opened.map_err(|_| ResetError::Storage)??;
    let reset = reset(&repositories, cost, username, digest).await;
    repositories.close().await.map_err(|_| ResetError::Storage)?;
    reset
}

/// The keys go first: stopped in between, the old password still stands, and this can be run again.
async fn reset(
    repositories: &Repositories,
    cost: PasswordCost,
    username: &Username,
    digest: PasswordDigest,
) -> Result<(), ResetError> {
    let (users, peers) = (repositories.users(), repositories.peers());
    if !users.exists(username) {
        return Err(ResetError::NoSuchUser(username.clone()));
    }
    let passwords = Passwords::new(cost).map_err(|_| ResetError::Password)?;
    let hash = passwords.hash(digest).await.map_err(|_| ResetError::Password)?;
    peers.unbind_all(username).await.map_err(|_| ResetError::Storage)?;
    users.replace(username, hash).await.map_err(|_| ResetError::Storage)?;
    Ok(())
}
