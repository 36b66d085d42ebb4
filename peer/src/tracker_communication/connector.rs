//! The connector to the tracker: it connects, signs in, and numbers the requests.

use std::io;
use std::sync::Arc;

use commons::keys::Seed;
use commons::limits::FRAME_MAX;
use commons::net::connection::Connection;
use commons::net::frame::{FrameError, encode};
use commons::net::socket::Socket;
use commons::net::tls::{Identity, Purpose};
use commons::protocol::administration::Announcement;
use commons::protocol::with_tracker::{Refusal, RequestId, Status, TrackerMessage, TrackerRequest};
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};
use tracing::debug;

use crate::api::tracker_loss::TrackerLoss;
use crate::limits::REQUEST_TIMEOUT;
use crate::tracker_communication::preauth_connection::PreAuthConnection;
use crate::tracker_communication::tracker_endpoint::TrackerEndpoint;
use crate::tracker_communication::tracker_report::{Outcome, Reached, TrackerError, TrackerReport, report};

/// Makes connections to the tracker and numbers the requests on them.
pub(crate) struct Connector {
    pub(crate) tracker: Arc<TrackerEndpoint>,
    pub(crate) identity: Option<Identity>,
    /// A connection that is not signed in yet.
    pub(crate) preauth: Option<PreAuthConnection>,
    pub(crate) reports: mpsc::Sender<TrackerReport>,
    pub(crate) next_id: i64,
}

/// A request with its id, as it is sent.
#[derive(Serialize)]
struct Tagged<'a> {
    #[serde(flatten)]
    request: &'a TrackerRequest,
    id: i64,
}

impl Connector {
    /// Tries one sign-in. The outcome is reported if it is OK or if a caller waits for it.
    pub(crate) async fn attempt(
        &mut self,
        request: TrackerRequest,
        reply: Option<oneshot::Sender<Outcome>>,
    ) -> Result<Connection<Socket>, TrackerError> {
        let attempt = tokio::time::timeout(REQUEST_TIMEOUT, self.sign_in(&request)).await;
        let (outcome, preauth) = match attempt {
            Ok(Ok((outcome, preauth))) => (outcome, Some(preauth)),
            Ok(Err(error)) => (Err(error), None),
            Err(_) => {
                self.tracker.note_failure(TrackerLoss::TimedOut);
                (Err(TrackerError::Lost), None)
            }
        };
        let (error, is_awaited) = (outcome.as_ref().err().cloned(), reply.is_some());
        // A session that is made again has shown the message of the day before.
        let motd = outcome.as_ref().ok().filter(|_| is_awaited).and_then(|reply| reply.motd.clone());
        if let Some(text) = motd {
            self.tracker.note_motd(&text);
            report(&self.reports, TrackerReport::Announced(Announcement { from: None, text })).await;
        }
        if let Ok(reply) = &outcome {
            self.tracker.note_admin(reply.admin);
        }
        if error.is_none() || is_awaited {
            report(&self.reports, TrackerReport::Answered(request, outcome, reply)).await;
        }
        match (error, preauth) {
            (None, Some(preauth)) => Ok(preauth.connection),
            (error, preauth) => {
                // After a refusal the user may try again at once, or register.
                self.preauth = preauth.filter(|_| is_awaited);
                Err(error.unwrap_or(TrackerError::Lost))
            }
        }
    }

    /// Checks that the tracker answers and proves the expected key. No request is sent.
    pub(crate) async fn probe(&mut self) -> Result<Reached, TrackerError> {
        let made_for_it = self.preauth.as_ref().and_then(|preauth| preauth.seed.clone());
        if let (Some(seed), Some(tracker)) = (made_for_it, self.tracker.key()) {
            return Ok(Reached { tracker, seed });
        }
        // The pre-auth connection has proven a stored device key, so it cannot be reused.
        self.preauth = None;
        let nobody = Seed::random().and_then(|seed| Ok((Identity::new(&seed, Purpose::Session)?, seed)));
        let (identity, seed) = nobody.map_err(|_| TrackerError::Lost)?;
        let connection = Connection::new(self.tracker.connect_pinned(&identity).await?, FRAME_MAX);
        let tracker = self.tracker.key().ok_or(TrackerError::NotATracker)?;
        self.preauth = Some(PreAuthConnection { connection, own: identity.key(), seed: Some(seed.clone()) });
        Ok(Reached { tracker, seed })
    }

    /// Sends a sign-in. It uses the pre-auth connection if that has proven the user's key, and a new one otherwise.
    async fn sign_in(
        &mut self,
        request: &TrackerRequest,
    ) -> Result<(Outcome, PreAuthConnection), TrackerError> {
        let identity = self.identity.clone().ok_or(TrackerError::Lost)?;
        let own = identity.key();
        let mut seed = None;
        if let Some(mut preauth) = self.preauth.take().filter(|preauth| preauth.own == own) {
            match self.exchange(request, &mut preauth.connection).await {
                Ok(outcome) if !is_farewell(&outcome) => return Ok((outcome, preauth)),
                // The tracker closes a connection that waits too long for its sign-in.
                _ => seed = preauth.seed,
            }
        }
        let mut connection = Connection::new(self.tracker.connect_pinned(&identity).await?, FRAME_MAX);
        let outcome = self.exchange(request, &mut connection).await.map_err(|error| {
            debug!(%error, "the tracker's connection broke at the sign-in");
            self.tracker.note_failure(loss(&error));
            broken(&error)
        })?;
        Ok((outcome, PreAuthConnection { connection, own, seed }))
    }

    async fn exchange(
        &mut self,
        request: &TrackerRequest,
        connection: &mut Connection<Socket>,
    ) -> Result<Outcome, FrameError> {
        let id = self.send(connection, request).await?;
        while let Some(frame) = connection.recv().await? {
            let outcome = match frame.parse_owned() {
                Ok(TrackerMessage::Status(status)) => match *status {
                    Status::Ok(reply) if reply.id == Some(RequestId::Number(id)) => Ok(Box::new(reply)),
                    Status::Error(refusal) => Err(TrackerError::Refused(refusal)),
                    _ => continue,
                },
                _ => continue,
            };
            return Ok(outcome);
        }
        Err(io::Error::from(io::ErrorKind::UnexpectedEof).into())
    }

    pub(crate) async fn send(
        &mut self,
        connection: &mut Connection<Socket>,
        request: &TrackerRequest,
    ) -> Result<i64, FrameError> {
        self.next_id += 1;
        connection.send_encoded(encode(&Tagged { request, id: self.next_id })?).await?;
        Ok(self.next_id)
    }
}

/// The error that a broken connection means. Changed bytes cannot come from the tracker; an absent tracker sends
/// nothing.
fn broken(error: &FrameError) -> TrackerError {
    match error {
        FrameError::Io(error) if error.kind() != io::ErrorKind::InvalidData => TrackerError::Lost,
        _ => TrackerError::NotATracker,
    }
}

/// Whether the tracker closed the connection without an answer: its last frame answers no request.
fn is_farewell(outcome: &Outcome) -> bool {
    matches!(outcome, Err(TrackerError::Refused(Refusal { id: None, .. })))
}

/// The reason for the loss that a broken connection shows.
pub(crate) fn loss(error: &FrameError) -> TrackerLoss {
    match error {
        FrameError::Io(error) => TrackerLoss::of(error),
        FrameError::NoObject | FrameError::TooLarge(_) => TrackerLoss::Failed,
    }
}
