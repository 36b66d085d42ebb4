//! The records of users, as the tracker's lists and lookups show them.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::peer::{Peer, rfc3339_seconds};

/// A peer in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedPeer {
    /// The name of the user.
    pub username: String,
    /// The address of the peer.
    pub address: Option<IpAddr>,
    /// The port on which the peer accepts links.
    pub port: Option<u16>,
    /// Whether the peer is connected.
    pub connected: bool,
    /// Time of its last answer to a PING.
    #[serde(serialize_with = "rfc3339_seconds")]
    pub last_ping: Option<DateTime<Utc>>,
    /// The room that the user joined last, among the rooms of which the user is a member.
    pub room: Option<String>,
}

/// A peer in the reply to GET_PEER.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundPeer {
    /// The record, with the user's keys.
    #[serde(flatten)]
    pub peer: Peer,
    /// The room that the user joined last, among the rooms of which the user is a member.
    pub room: Option<String>,
}

impl ListedPeer {
    /// Creates the list entry of a record.
    #[must_use]
    pub fn new(peer: Peer, room: Option<String>) -> Self {
        let Peer { username, address, port, connected, last_ping, keys: _, endorsements: _ } = peer;
        Self { username: username.as_str().to_owned(), address, port, connected, last_ping, room }
    }
}
