//! What is on its way to one peer by its link. What the link loses is lost here too: the history knows which lines the
//! other side has not stored, and they are given again by the next link.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use commons::limits::ORIGINAL_RECV;
use commons::protocol::between_peers::Greeting;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::limits::{LEGACY_RECENT, LINK_QUEUE_BYTES, WRITE_BATCH};
use crate::peer_communication::link_table::LinkId;

/// How one writes to the program at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// One of ours: it keeps a history and catches up.
    Full,
    /// One that speaks the wire but keeps no history: it is told single lines, and receipts each.
    Basic,
    /// An original program: a frame of bounded length in each write, and nothing is known of what arrives.
    Legacy,
}

impl Dialect {
    /// Towards somebody on an encrypted link.
    pub(crate) fn of(greeting: &Greeting<'_>) -> Self {
        if greeting.catch_up { Self::Full } else { Self::Basic }
    }
}

/// What a link should do next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Write what was put into the buffer, then say so.
    Write,
    /// Wait for a change.
    Wait,
    /// This line is more than the other program can take: it was given up.
    TooLong(Uuid),
    /// The outbox writes by another link now.
    Detached,
}

/// The outbox has no room.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// What became of a write.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    /// The line that an original program was given: all that will ever be known of it.
    pub(crate) line: Option<Uuid>,
    /// Somebody was refused, and now there is room again.
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
    /// The last messages that were written to a legacy client: the history may not know yet, and give them again.
    recent: VecDeque<Uuid>,
    control: Control,
}

#[derive(Debug)]
struct QueuedFrame {
    line: Option<Uuid>,
    frame: Bytes,
}

/// Short frames that go before all others.
#[derive(Debug, Default)]
pub(crate) struct Control {
    /// The last line that is stored, to be receipted.
    pub(crate) received: Option<Uuid>,
    /// A PING is due.
    pub(crate) ping: bool,
    /// A PONG is due.
    pub(crate) pong: bool,
}

