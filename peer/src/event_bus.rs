//! The event bus: it carries the peer's events to its subscribers.
//!
//! Every subscriber receives all events, in one order. Its queue is bounded, and publishing never waits. A subscriber
//! whose queue is full gets one `lagged` event after the queued ones, and its queue ends. It then subscribes again from
//! its [`Position`]: the messages after it are read from the history again, and the new snapshot holds everything else.
//! So a slow subscriber delays neither the links nor another subscriber, and it misses no message.
//!
//! The bus also knows which rows of the history count as shown: after a crash they are not published again. A row counts
//! once some subscriber has shown it and all rows before it have been shown, by whichever subscribers. A subscriber
//! shows every row since it began, in order, so these are intervals.
//!
//! Example: a terminal and a page are subscribed since row 10. The terminal has shown row 20 and stalls, the page has
//! shown row 40. Rows up to 40 count as shown, and the terminal still gets rows 21 to 40 when it goes on. A second page
//! that began at row 50 does not count before the first page has shown row 50.

use std::mem;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::api::administration::AdminEvent;
use commons::snapshot::{Member, RoomSnapshot};
use tokio::sync::{Notify, mpsc};

use crate::api::Event;
use crate::api::conversation::Conversation;
use crate::api::snapshot::{Position, Snapshot};
use crate::limits::EVENT_QUEUE_BYTES;
use crate::untrusted::AsUntrusted;

/// The state of the peer, and every event after it.
#[derive(Debug)]
pub struct Subscription {
    /// The complete state, to which each event is a change.
    pub snapshot: Snapshot,
    /// The events after the snapshot, without a gap.
    pub events: Events,
}

/// The events of one subscriber, in order.
#[derive(Debug)]
pub struct Events {
    queue: mpsc::UnboundedReceiver<Item>,
    /// Messages that are read from the history before the rest of the queue.
    rereading: Option<mpsc::Receiver<Reread>>,
    progress: Arc<Progress>,
    position: Position,
    shown: Arc<Notify>,
}

/// An event, and the row of the history that it shows, if any.
#[derive(Debug, Clone)]
pub(crate) struct Envelope {
    pub(crate) event: Event,
    pub(crate) row: Row,
}

/// The row of the history that an event shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Row {
    None,
    /// The row of a received message.
    Received(i64),
    /// The row of a message that was written on this device.
    Sent(i64),
}

/// A message that was read from the history again, or the end of these messages.
#[derive(Debug)]
pub(crate) enum Reread {
    Message(Envelope),
    End,
}

/// An item in the queue of a subscriber.
#[derive(Debug)]
enum Item {
    Event(Envelope),
    /// From here on the subscriber is at this position. The messages after it come first, if there are any.
    Start(Position, Option<mpsc::Receiver<Reread>>),
}

/// The state that a subscriber shares with the bus.
#[derive(Debug, Default)]
struct Progress {
    /// The estimated size of the queued events.
    queued: AtomicUsize,
    has_lagged: AtomicBool,
    /// The subscriber shows every received message after this row.
    since: AtomicI64,
    /// The last row of a received message that was shown, not only read.
    shown: AtomicI64,
    reading: Mutex<Reading>,
}

/// The conversation that the user reads at a subscriber, and those that the user has just closed.
#[derive(Debug, Default)]
struct Reading {
    open: Option<Conversation>,
    /// Each with the last row that was shown while it was open.
    closed: Vec<(Conversation, i64)>,
}

/// How far the user has read conversations at the frontends.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ReadRows {
    /// Conversations with the last row that was read, perhaps several for one conversation.
    pub(crate) read: Vec<(Conversation, i64)>,
    /// The conversations that are open now.
    pub(crate) open: Vec<Conversation>,
}

/// A subscriber as the bus sees it.
#[derive(Debug)]
struct Subscriber {
    /// The queue; `None` after the subscriber has lagged.
    queue: Option<mpsc::UnboundedSender<Item>>,
    progress: Arc<Progress>,
}

/// The first events of a subscription.
#[derive(Debug, Clone, Copy)]
pub(crate) enum SubscribeFrom {
    /// The events from now on.
    Now,
    /// The messages after this position.
    After(Position),
    /// The messages that no frontend has shown.
    Unshown,
}

