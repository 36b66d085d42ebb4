//! Who is signed in on which connection. The newest login of a user wins.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use commons::keys::PublicKey;
use commons::names::Username;
use dashmap::DashMap;
use tokio::sync::watch;

use crate::connection_id::ConnectionId;
use crate::send_queue::{CloseReason, SendQueue};

/// A signed-in session, as others see it. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct ActiveConnection {
    /// Which login.
    pub(crate) id: ConnectionId,
    /// Whose.
    pub(crate) username: Username,
    /// How it is asked for a sign of life.
    pub(crate) pinged: Pinged,
    outbox: SendQueue,
}

/// How a session's program is asked for a sign of life.
#[derive(Debug, Clone)]
pub(crate) struct Pinged {
    /// The address that the session comes from, with the port on which its program takes links.
    pub(crate) observed: SocketAddr,
    /// The key that has to answer there; `None` asks in the clear.
    pub(crate) key: Option<PublicKey>,
    /// Where the session answers to PING, if it understands one.
    pub(crate) pongs: Option<watch::Sender<()>>,
}

impl ActiveConnection {
    /// Queues a line for the session.
    pub(crate) fn push(&self, line: Bytes) {
        self.outbox.push(line);
    }

    /// Whether its program is an original Python peer.
    pub(crate) fn is_legacy(&self) -> bool {
        self.pinged.key.is_none() && self.pinged.pongs.is_none()
    }

    /// Ends the session.
    pub(crate) fn end(&self, ending: CloseReason) {
        self.outbox.end(ending);
    }
}

/// All signed-in sessions.
#[derive(Debug, Default)]
pub(crate) struct ActiveConnections {
    by_user: DashMap<Username, ActiveConnection>,
    last_id: AtomicU64,
}

impl ActiveConnections {
    /// Adds a session; an older one of that user is ended.
    pub(crate) fn register(&self, username: &Username, pinged: Pinged, outbox: SendQueue) -> ConnectionId {
        let id = ConnectionId(self.last_id.fetch_add(1, Ordering::Relaxed) + 1);
        let connection = ActiveConnection { id, username: username.clone(), pinged, outbox };
        if let Some(older) = self.by_user.insert(username.clone(), connection) {
            tracing::info!(%username, "a newer login takes the place of an older one");
            older.outbox.end(CloseReason::Superseded);
        }
        id
    }

    /// Removes a session, unless a newer one has taken its place.
    pub(crate) fn unregister(&self, username: &Username, id: ConnectionId) {
        self.by_user.remove_if(username, |_, connection| connection.id == id);
    }

    /// A user's session.
    pub(crate) fn connection(&self, username: &Username) -> Option<ActiveConnection> {
        self.by_user.get(username).map(|entry| entry.value().clone())
    }

    /// All sessions.
    pub(crate) fn all(&self) -> Vec<ActiveConnection> {
        self.by_user.iter().map(|entry| entry.value().clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_old_session_cannot_remove_a_newer_one() {
        let connections = ActiveConnections::default();
        let ana = Username::parse("ana").unwrap();
        let pinged = Pinged { observed: ([127, 0, 0, 1], 5000).into(), key: None, pongs: None };
        let (old, new) = (SendQueue::new().0, SendQueue::new().0);
        let first = connections.register(&ana, pinged.clone(), old.clone());
        let second = connections.register(&ana, pinged, new);
        assert_eq!(old.ended().await, CloseReason::Superseded);
        connections.unregister(&ana, first);
        assert_eq!(connections.connection(&ana).map(|c| c.id), Some(second));
        connections.unregister(&ana, second);
        assert!(connections.connection(&ana).is_none());
    }
}
