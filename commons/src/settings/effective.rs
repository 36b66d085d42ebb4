//! The settings in force, each with its origin.
//! They are printed as a settings file, so that a user can copy lines from there.

use std::ffi::OsStr;
use std::fmt::{self, Write as _};

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

use crate::settings::file::SettingsFile;
use crate::settings::load;

/// A setting in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective {
    /// The key of the setting.
    pub key: String,
    /// The value as TOML. `None` if the setting has no value.
    pub value: Option<String>,
    /// The origin of the value, as a comment says it.
    pub origin: String,
}

/// The settings in force after a parse.
#[must_use]
pub fn effective(command: &Command, file: Option<&SettingsFile>, matches: &ArgMatches) -> Vec<Effective> {
    let found = load::settings(command).map(|(key, arg)| {
        let origin = origin(&key, arg, file, matches);
        let value = value(arg, matches);
        Effective { key, value, origin }
    });
    found.collect()
}

fn value(arg: &Arg, matches: &ArgMatches) -> Option<String> {
    if load::is_secret(arg) {
        return matches.get_raw(arg.get_id().as_str()).map(|_| "\"(hidden)\"".to_owned());
    }
    // A variable of the environment may say it in another way.
    if let Ok(Some(whether)) = matches.try_get_one::<bool>(arg.get_id().as_str()) {
        return Some(whether.to_string());
    }
    let raw = matches.get_raw(arg.get_id().as_str())?.next().map(OsStr::to_string_lossy);
    // A flag without a value, such as --web, has the value that clap gives it then.
    let text = raw.unwrap_or_default();
    let is_bare = text.parse::<u64>().is_ok_and(|number| number.to_string() == text);
    Some(if is_bare { text.into_owned() } else { quoted(&text) })
}

fn origin(key: &str, arg: &Arg, file: Option<&SettingsFile>, matches: &ArgMatches) -> String {
    match matches.value_source(arg.get_id().as_str()) {
        Some(ValueSource::CommandLine) => format!("--{}", arg.get_long().unwrap_or_default()),
        Some(ValueSource::EnvVariable) => arg.get_env().unwrap_or_default().to_string_lossy().into_owned(),
        _ => {
            let entry =
                file.and_then(|file| Some((file, file.entries.iter().find(|entry| entry.key == key)?)));
            match entry {
                Some((file, entry)) => format!("{}, line {}", file.path.display(), entry.line),
                None => "default".to_owned(),
            }
        }
    }
}

/// Writes a text as a basic string of TOML.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

impl fmt::Display for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, value, origin } = self;
        match value {
            Some(value) => write!(f, "{key} = {value}  # {}", origin.escape_debug()),
            None => write!(f, "# {key} is not set"),
        }
    }
}
