//! What the tracker knows of one connection: where it comes from, who it is, what waits to be said to it.

use std::net::SocketAddr;

use commons::keys::PublicKey;
use commons::names::Username;
use commons::net::frame::encode;
use commons::protocol::with_tracker::{ErrorCode, NotARequest, Refusal, RequestId, Status, TrackerRequest};
use serde::Serialize;
use tokio::sync::watch;

use crate::connection_id::ConnectionId;
use crate::handlers::outcome::RequestError;
use crate::handlers::user::Origin;
use crate::legacy_texts;
use crate::limits::WRONG_PASSWORDS_MAX;
use crate::request_limiter::RequestLimiter;
use crate::send_queue::SendQueue;

/// What the tracker knows of one connection.
#[derive(Debug)]
pub(crate) struct Client {
    /// Where it comes from.
    pub(crate) from: SocketAddr,
    /// The key that it has proven, on an encrypted session.
    pub(crate) key: Option<PublicKey>,
    /// What waits to be said to it.
    pub(crate) outbox: SendQueue,
    /// Who it is, once it has signed in.
    pub(crate) signed_in: Option<SignedIn>,
    /// How fast it may ask.
    pub(crate) rates: RequestLimiter,
    /// Whether it is an original Python peer: it signs in in plaintext, and none of its requests has an id.
    pub(crate) legacy: bool,
    wrong_passwords: u32,
}

/// A login that counts.
#[derive(Debug)]
pub(crate) struct SignedIn {
    /// Whose.
    pub(crate) username: Username,
    /// Which.
    pub(crate) connection: ConnectionId,
    /// Where the answers to our PINGs go; only to a session that carries ids do we say more than the original did.
    pub(crate) pongs: Option<watch::Sender<()>>,
}

/// The error for a frame that holds no JSON object.
pub(crate) fn not_an_object() -> NotARequest {
    NotARequest { id: None, code: ErrorCode::Malformed, msg: "a request is one JSON object".to_owned() }
}

impl Client {
    /// The address and the key by which a password is judged.
    pub(crate) fn origin(&self) -> Origin {
        Origin { ip: self.from.ip(), key: self.key }
    }

    /// Somebody at `from`.
    pub(crate) fn new(from: SocketAddr, key: Option<PublicKey>, outbox: SendQueue) -> Self {
        Self {
            from,
            key,
            outbox,
            signed_in: None,
            rates: RequestLimiter::default(),
            legacy: false,
            wrong_passwords: 0,
        }
    }

    /// Learns from a request, with an id or without, what kind of program it is.
    pub(crate) fn recognise(&mut self, with_id: bool) {
        let unknown = self.signed_in.is_none() && self.key.is_none();
        self.legacy = !with_id && (self.legacy || unknown);
    }

    /// Queues a reply.
    pub(crate) fn say(&self, message: impl Serialize) {
        match encode(&message) {
            Ok(line) => self.outbox.answer(line),
            Err(error) => tracing::error!(%error, "a reply could not be written as JSON"),
        }
    }

    /// Tells it why not; `request` is what it asked for, where that could be read.
    pub(crate) fn refuse(
        &self,
        id: Option<RequestId>,
        refused: RequestError,
        request: Option<&TrackerRequest>,
    ) {
        let user = self.signed_in.as_ref().map(|me| &me.username);
        let legacy = self.legacy.then(|| legacy_texts::refused(&refused, request, user));
        let RequestError { code, msg } = refused;
        tracing::debug!(from = %self.from, ?code, "refused");
        self.say(Status::Error(Refusal { msg: legacy.unwrap_or(msg), code, id }));
    }

    /// Counts a wrong password.
    pub(crate) fn count_guess(&mut self, code: ErrorCode) {
        if code == ErrorCode::InvalidCredentials {
            tracing::warn!(from = %self.from, "wrong password");
            self.wrong_passwords += 1;
        }
    }

    /// Whether it may offer another password.
    pub(crate) fn may_guess(&self) -> bool {
        self.wrong_passwords < WRONG_PASSWORDS_MAX
    }
}
