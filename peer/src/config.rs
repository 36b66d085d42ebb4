//! The command line of the peer.
//!
//! Every flag can also be set by an environment variable, or by the settings file.

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};
use commons::names::Username;
use commons::net::plaintext::Plaintext;
use commons::settings::effective::{Effective, effective};
use commons::settings::file::SettingsFile;
use commons::settings::load::{self, LoadError};
use commons::settings::task::ConfigTask;
use commons::tracker_address::TrackerAddress;
use commons::version::VERSION;
use etcetera::BaseStrategy;

use crate::limits::MEMBER_RATE;
use crate::usual_tracker::UsualTracker;

/// The default address of the tracker.
pub const DEFAULT_TRACKER: &str = "127.0.0.1:6060";

/// The default address of the page.
const ANY_PORT: &str = "127.0.0.1:0";

/// Chat in small groups: messages go directly from peer to peer
#[derive(Debug, Clone, Parser)]
#[command(name = "peer", version = VERSION, about)]
pub struct Config {
    /// A task that the program runs instead of a conversation.
    #[command(subcommand)]
    pub task: Option<Task>,

    /// The settings file, in TOML: each long flag is a key, with _ for - [default: p2p-chat/peer.toml in the user's
    /// configuration folder, if it is there]
    #[arg(long = "config", global = true, env = "PEER_CONFIG", value_name = "FILE")]
    pub settings_file: Option<PathBuf>,

    /// The tracker's address; after `#`, its key as `tracker fingerprint` prints it [default: the address used at an
    /// earlier start, else 127.0.0.1:6060]
    #[arg(long, global = true, env = "PEER_TRACKER", value_name = "HOST:PORT[#KEY]")]
    pub tracker: Option<TrackerAddress>,

    /// The address on which to accept links; others dial ports from 1024 [default: a free port; on loopback if the tracker is on loopback]
    #[arg(long, env = "PEER_LISTEN", value_name = "ADDR:PORT")]
    pub listen: Option<SocketAddr>,

    /// The folder for this device's data [default: the user's data folder]
    #[arg(long, global = true, env = "PEER_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,

    /// Your user name; asked if absent
    #[arg(long, global = true, env = "PEER_USERNAME", value_name = "NAME")]
    pub username: Option<Username>,

    /// Create the account
    #[arg(long, env = "PEER_REGISTER", value_parser = FalseyValueParser::new())]
    pub register: bool,

    /// Read the password from this file, which is safer than PEER_PASSWORD in the environment [default: typed]
    #[arg(long, global = true, env = "PEER_PASSWORD_FILE", value_name = "FILE")]
    pub password_file: Option<PathBuf>,

    /// Read the registration code from this file, for a tracker that demands one [default: typed]
    #[arg(long, env = "PEER_REGISTRATION_CODE_FILE", value_name = "FILE")]
    pub registration_code_file: Option<PathBuf>,

    /// If the tracker refuses this device's key, sign in with the password all the same [default: asked]
    #[arg(long, global = true, env = "PEER_USE_PASSWORD", value_parser = FalseyValueParser::new())]
    pub use_password: bool,

    /// Send the password's digest once, for an account that an original program or an earlier version made [default: asked;
    /// sent to a tracker on this computer]
    #[arg(long, global = true, env = "PEER_SEND_DIGEST", value_parser = FalseyValueParser::new())]
    pub send_digest: bool,

    /// Allow plaintext with legacy clients, which have no key: never, loopback, always
    #[arg(long, env = "PEER_PLAINTEXT", value_name = "WHERE", default_value = "loopback")]
    pub plaintext: Plaintext,

    /// Read at most this many live messages of one member in a second, after a burst of ten seconds' worth; 0 is no limit
    #[arg(long, env = "PEER_MEMBER_RATE", value_name = "N", default_value_t = MEMBER_RATE)]
    pub member_rate: u32,

