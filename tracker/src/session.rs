//! The life of one connection.
//! One task owns the connection. It opens the connection, handles requests, writes replies and pushes, and closes it.

use std::net::SocketAddr;
use std::sync::Arc;

use chrono::Utc;
use commons::limits::{FRAME_MAX, FRAME_MAX_BEFORE_LOGIN, LEGACY_PACE};
use commons::net::connection::Connection;
use commons::net::frame::{Frame, FrameError};
use commons::net::plaintext::Plaintext;
use commons::net::socket::{FirstByte, Socket};
use commons::net::tls::Identity;
use commons::protocol::with_tracker::{ErrorCode, Refusal, RequestParseError, Status};
use serde_json::{Map, Value};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::admission::{PreAuthSlot, Rejected};
use crate::client::{self, Client};
use crate::handlers::outcome::RequestError;
use crate::limits::{FAREWELL_TIME, FIRST_FRAME_TIME, LOGIN_TIME};
use crate::log_class::{CONNECTION, SECURITY};
use crate::rate_limit::in_milliseconds;
use crate::send_queue::{CloseReason, QueuedFrame, SendQueue};
use crate::service::{Next, TrackerService};

/// An accepted connection with its state.
#[derive(Debug)]
pub(crate) struct Session<S> {
    connection: Connection<S>,
    client: Client,
    frames: UnboundedReceiver<Box<QueuedFrame>>,
    service: Arc<TrackerService>,
    stop: CancellationToken,
    began: Instant,
    /// The slot among the unauthenticated connections. The login releases it.
    preauth: Option<PreAuthSlot>,
    first_frame_came: bool,
    /// Whether the last written frame answers a request. The next request of a legacy client then shows that it has
    /// read the answer.
    answered: bool,
}

/// The reason why a session ends.
#[derive(Debug)]
enum SessionEnd {
    /// Every frame is queued. The connection is closed after they are written.
    Complete,
    /// Another task ended the session.
    Ended(CloseReason),
    /// The connection is unusable.
    Broken,
}

/// The settings for accepted connections.
#[derive(Debug, Clone)]
pub(crate) struct AcceptConfig {
    /// The clients that may use plaintext.
    pub(crate) plaintext: Plaintext,
    /// The TLS identity that the tracker proves.
    pub(crate) identity: Identity,
}

/// Serves a connection until it ends. Refuses it if it does not use a permitted protocol.
///
/// Almost all sessions are idle almost always, and each holds its task. So the task contains only the steps in which a
/// session idles, and every larger step is boxed for its own time.
pub(crate) async fn serve(
    socket: Socket,
    from: SocketAddr,
    accept_config: AcceptConfig,
    service: Arc<TrackerService>,
    stop: CancellationToken,
    preauth: PreAuthSlot,
) {
    let began = Instant::now();
    let opened = tokio::select! {
        opened = Box::pin(open(socket, &accept_config.identity)) => opened,
        () = preauth.displaced() => return,
        () = stop.cancelled() => return,
    };
    // A client that sends nothing gets no reply. A failed TLS handshake reports its own error.
    let Ok((opening, socket)) = opened else { return };
    let (send_queue, frames) = SendQueue::new();
    let client = Client::new(from, socket.remote_key(), send_queue);
    let mut session = Session {
        connection: Connection::new(socket, FRAME_MAX_BEFORE_LOGIN),
        client,
        frames,
        service,
        stop,
        began,
        preauth: Some(preauth),
        first_frame_came: false,
        answered: false,
    };
    let refused = match opening {
        FirstByte::Tls => None,
        FirstByte::Plaintext if accept_config.plaintext.allows(from.ip()) => None,
        FirstByte::Plaintext => {
            tracing::warn!(class = SECURITY, %from, "plaintext is refused");
            let msg = "this tracker accepts only encrypted sessions from your address";
            Some(RequestError::new(ErrorCode::PlaintextRefused, msg))
        }
        FirstByte::Neither => Some(not_an_object()),
    };
    let end = match refused {
        None => session.run().await,
        Some(refused) => session.end_with(refused),
    };
    Box::pin(session.farewell(end)).await;
}

