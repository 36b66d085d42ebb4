//! The send queue of one peer: the frames that wait for its link, at most [`LINK_QUEUE_BYTES`].
//! The queue is lost with its link. The history knows which messages the peer has not stored, and the next link sends
//! them again.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use commons::limits::ORIGINAL_RECV;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::limits::{LEGACY_RECENT, LINK_QUEUE_BYTES, WRITE_BATCH};
use crate::peer_communication::dialect::Dialect;
use crate::peer_communication::link_table::LinkId;

/// Next action of a link's writer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Write the buffer, then call `written`.
    Write,
    /// Wait for a change.
    Wait,
    /// This message is longer than the other program can receive, and was dropped.
    TooLong(Uuid),
    /// Another link writes the queue now.
    Detached,
}

/// Error of a send queue that has no room.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// Result of a finished write.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    /// The message that a legacy client was sent. Nothing more will be known of it.
    pub(crate) message: Option<Uuid>,
    /// Whether a frame was refused before and there is room again.
    pub(crate) room: bool,
}

#[derive(Debug, Default)]
pub(crate) struct SendQueue {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<QueuedFrame>,
    bytes: usize,
    refused: bool,
    writer: Option<(LinkId, Dialect)>,
    writing: Option<Uuid>,
    /// The last [`LEGACY_RECENT`] messages that were written to a legacy client. The history may not know yet, and send
    /// them again.
    recent: VecDeque<Uuid>,
    control: Control,
}

#[derive(Debug)]
struct QueuedFrame {
    message: Option<Uuid>,
    frame: Bytes,
}

/// Short frames that are written before all others.
#[derive(Debug, Default)]
pub(crate) struct Control {
    /// Id of the last stored message, which must be acknowledged.
    pub(crate) received: Option<Uuid>,
    /// Whether a PING is due.
    pub(crate) ping: bool,
    /// Whether a PONG is due.
    pub(crate) pong: bool,
}

impl SendQueue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a frame for the link that writes now.
    pub(crate) fn push(&self, frame: Bytes) -> Result<(), Full> {
        self.take(None, None, frame)
    }

    /// Queues a frame for one link. If another link writes by now, earlier frames went another way, so this one is
    /// refused. `message` is the id of its message if the outcome of the write must be reported.
    pub(crate) fn push_by(&self, link: LinkId, message: Option<Uuid>, frame: Bytes) -> Result<(), Full> {
        self.take(Some(link), message, frame)
    }

    fn take(&self, link: Option<LinkId>, message: Option<Uuid>, frame: Bytes) -> Result<(), Full> {
        let mut state = self.lock();
        let writer = state.writer.map(|(writer, _)| writer);
        if link.is_some() && link != writer {
            return Err(Full);
        }
        if message.is_some_and(|message| state.has_taken(message)) {
            return Ok(());
        }
        if state.bytes + frame.len() > LINK_QUEUE_BYTES {
            state.refused = true;
            return Err(Full);
        }
        state.bytes += frame.len();
        state.queue.push_back(QueuedFrame { message, frame });
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// Requests a control frame.
    pub(crate) fn control(&self, ask: impl FnOnce(&mut Control)) {
        ask(&mut self.lock().control);
        self.changed.notify_one();
    }

    /// Makes a link the writer. Frames that another link has not written are dropped.
    pub(crate) fn attach(&self, link: LinkId, dialect: Dialect) {
        *self.lock() = State { writer: Some((link, dialect)), ..State::default() };
        self.changed.notify_waiters();
        self.changed.notify_one();
    }

    /// Clears the queue if this link was its writer.
    pub(crate) fn detach(&self, link: LinkId) {
        let mut state = self.lock();
        if state.writer.is_some_and(|(writer, _)| writer == link) {
            *state = State::default();
        }
    }

    /// The link that writes now, and its dialect; `None` without one.
    pub(crate) fn writer(&self) -> Option<(LinkId, Dialect)> {
        self.lock().writer
    }

    /// Waits for a possible change. It is cancel safe, and no change between two calls is lost.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Fills the buffer with the bytes that the link must write next. `control` encodes the control frames that are
    /// due.
    pub(crate) fn next(
        &self,
        link: LinkId,
        buffer: &mut Vec<u8>,
        control: impl FnOnce(&Control, &mut Vec<u8>),
    ) -> Next {
        buffer.clear();
        let mut guard = self.lock();
        let state = &mut *guard;
        let dialect = match state.writer {
            Some((writer, dialect)) if writer == link => dialect,
            _ => {
                drop(guard);
                // This link consumed a wake-up that was meant for its successor.
                self.changed.notify_one();
                return Next::Detached;
            }
        };
        if dialect == Dialect::Legacy {
            if let Some(QueuedFrame { message, frame }) = state.pop() {
                if let Some(message) = message
                    && frame.len() > ORIGINAL_RECV
                {
                    return Next::TooLong(message);
                }
                buffer.extend_from_slice(&frame);
                state.writing = message;
            }
        } else {
            control(&std::mem::take(&mut state.control), buffer);
            while let Some(queued) = state.queue.front() {
                if !buffer.is_empty() && buffer.len() + queued.frame.len() > WRITE_BATCH {
                    break;
                }
                buffer.extend_from_slice(&queued.frame);
                state.pop();
            }
        }
        if buffer.is_empty() { Next::Wait } else { Next::Write }
    }

    /// Notes that the buffer was written.
    pub(crate) fn written(&self, link: LinkId) -> Written {
        let mut state = self.lock();
        if !state.writer.is_some_and(|(writer, _)| writer == link) {
            return Written::default();
        }
        let room = state.refused && state.bytes <= LINK_QUEUE_BYTES / 2;
        state.refused &= !room;
        let message = state.writing.take();
        state.recent.extend(message);
        if state.recent.len() > LEGACY_RECENT {
            state.recent.pop_front();
        }
        Written { message, room }
    }
}

