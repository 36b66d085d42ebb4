//! A login: its id, its user and its channel for PONGs.
//! The id prevents a late action of an old session from affecting a newer session of the same user.

use commons::names::Username;
use tokio::sync::watch;
use uuid::Uuid;

/// The id of a login: random, so that no two trackers give the same one. Ids have no order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ConnectionId(Uuid);

/// The login of a client.
#[derive(Debug)]
pub(crate) struct SignedIn {
    /// The user who signed in.
    pub(crate) username: Username,
    /// The id of the login.
    pub(crate) connection: ConnectionId,
    /// The channel for PONGs from the client. `None` for a client that sends no ids: it gets only the messages that the
    /// original tracker sent.
    pub(crate) pongs: Option<watch::Sender<()>>,
}

impl ConnectionId {
    /// Creates the id of a new login.
    pub(crate) fn new() -> Self {
        Self(Uuid::new_v4())
    }
}