/// Reads the first byte, and encrypts the connection if the byte begins a TLS handshake.
async fn open(socket: Socket, identity: &Identity) -> std::io::Result<(FirstByte, Socket)> {
    let opening = socket.opening().await?;
    let socket = if opening == FirstByte::Tls { socket.accept_encrypted(identity).await? } else { socket };
    Ok((opening, socket))
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    /// Handles requests one after the other. Each request waits until all earlier replies and pushes are written.
    async fn run(&mut self) -> SessionEnd {
        loop {
            let (deadline, paused) = (self.deadline(), self.client.rates.read_paused_until(Instant::now()));
            let served = tokio::select! {
                biased;
                ending = self.client.send_queue.ended() => Err(SessionEnd::Ended(ending)),
                () = self.stop.cancelled() => Err(SessionEnd::Ended(CloseReason::ShuttingDown)),
                () = displaced(self.preauth.as_ref()) => {
                    tracing::warn!(class = SECURITY, from = %self.client.from, "a newer connection takes the slot of one that has not signed in");
                    let msg = "many others want to sign in, so this connection is closed: try again";
                    Err(self.end_with(RequestError::new(ErrorCode::Busy, msg)))
                }
                Some(frame) = self.frames.recv() => self.write(frame).await,
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    tracing::info!(class = CONNECTION, from = %self.client.from, "login timed out");
                    let msg = "login timed out: connect and sign in again";
                    Err(self.end_with(RequestError::new(ErrorCode::NotLoggedIn, msg)))
                }
                () = sleep_until(paused.unwrap_or_else(Instant::now)), if paused.is_some() => Ok(()),
                frame = self.connection.recv(), if paused.is_none() => self.on_frame(frame).await,
            };
            if let Err(over) = served {
                return over;
            }
        }
    }

    /// The time at which an unauthenticated connection is closed. The first frame and the login have their own time
    /// limits.
    fn deadline(&self) -> Option<Instant> {
        let time = if self.first_frame_came { LOGIN_TIME } else { FIRST_FRAME_TIME };
        self.preauth.as_ref().map(|_| self.began + time)
    }

    async fn on_frame(&mut self, frame: Result<Option<Frame>, FrameError>) -> Result<(), SessionEnd> {
        match frame {
            Ok(Some(frame)) => {
                self.first_frame_came = true;
                if self.answered {
                    self.connection.skip_pause();
                }
                Box::pin(self.request(&frame)).await
            }
            Ok(None) => Err(SessionEnd::Complete),
            Err(FrameError::TooLarge(max)) => {
                tracing::warn!(class = SECURITY, from = %self.client.from, max, "a request is too long");
                let msg = format!("a request may have at most {max} bytes");
                Err(self.end_with(RequestError::new(ErrorCode::FrameTooLarge, msg)))
            }
            Err(FrameError::NoObject) => Err(self.end_with(not_an_object())),
            Err(FrameError::Io(_)) => Err(SessionEnd::Broken),
        }
    }

    async fn request(&mut self, frame: &Frame) -> Result<(), SessionEnd> {
        let object = frame.parse_owned::<Map<String, Value>>().ok();
        self.client.traffic.received(frame.as_bytes().len());
        let next = self.service.handle(&mut self.client, object).await;
        self.connection.set_pause(self.client.legacy.then_some(LEGACY_PACE));
        if self.client.signed_in.is_some() && self.preauth.take().is_some() {
            self.connection.set_max_frame(FRAME_MAX);
        }
        match next {
            Next::GoOn => Ok(()),
            Next::Close => Err(SessionEnd::Complete),
        }
    }

    /// Refuses what the client sent last, and ends the session.
    fn end_with(&self, refused: RequestError) -> SessionEnd {
        self.service.metrics.refusal(refused.code);
        self.client.refuse(None, refused, None);
        SessionEnd::Complete
    }

    /// Writes a frame. If the session is ended while the client does not read, the frame is dropped.
    async fn write(&mut self, frame: Box<QueuedFrame>) -> Result<(), SessionEnd> {
        // This wait is short, and the end of the session does not cut it. Frames that still wait are written then.
        self.connection.due().await;
        self.answered = frame.answers;
        self.client.traffic.sent(frame.bytes.len());
        tokio::select! {
            biased;
            sent = self.connection.send_encoded(frame.bytes.clone()) => sent.map_err(|_| SessionEnd::Broken),
            _ = self.client.send_queue.ended() => Err(SessionEnd::Broken),
            () = self.stop.cancelled() => Err(SessionEnd::Broken),
        }
    }

    /// Signs the user off, writes the remaining frames, and closes the connection.
    async fn farewell(mut self, over: SessionEnd) {
        if let Some(me) = &self.client.signed_in
            && !matches!(over, SessionEnd::Ended(CloseReason::ShuttingDown))
        {
            self.service.sign_off(me).await;
        }
        let is_flushed = match over {
            SessionEnd::Complete | SessionEnd::Ended(CloseReason::Revoked) => self.flush_queue().await,
            SessionEnd::Ended(CloseReason::Kicked) => {
                self.send_refusal(RequestError::new(ErrorCode::Kicked, "an admin ended your session")).await
            }
            SessionEnd::Ended(CloseReason::Removed) => {
                self.send_refusal(RequestError::new(ErrorCode::Kicked, "an admin deleted your account")).await
            }
            SessionEnd::Ended(CloseReason::Banned(until)) => {
                self.send_refusal(RequestError::banned(until, Utc::now())).await
            }
            SessionEnd::Ended(CloseReason::Superseded) => self.send_close_reason(&Status::Superseded).await,
            SessionEnd::Ended(CloseReason::ShuttingDown) => {
                self.send_close_reason(&Status::ShuttingDown).await
            }
            SessionEnd::Ended(CloseReason::Overflow) => {
                let username = self.client.signed_in.as_ref().map_or("", |me| me.username.as_str());
                tracing::warn!(class = SECURITY, username, from = %self.client.from, "send queue full: the session is closed");
                false
            }
            SessionEnd::Broken => false,
        };
        tracing::info!(class = CONNECTION, from = %self.client.from, "connection ended");
        if is_flushed {
            self.connection.close().await;
        }
    }

    async fn flush_queue(&mut self) -> bool {
        while let Ok(frame) = self.frames.try_recv() {
            if self.connection.send_encoded(frame.bytes.clone()).await.is_err() {
                return false;
            }
        }
        true
    }

    /// Writes the waiting frames, and then the reason why the session ends.
    async fn send_refusal(&mut self, refused: RequestError) -> bool {
        self.service.metrics.refusal(refused.code);
        self.client.refuse(None, refused, None);
        timeout(FAREWELL_TIME, self.flush_queue()).await.unwrap_or(false)
    }

    async fn send_close_reason(&mut self, why: &Status) -> bool {
        let understands = self.client.signed_in.as_ref().is_some_and(|me| me.pongs.is_some());
        let last =
            async { self.flush_queue().await && (!understands || self.connection.send(why).await.is_ok()) };
        timeout(FAREWELL_TIME, last).await.unwrap_or(false)
    }
}

