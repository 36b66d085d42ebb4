//! A user's folder on this computer, one for each tracker: locked while in use, so that two programs cannot speak as
//! the same user from it.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use commons::names::Username;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::identity::private_file;
use crate::identity::seal::Sealed;

const LOCK: &str = "lock";
const IDENTITY: &str = "identity.json";
const NEXT_IDENTITY: &str = "next_identity.json";

/// A user's folder, locked.
#[derive(Debug)]
pub(crate) struct Home {
    folder: PathBuf,
    lock: File,
    made: bool,
}

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// Another program holds it.
    #[error("{0} is in use by another peer: quit that one, or choose another folder with --data")]
    InUse(PathBuf),
    /// The disk failed, or refused.
    #[error("cannot use {0}: {1}")]
    Io(PathBuf, io::Error),
}

/// Where the folder of a user at a tracker is.
fn folder_of(data: &Path, tracker: &str, user: &Username) -> PathBuf {
    folder_of_tracker(data, tracker).join(user.as_str())
}

fn folder_of_tracker(data: &Path, tracker: &str) -> PathBuf {
    data.join(tracker.replace(['/', '\\'], "_"))
}

/// Whether this computer has been this user at this tracker.
pub(crate) fn exists(data: &Path, tracker: &str, user: &Username) -> bool {
    folder_of(data, tracker, user).is_dir()
}

/// Who has a key on this computer, at this tracker.
pub(crate) fn users(data: &Path, tracker: &str) -> BTreeSet<Username> {
    // What cannot be read has nobody in it; who is named finds out why.
    let entries = fs::read_dir(folder_of_tracker(data, tracker)).into_iter().flatten().flatten();
    let at_home = entries.filter(|entry| entry.path().join(IDENTITY).is_file());
    at_home.filter_map(|entry| Username::parse(entry.file_name().to_str()?).ok()).collect()
}

/// Moves a user's folder to another address of the tracker; whether there was one to move. A crash leaves it at the one
/// address or at the other.
pub(crate) fn move_in(data: &Path, user: &Username, from: &str, to: &str) -> Result<bool, HomeError> {
    let (old, new) = (folder_of(data, from, user), folder_of(data, to, user));
    if !old.is_dir() || new.exists() {
        return Ok(false);
    }
    // Locked: the lock moves along.
    let home = Home::open(data, from, user)?;
    if home.made {
        // Somebody else has moved it in this moment.
        home.abandon();
        return Ok(false);
    }
    let io_error = |error| HomeError::Io(new.clone(), error);
    DirBuilder::new().recursive(true).mode(0o700).create(folder_of_tracker(data, to)).map_err(io_error)?;
    private_file::rename(&old, &new).map_err(io_error)?;
    Ok(true)
}

