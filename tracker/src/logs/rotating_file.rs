//! A log file with rotation by size.
//! At its maximum size, `server.log` becomes `server.log.1`, that one `server.log.2`, and the oldest is removed.
//!
//! It does not stop at an error: lines that cannot be written are counted, and it tries again each second. A file that
//! was removed or renamed by others, for example by logrotate, is created again.

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use crate::config::LogConfig;
use crate::limits::{LOG_FILES_MAX, LOG_PENDING_BYTES, LOG_RETRY_TIME};

/// The settings of the rotation, which may change while the tracker runs.
#[derive(Debug)]
pub(crate) struct Rotation {
    max_size: AtomicU64,
    files: AtomicUsize,
}

/// A log file.
#[derive(Debug)]
pub(crate) struct RotatingFile {
    path: PathBuf,
    rotation: Arc<Rotation>,
    open: Option<File>,
    /// The size of the open file in bytes.
    size: u64,
    /// Lines that are not written yet.
    pending: Vec<u8>,
    /// The number of lines in `pending`.
    pending_lines: u64,
    /// The number of lines that could not be written since the last success.
    lost: u64,
    /// The time of the last failure, or of the last check that the path still names the open file.
    checked: Instant,
}

impl Rotation {
    /// Creates the rotation of these settings.
    pub(crate) fn new(config: &LogConfig) -> Self {
        Self { max_size: config.max_size.0.into(), files: config.files.into() }
    }

    /// Takes over changed settings.
    pub(crate) fn set(&self, config: &LogConfig) {
        self.max_size.store(config.max_size.0, Ordering::Relaxed);
        self.files.store(config.files, Ordering::Relaxed);
    }
}

impl RotatingFile {
    /// Opens a log file, and creates it with its folder if needed.
    pub(crate) fn open(path: PathBuf, rotation: Arc<Rotation>) -> io::Result<Self> {
        let (open, size) = open(&path)?;
        Ok(Self {
            path,
            rotation,
            open: Some(open),
            size,
            pending: Vec::new(),
            pending_lines: 0,
            lost: 0,
            checked: Instant::now(),
        })
    }

    /// Adds a line, which must end with a newline.
    pub(crate) fn write(&mut self, line: &str) {
        let size = self.size + self.pending.len() as u64;
        if size > 0 && size + line.len() as u64 > self.rotation.max_size.load(Ordering::Relaxed) {
            self.flush();
            self.rotate();
        }
        self.pending.extend_from_slice(line.as_bytes());
        self.pending_lines += 1;
        if self.pending.len() >= LOG_PENDING_BYTES {
            self.flush();
        }
    }

    /// Writes the lines that wait. If that fails, they are lost.
    pub(crate) fn flush(&mut self) {
        self.check_path();
        if self.pending.is_empty() {
            return;
        }
        let written = match &mut self.open {
            Some(file) => file.write_all(&self.pending),
            None => Err(io::ErrorKind::NotFound.into()),
        };
        match written {
            Ok(()) => {
                self.size += self.pending.len() as u64;
                if self.lost > 0 {
                    tracing::warn!(file = %self.path.display(), lost = self.lost, "the log file is written again");
                    self.lost = 0;
                }
            }
            Err(error) => {
                // A part may have been written. Without this, the next line would continue it.
                if let Some(file) = self.open.take() {
                    let _ = file.set_len(self.size);
                }
                self.checked = Instant::now();
                if self.lost == 0 {
                    tracing::error!(file = %self.path.display(), %error, "the log file cannot be written");
                }
                self.lost += self.pending_lines;
            }
        }
        self.pending.clear();
        self.pending_lines = 0;
    }

    /// Opens the file again if it is closed after a failure, or if the path names another file by now.
    fn check_path(&mut self) {
        if self.checked.elapsed() < LOG_RETRY_TIME {
            return;
        }
        self.checked = Instant::now();
        let is_same = self.open.as_ref().is_some_and(|file| {
            let (ours, there) = (file.metadata(), fs::metadata(&self.path));
            matches!((ours, there), (Ok(ours), Ok(there)) if same(&ours, &there))
        });
        if !is_same {
            self.reopen();
        }
    }

    fn reopen(&mut self) {
        match open(&self.path) {
            Ok((file, size)) => (self.open, self.size) = (Some(file), size),
            // The next flush counts the lost lines.
            Err(_) => self.open = None,
        }
    }

    /// Renames the full file and its predecessors, and begins a new file. If the file cannot be renamed, it grows on.
    fn rotate(&mut self) {
        if self.open.is_none() {
            return;
        }
        let files = self.rotation.files.load(Ordering::Relaxed);
        let numbered = |number: usize| {
            let mut name = self.path.as_os_str().to_owned();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        // More than one, if the setting was lowered.
        for number in files.max(1)..=LOG_FILES_MAX {
            let _ = fs::remove_file(numbered(number));
        }
        for number in (1..files.saturating_sub(1)).rev() {
            let _ = fs::rename(numbered(number), numbered(number + 1));
        }
        let moved = if files > 1 { fs::rename(&self.path, numbered(1)) } else { fs::remove_file(&self.path) };
        match moved {
            Ok(()) => self.reopen(),
            Err(_) => self.checked = Instant::now(),
        }
    }
}

/// Opens a file for appending that only its owner can access. Returns its size.
fn open(path: &Path) -> io::Result<(File, u64)> {
    if let Some(folder) = path.parent() {
        create_folder(folder)?;
    }
    let mut options = OpenOptions::new();
    options.create(true).append(true).read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    let metadata = file.metadata()?;
    // A device or a pipe is not ours to change.
    if !metadata.is_file() {
        return Ok((file, 0));
    }
    narrow(&file, &metadata)?;
    // A crash may have cut off the last line.
    let mut size = metadata.len();
    if size > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
            size += 1;
        }
    }
    Ok((file, size))
}

/// Creates a folder that only its owner can access.
fn create_folder(path: &Path) -> io::Result<()> {
    let mut folder = fs::DirBuilder::new();
    folder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut folder, 0o700);
    folder.create(path)
}

#[cfg(unix)]
fn narrow(file: &File, metadata: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;

    let is_wide = metadata.permissions().mode() & 0o077 != 0;
    if is_wide { file.set_permissions(Permissions::from_mode(0o600)) } else { Ok(()) }
}

#[cfg(not(unix))]
fn narrow(_: &File, _: &Metadata) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn same(ours: &Metadata, there: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;

    (ours.dev(), ours.ino()) == (there.dev(), there.ino())
}

#[cfg(not(unix))]
fn same(_: &Metadata, _: &Metadata) -> bool {
    true
}
