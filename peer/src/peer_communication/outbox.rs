//! What is on its way to one peer: a line leaves when the other side has said that it received it.
//!
//! The outbox belongs to the peer, not to a link: a link that takes over from another one starts at the first line that
//! was not received, and the other side swallows what it has already.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use commons::limits::ORIGINAL_RECV;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::Instant;
use uuid::Uuid;

use crate::limits::{OUTBOX_BYTES, OUTBOX_WAIT, WRITE_BATCH};
use crate::peer_communication::link_table::LinkId;

/// How one writes to the program at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manners {
    /// One of ours: many frames in a write, lines are receipted.
    Ours,
    /// An original program: a frame of bounded length in each write, and nothing is known of what arrives.
    Original,
}

/// What a link should do next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Write what was put into the buffer, then say so.
    Write(Manners),
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

#[derive(Debug, Default)]
pub(crate) struct Outbox {
    state: Mutex<State>,
    changed: Notify,
    moved: Notify,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Queued>,
    bytes: usize,
    written: usize,
    writer: Option<(LinkId, Manners)>,
    control: Control,
    crowded: Option<Crowded>,
}

/// What has left the outbox since somebody first had to wait for room.
#[derive(Debug)]
struct Crowded {
    since: Instant,
    taken: usize,
}

/// Either a line, which stays until it is received, or a notice (`id` absent), which is forgotten once it is written.
#[derive(Debug)]
struct Queued {
    id: Option<Uuid>,
    frame: Bytes,
    since: Instant,
}

/// Short frames that go before all others.
#[derive(Debug, Default)]
pub(crate) struct Control {
    /// The last line that was received from the peer, to be receipted now.
    pub(crate) received: Option<Uuid>,
    /// The same while its receipt may still wait for a silence.
    pub(crate) due: Option<Uuid>,
    /// A PING is due.
    pub(crate) ping: bool,
    /// A PONG is due.
    pub(crate) pong: bool,
}