/// Waits until a newer connection displaces this one from its slot. Waits forever if it has no slot.
async fn displaced(preauth: Option<&PreAuthSlot>) {
    match preauth {
        Some(slot) => slot.displaced().await,
        None => std::future::pending().await,
    }
}

fn not_an_object() -> RequestError {
    let RequestParseError { code, msg, .. } = client::not_an_object();
    RequestError::new(code, msg)
}

/// The error for a connection that finds no room.
pub(crate) fn no_room(rejected: Rejected) -> RequestError {
    let busy = RequestError::new(ErrorCode::Busy, rejected.to_string());
    RequestError { retry_after: rejected.retry_after(), ..busy }
}

/// Sends a client the reason why its connection is refused. The reply is plaintext even if the client starts TLS, because a
/// handshake costs the work that must be saved. Such a client treats the reply as unproven.
pub(crate) async fn turn_away(socket: Socket, refused: RequestError) {
    // A connection that is closed while its first bytes arrive is reset, and the reply is lost. So the tracker waits
    // for them.
    let _ = timeout(FAREWELL_TIME, socket.opening()).await;
    let RequestError { code, msg, retry_after, until, .. } = refused;
    let refusal = Refusal { msg, code, retry_after_ms: retry_after.map(in_milliseconds), until, id: None };
    let mut connection = Connection::new(socket, FRAME_MAX_BEFORE_LOGIN);
    if let Ok(Ok(())) = timeout(FAREWELL_TIME, connection.send(&Status::Error(refusal))).await {
        connection.close().await;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use commons::keys::Seed;
    use commons::net::socket::Listener;
    use commons::net::tls::Purpose;
    use tokio::net::TcpStream;

    use super::*;
    use crate::admission::{Admission, Admitted};
    use crate::config::{ConnectionLimits, PasswordCost};
    use crate::limits::ENTRY_BEHIND_MAX;
    use crate::passwords::Passwords;
    use crate::rate_limit::LimitScope;
    use crate::repositories::Repositories;

    /// The largest task of a session in bytes. A tracker has thousands of them.
    const IDLE_TASK_MAX: usize = 3 * 1024;

    /// The number of pushes sent at one moment.
    const PUSHES: usize = 2;

    /// Reads once and treats the bytes as one message, as legacy clients do. Returns whether they are exactly one
    /// message.
    async fn recv(stream: &mut DuplexStream) -> bool {
        let mut buffer = [0; 4096];
        let read = stream.read(&mut buffer).await.unwrap();
        serde_json::from_slice::<Value>(&buffer[..read]).is_ok()
    }

    /// Runs a session that starts with the given request. Returns how often one read of its client contained exactly
    /// one message.
    async fn whole_messages(first: Value, rounds: usize) -> usize {
        let folder = tempfile::tempdir().unwrap();
        let repositories = Repositories::open(folder.path()).unwrap();
        let passwords =
            Passwords::new(PasswordCost { memory: 8, passes: 1 }, repositories.key().public_key()).unwrap();
        let service =
            TrackerService::new(&repositories, passwords, LimitScope { loopback: false }, ENTRY_BEHIND_MAX);
        let (near, mut far) = duplex(FRAME_MAX);
        let (send_queue, frames) = SendQueue::new();
        let stop = CancellationToken::new();
        let mut session = Session {
            connection: Connection::new(near, FRAME_MAX),
            client: Client::new(([127, 0, 0, 1], 5000).into(), None, send_queue.clone()),
            frames,
            service: Arc::new(service),
            stop: stop.clone(),
            began: Instant::now(),
            preauth: None,
            first_frame_came: false,
            answered: false,
        };
        let session = tokio::spawn(async move { session.run().await });
        far.write_all(first.to_string().as_bytes()).await.unwrap();
        assert!(recv(&mut far).await);
        let mut whole = 0;
        for round in 0..rounds {
            for push in 0..PUSHES {
                send_queue.push(format!("{{\"status\":\"ROOM_UPDATE\",\"n\":[{round},{push}]}}\n").into());
            }
            for _ in 0..PUSHES {
                if !recv(&mut far).await {
                    break;
                }
                whole += 1;
            }
        }
        stop.cancel();
        session.await.unwrap();
        whole
    }

    #[tokio::test]
    async fn idle_session_holds_a_small_task() {
        let listener = Listener::bind("127.0.0.1:0").await.unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (socket, from) = listener.accept().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let repositories = Repositories::open(folder.path()).unwrap();
        let passwords =
            Passwords::new(PasswordCost { memory: 8, passes: 1 }, repositories.key().public_key()).unwrap();
        let service =
            TrackerService::new(&repositories, passwords, LimitScope { loopback: false }, ENTRY_BEHIND_MAX);
        let identity = Identity::new(&Seed::new([1; 32]), Purpose::Session).unwrap();
        let accept_config = AcceptConfig { plaintext: Plaintext::default(), identity };
        let limits = ConnectionLimits { sessions: 1, preauth: 1, per_network: 1, new_per_network: 1 };
        let admission = Admission::new(limits, LimitScope { loopback: false });
        let Admitted { preauth, .. } = admission.admit(from).unwrap();
        let stop = CancellationToken::new();
        let task = serve(socket, from, accept_config, Arc::new(service), stop, preauth);
        assert!(size_of_val(&task) <= IDLE_TASK_MAX, "{}", size_of_val(&task));
    }

    #[tokio::test(start_paused = true)]
    async fn pushes_at_one_moment_reach_a_legacy_client_one_by_one() {
        assert_eq!(whole_messages(json!({"cmd": "LIST_ROOMS"}), 200).await, 200 * PUSHES);
    }

    /// A client that sends ids separates messages by itself, so it gets them without a pause.
    #[tokio::test(start_paused = true)]
    async fn control_pushes_without_a_pause_are_received_as_one() {
        assert_eq!(whole_messages(json!({"cmd": "LIST_ROOMS", "id": 1}), 200).await, 0);
    }
}
