//! The restore of a backup into a new data folder.
//! The backup is read and checked completely before the first byte is written.

use std::fs;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::backup::BackupError;
use crate::backup::backup_file::CheckedBackup;
use crate::repositories::data_folder::{DataFolder, create_private, sync_folder_of};
use crate::repositories::snapshot::SnapshotFile;

/// Checks a backup without restoring it. Returns what it contains, for the operator.
pub fn check(backup: &Path) -> Result<Vec<String>, BackupError> {
    CheckedBackup::open(backup).map(|backup| backup.report)
}

/// Restores a backup into a folder that is missing or empty. Returns what it contains, for the operator.
///
/// Rooms go on with the current time in milliseconds as their revision. So they never repeat a revision that the lost
/// tracker gave out after the backup, for which peers remember other members.
pub fn restore(backup: &Path, data: &Path) -> Result<Vec<String>, BackupError> {
    must_be_empty(data, &[])?;
    let CheckedBackup { mut snapshot, report, .. } = CheckedBackup::open(backup)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    snapshot.raise_revisions(u64::try_from(now).unwrap_or_default());
    let existed = data.exists();
    DataFolder::create(data)?;
    must_be_private(data)?;
    let folder = DataFolder::lock_new(data)?;
    // Now no tracker can start on the folder. One may have, a moment before.
    must_be_empty(data, &["lock"])?;
    let mut written = Vec::new();
    let placed = snapshot.files().and_then(|files| place(data, &files, &mut written));
    if let Err(source) = placed {
        written.iter().chain([&data.join("lock")]).for_each(|file| drop(fs::remove_file(file)));
        drop(folder);
        if !existed {
            let _ = fs::remove_dir(data);
        }
        return Err(BackupError::Io { path: data.to_owned(), source });
    }
    Ok(report)
}

fn must_be_empty(data: &Path, except: &[&str]) -> Result<(), BackupError> {
    let entries = match fs::read_dir(data) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(BackupError::at(data))?,
    };
    let names = entries.map(|entry| entry.map(|entry| entry.file_name()));
    let names = names.collect::<Result<Vec<_>, _>>().map_err(BackupError::at(data))?;
    let is_expected = |name: &std::ffi::OsString| except.iter().any(|expected| name == expected);
    if names.iter().all(is_expected) { Ok(()) } else { Err(BackupError::NotEmpty(data.to_owned())) }
}

/// Refuses a folder in which somebody else could replace the files. Root may restore for the user of a service.
fn must_be_private(data: &Path) -> Result<(), BackupError> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let folder = fs::metadata(data).map_err(BackupError::at(data))?;
        if !may_hold_data(rustix::process::geteuid().as_raw(), folder.uid(), folder.mode()) {
            return Err(BackupError::Shared(data.to_owned()));
        }
    }
    Ok(())
}

/// Whether a user may restore into a folder with this owner and mode.
#[cfg(unix)]
fn may_hold_data(user: u32, owner: u32, mode: u32) -> bool {
    (user == 0 || user == owner) && mode & 0o022 == 0
}

/// Writes the files, the manifest last. Until it is there, a tracker refuses to start on the folder.
fn place(data: &Path, files: &[SnapshotFile<'_>], written: &mut Vec<PathBuf>) -> io::Result<()> {
    // A journal names its generation, and without a manifest a tracker refuses such a folder.
    let (journals, others): (Vec<_>, Vec<_>) = files.iter().partition(|file| file.name.ends_with(".journal"));
    for file in journals.into_iter().chain(others) {
        let path = data.join(&file.name);
        let mut out = BufWriter::new(create_private(&path)?);
        written.push(path.clone());
        file.write(&mut out)?;
        out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        sync_folder_of(&path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::Backup;
    use crate::repositories::Repositories;

    #[cfg(unix)]
    #[test]
    fn restore_takes_a_private_folder_of_its_user() {
        assert!(may_hold_data(1000, 1000, 0o40_755) && may_hold_data(0, 1000, 0o40_700));
        assert!(!may_hold_data(1000, 1001, 0o40_755) && !may_hold_data(1000, 0, 0o40_755));
        assert!(!may_hold_data(1000, 1000, 0o40_775) && !may_hold_data(0, 1000, 0o40_757));
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn restore_writes_into_no_planted_file() {
        let folder = tempfile::tempdir().unwrap();
        let (source, data, other) =
            (folder.path().join("source"), folder.path().join("data"), folder.path().join("other"));
        Repositories::open(&source).unwrap().close().await.unwrap();
        let backup = Backup::of_folder(&source).unwrap();
        let files = backup.snapshot.files().unwrap();
        fs::write(&other, "").unwrap();
        let plant: [fn(&Path, &Path) -> io::Result<()>; 3] = [
            |to, at| std::os::unix::fs::symlink(to, at),
            |to, at| fs::hard_link(to, at),
            |_, at| fs::write(at, ""),
        ];
        for plant in plant {
            fs::create_dir(&data).unwrap();
            let planted = data.join("tracker.key");
            plant(&other, &planted).unwrap();
            let mut written = Vec::new();
            let error = place(&data, &files, &mut written).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
            assert!(!written.contains(&planted));
            assert_eq!((fs::read(&other).unwrap(), fs::read(&planted).unwrap()), (vec![], vec![]));
            fs::remove_dir_all(&data).unwrap();
        }
        // Control: without a planted file, all files are written.
        fs::create_dir(&data).unwrap();
        let mut written = Vec::new();
        place(&data, &files, &mut written).unwrap();
        assert_eq!(written.len(), files.len());
    }
}
