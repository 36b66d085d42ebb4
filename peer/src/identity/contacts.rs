//! Store of a user's contacts: the pinned keys of others and the blocked users.
//! The files are encrypted, so that a stolen disk does not show the user's friends.
//!
//! The encryption key is derived from the user's private key, which the password opens. A file that does not open is an
//! error and is never read as empty: without pins, an impostor would look like a first contact.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use commons::keys::Seed;
use commons::names::Username;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroize;

use crate::identity::atomic_file;
use crate::identity::known_keys::Pin;

/// Prefix of the digest that derives the encryption key of the files from the private key.
const DOMAIN: &[u8] = b"p2p-chat known people v1\0";

/// Version of the file format.
const VERSION: u8 = 1;

/// Description of one of the files.
struct ContactsFile {
    /// Name of the file, authenticated with its content: a file that is copied over another one does not open.
    name: &'static str,
    /// Consequence of removing the file, as the error message says it.
    without: &'static str,
}

const PINS: ContactsFile = ContactsFile {
    name: "known_keys",
    without: "then every contact counts as new, with the key that the tracker announces, and /verify must be repeated",
};
const ACCEPTED: ContactsFile = ContactsFile {
    name: "accepted_chats",
    without: "then chats in which you never wrote are requests again",
};
const MUTED: ContactsFile = ContactsFile { name: "muted", without: "then nobody is muted" };
const BLOCKED: ContactsFile = ContactsFile { name: "blocked", without: "then nobody is blocked" };

/// Content of a file on the disk. The texts are hex.
#[derive(Serialize, Deserialize)]
struct Sealed {
    version: u8,
    nonce: String,
    sealed: String,
}

/// Reason why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ContactsError {
    /// The file does not hold what this user's key sealed under that name.
    #[error(
        "{path} is damaged, or was written under another key. Restore it from a backup, or move it away: {without}"
    )]
    Damaged {
        /// Path of the damaged file.
        path: PathBuf,
        /// Consequence of removing the file.
        without: &'static str,
    },
    /// A later version of this program wrote the file.
    #[error("{0} was written by a later version of this program: start that version")]
    Newer(PathBuf),
    /// Reading or writing the file failed.
    #[error("cannot use {0}: {1}")]
    Io(PathBuf, io::Error),
}

/// The contact files in a user's folder, and the cipher that opens them.
pub(crate) struct Contacts {
    folder: PathBuf,
    cipher: XChaCha20Poly1305,
    writing: Mutex<()>,
}

impl Contacts {
    /// Opens the contacts in `folder` with the user's private key.
    pub(crate) fn of(folder: &Path, seed: &Seed) -> Self {
        // 256 random bits need no stretching.
        let mut key = Sha256::new().chain_update(DOMAIN).chain_update(seed.as_bytes()).finalize();
        let cipher = XChaCha20Poly1305::new(&key);
        key[..].zeroize();
        Self { folder: folder.to_owned(), cipher, writing: Mutex::default() }
    }

    /// Reads the pinned keys of all contacts.
    pub(crate) fn pins(&self) -> Result<BTreeMap<Username, Pin>, ContactsError> {
        self.read(&PINS)
    }

    /// Writes the pinned keys. `latest` is called under the lock, so the last of several concurrent writes holds the
    /// newest state.
    pub(crate) fn store_pins(
        &self,
        latest: impl FnOnce() -> BTreeMap<Username, Pin>,
    ) -> Result<(), ContactsError> {
        let _turn = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        self.write(&PINS, &latest())
    }

    /// Reads the users whose private messages are dropped.
    pub(crate) fn blocked(&self) -> Result<BTreeSet<Username>, ContactsError> {
        self.read(&BLOCKED)
    }

    /// Writes the users whose private messages are dropped.
    pub(crate) fn store_blocked(&self, users: &BTreeSet<Username>) -> Result<(), ContactsError> {
        self.write(&BLOCKED, users)
    }

    /// Reads the users whose private chats were accepted by a command.
    pub(crate) fn accepted(&self) -> Result<BTreeSet<Username>, ContactsError> {
        self.read(&ACCEPTED)
    }

    /// Writes the users whose private chats were accepted by a command.
    pub(crate) fn store_accepted(&self, users: &BTreeSet<Username>) -> Result<(), ContactsError> {
        self.write(&ACCEPTED, users)
    }

