//! The files of a data folder, in the folder or in a backup of it.
//! The same checks therefore hold for both.

use std::collections::BTreeMap;
use std::path::Path;

use crate::repositories::data_folder::{OpenError, read_if_exists};

/// Files with their content, by name.
pub(crate) type FilesByName = BTreeMap<String, Vec<u8>>;

/// The files of a data folder.
#[derive(Debug, Clone, Copy)]
pub(crate) enum DataFiles<'a> {
    /// The files in this folder.
    InFolder(&'a Path),
    /// The files of a backup, with the path of the backup.
    InBackup(&'a Path, &'a FilesByName),
}

impl<'a> DataFiles<'a> {
    /// The path of the folder or of the backup.
    pub(crate) fn path(&self) -> &'a Path {
        match *self {
            Self::InFolder(path) | Self::InBackup(path, _) => path,
        }
    }

    /// Reads a file. Returns `None` if there is no such file.
    pub(crate) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, OpenError> {
        match self {
            Self::InFolder(folder) => read_if_exists(&folder.join(name)),
            Self::InBackup(_, files) => Ok(files.get(name).cloned()),
        }
    }
}
