//! How a tracker is set up.

use std::path::PathBuf;
use std::time::Duration;

use commons::net::plaintext::Plaintext;

use crate::limits::{NEWCOMERS_PER_NETWORK, SESSIONS_MAX, SESSIONS_PER_NETWORK, STRANGERS_MAX};

/// What a tracker is told at its start; [`Default`] holds the documented values.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen, `host:port`; port 0 picks a free one.
    pub listen: String,
    /// The folder of the state; made where it does not exist.
    pub data: PathBuf,
    /// Time between two sweeps.
    pub ping_interval: Duration,
    /// How long a peer may take to answer a PING.
    pub ping_timeout: Duration,
    /// How long a guest who is offline keeps a seat; zero is until the next sweep.
    pub seat_hold: Duration,
    /// From where plaintext is taken.
    pub plaintext: Plaintext,
    /// Whether limits per address hold for loopback too.
    pub limit_loopback: bool,
    /// How many connections are let in.
    pub connections: ConnectionLimits,
    /// What a password hash costs.
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

/// How many connections are let in. A network is an IPv4 address or a /64 of IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// At one time, in all.
    pub sessions: usize,
    /// Of these, how many that have not signed in.
    pub strangers: usize,
    /// At one time, from one network.
    pub per_network: usize,
    /// New ones from one network within ten minutes.
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

/// What argon2id is to spend on one password. The default is what OWASP asks for at least; anything below is for
/// tests, where thousands of accounts are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PasswordCost {
    /// Memory in KiB.
    pub memory: u32,
    /// Passes over it.
    pub passes: u32,
}

impl Default for PasswordCost {
    fn default() -> Self {
        Self { memory: 19 * 1024, passes: 2 }
    }
}
