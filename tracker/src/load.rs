//! The load of the tracker at one moment: sessions, data, and what waits.

use crate::active_connections::ActiveConnections;
use crate::handlers::authenticator::Authenticator;
use crate::repositories::StoreFigures;
use crate::timing::TimingCounts;

/// The load at one moment. It holds counts, sizes and times only.
#[derive(Debug)]
pub(crate) struct Load {
    /// The number of authenticated sessions.
    pub(crate) sessions: usize,
    /// The number of accounts.
    pub(crate) users: usize,
    /// The number of rooms.
    pub(crate) rooms: usize,
    /// The number of password hashes that wait.
    pub(crate) hashes_waiting: usize,
    /// The number of bytes in the send queues of all sessions.
    pub(crate) queued_bytes: usize,
    /// The number of bytes in the longest send queue.
    pub(crate) longest_queue_bytes: usize,
    /// The number of changes that wait for the disk.
    pub(crate) changes_waiting: usize,
    /// The times of writing changes to the disk.
    pub(crate) flushes: TimingCounts,
}

impl Load {
    /// Reads the load from its parts.
    pub(crate) fn of(
        connections: &ActiveConnections,
        store: &StoreFigures,
        authenticator: &Authenticator,
    ) -> Self {
        let (sessions, queued_bytes, longest_queue_bytes) = connections.load();
        Self {
            sessions,
            users: store.users(),
            rooms: store.rooms(),
            hashes_waiting: authenticator.hashes_waiting(),
            queued_bytes,
            longest_queue_bytes,
            changes_waiting: store.changes_waiting(),
            flushes: store.flushes(),
        }
    }
}
