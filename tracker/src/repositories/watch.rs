//! A watcher of a collection: it gets every committed change in order, whichever process or task made it.
//!
//! The stream is bounded, and the writer never waits for a watcher. A watcher that lags too far behind loses the oldest
//! changes. It then reads the collection again and compares it with the state that it has reported. So it may skip
//! values that were replaced in the meantime, but it always arrives at the current state, removals included.
//!
//! Example: the stream holds two changes, and a watcher has reported a = 1. Then a = 2, b = 1 and b = 2 are committed.
//! The watcher has lost a = 2, so it reads again and reports a = 2 and b = 2.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::broadcast::{self, error::RecvError, error::TryRecvError};

use crate::login::ConnectionId;
use crate::repositories::record::Record;
use crate::repositories::table::{Committed, Table};

/// A change of an entry, as a watcher reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Changed<T> {
    /// The name of the entry.
    pub(crate) key: String,
    /// The value that the watcher reported last. `None` if there was no entry.
    pub(crate) before: Option<Arc<T>>,
    /// The new value. `None` if the entry was removed.
    pub(crate) after: Option<Arc<T>>,
    /// The session of this process that asked for the change. `None` after a lag, and for changes that the tracker
    /// itself or another process made.
    pub(crate) by: Option<ConnectionId>,
}

/// A position in the stream of changes of a collection.
#[derive(Debug)]
pub(crate) struct Watch<T> {
    table: Arc<RwLock<Table<T>>>,
    changes: broadcast::Receiver<Committed<T>>,
    /// The entries as this watcher has reported them. They share their memory with the collection.
    reported: BTreeMap<String, Arc<T>>,
    /// The differences that the last reading found and that are not reported yet.
    differences: VecDeque<Committed<T>>,
}

/// A signal that a collection has changed. It is separate from [`Watch`], so that a task can wait for it without
/// holding the watcher.
#[derive(Debug)]
pub(crate) struct Wake<T>(broadcast::Receiver<Committed<T>>);

impl<T: Record> Watch<T> {
    /// Starts watching: the first change is the next one that is committed.
    pub(crate) fn start(table: Arc<RwLock<Table<T>>>) -> Self {
        let (changes, reported) = {
            let committed = table.read().unwrap_or_else(PoisonError::into_inner);
            (committed.changes.subscribe(), committed.entries.clone())
        };
        Self { table, changes, reported, differences: VecDeque::new() }
    }

    /// The next change, if there is one already.
    pub(crate) fn try_next(&mut self) -> Option<Changed<T>> {
        loop {
            if let Some(change) = self.differences.pop_front() {
                return Some(self.report(change));
            }
            match self.changes.try_recv() {
                Ok(change) => return Some(self.report(change)),
                Err(TryRecvError::Lagged(_)) => self.read_again(),
                Err(TryRecvError::Empty | TryRecvError::Closed) => return None,
            }
        }
    }

    /// A signal that wakes at each change after this moment.
    pub(crate) fn wake(&self) -> Wake<T> {
        Wake(self.changes.resubscribe())
    }

    fn report(&mut self, change: Committed<T>) -> Changed<T> {
        let Committed { key, value: after, by } = change;
        let before = match &after {
            Some(value) => self.reported.insert(key.clone(), value.clone()),
            None => self.reported.remove(&key),
        };
        Changed { key, before, after, by }
    }

    /// Finds the differences between the collection and the reported entries. Then continues with the changes after
    /// this moment.
    fn read_again(&mut self) {
        let committed = self.table.read().unwrap_or_else(PoisonError::into_inner);
        self.changes = committed.changes.subscribe();
        let difference = |key: &String, value| Committed { key: key.clone(), value, by: None };
        let removed = self.reported.keys().filter(|key| !committed.entries.contains_key(*key));
        self.differences.extend(removed.map(|key| difference(key, None)));
        let is_new = |(key, value): &(&String, &Arc<T>)| {
            self.reported.get(*key).is_none_or(|reported| !Arc::ptr_eq(reported, value))
        };
        let new = committed.entries.iter().filter(is_new);
        self.differences.extend(new.map(|(key, value)| difference(key, Some(value.clone()))));
        tracing::warn!(
            changes = self.differences.len(),
            "a watcher lagged and has read the collection again"
        );
    }
}

impl<T: Record> Wake<T> {
    /// Waits until there may be a new change. Returns false after the collection was closed.
    pub(crate) async fn woken(&mut self) -> bool {
        !matches!(self.0.recv().await, Err(RecvError::Closed))
    }
}

#[cfg(test)]
mod tests {
    use commons::names::{RoomName, Username};
    use commons::room::Room;
    use commons::snapshot::ChangeKind;

