//! A snapshot of all collections at one moment, for a backup.
//!
//! The writer threads of a running tracker all pause before the first of them goes on. A snapshot is therefore the state
//! that a crash at that moment would have left on the disk, with the changes in memory too. Every change that was
//! confirmed before is in it.

use std::io::{self, Write};
use std::sync::Arc;

use commons::keys::Seed;
use commons::peer::Peer;
use commons::room::Room;
use sha2::{Digest, Sha256};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::timeout;

use crate::limits::SNAPSHOT_TIME;
use crate::repositories::admin::Admin;
use crate::repositories::ban::Ban;
use crate::repositories::collection::Collection;
use crate::repositories::found::Found;
use crate::repositories::frozen_entries::{FrozenEntries, WriteEntries};
use crate::repositories::journal::Header;
use crate::repositories::json_file::{file_name, hex, journal_name};
use crate::repositories::manifest::{self, Entries, FileState};
use crate::repositories::tracker_key;
use crate::repositories::update::StorageError;
use crate::repositories::user::Account;

/// The generation of the files of a snapshot. The next start on them begins another one.
const GENERATION: u64 = 1;

/// The complete content of a data folder at one moment.
#[derive(Debug)]
pub(crate) struct Snapshot {
    users: FrozenEntries<Account>,
    rooms: FrozenEntries<Room>,
    peers: FrozenEntries<Peer>,
    admins: FrozenEntries<Admin>,
    bans: FrozenEntries<Ban>,
    key: Seed,
    /// Prevents a second snapshot of a running tracker at the same time.
    _gate: Option<OwnedMutexGuard<()>>,
}

/// The reason why there is no snapshot of a running tracker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SnapshotError {
    /// There is another snapshot, which is still being written to a file.
    #[error("another backup is running: try again when it is complete")]
    Busy,
    /// The writer threads did not all pause in time.
    #[error("the disk of the tracker is too slow at the moment: try again later")]
    Slow,
    /// The collections are closed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Takes snapshots of the collections of a running tracker. A clone is cheap.
#[derive(Debug, Clone)]
pub(crate) struct SnapshotSource {
    /// The user accounts.
    pub(crate) users: Collection<Account>,
    /// The rooms of the tracker.
    pub(crate) rooms: Collection<Room>,
    /// The peer records.
    pub(crate) peers: Collection<Peer>,
    /// The accounts that are admins.
    pub(crate) admins: Collection<Admin>,
    /// The banned users and addresses.
    pub(crate) bans: Collection<Ban>,
    /// The tracker's key.
    pub(crate) key: Seed,
    /// The lock that a snapshot holds.
    pub(crate) gate: Arc<Mutex<()>>,
}

impl SnapshotSource {
    /// Takes a snapshot. Changes that arrive meanwhile wait until it is complete.
    pub(crate) async fn take(&self) -> Result<Snapshot, SnapshotError> {
        // Two snapshots at once could wait for each other's writer threads for ever.
        let gate = self.gate.clone().try_lock_owned().map_err(|_| SnapshotError::Busy)?;
        let Self { users, rooms, peers, admins, bans, .. } = self;
        let pauses = async {
            tokio::try_join!(users.pause(), rooms.pause(), peers.pause(), admins.pause(), bans.pause())
        };
        let paused = timeout(SNAPSHOT_TIME, pauses).await.map_err(|_| SnapshotError::Slow)?;
        // The writer threads go on when the pauses are dropped, at the end of this function.
        let ((users, _users), (rooms, _rooms), (peers, _peers), (admins, _admins), (bans, _bans)) = paused?;
        Ok(Snapshot { users, rooms, peers, admins, bans, key: self.key.clone(), _gate: Some(gate) })
    }
}

impl Snapshot {
    /// Takes the content of a data folder that no tracker uses. Returns `None` if no tracker has used it before.
    pub(crate) fn of(found: Found) -> Option<Self> {
        let Found { users, rooms, peers, admins, bans, key, manifest: _, notes: _ } = found;
        let key = key?.seed;
        let (users, rooms, peers) = (users.contents.into(), rooms.contents.into(), peers.contents.into());
        let (admins, bans) = (admins.contents.into(), bans.contents.into());
        Some(Self { users, rooms, peers, admins, bans, key, _gate: None })
    }

    /// Raises the revision of each room to at least this one.
    pub(crate) fn raise_revisions(&mut self, revision: u64) {
        for room in self.rooms.entries.values_mut().map(Arc::make_mut) {
            room.revision = room.revision.max(revision);
        }
    }

    /// The files of a data folder with this content, as an orderly stop leaves them. The manifest is the last one.
    pub(crate) fn files(&self) -> io::Result<Vec<SnapshotFile<'_>>> {
        let mut files = Vec::new();
        let mut known = Entries { tracker_key: Some(self.key.public_key()), ..Entries::default() };
        let parts: [(&str, &dyn WriteEntries); 5] = [
            ("users", &self.users),
            ("rooms", &self.rooms),
            ("peers", &self.peers),
            ("admins", &self.admins),
            ("bans", &self.bans),
        ];
        for (name, entries) in parts {
            let json = SnapshotFile::new(file_name(name), Content::Entries(entries))?;
            let state =
                FileState { generation: GENERATION, sha256: Some(json.sha256.clone()), next_sha256: None };
            known.files.insert(file_name(name), state);
            files.push(json);
            let journal = Header::new(name, GENERATION).line()?;
            files.push(SnapshotFile::new(journal_name(name), Content::Bytes(journal))?);
        }
        let key = tracker_key::written(&self.key).into_bytes();
        files.push(SnapshotFile::new(tracker_key::FILE.to_owned(), Content::Bytes(key))?);
        files.push(SnapshotFile::new(manifest::FILE.to_owned(), Content::Bytes(known.encode()?))?);
        Ok(files)
    }
}

/// A file of a snapshot. It is encoded each time that it is written, so that a large one needs no memory.
pub(crate) struct SnapshotFile<'a> {
    /// The name of the file in the data folder.
    pub(crate) name: String,
    /// The size in bytes.
    pub(crate) size: u64,
    /// The SHA-256 digest in hex digits.
    pub(crate) sha256: String,
    content: Content<'a>,
}

enum Content<'a> {
    Bytes(Vec<u8>),
    Entries(&'a dyn WriteEntries),
}

/// Counts and digests the bytes of a file.
struct Measure(u64, Sha256);

impl Write for Measure {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        self.1.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> SnapshotFile<'a> {
    fn new(name: String, content: Content<'a>) -> io::Result<Self> {
        let mut file = Self { name, size: 0, sha256: String::new(), content };
        let mut measure = Measure(0, Sha256::new());
        file.write(&mut measure)?;
        (file.size, file.sha256) = (measure.0, hex(measure.1));
        Ok(file)
    }

    /// Writes the content of the file.
    pub(crate) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        match &self.content {
            Content::Bytes(bytes) => out.write_all(bytes),
            Content::Entries(entries) => entries.write_json(out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repositories::Repositories;

    #[tokio::test]
    async fn a_second_snapshot_is_refused_until_the_first_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let repositories = Repositories::open(folder.path()).unwrap();
        let source = repositories.snapshots();
        let first = source.take().await.unwrap();
        assert_eq!(source.clone().take().await.err(), Some(SnapshotError::Busy));
        drop(first);
        assert!(source.take().await.is_ok());
        // No writer thread is paused any more.
        repositories.close().await.unwrap();
        assert_eq!(source.take().await.err(), Some(SnapshotError::Storage(StorageError::Closed)));
    }
}
