//! Export of an identity to another computer of the same user.
//! One file, sealed under the password, holds the private key, the tracker's key, the pinned keys of contacts and the
//! blocked users.
//!
//! The other computer uses the same key, so contacts see no change. It also knows the contacts' keys, so it does not
//! have to trust the tracker for them as at a first meeting.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use commons::keys::{PublicKey, Seed};
use commons::names::Username;
use commons::tracker_address::TrackerAddress;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::identity::atomic_file;
use crate::identity::contacts::Contacts;
use crate::identity::device_key::{blocking, opened, sealed_anew};
use crate::identity::identity_error::IdentityError;
use crate::identity::known_keys::Pin;
use crate::identity::known_trackers::KnownTrackers;
use crate::identity::password::Password;
use crate::identity::profile::{self, Profile};
use crate::identity::seal::{SealCost, Sealed};
use crate::limits::IDENTITY_FILE_MAX;

/// Version of the file format.
const VERSION: u8 = 1;

/// Length of the private key in bytes. It stands in front of the other sealed content.
const SEED: usize = 32;

/// The account of a user on this computer: in which folder, at which tracker.
#[derive(Debug, Clone)]
pub struct AccountLocation {
    /// The data folder, which holds the folders of all users.
    pub data: PathBuf,
    /// The tracker's address (host and port), without its key.
    pub tracker: String,
    /// The name of the user.
    pub username: Username,
}

/// Content of the file. The name and the tracker are readable, but authenticated: a file with changed ones does not
/// open.
#[derive(Serialize, Deserialize)]
struct Exported {
    version: u8,
    username: Username,
    tracker: String,
    sealed: Sealed,
}

/// The sealed content behind the private key.
#[derive(Serialize, Deserialize)]
struct Known {
    tracker_key: Option<PublicKey>,
    pins: BTreeMap<Username, Pin>,
    blocked: BTreeSet<Username>,
}

impl Exported {
    fn context(&self) -> String {
        context(&self.username, &self.tracker)
    }
}

/// Purpose of the seal: an identity of this user at this tracker.
fn context(username: &Username, tracker: &str) -> String {
    format!("p2p-chat exported identity v{VERSION} {username} {tracker}")
}

/// Exports an identity of this computer into a file that must not exist yet.
pub async fn export(
    from: &AccountLocation,
    password: &Password,
    cost: SealCost,
    file: &Path,
) -> Result<(), IdentityError> {
    let profile = Profile::open(&from.data, &from.tracker, &from.username)?;
    let exported = export_profile(from, &profile, password, cost).await;
    profile.remove_if_new();
    atomic_file::create(file, &exported?).map_err(|error| at(file, &error))
}

/// Exports the identity of an open profile, as the text of such a file.
pub(crate) async fn export_text(
    from: &AccountLocation,
    profile: &Profile,
    password: &Password,
    cost: SealCost,
) -> Result<String, IdentityError> {
    let exported = export_profile(from, profile, password, cost).await?;
    serde_json::to_string(&exported).map_err(local)
}

async fn export_profile(
    from: &AccountLocation,
    profile: &Profile,
    password: &Password,
    cost: SealCost,
) -> Result<Exported, IdentityError> {
    let AccountLocation { data, tracker, username } = from;
    let Some((seed, _)) = opened(profile, password).await? else {
        return Err(IdentityError::Local(format!("there is no account {username} on this computer")));
    };
    let tracker_key = KnownTrackers::of(data).key(tracker).map_err(local)?;
    let contacts = Contacts::of(profile.folder(), &seed);
    let known = Known { tracker_key, pins: contacts.pins()?, blocked: contacts.blocked()? };
    let mut secret = Zeroizing::new(seed.as_bytes().to_vec());
    secret.extend(serde_json::to_vec(&known).map_err(local)?);
    let (context, password) = (context(username, tracker), password.clone());
    let sealed = blocking(move || Sealed::seal(&secret, &context, &password, cost)).await??;
    let (username, tracker) = (username.clone(), tracker.clone());
    Ok(Exported { version: VERSION, username, tracker, sealed })
}

/// Imports an identity from a file and returns the location of the account. `tracker` replaces the tracker's address if it differs on
/// this computer. No other identity is overwritten.
pub async fn import(
    data: &Path,
    tracker: Option<&TrackerAddress>,
    password: &Password,
    cost: SealCost,
    file: &Path,
) -> Result<AccountLocation, IdentityError> {
    let exported: Exported =
        atomic_file::read_bounded(file, IDENTITY_FILE_MAX).map_err(|error| at(file, &error))?;
    import_from(data, tracker, password, cost, (exported, &file.display().to_string())).await
}

