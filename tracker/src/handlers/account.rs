//! The handler of requests about a user's own account.
//! Users list, endorse and revoke keys, change the password, and delete the account.

use std::sync::Arc;

use commons::endorsement::Endorsement;
use commons::keys::{PublicKey, Signature};
use commons::names::Username;
use commons::peer::Peer;
use commons::protocol::with_tracker::{BoundKey, ErrorCode};

use crate::handlers::authenticator::Authenticator;
use crate::handlers::outcome::{Outcome, ReplyBody, RequestError};
use crate::handlers::user::Origin;
use crate::log_class::SECURITY;
use crate::login::ConnectionId;
use crate::password_proofs::{NewPassword, PasswordProofs};
use crate::repositories::admin::AdminRepository;
use crate::repositories::peer::{Endorsed, PeerRepository};
use crate::repositories::stored_password::StoredPassword;
use crate::repositories::update::StorageError;
use crate::repositories::user::UserRepository;

/// Answers requests of users about their own accounts.
#[derive(Debug)]
pub(crate) struct AccountCommandHandler {
    users: UserRepository,
    peers: PeerRepository,
    admins: AdminRepository,
    authenticator: Arc<Authenticator>,
}

impl AccountCommandHandler {
    /// Creates the handler on these accounts.
    pub(crate) fn new(
        users: UserRepository,
        peers: PeerRepository,
        admins: AdminRepository,
        authenticator: Arc<Authenticator>,
    ) -> Self {
        Self { users, peers, admins, authenticator }
    }

    /// Checks that an admitted user may still sign in. The account or the key may be gone since the admission.
    pub(crate) fn still_admits(
        &self,
        username: &Username,
        key: Option<PublicKey>,
    ) -> Result<(), RequestError> {
        if self.users.is_being_deleted(username) {
            return Err(being_deleted());
        }
        let bound = key.is_none_or(|key| self.peers.peer(username).keys.contains(&key));
        if bound && self.users.exists(username) {
            return Ok(());
        }
        Err(taken_away())
    }

    /// At most `limit` names of accounts after this one, in order.
    pub(crate) fn names_after(&self, after: &str, limit: usize) -> Vec<Username> {
        self.users.names_after(after, limit)
    }

    /// The keys of a user, for a session that has proven the key `own`.
    pub(crate) fn keys(&self, username: &Username, own: Option<PublicKey>) -> Vec<BoundKey> {
        let Peer { keys, endorsements, .. } = self.peers.peer(username);
        let read = |signature| Endorsement::read(username, &keys, signature);
        let read: Vec<_> = endorsements.iter().filter_map(read).collect();
        let by =
            |key| read.iter().find(|endorsement| endorsement.key == key).map(|endorsement| endorsement.by);
        keys.iter().map(|&key| BoundKey { key, current: own == Some(key), endorsed_by: by(key) }).collect()
    }

    /// Removes one of a user's keys. A session cannot remove the key that it has proven, and a session that does not
    /// act as an admin cannot remove a key that does.
    pub(crate) async fn revoke(
        &self,
        requester: &Username,
        own: Option<PublicKey>,
        key: PublicKey,
    ) -> Result<Outcome, RequestError> {
        if own == Some(key) {
            let msg = "this device uses that key: revoke it on another device, or delete the account";
            return Err(RequestError::new(ErrorCode::Forbidden, msg));
        }
        // The password alone binds a key. Such a key must not take the role of an admin away.
        let acting = self.admins.acting_keys(&self.peers.peer(requester));
        if acting.contains(&key) && !own.is_some_and(|own| acting.contains(&own)) {
            let msg = "that key acts as an admin: revoke it on a device that does too, or ask the tracker's operator";
            return Err(RequestError::new(ErrorCode::Forbidden, msg));
        }
        // A key that is bound again later gives no role back.
        self.admins.forget_keys(requester, move |bound| bound == key).await?;
        if !self.peers.unbind_key(requester, key).await? {
            return Err(RequestError::new(ErrorCode::KeyNotFound, "you have no such key"));
        }
        tracing::info!(class = SECURITY, username = %requester, "a key is revoked");
        Ok(Outcome::showing("the key is revoked", ReplyBody::Nothing))
    }