    /// Apply the limit per member to links over loopback too
    #[arg(long, env = "PEER_LIMIT_LOOPBACK", value_parser = FalseyValueParser::new())]
    pub limit_loopback: bool,

    /// The output format [default: text; json with --input json]
    #[arg(long, env = "PEER_OUTPUT", value_name = "FORMAT")]
    pub output: Option<OutputFormat>,

    /// The input format: commands as they are typed, or one JSON object a line
    #[arg(long, env = "PEER_INPUT", value_name = "FORMAT", default_value = "lines")]
    pub input: InputFormat,

    /// End with status 3 if a command was refused in a run that otherwise succeeded
    #[arg(long, env = "PEER_FAIL_ON_ERROR", value_parser = FalseyValueParser::new())]
    pub fail_on_error: bool,

    /// How a terminal alerts you to a private message, or one that names you: off, bell, desktop (bell and a
    /// notification without the text), desktop-text
    #[arg(long, env = "PEER_NOTIFY", value_name = "HOW", default_value = "bell")]
    pub notify: Notify,

    /// Serve the chat as a page to the browser of this computer, on a loopback address [default: 127.0.0.1, any free port]
    #[arg(long, env = "PEER_WEB", value_name = "ADDR:PORT", num_args = 0..=1, default_missing_value = ANY_PORT,
          value_parser = loopback)]
    pub web: Option<SocketAddr>,

    /// Serve the page, and open it in the browser
    #[arg(long, env = "PEER_WEB_OPEN", value_parser = FalseyValueParser::new())]
    pub web_open: bool,

    /// Run a tracker inside this program, on the tracker's address
    #[arg(long, env = "PEER_HOST", value_parser = FalseyValueParser::new())]
    pub host: bool,
}

/// A task that the program runs instead of a conversation.
#[derive(Debug, Clone, Subcommand)]
pub enum Task {
    /// Change the password of an account on this device
    Password {
        /// Read the new password from a file [default: typed]
        #[arg(long, env = "PEER_NEW_PASSWORD_FILE", value_name = "FILE")]
        new_password_file: Option<PathBuf>,
    },
    /// Move an account to another device, so that contacts see the same key
    #[command(subcommand)]
    Identity(IdentityTask),
    /// Check or show the settings
    #[command(subcommand)]
    Config(ConfigTask),
    /// Write the manual pages and the shell completions
    Documents {
        /// The folder to write them to
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
}

/// The settings of a start.
#[derive(Debug)]
pub struct Loaded {
    /// The parsed command line, with the values of the settings file.
    pub config: Config,
    /// The settings in force, each with its origin.
    pub effective: Vec<Effective>,
}

/// The direction in which an account is moved.
#[derive(Debug, Clone, Subcommand)]
pub enum IdentityTask {
    /// Export an account of this device to a file, sealed with its password
    Export {
        /// The file to write, which must not exist yet
        file: PathBuf,
    },
    /// Import an account from such a file; --tracker gives another address of its tracker
    Import {
        /// The file to read
        file: PathBuf,
    },
}

/// The output format of the conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// Text for people.
    Text,
    /// JSON for programs, one event a line.
    Json,
}

/// The input format of commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum InputFormat {
    /// Commands as they are typed, one a line.
    Lines,
    /// JSON requests, one object a line.
    Json,
}

/// The alert at a terminal for a message to the user, besides its mark.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Notify {
    /// No alert: only the mark.
    Off,
    /// The terminal's bell.
    #[default]
    Bell,
    /// The bell and a desktop notification (OSC 9), which names the sender and hides the text.
    Desktop,
    /// The bell and a desktop notification with the text.
    DesktopText,
}