/// The list of subscribers.
#[derive(Debug)]
pub(crate) struct EventBus {
    subscribers: Vec<Subscriber>,
    /// The position of a subscriber that has read everything.
    published: Position,
    /// Every received message up to this row was shown; `None` before the history is open.
    shown: Option<i64>,
    /// Notifies when a subscriber has shown more rows.
    shown_more: Arc<Notify>,
    /// The size of the queued events of one subscriber at which it lags.
    queue_bytes: usize,
    ended: bool,
}

impl Default for EventBus {
    fn default() -> Self {
        Self::with_bound(EVENT_QUEUE_BYTES)
    }
}

/// The events of a service that has ended: there are none.
impl Default for Events {
    fn default() -> Self {
        let mut ended = EventBus::default();
        ended.end();
        ended.add()
    }
}

impl Events {
    /// Returns the next event; `None` once the service has ended, and after [`Event::Lagged`]. This call also reports
    /// that all earlier events were shown: after a crash they are not published again. Cancel safe.
    pub async fn recv(&mut self) -> Option<Event> {
        let received = self.position.received;
        if self.progress.shown.fetch_max(received, Ordering::Relaxed) < received {
            self.shown.notify_one();
        }
        loop {
            if let Some(rows) = &mut self.rereading {
                // Without its end the service was stopped, and later events would hide that messages are missing.
                match rows.recv().await? {
                    Reread::Message(envelope) => return Some(self.note_read(envelope)),
                    Reread::End => self.rereading = None,
                }
            }
            let Some(item) = self.queue.recv().await else { return self.end() };
            if let Some(event) = self.take(item) {
                return Some(event);
            }
        }
    }

    /// Returns an event that has already arrived; says nothing about the earlier ones.
    pub fn try_recv(&mut self) -> Option<Event> {
        loop {
            if let Some(rows) = &mut self.rereading {
                match rows.try_recv().ok()? {
                    Reread::Message(envelope) => return Some(self.note_read(envelope)),
                    Reread::End => self.rereading = None,
                }
            }
            let event = match self.queue.try_recv() {
                Ok(item) => self.take(item),
                Err(mpsc::error::TryRecvError::Disconnected) => return self.end(),
                Err(mpsc::error::TryRecvError::Empty) => return None,
            };
            if event.is_some() {
                return event;
            }
        }
    }

    /// Returns the position of this subscriber, from which it subscribes again after [`Event::Lagged`].
    #[must_use]
    pub fn position(&self) -> Position {
        self.position
    }

    /// Sets the conversation that the user reads here. All its messages so far, and those that are shown until the next
    /// call, count as read.
    pub fn set_reading(&self, open: Option<&Conversation>) {
        let mut reading = self.progress.reading.lock().unwrap_or_else(PoisonError::into_inner);
        if reading.open.as_ref() == open {
            return;
        }
        let closed = mem::replace(&mut reading.open, open.cloned());
        reading.closed.extend(closed.map(|closed| (closed, self.position.received)));
        self.shown.notify_one();
    }

    fn take(&mut self, item: Item) -> Option<Event> {
        match item {
            Item::Event(envelope) => {
                self.progress.queued.fetch_sub(weight(&envelope.event), Ordering::Relaxed);
                Some(self.note_read(envelope))
            }
            Item::Start(position, rows) => {
                (self.position, self.rereading) = (position, rows);
                None
            }
        }
    }

    fn note_read(&mut self, Envelope { event, row }: Envelope) -> Event {
        match row {
            Row::None => {}
            Row::Received(row) => self.position.received = self.position.received.max(row),
            Row::Sent(row) => self.position.sent = self.position.sent.max(row),
        }
        event
    }

    /// Returns the last event of a queue that has ended, once.
    fn end(&self) -> Option<Event> {
        self.progress.has_lagged.swap(false, Ordering::Relaxed).then_some(Event::Lagged)
    }
}

impl EventBus {
    /// Creates a bus whose subscribers lag at this size of their queued events.
    fn with_bound(queue_bytes: usize) -> Self {
        Self {
            subscribers: Vec::new(),
            published: Position::default(),
            shown: None,
            shown_more: Arc::default(),
            queue_bytes,
            ended: false,
        }
    }

    /// Adds a subscriber, which receives all events from now on. If it is the only one, the messages before count as shown
    /// as soon as it goes on: it draws its screen from the history, and nobody else will show them.
    pub(crate) fn add(&mut self) -> Events {
        let is_alone = self.subscribers.iter().all(|it| Arc::strong_count(&it.progress) == 1);
        let since = self.shown.filter(|_| is_alone).unwrap_or(self.published.received);
        self.add_at(Position { since, ..self.published })
    }

