//! The user's device key: the private key on this computer, sealed under the password.

use commons::keys::Seed;
use commons::net::tls::{Identity, Purpose};

use crate::identity::identity_error::IdentityError;
use crate::identity::password::Password;
use crate::identity::profile::Profile;
use crate::identity::seal::{SealCost, SealError, Sealed};

/// Purpose of the seal of a private key, authenticated with it.
const CONTEXT: &str = "p2p-chat identity v2";

/// The seal that a password has opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OpenedSeal {
    /// The current seal.
    Current,
    /// The seal of an interrupted password change.
    Next,
}

/// Seals the stored private key again, under another password or with the current parameters.
pub(crate) async fn reseal(
    profile: &Profile,
    seed: &Seed,
    password: Password,
    cost: SealCost,
) -> Result<(), IdentityError> {
    Ok(profile.reseal_identity(&sealed_anew(seed, password, cost).await?)?)
}

/// Opens the private key on this computer, if there is one. Also returns which seal the password has opened.
pub(crate) async fn opened(
    profile: &Profile,
    password: &Password,
) -> Result<Option<(Seed, OpenedSeal)>, IdentityError> {
    let Some(present) = profile.identity()? else { return Ok(None) };
    let (next, password) = (profile.next_identity()?, password.clone());
    let opening = move || match (open(&present, &password), next) {
        (Err(SealError::WrongPassword), Some(next)) => Ok((open(&next, &password)?, OpenedSeal::Next)),
        (seed, _) => Ok((seed?, OpenedSeal::Current)),
    };
    Ok(Some(blocking(opening).await?.map_err(|error: SealError| match error {
        SealError::Unusable => profile.damaged_identity().into(),
        error => IdentityError::from(error),
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
) -> Result<Sealed, IdentityError> {
    let seed = seed.clone();
    Ok(blocking(move || Sealed::seal(seed.as_bytes(), CONTEXT, &password, cost)).await??)
}

/// Whether a password opens the user's key. The password of an interrupted change counts too.
pub(crate) async fn is_password(profile: &Profile, password: Password) -> Result<bool, IdentityError> {
    match opened(profile, &password).await {
        Err(IdentityError::Seal(SealError::WrongPassword)) => Ok(false),
        found => Ok(found?.is_some()),
    }
}

/// The TLS identity that proves the user in sessions or on links.
pub(crate) fn identity(seed: &Seed, purpose: Purpose) -> Result<Identity, IdentityError> {
    Identity::new(seed, purpose).map_err(|error| IdentityError::Local(error.to_string()))
}

/// Runs blocking work on a thread of its own.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, IdentityError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| IdentityError::Local(error.to_string()))
}

#[cfg(test)]
mod tests {
    use commons::names::Username;

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
