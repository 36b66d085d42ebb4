//! The table of authenticated sessions.
//! Each user has at most one session. A newer login replaces the older session.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use commons::keys::PublicKey;
use commons::names::Username;
use dashmap::DashMap;
use tokio::sync::watch;

use crate::log_class::CONNECTION;
use crate::login::ConnectionId;
use crate::send_queue::{CloseReason, SendQueue};
use crate::traffic::Traffic;

/// An authenticated session, as other tasks see it. A clone is cheap.
#[derive(Debug, Clone)]
pub(crate) struct ActiveConnection {
    /// The id of the login.
    pub(crate) id: ConnectionId,
    /// The user of the session.
    pub(crate) username: Username,
    /// The addresses and channels that a liveness sweep uses.
    pub(crate) pinged: Pinged,
    /// The time of the login.
    pub(crate) since: DateTime<Utc>,
    /// The traffic of the session.
    pub(crate) traffic: Arc<Traffic>,
    send_queue: SendQueue,
}

/// The data that a liveness sweep needs to ping the peer of a session.
#[derive(Debug, Clone)]
pub(crate) struct Pinged {
    /// The address from which the session comes, with the port on which its peer accepts links.
    pub(crate) observed: SocketAddr,
    /// The key that the peer must prove at that address. `None` means a plaintext PING.
    pub(crate) key: Option<PublicKey>,
    /// The channel for PONGs that arrive on the session, if the client understands PING there.
    pub(crate) pongs: Option<watch::Sender<()>>,
}

impl ActiveConnection {
    /// Queues a frame for the session.
    pub(crate) fn push(&self, frame: Bytes) {
        self.send_queue.push(frame);
    }

    /// Whether the client understands announcements. Plaintext clients get none.
    pub(crate) fn takes_announcements(&self) -> bool {
        self.pinged.key.is_some() && self.pinged.pongs.is_some()
    }

    /// Whether the client is an original Python peer.
    pub(crate) fn is_legacy(&self) -> bool {
        self.pinged.key.is_none() && self.pinged.pongs.is_none()
    }
}

/// All authenticated sessions by user.
#[derive(Debug, Default)]
pub(crate) struct ActiveConnections {
    by_user: DashMap<Username, ActiveConnection>,
}

impl ActiveConnections {
    /// Adds a session. An older session of the same user is ended.
    pub(crate) fn register(
        &self,
        username: &Username,
        pinged: Pinged,
        send_queue: SendQueue,
        traffic: Arc<Traffic>,
    ) -> ConnectionId {
        let (id, since) = (ConnectionId::new(), Utc::now());
        let connection =
            ActiveConnection { id, username: username.clone(), pinged, since, traffic, send_queue };
        if let Some(older) = self.by_user.insert(username.clone(), connection) {
            tracing::info!(class = CONNECTION, %username, "a newer login replaces the older session");
            older.send_queue.end(CloseReason::Superseded);
        }
        id
    }

    /// Removes a session, unless a newer one of the user has replaced it.
    pub(crate) fn unregister(&self, username: &Username, id: ConnectionId) {
        self.by_user.remove_if(username, |_, connection| connection.id == id);
    }

    /// Ends the session of a user if it has proven this key.
    pub(crate) fn revoke(&self, username: &Username, key: PublicKey) {
        if let Some(session) = self.by_user.get(username).filter(|session| session.pinged.key == Some(key)) {
            session.send_queue.end(CloseReason::Revoked);
        }
    }

    /// Ends the session of a user. Returns its id.
    pub(crate) fn end(&self, username: &Username, reason: CloseReason) -> Option<ConnectionId> {
        let session = self.by_user.get(username)?;
        session.send_queue.end(reason);
        Some(session.id)
    }

    /// The user of a session.
    pub(crate) fn user(&self, id: ConnectionId) -> Option<Username> {
        self.by_user.iter().find(|session| session.id == id).map(|session| session.username.clone())
    }

    /// Whether this is the current session of a user.
    pub(crate) fn is_current(&self, username: &Username, id: ConnectionId) -> bool {
        self.by_user.get(username).is_some_and(|session| session.id == id)
    }

    /// The current session of a user.
    pub(crate) fn connection(&self, username: &Username) -> Option<ActiveConnection> {
        self.by_user.get(username).map(|entry| entry.value().clone())
    }

    /// The number of sessions, and the bytes in their send queues: of all, and of the longest.
    pub(crate) fn load(&self) -> (usize, usize, usize) {
        self.by_user.iter().fold((0, 0, 0), |(sessions, all, longest), session| {
            let waiting = session.send_queue.waiting();
            (sessions + 1, all + waiting, longest.max(waiting))
        })
    }

    /// A copy of all current sessions.
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
        let first = connections.register(&ana, pinged.clone(), old.clone(), Arc::default());
        let second = connections.register(&ana, pinged, new, Arc::default());
        assert_eq!(old.ended().await, CloseReason::Superseded);
        connections.unregister(&ana, first);
        assert_eq!(connections.connection(&ana).map(|c| c.id), Some(second));
        connections.unregister(&ana, second);
        assert!(connections.connection(&ana).is_none());
    }
}
