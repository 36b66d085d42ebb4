//! The folder of the state: made, locked, read by its owner alone.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use commons::names::Username;

/// Why the state cannot be read. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another tracker works there.
    #[error("{} is in use by another tracker: stop that one, or choose another folder with --data", .0.display())]
    Locked(PathBuf),
    /// The file holds something else than it should.
    #[error("{}, line {line}: {what}. Nothing was changed: restore a backup of the folder, or put the file right and run `tracker check --accept-edits {}`", file.display(), folder_of(file).display())]
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
    /// A JSON file is not there, though others are.
    #[error("{} is missing. Nothing was changed: restore a backup of the folder", .0.display())]
    Missing(PathBuf),
    /// Another file is not there, though it was.
    #[error("{} is missing. Nothing was changed: restore a backup of the folder, or go on without the file by `tracker check --accept-edits {}`", .0.display(), folder_of(.0).display())]
    Lost(PathBuf),
    /// The file is sound, but not the one that the tracker wrote.
    #[error("{} is not as the tracker left it. Nothing was changed: restore a backup of the folder, or take the file as it is by `tracker check --accept-edits {}`", .0.display(), folder_of(.0).display())]
    Changed(PathBuf),
    /// The file is from an earlier time than the one beside it.
    #[error("{} is older than {}. Nothing was changed: restore a backup of the whole folder, or take the files as they are by `tracker check --accept-edits {}`", file.display(), than.display(), folder_of(file).display())]
    Older {
        /// Which file.
        file: PathBuf,
        /// The other one.
        than: PathBuf,
    },
    /// A room of ours would go to the next one who takes its owner's name.
    #[error("{}: the room {room:?} belongs to {owner}, who has no account in users_db.json. Nothing was changed: restore a backup of the folder", folder.join("rooms_db.json").display())]
    NoAccount {
        /// The folder.
        folder: PathBuf,
        /// Which room.
        room: String,
        /// Whose it is.
        owner: Username,
    },
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
            Ok(()) => Ok(Self { _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(OpenError::Locked(path.to_owned())),
            Err(TryLockError::Error(source)) => Err(OpenError::Io { path: lock_path, source }),
        }
    }

    /// Whether a tracker works in a folder. Makes nothing there.
    pub(crate) fn is_in_use(path: &Path) -> Result<bool, OpenError> {
        let lock_path = path.join("lock");
        let lock = match File::open(&lock_path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            opened => opened.map_err(OpenError::at(&lock_path))?,
        };
        match lock.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(source)) => Err(OpenError::Io { path: lock_path, source }),
        }
    }
}

/// The folder of a file, for a message.
fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

/// Reads a file, if there is one.
pub(crate) fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, OpenError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(OpenError::at(path)(error)),
    }
}

/// Where a file is written before it takes its place.
pub(crate) fn aside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}

/// Puts a file with these bytes in a file's place, and waits for the disk. After a crash it is either the old or the new.
pub(crate) fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = aside(path);
    let mut file = private_file().create(true).truncate(true).open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    sync_folder_of(path)
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
