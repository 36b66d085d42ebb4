//! The doorkeeper: who may try to come in now, by what their networks did before. Handlers ask it before each password hash.

use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use commons::names::Username;
use commons::protocol::with_tracker::ErrorCode;
use tokio::time::Instant;

use crate::guessing::{Attempt, Guessing};
use crate::handlers::outcome::Refused;
use crate::limits::{NETWORKS_MAX, REGISTRATIONS_MAX, REGISTRATIONS_SPAN};
use crate::network::{Network, Watched};
use crate::pace::{Window, in_seconds};
use crate::passwords::{Judgement, PasswordError};
use crate::recent::Recent;

/// What the networks that are watched did lately.
#[derive(Debug)]
pub(crate) struct Doorkeeper {
    watched: Watched,
    guessing: Mutex<Guessing>,
    registrations: Mutex<Recent<Network, Window>>,
}

impl Doorkeeper {
    /// Nobody has come yet.
    pub(crate) fn new(watched: Watched) -> Self {
        let (guessing, registrations) = (Guessing::new(), Recent::new(NETWORKS_MAX));
        Self { watched, guessing: Mutex::new(guessing), registrations: Mutex::new(registrations) }
    }

    /// Whether a password from there may be judged now. What becomes of it is to be told to [`judged`](Self::judged);
    /// there is no attempt to tell of where nobody counts.
    pub(crate) fn attempt(&self, account: &Username, from: IpAddr) -> Result<Option<Attempt>, Refused> {
        let Some(network) = self.watched.network(from) else { return Ok(None) };
        let begun = lock(&self.guessing).begin(account, network, Instant::now());
        begun.map(Some).map_err(|wait| {
            let msg =
                format!("too many wrong passwords: this one was not looked at, wait {}", in_seconds(wait));
            Refused::new(ErrorCode::TooManyAttempts, msg)
        })
    }

    /// What became of an attempt.
    pub(crate) fn judged(&self, attempt: Option<Attempt>, judged: &Result<Judgement, PasswordError>) {
        let Some(attempt) = attempt else { return };
        match judged {
            Ok(Judgement::Right | Judgement::RightAndHashed(_)) => lock(&self.guessing).right(&attempt),
            // As it was counted from the beginning.
            Ok(Judgement::Wrong) => {}
            Err(PasswordError::Busy | PasswordError::Failed) => lock(&self.guessing).unjudged(&attempt),
        }
    }

    /// Whether an account may be made from there now; on whose account.
    pub(crate) fn registration(&self, from: IpAddr) -> Result<Option<Network>, Refused> {
        let Some(network) = self.watched.network(from) else { return Ok(None) };
        let mut registrations = lock(&self.registrations);
        let window = registrations.turn_of(&network);
        let taken = window.take(REGISTRATIONS_MAX, REGISTRATIONS_SPAN, Instant::now());
        taken.map(|()| Some(network)).map_err(|wait| {
            let msg = format!("too many accounts were made from your address: wait {}", in_seconds(wait));
            Refused::new(ErrorCode::RateLimited, msg)
        })
    }

    /// The account was not made after all.
    pub(crate) fn not_registered(&self, network: Option<Network>) {
        let mut registrations = lock(&self.registrations);
        if let Some(window) = network.and_then(|network| registrations.known(&network)) {
            window.put_back();
        }
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
