//! The known trackers: the key that each tracker had at the first meeting, stored in `known_trackers.json`.
//! If a tracker has another key later, the peer refuses to sign in.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use commons::keys::PublicKey;

use crate::identity::atomic_file;

/// The trackers that were met from one data folder.
#[derive(Debug, Clone)]
pub(crate) struct KnownTrackers {
    path: PathBuf,
}

impl KnownTrackers {
    /// The known trackers of a data folder.
    pub(crate) fn of(data: &Path) -> Self {
        Self { path: data.join("known_trackers.json") }
    }

    /// The pinned key of the tracker at this address, if it was met before.
    pub(crate) fn key(&self, address: &str) -> io::Result<Option<PublicKey>> {
        Ok(self.read()?.get(address).copied())
    }

    /// The known trackers at other addresses. One of them may have moved here, or be the same tracker under another
    /// name.
    pub(crate) fn elsewhere(&self, here: &str) -> io::Result<BTreeMap<String, PublicKey>> {
        let mut known = self.read()?;
        known.remove(here);
        Ok(known)
    }

    /// Pins the key of a tracker.
    pub(crate) fn pin(&self, address: &str, key: PublicKey) -> io::Result<()> {
        if self.key(address)? == Some(key) {
            return Ok(());
        }
        let folder = self.path.parent().unwrap_or_else(|| Path::new("."));
        fs::create_dir_all(folder)?;
        // Several programs may share one data folder, so the folder is locked from the read to the write.
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
