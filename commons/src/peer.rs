//! A peer as others see it: who, where, and whether it answers.

use std::net::{IpAddr, SocketAddr};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize, Serializer};

use crate::keys::{PublicKey, Signature};
use crate::names::Username;

/// A user's record: where the program listens and whether it is connected now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Whose record this is.
    pub username: Username,
    /// Where the peer was seen, or said from loopback to be; `null` for one that never connected.
    pub address: Option<IpAddr>,
    /// The port on which it takes links; `null` for one that never connected.
    pub port: Option<u16>,
    /// Whether it has a session and answered the last sweep.
    pub connected: bool,
    /// When it last answered a PING.
    #[serde(serialize_with = "rfc3339_seconds")]
    pub last_ping: Option<DateTime<Utc>>,
    /// The user's public keys; empty for one who never had any.
    #[serde(default)]
    pub keys: Vec<PublicKey>,
    /// Signatures by which one of the keys vouches for another: see [`Endorsement`](crate::endorsement::Endorsement).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub endorsements: Vec<Signature>,
}

impl Peer {
    /// The record of a registered user who was never seen.
    #[must_use]
    pub fn never_seen(username: Username) -> Self {
        Self {
            username,
            address: None,
            port: None,
            connected: false,
            last_ping: None,
            keys: Vec::new(),
            endorsements: Vec::new(),
        }
    }

    /// Where a link to this peer goes, if it is known.
    #[must_use]
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.address?, self.port?))
    }
}

/// Writes a time as `2025-01-01T12:00:00Z`, in the form of the original's files.
pub(crate) fn rfc3339_seconds<S: Serializer>(
    time: &Option<DateTime<Utc>>,
    out: S,
) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => out.serialize_str(&time.to_rfc3339_opts(SecondsFormat::Secs, true)),
        None => out.serialize_none(),
    }
}
