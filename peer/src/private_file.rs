//! Small JSON files that only this user may read, and that are whole after a crash.

use std::fs::{self, OpenOptions};
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
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
    file.write_all(&serde_json::to_vec_pretty(content)?)?;
    file.sync_all()?;
    fs::rename(&aside, path)
}
