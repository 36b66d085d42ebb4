//! The repository of user accounts.
//! It keeps the password hash of each account.

use std::fmt;

use commons::names::Username;
use commons::user::PasswordDigest;
use serde_json::value::{RawValue, to_raw_value};

use crate::repositories::collection::Collection;
use crate::repositories::record::{Decoded, Record, unreadable};
use crate::repositories::update::{Change, StorageError};

/// The stored form of a password.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum StoredPassword {
    /// An argon2id hash of the digest, in PHC string format.
    Hash(String),
    /// The digest itself, as the legacy tracker stored it. The first login replaces it by a hash.
    Digest(PasswordDigest),
}

/// The debug output hides the secret from logs.
impl fmt::Debug for StoredPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoredPassword(..)")
    }
}

impl Record for StoredPassword {
    fn read(key: &str, json: &RawValue) -> Result<Decoded<Self>, String> {
        let text: String = serde_json::from_str(json.get()).map_err(|error| unreadable(&error))?;
        let password = match PasswordDigest::parse(&text) {
            Some(digest) => Self::Digest(digest),
            None if text.starts_with("$argon2id$") => Self::Hash(text),
            None => return Err("neither a password hash nor 64 hex digits".to_owned()),
        };
        Ok(if Username::parse(key).is_ok() { Decoded::Native(password) } else { Decoded::Invalid })
    }

    fn write(&self) -> serde_json::Result<Box<RawValue>> {
        match self {
            Self::Hash(hash) => to_raw_value(hash),
            Self::Digest(digest) => to_raw_value(digest),
        }
    }
}

/// The repository of user accounts.
#[derive(Debug, Clone)]
pub(crate) struct UserRepository {
    users: Collection<StoredPassword>,
}

impl UserRepository {
    /// Creates the repository on a collection of accounts.
    pub(crate) fn new(users: Collection<StoredPassword>) -> Self {
        Self { users }
    }

    /// Whether an account with this name exists.
    pub(crate) fn exists(&self, username: &Username) -> bool {
        self.users.contains(username.as_str())
    }

    /// The stored password of an account.
    pub(crate) fn password(&self, username: &Username) -> Option<StoredPassword> {
        self.users.get(username.as_str())
    }

    /// Whether an account still has exactly this stored password. The answer is no after a password change, and for a
    /// later account of the same name.
    pub(crate) fn has(&self, username: &Username, password: &StoredPassword) -> bool {
        self.users.read(username.as_str(), |present| present == password).unwrap_or(false)
    }

    /// Creates an account. Returns `false` if the name is taken.
    pub(crate) async fn create(&self, username: &Username, hash: String) -> Result<bool, StorageError> {
        let decide = move |present: Option<&StoredPassword>| match present {
            Some(_) => (Change::Keep, false),
            None => (Change::Put(StoredPassword::Hash(hash.clone())), true),
        };
        self.users.update(username.as_str(), decide).await
    }

    /// Replaces the password of an account if it is `expected`, or any password if `expected` is `None`. Returns
    /// `false` if nothing was replaced.
    pub(crate) async fn replace(
        &self,
        username: &Username,
        expected: Option<StoredPassword>,
        hash: String,
    ) -> Result<bool, StorageError> {
        let decide = move |present: Option<&StoredPassword>| match present {
            Some(_) if expected.as_ref().is_some_and(|expected| present != Some(expected)) => {
                (Change::Keep, false)
            }
            Some(_) => (Change::Put(StoredPassword::Hash(hash.clone())), true),
            None => (Change::Keep, false),
        };
        self.users.update(username.as_str(), decide).await
    }

    /// Deletes an account.
    pub(crate) async fn remove(&self, username: &Username) -> Result<(), StorageError> {
        self.users.update(username.as_str(), |_| (Change::Remove, ())).await
    }

    /// Replaces the digest of an account by a hash of it, if the account still stores that digest.
    pub(crate) async fn upgrade(
        &self,
        username: &Username,
        digest: PasswordDigest,
        hash: String,
    ) -> Result<(), StorageError> {
        let old = StoredPassword::Digest(digest);
        let decide = move |present: Option<&StoredPassword>| {
            let change = match present {
                Some(present) if *present == old => Change::Put(StoredPassword::Hash(hash.clone())),
                _ => Change::Keep,
            };
            (change, ())
        };
        self.users.update(username.as_str(), decide).await
    }
}
