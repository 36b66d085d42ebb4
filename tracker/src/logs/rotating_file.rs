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
            let (ours, current) = (file.metadata(), fs::metadata(&self.path));
            matches!((ours, current), (Ok(ours), Ok(current)) if same(&ours, &current))
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
fn same(ours: &Metadata, current: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;

    (ours.dev(), ours.ino()) == (current.dev(), current.ino())
}

#[cfg(not(unix))]
fn same(_: &Metadata, _: &Metadata) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    const LINE: &str = "0123456789012345678\n";

    fn start(name: &str, max_size: u64, files: usize) -> (TempDir, RotatingFile) {
        let folder = tempfile::tempdir().unwrap();
        let file = reopened(&folder.path().join(name), max_size, files);
        (folder, file)
    }

    fn reopened(path: &Path, max_size: u64, files: usize) -> RotatingFile {
        let rotation = Rotation { max_size: max_size.into(), files: files.into() };
        RotatingFile::open(path.to_owned(), Arc::new(rotation)).unwrap()
    }

    /// Writes a line after the pause between two attempts.
    fn write_later(file: &mut RotatingFile, line: &str) {
        file.checked = Instant::now().checked_sub(LOG_RETRY_TIME).unwrap();
        file.write(line);
        file.flush();
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_full_file_is_renamed_and_the_oldest_is_removed() {
        let (folder, mut file) = start("a.log", 100, 3);
        for number in 0..30 {
            file.write(&format!("line {number:>14}\n"));
        }
        file.flush();
        assert_eq!(names(folder.path()), ["a.log", "a.log.1", "a.log.2"]);
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        let all = read("a.log.2") + &read("a.log.1") + &read("a.log");
        let expected: Vec<_> = (15..30).map(|number| format!("line {number:>14}")).collect();
        assert_eq!(all.lines().collect::<Vec<_>>(), expected);
        for name in names(folder.path()) {
            assert!(read(&name).len() <= 100, "{name}");
        }
        // A lower number of files holds from the next rotation on.
        file.rotation.files.store(1, Ordering::Relaxed);
        (0..6).for_each(|_| file.write(LINE));
        assert_eq!(names(folder.path()), ["a.log"]);
    }

    #[test]
    fn control_a_file_with_room_is_not_renamed() {
        let (folder, mut file) = start("a.log", 600, 3);
        (0..30).for_each(|_| file.write(LINE));
        file.flush();
        assert_eq!(names(folder.path()), ["a.log"]);
    }

    #[test]
    fn a_rotation_counts_what_the_file_held_at_the_start() {
        let (folder, mut file) = start("a.log", 100, 2);
        (0..4).for_each(|_| file.write(LINE));
        file.flush();
        let mut file = reopened(&folder.path().join("a.log"), 100, 2);
        (0..2).for_each(|_| file.write(LINE));
        file.flush();
        assert_eq!(names(folder.path()), ["a.log", "a.log.1"]);
    }

    #[test]
    fn a_line_that_was_cut_off_stays_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        fs::write(&path, "cut o").unwrap();
        let mut file = reopened(&path, 1000, 2);
        file.write(LINE);
        file.flush();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("cut o\n{LINE}"));
    }

    #[test]
    fn a_removed_folder_is_created_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logs/a.log");
        let mut file = reopened(&path, 1000, 2);
        fs::remove_dir_all(folder.path().join("logs")).unwrap();
        write_later(&mut file, LINE);
        assert_eq!(fs::read_to_string(&path).unwrap(), LINE);
        // Control: without the check of the path, the line goes to the removed file.
        fs::remove_dir_all(folder.path().join("logs")).unwrap();
        file.checked = Instant::now() + LOG_RETRY_TIME;
        file.write(LINE);
        file.flush();
        assert!(!path.exists());
    }

    #[test]
    fn a_folder_that_cannot_be_created_costs_lines_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logs/a.log");
        let mut file = reopened(&path, 1000, 2);
        fs::remove_dir_all(folder.path().join("logs")).unwrap();
        fs::write(folder.path().join("logs"), "in the way").unwrap();
        (0..3).for_each(|_| write_later(&mut file, "lost\n"));
        assert_eq!(file.lost, 3);
        fs::remove_file(folder.path().join("logs")).unwrap();
        write_later(&mut file, LINE);
        assert_eq!((fs::read_to_string(&path).unwrap().as_str(), file.lost), (LINE, 0));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_costs_lines_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        std::os::unix::fs::symlink("/dev/full", &path).unwrap();
        let mut file = reopened(&path, 1000, 2);
        (0..2).for_each(|_| write_later(&mut file, "lost\n"));
        assert_eq!(file.lost, 2);
        fs::remove_file(&path).unwrap();
        write_later(&mut file, LINE);
        assert_eq!((fs::read_to_string(&path).unwrap().as_str(), file.lost), (LINE, 0));
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_can_read_the_files() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logs/a.log");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        drop(reopened(&path, 1000, 2));
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        // An older file with a wider mode is narrowed.
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        drop(reopened(&path, 1000, 2));
        assert_eq!(mode(&path), 0o600);
    }
}
