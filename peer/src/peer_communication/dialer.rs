//! Dials whoever is due.

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

/// Dials until the switchboard stops.
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

/// A connection to somebody who may be talked to.
struct Greeted {
    connection: Connection<Socket>,
    /// When the other program was started; `None` for an original one.
    instance: Option<u64>,
    /// What it has proven.
    key: Option<PublicKey>,
    dialect: Dialect,
    /// What an original program said already.
    first: Option<Frame>,
}

/// A user with keys is talked to encrypted and only by one of them; who never had any is an original program, talked to
/// where that is wanted: on this computer, if nothing else was said.
async fn greet(board: &LinkRegistry, user: &Username, address: SocketAddr) -> Result<Greeted, FrameError> {
    if board.book(|book| book.has_keys(user)) {
        greet_encrypted(board, user, address).await
    } else if !board.speaks_in_the_clear(user).await {
        Err(other("there is no key to know the user by"))
    } else if board.terms.plaintext.allows(address.ip()) {
        greet_in_the_clear(board, address).await
    } else {
        board.hindered(user, LinkRefusal::Plaintext).await;
        Err(other("an original program, and not to be spoken with in the clear"))
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
        return Err(other("somebody else answered"));
    }
    let mut connection = Connection::new(socket, FRAME_MAX);
    connection.send(&PeerMessage::Hello(board.greeting())).await?;
    // The handshake is over before our key was judged: only the answer tells that it was found good.
    let Some(frame) = connection.recv_within(WELCOME_WAIT).await? else { return Err(other("hung up")) };
    match frame.parse() {
        Ok(PeerMessage::Welcome(greeting)) if greeting.username == user.as_str() => {
            let instance = Some(greeting.instance.unwrap_or(0));
            let (key, dialect) = (Some(key), Dialect::of(&greeting));
            board.note_address(user, address).await;
            Ok(Greeted { connection, instance, key, dialect, first: None })
        }
        Ok(PeerMessage::Refused { code }) if code == KEY_CHANGED => {
            board.hindered(user, LinkRefusal::NotAccepted).await;
            Err(other("this key is not accepted there"))
        }
        _ => Err(other("not welcome")),
    }
}

/// An original program says nothing to a HELLO, and takes what follows too soon as part of it.
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
        Ok(None) => return Err(other("hung up")),
        Ok(Some(frame)) => Some(frame),
    };
    Ok(Greeted { connection, instance: None, key: None, dialect: Dialect::Legacy, first })
}

fn other(what: &str) -> FrameError {
    std::io::Error::other(what).into()
}
