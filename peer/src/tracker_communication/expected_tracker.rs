//! The tracker that is expected: where it is, and which key it has to prove before anything is said to it.

use std::io;
use std::sync::OnceLock;

use commons::keys::PublicKey;
use commons::net::socket::Socket;
use commons::net::tls::Identity;
use tracing::debug;

use crate::tracker_communication::uplink::TrackerError;

/// A tracker's address and key.
#[derive(Debug)]
pub(crate) struct ExpectedTracker {
    address: String,
    /// Given, met before, or met now.
    key: OnceLock<PublicKey>,
    /// The user told it with the address.
    given: bool,
}

impl ExpectedTracker {
    /// The tracker at an address, with its key where that is known; `given`, where the user has told it.
    pub(crate) fn new(address: String, key: Option<PublicKey>, given: bool) -> Self {
        Self { address, key: key.map(OnceLock::from).unwrap_or_default(), given }
    }

    /// Where it is.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The key that is known.
    pub(crate) fn key(&self) -> Option<PublicKey> {
        self.key.get().copied()
    }

    /// Connects, encrypts, and demands the key; one that is met first is demanded from then on.
    pub(crate) async fn meet(&self, me: &Identity) -> Result<Socket, TrackerError> {
        let socket = Socket::dial_encrypted(&self.address, me).await.map_err(|error| {
            debug!(%error, "the tracker cannot be reached");
            if is_strange(&error) { TrackerError::Stranger } else { TrackerError::Lost }
        })?;
        let found = socket.remote_key().ok_or(TrackerError::Stranger)?;
        let pinned = *self.key.get_or_init(|| found);
        if pinned == found {
            Ok(socket)
        } else {
            Err(TrackerError::KeyChanged { pinned, found, given: self.given })
        }
    }
}

/// Whether somebody is there who does not shake hands as a tracker does: other bytes, or none before hanging up.
fn is_strange(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}
