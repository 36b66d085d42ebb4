//! The key that proves a user, and how it comes to be bound to the name: made at the first sign-in on a computer, sealed
//! under the password, and from then on all that the tracker asks for.

use std::net::SocketAddr;

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
    /// The password that the tracker has meanwhile, where it was changed elsewhere; the other one opens the key here.
    pub changed_to: Option<Password>,
}

/// A user's key on this computer.
#[derive(Clone)]
pub(crate) struct DeviceKey {
    seed: Seed,
    seal: Seal,
}

/// How a key lies in the folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seal {
    /// It was made for this sign-in, and goes again where that is refused.
    New,
    /// It was there.
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

impl DeviceKey {
    /// The key that this computer has, opened by the password, also where the account is to be made: a key is never
    /// overwritten. A new one where there is none.
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

    /// Whether it was made just now.
    pub(crate) fn is_new(&self) -> bool {
        self.seal == Seal::New
    }

    /// Makes a key. It is on the disk before the tracker hears of it: what is bound there can be used here, whatever
    /// happens in between.
    async fn new(
        profile: &Profile,
        password: Password,
        tracker: &PeerTrackerCommunication,
        cost: SealCost,
    ) -> Result<Self, CommandError> {
        // Where nobody answers, nothing is left behind.
        let reached = tracker.probe().await;
        let seed = reached.map_err(|error| CommandError::from_tracker(error, tracker.address()))?.seed;
        profile.new_identity(&sealed_anew(&seed, password, cost).await?)?;
        Ok(Self { seed, seal: Seal::New })
    }

    /// Signs in at the tracker. A refusal leaves no key that was made for it.
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
            // It may be bound.
            Seal::New if error == TrackerError::Lost => {}
            Seal::New => profile.remove_identity()?,
            _ if who.changed_to.is_some() || !is_refusal(&error, ErrorCode::InvalidCredentials) => {}
            _ if taken => return Err(CommandError::PasswordChanged(username)),
            _ => return Err(CommandError::AccountUnknown(username)),
        }
        Err(CommandError::from_tracker(error, tracker.address()))
    }

    /// Asks the tracker in: by the key alone where it may be known there, else by the password, which binds it. Where an
    /// account is to be made and its name is `taken`, it may be this user's already.
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

    /// The key of a user who is signed in. A password that was changed elsewhere becomes that of the seal. Where a change
    /// was cut short, the tracker may have either password: the one that was typed now becomes the only one.
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
                    warn!(?error, "the password of before still opens the key on this computer");
                }
            }
            (None, Seal::Unsettled(opened)) => match tracker.change_password(&who.password.digest()).await {
                Ok(()) => profile.finish_password_change(opened == Opened::Next)?,
                // Both seals stay, and the next sign-in tries again.
                Err(error) => warn!(?error, "a change of the password is still not settled"),
            },
            (None, Seal::New | Seal::Kept) => {}
        }
        Ok(self.seed)
    }
}

fn is_refusal(error: &TrackerError, code: ErrorCode) -> bool {
    matches!(error, TrackerError::Refused(refusal) if refusal.code == code)
}

/// What it means to somebody who signs in that the seal of the key here does not open.
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

/// The private key that this computer has, if any, and which seal the password has opened.
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

/// Whether a password opens the user's key, also the one of a change that was cut short.
pub(crate) async fn is_password(profile: &Profile, password: Password) -> Result<bool, CommandError> {
    match opened(profile, &password).await {
        Err(CommandError::Refused { code: ErrorCode::InvalidCredentials, .. }) => Ok(false),
        found => Ok(found?.is_some()),
    }
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
            TrackerError::TurnedAway(refusal) => {
                Self::TurnedAway { address: address.to_owned(), code: refusal.code, msg: refusal.msg.into() }
            }
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
            SealError::WrongPassword => {
                Self::Refused { code: ErrorCode::InvalidCredentials, msg: error.to_string().into() }
            }
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
