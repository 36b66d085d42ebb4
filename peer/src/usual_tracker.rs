//! The usual tracker of a data folder: the address that a person typed where nobody answered at the default one, in
//! `usual_tracker.json`. The next start uses it if no address is given.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use commons::net::socket::host_and_port;

use crate::identity::atomic_file;

/// The address that is kept in a data folder.
#[derive(Debug, Clone)]
pub struct UsualTracker {
    path: PathBuf,
}

impl UsualTracker {
    /// The one of this data folder.
    #[must_use]
    pub fn of(data: &Path) -> Self {
        Self { path: data.join("usual_tracker.json") }
    }

    /// The address, `host:port`; `None` where none was typed.
    pub fn address(&self) -> io::Result<Option<String>> {
        let Some(address) = atomic_file::read::<String>(&self.path)? else { return Ok(None) };
        let damaged = |why| {
            let why =
                format!("{} is damaged: {why}. Remove it, or start with --tracker", self.path.display());
            io::Error::new(ErrorKind::InvalidData, why)
        };
        host_and_port(&address).map(Some).map_err(damaged)
    }

    /// Keeps an address, `host:port`, in place of the one before.
    pub fn remember(&self, address: &str) -> io::Result<()> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        atomic_file::write(&self.path, &address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_is_stored_and_a_damaged_one_is_refused() {
        let data = tempfile::tempdir().unwrap();
        let usual = UsualTracker::of(&data.path().join("not yet there"));
        assert_eq!(usual.address().unwrap(), None);
        for address in ["chat.example:6060", "127.0.0.1:7070"] {
            usual.remember(address).unwrap();
            assert_eq!(usual.address().unwrap().as_deref(), Some(address));
        }
        for damaged in ["\"chat.example\"", "\"chat", "7"] {
            fs::write(data.path().join("not yet there/usual_tracker.json"), damaged).unwrap();
            assert!(usual.address().unwrap_err().to_string().contains("usual_tracker.json"), "{damaged}");
        }
    }
}
