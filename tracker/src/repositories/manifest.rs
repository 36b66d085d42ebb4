//! The manifest: the generation and the digest of each JSON file, by which a damaged, missing or older file is noticed.
//!
//! A fold announces the digest of the new JSON file here before that file takes the old one's place. So after a crash at
//! any point the JSON file is one of the two that the manifest names.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use commons::keys::PublicKey;
use serde::{Deserialize, Serialize};

use crate::repositories::data_folder::{OpenError, read_if_there, replace_file};

/// The manifest's name in its folder.
pub(crate) const FILE: &str = "manifest.json";

/// What is known of a JSON file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileState {
    /// Counts the folds. The journal that names the same generation belongs to the file. 0 is that of a file that was
    /// taken over, whose journal names none.
    pub(crate) generation: u64,
    /// SHA-256 of the file in hex digits; absent where there is no file yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sha256: Option<String>,
    /// SHA-256 of the file that a fold is about to put in its place, as the next generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) next_sha256: Option<String>,
}

/// What a manifest says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entries {
    /// The JSON files by name.
    pub(crate) files: BTreeMap<String, FileState>,
    /// The tracker's public key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tracker_key: Option<PublicKey>,
}

/// The form of the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    manifest: Entries,
    crc: String,
}

/// The manifest of a folder that is in use.
#[derive(Debug)]
pub(crate) struct Manifest {
    path: PathBuf,
    entries: Mutex<Entries>,
}

impl Entries {
    /// Reads a folder's manifest, if there is one.
    pub(crate) fn read(folder: &Path) -> Result<Option<Self>, OpenError> {
        let path = folder.join(FILE);
        let Some(bytes) = read_if_there(&path)? else { return Ok(None) };
        let damaged =
            |line, what: &str| OpenError::Damaged { file: path.clone(), line, what: what.to_owned() };
        let stored: Stored = serde_json::from_slice(&bytes)
            .map_err(|error| damaged(error.line().max(1), "this is no manifest"))?;
        // To the letter, so that no damage passes for another way of writing the same.
        match stored.manifest.encode() {
            Ok(encoded) if encoded == bytes => Ok(Some(stored.manifest)),
            _ => Err(damaged(1, "the checksum does not match")),
        }
    }

    fn encode(&self) -> io::Result<Vec<u8>> {
        let crc = format!("{:08x}", crc32fast::hash(&serde_json::to_vec(self)?));
        let mut bytes = serde_json::to_vec_pretty(&Stored { manifest: self.clone(), crc })?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}

impl Manifest {
    /// The manifest of a folder, which says this until it is updated.
    pub(crate) fn new(folder: &Path, entries: Entries) -> Self {
        Self { path: folder.join(FILE), entries: Mutex::new(entries) }
    }

    /// Changes what it says, and waits for the disk. After an error either is on the disk, the old or the new.
    pub(crate) fn update(&self, change: impl FnOnce(&mut Entries)) -> io::Result<()> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = entries.clone();
        change(&mut changed);
        if changed != *entries {
            replace_file(&self.path, &changed.encode()?)?;
            *entries = changed;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_flipped_bit_of_the_manifest_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let manifest = Manifest::new(folder.path(), Entries::default());
        let state = FileState { generation: 3, sha256: Some("ab".repeat(32)), next_sha256: None };
        let key = PublicKey::new([7; 32]);
        manifest.update(|entries| drop(entries.files.insert("users_db.json".to_owned(), state))).unwrap();
        manifest.update(|entries| entries.tracker_key = Some(key)).unwrap();
        let read = || Entries::read(folder.path());
        assert_eq!(read().unwrap().unwrap().tracker_key, Some(key));
        let path = folder.path().join(FILE);
        let good = std::fs::read(&path).unwrap();
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                std::fs::write(&path, bad).unwrap();
                assert!(read().is_err(), "bit {bit} of byte {at}");
            }
        }
    }
}
