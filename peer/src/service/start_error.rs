//! The reason why a peer cannot start.

use std::io;
use std::net::SocketAddr;

/// The reason why a peer cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The tracker's address cannot be resolved.
    #[error("{0} is no address of a tracker: {1}")]
    Tracker(String, io::Error),
    /// The file of known trackers cannot be read.
    #[error("{0}")]
    KnownTrackers(io::Error),
    /// The port for links cannot be bound.
    #[error("cannot listen on {0}: {1}; choose another address with --listen")]
    Listen(SocketAddr, io::Error),
}
