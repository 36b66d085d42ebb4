//! Backups: one file with the complete content of a data folder at one moment.
//!
//! The file is a tar archive of a data folder. Its last entry, `SHA256SUMS`, holds the digests of all others. A person
//! can therefore check and unpack it without this program. It contains the private key of the tracker, so only its owner
//! can read it.
//!
//! - `archive`: writes and reads the file. `backup_file`: puts it in place, and checks it.
//! - [`restore`]: makes a data folder of it.

pub(crate) mod archive;
pub mod backup_file;
pub mod restore;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::backup::archive::Damage;
use crate::repositories::data_files::DataFiles;
use crate::repositories::data_folder::{DataFolder, OpenError};
use crate::repositories::found::Found;
use crate::repositories::snapshot::{Snapshot, SnapshotSource};
use crate::repositories::trust::Trust;

/// The reason why a backup was not made or not restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The file to write exists.
    #[error("{} exists already, and was not changed. Choose another name, or remove it", .0.display())]
    Exists(PathBuf),
    /// The folder holds no data of a tracker.
    #[error("{} holds no data of a tracker: name its data folder with --data", .0.display())]
    NoData(PathBuf),
    /// The data folder cannot be read, or is in use.
    #[error(transparent)]
    Data(#[from] OpenError),
    /// The running tracker cannot take a snapshot at the moment.
    #[error("{0}")]
    Unavailable(String),
    /// The backup is damaged, incomplete or not a backup.
    #[error("{} is no complete backup: {damage}. Nothing was changed: use another backup", file.display())]
    Damaged {
        /// The path of the backup.
        file: PathBuf,
        /// The damage that was found first.
        damage: Damage,
    },
    /// The folder to restore to is not empty.
    #[error("{} is not empty, and was not changed. Restore into a new folder", .0.display())]
    NotEmpty(PathBuf),
    /// Somebody else can change the folder to restore to.
    #[error("{} can be changed by others on this computer, and was not changed. Restore into a new folder", .0.display())]
    Shared(PathBuf),
    /// The operating system reported an error.
    #[error("{}: {source}", path.display())]
    Io {
        /// The path that was to be read or written.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
}

impl BackupError {
    /// Returns a function for `map_err` that adds the path to an I/O error.
    pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        |source| Self::Io { path: path.to_owned(), source }
    }
}

/// Takes backups of a running tracker. A clone is cheap.
#[derive(Debug, Clone)]
pub struct BackupSource(SnapshotSource);

/// A backup that is not written yet. A running tracker has at most one of them.
#[derive(Debug)]
pub struct Backup {
    snapshot: Snapshot,
    time: SystemTime,
    /// Keeps a tracker from starting on the folder.
    _folder: Option<DataFolder>,
}

impl BackupSource {
    /// Creates the source of a running tracker.
    pub(crate) fn new(snapshots: SnapshotSource) -> Self {
        Self(snapshots)
    }

    /// Takes a backup. It contains every change that the tracker has confirmed before.
    pub async fn take(&self) -> Result<Backup, BackupError> {
        let snapshot = self.0.take().await.map_err(|error| BackupError::Unavailable(error.to_string()))?;
        Ok(Backup { snapshot, time: SystemTime::now(), _folder: None })
    }
}

impl Backup {
    /// Takes a backup of a data folder that no tracker uses. Locks the folder meanwhile.
    pub fn of_folder(data: &Path) -> Result<Self, BackupError> {
        if !data.is_dir() {
            return Err(BackupError::NoData(data.to_owned()));
        }
        let folder = DataFolder::open(data)?;
        let found = Found::read(DataFiles::InFolder(data), Trust::AsLeft)?;
        let snapshot = Snapshot::of(found).ok_or_else(|| BackupError::NoData(data.to_owned()))?;
        Ok(Self { snapshot, time: SystemTime::now(), _folder: Some(folder) })
    }

    /// Writes the backup.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        archive::write(&self.snapshot.files()?, self.time, out)
    }
}

/// Whether a tracker uses a data folder.
pub fn is_in_use(data: &Path) -> Result<bool, BackupError> {
    Ok(DataFolder::is_in_use(data)?)
}