    /// Stores that the key of this session endorses another key of the same user.
    pub(crate) async fn endorse(
        &self,
        requester: &Username,
        own: Option<PublicKey>,
        key: PublicKey,
        signature: Signature,
    ) -> Result<Outcome, RequestError> {
        let unknown = || RequestError::new(ErrorCode::KeyNotFound, "you have no such key");
        let forbidden = |msg| RequestError::new(ErrorCode::Forbidden, msg);
        if !self.peers.peer(requester).keys.contains(&key) {
            return Err(unknown());
        }
        let Some(by) = own else {
            return Err(forbidden("a plaintext session has no key to endorse with"));
        };
        let endorsement = Endorsement { by, key };
        if !endorsement.is_signed(requester, &signature) {
            return Err(forbidden("the key of this session did not make the signature"));
        }
        match self.peers.endorse(requester, endorsement, signature).await? {
            Endorsed::Stored => {
                tracing::info!(class = SECURITY, username = %requester, "a key is endorsed");
                Ok(Outcome::text("the key is endorsed"))
            }
            Endorsed::NotBound => Err(unknown()),
            Endorsed::Earlier => Err(forbidden(
                "that key is not newer than this device's key: endorse this device on the other one",
            )),
        }
    }

    /// Replaces the password of a user. A proof of the old password that has no new value is forgotten.
    pub(crate) async fn change_password(
        &self,
        requester: &Username,
        from: Origin,
        present: PasswordProofs,
        new: &PasswordProofs,
    ) -> Result<Outcome, RequestError> {
        let new = NewPassword::parse(new, ["new_password", "new_login_key"])?;
        let present = self.prove(requester, from, present).await?;
        let stored = self.authenticator.hash(requester, new, from.ip).await?;
        if !self.users.replace(requester, Some(present), stored).await? {
            return Err(RequestError::new(ErrorCode::Busy, "the account changed in the meantime: try again"));
        }
        tracing::info!(class = SECURITY, username = %requester, from = %from.ip, "the password is changed");
        Ok(Outcome::text("the password is changed"))
    }

    /// Verifies the user by a proof of the password, or by a bound key if the request has none. A plaintext session must
    /// prove the password, because it proves no key. Returns the stored password of the verified account.
    pub(crate) async fn prove(
        &self,
        requester: &Username,
        from: Origin,
        offered: PasswordProofs,
    ) -> Result<StoredPassword, RequestError> {
        match (offered.is_empty(), from.key) {
            (false, _) => self.authenticator.verify(requester, offered, from.ip).await,
            (true, Some(_)) => {
                self.still_admits(requester, from.key)?;
                self.users.password(requester).ok_or_else(taken_away)
            }
            (true, None) => {
                let msg = "\"password\" may be absent on an encrypted session only";
                Err(RequestError::new(ErrorCode::MissingParameter, msg))
            }
        }
    }

    /// Begins the deletion of an account. Nobody can sign in to the account until the deletion ends.
    pub(crate) async fn begin_deletion(
        &self,
        username: &Username,
        by: ConnectionId,
    ) -> Result<(), RequestError> {
        match self.users.begin_deletion(username, by).await? {
            true => Ok(()),
            false => Err(being_deleted()),
        }
    }

    /// Ends a deletion that has failed.
    pub(crate) async fn end_deletion(&self, username: &Username) -> Result<(), StorageError> {
        self.users.end_deletion(username).await
    }

    /// Deletes an account that is no longer a member of any room. The role of an admin is deleted first and the password last: if the
    /// tracker stops before that, the user can sign in and repeat the request.
    pub(crate) async fn remove(&self, username: &Username) -> Result<(), StorageError> {
        self.admins.remove(username).await?;
        self.peers.remove(username).await?;
        self.users.remove(username).await?;
        let (users, owner) = (self.users.clone(), username.clone());
        self.admins.remove_orphan(username, move || users.exists(&owner)).await?;
        // A login that was checked earlier may have bound a key in the meantime.
        let (users, owner) = (self.users.clone(), username.clone());
        self.peers.remove_orphan(username, move || users.exists(&owner)).await
    }
}

fn being_deleted() -> RequestError {
    RequestError::new(ErrorCode::Busy, "this account is being deleted")
}

