//! Small JSON files that only this user may read, and that are whole after a crash.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
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
            let damaged = |error| io::Error::other(format!("{} is damaged: {error}", path.display()));
            serde_json::from_slice(&bytes).map(Some).map_err(damaged)
        }
    }
}

/// Writes aside and renames: a crash leaves the old file or the new one.
pub(crate) fn write(path: &Path, content: &impl Serialize) -> io::Result<()> {
    let aside = path.with_extension("new");
    write_new(&aside, content)?;
    rename(&aside, path)
}

fn write_new(path: &Path, content: &impl Serialize) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(&serde_json::to_vec_pretty(content)?)?;
    file.sync_all()
}

/// Gives a file the place of another one, also after a power cut.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    match to.parent() {
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
