//! The state of one connection.
//! It holds the client's address, its user after the login, and the send queue.

use std::net::SocketAddr;
use std::sync::Arc;

use commons::keys::PublicKey;
use commons::names::Username;
use commons::net::frame::encode;
use commons::protocol::with_tracker::{
    ErrorCode, Refusal, RequestId, RequestParseError, Status, TrackerRequest,
};
use serde::Serialize;
use tokio::time::Instant;

use crate::handlers::outcome::RequestError;
use crate::handlers::user::Origin;
use crate::legacy_texts;
use crate::limits::{REFUSALS_LOGGED, WRONG_PASSWORDS_MAX};
use crate::log_class::SECURITY;
use crate::login::SignedIn;
use crate::rate_limit::{LimitScope, RequestLimiter, TokenBucket, in_milliseconds};
use crate::send_queue::SendQueue;
use crate::traffic::Traffic;

/// The state of one connection.
#[derive(Debug)]
pub(crate) struct Client {
    /// The remote address of the connection.
    pub(crate) from: SocketAddr,
    /// The key that the client has proven. `None` on a plaintext session.
    pub(crate) key: Option<PublicKey>,
    /// The frames that wait to be written to the connection.
    pub(crate) send_queue: SendQueue,
    /// The traffic of the connection.
    pub(crate) traffic: Arc<Traffic>,
    /// The login of the client. `None` before it has signed in.
    pub(crate) signed_in: Option<SignedIn>,
    /// The rate limiter of the client's requests.
    pub(crate) rates: RequestLimiter,
    /// Whether the client is an original Python peer: it signed in over plaintext, and none of its requests has an id.
    pub(crate) legacy: bool,
    wrong_passwords: u32,
    refusals_logged: TokenBucket,
}

/// The error for a frame that holds no JSON object.
pub(crate) fn not_an_object() -> RequestParseError {
    RequestParseError { id: None, code: ErrorCode::Malformed, msg: "a request is one JSON object".to_owned() }
}

impl Client {
    /// The origin of this client's requests.
    pub(crate) fn origin(&self) -> Origin {
        Origin { ip: self.from.ip(), key: self.key }
    }

    /// Creates the state of a new connection from `from`.
    pub(crate) fn new(from: SocketAddr, key: Option<PublicKey>, send_queue: SendQueue) -> Self {
        Self {
            from,
            key,
            send_queue,
            traffic: Arc::default(),
            signed_in: None,
            rates: RequestLimiter::default(),
            legacy: false,
            wrong_passwords: 0,
            refusals_logged: TokenBucket::default(),
        }
    }

    /// Updates whether the client is a legacy client, from whether a request has an id.
    pub(crate) fn recognise(&mut self, with_id: bool) {
        let unknown = self.signed_in.is_none() && self.key.is_none();
        self.legacy = !with_id && (self.legacy || unknown);
    }

    /// Encodes a message and adds it to the send queue as a reply.
    pub(crate) fn reply(&self, message: impl Serialize) {
        match encode(&message) {
            Ok(frame) => self.send_queue.answer(frame),
            Err(error) => tracing::error!(%error, "a reply could not be encoded as JSON"),
        }
    }

    /// Sends an error reply. `request` is the refused request, if it could be decoded.
    pub(crate) fn refuse(
        &self,
        id: Option<RequestId>,
        refused: RequestError,
        request: Option<&TrackerRequest>,
    ) {
        let user = self.signed_in.as_ref().map(|me| &me.username);
        let legacy = self.legacy.then(|| legacy_texts::refused(&refused, request, user));
        let RequestError { code, msg, retry_after, until, .. } = refused;
        let retry_after_ms = retry_after.map(in_milliseconds);
        tracing::debug!(from = %self.from, ?code, "refused");
        self.reply(Status::Error(Refusal { msg: legacy.unwrap_or(msg), code, retry_after_ms, until, id }));
    }

    /// Counts a request against the client's rate limits. A frame that is no request counts too.
    pub(crate) fn check_rate(
        &mut self,
        watched: LimitScope,
        request: Option<&TrackerRequest>,
    ) -> Result<(), RequestError> {
        if watched.network(self.from.ip()).is_none() {
            return Ok(());
        }
        let permitted = self.rates.admit(request, Instant::now());
        // A PONG is not a request and gets no reply, not even this one.
        permitted.or_else(|wait| match request {
            Some(TrackerRequest::Pong) => Ok(()),
            _ => Err(RequestError::too_fast(wait)),
        })
    }

    /// Counts a wrong password, and logs a refusal that an operator should see: a failed login, or a limit that the
    /// client reached. `claimed` is the account of a login. The log never holds a name without an account, because it may be a mistyped password.
    pub(crate) fn note_refusal(&mut self, claimed: Option<&Username>, code: ErrorCode) {
        use ErrorCode::{
            Banned, Busy, InvalidCredentials, NotAdmin, PlaintextRefused, RateLimited, TooManyAttempts,
            TooManyRooms, WrongCode,
        };
        self.wrong_passwords += u32::from(matches!(code, InvalidCredentials | WrongCode));
        let text = match code {
            InvalidCredentials => "wrong password or key",
            PlaintextRefused => "plaintext is refused",
            WrongCode => "wrong registration code",
            Banned => "a banned user is refused",
            NotAdmin => "a request needs an admin",
            TooManyAttempts | RateLimited | Busy | TooManyRooms => "a client reached a limit",
            _ => return,
        };
        // A flood of requests must not flood the log.
        if self.refusals_logged.take(REFUSALS_LOGGED, Instant::now()).is_err() {
            return;
        }
        let known = self.signed_in.as_ref().map(|me| &me.username).or(claimed);
        let username = known.map_or("(no account)", Username::as_str);
        tracing::warn!(class = SECURITY, username, from = %self.from, ?code, "{text}");
    }

    /// Whether the client may offer another password.
    pub(crate) fn may_guess(&self) -> bool {
        self.wrong_passwords < WRONG_PASSWORDS_MAX
    }
}
