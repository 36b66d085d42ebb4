//! The key that proves a user, and how it comes to be bound to the name: made at the first sign-in on a computer, sealed
//! under the password, and from then on all that the tracker asks for.

use std::net::SocketAddr;

use commons::keys::Seed;
use commons::names::Username;
use commons::net::tls::{Identity, Purpose};
use commons::protocol::with_tracker::ErrorCode;
use tracing::warn;

use crate::api::error::CommandError;
use crate::home::{Home, HomeError};
use crate::identity::password::Password;
use crate::identity::seal::{SealCost, SealError, Sealed};
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
    seal: Seal,
}

/// How a key lies in the folder.
enum Seal {
    /// Not yet: it is new, and kept once it is bound.
    Fresh(Sealed),
    Kept,
    /// A change of the password was cut short, and one of two seals has opened.
    Unsettled(Opened),
}

/// Which seal a password has opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opened {
    /// The one that lies there.
    Present,
    /// The one of a change of the password that was cut short.
    Next,
}

impl UserKey {
    /// The key that this computer has, opened by the password; a new one where it has none or the account is new.
    pub(crate) async fn of(home: &Home, who: &SignIn, cost: SealCost) -> Result<Self, CommandError> {
        let password = who.password.clone();
        let kept = if who.register { None } else { opened(home, &password).await? };
        let Some((seed, opened)) = kept else {
            let seed = Seed::random().map_err(|error| CommandError::Local(error.to_string()))?;
            let fresh = sealed_anew(&seed, password, cost).await?;
            return Ok(Self { seed, seal: Seal::Fresh(fresh) });
        };
        if home.next_identity()?.is_some() {
            return Ok(Self { seed, seal: Seal::Unsettled(opened) });
        }
        if home.identity()?.is_some_and(|sealed| sealed.is_earlier()) {
            home.keep_identity(&sealed_anew(&seed, password, cost).await?)?;
        }
        Ok(Self { seed, seal: Seal::Kept })
    }

    /// Whether it was made just now.
    pub(crate) fn is_fresh(&self) -> bool {
        matches!(self.seal, Seal::Fresh(_))
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
        if !self.is_fresh() {
            match tracker.log_in(username, None, listening, identity.clone()).await {
                Err(TrackerError::Refused(refusal)) if refusal.code == ErrorCode::InvalidCredentials => {}
                judged => return judged,
            }
        }
        tracker.log_in(username, Some(&digest), listening, identity).await
    }

    /// Keeps a new key under its seal, now that it is bound. Where a change of the password was cut short, the tracker may
    /// have either password: the one that was typed now becomes the only one.
    pub(crate) async fn keep(
        self,
        home: &Home,
        tracker: &PeerTrackerCommunication,
        password: &Password,
    ) -> Result<Seed, CommandError> {
        match &self.seal {
            Seal::Fresh(sealed) => home.keep_identity(sealed)?,
            Seal::Kept => {}
            Seal::Unsettled(opened) => match tracker.change_password(&password.digest()).await {
                Ok(()) => home.settle_identity(*opened == Opened::Next)?,
                // Both seals stay, and the next sign-in tries again.
                Err(error) => warn!(?error, "a change of the password is still not settled"),
            },
        }
        Ok(self.seed)
    }
}

/// The private key that this computer has, if any, and which seal the password has opened.
pub(crate) async fn opened(home: &Home, password: &Password) -> Result<Option<(Seed, Opened)>, CommandError> {
    let Some(present) = home.identity()? else { return Ok(None) };
    let (next, password) = (home.next_identity()?, password.clone());
    let opening = move || match (open(&present, &password), next) {
        (Err(SealError::WrongPassword), Some(next)) => Ok((open(&next, &password)?, Opened::Next)),
        (seed, _) => Ok((seed?, Opened::Present)),
    };
    Ok(Some(blocking(opening).await?.map_err(|error: SealError| CommandError::from(error))?))
}

/// The private key under a seal.
fn open(sealed: &Sealed, password: &Password) -> Result<Seed, SealError> {
    let opened = sealed.open(CONTEXT, password)?;
    opened.as_slice().try_into().map(Seed::new).map_err(|_| SealError::Unusable)
}

/// The private key under a new seal.
pub(crate) async fn sealed_anew(
    seed: &Seed,
    password: Password,
    cost: SealCost,
) -> Result<Sealed, CommandError> {
    let seed = seed.clone();
    Ok(blocking(move || Sealed::seal(seed.as_bytes(), CONTEXT, &password, cost)).await??)
}

/// Whether a password is the one under which the user's key is sealed.
pub(crate) async fn is_password(home: &Home, password: Password) -> Result<bool, CommandError> {
    let Some(sealed) = home.identity()? else { return Ok(false) };
    Ok(blocking(move || open(&sealed, &password)).await?.is_ok())
}

/// What proves the user in sessions or on links.
pub(crate) fn identity(seed: &Seed, purpose: Purpose) -> Result<Identity, CommandError> {
    Identity::new(seed, purpose).map_err(|error| CommandError::Local(error.to_string()))
}

/// Runs what takes long on a thread of its own.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, CommandError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| CommandError::Local(error.to_string()))
}

impl CommandError {
    /// What an error of the tracker at this address means to a face.
    pub(crate) fn from_tracker(error: TrackerError, address: &str) -> Self {
        match error {
            TrackerError::Lost => Self::TrackerLost,
            TrackerError::Refused(refusal) => Self::Refused { code: refusal.code, msg: refusal.msg.into() },
            TrackerError::Stranger => Self::NotATracker { address: address.to_owned() },
            TrackerError::KeyChanged { pinned, found, given } => {
                Self::TrackerKeyChanged { address: address.to_owned(), pinned, found, given }
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
