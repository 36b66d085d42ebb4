//! The manifest of a data folder: the generation and the digest of each JSON file.
//!
//! The tracker uses it to detect a damaged, missing or outdated file. A compaction writes the digest of the new JSON
//! file to the manifest before it replaces the old file. After a crash at any point, the JSON file is therefore one of
//! the two that the manifest names.
//!
//! Example: during the compaction of generation 4, the manifest holds `generation: 4`, `sha256` of the old file and
//! `next_sha256` of the new file.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use commons::keys::PublicKey;
use serde::{Deserialize, Serialize};

use crate::repositories::data_files::DataFiles;
use crate::repositories::data_folder::{OpenError, replace_file};

/// The file name of the manifest in the data folder.
pub(crate) const FILE: &str = "manifest.json";

/// The recorded state of one JSON file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileState {
    /// The number of compactions of the file. The journal with the same generation belongs to the file. Generation 0 is
    /// a migrated file whose journal names no generation.
    pub(crate) generation: u64,
    /// The SHA-256 digest of the file in hex digits. Absent if there is no file yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sha256: Option<String>,
    /// The SHA-256 digest of the file that a running compaction is about to put in place, as the next generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) next_sha256: Option<String>,
}

/// The content of a manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entries {
    /// The states of the JSON files by file name.
    pub(crate) files: BTreeMap<String, FileState>,
    /// The public key of the tracker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tracker_key: Option<PublicKey>,
}

/// The layout of the manifest file: its content and a CRC-32.
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
    /// Reads the manifest of a data folder. Returns `None` if there is no manifest.
    pub(crate) fn read(files: DataFiles<'_>) -> Result<Option<Self>, OpenError> {
        let path = files.path().join(FILE);
        let Some(bytes) = files.read(FILE)? else { return Ok(None) };
        let damaged =
            |line, what: &str| OpenError::Damaged { file: path.clone(), line, what: what.to_owned() };
        let stored: Stored = serde_json::from_slice(&bytes)
            .map_err(|error| damaged(error.line().max(1), "this is not a manifest"))?;
        // The comparison is byte for byte, so that no damaged byte passes as another spelling of the same JSON.
        match stored.manifest.encode() {
            Ok(encoded) if encoded == bytes => Ok(Some(stored.manifest)),
            _ => Err(damaged(1, "the checksum does not match")),
        }
    }

    /// Encodes the manifest file.
    pub(crate) fn encode(&self) -> io::Result<Vec<u8>> {
        let crc = format!("{:08x}", crc32fast::hash(&serde_json::to_vec(self)?));
        let mut bytes = serde_json::to_vec_pretty(&Stored { manifest: self.clone(), crc })?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}

impl Manifest {
    /// Creates the manifest of a folder with its current content.
    pub(crate) fn new(folder: &Path, entries: Entries) -> Self {
        Self { path: folder.join(FILE), entries: Mutex::new(entries) }
    }

    /// Changes the content and waits for the disk. After an error, the disk holds either the old or the new content.
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
        let read = || Entries::read(DataFiles::InFolder(folder.path()));
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
