//! The check of a data folder: whether a tracker can start there, and how changes made by hand are taken.

use std::path::Path;
use std::thread::sleep;

use crate::limits::{CHECK_PAUSE, CHECK_TRIES};
use crate::repositories::Repositories;
use crate::repositories::data_folder::{DataFolder, OpenError};
use crate::repositories::found::{Found, Trust};

/// Why changes made by hand were not taken.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// The files are not sound, or a tracker is at work there.
    #[error(transparent)]
    Data(#[from] OpenError),
    /// The disk refused.
    #[error("the disk could not be written: is it full? Run this again")]
    Storage,
}

/// Reads a folder as a start would and says what is there. Nothing is touched, and a tracker may be at work there: what
/// does not fit together is then read again, since it may have been read in the middle of a change.
pub fn check(data: &Path) -> Result<Vec<String>, OpenError> {
    std::fs::metadata(data).map_err(OpenError::at(data))?;
    for _ in 0..CHECK_TRIES {
        match Found::read(data, Trust::AsLeft) {
            Err(_) if DataFolder::is_in_use(data)? => sleep(CHECK_PAUSE),
            read => return read.map(|found| report(&found)),
        }
    }
    Found::read(data, Trust::AsLeft).map(|found| report(&found))
}

/// Takes the files as they are now, if they are sound: journals are folded, and the manifest is made anew.
pub async fn accept_edits(data: &Path) -> Result<Vec<String>, AcceptError> {
    std::fs::metadata(data).map_err(OpenError::at(data))?;
    let (repositories, notes) = Repositories::open_trusting(data, Trust::Edited)?;
    repositories.close().await.map_err(|_| AcceptError::Storage)?;
    let mut lines = notes;
    lines.extend(check(data)?);
    Ok(lines)
}

fn report(found: &Found) -> Vec<String> {
    let mut lines = found.notes.clone();
    match &found.key {
        Some(key) => lines.push(format!("the tracker's key: {}", key.seed.public_key())),
        None => lines.push("the tracker has no key yet: the next start makes one".to_owned()),
    }
    lines.push(format!("sound: {}", found.counts()));
    lines
}