impl Outbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a line.
    pub(crate) fn push(&self, id: Uuid, frame: Bytes, now: Instant) -> Result<(), Full> {
        self.enqueue(Queued { id: Some(id), frame, since: now })
    }

    /// Takes a frame of which no receipt is awaited; its loss with the link does no harm.
    pub(crate) fn push_notice(&self, frame: Bytes, now: Instant) -> Result<(), Full> {
        self.enqueue(Queued { id: None, frame, since: now })
    }

    fn enqueue(&self, queued: Queued) -> Result<(), Full> {
        let mut state = self.lock();
        if state.bytes + queued.frame.len() > OUTBOX_BYTES {
            return Err(Full);
        }
        state.bytes += queued.frame.len();
        state.queue.push_back(queued);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// Asks for a control frame.
    pub(crate) fn control(&self, ask: impl FnOnce(&mut Control)) {
        ask(&mut self.lock().control);
        self.changed.notify_one();
    }

    /// Notes that a line was received, whose receipt may wait.
    pub(crate) fn owe_receipt(&self, id: Uuid) {
        self.lock().control.due = Some(id);
    }

    /// Has the receipt written that is due, if one is.
    pub(crate) fn give_receipt(&self) -> bool {
        let mut state = self.lock();
        let due = state.control.due.take();
        state.control.received = due.or(state.control.received);
        drop(state);
        self.changed.notify_one();
        due.is_some()
    }

    /// Lets a link write, from the first line that was not received.
    pub(crate) fn attach(&self, link: LinkId, manners: Manners) {
        let mut state = self.lock();
        state.writer = Some((link, manners));
        state.written = 0;
        state.control = Control::default();
        drop(state);
        self.changed.notify_waiters();
        self.changed.notify_one();
    }

    /// The link is gone.
    pub(crate) fn detach(&self, link: LinkId) {
        let mut state = self.lock();
        if state.writer.is_some_and(|(writer, _)| writer == link) {
            state.writer = None;
        }
    }

    /// Waits until there may be something to do. Cancel safe; a change between two calls is not missed.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Completes once something has left the outbox after this call; cheap to make before looking.
    pub(crate) fn moved(&self) -> Notified<'_> {
        self.moved.notified()
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
        let manners = match state.writer {
            Some((writer, manners)) if writer == link => manners,
            _ => {
                drop(guard);
                // A wake-up that this link took was meant for its successor.
                self.changed.notify_one();
                return Next::Detached;
            }
        };
        match manners {
            Manners::Ours => {
                let due = state.control.due;
                control(
                    &std::mem::replace(&mut state.control, Control { due, ..Control::default() }),
                    buffer,
                );
                while let Some(queued) = state.queue.get(state.written) {
                    if !buffer.is_empty() && buffer.len() + queued.frame.len() > WRITE_BATCH {
                        break;
                    }
                    buffer.extend_from_slice(&queued.frame);
                    match queued.id {
                        Some(_) => state.written += 1,
                        None => state.forget(state.written),
                    }
                }
            }
            Manners::Original => {
                if let Some(queued) = state.queue.front() {
                    if let Some(id) = queued.id
                        && queued.frame.len() > ORIGINAL_RECV
                    {
                        state.forget(0);
                        return Next::TooLong(id);
                    }
                    buffer.extend_from_slice(&queued.frame);
                    state.written = 1;
                }
            }
        }
        if buffer.is_empty() { Next::Wait } else { Next::Write(manners) }
    }

    /// The buffer was written; an original program never says what it received, so this is all that will be known.
    pub(crate) fn written(&self, link: LinkId) {
        let mut state = self.lock();
        if state.writer == Some((link, Manners::Original)) && state.written == 1 {
            state.forget(0);
            state.written = 0;
            self.moved.notify_waiters();
        }
    }

    /// The other side has received everything up to this line: the lines that may go now, oldest first.
    pub(crate) fn received(&self, id: Uuid) -> Vec<Uuid> {
        let mut state = self.lock();
        let Some(last) = state.queue.iter().take(state.written).position(|queued| queued.id == Some(id))
        else {
            return Vec::new();
        };
        let mut gone = Vec::with_capacity(last + 1);
        for _ in 0..=last {
            gone.extend(state.queue.front().and_then(|queued| queued.id));
            state.forget(0);
        }
        state.written -= last + 1;
        self.moved.notify_waiters();
        gone
    }

    /// Gives up everything: the lines that were not received.
    pub(crate) fn give_up(&self) -> Vec<Uuid> {
        let mut state = self.lock();
        state.bytes = 0;
        state.written = 0;
        self.moved.notify_waiters();
        state.queue.drain(..).filter_map(|queued| queued.id).collect()
    }

    /// How many lines were not received yet.
    pub(crate) fn lines(&self) -> usize {
        self.lock().queue.iter().filter(|queued| queued.id.is_some()).count()
    }

    /// Since when the oldest line waits.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.lock().queue.front().map(|queued| queued.since)
    }

    /// Until when it is worth waiting for room: while the outbox is more than half full and the other side takes at
    /// least as much again in each [`OUTBOX_WAIT`].
    pub(crate) fn patience(&self, now: Instant) -> Option<Instant> {
        const HALF: usize = OUTBOX_BYTES / 2;
        let mut state = self.lock();
        if state.bytes <= HALF {
            return None;
        }
        let Crowded { since, taken } = state.crowded.get_or_insert(Crowded { since: now, taken: 0 });
        if *taken >= HALF {
            (*since, *taken) = (now, 0);
        }
        let until = *since + OUTBOX_WAIT;
        (now < until).then_some(until)
    }
}

