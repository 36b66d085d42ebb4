//! The user's device key and its binding to the account.
//! The key is made at the first sign-in on a computer and sealed under the password. Later sign-ins prove this key
//! alone.

use std::net::SocketAddr;
use std::time::Duration;

use commons::keys::Seed;
use commons::names::Username;
use commons::net::tls::{Identity, Purpose};
use commons::protocol::with_tracker::ErrorCode;
use tracing::warn;

use crate::api::error::CommandError;
use crate::identity::password::Password;
use crate::identity::seal::{SealCost, SealError, Sealed};
use crate::profile::{Profile, ProfileError};
use crate::tracker_communication::PeerTrackerCommunication;
use crate::tracker_communication::tracker_report::TrackerError;

/// Purpose of the seal of a private key, authenticated with it.
const CONTEXT: &str = "p2p-chat identity v2";

/// The account that signs in, and its credentials.
#[derive(Debug, Clone)]
pub struct SignIn {
    /// The name of the account.
    pub username: Username,
    /// The password that opens the device key and binds it at the tracker.
    pub password: Password,
    /// Whether the account is to be registered first.
    pub register: bool,
    /// The tracker's current password, if it was changed elsewhere. The other password still opens the key on this
    /// computer.
    pub changed_to: Option<Password>,
}

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
    Kept,
    /// A password change was interrupted, and one of the two seals has opened.
    Unsettled(Opened),
}

/// The seal that a password has opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opened {
    /// The current seal.
    Present,
    /// The seal of an interrupted password change.
    Next,
}

