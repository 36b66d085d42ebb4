//! The liveness sweep: the tracker's periodic PING of every peer.
//!
//! A sweep pings all sessions at the same time, up to a bound. It pings the port on which the peer accepts links, and
//! also inside the session if the client understands that. Either answer proves that the peer is alive. After the
//! pings, the sweep frees the reserved seats of guests who have been offline for too long.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use commons::keys::PublicKey;
use commons::limits::FRAME_MAX_BEFORE_LOGIN;
use commons::net::connection::Connection;
use commons::net::frame::{FrameError, encode};
use commons::net::socket::Socket;
use commons::net::tls::Identity;
use commons::protocol::between_peers::PeerMessage;
use commons::protocol::with_tracker::Status;
use commons::snapshot::ChangeKind;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};

use crate::active_connections::{ActiveConnection, Pinged};
use crate::config::Config;
use crate::limits::{LOWEST_PEER_PORT, PINGS_MAX};
use crate::log_class::CONNECTION;
use crate::metrics::Verdict;
use crate::service::TrackerService;

/// The liveness sweep.
#[derive(Debug)]
pub(crate) struct PingSweep {
    service: Arc<TrackerService>,
    identity: Identity,
    settings: watch::Receiver<Config>,
}

impl PingSweep {
    /// Creates a sweep over the sessions of a service. It proves `identity` to the peers.
    pub(crate) fn new(
        service: Arc<TrackerService>,
        identity: Identity,
        settings: watch::Receiver<Config>,
    ) -> Self {
        Self { service, identity, settings }
    }

    /// Sweeps forever. The first sweep starts after one interval. A changed interval counts from the last sweep.
    pub(crate) async fn run(mut self) {
        let mut began = Instant::now();
        loop {
            let interval = self.settings.borrow_and_update().ping_interval;
            tokio::select! {
                () = sleep_until(began + interval) => {
                    began = Instant::now();
                    self.sweep().await;
                }
                Ok(()) = self.settings.changed() => {}
            }
        }
    }

    async fn sweep(&self) {
        let begin = Instant::now();
        let Config { ping_timeout: time, seat_hold, .. } = *self.settings.borrow();
        let mut pings = JoinSet::new();
        for session in self.service.sessions() {
            if pings.len() >= PINGS_MAX {
                pass_on(pings.join_next().await);
            }
            let (service, identity) = (self.service.clone(), self.identity.clone());
            pings.spawn(async move {
                // Each result takes effect at once, even if other peers answer slowly.
                let verdict = ping(&session, &identity, time).await;
                service.metrics.verdict(verdict);
                match verdict {
                    Verdict::Alive => mark_alive(&service, &session).await,
                    Verdict::Silent => mark_unreachable(&service, &session).await,
                    Verdict::Unknown => {}
                }
            });
        }
        while !pings.is_empty() {
            pass_on(pings.join_next().await);
        }
        let (presence, hold) = (self.service.presence.clone(), seat_hold);
        self.service.rooms.free_overdue(move |username| presence.offline_for(username, hold)).await;
        if let Err(error) = self.service.admin.remove_ended_bans(Utc::now()).await {
            tracing::warn!(%error, "bans that have ended could not be removed");
        }
        self.service.metrics.sweeps.note(begin.elapsed());
    }
}

/// Handles the result that the peer of a session answered a PING.
async fn mark_alive(service: &TrackerService, session: &ActiveConnection) {
    let back = service.presence.mark_alive(&session.username, session.id, Utc::now());
    if back == Some(true) {
        tracing::info!(class = CONNECTION, username = %session.username, "answers again");
    }
    match back {
        Some(true) => service.presence_changed(&session.username, ChangeKind::Online, None).await,
        Some(false) => service.save_place(&session.username).await,
        None => {}
    }
}

/// Handles the result that the peer of a session did not answer.
async fn mark_unreachable(service: &TrackerService, session: &ActiveConnection) {
    if service.presence.mark_unreachable(&session.username, session.id) {
        tracing::info!(class = CONNECTION, username = %session.username, "does not answer");
        service.presence_changed(&session.username, ChangeKind::Offline, None).await;
    }
}

