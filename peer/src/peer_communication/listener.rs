//! The listener: accepts connections from other peers and from the tracker's liveness sweep.
//! The first frame decides whether a connection becomes a link.

use std::collections::VecDeque;
use std::net::SocketAddr;

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

use crate::limits::{ACCEPT_PAUSE, GREETING_WAIT, PONG_PAUSE, PREAUTH_MAX};
use crate::peer_communication::dialect::Dialect;
use crate::peer_communication::key_check::Verdict;
use crate::peer_communication::link;
use crate::peer_communication::link_table::NewLink;
use crate::peer_communication::links::{LinkSlot, PeerPeerCommunication};

/// Accepts connections until the links are stopped.
pub(crate) async fn run(links: &PeerPeerCommunication, listener: Listener) {
    // Connections that have not sent HELLO yet, the oldest first.
    let mut unauthenticated: VecDeque<CancellationToken> = VecDeque::new();
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
                    make_room(&mut unauthenticated);
                    unauthenticated.push_back(over.clone());
                    let links = links.clone();
                    connections.spawn(async move {
                        let accepting = timeout(GREETING_WAIT, accept(&links, socket, from));
                        let accepted = over.run_until_cancelled(accepting).await;
                        over.cancel();
                        match accepted {
                            Some(Ok(Ok(Some(accepted)))) => run_link(&links, accepted).await,
                            Some(Ok(Ok(None))) => {}
                            Some(Ok(Err(error))) => debug!(%from, %error, "a connection ended before its HELLO"),
                            Some(Err(_)) | None => debug!(%from, "a connection sent no HELLO in time"),
                        }
                    });
                }
            },
            Some(_) = connections.join_next() => {}
            () = links.stopped() => return,
        }
    }
}

/// Closes the oldest unauthenticated connection if there are [`PREAUTH_MAX`]. Idle connections must not keep members
/// out, and an honest greeting takes only moments.
fn make_room(unauthenticated: &mut VecDeque<CancellationToken>) {
    unauthenticated.retain(|over| !over.is_cancelled());
    if unauthenticated.len() >= PREAUTH_MAX
        && let Some(oldest) = unauthenticated.pop_front()
    {
        oldest.cancel();
    }
}

/// A connection of a peer that has passed the handshake.
struct Accepted {
    connection: Connection<Socket>,
    user: Username,
    new: NewLink,
    /// The address of the other side.
    from: SocketAddr,
}

/// Waits for HELLO and checks the key. A PING before it is answered after a pause; any other frame closes the
/// connection.
async fn accept(
    links: &PeerPeerCommunication,
    socket: Socket,
    from: SocketAddr,
) -> Result<Option<Accepted>, FrameError> {
    let socket = match socket.opening().await? {
        FirstByte::Tls => socket.accept_encrypted(&links.config().identity).await?,
        FirstByte::Plaintext if links.config().plaintext.allows(from.ip()) => socket,
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
                Ok(user) if user != links.config().me => {
                    (user, greeting.instance, Dialect::of(&greeting), greeting.port)
                }
                _ => return Ok(None),
            },
            _ => return Ok(None),
        };
        let refused = match key {
            Some(key) => match links.key_check().check(&user, key).await {
                Verdict::Good => None,
                Verdict::Changed => Some(KEY_CHANGED),
                Verdict::Unknown => Some(KEY_UNKNOWN),
            },
            None if links.key_check().is_keyless(&user).await => None,
            None => return Ok(None),
        };
        if let Some(code) = refused {
            connection.send(&PeerMessage::Refused { code: code.into() }).await?;
            connection.close().await;
            return Ok(None);
        }
        if let Some(port) = port.filter(|_| key.is_some()) {
            links.key_check().note_address(&user, SocketAddr::new(from.ip(), port)).await;
        }
        connection.set_max_frame(FRAME_MAX);
        let instance = key.map(|_| instance.unwrap_or(0));
        let dialect = if key.is_some() { dialect } else { Dialect::Legacy };
        let new = NewLink { instance, dialled: false, key, dialect };
        return Ok(Some(Accepted { connection, user, new, from }));
    }
}

async fn run_link(links: &PeerPeerCommunication, accepted: Accepted) {
    let Accepted { mut connection, user, new, from } = accepted;
    let Some(slot) = links.admit(&user, new).await else { return connection.close().await };
    let slot = LinkSlot { is_loopback: from.ip().is_loopback(), ..slot };
    let is_legacy = new.dialect == Dialect::Legacy;
    if !is_legacy && connection.send(&PeerMessage::Welcome(links.greeting())).await.is_err() {
        return links.remove(&slot).await;
    }
    link::run(links, &slot, connection, None).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::owner_of;
    use crate::identity::known_keys::KnownKeys;
    use crate::peer_communication::key_check::KeyLookup;
    use crate::peer_communication::testing::link_config;

    #[tokio::test]
    async fn silent_connections_do_not_block_others() {
        let config = link_config();
        let lookup: KeyLookup = Box::new(|_| Box::pin(async { None }));
        let known = owner_of(KnownKeys::default()).0;
        let (links, _reports) = PeerPeerCommunication::new(config, known, lookup);
        let listener = Listener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let running = tokio::spawn({
            let links = links.clone();
            async move { run(&links, listener).await }
        });
        let mut silent = Vec::new();
        for _ in 0..PREAUTH_MAX {
            // The answer shows that the listener has accepted the connection.
            silent.push(pinged(address).await.unwrap());
        }
        pinged(address).await.expect("a newcomer is answered");
        links.stop().await;
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