/// Imports an identity from the text of such a file. Otherwise as [`import`].
pub(crate) async fn import_text(
    data: &Path,
    tracker: Option<&TrackerAddress>,
    password: &Password,
    cost: SealCost,
    text: &str,
) -> Result<AccountLocation, IdentityError> {
    let source = "the exported identity";
    let damaged = |_| IdentityError::Local(format!("{source} is damaged: export it again"));
    let exported = serde_json::from_str(text).map_err(damaged)?;
    import_from(data, tracker, password, cost, (exported, source)).await
}

/// Imports an identity. `source` names its origin in errors.
async fn import_from(
    data: &Path,
    tracker: Option<&TrackerAddress>,
    password: &Password,
    cost: SealCost,
    (exported, source): (Exported, &str),
) -> Result<AccountLocation, IdentityError> {
    if exported.version != VERSION {
        return Err(IdentityError::Local(format!("{source} was written by another version of this program")));
    }
    let (tracker, given_key) = match tracker {
        None => (exported.tracker.clone(), None),
        Some(given) => (given.address.clone(), given.key),
    };
    if !profile::is_folder_name(&tracker) {
        return Err(IdentityError::Local(format!("{source} contains no valid address of a tracker")));
    }
    let username = exported.username.clone();
    let (context, opening) = (exported.context(), password.clone());
    let secret = blocking(move || exported.sealed.open(&context, &opening)).await??;
    let damaged = || IdentityError::Local(format!("{source} is damaged"));
    let (seed, known) = secret.split_at_checked(SEED).ok_or_else(damaged)?;
    let seed = Seed::new(seed.try_into().map_err(|_| damaged())?);
    let known: Known = serde_json::from_slice(known).map_err(|_| damaged())?;

    let location = AccountLocation { data: data.to_owned(), tracker, username };
    let profile = Profile::open(&location.data, &location.tracker, &location.username)?;
    let imported = write_profile(&profile, &location, &seed, known, given_key, password, cost).await;
    match imported {
        Ok(()) => Ok(location),
        Err(error) => {
            profile.remove_if_new();
            Err(error)
        }
    }
}

/// Writes the imported content to the profile. The key is written last, so an interrupted import can be repeated.
async fn write_profile(
    profile: &Profile,
    location: &AccountLocation,
    seed: &Seed,
    known: Known,
    given_key: Option<PublicKey>,
    password: &Password,
    cost: SealCost,
) -> Result<(), IdentityError> {
    let AccountLocation { data, tracker, username } = location;
    if profile.identity()?.is_some() {
        return Err(IdentityError::Local(format!(
            "there is an account {username} on this computer already: choose another folder with --data"
        )));
    }
    let trackers = KnownTrackers::of(data);
    if let Some(key) = given_key.or(known.tracker_key) {
        match trackers.key(tracker).map_err(local)? {
            Some(pinned) if pinned != key => {
                let address = tracker.clone();
                return Err(IdentityError::TrackerKeyChanged { address, pinned, found: key });
            }
            _ => trackers.pin(tracker, key).map_err(local)?,
        }
    }
    let contacts = Contacts::of(profile.folder(), seed);
    contacts.store_pins(|| known.pins)?;
    contacts.store_blocked(&known.blocked)?;
    Ok(profile.new_identity(&sealed_anew(seed, password.clone(), cost).await?)?)
}

fn local(error: impl std::fmt::Display) -> IdentityError {
    IdentityError::Local(error.to_string())
}

