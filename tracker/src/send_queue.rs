//! What waits to be said to one session: bounded in bytes, filled by many, written by the session alone.
//!
//! Replies and pushes take the same way, so that their order is the one in which they were decided. Nobody ever
//! waits for a slow reader: who lets too much pile up is ended.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::limits::OUTBOX_BYTES;

/// Why a session ends that did not end itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CloseReason {
    /// Its reader is too slow.
    Overflow,
    /// A newer login took its place.
    Superseded,
    /// Its key was taken away.
    Revoked,
    /// The tracker stops.
    ShuttingDown,
}

/// The end that others hold. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct SendQueue {
    lines: mpsc::UnboundedSender<Line>,
    room: Arc<Semaphore>,
    ended: CancellationToken,
    ending: Arc<OnceLock<CloseReason>>,
}

/// Bytes to write; the room that they take is free again once this is dropped.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) bytes: Bytes,
    /// Whether it answers a request, rather than to tell something unasked.
    pub(crate) answers: bool,
    _room: OwnedSemaphorePermit,
}

impl SendQueue {
    /// An empty one, and the end from which the session takes what it writes.
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Line>) {
        let (lines, waiting) = mpsc::unbounded_channel();
        let room = Arc::new(Semaphore::new(OUTBOX_BYTES));
        (Self { lines, room, ended: CancellationToken::new(), ending: Arc::default() }, waiting)
    }

    /// Adds a line that tells something unasked; ends the session where there is no room for it.
    pub(crate) fn push(&self, bytes: Bytes) {
        self.add(bytes, false);
    }

    /// Adds a line that answers a request; ends the session where there is no room for it.
    pub(crate) fn answer(&self, bytes: Bytes) {
        self.add(bytes, true);
    }

    fn add(&self, bytes: Bytes, answers: bool) {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        match self.room.clone().try_acquire_many_owned(length) {
            // A session that has ended hears nothing any more.
            Ok(room) => drop(self.lines.send(Line { bytes, answers, _room: room })),
            Err(_) => self.end(CloseReason::Overflow),
        }
    }

    /// Ends the session; the first reason counts.
    pub(crate) fn end(&self, ending: CloseReason) {
        let _ = self.ending.set(ending);
        self.ended.cancel();
    }

    /// Waits for the end.
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
        let (outbox, mut lines) = SendQueue::new();
        outbox.push(vec![b'x'; OUTBOX_BYTES - 1].into());
        outbox.push(vec![b'x'; 1].into());
        assert!(!outbox.ended.is_cancelled());
        drop(lines.recv().await);
        outbox.push(vec![b'x'; OUTBOX_BYTES - 1].into());
        assert!(!outbox.ended.is_cancelled(), "room is given back once a line was written");
        outbox.push(vec![b'x'; 1].into());
        outbox.end(CloseReason::Superseded);
        assert_eq!(outbox.ended().await, CloseReason::Overflow, "the first reason counts");
    }
}