    use super::*;
    use crate::limits::WATCH_BACKLOG;
    use crate::repositories::Repositories;
    use crate::repositories::room::RoomRepository;

    fn ana() -> Username {
        Username::parse("ana").unwrap()
    }

    fn room(name: &str) -> RoomName {
        RoomName::parse(name).unwrap()
    }

    async fn create(rooms: &RoomRepository, name: &str) {
        rooms.create(&room(name), &ana(), None, chrono::Utc::now()).await.unwrap();
    }

    /// Raises the revision of a room this many times.
    async fn change(rooms: &RoomRepository, name: &str, times: usize) {
        for _ in 0..times {
            rooms.note_presence(&room(name), &ana(), ChangeKind::Online, None).await.unwrap();
        }
    }

    /// The names of rooms with their revisions.
    fn revisions<'a>(rooms: impl Iterator<Item = &'a Room>) -> Vec<(String, u64)> {
        rooms.map(|room| (room.name.as_str().to_owned(), room.revision)).collect()
    }

    #[tokio::test]
    async fn every_watcher_gets_every_change_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let repositories = Repositories::open(folder.path()).unwrap();
        let rooms = repositories.rooms();
        let mut watchers = [rooms.watch(), rooms.watch()];
        create(&rooms, "sala").await;
        let session = Some(ConnectionId::new());
        let tasks = (0..200).map(|_| {
            let rooms = rooms.clone();
            let raise = async move {
                rooms.note_presence(&room("sala"), &ana(), ChangeKind::Online, session).await.unwrap();
            };
            tokio::spawn(raise)
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
        rooms.delete(&room("sala"), &ana(), session).await.unwrap();
        for watcher in &mut watchers {
            let mut last = None;
            for revision in 1..=201 {
                let Changed { key, before, after, by } = watcher.try_next().unwrap();
                assert_eq!((key.as_str(), &before), ("sala", &last));
                assert_eq!(after.as_ref().map(|room| room.revision), Some(revision));
                assert_eq!(by, session.filter(|_| revision > 1));
                last = after;
            }
            let removed = Changed { key: "sala".to_owned(), before: last, after: None, by: session };
            assert_eq!(watcher.try_next(), Some(removed));
            assert_eq!(watcher.try_next(), None);
        }
    }

    #[tokio::test]
    async fn lagging_watcher_recovers_by_reading_again() {
        let folder = tempfile::tempdir().unwrap();
        let repositories = Repositories::open(folder.path()).unwrap();
        let rooms = repositories.rooms();
        for name in ["deleted", "kept", "same"] {
            create(&rooms, name).await;
        }
        let mut watcher = rooms.watch();
        // The control never reads again: it applies the changes that it can still get.
        let mut control = rooms.watch();
        rooms.delete(&room("deleted"), &ana(), None).await.unwrap();
        create(&rooms, "new").await;
        change(&rooms, "kept", WATCH_BACKLOG).await;

        let mut reported = Vec::new();
        while let Some(change) = watcher.try_next() {
            let after = change.after.map(|room| room.revision);
            reported.push((change.key, change.before.is_some(), after));
        }
        let kept = Some(1 + WATCH_BACKLOG as u64);
        let expected = [("deleted", true, None), ("kept", true, kept), ("new", false, Some(1))];
        assert_eq!(reported, expected.map(|(key, before, after)| (key.to_owned(), before, after)));
        let stored = rooms.scan("", "", |rooms| revisions(rooms));
        assert_eq!(revisions(watcher.reported.values().map(Arc::as_ref)), stored);
        change(&rooms, "same", 1).await;
        assert_eq!(watcher.try_next().map(|change| change.key).as_deref(), Some("same"));

        loop {
            match control.changes.try_recv() {
                Ok(change) => drop(control.report(change)),
                Err(TryRecvError::Lagged(_)) => {}
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        let control = revisions(control.reported.values().map(Arc::as_ref));
        assert!(control.iter().any(|(name, _)| name == "deleted"), "{control:?}");
        assert!(control.iter().all(|(name, _)| name != "new"), "{control:?}");
    }

    #[tokio::test]
    async fn waiting_task_wakes_at_a_change_and_after_a_lag() {
        let folder = tempfile::tempdir().unwrap();
        let repositories = Repositories::open(folder.path()).unwrap();
        let rooms = repositories.rooms();
        let mut wake = rooms.watch().wake();
        create(&rooms, "sala").await;
        assert!(wake.woken().await);
        change(&rooms, "sala", WATCH_BACKLOG + 1).await;
        assert!(wake.woken().await);
    }
}
