//! The event bus: it carries the peer's events to its subscribers.
//!
//! Every subscriber receives all events, in one order, and none is lost. Its queue is unbounded, so publishing never
//! waits. Instead, the links stop reading while a subscriber has [`EVENTS_MAX`] unread events.
//!
//! Example: event 7 shows row 40 of the history. The subscriber reads it, and asks for event 8 once 7 is on the screen.
//! Row 40 now counts as shown, and is not published again after a crash.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use tokio::sync::{Notify, mpsc};

use crate::api::Event;
use crate::api::snapshot::Snapshot;
use crate::limits::EVENTS_MAX;

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
    events: mpsc::UnboundedReceiver<Envelope>,
    backlog: Arc<SubscriberLag>,
    shown: Arc<Notify>,
    /// The row of the history that the last event read showed.
    read: i64,
}

/// An event, and the row of the history that it shows, if any.
#[derive(Debug, Clone)]
struct Envelope {
    event: Event,
    row: Option<i64>,
}

/// The list of subscribers. Publishing never waits: a task that reads a link first checks the subscriber lag, which
/// bounds the unread events.
#[derive(Debug, Default)]
pub(crate) struct EventBus {
    subscribers: Vec<(mpsc::UnboundedSender<Envelope>, Arc<SubscriberLag>)>,
    /// The last row of the history that was published.
    row: i64,
    /// Notifies when a subscriber has shown more rows.
    shown: Arc<Notify>,
    ended: bool,
}

/// The lag of a subscriber: how much it has received and not yet read or shown.
#[derive(Debug, Default)]
pub(crate) struct SubscriberLag {
    unread: AtomicUsize,
    read: Notify,
    /// The last row of the history that was shown, not only read.
    shown: AtomicI64,
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
    /// Returns the next event; `None` once the service has ended. This call also reports that all earlier events were
    /// shown: after a crash they are not published again. Cancel safe.
    pub async fn recv(&mut self) -> Option<Event> {
        if self.backlog.shown.swap(self.read, Ordering::Relaxed) != self.read {
            self.shown.notify_one();
        }
        let envelope = self.events.recv().await;
        self.note_read(envelope)
    }

    /// Returns an event that has already arrived; says nothing about the earlier ones.
    pub fn try_recv(&mut self) -> Option<Event> {
        let envelope = self.events.try_recv().ok();
        self.note_read(envelope)
    }

    fn note_read(&mut self, envelope: Option<Envelope>) -> Option<Event> {
        let Envelope { event, row } = envelope?;
        if self.backlog.unread.fetch_sub(1, Ordering::Relaxed) == EVENTS_MAX {
            self.backlog.read.notify_waiters();
        }
        self.read = row.unwrap_or(self.read);
        Some(event)
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.backlog.unread.store(0, Ordering::Relaxed);
        self.backlog.read.notify_waiters();
    }
}

impl SubscriberLag {
    /// Waits until the subscriber has room for more events.
    pub(crate) async fn caught_up(&self) {
        loop {
            let read = self.read.notified();
            if self.unread.load(Ordering::Relaxed) < EVENTS_MAX {
                return;
            }
            read.await;
        }
    }
}

impl EventBus {
    /// Adds a subscriber, which receives all events from now on.
    pub(crate) fn add(&mut self) -> Events {
        let (sender, events) = mpsc::unbounded_channel();
        let backlog = Arc::new(SubscriberLag { shown: self.row.into(), ..SubscriberLag::default() });
        if !self.ended {
            self.subscribers.push((sender, Arc::clone(&backlog)));
        }
        Events { events, backlog, shown: Arc::clone(&self.shown), read: self.row }
    }

    /// Publishes events that show no row of the history.
    pub(crate) fn publish(&mut self, events: impl IntoIterator<Item = Event>) {
        for event in events {
            self.publish_to_all(&Envelope { event, row: None });
        }
    }

    /// Publishes an event that shows a row of the history.
    pub(crate) fn publish_row(&mut self, event: Event, row: i64) {
        self.row = row;
        self.publish_to_all(&Envelope { event, row: Some(row) });
    }

    fn publish_to_all(&mut self, envelope: &Envelope) {
        self.subscribers.retain(|(subscriber, backlog)| {
            backlog.unread.fetch_add(1, Ordering::Relaxed);
            subscriber.send(envelope.clone()).is_ok()
        });
    }

    /// Returns the notification that a subscriber has shown more.
    pub(crate) fn shown_more(&self) -> Arc<Notify> {
        Arc::clone(&self.shown)
    }

    /// Returns the last row of the history that every subscriber has shown; `None` without a subscriber.
    pub(crate) fn shown(&self) -> Option<i64> {
        self.subscribers.iter().map(|(_, backlog)| backlog.shown.load(Ordering::Relaxed)).min()
    }

    /// Returns the lag of a subscriber with [`EVENTS_MAX`] or more unread events, if there is one.
    pub(crate) fn lagging(&self) -> Option<Arc<SubscriberLag>> {
        let open = self.subscribers.iter().filter(|(subscriber, _)| !subscriber.is_closed());
        let mut lagging = open.filter(|(_, lag)| lag.unread.load(Ordering::Relaxed) >= EVENTS_MAX);
        lagging.next().map(|(_, lag)| Arc::clone(lag))
    }

    /// Ends the bus: subscribers read the remaining events, then receive `None`.
    pub(crate) fn end(&mut self) {
        self.ended = true;
        self.subscribers.clear();
    }
}
