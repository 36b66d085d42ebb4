//! The tasks `config check` and `config show` of a program.

use std::path::{Path, PathBuf};

use clap::{Command, Subcommand};

use crate::settings::file::SettingsFile;
use crate::settings::load;

/// The tasks about the settings.
#[derive(Debug, Clone, Subcommand)]
pub enum ConfigTask {
    /// Check a settings file; exits with status 1 if it has errors
    Check {
        /// The settings file [default: that of --config]
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Show the settings in force, and where each comes from
    Show,
}

/// Checks a settings file. Returns a line for the user, or a line for each error.
pub fn check(program: &Command, file: Option<&Path>) -> Result<String, Vec<String>> {
    let missing = "there is no settings file to check: name one, or give it with --config";
    let path = file.ok_or_else(|| vec![missing.to_owned()])?;
    let read = SettingsFile::read(path);
    let checked = read.and_then(|file| load::check(program, &file).map(|()| file.entries.len()));
    checked
        .map(|count| format!("{}: correct, settings: {count}", path.display()))
        .map_err(|errors| errors.iter().map(ToString::to_string).collect())
}