    /// Returns the position after which a subscription begins; `None` for one from now on.
    pub(crate) fn position(&self, begin: SubscribeFrom) -> Option<Position> {
        match begin {
            SubscribeFrom::Now => None,
            SubscribeFrom::After(position) => Some(position),
            SubscribeFrom::Unshown => {
                let shown = self.shown.unwrap_or(self.published.received);
                Some(Position { since: shown, received: shown, ..self.published })
            }
        }
    }

    /// Adds a subscriber that was here before, up to a position. `rows` brings the messages after it.
    pub(crate) fn add_from(&mut self, from: Position, rows: mpsc::Receiver<Reread>) -> Events {
        let mut events = self.add_at(from);
        events.rereading = Some(rows);
        events
    }

    fn add_at(&mut self, position: Position) -> Events {
        let (sender, queue) = mpsc::unbounded_channel();
        let progress = Arc::new(Progress {
            since: position.since.into(),
            shown: position.since.into(),
            ..Progress::default()
        });
        if !self.ended {
            self.subscribers.push(Subscriber { queue: Some(sender), progress: Arc::clone(&progress) });
        }
        Events { queue, rereading: None, progress, position, shown: Arc::clone(&self.shown_more) }
    }

    /// Starts with an opened history, whose last rows no earlier run has shown. `rows` brings each present subscriber
    /// these messages: those after one position, up to another.
    pub(crate) fn begin(
        &mut self,
        unshown: &Range<i64>,
        mut rows: impl FnMut(Position, Position) -> mpsc::Receiver<Reread>,
    ) {
        let (shown, last) = (unshown.start - 1, unshown.end - 1);
        self.published = Position { since: 0, received: last, sent: last };
        self.shown = Some(shown);
        let position = Position { since: shown, received: shown, sent: last };
        for Subscriber { queue, progress } in &self.subscribers {
            progress.since.store(shown, Ordering::Relaxed);
            progress.shown.store(shown, Ordering::Relaxed);
            let rows = (!unshown.is_empty()).then(|| rows(position, self.published));
            if let Some(queue) = queue {
                // The subscriber may be gone.
                let _ = queue.send(Item::Start(position, rows));
            }
        }
    }

    /// Returns the position of a subscriber that has read everything.
    pub(crate) fn published(&self) -> Position {
        self.published
    }

    /// Publishes an event.
    pub(crate) fn publish(&mut self, event: &Event, row: Row) {
        match row {
            Row::None => {}
            Row::Received(row) => self.published.received = self.published.received.max(row),
            Row::Sent(row) => self.published.sent = self.published.sent.max(row),
        }
        let weight = weight(event);
        self.subscribers.retain(|it| it.queue.is_some() || Arc::strong_count(&it.progress) > 1);
        for Subscriber { queue, progress } in &mut self.subscribers {
            let Some(sender) = queue else { continue };
            if progress.queued.load(Ordering::Relaxed) + weight > self.queue_bytes {
                progress.has_lagged.store(true, Ordering::Relaxed);
                *queue = None;
                continue;
            }
            progress.queued.fetch_add(weight, Ordering::Relaxed);
            // The subscriber may be gone.
            let _ = sender.send(Item::Event(Envelope { event: event.clone(), row }));
        }
        self.subscribers.retain(|it| it.queue.as_ref().is_none_or(|queue| !queue.is_closed()));
    }

    /// Returns the notification that a subscriber has shown more.
    pub(crate) fn shown_more(&self) -> Arc<Notify> {
        Arc::clone(&self.shown_more)
    }

    /// Returns the last row up to which every received message was shown by some subscriber; `None` before the history
    /// is open.
    pub(crate) fn shown(&mut self) -> Option<i64> {
        let mut shown = self.shown?;
        let reaches = |subscriber: &Subscriber, from: i64| {
            let since = subscriber.progress.since.load(Ordering::Relaxed);
            let until = subscriber.progress.shown.load(Ordering::Relaxed);
            (since <= from && from < until).then_some(until)
        };
        while let Some(until) = self.subscribers.iter().find_map(|subscriber| reaches(subscriber, shown)) {
            shown = until;
        }
        self.shown = Some(shown);
        self.shown
    }