impl Config {
    /// Reads the command line, the environment and the settings file. A flag overrides the environment, and that the
    /// file.
    pub fn load(arguments: &[OsString]) -> Result<Loaded, LoadError> {
        let command = Self::command();
        let parse = |matches: &_| Self::from_arg_matches(matches).map_err(LoadError::Flags);
        let matches = command.clone().try_get_matches_from(arguments).map_err(LoadError::Flags)?;
        let config = parse(&matches)?;
        // This task reads the file by itself, and reports each of its errors.
        let reads_file = !matches!(config.task, Some(Task::Config(ConfigTask::Check { .. })));
        let Some(path) = config.settings_file().filter(|_| reads_file) else {
            return Ok(Loaded { effective: effective(&command, None, &matches), config });
        };
        let file = SettingsFile::read(&path).map_err(LoadError::File)?;
        let matches = load::load(&command, &file, arguments)?;
        Ok(Loaded { config: parse(&matches)?, effective: effective(&command, Some(&file), &matches) })
    }

    /// Returns the path of the settings file: the one that a flag names, else the default one if it exists. An empty
    /// path stands for no file.
    #[must_use]
    pub fn settings_file(&self) -> Option<PathBuf> {
        match &self.settings_file {
            Some(path) => Some(path.clone()).filter(|path| !path.as_os_str().is_empty()),
            None => default_settings_file().filter(|path| path.exists()),
        }
    }

    /// Returns the output format; `None` if --input and --output contradict each other.
    #[must_use]
    pub fn output(&self) -> Option<OutputFormat> {
        match (self.input, self.output) {
            (InputFormat::Json, Some(OutputFormat::Text)) => None,
            (InputFormat::Json, _) => Some(OutputFormat::Json),
            (InputFormat::Lines, output) => Some(output.unwrap_or(OutputFormat::Text)),
        }
    }

    /// Returns the address of the page, if there is to be one.
    #[must_use]
    pub fn page(&self) -> Option<SocketAddr> {
        self.web.or_else(|| self.web_open.then_some(SocketAddr::from(([127, 0, 0, 1], 0))))
    }

    /// Returns true if the page is the only frontend: nobody types, and no output was asked for.
    #[must_use]
    pub fn is_page_alone(&self) -> bool {
        let nobody_types = self.input == InputFormat::Lines && !io::stdin().is_terminal();
        self.page().is_some() && nobody_types && self.output.is_none()
    }

    /// Returns the tracker's address. Fails if the stored address cannot be read.
    pub fn tracker(&self) -> io::Result<TrackerAddress> {
        match &self.tracker {
            Some(tracker) => Ok(tracker.clone()),
            None => Ok(TrackerAddress { address: self.default_tracker()?, key: None }),
        }
    }

    /// Returns the tracker's address if no flag gives it. A tracker that runs inside this program listens at the
    /// default address.
    pub fn default_tracker(&self) -> io::Result<String> {
        let usual = if self.host { None } else { UsualTracker::of(&self.data()).address()? };
        Ok(usual.unwrap_or_else(|| DEFAULT_TRACKER.to_owned()))
    }

    /// Returns the folder for this device's data.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.data.clone().unwrap_or_else(|| {
            // If the user has no home folder, the current folder is used.
            etcetera::choose_base_strategy()
                .map(|places| places.data_dir().join("p2p-chat"))
                .unwrap_or_else(|_| PathBuf::from("p2p-chat"))
        })
    }
}

/// The path of the settings file, if no flag names another.
fn default_settings_file() -> Option<PathBuf> {
    etcetera::choose_base_strategy().ok().map(|places| places.config_dir().join("p2p-chat").join("peer.toml"))
}

