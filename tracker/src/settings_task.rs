//! The tasks `config check` and `config show`.

use std::io::{self, Write as _};
use std::path::Path;

use clap::CommandFactory as _;
use commons::settings::effective::Effective;
use commons::settings::file::SettingsFile;
use commons::settings::load;

use crate::args::Args;

/// Checks a settings file and reports all its errors.
pub(crate) fn check(file: Option<&Path>) -> Result<(), Box<dyn std::error::Error>> {
    let path = file.ok_or("there is no settings file to check: name one, or give it with --config")?;
    let read = SettingsFile::read(path);
    let checked = read.and_then(|file| load::check(&Args::command(), &file).map(|()| file.entries.len()));
    match checked {
        Ok(count) => Ok(writeln!(io::stdout(), "{}: correct, settings: {count}", path.display())?),
        Err(errors) => {
            let lines: Vec<_> = errors.iter().map(ToString::to_string).collect();
            Err(lines.join("\ntracker: ").into())
        }
    }
}

/// Prints the settings in force as a settings file.
pub(crate) fn show(effective: &[Effective]) -> Result<(), Box<dyn std::error::Error>> {
    Ok(effective.iter().try_for_each(|setting| writeln!(io::stdout(), "{setting}"))?)
}
