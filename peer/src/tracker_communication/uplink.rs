//! The task that owns the socket to the tracker: it sends requests, pairs replies with them, and reconnects by itself.
//!
//! All replies and room updates reach the service through one queue in the tracker's order. So a snapshot in a reply
//! and one in an update cannot overtake each other.

use std::collections::HashMap;
use std::sync::Arc;

use commons::net::backoff::Backoff;
use commons::net::connection::Connection;
use commons::net::frame::FrameError;
use commons::net::socket::Socket;
use commons::net::tls::Identity;
use commons::protocol::with_tracker::{
    Credentials, ErrorCode, Pong, RequestId, Status, TrackerMessage, TrackerRequest,
};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{debug, info, warn};

use crate::api::tracker_loss::TrackerLoss;
use crate::limits::{LINK_DEAD, LINK_SILENCE, REQUEST_TIMEOUT, TRACKER_BACKOFF};
use crate::tracker_communication::connector::{Connector, loss};
use crate::tracker_communication::preauth_connection::PreAuthConnection;
use crate::tracker_communication::tracker_endpoint::TrackerEndpoint;
use crate::tracker_communication::tracker_report::{
    EndReason, Outcome, Probe, TrackerError, TrackerReport, report,
};

/// A request on its way to the uplink task.
pub(crate) struct UplinkRequest {
    pub(crate) request: TrackerRequest,
    /// The identity to prove, for a sign-in.
    pub(crate) identity: Option<Identity>,
    /// Whether to repeat a sign-in until the tracker answers, and to reply only then.
    pub(crate) is_patient: bool,
    pub(crate) reply: oneshot::Sender<Outcome>,
}

/// The end of one connection.
enum Disconnect {
    /// The connection is lost; reconnect.
    Lost(TrackerLoss),
    /// The user signed out. The same program may sign in again.
    SignedOut,
    /// The session was superseded, the account was deleted, or no caller is left.
    Final,
}

/// The start of a session.
enum First {
    Connected(Connection<Socket>),
    /// There is no connection yet. The waiting caller gets its reply once the tracker has accepted the sign-in.
    Patient(oneshot::Sender<Outcome>),
}

pub(crate) struct Uplink {
    requests: mpsc::Receiver<UplinkRequest>,
    /// Closed after the first sign-in.
    probes: mpsc::Receiver<Probe>,
    reports: mpsc::Sender<TrackerReport>,
    connector: Connector,
}

struct InFlight {
    request: TrackerRequest,
    reply: Option<oneshot::Sender<Outcome>>,
    until: Instant,
}

impl Uplink {
    pub(crate) fn new(
        tracker: Arc<TrackerEndpoint>,
        requests: mpsc::Receiver<UplinkRequest>,
        probes: mpsc::Receiver<Probe>,
        reports: mpsc::Sender<TrackerReport>,
    ) -> Self {
        let connector =
            Connector { tracker, identity: None, preauth: None, reports: reports.clone(), next_id: 0 };
        Self { requests, probes, reports, connector }
    }

    /// Runs until the end: it waits for a sign-in, then keeps that user's session across lost connections.
    pub(crate) async fn run(mut self) {
        while let Some((credentials, first)) = self.first_sign_in().await {
            if !self.serve_user(credentials, first).await {
                return;
            }
        }
    }

    /// Serves a signed-in user. Returns whether another sign-in may follow.
    async fn serve_user(&mut self, credentials: Credentials, first: First) -> bool {
        self.probes.close();
        self.connector.preauth = None;
        let (mut connection, mut patient) = match first {
            First::Connected(connection) => (Some(connection), None),
            First::Patient(reply) => (None, Some(reply)),
        };
        let (first, most) = TRACKER_BACKOFF;
        let mut backoff = Backoff::new(first, most);
        loop {
            if let Some(connection) = connection.take() {
                let since = Instant::now();
                match self.serve(connection).await {
                    Disconnect::Final => return false,
                    Disconnect::SignedOut => return true,
                    Disconnect::Lost(why) => report(&self.reports, TrackerReport::Lost(why)).await,
                }
                backoff.connection_ended(since.elapsed());
            }
            let mut is_warned = false;
            connection = loop {
                let request = TrackerRequest::Login(credentials.clone());
                let again = async {
                    sleep(backoff.wait()).await;
                    self.connector.attempt(request, None).await
                };
                match reject_until(&mut self.requests, &self.reports, again).await {
                    None => return false,
                    Some(Ok(connection)) => break Some(connection),
                    Some(Err(error)) if is_final(&error) => {
                        report(&self.reports, TrackerReport::Ended(EndReason::Failed(error))).await;
                        return false;
                    }
                    // Anybody on the way can cause this, so it must not end a chat that needs no tracker.
                    Some(Err(error @ TrackerError::KeyChanged { .. })) if !is_warned => {
                        is_warned = true;
                        report(&self.reports, TrackerReport::Impostor(error)).await;
                    }
                    Some(Err(_)) => {}
                }
            };
            if let Some(reply) = patient.take() {
                // The caller may have stopped waiting.
                let _ = reply.send(Ok(Box::default()));
            }
        }
    }

