//! The repository of user accounts.
//! It keeps the password hash of each account, and whether the account is being deleted.

use commons::confusables;
use commons::names::Username;
use serde_json::value::{RawValue, to_raw_value};

use crate::login::ConnectionId;
use crate::repositories::collection::Collection;
use crate::repositories::record::{Decoded, Record, unreadable};
use crate::repositories::stored_password::StoredPassword;
use crate::repositories::update::{Change, StorageError};

/// An account as the collection holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    password: StoredPassword,
    /// The session that is deleting the account. It is not written to the file, so that the user can repeat a deletion
    /// that a crash has interrupted.
    deleted_by: Option<ConnectionId>,
}

impl Account {
    fn new(password: StoredPassword) -> Self {
        Self { password, deleted_by: None }
    }
}

impl Record for Account {
    fn read(key: &str, json: &RawValue) -> Result<Decoded<Self>, String> {
        let text: String = serde_json::from_str(json.get()).map_err(|error| unreadable(&error))?;
        let Some(password) = StoredPassword::read(&text) else {
            return Err("neither a password hash nor 64 hex digits".to_owned());
        };
        let account = Self::new(password);
        Ok(if Username::parse(key).is_ok() { Decoded::Native(account) } else { Decoded::Invalid })
    }

    fn write(&self) -> serde_json::Result<Box<RawValue>> {
        to_raw_value(self.password.as_str())
    }

    fn skeleton(key: &str) -> Option<String> {
        Some(confusables::skeleton(key))
    }
}

/// The repository of user accounts.
#[derive(Debug, Clone)]
pub(crate) struct UserRepository {
    users: Collection<Account>,
}

impl UserRepository {
    /// Creates the repository on a collection of accounts.
    pub(crate) fn new(users: Collection<Account>) -> Self {
        Self { users }
    }

    /// Whether an account with this name exists.
    pub(crate) fn exists(&self, username: &Username) -> bool {
        self.users.contains(username.as_str())
    }

    /// Whether another account has a name that looks like this one.
    pub(crate) fn has_look_alike(&self, username: &Username) -> bool {
        self.users.has_look_alike(username.as_str())
    }

    /// The number of accounts.
    pub(crate) fn count(&self) -> usize {
        self.users.len()
    }

    /// At most `limit` names of accounts after this one, in order.
    pub(crate) fn names_after(&self, after: &str, limit: usize) -> Vec<Username> {
        self.users.scan("", after, |users| {
            users.filter_map(|(name, _)| Username::parse(name).ok()).take(limit).collect()
        })
    }

    /// The stored password of an account.
    pub(crate) fn password(&self, username: &Username) -> Option<StoredPassword> {
        self.users.read(username.as_str(), |account| account.password.clone())
    }

    /// Whether an account still has exactly this stored password. The answer is no after a password change, and for a
    /// later account of the same name.
    pub(crate) fn has(&self, username: &Username, password: &StoredPassword) -> bool {
        self.users.read(username.as_str(), |account| account.password == *password).unwrap_or(false)
    }

    /// Creates an account. Returns `false` if the name is taken, or one that looks like it.
    pub(crate) async fn create(
        &self,
        username: &Username,
        password: StoredPassword,
    ) -> Result<bool, StorageError> {
        let Some(_claim) = self.users.claim(username.as_str()) else { return Ok(false) };
        let decide = move |present: Option<&Account>| match present {
            Some(_) => (Change::Keep, false),
            None => (Change::Put(Account::new(password.clone())), true),
        };
        self.users.update(username.as_str(), decide).await
    }

    /// Replaces the password of an account if it is `expected`, or any password if `expected` is `None`. Returns
    /// `false` if nothing was replaced.
    pub(crate) async fn replace(
        &self,
        username: &Username,
        expected: Option<StoredPassword>,
        password: StoredPassword,
    ) -> Result<bool, StorageError> {
        let decide = move |present: Option<&Account>| {
            let expected = |account: &&Account| expected.as_ref().is_none_or(|it| account.password == *it);
            let Some(account) = present.filter(expected) else { return (Change::Keep, false) };
            (Change::Put(Account { password: password.clone(), ..account.clone() }), true)
        };
        self.users.update(username.as_str(), decide).await
    }

    /// Marks an account as being deleted by a session. Returns `false` if it does not exist or is already marked.
    pub(crate) async fn begin_deletion(
        &self,
        username: &Username,
        by: ConnectionId,
    ) -> Result<bool, StorageError> {
        let decide = move |present: Option<&Account>| {
            let Some(account) = present.filter(|account| account.deleted_by.is_none()) else {
                return (Change::Keep, false);
            };
            (Change::Put(Account { deleted_by: Some(by), ..account.clone() }), true)
        };
        self.users.update_in_memory(username.as_str(), Some(by), decide).await
    }

    /// Removes the mark of a deletion that has failed.
    pub(crate) async fn end_deletion(&self, username: &Username) -> Result<(), StorageError> {
        let decide = |present: Option<&Account>| match present {
            Some(account) => (Change::Put(Account::new(account.password.clone())), ()),
            None => (Change::Keep, ()),
        };
        self.users.update_in_memory(username.as_str(), None, decide).await
    }

    /// Whether an account is being deleted.
    pub(crate) fn is_being_deleted(&self, username: &Username) -> bool {
        self.users.read(username.as_str(), |account| account.deleted_by.is_some()).unwrap_or(false)
    }

    /// Deletes an account.
    pub(crate) async fn remove(&self, username: &Username) -> Result<(), StorageError> {
        self.users.update(username.as_str(), |_| (Change::Remove, ())).await
    }
}