impl State {
    /// Whether this message is already queued for a legacy client, or was written to it recently.
    fn has_taken(&self, message: Uuid) -> bool {
        let legacy = matches!(self.writer, Some((_, Dialect::Legacy)));
        let queued = self.queue.iter().filter_map(|queued| queued.message);
        legacy && queued.chain(self.writing).chain(self.recent.iter().copied()).any(|taken| taken == message)
    }

    fn pop(&mut self) -> Option<QueuedFrame> {
        let queued = self.queue.pop_front()?;
        self.bytes -= queued.frame.len();
        Some(queued)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: LinkId = LinkId(1);
    const SECOND: LinkId = LinkId(2);

    fn frame(text: &str) -> Bytes {
        Bytes::from(text.to_owned())
    }

    fn no_control(_: &Control, _: &mut Vec<u8>) {}

    fn written(queue: &SendQueue, link: LinkId) -> (String, Written) {
        let mut buffer = Vec::new();
        queue.next(link, &mut buffer, no_control);
        (String::from_utf8(buffer).unwrap(), queue.written(link))
    }

    #[test]
    fn frames_go_in_order_and_not_by_a_link_that_was_replaced() {
        let queue = SendQueue::default();
        queue.attach(FIRST, Dialect::Full);
        for text in ["a", "b"] {
            queue.push(frame(text)).unwrap();
        }
        assert_eq!(written(&queue, FIRST).0, "ab");
        queue.push(frame("c")).unwrap();
        queue.attach(SECOND, Dialect::Full);
        assert_eq!(queue.push_by(FIRST, None, frame("d")), Err(Full), "what was before it is lost");
        assert_eq!(queue.next(FIRST, &mut Vec::new(), no_control), Next::Detached);
        assert_eq!(queue.next(SECOND, &mut Vec::new(), no_control), Next::Wait, "the history gives it again");
    }

    #[test]
    fn who_was_refused_is_told_when_there_is_room() {
        let queue = SendQueue::default();
        queue.attach(FIRST, Dialect::Full);
        queue.push(Bytes::from(vec![b'x'; LINK_QUEUE_BYTES])).unwrap();
        assert_eq!(queue.push(frame("b")), Err(Full));
        assert_eq!(written(&queue, FIRST).1, Written { message: None, room: true });
        queue.push(frame("b")).unwrap();
        assert_eq!(written(&queue, FIRST).1, Written::default());
    }

    #[test]
    fn legacy_client_gets_one_frame_a_write_within_its_limit() {
        let (queue, ids) = (SendQueue::default(), [(); 3].map(|()| Uuid::now_v7()));
        queue.attach(FIRST, Dialect::Legacy);
        queue.push_by(FIRST, Some(ids[0]), frame("a")).unwrap();
        queue.push_by(FIRST, Some(ids[1]), Bytes::from(vec![b'x'; ORIGINAL_RECV + 1])).unwrap();
        queue.push_by(FIRST, Some(ids[2]), frame("c")).unwrap();
        assert_eq!(written(&queue, FIRST), ("a".into(), Written { message: Some(ids[0]), room: false }));
        assert_eq!(queue.next(FIRST, &mut Vec::new(), no_control), Next::TooLong(ids[1]));
        queue.push_by(FIRST, Some(ids[2]), frame("c")).unwrap();
        assert_eq!(written(&queue, FIRST).0, "c");
        queue.push_by(FIRST, Some(ids[2]), frame("c")).unwrap();
        assert_eq!(queue.next(FIRST, &mut Vec::new(), no_control), Next::Wait, "it has that");
    }
}
