//! A profile: the folder of one user at one tracker on this device.
//!
//! The folder is locked while in use, so that two programs cannot run as the same user from it.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use commons::names::Username;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::identity::atomic_file;
use crate::identity::seal::Sealed;

const LOCK: &str = "lock";
const INSTANCE: &str = "instance.json";
const IDENTITY: &str = "identity.json";
const NEXT_IDENTITY: &str = "next_identity.json";

/// The sealed files beside the private key.
const SEALED: [&str; 4] = ["history.db", "known_keys.sealed", "blocked.sealed", NEXT_IDENTITY];

/// The locked folder of a user.
#[derive(Debug)]
pub(crate) struct Profile {
    folder: PathBuf,
    lock: File,
    made: bool,
}

/// The reason why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// Another program has locked the folder.
    #[error("{0} is in use by another peer: quit that one. To be somebody else, start with --username NAME")]
    InUse(PathBuf),
    /// An operation on the disk failed.
    #[error("cannot use {0}: {1}")]
    Io(PathBuf, io::Error),
    /// The private key is missing, and these files open only with it.
    #[error(
        "{IDENTITY} with your key is missing in {0}, and only it opens {files}. Put it back from a backup, or take the key from an \
         exported identity with `peer identity import FILE`; to begin with a new key, of which your friends are warned, move that \
         folder away", files = .1.join(" and ")
    )]
    KeyMissing(PathBuf, Vec<&'static str>),
    /// The content of a file is not in the format of this program.
    #[error("{0} is damaged. {remedy}", remedy = remedy(.0))]
    Damaged(PathBuf),
}

/// Says what to do about a damaged file, and what that costs.
fn remedy(path: &Path) -> &'static str {
    match path.file_name().and_then(|name| name.to_str()) {
        Some(IDENTITY) => {
            "It holds your key. Put it back from a backup; or move it away and take the key from an exported identity \
             with `peer identity import FILE`: the history opens again. Without either, move the whole folder away and sign \
             in with the password: this computer gets a new key, of which your friends are warned, and the history stays \
             closed"
        }
        _ => {
            "It is of a change of the password that was cut short. Move it away: the password of before holds on this \
             computer"
        }
    }
}

/// Returns the folder of a user at a tracker.
fn folder_of(data: &Path, tracker: &str, user: &Username) -> PathBuf {
    folder_of_tracker(data, tracker).join(user.as_str())
}

fn folder_of_tracker(data: &Path, tracker: &str) -> PathBuf {
    data.join(tracker.replace(['/', '\\'], "_"))
}

/// Returns true if a tracker's address, which may come from a file, is safe as a folder name. Such an address contains
/// a port, which `.`, `..` and the names of this program's files do not.
pub(crate) fn is_folder_name(tracker: &str) -> bool {
    tracker.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
        && !tracker.contains('\0')
}

/// Returns true if this device has a key of this user at this tracker.
pub(crate) fn exists(data: &Path, tracker: &str, user: &Username) -> bool {
    folder_of(data, tracker, user).join(IDENTITY).exists()
}

/// Returns the users that have a key on this device, at this tracker.
pub(crate) fn users(data: &Path, tracker: &str) -> BTreeSet<Username> {
    // An unreadable folder counts as empty; the sign-in of a named user reports the error.
    let entries = fs::read_dir(folder_of_tracker(data, tracker)).into_iter().flatten().flatten();
    let at_home = entries.filter(|entry| entry.path().join(IDENTITY).is_file());
    at_home.filter_map(|entry| Username::parse(entry.file_name().to_str()?).ok()).collect()
}

/// Returns the addresses of the trackers at which a user has a key on this device.
pub(crate) fn trackers_of(data: &Path, user: &Username) -> BTreeSet<String> {
    let entries = fs::read_dir(data).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| is_folder_name(name) && exists(data, name, user)).collect()
}

