//! The data folder of the tracker.
//! The tracker creates it, locks it, and keeps other users of the computer out.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use commons::names::Username;

/// The reason why the data folder cannot be opened. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another tracker uses the folder.
    #[error("{} is in use by another tracker: stop that one, or choose another folder with --data", .0.display())]
    Locked(PathBuf),
    /// A file is damaged: it does not have the expected content.
    #[error("{}, line {line}: {what}. Nothing was changed: restore a backup of the folder, or put the file right and run `tracker check --accept-edits {}`", file.display(), folder_of(file).display())]
    Damaged {
        /// The damaged file.
        file: PathBuf,
        /// The number of the damaged line, counted from 1.
        line: usize,
        /// The error text that says what is wrong. It contains no values.
        what: String,
    },
    /// Other users of the computer can read a file that holds a secret.
    #[error("{} can be read by others on this computer. Run: chmod 600 {}", .0.display(), in_shell(.0))]
    Exposed(PathBuf),
    /// A JSON file is missing, although other files are there.
    #[error("{} is missing. Nothing was changed: restore a backup of the folder", .0.display())]
    Missing(PathBuf),
    /// A journal, the manifest or the key file is missing, although it was there before.
    #[error("{} is missing. Nothing was changed: restore a backup of the folder, or go on without the file by `tracker check --accept-edits {}`", .0.display(), folder_of(.0).display())]
    Lost(PathBuf),
    /// The file is well formed, but it is not the one that the tracker wrote.
    #[error("{} is not as the tracker left it. Nothing was changed: restore a backup of the folder, or take the file as it is by `tracker check --accept-edits {}`", .0.display(), folder_of(.0).display())]
    Changed(PathBuf),
    /// The file is older than another file of the folder.
    #[error("{} is older than {}. Nothing was changed: restore a backup of the whole folder, or take the files as they are by `tracker check --accept-edits {}`", file.display(), than.display(), folder_of(file).display())]
    Older {
        /// The outdated file.
        file: PathBuf,
        /// The newer file.
        than: PathBuf,
    },
    /// The owner of a room has no account. The next user who registers that name would get the room.
    #[error("{}: the room {room:?} belongs to {owner}, who has no account in users_db.json. Nothing was changed: restore a backup of the folder", folder.join("rooms_db.json").display())]
    NoAccount {
        /// The data folder.
        folder: PathBuf,
        /// The name of the room.
        room: String,
        /// The owner of the room.
        owner: Username,
    },
    /// No tracker has used the folder.
    #[error("{} holds no data of a tracker: name its data folder with --data", .0.display())]
    NoTracker(PathBuf),
    /// The operating system reported an error.
    #[error("{}: {source}", path.display())]
    Io {
        /// The path that was to be read or created.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
}

impl OpenError {
    /// Returns a function for `map_err` that adds the path to an I/O error.
    pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        |source| Self::Io { path: path.to_owned(), source }
    }
}

