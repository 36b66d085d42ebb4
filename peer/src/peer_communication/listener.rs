//! Takes connections from other peers and from the tracker's sweep: the first frame decides what each becomes.

use std::sync::Arc;
use std::time::Duration;

use commons::limits::{FIRST_BYTE_TIMEOUT, FRAME_MAX, FRAME_MAX_BEFORE_LOGIN};
use commons::names::Username;
use commons::net::connection::Connection;
use commons::net::frame::FrameError;
use commons::net::socket::{Listener, Opening, Socket};
use commons::protocol::between_peers::{Greeting, PeerMessage};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::{debug, warn};

use crate::limits::{PONG_PAUSE, STRANGERS_MAX};
use crate::peer_communication::link;
use crate::peer_communication::link_table::Offer;
use crate::peer_communication::switchboard::Switchboard;

/// Pause after an accept that failed: the usual cause, too many open files, passes.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts until the switchboard stops.
pub(crate) async fn run(board: Arc<Switchboard>, listener: Listener) {
    let strangers = Arc::new(Semaphore::new(STRANGERS_MAX));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Err(error) => {
                    warn!(%error, "cannot accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                }
                Ok((socket, from)) => match Arc::clone(&strangers).try_acquire_owned() {
                    Err(_) => debug!(%from, "too many strangers: a connection was closed"),
                    Ok(stranger) => {
                        let board = Arc::clone(&board);
                        connections.spawn(async move {
                            let greeted = greeted(&board, socket).await;
                            drop(stranger);
                            match greeted {
                                Ok(Some((connection, user, instance))) => admit(&board, connection, user, instance).await,
                                Ok(None) => {}
                                Err(error) => debug!(%from, %error, "a connection came to nothing"),
                            }
                        });
                    }
                },
            },
            Some(_) = connections.join_next() => {}
            () = board.stop.cancelled() => return,
        }
    }
}

/// Who says HELLO, and since when that program runs. PINGs before it are answered, slowly; anything else closes.
async fn greeted(
    board: &Switchboard,
    socket: Socket,
) -> Result<Option<(Connection<Socket>, Username, Option<u64>)>, FrameError> {
    if socket.opening().await? != Opening::Plaintext {
        return Ok(None);
    }
    let mut connection = Connection::new(socket, FRAME_MAX_BEFORE_LOGIN);
    loop {
        let Some(frame) = connection.recv_within(FIRST_BYTE_TIMEOUT).await? else { return Ok(None) };
        let (user, instance) = match frame.parse() {
            Ok(PeerMessage::Ping) => {
                connection.send(&PeerMessage::Pong).await?;
                sleep(PONG_PAUSE).await;
                continue;
            }
            Ok(PeerMessage::Hello(greeting)) => match Username::parse(&greeting.username) {
                Ok(user) if user != board.me => (user, greeting.instance),
                _ => return Ok(None),
            },
            _ => return Ok(None),
        };
        connection.set_max_frame(FRAME_MAX);
        return Ok(Some((connection, user, instance)));
    }
}

async fn admit(
    board: &Switchboard,
    mut connection: Connection<Socket>,
    user: Username,
    instance: Option<u64>,
) {
    let Some(place) = board.place(&user, Offer { instance, dialled: false }).await else {
        connection.close().await;
        return;
    };
    if instance.is_some() {
        let greeting = Greeting { username: board.me.as_str().into(), instance: Some(board.instance) };
        if connection.send(&PeerMessage::Welcome(greeting)).await.is_err() {
            board.lost(&place).await;
            return;
        }
    }
    link::run(board, &place, connection, None, instance.is_some()).await;
}
