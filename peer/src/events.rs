//! Events on their way to the faces: each face gets all of them, in one order, and none is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Notify, mpsc};

use crate::api::Event;
use crate::limits::EVENTS_MAX;

/// What happens, as one face sees it.
#[derive(Debug)]
pub struct Events {
    events: mpsc::UnboundedReceiver<Event>,
    backlog: Arc<Backlog>,
}

/// The faces that are told. Telling never waits; who brings news from a link asks first whether the faces keep up, and
/// that bounds what can be untold.
#[derive(Debug, Default)]
pub(crate) struct Faces {
    faces: Vec<(mpsc::UnboundedSender<Event>, Arc<Backlog>)>,
    ended: bool,
}

/// How far a face is behind.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    unread: AtomicUsize,
    read: Notify,
}

impl Events {
    /// The next event; `None` once the service has ended. Cancel safe.
    pub async fn recv(&mut self) -> Option<Event> {
        let event = self.events.recv().await;
        self.note_read(event)
    }

    /// An event that is here already.
    pub fn try_recv(&mut self) -> Option<Event> {
        let event = self.events.try_recv().ok();
        self.note_read(event)
    }

    fn note_read(&self, event: Option<Event>) -> Option<Event> {
        if event.is_some() && self.backlog.unread.fetch_sub(1, Ordering::Relaxed) == EVENTS_MAX {
            self.backlog.read.notify_waiters();
        }
        event
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.backlog.unread.store(0, Ordering::Relaxed);
        self.backlog.read.notify_waiters();
    }
}

impl Backlog {
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

impl Faces {
    /// A face that is told everything from now on.
    pub(crate) fn add(&mut self) -> Events {
        let (sender, events) = mpsc::unbounded_channel();
        let backlog = Arc::new(Backlog::default());
        if !self.ended {
            self.faces.push((sender, Arc::clone(&backlog)));
        }
        Events { events, backlog }
    }

    /// Tells all faces.
    pub(crate) fn tell(&mut self, events: impl IntoIterator<Item = Event>) {
        for event in events {
            self.faces.retain(|(face, backlog)| {
                backlog.unread.fetch_add(1, Ordering::Relaxed);
                face.send(event.clone()).is_ok()
            });
        }
    }

    /// The faces that are too far behind to be told more from the links.
    pub(crate) fn behind(&self) -> Vec<Arc<Backlog>> {
        let open = self.faces.iter().filter(|(face, _)| !face.is_closed());
        let behind = open.filter(|(_, backlog)| backlog.unread.load(Ordering::Relaxed) >= EVENTS_MAX);
        behind.map(|(_, backlog)| Arc::clone(backlog)).collect()
    }

    /// The end: faces read what is left and are done.
    pub(crate) fn end(&mut self) {
        self.ended = true;
        self.faces.clear();
    }
}
