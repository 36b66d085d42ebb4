//! Dials whoever is due, and gives up the lines for which no link came.

use std::net::SocketAddr;
use std::sync::Arc;

use commons::limits::FRAME_MAX;
use commons::names::Username;
use commons::net::connection::Connection;
use commons::net::frame::{Frame, FrameError};
use commons::net::socket::Socket;
use commons::protocol::between_peers::{Greeting, PeerMessage};
use tokio::task::JoinSet;
use tokio::time::sleep_until;
use tracing::debug;

use crate::limits::HELLO_PAUSE;
use crate::peer_communication::link;
use crate::peer_communication::link_table::Offer;
use crate::peer_communication::switchboard::Switchboard;

/// Dials until the switchboard stops.
pub(crate) async fn run(board: Arc<Switchboard>) {
    let mut dials = JoinSet::new();
    loop {
        board.give_up_overdue().await;
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

async fn dial(board: Arc<Switchboard>, user: Username, address: SocketAddr) {
    let (connection, instance, first) = match greet(&board, &user, address).await {
        Ok(greeted) => greeted,
        Err(error) => {
            debug!(peer = ?user, %error, "dial failed");
            board.dial_failed(&user);
            return;
        }
    };
    match board.place(&user, Offer { instance, dialled: true }).await {
        Some(place) => link::run(&board, &place, connection, first, instance.is_some()).await,
        None => connection.close().await,
    }
}

/// Says HELLO. A program of ours answers with WELCOME; an original one says nothing, and would take what follows too
/// soon as part of the HELLO, so the wait for the answer is also the pause that it needs.
async fn greet(
    board: &Switchboard,
    user: &Username,
    address: SocketAddr,
) -> Result<(Connection<Socket>, Option<u64>, Option<Frame>), FrameError> {
    let mut connection = Connection::new(Socket::dial(address).await?, FRAME_MAX);
    let greeting = Greeting { username: board.me.as_str().into(), instance: Some(board.instance) };
    connection.send(&PeerMessage::Hello(greeting)).await?;
    let first = match connection.recv_within(HELLO_PAUSE).await {
        Err(FrameError::Io(error)) if error.kind() == std::io::ErrorKind::TimedOut => None,
        Err(error) => return Err(error),
        Ok(None) => return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into()),
        Ok(Some(frame)) => Some(frame),
    };
    let welcome = first.as_ref().and_then(|frame| match frame.parse() {
        Ok(PeerMessage::Welcome(greeting)) => Some((greeting.username == user.as_str(), greeting.instance)),
        _ => None,
    });
    match welcome {
        None => Ok((connection, None, first)),
        Some((true, instance)) => Ok((connection, instance, None)),
        Some((false, _)) => Err(std::io::Error::other("somebody else answered").into()),
    }
}
