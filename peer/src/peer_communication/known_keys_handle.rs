//! A handle to the known keys, for the key checks of the links. The keys belong to the engine.

use commons::names::Username;
use tokio::sync::{mpsc, oneshot};

use crate::limits::KEY_REQUESTS_MAX;
use crate::peer_communication::key_request::{KeyReply, KeyRequest};

/// A request about the keys of a user, with the caller that waits for the reply.
pub(crate) type CalledKeyRequest = (Username, KeyRequest, oneshot::Sender<KeyReply>);

/// A handle to the known keys that is cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct KnownKeysHandle(mpsc::Sender<CalledKeyRequest>);

impl KnownKeysHandle {
    /// Creates a handle. The owner of the keys takes the requests from the returned receiver.
    pub(crate) fn new() -> (Self, mpsc::Receiver<CalledKeyRequest>) {
        let (requests, receiver) = mpsc::channel(KEY_REQUESTS_MAX);
        (Self(requests), receiver)
    }

    /// Sends a request about a user's keys. Returns `None` at the end of the program, when their owner has ended.
    pub(crate) async fn request(&self, user: &Username, request: KeyRequest) -> Option<KeyReply> {
        let (caller, reply) = oneshot::channel();
        self.0.send((user.clone(), request, caller)).await.ok()?;
        reply.await.ok()
    }
}