impl Home {
    /// Makes the folder where it is missing, and locks it.
    pub(crate) fn open(data: &Path, tracker: &str, user: &Username) -> Result<Self, HomeError> {
        let folder = folder_of(data, tracker, user);
        let made = !folder.is_dir();
        let io_error = |error| HomeError::Io(folder.clone(), error);
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(io_error)?;
        let lock = File::create(folder.join(LOCK)).map_err(io_error)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { folder, lock, made }),
            Err(TryLockError::WouldBlock) => Err(HomeError::InUse(folder)),
            Err(TryLockError::Error(error)) => Err(io_error(error)),
        }
    }

    /// Removes a folder that was made for a user who turned out not to be one.
    pub(crate) fn abandon(self) {
        if self.made {
            // An empty folder left behind does no harm.
            let _ = fs::remove_file(self.folder.join(LOCK));
            let _ = fs::remove_dir(&self.folder);
        }
    }

    /// Whether it is this user's.
    pub(crate) fn is_of(&self, user: &Username) -> bool {
        self.folder.ends_with(user.as_str())
    }

    /// Lets another program have the folder. A lock that cannot be undone goes with this program.
    pub(crate) fn release(&self) {
        let _ = self.lock.unlock();
    }

    /// Where it is.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The user's private key under its seal; `None` where this computer has none.
    pub(crate) fn identity(&self) -> Result<Option<Sealed>, HomeError> {
        self.read(IDENTITY)
    }

    /// Keeps the user's private key under its seal.
    pub(crate) fn keep_identity(&self, sealed: &Sealed) -> Result<(), HomeError> {
        self.write(IDENTITY, sealed)?;
        self.settle_identity(false)
    }

    /// The private key under the seal of a new password, where a change of the password was cut short.
    pub(crate) fn next_identity(&self) -> Result<Option<Sealed>, HomeError> {
        self.read(NEXT_IDENTITY)
    }

    /// Keeps the private key under the seal of a new password, beside the old one.
    pub(crate) fn keep_next_identity(&self, sealed: &Sealed) -> Result<(), HomeError> {
        self.write(NEXT_IDENTITY, sealed)
    }

    /// Ends a change of the password: the new seal takes the place of the old one, or goes.
    pub(crate) fn settle_identity(&self, take_next: bool) -> Result<(), HomeError> {
        let next = self.folder.join(NEXT_IDENTITY);
        let settled = if take_next {
            private_file::rename(&next, &self.folder.join(IDENTITY))
        } else {
            private_file::remove(&next)
        };
        settled.map_err(|error| HomeError::Io(next, error))
    }

    /// Removes everything of this user here: the account is gone.
    pub(crate) fn remove(&self) -> Result<(), HomeError> {
        fs::remove_dir_all(&self.folder).map_err(|error| HomeError::Io(self.folder.clone(), error))
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, HomeError> {
        let path = self.folder.join(name);
        private_file::read(&path).map_err(|error| HomeError::Io(path, error))
    }

    fn write(&self, name: &str, content: &impl Serialize) -> Result<(), HomeError> {
        let path = self.folder.join(name);
        private_file::write(&path, content).map_err(|error| HomeError::Io(path, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ana() -> Username {
        Username::parse("ana").unwrap()
    }

    #[test]
    fn two_programs_cannot_be_the_same_user_here() {
        let data = tempfile::tempdir().unwrap();
        let first = Home::open(data.path(), "127.0.0.1:6060", &ana()).unwrap();
        assert!(matches!(Home::open(data.path(), "127.0.0.1:6060", &ana()), Err(HomeError::InUse(_))));
        Home::open(data.path(), "127.0.0.1:7070", &ana()).unwrap();
        drop(first);
        Home::open(data.path(), "127.0.0.1:6060", &ana()).unwrap();
    }

    #[test]
    fn only_a_folder_made_in_vain_is_removed() {
        let data = tempfile::tempdir().unwrap();
        Home::open(data.path(), "t", &ana()).unwrap().abandon();
        assert!(!exists(data.path(), "t", &ana()));
        drop(Home::open(data.path(), "t", &ana()).unwrap());
        Home::open(data.path(), "t", &ana()).unwrap().abandon();
        assert!(exists(data.path(), "t", &ana()));
    }

    #[test]
    fn a_folder_moves_whole_unless_it_is_in_use_or_another_is_in_its_place() {
        let data = tempfile::tempdir().unwrap();
        let moved = |from, to| move_in(data.path(), &ana(), from, to);
        assert!(!moved("old:1", "new:1").unwrap(), "there is nothing to move");
        let home = Home::open(data.path(), "old:1", &ana()).unwrap();
        fs::write(home.folder().join(IDENTITY), "{}").unwrap();
        assert!(matches!(moved("old:1", "new:1"), Err(HomeError::InUse(_))));
        assert!(exists(data.path(), "old:1", &ana()) && !exists(data.path(), "new:1", &ana()));
        drop(home);
        assert!(moved("old:1", "new:1").unwrap());
        assert!(!exists(data.path(), "old:1", &ana()));
        assert_eq!(users(data.path(), "new:1"), BTreeSet::from([ana()]));
        drop(Home::open(data.path(), "old:1", &ana()).unwrap());
        assert!(!moved("old:1", "new:1").unwrap(), "another is in its place");
        assert!(exists(data.path(), "old:1", &ana()));
    }

    #[test]
    fn who_has_a_key_is_at_home() {
        let data = tempfile::tempdir().unwrap();
        assert!(users(data.path(), "t").is_empty());
        drop(Home::open(data.path(), "t", &ana()).unwrap());
        assert!(users(data.path(), "t").is_empty(), "a folder made in vain");
        fs::write(data.path().join("t/ana").join(IDENTITY), "{}").unwrap();
        assert_eq!(users(data.path(), "t"), BTreeSet::from([ana()]));
    }
}
