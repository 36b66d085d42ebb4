//! The send queue of one session.
//! It is bounded in bytes. Many tasks fill it, and only the session writes it to the connection.
//!
//! Replies and pushes share the queue, so they are written in the order in which they were decided. No task waits for a
//! slow client: when the queue is full, the session is ended.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::limits::SEND_QUEUE_BYTES;

/// The reason why another task ended a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CloseReason {
    /// The send queue is full because the client reads too slowly.
    Overflow,
    /// A newer login of the user replaced the session.
    Superseded,
    /// The key of the session was revoked.
    Revoked,
    /// An admin ended the session.
    Kicked,
    /// The user or the address is banned until this time, or for good.
    Banned(Option<DateTime<Utc>>),
    /// An admin deleted the account.
    Removed,
    /// The tracker is shutting down.
    ShuttingDown,
}

/// The sending end of the queue. A clone is cheap.
#[derive(Debug, Clone)]
pub(crate) struct SendQueue {
    /// The frames are boxed, because the channel allocates space for dozens of them, even if it is empty.
    frames: mpsc::UnboundedSender<Box<QueuedFrame>>,
    room: Arc<Semaphore>,
    ended: CancellationToken,
    ending: Arc<OnceLock<CloseReason>>,
}

/// An encoded frame that waits to be written. Its bytes count against the queue until it is dropped.
#[derive(Debug)]
pub(crate) struct QueuedFrame {
    pub(crate) bytes: Bytes,
    /// Whether the frame answers a request. It is false for a push.
    pub(crate) answers: bool,
    _room: OwnedSemaphorePermit,
}

impl SendQueue {
    /// Creates an empty queue, and the end from which the session takes its frames.
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Box<QueuedFrame>>) {
        let (frames, waiting) = mpsc::unbounded_channel();
        let room = Arc::new(Semaphore::new(SEND_QUEUE_BYTES));
        (Self { frames, room, ended: CancellationToken::new(), ending: Arc::default() }, waiting)
    }

    /// Adds a frame that answers no request. Ends the session if the queue has no room for it.
    pub(crate) fn push(&self, bytes: Bytes) {
        self.add(bytes, false);
    }

    /// Adds a frame that answers a request. Ends the session if the queue has no room for it.
    pub(crate) fn answer(&self, bytes: Bytes) {
        self.add(bytes, true);
    }

    fn add(&self, bytes: Bytes, answers: bool) {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        match self.room.clone().try_acquire_many_owned(length) {
            // A session that has ended drops the frame.
            Ok(room) => drop(self.frames.send(Box::new(QueuedFrame { bytes, answers, _room: room }))),
            Err(_) => self.end(CloseReason::Overflow),
        }
    }

    /// The number of queued bytes.
    pub(crate) fn waiting(&self) -> usize {
        SEND_QUEUE_BYTES.saturating_sub(self.room.available_permits())
    }

    /// Ends the session. Only the first reason is kept.
    pub(crate) fn end(&self, ending: CloseReason) {
        let _ = self.ending.set(ending);
        self.ended.cancel();
    }

    /// Waits until the session is ended, and returns the reason.
    pub(crate) async fn ended(&self) -> CloseReason {
        self.ended.cancelled().await;
        self.ending.get().copied().unwrap_or(CloseReason::ShuttingDown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn ends_at_the_first_byte_too_many_and_not_before() {
        let (send_queue, mut frames) = SendQueue::new();
        send_queue.push(vec![b'x'; SEND_QUEUE_BYTES - 1].into());
        send_queue.push(vec![b'x'; 1].into());
        assert!(!send_queue.ended.is_cancelled());
        drop(frames.recv().await);
        send_queue.push(vec![b'x'; SEND_QUEUE_BYTES - 1].into());
        assert!(!send_queue.ended.is_cancelled(), "room is given back once a frame was written");
        send_queue.push(vec![b'x'; 1].into());
        send_queue.end(CloseReason::Superseded);
        assert_eq!(send_queue.ended().await, CloseReason::Overflow, "the first reason counts");
    }
}