fn taken_away() -> RequestError {
    RequestError::new(ErrorCode::InvalidCredentials, "the account was deleted or its key was revoked")
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::net::IpAddr;
    use std::pin::Pin;
    use std::task::Poll;

    use commons::protocol::with_tracker::{Credentials, Secret};
    use commons::user::PasswordDigest;
    use tempfile::TempDir;
    use tokio::sync::oneshot;
    use tokio::task::spawn_blocking;

    use super::*;
    use crate::config::PasswordCost;
    use crate::handlers::user::{Admitted, UserCommandHandler};
    use crate::passwords::Passwords;
    use crate::rate_limit::LimitScope;
    use crate::repositories::Repositories;

    struct TestAccounts {
        users: UserRepository,
        peers: PeerRepository,
        logins: UserCommandHandler,
        accounts: AccountCommandHandler,
        _folder: TempDir,
    }

    impl TestAccounts {
        fn open() -> Self {
            Self::open_in(tempfile::tempdir().unwrap())
        }

        fn open_in(folder: TempDir) -> Self {
            let repositories = Repositories::open(folder.path()).unwrap();
            let passwords =
                Passwords::new(PasswordCost { memory: 8, passes: 1 }, repositories.key().public_key())
                    .unwrap();
            let (users, peers, admins) = (repositories.users(), repositories.peers(), repositories.admins());
            let authenticator =
                Arc::new(Authenticator::new(users.clone(), passwords, LimitScope { loopback: false }));
            let logins =
                UserCommandHandler::new(users.clone(), peers.clone(), admins.clone(), authenticator.clone());
            let accounts = AccountCommandHandler::new(users.clone(), peers.clone(), admins, authenticator);
            Self { users, peers, logins, accounts, _folder: folder }
        }

        async fn register(&self, password: &str, key: Option<PublicKey>) {
            self.logins.register(credentials(password), from(key)).await.unwrap();
        }

        async fn login(&self, password: &str, key: Option<PublicKey>) -> Result<Admitted, RequestError> {
            self.logins.login(credentials(password), from(key), |_| Ok(())).await
        }

        async fn delete(&self) {
            self.accounts.begin_deletion(&ana(), ConnectionId::new()).await.unwrap();
            self.accounts.remove(&ana()).await.unwrap();
        }

        fn keys(&self) -> Vec<PublicKey> {
            self.peers.peer(&ana()).keys
        }
    }

    fn ana() -> Username {
        Username::parse("ana").unwrap()
    }

    fn credentials(password: &str) -> Credentials {
        let (password, login_key) = (Some(secret(password)), None);
        let username = "ana".to_owned();
        Credentials { username, password, login_key, address: None, port: 5000, code: None }
    }

    fn secret(password: &str) -> Secret {
        Secret(PasswordDigest::of_typed(password).as_str().to_owned())
    }

    fn from(key: Option<PublicKey>) -> Origin {
        Origin { ip: IpAddr::from([127, 0, 0, 1]), key }
    }

    /// Runs a test on a runtime with one thread for password hashes.
    fn run(test: impl Future<Output = ()>) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all().max_blocking_threads(1).build().unwrap().block_on(test);
    }

    /// Polls a request up to the check or the hash of its password. The request continues when the test awaits it.
    async fn begin(request: &mut Pin<Box<impl Future>>) {
        let (busy, begun) = oneshot::channel();
        let (release, released) = std::sync::mpsc::channel::<()>();
        let thread = spawn_blocking(move || (busy.send(()), released.recv()));
        begun.await.unwrap();
        let first = std::future::poll_fn(|context| Poll::Ready(request.as_mut().poll(context).is_pending()));
        assert!(first.await, "it waits for the thread");
        drop(release);
        let _ = thread.await.unwrap();
    }

    fn former() -> PublicKey {
        PublicKey::new([1; 32])
    }

    fn later() -> PublicKey {
        PublicKey::new([2; 32])
    }

    #[test]
    fn key_that_outlived_its_account_opens_no_later_one() {
        run(async {
            let test = TestAccounts::open();
            test.peers.bind_key(&ana(), former(), || true, |_| Vec::new()).await.unwrap();
            test.register("theirs", Some(later())).await;
            assert_eq!(test.keys(), [later()]);
        });
    }

    #[test]
    fn login_during_deletion_leaves_no_key_behind() {
        run(async {
            for key in [Some(former()), None] {
                let test = TestAccounts::open();
                test.register("mine", None).await;
                let mut login = Box::pin(test.login("mine", key));
                begin(&mut login).await;
                test.delete().await;
                assert_eq!(login.await.unwrap_err().code, ErrorCode::InvalidCredentials);
                assert_eq!(test.keys(), []);
            }
        });
    }

    #[test]
    fn former_owner_is_not_signed_in_to_a_new_account() {
        run(async {
            for (key, code) in
                [(Some(former()), ErrorCode::InvalidCredentials), (None, ErrorCode::PlaintextRefused)]
            {
                let test = TestAccounts::open();
                test.register("mine", None).await;
                let mut login = Box::pin(test.login("mine", key));
                begin(&mut login).await;
                test.delete().await;
                test.register("theirs", Some(later())).await;
                assert_eq!(login.await.unwrap_err().code, code);
                assert_eq!(test.keys(), [later()]);
            }
        });
    }

    #[test]
    fn former_owner_does_not_change_a_new_accounts_password() {
        run(async {
            let test = TestAccounts::open();
            test.register("mine", Some(former())).await;
            let wanted = PasswordProofs { digest: Some(secret("mine again")), login_key: None };
            let (ana, by_key) = (ana(), PasswordProofs::default());
            let change = test.accounts.change_password(&ana, from(Some(former())), by_key, &wanted);
            let mut change = Box::pin(change);
            begin(&mut change).await;
            test.delete().await;
            test.register("theirs", Some(later())).await;
            assert_eq!(change.await.unwrap_err().code, ErrorCode::Busy);
            assert!(test.login("theirs", Some(later())).await.is_ok());
        });
    }

    #[test]
    fn control_login_that_nothing_disturbs_binds_its_key() {
        run(async {
            let test = TestAccounts::open();
            test.register("mine", None).await;
            let mut login = Box::pin(test.login("mine", Some(former())));
            begin(&mut login).await;
            assert!(login.await.is_ok());
            assert_eq!(test.keys(), [former()]);
        });
    }

    #[test]
    fn two_first_logins_with_an_original_digest_both_succeed() {
        run(async {
            let folder = tempfile::tempdir().unwrap();
            let users = format!(r#"{{"ana": "{}"}}"#, secret("mine").0);
            std::fs::write(folder.path().join("users_db.json"), users).unwrap();
            let test = TestAccounts::open_in(folder);
            let mut first = Box::pin(test.login("mine", Some(former())));
            begin(&mut first).await;
            test.login("mine", Some(later())).await.unwrap();
            first.await.unwrap();
            assert_eq!(test.keys(), [later(), former()]);
        });
    }

    #[tokio::test]
    async fn admitted_login_fails_after_key_or_account_removal() {
        let TestAccounts { users, peers, accounts, .. } = &TestAccounts::open();
        let (ana, kept, lost) = (ana(), former(), later());
        users.create(&ana, StoredPassword::read("$argon2id$").unwrap()).await.unwrap();
        for key in [kept, lost] {
            peers.bind_key(&ana, key, || true, |_| Vec::new()).await.unwrap();
            assert_eq!(accounts.still_admits(&ana, Some(key)), Ok(()));
        }
        let code = |key| accounts.still_admits(&ana, key).map_err(|refused| refused.code);
        accounts.revoke(&ana, Some(kept), lost).await.unwrap();
        assert_eq!(code(Some(lost)), Err(ErrorCode::InvalidCredentials));
        assert_eq!(code(Some(kept)), Ok(()));
        accounts.begin_deletion(&ana, ConnectionId::new()).await.unwrap();
        assert_eq!(code(Some(kept)), Err(ErrorCode::Busy));
        let second = accounts.begin_deletion(&ana, ConnectionId::new()).await;
        assert_eq!(second.unwrap_err().code, ErrorCode::Busy);
        accounts.end_deletion(&ana).await.unwrap();
        assert_eq!(code(Some(kept)), Ok(()));
        accounts.begin_deletion(&ana, ConnectionId::new()).await.unwrap();
        accounts.remove(&ana).await.unwrap();
        for key in [Some(kept), None] {
            assert_eq!(code(key), Err(ErrorCode::InvalidCredentials));
        }
    }
}
