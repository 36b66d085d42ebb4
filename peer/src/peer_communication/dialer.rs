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
use crate::peer_communication::dial_guard;
use crate::peer_communication::dialect::Dialect;
use crate::peer_communication::key_check::Verdict;
use crate::peer_communication::link;
use crate::peer_communication::link_report::LinkRefusal;
use crate::peer_communication::link_table::NewLink;
use crate::peer_communication::links::{LinkSlot, PeerPeerCommunication};

/// Dials due peers until the links are stopped.
pub(crate) async fn run(links: &PeerPeerCommunication) {
    let mut dials = JoinSet::new();
    loop {
        let (due, next) = links.next_dials();
        for (user, address, is_proven) in due {
            dials.spawn(dial(links.clone(), user, address, is_proven));
        }
        tokio::select! {
            () = links.dials_changed() => {}
            () = async { if let Some(due) = next { sleep_until(due).await } else { std::future::pending().await } } => {}
            Some(_) = dials.join_next() => {}
            () = links.stopped() => return,
        }
    }
}

async fn dial(links: PeerPeerCommunication, user: Username, address: SocketAddr, is_proven: bool) {
    if let Err(refusal) = dial_guard::check(address, links.config().tracker.ip(), is_proven) {
        debug!(peer = ?user, %address, ?refusal, "an announced address is not dialled");
        return links.dial_refused(&user, refusal).await;
    }
    match handshake(&links, &user, address).await {
        Ok(Accepted { connection, new, first }) => match links.admit(&user, new).await {
            Some(slot) => {
                let slot = LinkSlot { is_loopback: address.ip().to_canonical().is_loopback(), ..slot };
                link::run(&links, &slot, connection, first).await;
            }
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use commons::net::socket::Listener;

    use super::*;
    use crate::engine::testing::owner_of;
    use crate::history::testing::{BOB, device, user};
    use crate::identity::known_keys::{Announcement, KnownKeys};
    use crate::peer_communication::dial_guard::DialRefusal;
    use crate::peer_communication::key_check::KeyLookup;
    use crate::peer_communication::link_report::LinkReport;
    use crate::peer_communication::link_table::Target;
    use crate::peer_communication::links::LinkConfig;
    use crate::peer_communication::testing::link_config;
    use crate::tracker_communication::tracker_endpoint::TrackerEndpoint;

    /// Lets ana want a link to bob at the address of a service on this computer, as a tracker at `tracker` announced it.
    /// Returns true if the service gets a connection.
    async fn is_service_dialled(tracker: &str) -> bool {
        let service = Listener::bind("127.0.0.1:0").await.unwrap();
        let address = service.local_addr().unwrap();
        let tracker = Arc::new(TrackerEndpoint::new(tracker.to_owned(), None, false));
        let config = LinkConfig { tracker, ..link_config() };
        let mut known = KnownKeys::default();
        known.announce(&user(BOB), &Announcement { keys: vec![device(BOB)], endorsements: Vec::new() });
        let lookup: KeyLookup = Box::new(|_| Box::pin(async { None }));
        let (links, mut reports) = PeerPeerCommunication::new(config, owner_of(known).0, lookup);
        let target = Target { address: Some(address), eager: true, is_proven: false };
        links.set_targets(&BTreeMap::from([(user(BOB), target)]));
        tokio::select! {
            () = run(&links) => unreachable!(),
            accepted = service.accept() => {
                accepted.unwrap();
                true
            }
            report = reports.recv() => {
                let reason = LinkRefusal::Address(DialRefusal::Loopback);
                assert!(matches!(report, Some(LinkReport::LinkRefused { reason: it, .. }) if it == reason));
                // The service accepts its connections in order. This one is the first.
                let own = Socket::dial(address).await.unwrap();
                service.accept().await.unwrap().1 != own.local_addr().unwrap()
            }
        }
    }

    #[tokio::test]
    async fn tracker_elsewhere_cannot_point_at_a_service_of_this_computer() {
        assert!(!is_service_dialled("9.9.9.9:6060").await);
        assert!(!is_service_dialled("192.168.1.9:6060").await);
        assert!(!is_service_dialled("tracker.example:6060").await, "nothing is known of its address");
        // The control: a tracker on this computer may.
        assert!(is_service_dialled("127.0.0.1:6060").await);
        assert!(is_service_dialled("localhost:6060").await);
    }
}