    /// Waits for a sign-in that the tracker accepts, or that must be repeated until it does. It uses the
    /// pre-auth connection if that has proven the same key.
    async fn first_sign_in(&mut self) -> Option<(Credentials, First)> {
        loop {
            let request = tokio::select! {
                request = self.requests.recv() => request?,
                Some(probe) = self.probes.recv() => {
                    // The caller may have stopped waiting.
                    let _ = probe.send(self.connector.probe().await);
                    continue;
                }
                () = ended(self.connector.preauth.as_mut()) => {
                    self.connector.preauth = None;
                    continue;
                }
            };
            let UplinkRequest { request, identity, is_patient, reply } = request;
            let (TrackerRequest::Register(credentials) | TrackerRequest::Login(credentials)) = &request
            else {
                let _ = reply.send(Err(TrackerError::Lost));
                continue;
            };
            // The key is bound by then, so no proof of the password is sent any more.
            let credentials = Credentials { password: None, login_key: None, ..credentials.clone() };
            self.connector.identity = identity;
            if is_patient {
                return Some((credentials, First::Patient(reply)));
            }
            if let Ok(connection) = self.connector.attempt(request, Some(reply)).await {
                return Some((credentials, First::Connected(connection)));
            }
        }
    }

    /// Serves one connection to its end.
    async fn serve(&mut self, mut connection: Connection<Socket>) -> Disconnect {
        let mut in_flight: HashMap<i64, InFlight> = HashMap::new();
        let mut last_frame = Instant::now();
        let mut pinged = false;
        let disconnect = loop {
            let reply_due = in_flight.values().map(|in_flight| in_flight.until).min();
            let silence = last_frame + if pinged { LINK_DEAD } else { LINK_SILENCE };
            tokio::select! {
                frame = connection.recv() => match frame {
                    Ok(Some(frame)) => {
                        (last_frame, pinged) = (Instant::now(), false);
                        match frame.parse_owned() {
                            Ok(message) => match self.on_message(message, &mut connection, &mut in_flight).await {
                                Ok(None) => {}
                                Ok(Some(disconnect)) => break disconnect,
                                Err(error) => {
                                    debug!(%error, "the tracker's connection broke");
                                    break Disconnect::Lost(loss(&error));
                                }
                            },
                            Err(error) => warn!(%error, "the tracker sent something unreadable"),
                        }
                    }
                    Ok(None) => break Disconnect::Lost(TrackerLoss::Closed),
                    Err(error) => break Disconnect::Lost(loss(&error)),
                },
                request = self.requests.recv() => {
                    let Some(UplinkRequest { request, reply, .. }) = request else { break Disconnect::Final };
                    let until = Instant::now() + REQUEST_TIMEOUT;
                    let sent = self.connector.send(&mut connection, &request).await;
                    let id = sent.as_ref().ok().copied().unwrap_or(self.connector.next_id);
                    in_flight.insert(id, InFlight { request, reply: Some(reply), until });
                    if let Err(error) = sent {
                        break Disconnect::Lost(loss(&error));
                    }
                }
                () = until(reply_due) => {
                    // The outcome of the request is unknown. The next login brings the current state.
                    info!("the tracker took too long to answer");
                    break Disconnect::Lost(TrackerLoss::TimedOut);
                }
                () = sleep_until(silence) => {
                    if pinged || self.connector.send(&mut connection, &TrackerRequest::Ping).await.is_err() {
                        break Disconnect::Lost(TrackerLoss::TimedOut);
                    }
                    pinged = true;
                }
            }
        };
        let mut in_flight: Vec<_> = in_flight.into_iter().collect();
        in_flight.sort_by_key(|(id, _)| *id);
        for (_, InFlight { request, reply, .. }) in in_flight {
            report(&self.reports, TrackerReport::Answered(request, Err(TrackerError::Lost), reply)).await;
        }
        if matches!(disconnect, Disconnect::Final | Disconnect::SignedOut) {
            connection.close().await;
        }
        disconnect
    }

