//! The expected tracker: its address, and the key that it must prove before any request is sent.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
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
    /// The key: given by the user, known before, or met now.
    key: OnceLock<PublicKey>,
    /// Whether the user gave the key with the address.
    given: bool,
    /// Reason of the last failed attempt.
    failed: Mutex<Option<TrackerLoss>>,
    /// The message of the day, which came with the sign-in.
    motd: OnceLock<String>,
    /// True if the present session acts as an admin, or the last one did.
    is_admin: AtomicBool,
    /// True if the last connection led to a loopback address.
    is_on_loopback: AtomicBool,
    /// The IP address at which the tracker proved its key last.
    reached: Mutex<Option<IpAddr>>,
}

impl TrackerEndpoint {
    /// Describes a tracker by its address, and its key if that is known. `given` says that the user gave the key.
    pub(crate) fn new(address: String, key: Option<PublicKey>, given: bool) -> Self {
        let key = key.map(OnceLock::from).unwrap_or_default();
        let (is_admin, is_on_loopback) = Default::default();
        Self {
            address,
            key,
            given,
            failed: Mutex::default(),
            motd: OnceLock::new(),
            is_admin,
            is_on_loopback,
            reached: Mutex::default(),
        }
    }

    /// The tracker's address (host and port).
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The IP address at which the tracker proved its key last. Before that it is known only if the user gave an IP
    /// address, or localhost.
    pub(crate) fn ip(&self) -> Option<IpAddr> {
        let reached = *self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        reached.or_else(|| match self.address.rsplit_once(':') {
            Some(("localhost", _)) => Some(Ipv4Addr::LOCALHOST.into()),
            _ => self.address.parse().ok().map(|address: SocketAddr| address.ip()),
        })
    }

    /// The expected key, if it is known.
    pub(crate) fn key(&self) -> Option<PublicKey> {
        self.key.get().copied()
    }

    /// Reason of the last failed attempt.
    pub(crate) fn failed(&self) -> Option<TrackerLoss> {
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores the reason of a failed attempt.
    pub(crate) fn note_failure(&self, why: TrackerLoss) {
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
    }

    /// The message of the day that came with the sign-in.
    pub(crate) fn motd(&self) -> Option<&str> {
        self.motd.get().map(String::as_str)
    }

    /// Stores the message of the day. Only the first one is kept.
    pub(crate) fn note_motd(&self, text: &str) {
        let _ = self.motd.set(text.to_owned());
    }

    /// True if the last connection led to a loopback address. The name of the address does not tell.
    pub(crate) fn is_on_loopback(&self) -> bool {
        self.is_on_loopback.load(Ordering::Relaxed)
    }

    /// True if the tracker says that the session acts as an admin.
    pub(crate) fn is_admin(&self) -> bool {
        self.is_admin.load(Ordering::Relaxed)
    }

    /// Stores the role of a session that has just signed in.
    pub(crate) fn note_admin(&self, is_admin: bool) {
        self.is_admin.store(is_admin, Ordering::Relaxed);
    }

    /// Connects, encrypts, and checks the key. A key that is met first is required from then on.
    pub(crate) async fn connect_pinned(&self, me: &Identity) -> Result<Socket, TrackerError> {
        let dialled = Socket::dial(&self.address).await.map_err(|error| self.connect_error(&error, false))?;
        let is_on_loopback = dialled.peer_addr().is_ok_and(|address| address.ip().is_loopback());
        self.is_on_loopback.store(is_on_loopback, Ordering::Relaxed);
        let socket = dialled.encrypt(me).await.map_err(|error| self.connect_error(&error, true))?;
        let found = socket.remote_key().ok_or(TrackerError::NotATracker)?;
        let pinned = *self.key.get_or_init(|| found);
        if pinned == found {
            let address = socket.peer_addr().ok().map(|address| address.ip());
            *self.reached.lock().unwrap_or_else(PoisonError::into_inner) = address;
            Ok(socket)
        } else {
            Err(TrackerError::KeyChanged { pinned, found, given: self.given })
        }
    }

    /// The error for a failed attempt, before or after the socket was connected.
    fn connect_error(&self, error: &io::Error, connected: bool) -> TrackerError {
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

/// Parses the plaintext refusal of a tracker that has no room or bans the address, instead of the handshake. Nothing
/// proves that it comes from the tracker, so it is shown and has no other effect.
fn refusal_in(error: &io::Error) -> Option<Refusal> {
    let PlaintextAnswer(bytes) = error.get_ref()?.downcast_ref()?;
    let Ok(TrackerMessage::Status(status)) = serde_json::from_slice(bytes) else { return None };
    match *status {
        Status::Error(refusal) if refuses_connections(refusal.code) => Some(refusal),
        _ => None,
    }
}

fn refuses_connections(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::Busy | ErrorCode::RateLimited | ErrorCode::Banned)
}

/// Whether the other side fails the handshake in a way no current tracker does: with other bytes, or by hanging up. A
/// legacy tracker reads the handshake as a damaged request and resets the connection.
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
