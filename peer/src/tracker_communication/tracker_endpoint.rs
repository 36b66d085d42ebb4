//! The tracker that is expected: where it is, and which key it has to prove before anything is said to it.

use std::io;
use std::sync::{Mutex, OnceLock, PoisonError};

use commons::keys::PublicKey;
use commons::net::first_bytes::PlaintextAnswer;
use commons::net::socket::Socket;
use commons::net::tls::Identity;
use commons::protocol::with_tracker::{ErrorCode, Refusal, Status, TrackerMessage};
use tracing::debug;

use crate::api::tracker_loss::TrackerLoss;
use crate::tracker_communication::tracker_report::TrackerError;

/// A tracker's address and key.
#[derive(Debug)]
pub(crate) struct TrackerEndpoint {
    address: String,
    /// Given, met before, or met now.
    key: OnceLock<PublicKey>,
    /// The user told it with the address.
    given: bool,
    /// Why it could not be reached at the last try.
    failed: Mutex<Option<TrackerLoss>>,
}

impl TrackerEndpoint {
    /// The tracker at an address, with its key where that is known; `given`, where the user has told it.
    pub(crate) fn new(address: String, key: Option<PublicKey>, given: bool) -> Self {
        let key = key.map(OnceLock::from).unwrap_or_default();
        Self { address, key, given, failed: Mutex::default() }
    }

    /// Where it is.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The key that is known.
    pub(crate) fn key(&self) -> Option<PublicKey> {
        self.key.get().copied()
    }

    /// Why it could not be reached at the last try that failed.
    pub(crate) fn failed(&self) -> Option<TrackerLoss> {
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A try has failed for this reason.
    pub(crate) fn note_failure(&self, why: TrackerLoss) {
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
    }

    /// Connects, encrypts, and demands the key; one that is met first is demanded from then on.
    pub(crate) async fn meet(&self, me: &Identity) -> Result<Socket, TrackerError> {
        let dialled = Socket::dial(&self.address).await.map_err(|error| self.not_met(&error, false))?;
        let socket = dialled.encrypt(me).await.map_err(|error| self.not_met(&error, true))?;
        let found = socket.remote_key().ok_or(TrackerError::NotATracker)?;
        let pinned = *self.key.get_or_init(|| found);
        if pinned == found {
            Ok(socket)
        } else {
            Err(TrackerError::KeyChanged { pinned, found, given: self.given })
        }
    }

    /// What it means that the tracker could not be met, before its socket took the connection or after.
    fn not_met(&self, error: &io::Error, connected: bool) -> TrackerError {
        debug!(%error, connected, "the tracker cannot be reached");
        let refusal = refusal_in(error);
        let why = if refusal.is_some() { TrackerLoss::TurnedAway } else { TrackerLoss::of(error) };
        self.note_failure(why);
        match refusal {
            Some(refusal) => TrackerError::TurnedAway(refusal),
            None if connected && is_strange(error) => TrackerError::NotATracker,
            None => TrackerError::Lost,
        }
    }
}

/// What a tracker that has no room says in plaintext, where a handshake was expected. Nothing proves that it is the tracker's
/// word: it is shown, and nothing follows from it.
fn refusal_in(error: &io::Error) -> Option<Refusal> {
    let PlaintextAnswer(bytes) = error.get_ref()?.downcast_ref()?;
    let Ok(TrackerMessage::Status(status)) = serde_json::from_slice(bytes) else { return None };
    match *status {
        Status::Error(refusal) if matches!(refusal.code, ErrorCode::Busy | ErrorCode::RateLimited) => {
            Some(refusal)
        }
        _ => None,
    }
}

/// Whether somebody is there who does not shake hands as a tracker does: other bytes, or none before hanging up. An original
/// tracker takes the handshake for a damaged request and resets the connection.
fn is_strange(error: &io::Error) -> bool {
    let in_plaintext = error.get_ref().is_some_and(|error| error.is::<PlaintextAnswer>());
    let strange = matches!(
        error.kind(),
        io::ErrorKind::InvalidData
            | io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
    );
    in_plaintext || strange
}
