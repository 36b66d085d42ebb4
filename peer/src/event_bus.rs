//! Events on their way to the faces: each face gets all of them, in one order, and none is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use tokio::sync::{Notify, mpsc};

use crate::api::Event;
use crate::limits::EVENTS_MAX;

/// What happens, as one face sees it.
#[derive(Debug)]
pub struct Events {
    events: mpsc::UnboundedReceiver<Envelope>,
    backlog: Arc<SubscriberLag>,
    shown: Arc<Notify>,
    /// The last line that was read, as a row of the history.
    read: i64,
}

/// An event, and the row of the history that it shows.
#[derive(Debug, Clone)]
struct Envelope {
    event: Event,
    row: Option<i64>,
}

/// The faces that are told. Telling never waits; who brings news from a link asks first whether the faces keep up, and
/// that bounds what can be untold.
#[derive(Debug, Default)]
pub(crate) struct EventBus {
    event_bus: Vec<(mpsc::UnboundedSender<Envelope>, Arc<SubscriberLag>)>,
    /// The last row of the history that was told.
    row: i64,
    /// A face has shown more.
    shown: Arc<Notify>,
    ended: bool,
}

/// How far a face is behind.
#[derive(Debug, Default)]
pub(crate) struct SubscriberLag {
    unread: AtomicUsize,
    read: Notify,
    /// The last row of the history that was not only read but shown.
    shown: AtomicI64,
}

impl Events {
    /// The next event; `None` once the service has ended. Asking for it says that all before it were shown: after a
    /// crash they are not told again. Cancel safe.
    pub async fn recv(&mut self) -> Option<Event> {
        if self.backlog.shown.swap(self.read, Ordering::Relaxed) != self.read {
            self.shown.notify_one();
        }
        let told = self.events.recv().await;
        self.note_read(told)
    }

    /// An event that is here already; says nothing of those before it.
    pub fn try_recv(&mut self) -> Option<Event> {
        let told = self.events.try_recv().ok();
        self.note_read(told)
    }

    fn note_read(&mut self, told: Option<Envelope>) -> Option<Event> {
        let Envelope { event, row } = told?;
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
    /// Waits until the face has room again.
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
    /// A face that is told everything from now on.
    pub(crate) fn add(&mut self) -> Events {
        let (sender, events) = mpsc::unbounded_channel();
        let backlog = Arc::new(SubscriberLag { shown: self.row.into(), ..SubscriberLag::default() });
        if !self.ended {
            self.event_bus.push((sender, Arc::clone(&backlog)));
        }
        Events { events, backlog, shown: Arc::clone(&self.shown), read: self.row }
    }

    /// Tells all faces.
    pub(crate) fn publish(&mut self, events: impl IntoIterator<Item = Event>) {
        for event in events {
            self.publish_to_all(&Envelope { event, row: None });
        }
    }

    /// Tells all faces of a row of the history.
    pub(crate) fn publish_row(&mut self, event: Event, row: i64) {
        self.row = row;
        self.publish_to_all(&Envelope { event, row: Some(row) });
    }

    fn publish_to_all(&mut self, told: &Envelope) {
        self.event_bus.retain(|(face, backlog)| {
            backlog.unread.fetch_add(1, Ordering::Relaxed);
            face.send(told.clone()).is_ok()
        });
    }

    /// Tells when a face has shown more.
    pub(crate) fn shows(&self) -> Arc<Notify> {
        Arc::clone(&self.shown)
    }

    /// The last row of the history that every face has shown; `None` without a face.
    pub(crate) fn shown(&self) -> Option<i64> {
        self.event_bus.iter().map(|(_, backlog)| backlog.shown.load(Ordering::Relaxed)).min()
    }

    /// The faces that are too far behind to be told more from the links.
    pub(crate) fn behind(&self) -> Vec<Arc<SubscriberLag>> {
        let open = self.event_bus.iter().filter(|(face, _)| !face.is_closed());
        let behind = open.filter(|(_, backlog)| backlog.unread.load(Ordering::Relaxed) >= EVENTS_MAX);
        behind.map(|(_, backlog)| Arc::clone(backlog)).collect()
    }

    /// The end: faces read what is left and are done.
    pub(crate) fn end(&mut self) {
        self.ended = true;
        self.event_bus.clear();
    }
}