    /// Reads the users whose messages in rooms are not shown as they come.
    pub(crate) fn muted(&self) -> Result<BTreeSet<Username>, ContactsError> {
        self.read(&MUTED)
    }

    /// Writes the users whose messages in rooms are not shown as they come.
    pub(crate) fn store_muted(&self, users: &BTreeSet<Username>) -> Result<(), ContactsError> {
        self.write(&MUTED, users)
    }

    /// Reads a file; a missing file gives an empty value. An unencrypted file of an earlier version is migrated, and
    /// removed once the encrypted one is durable. It is ignored and removed if an encrypted one exists.
    fn read<T: Serialize + DeserializeOwned + Default>(
        &self,
        file: &ContactsFile,
    ) -> Result<T, ContactsError> {
        let (path, readable) = (self.path(file), self.folder.join(file.name).with_extension("json"));
        let known = match load::<Sealed>(&path, file)? {
            Some(sealed) => self.open(&sealed, path.clone(), file)?,
            None => match load(&readable, file)? {
                Some(known) => {
                    self.write(file, &known)?;
                    known
                }
                None => T::default(),
            },
        };
        // A half-written file that a crash left behind may be unencrypted too.
        for left in [readable, path.with_extension("new")] {
            atomic_file::remove(&left).map_err(|error| ContactsError::Io(left, error))?;
        }
        Ok(known)
    }

    fn open<T: DeserializeOwned>(
        &self,
        sealed: &Sealed,
        path: PathBuf,
        file: &ContactsFile,
    ) -> Result<T, ContactsError> {
        if sealed.version != VERSION {
            return Err(ContactsError::Newer(path));
        }
        let opened = || {
            let unhex = |text| base16ct::lower::decode_vec(text).ok();
            let nonce: [u8; 24] = unhex(&sealed.nonce)?.try_into().ok()?;
            let payload = Payload { msg: &unhex(&sealed.sealed)?, aad: file.name.as_bytes() };
            serde_json::from_slice(&self.cipher.decrypt(&nonce.into(), payload).ok()?).ok()
        };
        opened().ok_or(ContactsError::Damaged { path, without: file.without })
    }

    fn write(&self, file: &ContactsFile, known: &impl Serialize) -> Result<(), ContactsError> {
        let path = self.path(file);
        let sealed = self.seal(file, known);
        sealed
            .and_then(|sealed| atomic_file::write(&path, &sealed))
            .map_err(|error| ContactsError::Io(path, error))
    }

    fn seal(&self, file: &ContactsFile, known: &impl Serialize) -> io::Result<Sealed> {
        let mut nonce = [0; 24];
        nonce.copy_from_slice(&Seed::random()?.as_bytes()[..24]);
        let payload = Payload { msg: &serde_json::to_vec(known)?, aad: file.name.as_bytes() };
        let sealed = self.cipher.encrypt(&nonce.into(), payload).map_err(io::Error::other)?;
        let hex = base16ct::lower::encode_string;
        Ok(Sealed { version: VERSION, nonce: hex(&nonce), sealed: hex(&sealed) })
    }

    fn path(&self, file: &ContactsFile) -> PathBuf {
        self.folder.join(file.name).with_extension("sealed")
    }
}

/// Loads a file as it is. The error does not reveal the content.
fn load<T: DeserializeOwned>(path: &Path, file: &ContactsFile) -> Result<Option<T>, ContactsError> {
    atomic_file::read(path).map_err(|error| match error.kind() {
        ErrorKind::InvalidData => ContactsError::Damaged { path: path.to_owned(), without: file.without },
        _ => ContactsError::Io(path.to_owned(), error),
    })
}

