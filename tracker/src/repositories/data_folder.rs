//! The folder of the state: made, locked, read by its owner alone.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// Why the state cannot be read. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another tracker works there.
    #[error("{} is in use by another tracker: stop that one, or choose another folder with --data", .0.display())]
    Locked(PathBuf),
    /// The file holds something else than it should.
    #[error("{}, line {line}: {what}. Nothing was changed: put the file right or restore a backup", file.display())]
    Damaged {
        /// Which file.
        file: PathBuf,
        /// Which line of it, counted from 1.
        line: usize,
        /// What is wrong; no values.
        what: String,
    },
    /// Others than its owner can read a file that holds a secret.
    #[error("{} can be read by others on this computer. Run: chmod 600 {}", .0.display(), in_shell(.0))]
    Exposed(PathBuf),
    /// A journal without the file that it belongs to.
    #[error("{} is missing, but its journal is there: restore the file from a backup", .0.display())]
    Missing(PathBuf),
    /// The system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// What was to be read or made.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl OpenError {
    /// For `map_err`: what happened to which path.
    pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        |source| Self::Io { path: path.to_owned(), source }
    }
}

/// A path as a shell reads it, whatever characters it has.
fn in_shell(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

/// The folder, locked for as long as this lives.
#[derive(Debug)]
pub(crate) struct DataFolder {
    path: PathBuf,
    _lock: File,
}

impl DataFolder {
    /// Makes the folder where it does not exist, and locks it.
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        let lock_path = path.join("lock");
        let mut folder = fs::DirBuilder::new();
        folder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut folder, 0o700);
        folder.create(path).map_err(OpenError::at(path))?;
        sync_folder_of(path).map_err(OpenError::at(path))?;
        let lock = private_file()
            .create(true)
            .truncate(false)
            .open(&lock_path)
            .map_err(OpenError::at(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(OpenError::Locked(path.to_owned())),
            Err(TryLockError::Error(source)) => Err(OpenError::Io { path: lock_path, source }),
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Waits until the disk holds the name of a file or folder: without it what is in there cannot be found.
pub(crate) fn sync_folder_of(path: &Path) -> io::Result<()> {
    match path.parent() {
        _ if cfg!(not(unix)) => Ok(()),
        None => Ok(()),
        Some(folder) if folder.as_os_str().is_empty() => File::open(".")?.sync_all(),
        Some(folder) => File::open(folder)?.sync_all(),
    }
}

/// A file to read and write that nobody else may read.
pub(crate) fn private_file() -> OpenOptions {
    let mut options = File::options();
    options.read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}
