//! The repository of admins.
//! It keeps the accounts that are admins, and the keys that each of them had at that time.
//!
//! An admin acts with one of these keys only. Neither a password nor a later account of the same name is enough.

use chrono::{DateTime, Utc};
use commons::endorsement::Endorsement;
use commons::keys::PublicKey;
use commons::names::Username;
use commons::peer::Peer;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use crate::repositories::collection::Collection;
use crate::repositories::record::{Decoded, Record, unreadable};
use crate::repositories::update::{Change, StorageError};

/// An admin as the collection holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Admin {
    /// The keys by which the admin is recognised.
    pub(crate) keys: Vec<PublicKey>,
    /// The time at which the account became an admin.
    pub(crate) since: DateTime<Utc>,
}

impl Admin {
    /// The keys by which an admin acts: those of the record that are still bound, and those that one of them endorses.
    pub(crate) fn acting_keys(&self, peer: &Peer) -> Vec<PublicKey> {
        let Peer { username, keys, endorsements, .. } = peer;
        let read = |signature| Endorsement::read(username, keys, signature);
        let endorsements: Vec<_> = endorsements.iter().filter_map(read).collect();
        let mut trusted: Vec<_> = keys.iter().copied().filter(|key| self.keys.contains(key)).collect();
        // Each round adds a key, and a user has few.
        while let Some(next) =
            endorsements.iter().find(|one| trusted.contains(&one.by) && !trusted.contains(&one.key))
        {
            trusted.push(next.key);
        }
        trusted
    }
}

impl Record for Admin {
    fn read(key: &str, json: &RawValue) -> Result<Decoded<Self>, String> {
        let admin = serde_json::from_str(json.get()).map_err(|error| unreadable(&error))?;
        Ok(if Username::parse(key).is_ok() { Decoded::Native(admin) } else { Decoded::Invalid })
    }

    fn write(&self) -> serde_json::Result<Box<RawValue>> {
        to_raw_value(self)
    }
}

/// The repository of admins.
#[derive(Debug, Clone)]
pub(crate) struct AdminRepository {
    admins: Collection<Admin>,
}

impl AdminRepository {
    /// Creates the repository on a collection of admins.
    pub(crate) fn new(admins: Collection<Admin>) -> Self {
        Self { admins }
    }

    /// The record of an admin.
    pub(crate) fn admin(&self, username: &Username) -> Option<Admin> {
        self.admins.get(username.as_str())
    }

    /// The keys by which a user acts as an admin, of those in the user's record. Others have none.
    pub(crate) fn acting_keys(&self, peer: &Peer) -> Vec<PublicKey> {
        self.admins.read(peer.username.as_str(), |admin| admin.acting_keys(peer)).unwrap_or_default()
    }

    /// All admins with their names, in order. There are few.
    pub(crate) fn all(&self) -> Vec<(String, Admin)> {
        self.admins
            .scan("", "", |admins| admins.map(|(name, admin)| (name.to_owned(), admin.clone())).collect())
    }

    /// Makes an account an admin, if `exists` still returns true at that moment. Returns whether it did.
    pub(crate) async fn add(
        &self,
        username: &Username,
        admin: Admin,
        exists: impl Fn() -> bool + Send + 'static,
    ) -> Result<bool, StorageError> {
        let decide = move |_: Option<&Admin>| match exists() {
            true => (Change::Put(admin.clone()), true),
            false => (Change::Keep, false),
        };
        self.admins.update(username.as_str(), decide).await
    }

    /// Removes an admin. Returns whether the user was one.
    pub(crate) async fn remove(&self, username: &Username) -> Result<bool, StorageError> {
        self.admins.update(username.as_str(), |present| remove_if(present, true)).await
    }

    /// Removes an admin whose account does not exist.
    pub(crate) async fn remove_orphan(
        &self,
        username: &Username,
        exists: impl Fn() -> bool + Send + 'static,
    ) -> Result<(), StorageError> {
        let decide = move |present: Option<&Admin>| remove_if(present, !exists());
        self.admins.update(username.as_str(), decide).await.map(drop)
    }

    /// Removes the keys for which `lost` returns true from an admin. The user stays an admin, and cannot act without a
    /// key.
    pub(crate) async fn forget_keys(
        &self,
        username: &Username,
        lost: impl Fn(PublicKey) -> bool + Send + 'static,
    ) -> Result<(), StorageError> {
        let decide = move |present: Option<&Admin>| {
            let Some(admin) = present.filter(|admin| admin.keys.iter().any(|key| lost(*key))) else {
                return (Change::Keep, ());
            };
            let keys = admin.keys.iter().copied().filter(|key| !lost(*key)).collect();
            (Change::Put(Admin { keys, ..admin.clone() }), ())
        };
        self.admins.update(username.as_str(), decide).await
    }
}

fn remove_if(present: Option<&Admin>, condition: bool) -> (Change<Admin>, bool) {
    match present {
        Some(_) if condition => (Change::Remove, true),
        _ => (Change::Keep, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repositories::Repositories;
    use crate::repositories::stored_password::StoredPassword;

    #[tokio::test]
    async fn admin_without_an_account_is_none_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let [ana, bob] = ["ana", "bob"].map(|name| Username::parse(name).unwrap());
        let repositories = Repositories::open(folder.path()).unwrap();
        repositories.users().create(&bob, StoredPassword::read("$argon2id$").unwrap()).await.unwrap();
        for user in [&ana, &bob] {
            let admin = Admin { keys: vec![PublicKey::new([7; 32])], since: DateTime::UNIX_EPOCH };
            assert!(repositories.admins().add(user, admin, || true).await.unwrap());
        }
        repositories.close().await.unwrap();

        // A crash in the middle of a deletion could leave such a record if the role were deleted last.
        let repositories = Repositories::open(folder.path()).unwrap();
        assert!(repositories.admins().admin(&ana).is_none());
        assert!(repositories.admins().admin(&bob).is_some(), "control: bob has an account");
        repositories.close().await.unwrap();
    }
}
