//! An error in a settings file.
//! It names the file, the line and the key, so that an operator finds the place.

use std::fmt;
use std::path::PathBuf;

/// An error in a settings file. Its text holds no control characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingError {
    /// The path of the file.
    pub file: PathBuf,
    /// The number of the line, counted from 1. `None` if the error concerns the whole file.
    pub line: Option<usize>,
    /// The text of the error.
    pub text: String,
}

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        write!(f, ": {}", self.text)
    }
}

impl std::error::Error for SettingError {}
