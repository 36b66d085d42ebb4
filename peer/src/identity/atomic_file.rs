//! Small JSON files that only this user may read, and that are whole after a crash.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// What the file holds; `None` where there is none. One that holds something else is an error that names it.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
        Ok(bytes) => {
            let damaged = |error| {
                io::Error::new(ErrorKind::InvalidData, format!("{} is damaged: {error}", path.display()))
            };
            serde_json::from_slice(&bytes).map(Some).map_err(damaged)
        }
    }
}

/// What a file of at most so many bytes holds, which may be a stranger's.
pub(crate) fn read_bounded<T: DeserializeOwned>(path: &Path, most: u64) -> io::Result<T> {
    let mut bytes = Vec::new();
    File::open(path)?.take(most).read_to_end(&mut bytes)?;
    serde_json::from_slice(&bytes).map_err(|_| io::Error::other("not an exported identity"))
}

/// Writes aside and renames: a crash leaves the old file or the new one.
pub(crate) fn write(path: &Path, content: &impl Serialize) -> io::Result<()> {
    let aside = path.with_extension("new");
    let written = open_and_write(&aside, content, OpenOptions::new().create(true).truncate(true));
    written.and_then(|()| rename(&aside, path)).inspect_err(|_| {
        // Half a file is of no use, and takes space from a full disk.
        let _ = fs::remove_file(&aside);
    })
}

/// As [`write`], where no file may be there yet: nothing that cannot be made again is overwritten. Whoever calls has the
/// folder for itself.
pub(crate) fn write_new(path: &Path, content: &impl Serialize) -> io::Result<()> {
    if path.try_exists()? {
        return Err(ErrorKind::AlreadyExists.into());
    }
    write(path, content)
}

/// Writes a file that must not be there yet.
pub(crate) fn create(path: &Path, content: &impl Serialize) -> io::Result<()> {
    open_and_write(path, content, OpenOptions::new().create_new(true))
}

fn open_and_write(path: &Path, content: &impl Serialize, options: &mut OpenOptions) -> io::Result<()> {
    let mut file = options.write(true).mode(0o600).open(path)?;
    file.write_all(&serde_json::to_vec_pretty(content)?)?;
    file.sync_all()
}

/// Gives a file the place of another one, also after a power cut.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    sync_entry(to)
}

/// Makes durable that a file or folder is where it is.
pub(crate) fn sync_entry(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

/// Removes a file, if there is one.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
