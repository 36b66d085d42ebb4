//! The command line of the tracker.
//! It is read together with the settings file that it names.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use commons::names::Username;
use commons::settings::effective::{Effective, effective};
use commons::settings::file::SettingsFile;
use commons::settings::load::{self, LoadError};
use commons::settings::task::ConfigTask;
use commons::version::VERSION;
use tracker::config::Config;

#[cfg(unix)]
use crate::admin_task::AdminTask;

/// The tracker of the chat: it knows users, rooms and presence, and never sees a message.
#[derive(Parser)]
#[command(name = "tracker", version = VERSION)]
pub(crate) struct Args {
    /// The task, if it is not to run the tracker.
    #[command(subcommand)]
    pub(crate) task: Option<Task>,
    /// The settings file, in TOML: each long flag is a key, with _ for -
    #[arg(long = "config", global = true, env = "TRACKER_CONFIG", value_name = "FILE")]
    pub(crate) settings_file: Option<PathBuf>,
    /// The settings of the tracker.
    #[command(flatten)]
    pub(crate) config: Config,
}

/// The tasks other than running the tracker.
#[derive(Subcommand)]
pub(crate) enum Task {
    /// Print the public key by which peers recognise this tracker
    Fingerprint,
    /// Check the data folder or a backup; exits with status 1 if a tracker could not start on it
    Check {
        /// The data folder, or the file of a backup [default: the folder of --data]
        #[arg(value_name = "DIR|FILE")]
        folder: Option<PathBuf>,
        /// Accept the files with the edits made by hand; the tracker must be stopped
        #[arg(long)]
        accept_edits: bool,
    },
    /// Write all data to one file; the tracker may be running
    Backup {
        /// The file to write, which must not exist
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Restore a backup into a data folder that is missing or empty
    Restore {
        /// The file of the backup
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Reset a user's password and remove the user's keys; the tracker must be stopped
    ResetPassword {
        /// The name of the user
        #[arg(value_name = "NAME", value_parser = Username::parse)]
        username: Username,
        /// Read the new password from this file instead of asking for it
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// Check or show the settings
    #[command(subcommand)]
    Config(ConfigTask),
    /// Make the running tracker of the data folder read its settings file again
    Reload,
    /// List the users of the running tracker
    #[cfg(unix)]
    Users,
    /// List the sessions of the running tracker
    #[cfg(unix)]
    Sessions,
    /// Administer the running tracker of the data folder
    #[cfg(unix)]
    #[command(subcommand)]
    Admin(AdminTask),
    /// Write the manual pages and the shell completions
    Documents {
        /// The folder to write them to
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
}

/// The settings of a start or of a reload.
pub(crate) struct Loaded {
    /// The parsed command line.
    pub(crate) args: Args,
    /// The settings in force, each with its origin.
    pub(crate) effective: Vec<Effective>,
}

/// Reads the command line, the environment and the settings file.
pub(crate) fn load(arguments: &[OsString]) -> Result<Loaded, LoadError> {
    let command = Args::command();
    let parse = |matches: &_| Args::from_arg_matches(matches).map_err(LoadError::Flags);
    let matches = command.clone().try_get_matches_from(arguments).map_err(LoadError::Flags)?;
    let args = parse(&matches)?;
    // This task reads the file by itself, and reports each of its errors.
    let reads_file = !matches!(args.task, Some(Task::Config(ConfigTask::Check { .. })));
    let Some(path) = args.settings_file.as_ref().filter(|path| reads_file && !path.as_os_str().is_empty())
    else {
        return Ok(Loaded { effective: effective(&command, None, &matches), args });
    };
    let file = SettingsFile::read(path).map_err(LoadError::File)?;
    let matches = load::load(&command, &file, arguments)?;
    Ok(Loaded { args: parse(&matches)?, effective: effective(&command, Some(&file), &matches) })
}
