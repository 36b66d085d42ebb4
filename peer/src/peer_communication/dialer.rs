//! The dialer: connects to every peer whose dial is due.
//! It makes the handshake on each new connection and runs the link if both sides accept.

use std::net::SocketAddr;

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
use crate::peer_communication::dialect::Dialect;
use crate::peer_communication::key_check::Verdict;
use crate::peer_communication::link;
use crate::peer_communication::link_report::LinkRefusal;
use crate::peer_communication::link_table::NewLink;
use crate::peer_communication::links::PeerPeerCommunication;

/// Dials due peers until the links are stopped.
pub(crate) async fn run(links: &PeerPeerCommunication) {
    let mut dials = JoinSet::new();
    loop {
        let (due, next) = links.next_dials();
        for (user, address) in due {
            dials.spawn(dial(links.clone(), user, address));
        }
        tokio::select! {
            () = links.dials_changed() => {}
            () = async { if let Some(due) = next { sleep_until(due).await } else { std::future::pending().await } } => {}
            Some(_) = dials.join_next() => {}
            () = links.stopped() => return,
        }
    }
}

async fn dial(links: PeerPeerCommunication, user: Username, address: SocketAddr) {
    match handshake(&links, &user, address).await {
        Ok(Accepted { connection, new, first }) => match links.admit(&user, new).await {
            Some(slot) => link::run(&links, &slot, connection, first).await,
            None => connection.close().await,
        },
        Err(error) => {
            debug!(peer = ?user, %error, "dial failed");
            links.dial_failed(&user);
        }
    }
}

/// A connection to a peer that has passed the handshake.
struct Accepted {
    connection: Connection<Socket>,
    new: NewLink,
    /// A frame of a legacy client that arrived during the handshake.
    first: Option<Frame>,
}

/// Connects to a user. A user with keys must be encrypted and prove one of them. A user without keys has a legacy
/// client, which is contacted in plaintext only if the configuration allows it: by default only on localhost.
async fn handshake(
    links: &PeerPeerCommunication,
    user: &Username,
    address: SocketAddr,
) -> Result<Accepted, FrameError> {
    if links.key_check().has_keys(user).await {
        handshake_encrypted(links, user, address).await
    } else if !links.key_check().is_keyless(user).await {
        Err(other("no key of the user is known"))
    } else if links.config().plaintext.allows(address.ip()) {
        handshake_plaintext(links, address).await
    } else {
        links.refuse(user, LinkRefusal::Plaintext).await;
        Err(other("a legacy client, and plaintext is not allowed"))
    }
}

async fn handshake_encrypted(
    links: &PeerPeerCommunication,
    user: &Username,
    address: SocketAddr,
) -> Result<Accepted, FrameError> {
    let socket = Socket::dial_encrypted(address, &links.config().identity).await?;
    let Some(key) = socket.remote_key() else { return Err(other("not encrypted")) };
    if links.key_check().check(user, key).await != Verdict::Good {
        return Err(other("the key of the other side is not accepted"));
    }
    let mut connection = Connection::new(socket, FRAME_MAX);
    connection.send(&PeerMessage::Hello(links.greeting())).await?;
    // TLS finishes before the other side has checked our key. Only the answer shows that it was accepted.
    let Some(frame) = connection.recv_within(WELCOME_WAIT).await? else {
        return Err(other("the connection was closed"));
    };
    match frame.parse() {
        Ok(PeerMessage::Welcome(greeting)) if greeting.username == user.as_str() => {
            let (instance, dialect) = (Some(greeting.instance.unwrap_or(0)), Dialect::of(&greeting));
            links.key_check().note_address(user, address).await;
            let new = NewLink { instance, dialled: true, key: Some(key), dialect };
            Ok(Accepted { connection, new, first: None })
        }
        Ok(PeerMessage::Refused { code }) if code == KEY_CHANGED => {
            links.refuse(user, LinkRefusal::NotAccepted).await;
            Err(other("the other side does not accept this key"))
        }
        _ => Err(other("unexpected answer to HELLO")),
    }
}

/// Sends HELLO to a legacy client, which does not answer it, and reads frames that follow too soon as part of it.
async fn handshake_plaintext(
    links: &PeerPeerCommunication,
    address: SocketAddr,
) -> Result<Accepted, FrameError> {
    let mut connection = Connection::new(Socket::dial(address).await?, FRAME_MAX);
    connection
        .send(&PeerMessage::Hello(Greeting {
            username: links.config().me.as_str().into(),
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
    let new = NewLink { instance: None, dialled: true, key: None, dialect: Dialect::Legacy };
    Ok(Accepted { connection, new, first })
}

fn other(what: &str) -> FrameError {
    std::io::Error::other(what).into()
}
