//! The task `tracker backup`: a running tracker sends the backup, and a stopped one's folder is read.
//!
//! A backup holds the tracker's private key, so a task that is stopped by a signal removes what it has written.

use std::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tracker::backup::backup_file::NewBackup;
use tracker::backup::{Backup, BackupError, is_in_use};

/// Writes a backup of a data folder. Returns what it contains, for the operator.
pub(crate) async fn backup(
    data: &Path,
    path: &Path,
    stop: CancellationToken,
) -> Result<Vec<String>, Box<dyn Error>> {
    let new = NewBackup::create(path)?;
    let temporary = new.temporary().to_owned();
    tokio::select! {
        biased;
        made = make(data, new) => made,
        () = stop.cancelled() => {
            match fs::remove_file(&temporary) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    Err(format!("the backup was stopped. Remove {}: {error}", temporary.display()).into())
                }
                _ => Err("the backup was stopped, and nothing was written".into()),
            }
        }
    }
}

async fn make(data: &Path, new: NewBackup) -> Result<Vec<String>, Box<dyn Error>> {
    let new = if is_in_use(data)? { receive(data, new).await? } else { read(data.to_owned(), new).await? };
    Ok(apart(move || new.finish()).await??)
}

#[cfg(unix)]
async fn receive(data: &Path, mut new: NewBackup) -> Result<NewBackup, Box<dyn Error>> {
    crate::control::receive_backup(data, new.file()).await?;
    Ok(new)
}

#[cfg(not(unix))]
async fn receive(_: &Path, _: NewBackup) -> Result<NewBackup, Box<dyn Error>> {
    Err("this system has no control socket: stop the tracker for the backup".into())
}

async fn read(data: PathBuf, mut new: NewBackup) -> Result<NewBackup, Box<dyn Error>> {
    let filled = apart(move || {
        new.fill(&Backup::of_folder(&data)?)?;
        Ok::<_, BackupError>(new)
    });
    Ok(filled.await??)
}

/// Runs work with files in a thread of its own, which the end of the program does not wait for.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let (done, result) = oneshot::channel();
    thread::Builder::new().name("backup".to_owned()).spawn(move || drop(done.send(work())))?;
    result.await.map_err(|_| io::Error::other("the backup ended early"))
}