/// Moves a user's folder to another address of the tracker. Returns false if there was nothing to move. After a crash
/// the folder is at one of the two addresses, complete.
pub(crate) fn migrate_from(data: &Path, user: &Username, from: &str, to: &str) -> Result<bool, ProfileError> {
    let (old, new) = (folder_of(data, from, user), folder_of(data, to, user));
    if !old.is_dir() || new.exists() {
        return Ok(false);
    }
    // The folder is locked, and the lock moves along with it.
    let profile = Profile::open(data, from, user)?;
    if profile.made {
        // Another program has moved it between the check and the lock.
        profile.remove_if_new();
        return Ok(false);
    }
    let io_error = |error| ProfileError::Io(new.clone(), error);
    DirBuilder::new().recursive(true).mode(0o700).create(folder_of_tracker(data, to)).map_err(io_error)?;
    atomic_file::rename(&old, &new).map_err(io_error)?;
    Ok(true)
}

impl Profile {
    /// Creates the folder if it is missing, and locks it.
    pub(crate) fn open(data: &Path, tracker: &str, user: &Username) -> Result<Self, ProfileError> {
        let folder = folder_of(data, tracker, user);
        let made = !folder.is_dir();
        let io_error = |error| ProfileError::Io(folder.clone(), error);
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(io_error)?;
        if made {
            let mut below_data = folder.ancestors().take_while(|above| *above != data);
            below_data.try_for_each(atomic_file::sync_entry).map_err(io_error)?;
        }
        let lock = lock_file(&folder.join(LOCK)).map_err(io_error)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { folder, lock, made }),
            Err(TryLockError::WouldBlock) => Err(ProfileError::InUse(folder)),
            Err(TryLockError::Error(error)) => Err(io_error(error)),
        }
    }

    /// Checks that no other program has locked the folder, if it exists.
    pub(crate) fn check_free(data: &Path, tracker: &str, user: &Username) -> Result<(), ProfileError> {
        if exists(data, tracker, user) { Self::open(data, tracker, user).map(drop) } else { Ok(()) }
    }

    /// Removes a folder that was created for a user who could not sign in, unless it holds a key.
    pub(crate) fn remove_if_new(self) {
        if self.made {
            // An empty folder that remains does no harm.
            let _ = fs::remove_file(self.folder.join(LOCK));
            let _ = fs::remove_dir(&self.folder);
        }
    }

    /// Returns the instance number of a run that starts now, in milliseconds since 1970. It is higher than that of
    /// every earlier run on this device, even if the clock was set back. Other peers take a link with a lower number
    /// for one of an earlier run.
    pub(crate) fn next_instance(&self, now: u64) -> u64 {
        let path = self.folder.join(INSTANCE);
        // If the file cannot be read, the clock alone decides.
        let last: Option<u64> = atomic_file::read(&path).ok().flatten();
        let instance = last.map_or(now, |last| now.max(last.saturating_add(1)));
        let _ = atomic_file::write(&path, &instance);
        instance
    }

    /// Returns true if the profile belongs to this user.
    pub(crate) fn is_of(&self, user: &Username) -> bool {
        self.folder.ends_with(user.as_str())
    }

    /// Unlocks the folder for other programs. If that fails, the lock ends with this program.
    pub(crate) fn release(&self) {
        let _ = self.lock.unlock();
    }

    /// Returns the path of the folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the user's private key under its seal; `None` if this device has none.
    pub(crate) fn identity(&self) -> Result<Option<Sealed>, ProfileError> {
        self.read(IDENTITY)
    }

    /// Checks that the profile never had a key: under another key, its sealed files would never open again.
    pub(crate) fn expect_new(&self) -> Result<(), ProfileError> {
        let sealed: Vec<_> = SEALED.into_iter().filter(|name| self.folder.join(name).exists()).collect();
        if sealed.is_empty() { Ok(()) } else { Err(ProfileError::KeyMissing(self.folder.clone(), sealed)) }
    }

    /// Stores a new private key under its seal. Fails if there is a key already, because the history depends on that
    /// key.
    pub(crate) fn new_identity(&self, sealed: &Sealed) -> Result<(), ProfileError> {
        let path = self.folder.join(IDENTITY);
        atomic_file::write_new(&path, sealed).map_err(|error| ProfileError::Io(path, error))
    }

    /// Replaces the seal of the stored private key.
    pub(crate) fn reseal_identity(&self, sealed: &Sealed) -> Result<(), ProfileError> {
        self.write(IDENTITY, sealed)?;
        self.finish_password_change(false)
    }

    /// Removes a new private key after the sign-in with it failed.
    pub(crate) fn remove_identity(&self) -> Result<(), ProfileError> {
        let path = self.folder.join(IDENTITY);
        atomic_file::remove(&path).map_err(|error| ProfileError::Io(path, error))
    }

    /// Returns the error that the private key's file is damaged.
    pub(crate) fn damaged_identity(&self) -> ProfileError {
        ProfileError::Damaged(self.folder.join(IDENTITY))
    }

    /// Returns the private key under the seal of a new password, if a change of the password was interrupted.
    pub(crate) fn next_identity(&self) -> Result<Option<Sealed>, ProfileError> {
        self.read(NEXT_IDENTITY)
    }

    /// Stores the private key under the seal of a new password, beside the old one.
    pub(crate) fn keep_next_identity(&self, sealed: &Sealed) -> Result<(), ProfileError> {
        self.write(NEXT_IDENTITY, sealed)
    }

    /// Ends a change of the password: the new seal replaces the old one, or is removed.
    pub(crate) fn finish_password_change(&self, take_next: bool) -> Result<(), ProfileError> {
        let next = self.folder.join(NEXT_IDENTITY);
        let finished = if take_next {
            atomic_file::rename(&next, &self.folder.join(IDENTITY))
        } else {
            atomic_file::remove(&next)
        };
        finished.map_err(|error| ProfileError::Io(next, error))
    }

    /// Removes all data of this user on this device, after the account was deleted.
    pub(crate) fn remove(&self) -> Result<(), ProfileError> {
        fs::remove_dir_all(&self.folder).map_err(|error| ProfileError::Io(self.folder.clone(), error))
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, ProfileError> {
        let path = self.folder.join(name);
        atomic_file::read(&path).map_err(|error| match error.kind() {
            ErrorKind::InvalidData => ProfileError::Damaged(path),
            _ => ProfileError::Io(path, error),
        })
    }

    fn write(&self, name: &str, content: &impl Serialize) -> Result<(), ProfileError> {
        let path = self.folder.join(name);
        atomic_file::write(&path, content).map_err(|error| ProfileError::Io(path, error))
    }
}

