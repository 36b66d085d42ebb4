//! AccountCommandHandler: what users do with their own accounts: see, endorse and revoke keys, change the password, go.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use commons::endorsement::Endorsement;
use commons::keys::{PublicKey, Signature};
use commons::names::Username;
use commons::peer::Peer;
use commons::protocol::with_tracker::{BoundKey, ErrorCode, Secret};

use crate::handlers::doorkeeper::Doorkeeper;
use crate::handlers::outcome::{Outcome, Refused, Shows};
use crate::handlers::user::{Origin, digest};
use crate::repositories::peer::{Endorsed, PeerRepository};
use crate::repositories::update::StorageError;
use crate::repositories::user::UserRepository;

/// Serves what users ask about their own accounts.
#[derive(Debug)]
pub(crate) struct AccountCommandHandler {
    users: UserRepository,
    peers: PeerRepository,
    door: Arc<Doorkeeper>,
    departing: Mutex<BTreeSet<Username>>,
}

/// Somebody's account is being deleted: until this is dropped nobody signs in there.
#[derive(Debug)]
#[must_use]
pub(crate) struct Departure<'a> {
    username: &'a Username,
    departing: &'a Mutex<BTreeSet<Username>>,
}

impl AccountCommandHandler {
    /// Over these accounts.
    pub(crate) fn new(users: UserRepository, peers: PeerRepository, door: Arc<Doorkeeper>) -> Self {
        Self { users, peers, door, departing: Mutex::default() }
    }

    /// Whether somebody who was admitted may still come in: between the two the account may have gone, or the key.
    pub(crate) fn still_admits(&self, username: &Username, key: Option<PublicKey>) -> Result<(), Refused> {
        if lock(&self.departing).contains(username) {
            return Err(Refused::new(ErrorCode::Busy, "this account is being deleted"));
        }
        let bound = key.is_none_or(|key| self.peers.peer(username).keys.contains(&key));
        if bound && self.users.exists(username) {
            return Ok(());
        }
        Err(Refused::new(ErrorCode::InvalidCredentials, "the account or its key has just been taken away"))
    }

    /// A user's keys, as a session shows them that has proven `own`.
    pub(crate) fn keys(&self, username: &Username, own: Option<PublicKey>) -> Vec<BoundKey> {
        let Peer { keys, endorsements, .. } = self.peers.peer(username);
        let read = |signature| Endorsement::read(username, &keys, signature);
        let said: Vec<_> = endorsements.iter().filter_map(read).collect();
        let by = |key| said.iter().find(|said| said.key == key).map(|said| said.by);
        keys.iter().map(|&key| BoundKey { key, current: own == Some(key), endorsed_by: by(key) }).collect()
    }

    /// Takes one of a user's keys away; not the one that the asking session has proven.
    pub(crate) async fn revoke(
        &self,
        asker: &Username,
        own: Option<PublicKey>,
        key: PublicKey,
    ) -> Result<Outcome, Refused> {
        if own == Some(key) {
            let msg = "this device is signed in by that key: revoke it on another one, or delete the account";
            return Err(Refused::new(ErrorCode::Forbidden, msg));
        }
        if !self.peers.unbind_key(asker, key).await? {
            return Err(Refused::new(ErrorCode::KeyNotFound, "you have no such key"));
        }
        Ok(Outcome::showing("the key is revoked", Shows::Nothing))
    }

    /// Keeps that the key which a session has proven vouches for another one of the user's.
    pub(crate) async fn endorse(
        &self,
        asker: &Username,
        own: Option<PublicKey>,
        key: PublicKey,
        signature: Signature,
    ) -> Result<Outcome, Refused> {
        let unknown = || Refused::new(ErrorCode::KeyNotFound, "you have no such key");
        let forbidden = |msg| Refused::new(ErrorCode::Forbidden, msg);
        if !self.peers.peer(asker).keys.contains(&key) {
            return Err(unknown());
        }
        let Some(by) = own else {
            return Err(forbidden("a session in the clear has no key to endorse with"));
        };
        let said = Endorsement { by, key };
        if !said.is_signed(asker, &signature) {
            return Err(forbidden("the signature is not by the key of this session"));
        }
        match self.peers.endorse(asker, said, signature).await? {
            Endorsed::Kept => Ok(Outcome::said("the key is endorsed")),
            Endorsed::NotBound => Err(unknown()),
            Endorsed::Earlier => Err(forbidden(
                "that key is not later than this device's: endorse this device's on the other one",
            )),
        }
    }

