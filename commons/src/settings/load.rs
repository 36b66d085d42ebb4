//! Puts a settings file below the environment and the command line.
//! Each value of the file becomes the default of its flag, so that clap parses, checks and documents it.

use std::any::TypeId;
use std::error::Error as _;
use std::ffi::OsString;

use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue, Error, ErrorKind};
use clap::{Arg, ArgMatches, Command};

use crate::nearest;
use crate::settings::error::SettingError;
use crate::settings::file::{Entry, Kind, SettingsFile};

/// Flags that are no settings: the file cannot name another file.
const NO_SETTINGS: [&str; 3] = ["config", "help", "version"];

/// The reason why the settings are not loaded.
#[derive(Debug)]
pub enum LoadError {
    /// The command line or the environment holds an error.
    Flags(Error),
    /// The settings file holds errors.
    File(Vec<SettingError>),
}

/// Parses the command line and the environment, with the values of the file as defaults.
pub fn load(command: &Command, file: &SettingsFile, arguments: &[OsString]) -> Result<ArgMatches, LoadError> {
    let command = with_defaults(command, file).map_err(LoadError::File)?;
    command.try_get_matches_from(arguments).map_err(LoadError::Flags)
}

/// Checks every setting of the file. Returns all errors at once.
pub fn check(command: &Command, file: &SettingsFile) -> Result<(), Vec<SettingError>> {
    with_defaults(command, file).map(drop)
}

/// The arguments of a program that a settings file can give, with their keys.
pub(crate) fn settings(command: &Command) -> impl Iterator<Item = (String, &Arg)> {
    let named = command.get_arguments().filter_map(|arg| Some((arg.get_long()?, arg)));
    named.filter(|(long, _)| !NO_SETTINGS.contains(long)).map(|(long, arg)| (long.replace('-', "_"), arg))
}

/// Whether the argument holds a secret: its value is shown nowhere.
pub(crate) fn is_secret(arg: &Arg) -> bool {
    arg.is_hide_env_values_set()
}

fn with_defaults(command: &Command, file: &SettingsFile) -> Result<Command, Vec<SettingError>> {
    // Only the value of the file is checked here, without the environment.
    let alone = command.clone().mut_args(|arg| arg.env(Resettable::Reset));
    let (mut changed, mut errors) = (command.clone(), Vec::new());
    for entry in &file.entries {
        match checked(&alone, entry) {
            Ok(arg) => {
                let value = entry.value.clone();
                changed = changed.mut_arg(arg.get_id().as_str(), |arg| arg.default_value(value));
            }
            Err(text) => errors.push(SettingError { file: file.path.clone(), line: Some(entry.line), text }),
        }
    }
    if errors.is_empty() { Ok(changed) } else { Err(errors) }
}

/// The argument that an entry of the file sets, if the argument accepts the value.
fn checked<'a>(command: &'a Command, entry: &Entry) -> Result<&'a Arg, String> {
    let Entry { key, value, kind, .. } = entry;
    let Some((_, arg)) = settings(command).find(|(known, _)| known == key) else {
        let keys: Vec<_> = settings(command).map(|(key, _)| key).collect();
        let word = key.replace('-', "_");
        return Err(match nearest::of(&word, keys.iter().map(String::as_str)) {
            Some(meant) => format!("there is no setting {key:?}: did you mean {meant}?"),
            None => format!("there is no setting {key:?}"),
        });
    };
    let shown = match kind {
        _ if is_secret(arg) => key.clone(),
        Kind::Text => format!("{key} = {value:?}"),
        Kind::Number | Kind::Boolean => format!("{key} = {value}"),
    };
    if arg.get_value_parser().type_id() == TypeId::of::<bool>() {
        return if *kind == Kind::Boolean { Ok(arg) } else { Err(format!("{shown}: must be true or false")) };
    }
    let flag = format!("--{}={value}", arg.get_long().unwrap_or_default());
    match command.clone().try_get_matches_from([command.get_name(), &flag]) {
        Err(error) if concerns_the_value(&error) => Err(format!("{shown}: {}", reason(&error))),
        _ => Ok(arg),
    }
}

/// Whether an error says that a value is wrong. Other errors, as of a missing subcommand, say nothing about the value.
fn concerns_the_value(error: &Error) -> bool {
    use ErrorKind::{
        InvalidUtf8, InvalidValue, NoEquals, TooFewValues, TooManyValues, ValueValidation,
        WrongNumberOfValues,
    };
    let kinds = [
        InvalidValue,
        ValueValidation,
        TooManyValues,
        TooFewValues,
        WrongNumberOfValues,
        NoEquals,
        InvalidUtf8,
    ];
    kinds.contains(&error.kind())
}

fn reason(error: &Error) -> String {
    if let Some(source) = error.source() {
        return source.to_string();
    }
    match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(valid)) if !valid.is_empty() => {
            format!("must be one of {}", valid.join(", "))
        }
        _ => "this value is not valid".to_owned(),
    }
}