/// Quotes a path for a shell, whatever characters it contains.
fn in_shell(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

/// The data folder, locked for the lifetime of this value.
#[derive(Debug)]
pub(crate) struct DataFolder {
    _lock: File,
}

impl DataFolder {
    /// Creates the folder if it does not exist, and locks it.
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        Self::create(path)?;
        Self::lock(path, |lock| open_private(lock, &mut private_file()))
    }

    /// Locks an existing folder that has no lock file yet.
    pub(crate) fn lock_new(path: &Path) -> Result<Self, OpenError> {
        Self::lock(path, create_private)
    }

    /// Creates the folder if it does not exist.
    pub(crate) fn create(path: &Path) -> Result<(), OpenError> {
        let mut folder = fs::DirBuilder::new();
        folder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut folder, 0o700);
        folder.create(path).map_err(OpenError::at(path))?;
        sync_folder_of(path).map_err(OpenError::at(path))
    }

    fn lock(path: &Path, open: impl FnOnce(&Path) -> io::Result<File>) -> Result<Self, OpenError> {
        let lock_path = path.join("lock");
        let lock = open(&lock_path).map_err(OpenError::at(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(OpenError::Locked(path.to_owned())),
            Err(TryLockError::Error(source)) => Err(OpenError::Io { path: lock_path, source }),
        }
    }

    /// Whether a tracker uses the folder. Creates no file.
    pub(crate) fn is_in_use(path: &Path) -> Result<bool, OpenError> {
        let lock_path = path.join("lock");
        let lock = match read_regular(&lock_path) {
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

/// The folder of a file.
pub(crate) fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

/// Reads a file. Returns `None` if it does not exist.
pub(crate) fn read_if_exists(path: &Path) -> Result<Option<Vec<u8>>, OpenError> {
    let read = |mut file: File| {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map(|_| bytes)
    };
    match read_regular(path).and_then(read) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(OpenError::at(path)(error)),
    }
}

/// The temporary path to which a file is written before it is renamed to `path`.
pub(crate) fn aside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}

/// Replaces a file by one with these bytes, and waits for the disk. After a crash, the file is either the old or the
/// new one.
pub(crate) fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = aside(path);
    let mut file = recreate_private(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    sync_folder_of(path)
}

/// Waits until the disk holds the directory entry of a file or folder. Without it, the content cannot be found after a
/// crash.
pub(crate) fn sync_folder_of(path: &Path) -> io::Result<()> {
    match path.parent() {
        _ if cfg!(not(unix)) => Ok(()),
        None => Ok(()),
        Some(folder) if folder.as_os_str().is_empty() => File::open(".")?.sync_all(),
        Some(folder) => File::open(folder)?.sync_all(),
    }
}

/// Creates a file of a data folder that must not exist, also not as a link. If root creates it, as at a password reset,
/// the file gets the owner of its folder. Otherwise a service that runs as that owner could no longer read it.
pub(crate) fn create_private(path: &Path) -> io::Result<File> {
    let file = private_file().create_new(true).open(path)?;
    #[cfg(unix)]
    if rustix::process::geteuid().is_root() {
        use std::os::unix::fs::{MetadataExt as _, fchown};
        let folder = fs::metadata(folder_of(path))?;
        fchown(&file, Some(folder.uid()), Some(folder.gid()))?;
    }
    Ok(file)
}

/// Creates a file of a data folder in place of an old one. The old one is removed, not truncated: it may be a link to a
/// file that its owner could not change.
pub(crate) fn recreate_private(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => create_private(path),
    }
}

/// Opens a file of a data folder without truncating it, and creates it if it does not exist. Root follows no link,
/// because the owner of the folder may be under attack, and must not gain other files.
pub(crate) fn open_private(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    match create_private(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
        Ok(_) => {}
    }
    #[cfg(unix)]
    let follows_links = !rustix::process::geteuid().is_root();
    #[cfg(not(unix))]
    let follows_links = true;
    open_regular(path, options, follows_links)
}

/// Opens an existing regular file to read it. Anything else is an error, because a pipe or a device would keep the
/// program waiting.
pub(crate) fn read_regular(path: &Path) -> io::Result<File> {
    open_regular(path, File::options().read(true), true)
}

fn open_regular(path: &Path, options: &mut OpenOptions, follows_links: bool) -> io::Result<File> {
    let file = open_at_once(path, options, follows_links)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("this is not a regular file")) }
}

/// Opens a file without waiting, as for the writer of a pipe.
pub(crate) fn open_at_once(path: &Path, options: &mut OpenOptions, follows_links: bool) -> io::Result<File> {
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        let flags = if follows_links { OFlags::NONBLOCK } else { OFlags::NONBLOCK | OFlags::NOFOLLOW };
        std::os::unix::fs::OpenOptionsExt::custom_flags(options, flags.bits().cast_signed());
    }
    options.open(path)
}

/// Options to read and write a file that only its owner can access.
pub(crate) fn private_file() -> OpenOptions {
    let mut options = File::options();
    options.read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn replacing_a_file_changes_no_linked_file() {
        let folder = tempfile::tempdir().unwrap();
        let (other, path) = (folder.path().join("other"), folder.path().join("manifest.json"));
        let link: [fn(&Path, &Path) -> io::Result<()>; 2] =
            [|to, at| fs::hard_link(to, at), |to, at| std::os::unix::fs::symlink(to, at)];
        for link in link {
            fs::write(&other, "of somebody else").unwrap();
            link(&other, &aside(&path)).unwrap();
            replace_file(&path, b"new").unwrap();
            assert_eq!(fs::read_to_string(&other).unwrap(), "of somebody else");
            assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        }
    }
}
