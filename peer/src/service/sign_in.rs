//! The sign-in of a user by the device key and the password.
//!
//! The key is made at the first sign-in on a computer and sealed under the password. Later sign-ins prove this key
//! alone.

use std::net::SocketAddr;

use commons::keys::Seed;
use commons::net::tls::Purpose;
use commons::protocol::with_tracker::ErrorCode;
use tracing::warn;

use crate::api::error::CommandError;
use crate::api::sign_in::SignIn;
use crate::identity::device_key::{OpenedSeal, identity, opened, reseal, sealed_anew};
use crate::identity::identity_error::IdentityError;
use crate::identity::password::Password;
use crate::identity::profile::Profile;
use crate::identity::seal::{SealCost, SealError};
use crate::service::sign_in_requests::{SignInFailure, SignInRequests, is_refusal, password_proof};
use crate::service::tracker_error::from_tracker;
use crate::tracker_communication::PeerTrackerCommunication;
use crate::tracker_communication::tracker_report::TrackerError;

/// The user's device key on this computer.
#[derive(Clone)]
pub(crate) struct DeviceKey {
    seed: Seed,
    seal: Seal,
}

/// State of the sealed key in the profile folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seal {
    /// The key was made for this sign-in, and is removed if the sign-in is refused.
    New,
    /// The key existed before.
    Unchanged,
    /// A password change was interrupted, and one of the two seals has opened.
    Unsettled(OpenedSeal),
}

impl DeviceKey {
    /// Opens the device key of this computer with the password, or makes a new key if there is none. An existing key is
    /// also used for a registration, because a key is never overwritten.
    pub(crate) async fn of(
        profile: &Profile,
        sign_in: &SignIn,
        tracker: &PeerTrackerCommunication,
        cost: SealCost,
    ) -> Result<Self, CommandError> {
        let password = sign_in.password.clone();
        let Some((seed, opened)) =
            opened(profile, &password).await.map_err(|error| open_error(error, profile, sign_in))?
        else {
            profile.expect_new()?;
            if sign_in.register && sign_in.password.is_too_short() {
                return Err(CommandError::PasswordTooShort);
            }
            return Self::new(profile, password, tracker, cost).await;
        };
        if profile.next_identity()?.is_some() {
            return Ok(Self { seed, seal: Seal::Unsettled(opened) });
        }
        if profile.identity()?.is_some_and(|sealed| sealed.is_earlier()) {
            reseal(profile, &seed, password, cost).await?;
        }
        Ok(Self { seed, seal: Seal::Unchanged })
    }

    /// The private key itself.
    pub(crate) fn seed(&self) -> &Seed {
        &self.seed
    }

    /// Whether the key was made for this sign-in.
    pub(crate) fn is_new(&self) -> bool {
        self.seal == Seal::New
    }

    /// Makes a key. It is on the disk before the tracker gets it, so a key that the tracker has bound is always
    /// usable here, also after a crash.
    async fn new(
        profile: &Profile,
        password: Password,
        tracker: &PeerTrackerCommunication,
        cost: SealCost,
    ) -> Result<Self, CommandError> {
        // If the tracker does not answer, no file is left behind.
        let reached = tracker.probe().await;
        let seed = reached.map_err(|error| from_tracker(error, tracker.address()))?.seed;
        profile.new_identity(&sealed_anew(&seed, password, cost).await?)?;
        Ok(Self { seed, seal: Seal::New })
    }

    /// Signs in at the tracker. After a refusal, a key that was made for this sign-in is removed.
    pub(crate) async fn sign_in(
        &self,
        profile: &Profile,
        tracker: &PeerTrackerCommunication,
        sign_in: &SignIn,
        listening: SocketAddr,
    ) -> Result<(), CommandError> {
        let identity = identity(&self.seed, Purpose::Session)?;
        let is_key_known = self.seal != Seal::New;
        let requests = SignInRequests { tracker, sign_in, listening, identity, is_key_known };
        let Err(failure) = requests.run().await else { return Ok(()) };
        // The tracker may have bound the key before the connection was lost.
        let may_be_bound = matches!(failure, SignInFailure::Tracker { error: TrackerError::Lost, .. });
        if !is_key_known && !may_be_bound {
            profile.remove_identity()?;
        }
        let username = sign_in.username.clone();
        Err(match failure {
            SignInFailure::KeyRefused => CommandError::KeyRefused(username),
            SignInFailure::DigestRequired => CommandError::DigestRequired(username),
            SignInFailure::Local(error) => error,
            SignInFailure::Tracker { error, name_taken } => {
                let is_wrong = is_refusal(&error, ErrorCode::InvalidCredentials);
                match is_wrong && is_key_known && sign_in.changed_to.is_none() {
                    true if name_taken => CommandError::PasswordChanged(username),
                    true => CommandError::AccountUnknown(username),
                    false => from_tracker(error, tracker.address()),
                }
            }
        })
    }

    /// Returns the key of a signed-in user. A password that was changed elsewhere reseals the key. After an interrupted
    /// change the tracker may have either password, so the typed one is set at the tracker and kept as the only one.
    pub(crate) async fn finish_sign_in(
        self,
        profile: &Profile,
        tracker: &PeerTrackerCommunication,
        sign_in: &SignIn,
        cost: SealCost,
    ) -> Result<Seed, CommandError> {
        match (&sign_in.changed_to, self.seal) {
            (Some(new), _) => {
                if let Err(error) = reseal(profile, &self.seed, new.clone(), cost).await {
                    warn!(?error, "the old password still opens the key on this computer");
                }
            }
            (None, Seal::Unsettled(opened)) => {
                let proof = password_proof(tracker, &sign_in.username, &sign_in.password).await?;
                match tracker.change_password(&proof).await {
                    Ok(()) => profile.finish_password_change(opened == OpenedSeal::Next)?,
                    // Both seals stay, and the next sign-in tries again.
                    Err(error) => warn!(?error, "an interrupted password change cannot be completed yet"),
                }
            }
            (None, Seal::New | Seal::Unchanged) => {}
        }
        Ok(self.seed)
    }
}

/// Turns the error of a seal that does not open into the error that a sign-in shows.
fn open_error(error: IdentityError, profile: &Profile, sign_in: &SignIn) -> CommandError {
    let (username, folder) = (sign_in.username.clone(), profile.folder().to_owned());
    match error {
        IdentityError::Seal(SealError::WrongPassword) if sign_in.register => {
            CommandError::KeyExists { username, folder }
        }
        IdentityError::Seal(SealError::WrongPassword) => {
            CommandError::WrongLocalPassword { username, folder }
        }
        other => other.into(),
    }
}
