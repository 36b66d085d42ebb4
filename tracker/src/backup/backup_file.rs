//! The file of a backup: it appears complete and checked, or not at all.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::backup::archive::{self, Damage};
use crate::backup::{Backup, BackupError};
use crate::limits::BACKUP_MAX;
use crate::repositories::data_files::{DataFiles, FilesByName};
use crate::repositories::data_folder::{OpenError, folder_of, open_at_once, read_regular, sync_folder_of};
use crate::repositories::found::Found;
use crate::repositories::snapshot::Snapshot;
use crate::repositories::trust::Trust;

/// The beginning of the name of a backup that is being written.
const TEMPORARY: &str = ".tracker-backup-";

/// A backup that is being written under a temporary name. It is removed when this is dropped.
#[derive(Debug)]
pub struct NewBackup {
    path: PathBuf,
    file: NamedTempFile,
}

impl NewBackup {
    /// Creates the temporary file beside the file that is to be written. That one must not exist.
    pub fn create(path: &Path) -> Result<Self, BackupError> {
        if fs::symlink_metadata(path).is_ok() {
            return Err(BackupError::Exists(path.to_owned()));
        }
        remove_stale(folder_of(path));
        let file = Self::create_locked(folder_of(path)).map_err(BackupError::at(path))?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Creates the temporary file and locks it. The lock shows that the file is in use.
    fn create_locked(folder: &Path) -> io::Result<NamedTempFile> {
        loop {
            // Its mode is 0600.
            let file = tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(folder)?;
            file.as_file().lock()?;
            // Another backup may have removed it before it was locked.
            if file.path().exists() {
                return Ok(file);
            }
        }
    }

    /// The path of the temporary file.
    pub fn temporary(&self) -> &Path {
        self.file.path()
    }

    /// The temporary file.
    pub fn file(&mut self) -> &mut File {
        self.file.as_file_mut()
    }

    /// Writes a backup of a stopped tracker to the temporary file.
    pub fn fill(&mut self, backup: &Backup) -> Result<(), BackupError> {
        let mut file = BufWriter::new(self.file.as_file_mut());
        backup.write(&mut file).and_then(|()| file.flush()).map_err(BackupError::at(&self.path))
    }

    /// Checks the file and gives it its name. Returns what it contains, for the operator.
    pub fn finish(self) -> Result<Vec<String>, BackupError> {
        let Self { path, file } = self;
        let failed = BackupError::at(&path);
        file.as_file().sync_all().map_err(failed)?;
        let counts = CheckedBackup::open_as(file.path(), &path)?.counts;
        let persisted = file.persist_noclobber(&path).map_err(|failed| failed.error);
        persisted.map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => BackupError::Exists(path.clone()),
            _ => BackupError::Io { path: path.clone(), source },
        })?;
        sync_folder_of(&path).map_err(BackupError::at(&path))?;
        Ok(vec![
            format!("{}: {counts}, checked", path.display()),
            "it contains the private key of the tracker: keep it from others, as the data folder".to_owned(),
        ])
    }
}

/// Removes the temporary files of backups that were killed: each holds the private key of a tracker. A file that is
/// locked is in use. Errors are no reason against the new backup.
fn remove_stale(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
            remove_if_stale(&entry.path());
        }
    }
}

fn remove_if_stale(path: &Path) {
    // A link, a pipe or the file of somebody else is not ours.
    let Ok(file) = open_at_once(path, File::options().read(true), false) else { return };
    if file.metadata().is_ok_and(|found| is_own(&found)) && file.try_lock().is_ok() {
        let _ = fs::remove_file(path);
    }
}

/// Whether this is a regular file of this user.
fn is_own(found: &fs::Metadata) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        found.is_file() && found.uid() == rustix::process::geteuid().as_raw()
    }
    #[cfg(not(unix))]
    found.is_file()
}

/// A backup that was read and checked as a start checks a data folder.
#[derive(Debug)]
pub(crate) struct CheckedBackup {
    /// The content of the backup.
    pub(crate) snapshot: Snapshot,
    /// The numbers of entries of each kind.
    pub(crate) counts: String,
    /// The lines about the content for the operator.
    pub(crate) report: Vec<String>,
}

impl CheckedBackup {
    /// Reads a backup into memory and checks it.
    pub(crate) fn open(path: &Path) -> Result<Self, BackupError> {
        Self::open_as(path, path)
    }

    /// Reads and checks a backup. Errors name the second path.
    fn open_as(path: &Path, name: &Path) -> Result<Self, BackupError> {
        let damaged = |damage| BackupError::Damaged { file: name.to_owned(), damage };
        let metadata = fs::metadata(path).map_err(BackupError::at(name))?;
        if !metadata.is_file() {
            return Err(damaged(Damage("it is no file".to_owned())));
        }
        if metadata.len() > BACKUP_MAX {
            return Err(damaged(Damage("it is larger than any backup".to_owned())));
        }
        let files = archive::read(|| read_regular(path).map(BufReader::new)).map_err(damaged)?;
        Self::of(name, &files).map_err(damaged)
    }

    fn of(path: &Path, files: &FilesByName) -> Result<Self, Damage> {
        let found = Found::read(DataFiles::InBackup(path, files), Trust::AsLeft).map_err(damage)?;
        let is_complete =
            found.manifest.as_ref().is_some_and(|manifest| files.len() == 2 + 2 * manifest.files.len());
        let (counts, report) = (found.counts(), found.report());
        let snapshot = Snapshot::of(found).filter(|_| is_complete);
        let snapshot =
            snapshot.ok_or_else(|| Damage("its files are not those of a data folder".to_owned()))?;
        let known = snapshot.files().map_err(|error| Damage(error.to_string()))?;
        match files.keys().find(|name| known.iter().all(|known| known.name != **name)) {
            Some(name) => Err(Damage(format!("this version does not know the file {name} in it"))),
            None => Ok(Self { snapshot, counts, report }),
        }
    }
}

/// The damage that an error of a data folder means for a backup. The advice for a folder would be wrong.
fn damage(error: OpenError) -> Damage {
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Damage(match error {
        OpenError::Damaged { file, line, what } => format!("{}, line {line}: {what}", name(&file)),
        OpenError::Missing(file) | OpenError::Lost(file) => format!("{} is missing in it", name(&file)),
        OpenError::NoAccount { room, owner, .. } => {
            format!("the room {room:?} belongs to {owner}, who has no account in it")
        }
        _ => "its files do not belong together".to_owned(),
    })
}
