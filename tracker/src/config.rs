//! The configuration of a tracker.
//! The program fills it from its command-line flags.

use std::path::PathBuf;
use std::time::Duration;

use commons::net::plaintext::Plaintext;

use crate::limits::{NEWCOMERS_PER_NETWORK, SESSIONS_MAX, SESSIONS_PER_NETWORK, STRANGERS_MAX};

/// The settings of a tracker. [`Default`] holds the documented values.
#[derive(Debug, Clone)]
pub struct Config {
    /// The address to listen on, as `host:port`. Port 0 picks a free port.
    pub listen: String,
    /// The data folder. The tracker creates it if it does not exist.
    pub data: PathBuf,
    /// The time between two liveness sweeps.
    pub ping_interval: Duration,
    /// The time that a peer has to answer a PING.
    pub ping_timeout: Duration,
    /// The time for which an offline guest keeps a seat. Zero means until the next sweep.
    pub seat_hold: Duration,
    /// The clients that may use plaintext.
    pub plaintext: Plaintext,
    /// Whether the limits per network also apply to loopback addresses.
    pub limit_loopback: bool,
    /// The limits on connections.
    pub connections: ConnectionLimits,
    /// The cost of a password hash.
    pub password_cost: PasswordCost,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:6060".to_owned(),
            data: PathBuf::from("data"),
            ping_interval: Duration::from_secs(120),
            ping_timeout: Duration::from_secs(3),
            seat_hold: Duration::from_secs(24 * 60 * 60),
            plaintext: Plaintext::Loopback,
            limit_loopback: false,
            connections: ConnectionLimits::default(),
            password_cost: PasswordCost::default(),
        }
    }
}

/// The limits on connections. A network is an IPv4 address or an IPv6 /64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// The maximum number of connections at one time.
    pub sessions: usize,
    /// The maximum number of these that are unauthenticated.
    pub strangers: usize,
    /// The maximum number of connections from one network at one time.
    pub per_network: usize,
    /// The maximum number of new connections from one network within ten minutes.
    pub new_per_network: usize,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            sessions: SESSIONS_MAX,
            strangers: STRANGERS_MAX,
            per_network: SESSIONS_PER_NETWORK,
            new_per_network: NEWCOMERS_PER_NETWORK,
        }
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
