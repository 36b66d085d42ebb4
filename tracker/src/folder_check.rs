//! The check of a data folder.
//! It says whether a tracker can start on the folder, and accepts edits that the operator made by hand.

use std::path::Path;
use std::thread::sleep;

use crate::limits::{CHECK_PAUSE, CHECK_TRIES};
use crate::repositories::Repositories;
use crate::repositories::data_files::DataFiles;
use crate::repositories::data_folder::{DataFolder, OpenError};
use crate::repositories::found::Found;
use crate::repositories::trust::Trust;

/// The reason why the edits were not accepted.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// The files are not well formed, or a tracker uses the folder.
    #[error(transparent)]
    Data(#[from] OpenError),
    /// The disk refused a write.
    #[error("the disk refused a write and may be full. Free some space and run the command again")]
    Storage,
}

/// Reads a folder as a start would, and reports its content without changing it. A running tracker may use the folder.
/// Files that do not belong together are then read again, because the first read may have met a change in progress.
pub fn check(data: &Path) -> Result<Vec<String>, OpenError> {
    std::fs::metadata(data).map_err(OpenError::at(data))?;
    let files = DataFiles::InFolder(data);
    for _ in 0..CHECK_TRIES {
        match Found::read(files, Trust::AsLeft) {
            Err(_) if DataFolder::is_in_use(data)? => sleep(CHECK_PAUSE),
            read => return read.map(|found| found.report()),
        }
    }
    Found::read(files, Trust::AsLeft).map(|found| found.report())
}

/// Accepts the files as they are now, if they are well formed. Compacts the journals and writes a new manifest.
pub async fn accept_edits(data: &Path) -> Result<Vec<String>, AcceptError> {
    std::fs::metadata(data).map_err(OpenError::at(data))?;
    let (repositories, notes) = Repositories::open_trusting(data, Trust::Edited)?;
    repositories.close().await.map_err(|_| AcceptError::Storage)?;
    let mut lines = notes;
    lines.extend(check(data)?);
    Ok(lines)
}