    /// Replaces a user's password.
    pub(crate) async fn change_password(
        &self,
        asker: &Username,
        from: Origin,
        password: Option<Secret>,
        new_password: &Secret,
    ) -> Result<Outcome, Refused> {
        let new_password = digest("new_password", &new_password.0)?;
        self.prove(asker, from, password).await?;
        let hash = self.door.hash(asker, new_password, from.ip).await?;
        self.users.replace(asker, hash).await?;
        Ok(Outcome::said("the password is changed"))
    }

    /// Whether the asker is the user beyond doubt: by the password, or else by a key that is bound. A session in the
    /// clear may be anybody's who came upon it.
    pub(crate) async fn prove(
        &self,
        asker: &Username,
        from: Origin,
        password: Option<Secret>,
    ) -> Result<(), Refused> {
        match (password, from.key) {
            (Some(Secret(offered)), _) => self.door.judge(asker, offered, from.ip).await,
            (None, Some(_)) => self.still_admits(asker, from.key),
            (None, None) => {
                let msg = "\"password\" may be absent on an encrypted session only";
                Err(Refused::new(ErrorCode::MissingParameter, msg))
            }
        }
    }

    /// Begins to delete an account.
    pub(crate) fn depart<'a>(&'a self, username: &'a Username) -> Departure<'a> {
        lock(&self.departing).insert(username.clone());
        Departure { username, departing: &self.departing }
    }

    /// Deletes an account that sits nowhere any more. The password goes last: whatever stops the tracker before, the
    /// user can sign in and go on.
    pub(crate) async fn remove(&self, departure: &Departure<'_>) -> Result<(), StorageError> {
        self.peers.remove(departure.username).await?;
        self.users.remove(departure.username).await
    }
}

impl Drop for Departure<'_> {
    fn drop(&mut self) {
        lock(self.departing).remove(self.username);
    }
}

fn lock(departing: &Mutex<BTreeSet<Username>>) -> MutexGuard<'_, BTreeSet<Username>> {
    departing.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::PasswordCost;
    use crate::network::Watched;
    use crate::passwords::Passwords;
    use crate::repositories::Repositories;

    #[tokio::test]
    async fn who_was_admitted_is_not_let_in_once_the_key_or_the_account_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let repositories = Repositories::open(folder.path()).unwrap();
        let passwords = Passwords::new(PasswordCost { memory: 8, passes: 1 }).unwrap();
        let (users, peers) = (repositories.users(), repositories.peers());
        let door = Doorkeeper::new(users.clone(), passwords, Watched { loopback: false });
        let accounts = AccountCommandHandler::new(users.clone(), peers.clone(), Arc::new(door));
        let (ana, kept, lost) =
            (Username::parse("ana").unwrap(), PublicKey::new([1; 32]), PublicKey::new([2; 32]));
        users.create(&ana, "$argon2id$".to_owned()).await.unwrap();
        for key in [kept, lost] {
            peers.bind_key(&ana, key).await.unwrap();
            assert_eq!(accounts.still_admits(&ana, Some(key)), Ok(()));
        }
        let code = |key| accounts.still_admits(&ana, key).map_err(|refused| refused.code);
        accounts.revoke(&ana, Some(kept), lost).await.unwrap();
        assert_eq!(code(Some(lost)), Err(ErrorCode::InvalidCredentials));
        assert_eq!(code(Some(kept)), Ok(()));
        let departure = accounts.depart(&ana);
        assert_eq!(code(Some(kept)), Err(ErrorCode::Busy));
        accounts.remove(&departure).await.unwrap();
        drop(departure);
        for key in [Some(kept), None] {
            assert_eq!(code(key), Err(ErrorCode::InvalidCredentials));
        }
    }
}
