//! The authenticator: checks passwords and decides which networks may try to sign in or register now.
//!
//! Every password hash that a client causes passes through it. The decision depends on the earlier failures of the
//! account and the network.

use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use commons::names::Username;
use commons::protocol::with_tracker::ErrorCode;
use tokio::time::Instant;

use crate::code_throttle::CodeThrottle;
use crate::handlers::outcome::RequestError;
use crate::known_networks::KnownNetworks;
use crate::limits::{NETWORKS_MAX, REGISTRATIONS_MAX, REGISTRATIONS_SPAN};
use crate::login_throttle::{Attempt, LoginThrottle};
use crate::password_proofs::{NewPassword, PasswordProofs};
use crate::password_queue::HashOrigin;
use crate::passwords::{PasswordError, PasswordMatch, Passwords};
use crate::rate_limit::{LimitScope, Recent, SlidingWindow, Subnet, in_seconds};
use crate::repositories::stored_password::StoredPassword;
use crate::repositories::user::UserRepository;

/// Checks passwords and remembers the recent attempts of limited networks.
#[derive(Debug)]
pub(crate) struct Authenticator {
    users: UserRepository,
    passwords: Passwords,
    watched: LimitScope,
    login_throttle: Mutex<LoginThrottle>,
    code_throttle: Mutex<CodeThrottle>,
    registrations: Mutex<Recent<Subnet, SlidingWindow>>,
    regulars: Mutex<KnownNetworks>,
}

impl Authenticator {
    /// Creates an authenticator that has seen no attempts.
    pub(crate) fn new(users: UserRepository, passwords: Passwords, watched: LimitScope) -> Self {
        let (login_throttle, registrations) = (LoginThrottle::new(), Recent::new(NETWORKS_MAX));
        Self {
            users,
            passwords,
            watched,
            login_throttle: Mutex::new(login_throttle),
            code_throttle: Mutex::new(CodeThrottle::new()),
            registrations: Mutex::new(registrations),
            regulars: Mutex::new(KnownNetworks::new()),
        }
    }

    /// Checks the proofs of a password for an account, if the login throttle permits it now. Returns the stored password
    /// that they match. When the caller gets the answer, the account may already have another password or be deleted.
    pub(crate) async fn verify(
        &self,
        account: &Username,
        offered: PasswordProofs,
        from: IpAddr,
    ) -> Result<StoredPassword, RequestError> {
        let attempt = self.attempt(account, from)?;
        let stored = self.users.password(account);
        let outcome = self.passwords.verify(self.origin(account, from), stored.clone(), offered).await;
        self.report_outcome(attempt, &outcome);
        let matched = match (outcome?, stored) {
            (PasswordMatch::Right(None), Some(stored)) => stored,
            (PasswordMatch::Right(Some(new)), Some(stored)) => {
                // Another login may have replaced it already. The caller then finds out and checks again.
                self.users.replace(account, Some(stored), new.clone()).await?;
                new
            }
            (PasswordMatch::DigestRequired, _) => {
                let msg = "this account has no login key yet: send the digest of the password once";
                return Err(RequestError::new(ErrorCode::DigestRequired, msg));
            }
            (PasswordMatch::LoginKeyOutdated, _) => {
                let msg = "the tracker has had another key since this password was set: set it again with /password on a \
                           device that has a key of the account, or ask the tracker's operator";
                return Err(RequestError::new(ErrorCode::LoginKeyOutdated, msg));
            }
            (PasswordMatch::Wrong, _) | (_, None) => {
                return Err(RequestError::new(ErrorCode::InvalidCredentials, "wrong user name or password"));
            }
        };
        self.signed_in(account, from);
        Ok(matched)
    }

    /// The number of password hashes that wait.
    pub(crate) fn hashes_waiting(&self) -> usize {
        self.passwords.waiting()
    }

    /// Computes the form to store of a new password of an account.
    pub(crate) async fn hash(
        &self,
        account: &Username,
        new: NewPassword,
        from: IpAddr,
    ) -> Result<StoredPassword, RequestError> {
        Ok(self.passwords.hash(self.origin(account, from), new).await?)
    }