/// Propagates a panic of one ping to the task of the sweep.
fn pass_on(joined: Option<Result<(), JoinError>>) {
    if let Some(Err(error)) = joined
        && let Ok(panic) = error.try_into_panic()
    {
        resume_unwind(panic);
    }
}

/// Pings the port on which the peer accepts links, and the session itself if the client understands that. Either answer
/// counts.
async fn ping(session: &ActiveConnection, identity: &Identity, time: Duration) -> Verdict {
    let Pinged { observed, key, .. } = session.pinged;
    let outside =
        async { timeout(time, ping_port(observed, key, identity)).await.unwrap_or(Verdict::Silent) };
    let inside = ping_inside(session, time);
    tokio::pin!(outside, inside);
    tokio::select! {
        verdict = &mut outside => match verdict {
            Verdict::Alive => Verdict::Alive,
            other => if inside.await { Verdict::Alive } else { other },
        },
        alive = &mut inside => if alive { Verdict::Alive } else { outside.await },
    }
}

async fn ping_inside(session: &ActiveConnection, time: Duration) -> bool {
    let Some(pongs) = &session.pinged.pongs else { return false };
    let mut answers = pongs.subscribe();
    let Ok(ping) = encode(&Status::Ping) else { return false };
    session.push(ping);
    matches!(timeout(time, answers.changed()).await, Ok(Ok(())))
}

async fn ping_port(address: SocketAddr, key: Option<PublicKey>, identity: &Identity) -> Verdict {
    if !may_be_dialled(address) {
        return Verdict::Silent;
    }
    match exchange(address, key, identity).await {
        Ok(true) => Verdict::Alive,
        Ok(false) | Err(FrameError::NoObject | FrameError::TooLarge(_)) => Verdict::Silent,
        Err(FrameError::Io(error)) => match error.kind() {
            ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::UnexpectedEof
            | ErrorKind::HostUnreachable
            // The program that answers there is not the peer.
            | ErrorKind::InvalidData
            | ErrorKind::TimedOut => Verdict::Silent,
            // The tracker is out of descriptors, ports, memory or network. The peer may be alive.
            _ => {
                tracing::warn!(%error, "a PING could not be sent");
                Verdict::Unknown
            }
        },
    }
}

/// Sends a PING to the peer's port. A session with a key needs an encrypted connection on which the peer proves the
/// same key. A plaintext session gets a plaintext PING.
async fn exchange(
    address: SocketAddr,
    key: Option<PublicKey>,
    identity: &Identity,
) -> Result<bool, FrameError> {
    let socket = match key {
        None => Socket::dial(address).await?,
        Some(_) => Socket::dial_encrypted(address, identity).await?,
    };
    if socket.remote_key() != key {
        return Ok(false);
    }
    let mut connection = Connection::new(socket, FRAME_MAX_BEFORE_LOGIN);
    connection.send(&PeerMessage::Ping).await?;
    let answer = connection.recv().await?;
    Ok(answer.is_some_and(|frame| matches!(frame.parse(), Ok(PeerMessage::Pong))))
}

/// Whether the tracker may connect to an address that a client stated. Otherwise clients could use the tracker to
/// attack services of others.
fn may_be_dialled(address: SocketAddr) -> bool {
    let local = match address.ip() {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    let ip = address.ip();
    !(local || ip.is_unspecified() || ip.is_multicast()) && address.port() >= LOWEST_PEER_PORT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_doors_are_never_knocked_at() {
        for bad in ["0.0.0.0:5000", "224.0.0.1:5000", "169.254.1.1:5000", "255.255.255.255:5000", "[::]:5000"]
        {
            assert!(!may_be_dialled(bad.parse().unwrap()), "{bad}");
        }
        for bad in ["[fe80::1]:5000", "[ff02::1]:5000", "127.0.0.1:25", "127.0.0.1:1023"] {
            assert!(!may_be_dialled(bad.parse().unwrap()), "{bad}");
        }
        for good in ["127.0.0.1:1024", "192.0.2.1:5000", "[::1]:5000", "[2001:db8::1]:5000"] {
            assert!(may_be_dialled(good.parse().unwrap()), "{good}");
        }
    }
}