impl DeviceKey {
    /// Opens the device key of this computer with the password, or makes a new key if there is none. An existing key is
    /// also used for a registration, because a key is never overwritten.
    pub(crate) async fn of(
        profile: &Profile,
        who: &SignIn,
        tracker: &PeerTrackerCommunication,
        cost: SealCost,
    ) -> Result<Self, CommandError> {
        let password = who.password.clone();
        let Some((seed, opened)) =
            opened(profile, &password).await.map_err(|error| shut(error, profile, who))?
        else {
            profile.expect_new()?;
            if who.register && who.password.is_too_short() {
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
        Ok(Self { seed, seal: Seal::Kept })
    }

    /// The private key itself.
    pub(crate) fn seed(&self) -> &Seed {
        &self.seed
    }

    /// Whether the key was made for this sign-in.
    pub(crate) fn is_new(&self) -> bool {
        self.seal == Seal::New
    }

    /// Makes a key. It is on the disk before the tracker learns it, so a key that the tracker has bound is always
    /// usable here, also after a crash.
    async fn new(
        profile: &Profile,
        password: Password,
        tracker: &PeerTrackerCommunication,
        cost: SealCost,
    ) -> Result<Self, CommandError> {
        // If the tracker does not answer, no file is left behind.
        let reached = tracker.probe().await;
        let seed = reached.map_err(|error| CommandError::from_tracker(error, tracker.address()))?.seed;
        profile.new_identity(&sealed_anew(&seed, password, cost).await?)?;
        Ok(Self { seed, seal: Seal::New })
    }

    /// Signs in at the tracker. After a refusal, a key that was made for this sign-in is removed.
    pub(crate) async fn sign_in(
        &self,
        profile: &Profile,
        tracker: &PeerTrackerCommunication,
        who: &SignIn,
        listening: SocketAddr,
    ) -> Result<(), CommandError> {
        let mut taken = false;
        let Err(error) = self.ask(tracker, who, listening, &mut taken).await else { return Ok(()) };
        let username = who.username.clone();
        match self.seal {
            // The tracker may have bound the key before the connection was lost.
            Seal::New if error == TrackerError::Lost => {}
            Seal::New => profile.remove_identity()?,
            _ if who.changed_to.is_some() || !is_refusal(&error, ErrorCode::InvalidCredentials) => {}
            _ if taken => return Err(CommandError::PasswordChanged(username)),
            _ => return Err(CommandError::AccountUnknown(username)),
        }
        Err(CommandError::from_tracker(error, tracker.address()))
    }

    /// Sends the sign-in: by the key alone if the tracker may know it, else with the password, which binds it. If a
    /// registration fails because the name is `taken`, the account may be this user's own, so a login follows.
    async fn ask(
        &self,
        tracker: &PeerTrackerCommunication,
        who: &SignIn,
        listening: SocketAddr,
        taken: &mut bool,
    ) -> Result<(), TrackerError> {
        let SignIn { username, password, register, changed_to } = who;
        let identity = identity(&self.seed, Purpose::Session).map_err(|_| TrackerError::Lost)?;
        let digest = changed_to.as_ref().unwrap_or(password).digest();
        let was_here = self.seal != Seal::New;
        if *register {
            match tracker.register(username, &digest, listening, identity.clone()).await {
                Err(error) if was_here && is_refusal(&error, ErrorCode::UsernameTaken) => *taken = true,
                judged => return judged,
            }
        }
        if was_here && changed_to.is_none() {
            match tracker.log_in(username, None, listening, identity.clone()).await {
                Err(error) if is_refusal(&error, ErrorCode::InvalidCredentials) => {}
                judged => return judged,
            }
        }
        tracker.log_in(username, Some(&digest), listening, identity).await
    }

    /// Returns the key of a signed-in user. A password that was changed elsewhere reseals the key. After an interrupted
    /// change the tracker may have either password, so the typed one is set at the tracker and kept as the only one.
    pub(crate) async fn finish_sign_in(
        self,
        profile: &Profile,
        tracker: &PeerTrackerCommunication,
        who: &SignIn,
        cost: SealCost,
    ) -> Result<Seed, CommandError> {
        match (&who.changed_to, self.seal) {
            (Some(new), _) => {
                if let Err(error) = reseal(profile, &self.seed, new.clone(), cost).await {
                    warn!(?error, "the old password still opens the key on this computer");
                }
            }
            (None, Seal::Unsettled(opened)) => match tracker.change_password(&who.password.digest()).await {
                Ok(()) => profile.finish_password_change(opened == Opened::Next)?,
                // Both seals stay, and the next sign-in tries again.
                Err(error) => warn!(?error, "an interrupted password change cannot be completed yet"),
            },
            (None, Seal::New | Seal::Kept) => {}
        }
        Ok(self.seed)
    }
}

fn is_refusal(error: &TrackerError, code: ErrorCode) -> bool {
    matches!(error, TrackerError::Refused(refusal) if refusal.code == code)
}

/// Turns the error of a seal that does not open into the error that a sign-in shows.
fn shut(error: CommandError, profile: &Profile, who: &SignIn) -> CommandError {
    let (username, folder) = (who.username.clone(), profile.folder().to_owned());
    match error {
        CommandError::Refused { code: ErrorCode::InvalidCredentials, .. } if who.register => {
            CommandError::KeyHere { username, folder }
        }
        CommandError::Refused { code: ErrorCode::InvalidCredentials, .. } => {
            CommandError::SealShut { username, folder }
        }
        other => other,
    }
}

async fn reseal(
    profile: &Profile,
    seed: &Seed,
    password: Password,
    cost: SealCost,
) -> Result<(), CommandError> {
    Ok(profile.reseal_identity(&sealed_anew(seed, password, cost).await?)?)
}

/// Opens the private key on this computer, if there is one. Also returns which seal the password has opened.
pub(crate) async fn opened(
    profile: &Profile,
    password: &Password,
) -> Result<Option<(Seed, Opened)>, CommandError> {
    let Some(present) = profile.identity()? else { return Ok(None) };
    let (next, password) = (profile.next_identity()?, password.clone());
    let opening = move || match (open(&present, &password), next) {
        (Err(SealError::WrongPassword), Some(next)) => Ok((open(&next, &password)?, Opened::Next)),
        (seed, _) => Ok((seed?, Opened::Present)),
    };
    Ok(Some(blocking(opening).await?.map_err(|error: SealError| match error {
        SealError::Unusable => profile.damaged_identity().into(),
        error => CommandError::from(error),
    })?))
}

/// Opens a seal that holds a private key.
fn open(sealed: &Sealed, password: &Password) -> Result<Seed, SealError> {
    let opened = sealed.open(CONTEXT, password)?;
    opened.as_slice().try_into().map(Seed::new).map_err(|_| SealError::Unusable)
}

/// Seals the private key under a password, with a new salt and nonce.
pub(crate) async fn sealed_anew(
    seed: &Seed,
    password: Password,
    cost: SealCost,
) -> Result<Sealed, CommandError> {
    let seed = seed.clone();
    Ok(blocking(move || Sealed::seal(seed.as_bytes(), CONTEXT, &password, cost)).await??)
}

/// Whether a password opens the user's key. The password of an interrupted change counts too.
pub(crate) async fn is_password(profile: &Profile, password: Password) -> Result<bool, CommandError> {
    match opened(profile, &password).await {
        Err(CommandError::Refused { code: ErrorCode::InvalidCredentials, .. }) => Ok(false),
        found => Ok(found?.is_some()),
    }
}

/// The TLS identity that proves the user in sessions or on links.
pub(crate) fn identity(seed: &Seed, purpose: Purpose) -> Result<Identity, CommandError> {
    Identity::new(seed, purpose).map_err(|error| CommandError::Local(error.to_string()))
}

/// Runs blocking work on a thread of its own.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, CommandError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| CommandError::Local(error.to_string()))
}

impl CommandError {
    /// Turns an error of the tracker at this address into the error that a frontend shows.
    pub(crate) fn from_tracker(error: TrackerError, address: &str) -> Self {
        match error {
            TrackerError::Lost => Self::TrackerLost,
            TrackerError::Refused(refusal) => {
                let retry_after = refusal.retry_after_ms.map(Duration::from_millis);
                Self::Refused { code: refusal.code, msg: refusal.msg.into(), retry_after }
            }
            TrackerError::TurnedAway(refusal) => Self::TurnedAway {
                address: address.to_owned(),
                code: refusal.code,
                msg: refusal.msg.into(),
                retry_after: refusal.retry_after_ms.map(Duration::from_millis),
            },
            TrackerError::NotATracker => Self::NotATracker { address: address.to_owned() },
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
            SealError::WrongPassword => Self::refused(ErrorCode::InvalidCredentials, error.to_string()),
            SealError::Unusable => Self::Local(error.to_string()),
        }
    }
}

impl From<ProfileError> for CommandError {
    fn from(error: ProfileError) -> Self {
        Self::Local(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: SealCost = SealCost { memory: 64, passes: 1 };

    #[tokio::test]
    async fn password_of_an_unfinished_change_opens_the_key_too() {
        let folder = tempfile::tempdir().unwrap();
        let profile = Profile::open(folder.path(), "tracker", &Username::parse("ana").unwrap()).unwrap();
        let (old, new) = (Password::typed("the old one"), Password::typed("the new one"));
        let seed = Seed::random().unwrap();
        let sealed = |password: &Password| sealed_anew(&seed, password.clone(), CHEAP);
        profile.reseal_identity(&sealed(&old).await.unwrap()).unwrap();
        profile.keep_next_identity(&sealed(&new).await.unwrap()).unwrap();
        assert!(is_password(&profile, old).await.unwrap());
        assert!(is_password(&profile, new).await.unwrap());
        assert!(!is_password(&profile, Password::typed("another one")).await.unwrap());
    }
}