/// Parses the address of the page. Other computers must not reach it.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr =
        text.parse().map_err(|_| "an address is ADDR:PORT, as in 127.0.0.1:8080".to_owned())?;
    if address.ip().is_loopback() {
        return Ok(address);
    }
    Err("the page is for this computer only: give an address such as 127.0.0.1:8080".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_flag_has_an_environment_variable() {
        Config::command().debug_assert();
        let config = Config::command();
        let commands = std::iter::once(&config).chain(config.get_subcommands());
        for flag in commands.flat_map(|command| command.get_arguments()) {
            let Some(name) = flag.get_long() else { continue };
            let name = name.replace('-', "_").to_uppercase();
            assert_eq!(flag.get_env().and_then(|env| env.to_str()), Some(format!("PEER_{name}").as_str()));
        }
    }

    #[test]
    fn a_flag_wins_over_the_settings_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("peer.toml");
        let load = |settings: &str, flags: &[&str]| {
            std::fs::write(&file, settings).unwrap();
            let named = ["peer", "--config", file.to_str().unwrap()];
            let arguments: Vec<_> = named.iter().chain(flags).map(OsString::from).collect();
            Config::load(&arguments).map(|loaded| loaded.config)
        };
        let settings = "plaintext = \"never\"\nusername = \"ana\"\nweb_open = true\n";
        let config = load(settings, &["--username", "bob"]).unwrap();
        assert_eq!((config.plaintext, config.web_open), (Plaintext::Never, true));
        assert_eq!(config.username.map(|name| name.to_string()), Some("bob".to_owned()));
        // Control: without the file, the defaults hold.
        assert_eq!(load("", &[]).unwrap().plaintext, Plaintext::Loopback);
        let Err(LoadError::File(errors)) = load("\nnotifi = \"off\"\n", &[]) else { panic!("no error") };
        let expected =
            format!("{}, line 2: there is no setting \"notifi\": did you mean notify?", file.display());
        assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), [expected]);
    }

    #[test]
    fn flag_overrides_the_stored_address_and_a_host_needs_none() {
        let data = tempfile::tempdir().unwrap();
        let tracker = |flags: &[&str]| {
            let folder = ["peer", "--data", data.path().to_str().unwrap()];
            Config::try_parse_from(folder.iter().chain(flags)).unwrap().tracker().unwrap().to_string()
        };
        assert_eq!(tracker(&[]), DEFAULT_TRACKER);
        UsualTracker::of(data.path()).remember("chat.example:7070").unwrap();
        assert_eq!(tracker(&[]), "chat.example:7070");
        assert_eq!(tracker(&["--tracker", "127.0.0.1:1"]), "127.0.0.1:1");
        assert_eq!(tracker(&["--host"]), DEFAULT_TRACKER);
    }

    #[test]
    fn an_address_that_is_none_is_wrong_usage() {
        assert!(Config::try_parse_from(["peer", "--tracker", "nonsense"]).is_err());
        assert!(Config::try_parse_from(["peer", "--tracker", "localhost:6060#ab"]).is_err());
        assert!(Config::try_parse_from(["peer", "--tracker", "localhost:6060"]).is_ok());
    }

    #[test]
    fn the_page_is_for_this_computer_only() {
        let page = |flags: &[&str]| {
            let parsed = Config::try_parse_from(["peer"].iter().chain(flags));
            parsed.map(|config| config.page().map(|address| address.to_string())).map_err(drop)
        };
        assert_eq!(page(&[]), Ok(None));
        assert_eq!(page(&["--web"]), Ok(Some("127.0.0.1:0".to_owned())));
        assert_eq!(page(&["--web-open"]), Ok(Some("127.0.0.1:0".to_owned())));
        assert_eq!(page(&["--web", "[::1]:8080", "--web-open"]), Ok(Some("[::1]:8080".to_owned())));
        for elsewhere in ["0.0.0.0:8080", "192.0.2.1:8080", "[::]:8080", "localhost", "8080"] {
            assert_eq!(page(&["--web", elsewhere]), Err(()), "{elsewhere}");
        }
    }

    #[test]
    fn a_name_that_is_none_is_wrong_usage() {
        assert!(Config::try_parse_from(["peer", "--username", "Ana"]).is_err());
        let config = Config::try_parse_from(["peer", "--username", "ana", "--output", "json"]).unwrap();
        assert_eq!(
            (config.username.as_ref().map(Username::as_str), config.output()),
            (Some("ana"), Some(OutputFormat::Json))
        );
    }
}
