//! The listener: accepts connections from other peers and from the tracker's liveness sweep.
//! The first frame decides whether a connection becomes a link.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use commons::keys::PublicKey;
use commons::limits::{FIRST_BYTE_TIMEOUT, FRAME_MAX, FRAME_MAX_BEFORE_LOGIN};
use commons::names::Username;
use commons::net::connection::Connection;
use commons::net::frame::FrameError;
use commons::net::socket::{FirstByte, Listener, Socket};
use commons::protocol::between_peers::{KEY_CHANGED, KEY_UNKNOWN, PeerMessage};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::limits::{GREETING_WAIT, PONG_PAUSE, STRANGERS_MAX};
use crate::peer_communication::link;
use crate::peer_communication::link_registry::{LinkRegistry, Verdict};
use crate::peer_communication::link_table::NewLink;
use crate::peer_communication::send_queue::Dialect;

/// Pause after a failed accept. The usual cause, too many open files, passes by itself.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts connections until the registry stops.
pub(crate) async fn run(board: Arc<LinkRegistry>, listener: Listener) {
    // Connections that have not sent HELLO yet, the oldest first.
    let mut strangers: VecDeque<CancellationToken> = VecDeque::new();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Err(error) => {
                    warn!(%error, "cannot accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                }
                Ok((socket, from)) => {
                    let over = CancellationToken::new();
                    make_room(&mut strangers);
                    strangers.push_back(over.clone());
                    let board = Arc::clone(&board);
                    connections.spawn(async move {
                        let greeting = timeout(GREETING_WAIT, greeted(&board, socket, from));
                        let greeted = over.run_until_cancelled(greeting).await;
                        over.cancel();
                        match greeted {
                            Some(Ok(Ok(Some(greeted)))) => admit(&board, greeted).await,
                            Some(Ok(Ok(None))) => {}
                            Some(Ok(Err(error))) => debug!(%from, %error, "a connection ended before its greeting"),
                            Some(Err(_)) | None => debug!(%from, "a connection sent no HELLO in time"),
                        }
                    });
                }
            },
            Some(_) = connections.join_next() => {}
            () = board.stop.cancelled() => return,
        }
    }
}

/// Closes the oldest unauthenticated connection if there are [`STRANGERS_MAX`]. Idle connections must not keep members
/// out, and an honest greeting takes only moments.
fn make_room(strangers: &mut VecDeque<CancellationToken>) {
    strangers.retain(|over| !over.is_cancelled());
    if strangers.len() >= STRANGERS_MAX
        && let Some(oldest) = strangers.pop_front()
    {
        oldest.cancel();
    }
}

/// A connection of a peer that has passed the greeting.
struct Greeted {
    connection: Connection<Socket>,
    user: Username,
    /// Start time of the other program in milliseconds since 1970; `None` for a legacy client.
    instance: Option<u64>,
    /// The key that the other side has proven; `None` for a legacy client.
    key: Option<PublicKey>,
    dialect: Dialect,
}

/// Waits for HELLO and judges the key. A PING before it is answered after a pause; any other frame closes the
/// connection.
async fn greeted(
    board: &LinkRegistry,
    socket: Socket,
    from: SocketAddr,
) -> Result<Option<Greeted>, FrameError> {
    let socket = match socket.opening().await? {
        FirstByte::Tls => socket.accept_encrypted(&board.terms.identity).await?,
        FirstByte::Plaintext if board.terms.plaintext.allows(from.ip()) => socket,
        _ => return Ok(None),
    };
    let key = socket.remote_key();
    let mut connection = Connection::new(socket, FRAME_MAX_BEFORE_LOGIN);
    loop {
        let Some(frame) = connection.recv_within(FIRST_BYTE_TIMEOUT).await? else { return Ok(None) };
        let (user, instance, dialect, port) = match frame.parse() {
            Ok(PeerMessage::Ping) => {
                connection.send(&PeerMessage::Pong).await?;
                sleep(PONG_PAUSE).await;
                continue;
            }
            Ok(PeerMessage::Hello(greeting)) => match Username::parse(&greeting.username) {
                Ok(user) if user != board.me => {
                    (user, greeting.instance, Dialect::of(&greeting), greeting.port)
                }
                _ => return Ok(None),
            },
            _ => return Ok(None),
        };
        let refused = match key {
            Some(key) => match board.judge(&user, key).await {
                Verdict::Good => None,
                Verdict::Changed => Some(KEY_CHANGED),
                Verdict::Unknown => Some(KEY_UNKNOWN),
            },
            None if board.speaks_in_the_clear(&user).await => None,
            None => return Ok(None),
        };
        if let Some(code) = refused {
            connection.send(&PeerMessage::Refused { code: code.into() }).await?;
            connection.close().await;
            return Ok(None);
        }
        if let Some(port) = port.filter(|_| key.is_some()) {
            board.note_address(&user, SocketAddr::new(from.ip(), port)).await;
        }
        connection.set_max_frame(FRAME_MAX);
        let instance = key.map(|_| instance.unwrap_or(0));
        let dialect = if key.is_some() { dialect } else { Dialect::Legacy };
        return Ok(Some(Greeted { connection, user, instance, key, dialect }));
    }
}

async fn admit(board: &LinkRegistry, greeted: Greeted) {
    let Greeted { mut connection, user, instance, key, dialect } = greeted;
    let Some(place) = board.place(&user, NewLink { instance, dialled: false, key }, dialect).await else {
        connection.close().await;
        return;
    };
    if instance.is_some() && connection.send(&PeerMessage::Welcome(board.greeting())).await.is_err() {
        board.lost(&place).await;
        return;
    }
    link::run(board, &place, connection, None, dialect).await;
}

#[cfg(test)]
mod tests {
    use commons::keys::Seed;
    use commons::net::plaintext::Plaintext;
    use commons::net::tls::{Identity, Purpose};

    use super::*;
    use crate::identity::known_keys::KnownKeys;
    use crate::peer_communication::link_registry::{KeyLookup, LinkConfig};

    #[tokio::test]
    async fn silent_connections_shut_nobody_out() {
        let identity = Identity::new(&Seed::new([1; 32]), Purpose::Link).unwrap();
        let terms = LinkConfig { identity, plaintext: Plaintext::default() };
        let who_is: KeyLookup = Box::new(|_| Box::pin(async { None }));
        let me = Username::parse("ana").unwrap();
        let (board, _reports) = LinkRegistry::new(me, (1, 0), terms, KnownKeys::default(), who_is);
        let listener = Listener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let running = tokio::spawn(run(Arc::clone(&board), listener));
        let mut strangers = Vec::new();
        for _ in 0..STRANGERS_MAX {
            // The answer shows that the listener has accepted the connection.
            strangers.push(pinged(address).await.unwrap());
        }
        pinged(address).await.expect("a newcomer is answered");
        board.stop.cancel();
        running.await.unwrap();
    }

    async fn pinged(address: SocketAddr) -> Result<Connection<Socket>, FrameError> {
        let mut connection = Connection::new(Socket::dial(address).await?, FRAME_MAX);
        connection.send(&PeerMessage::Ping).await?;
        match connection.recv().await? {
            Some(_) => Ok(connection),
            None => Err(std::io::Error::other("hung up").into()),
        }
    }
}
