//! Which key each tracker had when it was met first, in `known_trackers.json`: another one later stops the peer.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use commons::keys::PublicKey;

use crate::identity::atomic_file;

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

    /// Which trackers were met at other addresses: one may have moved here, or have two names for one address.
    pub(crate) fn elsewhere(&self, here: &str) -> io::Result<BTreeMap<String, PublicKey>> {
        let mut known = self.read()?;
        known.remove(here);
        Ok(known)
    }

    /// Remembers a tracker's key.
    pub(crate) fn pin(&self, address: &str, key: PublicKey) -> io::Result<()> {
        if self.key(address)? == Some(key) {
            return Ok(());
        }
        let folder = self.path.parent().unwrap_or_else(|| Path::new("."));
        fs::create_dir_all(folder)?;
        // Several programs may use one data folder: between reading and writing nobody else may write.
        let lock = File::open(folder)?;
        lock.lock()?;
        let mut known = self.read()?;
        known.insert(address.to_owned(), key);
        atomic_file::write(&self.path, &known)
    }

    fn read(&self) -> io::Result<BTreeMap<String, PublicKey>> {
        Ok(atomic_file::read(&self.path)?.unwrap_or_default())
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
        known.pin("localhost:6060", key).unwrap();
        let elsewhere = known.elsewhere("127.0.0.1:6060").unwrap();
        assert_eq!(elsewhere, BTreeMap::from([("localhost:6060".to_owned(), key)]));
        fs::write(data.path().join("not yet there/known_trackers.json"), "{").unwrap();
        assert!(known.key("127.0.0.1:6060").is_err());
    }

    #[test]
    fn two_programs_pin_at_once_and_both_pins_stay() {
        let data = tempfile::tempdir().unwrap();
        let known = KnownTrackers::of(data.path());
        let programs: Vec<_> = (0..8)
            .map(|program| {
                let known = known.clone();
                std::thread::spawn(move || {
                    for n in 0..20 {
                        known
                            .pin(&format!("tracker-{program}-{n}:1"), PublicKey::new([program; 32]))
                            .unwrap();
                    }
                })
            })
            .collect();
        programs.into_iter().for_each(|program| program.join().unwrap());
        assert_eq!(known.elsewhere("").unwrap().len(), 160);
    }
}