    async fn on_message(
        &mut self,
        message: TrackerMessage,
        connection: &mut Connection<Socket>,
        in_flight: &mut HashMap<i64, InFlight>,
    ) -> Result<Option<Disconnect>, FrameError> {
        let TrackerMessage::Status(status) = message else { return Ok(None) };
        let (id, outcome) = match *status {
            Status::Ok(reply) => (reply.id.clone(), Ok(Box::new(reply))),
            // The tracker closes the connection after it. A new sign-in must wait for the user.
            Status::Error(refusal) if refusal.id.is_none() && is_expulsion(refusal.code) => {
                let error = TrackerError::Refused(refusal);
                report(&self.reports, TrackerReport::Ended(EndReason::Failed(error))).await;
                return Ok(Some(Disconnect::Final));
            }
            Status::Error(refusal) => (refusal.id.clone(), Err(TrackerError::Refused(refusal))),
            Status::RoomUpdate(update) => {
                report(&self.reports, TrackerReport::Update(Box::new(update))).await;
                return Ok(None);
            }
            Status::Announcement(announcement) => {
                report(&self.reports, TrackerReport::Announced(announcement)).await;
                return Ok(None);
            }
            Status::Ping => {
                connection.send(&Pong::to(None)).await?;
                return Ok(None);
            }
            Status::Superseded => {
                report(&self.reports, TrackerReport::Ended(EndReason::Superseded)).await;
                return Ok(Some(Disconnect::Final));
            }
            Status::ShuttingDown => return Ok(Some(Disconnect::Lost(TrackerLoss::Stopped))),
        };
        if let Some(RequestId::Number(id)) = id
            && let Some(InFlight { request, reply, .. }) = in_flight.remove(&id)
        {
            let disconnect = match &request {
                TrackerRequest::Logout => Some(Disconnect::SignedOut),
                TrackerRequest::DeleteAccount { .. } => Some(Disconnect::Final),
                _ => None,
            };
            let disconnect = disconnect.filter(|_| outcome.is_ok());
            report(&self.reports, TrackerReport::Answered(request, outcome, reply)).await;
            return Ok(disconnect);
        }
        Ok(None)
    }
}

/// Awaits a future and meanwhile answers every request with [`TrackerError::Lost`]. Returns `None` once no caller is
/// left.
async fn reject_until<T>(
    requests: &mut mpsc::Receiver<UplinkRequest>,
    reports: &mpsc::Sender<TrackerReport>,
    future: impl Future<Output = T>,
) -> Option<T> {
    tokio::pin!(future);
    loop {
        tokio::select! {
            done = &mut future => return Some(done),
            request = requests.recv() => {
                let UplinkRequest { request, reply, .. } = request?;
                report(reports, TrackerReport::Answered(request, Err(TrackerError::Lost), Some(reply))).await;
            }
        }
    }
}

/// Whether an admin ended the session or banned the user.
fn is_expulsion(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::Kicked | ErrorCode::Banned)
}

/// Whether signing in again in the same way is useless.
fn is_final(error: &TrackerError) -> bool {
    match error {
        TrackerError::Lost
        | TrackerError::NotATracker
        | TrackerError::TurnedAway(_)
        | TrackerError::KeyChanged { .. } => false,
        TrackerError::Refused(refusal) => {
            matches!(refusal.code, ErrorCode::InvalidCredentials | ErrorCode::InvalidName)
                || is_expulsion(refusal.code)
        }
    }
}

/// Waits until the tracker ends the pre-auth connection, or forever if there is none. An unrequested frame also counts
/// as the end, because it is the tracker's last one.
async fn ended(preauth: Option<&mut PreAuthConnection>) {
    match preauth {
        Some(preauth) => drop(preauth.connection.recv().await),
        None => std::future::pending().await,
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
