//! The action for one staged request after a rollback: what is reported, and what is tried again.

use commons::names::Username;
use uuid::Uuid;

use crate::history::request::{Draft, Request, UnsignedMessage};

/// The action for one staged request after a rollback.
pub(crate) enum RollbackAction {
    /// An own message: it is reported as not stored.
    Append(Uuid),
    /// Messages of another peer: no ack is sent, so the peer sends them again.
    Ingest(Username, Vec<Uuid>),
    /// An unsigned message: nobody sends it again, so it is shown without being stored.
    Unsigned(UnsignedMessage),
    /// Any other request: only this peer knows of it, so it is tried again.
    Again(Request),
}

impl RollbackAction {
    /// Returns the action for a request.
    pub(crate) fn of(request: &Request) -> Self {
        match request {
            Request::Append(Draft { id, .. }) => Self::Append(*id),
            Request::Ingest(received) => Self::Ingest(
                received.from.clone(),
                received.messages.iter().map(|message| message.id).collect(),
            ),
            Request::IngestUnsigned(message) => Self::Unsigned(message.clone()),
            other => Self::Again(other.clone()),
        }
    }
}