    /// Records that the user of this account signed in from this address, with a password or a key.
    pub(crate) fn signed_in(&self, account: &Username, from: IpAddr) {
        lock(&self.regulars).note(account, Subnet::of(from));
    }

    /// Forgets an account that is deleted. Guesses at its name stay counted: they do not depend on the account.
    pub(crate) fn forget(&self, account: &Username) {
        lock(&self.regulars).forget(account);
    }

    /// The names of the records of users, and their sizes.
    #[cfg(test)]
    pub(crate) fn remembered(&self) -> [(&'static str, usize); 2] {
        let guesses = lock(&self.login_throttle).len();
        [("known networks", lock(&self.regulars).len()), ("guesses", guesses)]
    }

    fn origin(&self, account: &Username, from: IpAddr) -> HashOrigin {
        let network = Subnet::of(from);
        let regular = lock(&self.regulars).knows(account, network);
        HashOrigin { network, regular }
    }

    /// Begins an attempt, if a password from this address may be checked now. The caller must report the result to
    /// [`report_outcome`](Self::report_outcome). Returns `None` for an address without limits.
    fn attempt(&self, account: &Username, from: IpAddr) -> Result<Option<Attempt>, RequestError> {
        let Some(network) = self.watched.network(from) else { return Ok(None) };
        let begun = lock(&self.login_throttle).begin(account, network, Instant::now());
        begun.map(Some).map_err(|wait| {
            let msg =
                format!("too many wrong passwords: this one was not looked at, wait {}", in_seconds(wait));
            RequestError::new(ErrorCode::TooManyAttempts, msg).retry_after(wait)
        })
    }

    /// Reports the result of an attempt to the login throttle.
    fn report_outcome(&self, attempt: Option<Attempt>, outcome: &Result<PasswordMatch, PasswordError>) {
        let Some(attempt) = attempt else { return };
        match outcome {
            Ok(PasswordMatch::Right(_)) => lock(&self.login_throttle).right(&attempt),
            // The attempt has been counted as wrong from its beginning.
            Ok(PasswordMatch::Wrong) => {}
            // The password was not checked. That the account exists is no secret: a registration tells it too.
            Ok(PasswordMatch::DigestRequired | PasswordMatch::LoginKeyOutdated)
            | Err(PasswordError::Busy | PasswordError::Failed) => {
                lock(&self.login_throttle).unchecked(&attempt)
            }
        }
    }

    /// Checks a registration code, if a code from this address may be checked now. Wrong codes delay the next one as
    /// wrong passwords do.
    pub(crate) fn check_code(&self, from: IpAddr, is_right: impl Fn() -> bool) -> Result<(), RequestError> {
        let checked = match self.watched.network(from) {
            Some(network) => lock(&self.code_throttle).check(network, Instant::now(), is_right),
            None => Ok(is_right()),
        };
        match checked {
            Ok(true) => Ok(()),
            Ok(false) => Err(RequestError::new(ErrorCode::WrongCode, "this registration code is wrong")),
            Err(wait) => {
                let msg =
                    format!("too many wrong codes: this one was not looked at, wait {}", in_seconds(wait));
                Err(RequestError::new(ErrorCode::TooManyAttempts, msg).retry_after(wait))
            }
        }
    }

    /// Counts a registration from this address, if one is permitted now. Returns the network to which it was counted.
    pub(crate) fn registration(&self, from: IpAddr) -> Result<Option<Subnet>, RequestError> {
        let Some(network) = self.watched.network(from) else { return Ok(None) };
        let mut registrations = lock(&self.registrations);
        let window = registrations.turn_of(&network);
        let taken = window.take(REGISTRATIONS_MAX, REGISTRATIONS_SPAN, Instant::now());
        taken.map(|()| Some(network)).map_err(|wait| {
            let msg = format!("too many new accounts from your network: wait {}", in_seconds(wait));
            RequestError::new(ErrorCode::RateLimited, msg).retry_after(wait)
        })
    }

    /// Takes back the count of a registration that failed.
    pub(crate) fn not_registered(&self, network: Option<Subnet>) {
        let mut registrations = lock(&self.registrations);
        if let Some(window) = network.and_then(|network| registrations.known(&network)) {
            window.put_back();
        }
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
