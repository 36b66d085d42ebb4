//! The record of a user: address, connection state and keys.

use std::net::{IpAddr, SocketAddr};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize, Serializer};

use crate::keys::{PublicKey, Signature};
use crate::names::Username;

/// A user's record: the address at which the user's program listens, and whether it is connected now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// The name of the user.
    pub username: Username,
    /// The address that the tracker saw, or that a peer on loopback claimed; `null` if it never connected.
    pub address: Option<IpAddr>,
    /// The port on which it accepts links; `null` if it never connected.
    pub port: Option<u16>,
    /// Whether it has a session and answered the last liveness sweep.
    pub connected: bool,
    /// Time of its last answer to a PING.
    #[serde(serialize_with = "rfc3339_seconds")]
    pub last_ping: Option<DateTime<Utc>>,
    /// The user's public keys; empty if the user never had any.
    #[serde(default)]
    pub keys: Vec<PublicKey>,
    /// Signatures by which one key vouches for another: see [`Endorsement`](crate::endorsement::Endorsement).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub endorsements: Vec<Signature>,
}

impl Peer {
    /// The record of a registered user who never connected.
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

    /// The address for a link to this peer, if it is known.
    #[must_use]
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.address?, self.port?))
    }
}

/// Writes a time as `2025-01-01T12:00:00Z`, the form of the original program's files.
pub(crate) fn rfc3339_seconds<S: Serializer>(
    time: &Option<DateTime<Utc>>,
    out: S,
) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => out.serialize_str(&time.to_rfc3339_opts(SecondsFormat::Secs, true)),
        None => out.serialize_none(),
    }
}
