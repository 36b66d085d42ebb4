//! The configuration of a tracker.
//! This is the only declaration of the flags, with their environment variables and defaults.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::{FalseyValueParser, Resettable};
use clap::{ArgAction, Args, Command, FromArgMatches as _};
use commons::names::is_printable_line;
use commons::net::plaintext::Plaintext;
use commons::net::socket::host_and_port;
use commons::time_forms::TIME_FORMS;
use tracing_subscriber::EnvFilter;

use crate::limits::{
    ENTRY_BEHIND_MAX, LOG_FILES, LOG_FILES_MAX, LOG_SIZE, LOG_SIZE_MIN, MONITOR_INTERVAL_MIN, MOTD_MAX,
    NEWCOMERS_PER_NETWORK, PREAUTH_MAX, SESSIONS_MAX, SESSIONS_PER_NETWORK,
};
use crate::size::Size;

/// The settings that a running tracker takes over from a changed settings file. All others need a restart.
pub const RELOADABLE: [&str; 15] = [
    "ping_interval",
    "ping_timeout",
    "seat_hold",
    "registration",
    "registration_code_file",
    "motd",
    "plaintext",
    "monitor",
    "max_sessions",
    "max_strangers",
    "max_per_network",
    "max_new_per_network",
    "log_level",
    "log_max_size",
    "log_files",
];

/// The settings of a tracker. [`Default`] holds the documented values, whatever the environment holds.
// Without the second line, the help of the program would begin with the comment above.
#[derive(Debug, Clone, Args)]
#[command(about = None, long_about = None)]
pub struct Config {
    /// The address to listen on; port 0 picks a free port
    #[arg(long, env = "TRACKER_LISTEN", value_name = "ADDR:PORT", default_value = "127.0.0.1:6060", value_parser = host_and_port)]
    pub listen: String,
    /// The data folder; the tracker creates it if it does not exist
    #[arg(long, global = true, env = "TRACKER_DATA", value_name = "DIR", default_value = "data")]
    pub data: PathBuf,
    /// The time between two liveness sweeps
    #[arg(long, env = "TRACKER_PING_INTERVAL", value_name = "TIME", default_value = "120s", value_parser = some_time)]
    pub ping_interval: Duration,
    /// The time that a peer has to answer a PING
    #[arg(long, env = "TRACKER_PING_TIMEOUT", value_name = "TIME", default_value = "3s", value_parser = some_time)]
    pub ping_timeout: Duration,
    /// The time for which an offline guest keeps a seat
    #[arg(long, env = "TRACKER_SEAT_HOLD", value_name = "TIME", default_value = "24h", value_parser = length_of_time)]
    pub seat_hold: Duration,
    /// The people who may register: open, code, closed
    #[arg(long, env = "TRACKER_REGISTRATION", value_name = "MODE", default_value = "open")]
    pub registration: RegistrationMode,
    /// The file with the registration codes, one a line, for --registration code
    #[arg(long, env = "TRACKER_REGISTRATION_CODE_FILE", value_name = "FILE")]
    pub registration_code_file: Option<PathBuf>,
    /// A message for each user who signs in
    #[arg(long, env = "TRACKER_MOTD", value_name = "TEXT", value_parser = message_of_the_day)]
    pub motd: Option<String>,
    /// The clients that may use plaintext: never, loopback, always
    #[arg(long, env = "TRACKER_PLAINTEXT", value_name = "WHERE", default_value = "loopback")]
    pub plaintext: Plaintext,
    /// Apply the limits per network to loopback addresses too
    #[arg(long, env = "TRACKER_LIMIT_LOOPBACK", value_name = "TRUE|FALSE", action = ArgAction::Set, num_args = 0..=1,
          require_equals = true, default_missing_value = "true", default_value = "false",
          value_parser = FalseyValueParser::new())]
    pub limit_loopback: bool,
    /// Serve metrics, health checks and a status page on this address; port 0 picks a free port
    #[arg(long, env = "TRACKER_STATUS", value_name = "ADDR:PORT", value_parser = host_and_port)]
    pub status: Option<String>,
    /// Print the figures of the tracker on the console at this interval
    #[arg(long, env = "TRACKER_MONITOR", value_name = "TIME", value_parser = monitor_interval)]
    pub monitor: Option<Duration>,
    /// The limits on connections
    #[command(flatten)]
    pub connections: ConnectionLimits,
    /// The settings of the log
    #[command(flatten)]
    pub logs: LogConfig,
    /// Whether the first user who registers becomes an admin, if the address is loopback
    #[arg(skip = true)]
    pub first_user_is_admin: bool,
    /// The cost of a password hash
    #[arg(skip)]
    pub password_cost: PasswordCost,
    /// The time by which an entry of a room's log may be behind the tracker's clock
    #[arg(skip = ENTRY_BEHIND_MAX)]
    pub entry_behind_max: Duration,
}

