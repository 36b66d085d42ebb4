//! The doorkeeper: judges passwords, and who may try to come in now, by what their networks did before. Every password
//! hash that a client asks for passes here.

use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use commons::names::Username;
use commons::protocol::with_tracker::ErrorCode;
use commons::user::PasswordDigest;
use tokio::time::Instant;

use crate::handlers::outcome::RequestError;
use crate::limits::{GUESSERS_MAX, NETWORKS_MAX, REGISTRATIONS_MAX, REGISTRATIONS_SPAN};
use crate::login_throttle::{Attempt, LoginThrottle};
use crate::password_queue::Asker;
use crate::passwords::{Judgement, PasswordError, Passwords};
use crate::rate_limit::{SlidingWindow, in_seconds};
use crate::recent::Recent;
use crate::repositories::user::{StoredPassword, UserRepository};
use crate::subnet::{LimitScope, Subnet};

/// Judges passwords, and knows what the networks that are watched did lately.
#[derive(Debug)]
pub(crate) struct Authenticator {
    users: UserRepository,
    passwords: Passwords,
    watched: LimitScope,
    guessing: Mutex<LoginThrottle>,
    registrations: Mutex<Recent<Subnet, SlidingWindow>>,
    /// Who signed in from where: their passwords are judged before those of others.
    regulars: Mutex<Recent<(Username, Subnet), ()>>,
}

impl Authenticator {
    /// Nobody has come yet.
    pub(crate) fn new(users: UserRepository, passwords: Passwords, watched: LimitScope) -> Self {
        let (guessing, registrations) = (LoginThrottle::new(), Recent::new(NETWORKS_MAX));
        Self {
            users,
            passwords,
            watched,
            guessing: Mutex::new(guessing),
            registrations: Mutex::new(registrations),
            regulars: Mutex::new(Recent::new(GUESSERS_MAX)),
        }
    }

    /// Judges the password that is offered for an account, if it is to be judged now. Returns the stored password that it
    /// matches: by the time of the answer the account may have another one, or be gone.
    pub(crate) async fn judge(
        &self,
        account: &Username,
        offered: String,
        from: IpAddr,
    ) -> Result<StoredPassword, RequestError> {
        let attempt = self.attempt(account, from)?;
        let stored = self.users.password(account);
        let judged = self.passwords.judge(self.asker(account, from), stored.clone(), offered).await;
        self.judged(attempt, &judged);
        let matched = match (judged?, stored) {
            (Judgement::RightAndHashed(hash), Some(StoredPassword::Digest(digest))) => {
                self.users.upgrade(account, digest, hash.clone()).await?;
                StoredPassword::Hash(hash)
            }
            (Judgement::Right | Judgement::RightAndHashed(_), Some(stored)) => stored,
            (Judgement::Wrong, _) | (_, None) => {
                return Err(RequestError::new(ErrorCode::InvalidCredentials, "wrong user name or password"));
            }
        };
        self.signed_in(account, from);
        Ok(matched)
    }

    /// The hash to store for a new password of an account.
    pub(crate) async fn hash(
        &self,
        account: &Username,
        digest: PasswordDigest,
        from: IpAddr,
    ) -> Result<String, RequestError> {
        Ok(self.passwords.hash(self.asker(account, from), digest).await?)
    }

    /// Somebody proved to be the account's user there, by a password or by a key.
    pub(crate) fn signed_in(&self, account: &Username, from: IpAddr) {
        lock(&self.regulars).turn_of(&(account.clone(), Subnet::of(from)));
    }

    fn asker(&self, account: &Username, from: IpAddr) -> Asker {
        let network = Subnet::of(from);
        let regular = lock(&self.regulars).known(&(account.clone(), network)).is_some();
        Asker { network, regular }
    }

    /// Whether a password from there may be judged now. What becomes of it is to be told to [`judged`](Self::judged);
    /// there is no attempt to tell of where nobody counts.
    fn attempt(&self, account: &Username, from: IpAddr) -> Result<Option<Attempt>, RequestError> {
        let Some(network) = self.watched.network(from) else { return Ok(None) };
        let begun = lock(&self.guessing).begin(account, network, Instant::now());
        begun.map(Some).map_err(|wait| {
            let msg =
                format!("too many wrong passwords: this one was not looked at, wait {}", in_seconds(wait));
            RequestError::new(ErrorCode::TooManyAttempts, msg)
        })
    }

    /// What became of an attempt.
    fn judged(&self, attempt: Option<Attempt>, judged: &Result<Judgement, PasswordError>) {
        let Some(attempt) = attempt else { return };
        match judged {
            Ok(Judgement::Right | Judgement::RightAndHashed(_)) => lock(&self.guessing).right(&attempt),
            // As it was counted from the beginning.
            Ok(Judgement::Wrong) => {}
            Err(PasswordError::Busy | PasswordError::Failed) => lock(&self.guessing).unjudged(&attempt),
        }
    }

    /// Whether an account may be made from there now; on whose account.
    pub(crate) fn registration(&self, from: IpAddr) -> Result<Option<Subnet>, RequestError> {
        let Some(network) = self.watched.network(from) else { return Ok(None) };
        let mut registrations = lock(&self.registrations);
        let window = registrations.turn_of(&network);
        let taken = window.take(REGISTRATIONS_MAX, REGISTRATIONS_SPAN, Instant::now());
        taken.map(|()| Some(network)).map_err(|wait| {
            let msg = format!("too many accounts were made from your address: wait {}", in_seconds(wait));
            RequestError::new(ErrorCode::RateLimited, msg)
        })
    }

    /// The account was not made after all.
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