impl State {
    fn forget(&mut self, index: usize) {
        if let Some(queued) = self.queue.remove(index) {
            self.bytes -= queued.frame.len();
            match &mut self.crowded {
                Some(_) if self.bytes == 0 => self.crowded = None,
                Some(crowded) => crowded.taken += queued.frame.len(),
                None => {}
            }
        }
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

    fn written(outbox: &Outbox, link: LinkId) -> String {
        let mut buffer = Vec::new();
        outbox.next(link, &mut buffer, no_control);
        outbox.written(link);
        String::from_utf8(buffer).unwrap()
    }

    fn ids(count: usize) -> Vec<Uuid> {
        (0..count).map(|_| Uuid::now_v7()).collect()
    }

    #[tokio::test]
    async fn lines_stay_until_they_are_received_and_are_sent_again_on_the_next_link() {
        let (outbox, ids, now) = (Outbox::default(), ids(3), Instant::now());
        for (id, text) in ids.iter().zip(["a", "b", "c"]) {
            outbox.push(*id, frame(text), now).unwrap();
        }
        outbox.attach(FIRST, Manners::Ours);
        assert_eq!(written(&outbox, FIRST), "abc");
        assert_eq!(outbox.received(ids[0]), ids[..1]);
        outbox.attach(SECOND, Manners::Ours);
        assert_eq!(outbox.next(FIRST, &mut Vec::new(), no_control), Next::Detached);
        assert_eq!(written(&outbox, SECOND), "bc");
        assert_eq!(outbox.received(ids[2]), ids[1..]);
        assert!(outbox.received(ids[2]).is_empty());
        assert_eq!((outbox.lines(), outbox.oldest()), (0, None));
    }

    #[tokio::test]
    async fn a_receipt_for_what_was_never_written_is_not_believed() {
        let (outbox, ids) = (Outbox::default(), ids(1));
        outbox.push(ids[0], frame("a"), Instant::now()).unwrap();
        outbox.attach(FIRST, Manners::Ours);
        assert!(outbox.received(ids[0]).is_empty());
        assert_eq!(outbox.lines(), 1);
    }

    #[tokio::test]
    async fn a_notice_keeps_its_place_and_is_written_once() {
        let (outbox, ids, now) = (Outbox::default(), ids(2), Instant::now());
        outbox.push(ids[0], frame("a"), now).unwrap();
        outbox.push_notice(frame("leave"), now).unwrap();
        outbox.push(ids[1], frame("b"), now).unwrap();
        outbox.attach(FIRST, Manners::Ours);
        assert_eq!(written(&outbox, FIRST), "aleaveb");
        outbox.attach(SECOND, Manners::Ours);
        assert_eq!(written(&outbox, SECOND), "ab");
    }

    #[tokio::test]
    async fn the_bound_refuses_and_counts_what_leaves() {
        let (outbox, ids, now) = (Outbox::default(), ids(2), Instant::now());
        outbox.push(ids[0], Bytes::from(vec![b'x'; OUTBOX_BYTES]), now).unwrap();
        assert_eq!(outbox.push(ids[1], frame("b"), now), Err(Full));
        assert_eq!(outbox.give_up(), ids[..1]);
        assert_eq!(outbox.push(ids[1], frame("b"), now), Ok(()));
    }

    #[tokio::test]
    async fn an_original_program_gets_one_frame_a_write_and_none_that_it_cannot_take() {
        let (outbox, ids, now) = (Outbox::default(), ids(3), Instant::now());
        outbox.push(ids[0], frame("a"), now).unwrap();
        outbox.push(ids[1], Bytes::from(vec![b'x'; ORIGINAL_RECV + 1]), now).unwrap();
        outbox.push(ids[2], frame("c"), now).unwrap();
        outbox.attach(FIRST, Manners::Original);
        assert_eq!(written(&outbox, FIRST), "a");
        assert_eq!(outbox.next(FIRST, &mut Vec::new(), no_control), Next::TooLong(ids[1]));
        assert_eq!(written(&outbox, FIRST), "c");
        assert_eq!(outbox.lines(), 0);
    }
}