impl SendQueue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a frame for whatever link writes now.
    pub(crate) fn push(&self, frame: Bytes) -> Result<(), Full> {
        self.take(None, None, frame)
    }

    /// Takes a frame for one link: where another one writes by now, what came before went another way, and this has no
    /// room. `line` names the line in it where its fate is to be told.
    pub(crate) fn push_by(&self, link: LinkId, line: Option<Uuid>, frame: Bytes) -> Result<(), Full> {
        self.take(Some(link), line, frame)
    }

    fn take(&self, link: Option<LinkId>, line: Option<Uuid>, frame: Bytes) -> Result<(), Full> {
        let mut state = self.lock();
        let writer = state.writer.map(|(writer, _)| writer);
        if link.is_some() && link != writer {
            return Err(Full);
        }
        if line.is_some_and(|line| state.has_taken(line)) {
            return Ok(());
        }
        if state.bytes + frame.len() > LINK_QUEUE_BYTES {
            state.refused = true;
            return Err(Full);
        }
        state.bytes += frame.len();
        state.queue.push_back(QueuedFrame { line, frame });
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// Asks for a control frame.
    pub(crate) fn control(&self, ask: impl FnOnce(&mut Control)) {
        ask(&mut self.lock().control);
        self.changed.notify_one();
    }

    /// Lets a link write; what another one did not write is forgotten.
    pub(crate) fn attach(&self, link: LinkId, dialect: Dialect) {
        *self.lock() = State { writer: Some((link, dialect)), ..State::default() };
        self.changed.notify_waiters();
        self.changed.notify_one();
    }

    /// The link is gone.
    pub(crate) fn detach(&self, link: LinkId) {
        let mut state = self.lock();
        if state.writer.is_some_and(|(writer, _)| writer == link) {
            *state = State::default();
        }
    }

    /// By which link one writes to the peer now, and how; `None` without one.
    pub(crate) fn writer(&self) -> Option<(LinkId, Dialect)> {
        self.lock().writer
    }

    /// Waits until there may be something to do. Cancel safe; a change between two calls is not missed.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Fills the buffer with what the link should write next. `control` encodes the control frames that are due.
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
                // A wake-up that this link took was meant for its successor.
                self.changed.notify_one();
                return Next::Detached;
            }
        };
        if dialect == Dialect::Legacy {
            if let Some(QueuedFrame { line, frame }) = state.pop() {
                if let Some(line) = line
                    && frame.len() > ORIGINAL_RECV
                {
                    return Next::TooLong(line);
                }
                buffer.extend_from_slice(&frame);
                state.writing = line;
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

    /// The buffer was written.
    pub(crate) fn written(&self, link: LinkId) -> Written {
        let mut state = self.lock();
        if !state.writer.is_some_and(|(writer, _)| writer == link) {
            return Written::default();
        }
        let room = state.refused && state.bytes <= LINK_QUEUE_BYTES / 2;
        state.refused &= !room;
        let line = state.writing.take();
        state.recent.extend(line);
        if state.recent.len() > LEGACY_RECENT {
            state.recent.pop_front();
        }
        Written { line, room }
    }
}

impl State {
    /// Whether a legacy client is given this message already.
    fn has_taken(&self, line: Uuid) -> bool {
        let legacy = matches!(self.writer, Some((_, Dialect::Legacy)));
        let queued = self.queue.iter().filter_map(|queued| queued.line);
        legacy && queued.chain(self.writing).chain(self.recent.iter().copied()).any(|taken| taken == line)
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

    fn written(outbox: &SendQueue, link: LinkId) -> (String, Written) {
        let mut buffer = Vec::new();
        outbox.next(link, &mut buffer, no_control);
        (String::from_utf8(buffer).unwrap(), outbox.written(link))
    }

    #[test]
    fn frames_go_in_order_and_not_by_a_link_that_was_replaced() {
        let outbox = SendQueue::default();
        outbox.attach(FIRST, Dialect::Full);
        for text in ["a", "b"] {
            outbox.push(frame(text)).unwrap();
        }
        assert_eq!(written(&outbox, FIRST).0, "ab");
        outbox.push(frame("c")).unwrap();
        outbox.attach(SECOND, Dialect::Full);
        assert_eq!(outbox.push_by(FIRST, None, frame("d")), Err(Full), "what was before it is lost");
        assert_eq!(outbox.next(FIRST, &mut Vec::new(), no_control), Next::Detached);
        assert_eq!(
            outbox.next(SECOND, &mut Vec::new(), no_control),
            Next::Wait,
            "the history gives it again"
        );
    }

    #[test]
    fn who_was_refused_is_told_when_there_is_room() {
        let outbox = SendQueue::default();
        outbox.attach(FIRST, Dialect::Full);
        outbox.push(Bytes::from(vec![b'x'; LINK_QUEUE_BYTES])).unwrap();
        assert_eq!(outbox.push(frame("b")), Err(Full));
        assert_eq!(written(&outbox, FIRST).1, Written { line: None, room: true });
        outbox.push(frame("b")).unwrap();
        assert_eq!(written(&outbox, FIRST).1, Written::default());
    }

    #[test]
    fn an_original_program_gets_one_frame_a_write_and_none_that_it_cannot_take() {
        let (outbox, ids) = (SendQueue::default(), [(); 3].map(|()| Uuid::now_v7()));
        outbox.attach(FIRST, Dialect::Legacy);
        outbox.push_by(FIRST, Some(ids[0]), frame("a")).unwrap();
        outbox.push_by(FIRST, Some(ids[1]), Bytes::from(vec![b'x'; ORIGINAL_RECV + 1])).unwrap();
        outbox.push_by(FIRST, Some(ids[2]), frame("c")).unwrap();
        assert_eq!(written(&outbox, FIRST), ("a".into(), Written { line: Some(ids[0]), room: false }));
        assert_eq!(outbox.next(FIRST, &mut Vec::new(), no_control), Next::TooLong(ids[1]));
        outbox.push_by(FIRST, Some(ids[2]), frame("c")).unwrap();
        assert_eq!(written(&outbox, FIRST).0, "c");
        outbox.push_by(FIRST, Some(ids[2]), frame("c")).unwrap();
        assert_eq!(outbox.next(FIRST, &mut Vec::new(), no_control), Next::Wait, "it has that");
    }
}
