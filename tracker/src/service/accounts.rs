//! The service's part for accounts: it revokes keys and deletes accounts, with the sessions and rooms that depend on
//! them.

use chrono::Utc;
use commons::keys::PublicKey;
use commons::names::Username;
use commons::protocol::with_tracker::{ErrorCode, RoomsFate};
use commons::snapshot::ChangeKind;

use crate::client::Client;
use crate::handlers::admin::Actor;
use crate::handlers::outcome::{Outcome, RequestError};
use crate::limits::PAGE_ENTRIES;
use crate::log_class::SECURITY;
use crate::login::{ConnectionId, SignedIn};
use crate::password_proofs::PasswordProofs;
use crate::send_queue::CloseReason;
use crate::service::TrackerService;

/// An account, as the operator sees it.
#[derive(Debug)]
pub(crate) struct ListedUser {
    /// The name of the user.
    pub(crate) username: Username,
    /// The number of the user's keys.
    pub(crate) keys: usize,
    /// Whether the user is an admin.
    pub(crate) admin: bool,
    /// Whether the user is banned now.
    pub(crate) banned: bool,
    /// Whether the user is signed in.
    pub(crate) online: bool,
}

impl TrackerService {
    /// The accounts after this name, as many as fit in a reply to the operator.
    pub(crate) fn users_after(&self, after: &str) -> Vec<ListedUser> {
        let now = Utc::now();
        let names = self.accounts.names_after(after, PAGE_ENTRIES);
        let listed = names.into_iter().map(|username| ListedUser {
            keys: self.presence.peer(&username).keys.len(),
            admin: self.admin.has_role(&username),
            banned: self.admin.is_banned(&username, now),
            online: self.connections.connection(&username).is_some(),
            username,
        });
        listed.collect()
    }

    /// Revokes a key of a user. A session that has proven the key is ended, and the members of the user's rooms get the
    /// remaining keys.
    pub(crate) async fn revoke(
        &self,
        client: &Client,
        me: &SignedIn,
        key: PublicKey,
    ) -> Result<Outcome, RequestError> {
        let outcome = self.accounts.revoke(&me.username, client.key, key).await?;
        let turn = self.turn();
        self.connections.revoke(&me.username, key);
        drop(turn);
        self.presence_changed(&me.username, ChangeKind::Online, Some(me.connection)).await;
        Ok(outcome)
    }

    /// Deletes an account: first the rooms, then the session, then the user's records. If the tracker stops in between,
    /// the user can sign in and repeat the request.
    pub(crate) async fn delete_account(
        &self,
        client: &Client,
        me: &SignedIn,
        offered: PasswordProofs,
        rooms: RoomsFate,
    ) -> Result<Outcome, RequestError> {
        self.accounts.prove(&me.username, client.origin(), offered).await?;
        self.accounts.begin_deletion(&me.username, me.connection).await?;
        if let Err(failed) = self.remove_own(me, rooms).await {
            self.accounts.end_deletion(&me.username).await?;
            return Err(failed);
        }
        tracing::info!(class = SECURITY, username = %me.username, "account deleted");
        Ok(Outcome::text("your account is deleted"))
    }

    async fn remove_own(&self, me: &SignedIn, rooms: RoomsFate) -> Result<(), RequestError> {
        // The login takes the same lock, so it is either seen here or finds the account marked.
        let turn = self.turn();
        let is_current = self.connections.is_current(&me.username, me.connection);
        drop(turn);
        if !is_current {
            return Err(RequestError::new(ErrorCode::Forbidden, "a newer login replaced this session"));
        }
        self.rooms.leave_all(&me.username, Some(me.connection), rooms).await?;
        self.sign_off(me).await;
        self.remove_records(&me.username).await
    }

    /// Deletes the account of another user. The user's rooms go to other members.
    pub(crate) async fn remove_user(&self, actor: &Actor, name: &str) -> Result<Outcome, RequestError> {
        let username = self.admin.user(name)?;
        actor.may_act_on(&username)?;
        self.accounts.begin_deletion(&username, ConnectionId::new()).await?;
        if let Err(failed) = self.remove_marked(&username).await {
            self.accounts.end_deletion(&username).await?;
            return Err(failed);
        }
        tracing::info!(class = SECURITY, %actor, %username, "an admin deleted an account");
        Ok(Outcome::text(format!("the account of {username} is deleted")))
    }

    async fn remove_marked(&self, username: &Username) -> Result<(), RequestError> {
        // The login takes the same lock, so its session is either ended here or finds the account marked.
        let turn = self.turn();
        let session = self.connections.end(username, CloseReason::Removed);
        drop(turn);
        self.rooms.leave_all(username, None, RoomsFate::HandOn).await?;
        if let Some(connection) = session {
            self.sign_off(&SignedIn { username: username.clone(), connection, pongs: None }).await;
        }
        self.remove_records(username).await
    }

    async fn remove_records(&self, username: &Username) -> Result<(), RequestError> {
        self.accounts.remove(username).await?;
        self.authenticator.forget(username);
        Ok(())
    }
}