    /// Returns what was read at the subscribers since the last call, and what is open there.
    pub(crate) fn read_rows(&mut self) -> ReadRows {
        let mut rows = ReadRows::default();
        for Subscriber { progress, .. } in &self.subscribers {
            let mut reading = progress.reading.lock().unwrap_or_else(PoisonError::into_inner);
            rows.read.append(&mut reading.closed);
            rows.read.extend(reading.open.clone().map(|open| (open, progress.shown.load(Ordering::Relaxed))));
            rows.open.extend(reading.open.clone());
        }
        rows
    }

    /// Ends the bus: subscribers read the remaining events, then receive `None`.
    pub(crate) fn end(&mut self) {
        self.ended = true;
        self.subscribers.clear();
    }
}

/// Returns the estimated size of a queued event.
fn weight(event: &Event) -> usize {
    let more = match event {
        Event::Message { content, .. }
        | Event::Sent { content, .. }
        | Event::Admin(AdminEvent::Announcement { text: content, .. })
        | Event::Error { message: content, .. } => content.expose().len(),
        Event::RoomEntered { room }
        | Event::RoomUpdate { room_state: room, .. }
        | Event::Admin(AdminEvent::RoomOwner { room_state: room, .. }) => room_weight(room),
        _ => 0,
    };
    size_of::<Item>() + more
}

fn room_weight(room: &RoomSnapshot) -> usize {
    let keys: usize = room.members.iter().map(|member| size_of_val(member.keys.as_slice())).sum();
    size_of::<RoomSnapshot>() + room.members.len() * size_of::<Member>() + keys
}

#[cfg(test)]
mod tests {
    use commons::names::Username;
    use uuid::Uuid;

    use super::*;

    fn message(row: i64) -> Event {
        let (id, to) = (Uuid::from_u128(row.unsigned_abs().into()), Username::parse("bob").unwrap());
        Event::Delivered { id, to }
    }

    /// A bus over a history whose messages were all shown, with room for this many events.
    fn bus(events: usize) -> EventBus {
        let mut bus = EventBus::with_bound(events * weight(&message(0)));
        bus.begin(&(1..1), |_, _| panic!("nothing is unshown"));
        bus
    }

    fn publish(bus: &mut EventBus, rows: impl IntoIterator<Item = i64>) {
        rows.into_iter().for_each(|row| bus.publish(&message(row), Row::Received(row)));
    }

    /// Reads the next events, and shows them.
    async fn show(events: &mut Events, count: usize) {
        for _ in 0..count {
            events.recv().await.unwrap();
        }
        // The call for the next event reports the earlier ones as shown, whether there is a next one or not.
        let _ = tokio::time::timeout(std::time::Duration::ZERO, events.recv()).await;
    }

    #[tokio::test]
    async fn full_queue_ends_with_one_lagged_and_delays_no_other() {
        let mut bus = bus(3);
        let (mut slow, mut fast) = (bus.add(), bus.add());
        for row in 1..=10 {
            publish(&mut bus, [row]);
            assert_eq!(fast.recv().await, Some(message(row)));
        }
        for row in 1..=3 {
            assert_eq!(slow.recv().await, Some(message(row)));
        }
        assert_eq!((slow.recv().await, slow.recv().await), (Some(Event::Lagged), None));
        assert_eq!(slow.position(), Position { since: 0, received: 3, sent: 0 });
        // The control: the queue has room again once it was read.
        publish(&mut bus, 11..=13);
        show(&mut fast, 3).await;
        publish(&mut bus, 14..=16);
        show(&mut fast, 3).await;
    }

    #[tokio::test]
    async fn lagged_subscriber_goes_on_where_it_stopped() {
        let mut bus = bus(3);
        let mut slow = bus.add();
        publish(&mut bus, 1..=5);
        while slow.recv().await != Some(Event::Lagged) {}
        let (rows, reader) = mpsc::channel(9);
        let mut again = bus.add_from(slow.position(), reader);
        publish(&mut bus, [6]);
        assert_eq!(again.try_recv(), None, "the rows of the history come first");
        for row in 4..=5 {
            let envelope = Envelope { event: message(row), row: Row::Received(row) };
            rows.send(Reread::Message(envelope)).await.unwrap();
        }
        rows.send(Reread::End).await.unwrap();
        for row in 4..=6 {
            assert_eq!(again.recv().await, Some(message(row)));
        }
        // A reader that is cut off ends the events: otherwise row 9 would be shown without rows 7 and 8.
        let (rows, reader) = mpsc::channel(9);
        let mut cut = bus.add_from(again.position(), reader);
        publish(&mut bus, [9]);
        drop(rows);
        assert_eq!(cut.recv().await, None);
    }