/// Opens the file whose lock keeps other programs out.
fn lock_file(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    // Earlier versions created the file with the permissions of the umask.
    file.set_permissions(Permissions::from_mode(0o600))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::password::Password;
    use crate::identity::seal::SealCost;

    fn ana() -> Username {
        Username::parse("ana").unwrap()
    }

    #[test]
    fn profile_is_locked_against_a_second_program() {
        let data = tempfile::tempdir().unwrap();
        let first = Profile::open(data.path(), "127.0.0.1:6060", &ana()).unwrap();
        assert!(matches!(Profile::open(data.path(), "127.0.0.1:6060", &ana()), Err(ProfileError::InUse(_))));
        Profile::open(data.path(), "127.0.0.1:7070", &ana()).unwrap();
        drop(first);
        Profile::open(data.path(), "127.0.0.1:6060", &ana()).unwrap();
    }

    fn sealed(first: u8) -> Sealed {
        let cost = SealCost { memory: 64, passes: 1 };
        Sealed::seal(&[first; 32], "a test", &Password::typed("secret"), cost).unwrap()
    }

    fn text_of(profile: &Profile, name: &str) -> String {
        fs::read_to_string(profile.folder().join(name)).unwrap()
    }

    #[test]
    fn a_new_key_never_takes_the_place_of_another() {
        let data = tempfile::tempdir().unwrap();
        let profile = Profile::open(data.path(), "t", &ana()).unwrap();
        profile.new_identity(&sealed(1)).unwrap();
        let before = text_of(&profile, IDENTITY);
        assert!(profile.new_identity(&sealed(2)).is_err());
        assert_eq!(text_of(&profile, IDENTITY), before);
        profile.reseal_identity(&sealed(1)).unwrap();
        assert_ne!(text_of(&profile, IDENTITY), before);
        profile.remove_identity().unwrap();
        profile.new_identity(&sealed(2)).unwrap();
    }

    #[test]
    fn profile_is_readable_by_its_user_only() {
        let data = tempfile::tempdir().unwrap();
        let profile = Profile::open(data.path(), "t", &ana()).unwrap();
        let lock = profile.folder().join(LOCK);
        let mode = || fs::metadata(&lock).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(), 0o600);
        drop(profile);
        fs::set_permissions(&lock, Permissions::from_mode(0o644)).unwrap();
        let _home = Profile::open(data.path(), "t", &ana()).unwrap();
        assert_eq!(mode(), 0o600);
    }

    #[test]
    fn a_damaged_file_is_named_with_what_to_do_and_left_as_it_is() {
        let data = tempfile::tempdir().unwrap();
        let profile = Profile::open(data.path(), "t", &ana()).unwrap();
        let error_of = |name: &str| {
            let read = match name {
                IDENTITY => profile.identity().map(drop),
                _ => profile.next_identity().map(drop),
            };
            read.err().map(|error| error.to_string()).unwrap_or_default()
        };
        for name in [IDENTITY, NEXT_IDENTITY] {
            assert_eq!(error_of(name), "");
            fs::write(profile.folder().join(name), "{ torn").unwrap();
            let error = error_of(name);
            assert!(error.contains(name) && error.contains("ove it away"), "{error}");
            assert_eq!(text_of(&profile, name), "{ torn");
        }
        assert!(error_of(IDENTITY).contains("peer identity import"));
    }

    #[test]
    fn only_a_folder_made_in_vain_is_removed() {
        let data = tempfile::tempdir().unwrap();
        Profile::open(data.path(), "t", &ana()).unwrap().remove_if_new();
        assert!(!exists(data.path(), "t", &ana()));
        let profile = Profile::open(data.path(), "t", &ana()).unwrap();
        profile.new_identity(&sealed(1)).unwrap();
        drop(profile);
        Profile::open(data.path(), "t", &ana()).unwrap().remove_if_new();
        assert!(exists(data.path(), "t", &ana()));
    }

    #[test]
    fn folder_moves_unless_it_is_in_use_or_target_exists() {
        let data = tempfile::tempdir().unwrap();
        let there = |address| folder_of(data.path(), address, &ana()).is_dir();
        let moved = |from, to| migrate_from(data.path(), &ana(), from, to);
        assert!(!moved("old:1", "new:1").unwrap(), "there is nothing to move");
        let profile = Profile::open(data.path(), "old:1", &ana()).unwrap();
        fs::write(profile.folder().join(IDENTITY), "{}").unwrap();
        assert!(matches!(moved("old:1", "new:1"), Err(ProfileError::InUse(_))));
        assert!(there("old:1") && !there("new:1"));
        drop(profile);
        assert!(moved("old:1", "new:1").unwrap());
        assert!(!there("old:1"));
        assert_eq!(users(data.path(), "new:1"), BTreeSet::from([ana()]));
        drop(Profile::open(data.path(), "old:1", &ana()).unwrap());
        assert!(!moved("old:1", "new:1").unwrap(), "another is in its place");
        assert!(there("old:1"));
    }

    #[test]
    fn user_with_a_key_has_a_profile() {
        let data = tempfile::tempdir().unwrap();
        assert!(users(data.path(), "t").is_empty());
        drop(Profile::open(data.path(), "t", &ana()).unwrap());
        assert!(users(data.path(), "t").is_empty(), "a folder made in vain");
        fs::write(data.path().join("t/ana").join(IDENTITY), "{}").unwrap();
        assert_eq!(users(data.path(), "t"), BTreeSet::from([ana()]));
    }

    #[test]
    fn later_run_has_higher_instance_after_clock_was_set_back() {
        let data = tempfile::tempdir().unwrap();
        let profile = Profile::open(data.path(), "127.0.0.1:6060", &Username::parse("ana").unwrap()).unwrap();
        assert_eq!(profile.next_instance(1_000), 1_000);
        assert_eq!(profile.next_instance(500), 1_001);
        assert_eq!(profile.next_instance(2_000), 2_000);
        fs::write(profile.folder().join(INSTANCE), "no number").unwrap();
        assert_eq!(profile.next_instance(700), 700);
    }
}