/// The limits on connections. A network is an IPv4 address or an IPv6 /64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
#[command(about = None, long_about = None)]
pub struct ConnectionLimits {
    /// The maximum number of connections
    #[arg(long = "max-sessions", env = "TRACKER_MAX_SESSIONS", value_name = "N", default_value_t = SESSIONS_MAX, value_parser = some)]
    pub sessions: usize,
    /// The maximum number of connections that have not signed in
    #[arg(long = "max-strangers", env = "TRACKER_MAX_STRANGERS", value_name = "N", default_value_t = PREAUTH_MAX, value_parser = some)]
    pub preauth: usize,
    /// The maximum number of connections from one network: an IPv4 address or an IPv6 /64
    #[arg(long = "max-per-network", env = "TRACKER_MAX_PER_NETWORK", value_name = "N", default_value_t = SESSIONS_PER_NETWORK, value_parser = some)]
    pub per_network: usize,
    /// The maximum number of new connections from one network within ten minutes
    #[arg(long = "max-new-per-network", env = "TRACKER_MAX_NEW_PER_NETWORK", value_name = "N", default_value_t = NEWCOMERS_PER_NETWORK, value_parser = some)]
    pub new_per_network: usize,
}

/// The settings of the log.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(about = None, long_about = None)]
pub struct LogConfig {
    /// The events to log: error, warn, info, debug or trace, or a filter such as warn,tracker=debug
    #[arg(long = "log-level", env = "RUST_LOG", value_name = "LEVEL", default_value = "info", value_parser = log_filter)]
    pub level: String,
    /// The format of the log: text or json
    #[arg(long = "log-format", env = "TRACKER_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    pub format: LogFormat,
    /// Also write the log to server.log, connections.log, errors.log and security.log in this folder
    #[arg(long = "log-dir", env = "TRACKER_LOG_DIR", value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// The size at which a log file is renamed and a new one begins
    #[arg(long = "log-max-size", env = "TRACKER_LOG_MAX_SIZE", value_name = "SIZE", default_value_t = Size(LOG_SIZE), value_parser = log_size)]
    pub max_size: Size,
    /// The number of files that are kept of each log file
    #[arg(long = "log-files", env = "TRACKER_LOG_FILES", value_name = "N", default_value_t = LOG_FILES, value_parser = log_files)]
    pub files: usize,
}

/// The people who may register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegistrationMode {
    /// Everybody may register.
    Open,
    /// A registration code is demanded.
    Code,
    /// No new accounts are accepted.
    Closed,
}

impl FromStr for RegistrationMode {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "open" => Ok(Self::Open),
            "code" => Ok(Self::Code),
            "closed" => Ok(Self::Closed),
            _ => Err("use open, code or closed"),
        }
    }
}

/// Checks the message of the day: one line without control and invisible characters.
fn message_of_the_day(text: &str) -> Result<String, String> {
    match text {
        text if text.len() > MOTD_MAX => Err(format!("must have at most {MOTD_MAX} bytes")),
        text if !is_printable_line(text) => {
            Err("must be one line of text, without invisible characters".to_owned())
        }
        text => Ok(text.to_owned()),
    }
}

/// The format of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text for people.
    Text,
    /// One JSON object a line, for programs.
    Json,
}

impl FromStr for LogFormat {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("use text or json"),
        }
    }
}

/// Checks a filter of log events. An empty one stands for the default.
fn log_filter(text: &str) -> Result<String, String> {
    let text = if text.is_empty() { "info" } else { text };
    match EnvFilter::builder().parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => {
            Err("use error, warn, info, debug or trace, or a filter such as warn,tracker=debug".to_owned())
        }
    }
}