    #[tokio::test]
    async fn row_counts_as_shown_once_one_subscriber_showed_it() {
        let mut bus = bus(9);
        let (mut stalled, mut page) = (bus.add(), bus.add());
        publish(&mut bus, 1..=3);
        assert_eq!(bus.shown(), Some(0));
        show(&mut stalled, 1).await;
        assert_eq!(bus.shown(), Some(1));
        show(&mut page, 3).await;
        assert_eq!(bus.shown(), Some(3), "the stalled one holds nothing back");
        // A subscriber that began later does not count for the rows before it.
        publish(&mut bus, 4..=5);
        let mut late = bus.add();
        publish(&mut bus, [6]);
        show(&mut late, 1).await;
        assert_eq!(bus.shown(), Some(3), "nobody has shown rows 4 and 5");
        show(&mut page, 2).await;
        assert_eq!(bus.shown(), Some(6), "together they have shown all");
    }

    #[tokio::test]
    async fn open_conversation_is_read_as_far_as_it_was_shown() {
        let chat = |name: &str| Conversation::Private(Username::parse(name).unwrap());
        let mut bus = bus(9);
        let (mut terminal, other) = (bus.add(), bus.add());
        terminal.set_reading(Some(&chat("bob")));
        publish(&mut bus, 1..=2);
        show(&mut terminal, 2).await;
        assert_eq!(bus.read_rows(), ReadRows { read: vec![(chat("bob"), 2)], open: vec![chat("bob")] });
        publish(&mut bus, [3]);
        show(&mut terminal, 1).await;
        terminal.set_reading(Some(&chat("carla")));
        other.set_reading(Some(&chat("dan")));
        let read = vec![(chat("bob"), 3), (chat("carla"), 3), (chat("dan"), 0)];
        assert_eq!(bus.read_rows(), ReadRows { read, open: vec![chat("carla"), chat("dan")] });
        terminal.set_reading(None);
        drop(other);
        let read = vec![(chat("carla"), 3), (chat("dan"), 0)];
        assert_eq!(bus.read_rows(), ReadRows { read, open: vec![chat("dan")] });
    }

    #[tokio::test]
    async fn unshown_rows_of_an_earlier_run_come_in_place() {
        let mut bus = EventBus::with_bound(usize::MAX);
        let mut events = bus.add();
        publish(&mut bus, [0]);
        let mut asked = Vec::new();
        let mut writers = Vec::new();
        bus.begin(&(8..10), |from, to| {
            asked.push((from, to.received));
            let (rows, reader) = mpsc::channel(9);
            writers.push(rows);
            reader
        });
        publish(&mut bus, [10]);
        assert_eq!(asked, [(Position { since: 7, received: 7, sent: 9 }, 9)]);
        assert_eq!(events.recv().await, Some(message(0)));
        let envelope = Envelope { event: message(8), row: Row::Received(8) };
        writers[0].send(Reread::Message(envelope)).await.unwrap();
        writers[0].send(Reread::End).await.unwrap();
        assert_eq!(events.recv().await, Some(message(8)));
        assert_eq!(bus.shown(), Some(7));
        show(&mut events, 1).await;
        assert_eq!(bus.shown(), Some(10));
    }

    #[tokio::test]
    async fn last_subscriber_gets_the_unshown_messages() {
        let mut bus = bus(9);
        drop(bus.add());
        publish(&mut bus, 1..=3);
        // A page is opened. It draws rows 1 to 3 from the history, and shows row 4.
        let mut page = bus.add();
        publish(&mut bus, [4]);
        show(&mut page, 1).await;
        assert_eq!(bus.shown(), Some(4));
        // A program that began without a subscription asks for the messages that nobody has shown.
        publish(&mut bus, [5]);
        drop(page);
        let position = bus.position(SubscribeFrom::Unshown).unwrap();
        assert_eq!((position.since, position.received), (4, 4));
        // The control: the second one of two shows only what comes after its begin.
        let _first = bus.add();
        let mut second = bus.add();
        publish(&mut bus, [6]);
        show(&mut second, 1).await;
        assert_eq!(bus.shown(), Some(4));
    }
}