fn at(file: &Path, error: &io::Error) -> IdentityError {
    IdentityError::Local(format!("{}: {error}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: SealCost = SealCost { memory: 64, passes: 1 };

    fn ana_in(data: &Path) -> AccountLocation {
        let username = Username::parse("ana").unwrap();
        AccountLocation { data: data.to_owned(), tracker: "127.0.0.1:6060".to_owned(), username }
    }

    fn password() -> Password {
        Password::typed("secret")
    }

    async fn exported(data: &Path) -> PathBuf {
        let ana = ana_in(data);
        let profile = Profile::open(data, &ana.tracker, &ana.username).unwrap();
        profile.new_identity(&sealed_anew(&Seed::new([7; 32]), password(), CHEAP).await.unwrap()).unwrap();
        let bob = Pin { keys: vec![PublicKey::new([2; 32])], ..Pin::default() };
        let contacts = Contacts::of(profile.folder(), &Seed::new([7; 32]));
        contacts.store_pins(|| BTreeMap::from([(Username::parse("bob").unwrap(), bob)])).unwrap();
        contacts.store_blocked(&BTreeSet::from([Username::parse("eve").unwrap()])).unwrap();
        KnownTrackers::of(data).pin(&ana.tracker, PublicKey::new([9; 32])).unwrap();
        drop(profile);
        let file = data.join("ana.identity");
        export(&ana, &password(), CHEAP, &file).await.unwrap();
        file
    }

    #[tokio::test]
    async fn imported_identity_knows_the_same_keys() {
        let (there, here) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let file = exported(there.path()).await;
        let location = import(here.path(), None, &password(), CHEAP, &file).await.unwrap();
        let profile = Profile::open(here.path(), &location.tracker, &location.username).unwrap();
        let (seed, _) = opened(&profile, &password()).await.unwrap().unwrap();
        assert_eq!(seed.as_bytes(), &[7; 32]);
        let contacts = Contacts::of(profile.folder(), &seed);
        assert!(contacts.pins().unwrap().contains_key(&Username::parse("bob").unwrap()));
        assert!(contacts.blocked().unwrap().contains(&Username::parse("eve").unwrap()));
        let tracker = KnownTrackers::of(here.path()).key(&location.tracker).unwrap();
        assert_eq!(tracker, Some(PublicKey::new([9; 32])));
    }

    #[tokio::test]
    async fn nothing_is_overwritten() {
        let there = tempfile::tempdir().unwrap();
        let file = exported(there.path()).await;
        let ana = ana_in(there.path());
        assert!(export(&ana, &password(), CHEAP, &file).await.is_err(), "the file is there");
        assert!(import(there.path(), None, &password(), CHEAP, &file).await.is_err());
        let here = tempfile::tempdir().unwrap();
        KnownTrackers::of(here.path()).pin("other:1", PublicKey::new([8; 32])).unwrap();
        let refused = import(here.path(), Some(&"other:1".parse().unwrap()), &password(), CHEAP, &file)
            .await
            .unwrap_err();
        assert!(matches!(refused, IdentityError::TrackerKeyChanged { .. }), "{refused}");
    }

    #[tokio::test]
    async fn wrong_password_or_changed_file_imports_nothing() {
        let (there, here) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let file = exported(there.path()).await;
        let wrong = Password::typed("wrong");
        assert!(import(here.path(), None, &wrong, CHEAP, &file).await.is_err());
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replace("127.0.0.1:6060", "127.0.0.1:7070")).unwrap();
        assert!(import(here.path(), None, &password(), CHEAP, &file).await.is_err());
        std::fs::write(&file, text.replace("\"ana\"", "\"eve\"")).unwrap();
        assert!(import(here.path(), None, &password(), CHEAP, &file).await.is_err());
        assert_eq!(std::fs::read_dir(here.path()).unwrap().count(), 0);
        // The control: the original file opens.
        std::fs::write(&file, text).unwrap();
        import(here.path(), None, &password(), CHEAP, &file).await.unwrap();
    }

    #[tokio::test]
    async fn address_in_a_file_leads_out_of_no_folder() {
        let (there, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let here = outside.path().join("data");
        for tracker in ["..", ".", "", "no port"] {
            let exported = Exported {
                version: VERSION,
                username: Username::parse("ana").unwrap(),
                tracker: tracker.to_owned(),
                sealed: sealed_known(tracker).await,
            };
            let file = there.path().join("evil.identity");
            atomic_file::write(&file, &exported).unwrap();
            assert!(import(&here, None, &password(), CHEAP, &file).await.is_err(), "{tracker:?}");
            assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0, "{tracker:?}");
        }
    }

    /// Seals an identity with a password and a tracker's address of the attacker's choice.
    async fn sealed_known(tracker: &str) -> Sealed {
        let known = Known { tracker_key: None, pins: BTreeMap::new(), blocked: BTreeSet::new() };
        let secret = Zeroizing::new([vec![7; SEED], serde_json::to_vec(&known).unwrap()].concat());
        let context = context(&Username::parse("ana").unwrap(), tracker);
        blocking(move || Sealed::seal(&secret, &context, &password(), CHEAP)).await.unwrap().unwrap()
    }
}