fn log_size(text: &str) -> Result<Size, String> {
    match text.parse() {
        Ok(Size(bytes)) if bytes < LOG_SIZE_MIN => Err(format!("must be at least {}", Size(LOG_SIZE_MIN))),
        parsed => parsed,
    }
}

fn log_files(text: &str) -> Result<usize, String> {
    match some(text)? {
        files if files > LOG_FILES_MAX => Err(format!("must be at most {LOG_FILES_MAX}")),
        files => Ok(files),
    }
}

/// Parses a number that is not zero.
fn some(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".to_owned()),
        parsed => parsed.map_err(|_| "must be a number".to_owned()),
    }
}

/// Parses the interval of the monitor.
fn monitor_interval(text: &str) -> Result<Duration, String> {
    match some_time(text)? {
        interval if interval < MONITOR_INTERVAL_MIN => {
            Err(format!("must be at least {}", humantime::format_duration(MONITOR_INTERVAL_MIN)))
        }
        interval => Ok(interval),
    }
}

/// Parses a duration that is not zero.
fn some_time(text: &str) -> Result<Duration, String> {
    match length_of_time(text) {
        Ok(Duration::ZERO) => Err("must be more than zero".to_owned()),
        parsed => parsed.map_err(ToOwned::to_owned),
    }
}

/// Parses a duration as a person types it. The error names the forms.
pub fn length_of_time(text: &str) -> Result<Duration, &'static str> {
    humantime::parse_duration(text).map_err(|_| TIME_FORMS)
}

impl Default for Config {
    fn default() -> Self {
        let flags = Self::augment_args(Command::new("tracker"));
        let flags = flags.mut_args(|flag| flag.env(Resettable::Reset));
        let given = flags.get_matches_from([""]);
        Self::from_arg_matches(&given).unwrap_or_else(|error| error.exit())
    }
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Config::default().connections
    }
}

/// The argon2id cost of one password hash. The default is OWASP's recommended minimum. Lower values are for tests that
/// create thousands of accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PasswordCost {
    /// The memory of one hash in KiB.
    pub memory: u32,
    /// The number of passes over the memory.
    pub passes: u32,
}

impl Default for PasswordCost {
    fn default() -> Self {
        Self { memory: 19 * 1024, passes: 2 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_those_of_the_flags() {
        let config = Config::default();
        assert_eq!((config.listen.as_str(), config.data), ("127.0.0.1:6060", PathBuf::from("data")));
        assert_eq!((config.ping_interval.as_secs(), config.ping_timeout.as_secs()), (120, 3));
        assert_eq!(config.seat_hold.as_secs(), 24 * 60 * 60);
        assert_eq!((config.plaintext, config.limit_loopback), (Plaintext::Loopback, false));
        let limits = ConnectionLimits {
            sessions: SESSIONS_MAX,
            preauth: PREAUTH_MAX,
            per_network: SESSIONS_PER_NETWORK,
            new_per_network: NEWCOMERS_PER_NETWORK,
        };
        assert_eq!((config.connections, ConnectionLimits::default()), (limits, limits));
    }

    #[test]
    fn message_of_the_day_has_no_invisible_character() {
        assert!(message_of_the_day("Olá, be kind 🙂").is_ok());
        for bad in ["two\nlines", "\u{202e}kind", "ki\u{200b}nd", "\u{1b}[2J"] {
            assert!(message_of_the_day(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn zero_is_refused_where_it_has_no_meaning() {
        let parse = |flag: &str, value: &str| {
            let flags = Config::augment_args(Command::new("tracker"));
            flags.try_get_matches_from(["tracker", flag, value].map(str::to_owned)).map(drop).is_ok()
        };
        let flags = ["--max-sessions", "--max-strangers", "--max-per-network", "--max-new-per-network"]
            .map(|it| (it, "1"));
        for (flag, good) in flags.into_iter().chain([("--ping-interval", "1s"), ("--ping-timeout", "1s")]) {
            assert!(parse(flag, good), "{flag}");
            assert!(!parse(flag, &good.replace('1', "0")), "{flag}");
        }
        assert!(parse("--seat-hold", "0s"));
    }
}
