//! The key that proves a user, and how it comes to be bound to the name: made at the first sign-in on a computer, sealed
//! under the password, and from then on all that the tracker asks for.

use std::net::SocketAddr;

use commons::keys::Seed;
use commons::names::Username;
use commons::net::tls::{Identity, Purpose};
use commons::protocol::with_tracker::ErrorCode;

use crate::api::CommandError;
use crate::home::{Home, HomeError};
use crate::password::Password;
use crate::seal::{SealCost, SealError, Sealed};
use crate::tracker_communication::PeerTrackerCommunication;
use crate::tracker_communication::uplink::TrackerError;

/// What the seal of a private key is for.
const CONTEXT: &str = "p2p-chat identity v2";

/// Who signs in.
#[derive(Debug, Clone)]
pub struct SignIn {
    /// The user.
    pub username: Username,
    /// What proves it.
    pub password: Password,
    /// Make the account first.
    pub register: bool,
}

/// A user's key on this computer.
pub(crate) struct UserKey {
    seed: Seed,
    /// Its seal, where it is new and not kept yet.
    fresh: Option<Sealed>,
}

impl UserKey {
    /// The key that this computer has, opened by the password; a new one where it has none or the account is new.
    pub(crate) async fn of(home: &Home, who: &SignIn, cost: SealCost) -> Result<Self, CommandError> {
        let password = who.password.clone();
        match home.identity()?.filter(|_| !who.register) {
            Some(sealed) => {
                let earlier = sealed.is_earlier();
                let opening = password.clone();
                let seed = blocking(move || open(&sealed, &opening)).await??;
                if earlier {
                    home.keep_identity(&sealed_anew(&seed, password, cost).await?)?;
                }
                Ok(Self { seed, fresh: None })
            }
            None => {
                let seed = Seed::random().map_err(|error| CommandError::Local(error.to_string()))?;
                let fresh = Some(sealed_anew(&seed, password, cost).await?);
                Ok(Self { seed, fresh })
            }
        }
    }

    /// Signs in at the tracker: by the key alone where it may be known there, else by the password, which binds it.
    pub(crate) async fn sign_in(
        &self,
        tracker: &PeerTrackerCommunication,
        who: &SignIn,
        listening: SocketAddr,
    ) -> Result<(), TrackerError> {
        let SignIn { username, password, register } = who;
        let identity = identity(&self.seed, Purpose::Session).map_err(|_| TrackerError::Lost)?;
        let digest = password.digest();
        if *register {
            return tracker.register(username, &digest, listening, identity).await;
        }
        if self.fresh.is_none() {
            match tracker.log_in(username, None, listening, identity.clone()).await {
                Err(TrackerError::Refused(refusal)) if refusal.code == ErrorCode::InvalidCredentials => {}
                judged => return judged,
            }
        }
        tracker.log_in(username, Some(&digest), listening, identity).await
    }

    /// Keeps a new key under its seal, now that it is bound.
    pub(crate) fn keep(self, home: &Home) -> Result<Seed, HomeError> {
        if let Some(sealed) = &self.fresh {
            home.keep_identity(sealed)?;
        }
        Ok(self.seed)
    }
}

/// The private key under a seal.
fn open(sealed: &Sealed, password: &Password) -> Result<Seed, SealError> {
    let opened = sealed.open(CONTEXT, password)?;
    opened.as_slice().try_into().map(Seed::new).map_err(|_| SealError::Unusable)
}

/// The private key under a new seal.
async fn sealed_anew(seed: &Seed, password: Password, cost: SealCost) -> Result<Sealed, CommandError> {
    let seed = seed.clone();
    Ok(blocking(move || Sealed::seal(seed.as_bytes(), CONTEXT, &password, cost)).await??)
}

/// What proves the user in sessions or on links.
pub(crate) fn identity(seed: &Seed, purpose: Purpose) -> Result<Identity, CommandError> {
    Identity::new(seed, purpose).map_err(|error| CommandError::Local(error.to_string()))
}

/// Runs what takes long on a thread of its own.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, CommandError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| CommandError::Local(error.to_string()))
}

impl CommandError {
    /// What an error of the tracker at this address means to a face.
    pub(crate) fn from_tracker(error: TrackerError, address: &str) -> Self {
        match error {
            TrackerError::Lost => Self::TrackerLost,
            TrackerError::Refused(refusal) => Self::Refused { code: refusal.code, msg: refusal.msg.into() },
            TrackerError::KeyChanged { pinned, found } => {
                Self::TrackerKeyChanged { address: address.to_owned(), pinned, found }
            }
        }
    }
}

impl From<TrackerError> for CommandError {
    fn from(error: TrackerError) -> Self {
        Self::from_tracker(error, "")
    }
}

impl From<SealError> for CommandError {
    fn from(error: SealError) -> Self {
        match error {
            SealError::WrongPassword => {
                Self::Refused { code: ErrorCode::InvalidCredentials, msg: error.to_string().into() }
            }
            SealError::Unusable => Self::Local(error.to_string()),
        }
    }
}

impl From<HomeError> for CommandError {
    fn from(error: HomeError) -> Self {
        Self::Local(error.to_string())
    }
}
