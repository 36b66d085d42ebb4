//! The send queue of one peer: the frames that wait for its link, at most [`LINK_QUEUE_BYTES`].
//! The queue is lost with its link. The history knows which messages the peer has not stored, and the next link sends
//! them again.
//!
//! Own messages go in order: after one was refused, all later ones are refused too, until the owner resumes the queue.
//! Example: the queue has 10 bytes left. A message of 20 bytes is refused, and so is the next one of 5 bytes. When half
//! of the queue is written, the owner gets a report, resumes, and begins again with the first of the two. Until then the
//! owner may still be handing over later messages, although the writer has made room.

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

#[derive(Debug, Default)]
pub(crate) struct SendQueue {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<QueuedFrame>,
    bytes: usize,
    /// Whether a message was refused, so that no later one may overtake it.
    refused: bool,
    /// Whether the owner got the report that the queue has room after a refusal.
    is_reported: bool,
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

    /// Queues a frame that may overtake refused messages. It is refused if another link writes by now.
    pub(crate) fn push(&self, link: LinkId, frame: Bytes) -> Result<(), Full> {
        self.lock().take(link, None, frame)?;
        self.changed.notify_one();
        Ok(())
    }

    /// Queues a frame with own messages for one link. It is refused if earlier messages were, or if another link writes
    /// by now. `message` is the id of its message if the outcome of the write must be reported.
    pub(crate) fn push_in_order(
        &self,
        link: LinkId,
        message: Option<Uuid>,
        frame: Bytes,
    ) -> Result<(), Full> {
        {
            let mut state = self.lock();
            if state.refused {
                return Err(Full);
            }
            let taken = state.take(link, message, frame);
            state.refused = taken.is_err() && state.is_writer(link);
            taken?;
        }
        self.changed.notify_one();
        Ok(())
    }

    /// Requests a control frame.
    pub(crate) fn control(&self, set: impl FnOnce(&mut Control)) {
        set(&mut self.lock().control);
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

    /// Notes that the buffer was written. Returns the message that a legacy client was sent: nothing more will be known
    /// of it.
    pub(crate) fn written(&self, link: LinkId) -> Option<Uuid> {
        let mut state = self.lock();
        let message = if state.is_writer(link) { state.writing.take() } else { None };
        state.recent.extend(message);
        if state.recent.len() > LEGACY_RECENT {
            state.recent.pop_front();
        }
        message
    }

    /// Whether a message was refused before and half of the queue is free again. Returns true once. Messages are still
    /// refused until [`Self::resume`].
    pub(crate) fn became_writable(&self, link: LinkId) -> bool {
        let mut state = self.lock();
        let has_room = state.is_writer(link) && state.refused && state.bytes <= LINK_QUEUE_BYTES / 2;
        has_room && !std::mem::replace(&mut state.is_reported, true)
    }

    /// Takes messages again. The owner begins with the first one that was refused.
    pub(crate) fn resume(&self) {
        let mut state = self.lock();
        (state.refused, state.is_reported) = (false, false);
    }
}

impl State {
    fn is_writer(&self, link: LinkId) -> bool {
        self.writer.is_some_and(|(writer, _)| writer == link)
    }

    fn take(&mut self, link: LinkId, message: Option<Uuid>, frame: Bytes) -> Result<(), Full> {
        if !self.is_writer(link) {
            return Err(Full);
        }
        if message.is_some_and(|message| self.has_taken(message)) {
            return Ok(());
        }
        if self.bytes + frame.len() > LINK_QUEUE_BYTES {
            return Err(Full);
        }
        self.bytes += frame.len();
        self.queue.push_back(QueuedFrame { message, frame });
        Ok(())
    }

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

    fn bytes(length: usize) -> Bytes {
        Bytes::from(vec![b'x'; length])
    }

    fn queue(dialect: Dialect) -> SendQueue {
        let queue = SendQueue::default();
        queue.attach(FIRST, dialect);
        queue
    }

    fn next(queue: &SendQueue, link: LinkId) -> Next {
        queue.next(link, &mut Vec::new(), |_, _| ())
    }

    fn written(queue: &SendQueue, link: LinkId) -> (String, Option<Uuid>) {
        let mut buffer = Vec::new();
        queue.next(link, &mut buffer, |_, _| ());
        (String::from_utf8(buffer).unwrap(), queue.written(link))
    }

    #[test]
    fn frames_go_in_order_and_not_by_a_link_that_was_replaced() {
        let queue = queue(Dialect::Full);
        for text in ["a", "b"] {
            queue.push(FIRST, frame(text)).unwrap();
        }
        assert_eq!(written(&queue, FIRST).0, "ab");
        queue.push(FIRST, frame("c")).unwrap();
        queue.attach(SECOND, Dialect::Full);
        assert_eq!(queue.push_in_order(FIRST, None, frame("d")), Err(Full), "earlier frames are lost");
        assert_eq!(next(&queue, FIRST), Next::Detached);
        assert_eq!(next(&queue, SECOND), Next::Wait, "the history gives them again");
        queue.push_in_order(SECOND, None, frame("d")).unwrap();
    }

    #[test]
    fn later_message_does_not_overtake_a_refused_one() {
        let queue = queue(Dialect::Full);
        queue.push_in_order(FIRST, None, bytes(LINK_QUEUE_BYTES - 10)).unwrap();
        assert_eq!(queue.push_in_order(FIRST, None, bytes(20)), Err(Full));
        assert_eq!(queue.push_in_order(FIRST, None, bytes(5)), Err(Full), "it would fit");
        queue.push(FIRST, bytes(5)).unwrap();
        assert!(!queue.became_writable(FIRST));
        written(&queue, FIRST);
        assert_eq!(queue.push_in_order(FIRST, None, bytes(5)), Err(Full), "the owner does not know yet");
        assert!(queue.became_writable(FIRST) && !queue.became_writable(FIRST));
        assert_eq!(queue.push_in_order(FIRST, None, bytes(5)), Err(Full), "the owner has not begun again");
        queue.resume();
        queue.push_in_order(FIRST, None, bytes(20)).unwrap();
    }

    #[test]
    fn queue_is_writable_again_after_messages_that_are_too_long() {
        let (queue, id) = (queue(Dialect::Legacy), Uuid::now_v7());
        queue.push_in_order(FIRST, Some(id), bytes(LINK_QUEUE_BYTES)).unwrap();
        assert_eq!(queue.push_in_order(FIRST, Some(Uuid::now_v7()), frame("a")), Err(Full));
        assert_eq!(next(&queue, FIRST), Next::TooLong(id));
        assert!(queue.became_writable(FIRST));
    }

    #[test]
    fn legacy_client_gets_one_frame_a_write_within_its_limit() {
        let (queue, ids) = (queue(Dialect::Legacy), [(); 3].map(|()| Uuid::now_v7()));
        let push = |n: usize, frame| queue.push_in_order(FIRST, Some(ids[n]), frame).unwrap();
        push(0, frame("a"));
        push(1, bytes(ORIGINAL_RECV + 1));
        push(2, frame("c"));
        assert_eq!(written(&queue, FIRST), ("a".into(), Some(ids[0])));
        assert_eq!(next(&queue, FIRST), Next::TooLong(ids[1]));
        push(2, frame("c"));
        assert_eq!(written(&queue, FIRST).0, "c");
        push(2, frame("c"));
        assert_eq!(next(&queue, FIRST), Next::Wait, "it has that");
    }
}
