//! Atomic JSON files with mode 0600.
//! A file is written aside and renamed, so after a crash it holds the old or the new content as a whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Reads and parses a file. Returns `None` if it does not exist; content of another form is an error that names the
/// file.
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

/// Reads and parses at most `most` bytes of a file that may come from another person.
pub(crate) fn read_bounded<T: DeserializeOwned>(path: &Path, most: u64) -> io::Result<T> {
    let mut bytes = Vec::new();
    File::open(path)?.take(most).read_to_end(&mut bytes)?;
    serde_json::from_slice(&bytes).map_err(|_| io::Error::other("not an exported identity"))
}

/// Replaces a file. The new content is written aside and renamed, so a crash leaves the old file or the new one.
pub(crate) fn write(path: &Path, content: &impl Serialize) -> io::Result<()> {
    let aside = path.with_extension("new");
    let written = open_and_write(&aside, content, OpenOptions::new().create(true).truncate(true));
    written.and_then(|()| rename(&aside, path)).inspect_err(|_| {
        // Half a file is of no use, and takes space from a full disk.
        let _ = fs::remove_file(&aside);
    })
}

/// Writes a file that must not exist yet, so that nothing irreplaceable is overwritten. The caller must have exclusive
/// use of the folder, because the check and the write are separate steps.
pub(crate) fn write_new(path: &Path, content: &impl Serialize) -> io::Result<()> {
    if path.try_exists()? {
        return Err(ErrorKind::AlreadyExists.into());
    }
    write(path, content)
}

/// Creates a file that must not exist yet, without a rename.
pub(crate) fn create(path: &Path, content: &impl Serialize) -> io::Result<()> {
    open_and_write(path, content, OpenOptions::new().create_new(true))
}

fn open_and_write(path: &Path, content: &impl Serialize, options: &mut OpenOptions) -> io::Result<()> {
    let mut file = options.write(true).mode(0o600).open(path)?;
    file.write_all(&serde_json::to_vec_pretty(content)?)?;
    file.sync_all()
}

/// Moves a file to another name durably, also across a power cut.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    sync_entry(to)
}

/// Syncs the parent folder, which makes the name of a file or folder durable.
pub(crate) fn sync_entry(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

/// Removes a file if it exists.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