impl std::fmt::Debug for Contacts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Contacts").field("folder", &self.folder).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use commons::keys::PublicKey;

    use super::*;

    fn bob() -> Username {
        Username::parse("bob").unwrap()
    }

    fn pins() -> BTreeMap<Username, Pin> {
        BTreeMap::from([(bob(), Pin { keys: vec![PublicKey::new([2; 32])], ..Pin::default() })])
    }

    /// Writes two files that both contain bob.
    fn contacts_in(folder: &Path) -> Contacts {
        let contacts = Contacts::of(folder, &Seed::new([7; 32]));
        contacts.store_pins(pins).unwrap();
        contacts.store_blocked(&BTreeSet::from([bob()])).unwrap();
        contacts
    }

    fn names_in(folder: &Path) -> Vec<String> {
        let names =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn contacts_are_read_again_and_stored_encrypted() {
        let folder = tempfile::tempdir().unwrap();
        let empty = Contacts::of(folder.path(), &Seed::new([7; 32]));
        assert!(empty.pins().unwrap().is_empty() && empty.blocked().unwrap().is_empty());
        contacts_in(folder.path());
        let contacts = Contacts::of(folder.path(), &Seed::new([7; 32]));
        assert_eq!(contacts.pins().unwrap(), pins());
        assert_eq!(contacts.blocked().unwrap(), BTreeSet::from([bob()]));
        assert_eq!(names_in(folder.path()), ["blocked.sealed", "known_keys.sealed"]);
        for name in names_in(folder.path()) {
            assert!(!fs::read_to_string(folder.path().join(name)).unwrap().contains("bob"));
        }
    }

    #[test]
    fn any_flipped_bit_is_an_error_that_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let contacts = contacts_in(folder.path());
        let path = folder.path().join("known_keys.sealed");
        let whole = fs::read(&path).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&whole).unwrap();
        let mut damaged = 0;
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            // Other white space leaves the JSON value as it was.
            if serde_json::from_slice(&changed).is_ok_and(|other: serde_json::Value| other == value) {
                continue;
            }
            fs::write(&path, changed).unwrap();
            let error = contacts.pins().unwrap_err().to_string();
            assert!(error.contains("known_keys.sealed") && !error.contains("bob"), "{at}: {error}");
            damaged += 1;
        }
        assert!(damaged > 200, "only {damaged} flips counted");
        for cut in [0, 1, whole.len() / 2, whole.len() - 1] {
            fs::write(&path, &whole[..cut]).unwrap();
            assert!(matches!(contacts.pins(), Err(ContactsError::Damaged { .. })), "cut at {cut}");
        }
        // The failed reads changed nothing, and the damage was the only obstacle.
        fs::write(&path, whole).unwrap();
        assert_eq!(contacts.pins().unwrap(), pins());
    }

    #[test]
    fn neither_another_users_key_nor_another_place_opens_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let contacts = contacts_in(folder.path());
        let other = Contacts::of(folder.path(), &Seed::new([8; 32]));
        assert!(matches!(other.pins(), Err(ContactsError::Damaged { .. })));
        fs::copy(folder.path().join("known_keys.sealed"), folder.path().join("blocked.sealed")).unwrap();
        let error = contacts.blocked().unwrap_err().to_string();
        assert!(error.contains("blocked.sealed") && error.contains("then nobody is blocked"), "{error}");
        // Without the check of the name, an empty list of users would be read as empty pins.
        contacts.store_blocked(&BTreeSet::new()).unwrap();
        fs::copy(folder.path().join("blocked.sealed"), folder.path().join("known_keys.sealed")).unwrap();
        assert!(matches!(contacts.pins(), Err(ContactsError::Damaged { .. })));
    }

    #[test]
    fn readable_file_is_migrated_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let contacts = Contacts::of(folder.path(), &Seed::new([7; 32]));
        let path = |name: &str| folder.path().join(name);
        atomic_file::write(&path("known_keys.json"), &pins()).unwrap();
        atomic_file::write(&path("blocked.json"), &[bob()]).unwrap();
        fs::write(path("known_keys.new"), "{\"bob\"").unwrap();
        fs::write(path("blocked.new"), "[\"bob\"").unwrap();
        assert_eq!(contacts.pins().unwrap(), pins());
        assert_eq!(contacts.blocked().unwrap(), BTreeSet::from([bob()]));
        assert_eq!(names_in(folder.path()), ["blocked.sealed", "known_keys.sealed"]);
        // An unencrypted file that a crash or somebody else left beside an encrypted one is ignored.
        atomic_file::write(&path("known_keys.json"), &BTreeMap::<Username, Pin>::new()).unwrap();
        assert_eq!(contacts.pins().unwrap(), pins());
        assert!(!path("known_keys.json").exists());
    }

    #[test]
    fn a_readable_file_that_is_damaged_stays() {
        let folder = tempfile::tempdir().unwrap();
        let contacts = Contacts::of(folder.path(), &Seed::new([7; 32]));
        fs::write(folder.path().join("known_keys.json"), "{\"bob\"").unwrap();
        let error = contacts.pins().unwrap_err().to_string();
        assert!(error.contains("known_keys.json") && !error.contains("bob"), "{error}");
        assert_eq!(names_in(folder.path()), ["known_keys.json"]);
    }
}
