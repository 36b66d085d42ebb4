//! The dialer: connects to every peer whose dial is due.
//! It tries the link's greeting on each new connection and hands an accepted one to the link registry.

use std::net::SocketAddr;
use std::sync::Arc;

use commons::keys::PublicKey;
use commons::limits::FRAME_MAX;
use commons::names::Username;
use commons::net::connection::Connection;
use commons::net::frame::{Frame, FrameError};
use commons::net::socket::Socket;
use commons::protocol::between_peers::{Greeting, KEY_CHANGED, PeerMessage};
use tokio::task::JoinSet;
use tokio::time::sleep_until;
use tracing::debug;

use crate::limits::{HELLO_PAUSE, WELCOME_WAIT};
use crate::peer_communication::link;
use crate::peer_communication::link_registry::{LinkRefusal, LinkRegistry, Verdict};
use crate::peer_communication::link_table::NewLink;
use crate::peer_communication::send_queue::Dialect;

/// Dials due peers until the registry stops.
pub(crate) async fn run(board: Arc<LinkRegistry>) {
    let mut dials = JoinSet::new();
    loop {
        for (user, address) in board.take_due() {
            dials.spawn(dial(Arc::clone(&board), user, address));
        }
        let next = board.next_due();
        tokio::select! {
            () = board.dial.notified() => {}
            () = async { if let Some(due) = next { sleep_until(due).await } else { std::future::pending().await } } => {}
            Some(_) = dials.join_next() => {}
            () = board.stop.cancelled() => return,
        }
    }
}

async fn dial(board: Arc<LinkRegistry>, user: Username, address: SocketAddr) {
    let Greeted { connection, instance, key, dialect, first } = match greet(&board, &user, address).await {
        Ok(greeted) => greeted,
        Err(error) => {
            debug!(peer = ?user, %error, "dial failed");
            board.dial_failed(&user);
            return;
        }
    };
    match board.place(&user, NewLink { instance, dialled: true, key }, dialect).await {
        Some(place) => link::run(&board, &place, connection, first, dialect).await,
        None => connection.close().await,
    }
}

/// A connection to a peer that has passed the greeting.
struct Greeted {
    connection: Connection<Socket>,
    /// Start time of the other program in milliseconds since 1970; `None` for a legacy client.
    instance: Option<u64>,
    /// The key that the other side has proven; `None` for a legacy client.
    key: Option<PublicKey>,
    dialect: Dialect,
    /// A frame of a legacy client that arrived during the greeting.
    first: Option<Frame>,
}

/// Connects to a user. A user with keys must be encrypted and prove one of them. A user without keys has a legacy
/// client, which is contacted in plaintext only if the configuration allows it: by default only on localhost.
async fn greet(board: &LinkRegistry, user: &Username, address: SocketAddr) -> Result<Greeted, FrameError> {
    if board.book(|book| book.has_keys(user)) {
        greet_encrypted(board, user, address).await
    } else if !board.speaks_in_the_clear(user).await {
        Err(other("no key of the user is known"))
    } else if board.terms.plaintext.allows(address.ip()) {
        greet_in_the_clear(board, address).await
    } else {
        board.hindered(user, LinkRefusal::Plaintext).await;
        Err(other("a legacy client, and plaintext is not allowed"))
    }
}

async fn greet_encrypted(
    board: &LinkRegistry,
    user: &Username,
    address: SocketAddr,
) -> Result<Greeted, FrameError> {
    let socket = Socket::dial_encrypted(address, &board.terms.identity).await?;
    let Some(key) = socket.remote_key() else { return Err(other("not encrypted")) };
    if board.judge(user, key).await != Verdict::Good {
        return Err(other("the key of the other side is not accepted"));
    }
    let mut connection = Connection::new(socket, FRAME_MAX);
    connection.send(&PeerMessage::Hello(board.greeting())).await?;
    // TLS finishes before the other side has judged our key. Only the answer shows that it was accepted.
    let Some(frame) = connection.recv_within(WELCOME_WAIT).await? else {
        return Err(other("the connection was closed"));
    };
    match frame.parse() {
        Ok(PeerMessage::Welcome(greeting)) if greeting.username == user.as_str() => {
            let instance = Some(greeting.instance.unwrap_or(0));
            let (key, dialect) = (Some(key), Dialect::of(&greeting));
            board.note_address(user, address).await;
            Ok(Greeted { connection, instance, key, dialect, first: None })
        }
        Ok(PeerMessage::Refused { code }) if code == KEY_CHANGED => {
            board.hindered(user, LinkRefusal::NotAccepted).await;
            Err(other("the other side does not accept this key"))
        }
        _ => Err(other("unexpected answer to HELLO")),
    }
}

/// Greets a legacy client. It does not answer a HELLO, and reads frames that follow too soon as part of it.
async fn greet_in_the_clear(board: &LinkRegistry, address: SocketAddr) -> Result<Greeted, FrameError> {
    let mut connection = Connection::new(Socket::dial(address).await?, FRAME_MAX);
    connection
        .send(&PeerMessage::Hello(Greeting {
            username: board.me.as_str().into(),
            instance: None,
            catch_up: false,
            port: None,
        }))
        .await?;
    let first = match connection.recv_within(HELLO_PAUSE).await {
        Err(FrameError::Io(error)) if error.kind() == std::io::ErrorKind::TimedOut => None,
        Err(error) => return Err(error),
        Ok(None) => return Err(other("the connection was closed")),
        Ok(Some(frame)) => Some(frame),
    };
    Ok(Greeted { connection, instance: None, key: None, dialect: Dialect::Legacy, first })
}

fn other(what: &str) -> FrameError {
    std::io::Error::other(what).into()
}
