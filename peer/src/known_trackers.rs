//! Which key each tracker had when it was met first, in `known_trackers.json`: another one later stops the peer.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::{fs, io};

use commons::keys::PublicKey;

/// The trackers that were met from this folder.
#[derive(Debug, Clone)]
pub(crate) struct KnownTrackers {
    path: PathBuf,
}

impl KnownTrackers {
    /// Those of a data folder.
    pub(crate) fn of(data: &Path) -> Self {
        Self { path: data.join("known_trackers.json") }
    }

    /// The key of a tracker that was met.
    pub(crate) fn key(&self, address: &str) -> io::Result<Option<PublicKey>> {
        Ok(self.read()?.get(address).copied())
    }

    /// Remembers a tracker's key.
    pub(crate) fn pin(&self, address: &str, key: PublicKey) -> io::Result<()> {
        let mut known = self.read()?;
        if known.insert(address.to_owned(), key) == Some(key) {
            return Ok(());
        }
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        let aside = self.path.with_extension("new");
        fs::write(&aside, serde_json::to_vec_pretty(&known)?)?;
        fs::rename(&aside, &self.path)
    }

    fn read(&self) -> io::Result<BTreeMap<String, PublicKey>> {
        match fs::read(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(BTreeMap::new()),
            Err(error) => Err(error),
            Ok(bytes) => {
                let damaged =
                    |error| io::Error::other(format!("{} is damaged: {error}", self.path.display()));
                serde_json::from_slice(&bytes).map_err(damaged)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tracker_is_known_again() {
        let data = tempfile::tempdir().unwrap();
        let known = KnownTrackers::of(&data.path().join("not yet there"));
        let key = PublicKey::new([1; 32]);
        assert_eq!(known.key("127.0.0.1:6060").unwrap(), None);
        known.pin("127.0.0.1:6060", key).unwrap();
        assert_eq!(known.key("127.0.0.1:6060").unwrap(), Some(key));
        assert_eq!(known.key("127.0.0.1:7070").unwrap(), None);
        fs::write(data.path().join("not yet there/known_trackers.json"), "{").unwrap();
        assert!(known.key("127.0.0.1:6060").is_err());
    }
}
