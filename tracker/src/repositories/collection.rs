//! A collection of named entries in memory that answers for its changes only once the disk holds them.
//!
//! This is the seam behind which another store could stand: everything is a lookup, a range, or an update decided on
//! the entry as it is at that moment.

use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::thread;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::limits::CHANGES_WAITING_MAX;
use crate::repositories::committed::Committed;
use crate::repositories::committer::{Committer, Request};
use crate::repositories::data_folder::OpenError;
use crate::repositories::json_file::Loaded;
use crate::repositories::record::Record;
use crate::repositories::update::{Change, StorageError, Update};

/// Entries by name. Cheap to clone: all clones are the same collection.
#[derive(Debug)]
pub(crate) struct Collection<T> {
    committed: Arc<RwLock<Committed<T>>>,
    changes: mpsc::Sender<Request<T>>,
    ended: CancellationToken,
}

impl<T> Clone for Collection<T> {
    fn clone(&self) -> Self {
        let Self { committed, changes, ended } = self;
        Self { committed: committed.clone(), changes: changes.clone(), ended: ended.clone() }
    }
}

impl<T: Record> Collection<T> {
    /// Takes over what was loaded, and starts the thread that owns the files.
    pub(crate) fn start(loaded: Loaded<T>) -> Result<Self, OpenError> {
        let path = loaded.path().to_owned();
        let (file, contents) = loaded.open()?;
        let committed = Arc::new(RwLock::new(Committed::from_iter(contents.entries)));
        let (changes, requests) = mpsc::channel(CHANGES_WAITING_MAX);
        let ended = CancellationToken::new();
        let committer = Committer {
            committed: committed.clone(),
            unfit: contents.unfit,
            file,
            requests,
            _ended: ended.clone().drop_guard(),
        };
        let thread = thread::Builder::new().name(path.display().to_string());
        thread.spawn(move || committer.run()).map_err(OpenError::at(&path))?;
        Ok(Self { committed, changes, ended })
    }

    /// Looks at an entry.
    pub(crate) fn read<R>(&self, key: &str, look: impl FnOnce(&T) -> R) -> Option<R> {
        self.committed().entries.get(key).map(look)
    }

    /// A copy of an entry.
    pub(crate) fn get(&self, key: &str) -> Option<T> {
        self.read(key, T::clone)
    }

    /// Whether there is such an entry.
    pub(crate) fn contains(&self, key: &str) -> bool {
        self.committed().entries.contains_key(key)
    }

    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.committed().entries.len()
    }

    /// Looks at the entries in the order of their keys: those that start with `prefix` and come after `after`.
    pub(crate) fn scan<R>(
        &self,
        prefix: &str,
        after: &str,
        look: impl FnOnce(&mut dyn Iterator<Item = (&str, &T)>) -> R,
    ) -> R {
        let from = if after >= prefix && !after.is_empty() {
            Bound::Excluded(after)
        } else {
            Bound::Included(prefix)
        };
        let committed = self.committed();
        let range = committed.entries.range::<str, _>((from, Bound::Unbounded));
        look(
            &mut range
                .map(|(key, value)| (key.as_str(), value))
                .take_while(|(key, _)| key.starts_with(prefix)),
        )
    }

    /// The keys of the entries that are filed under a further key.
    pub(crate) fn filed_under(&self, key: &str) -> Vec<String> {
        self.committed().index.get(key).map(|keys| keys.iter().cloned().collect()).unwrap_or_default()
    }

    /// The further keys that `wanted` picks.
    pub(crate) fn filing_keys(&self, wanted: impl Fn(&str) -> bool) -> Vec<String> {
        self.committed().index.keys().filter(|key| wanted(key)).cloned().collect()
    }

    /// Changes an entry; answers once the change is on the disk. `decide` sees the entry as it is at that moment,
    /// and may be called again where a write failed.
    pub(crate) async fn update<R: Send + 'static>(
        &self,
        key: &str,
        decide: impl FnMut(Option<&T>) -> (Change<T>, R) + Send + 'static,
    ) -> Result<R, StorageError> {
        self.ask(key, true, decide).await
    }

    /// Changes an entry whose loss in a crash does no harm: in order with the others, but without waiting for the
    /// disk, and in memory also where the disk fails.
    pub(crate) async fn update_relaxed<R: Send + 'static>(
        &self,
        key: &str,
        decide: impl FnMut(Option<&T>) -> (Change<T>, R) + Send + 'static,
    ) -> Result<R, StorageError> {
        self.ask(key, false, decide).await
    }

    /// Ends the collection in good order: everything in the JSON file, the journal empty.
    pub(crate) async fn close(&self) -> Result<(), StorageError> {
        let (done, answer) = oneshot::channel();
        self.changes.send(Request::Close(done)).await.map_err(|_| StorageError::Closed)?;
        answer.await.map_err(|_| StorageError::Closed)?
    }

    /// Waits until the thread that owns the files has ended, whatever the cause.
    pub(crate) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    async fn ask<R: Send + 'static>(
        &self,
        key: &str,
        durable: bool,
        decide: impl FnMut(Option<&T>) -> (Change<T>, R) + Send + 'static,
    ) -> Result<R, StorageError> {
        let (update, answer) = Update::new(key, durable, decide);
        self.changes.send(Request::Update(Box::new(update))).await.map_err(|_| StorageError::Closed)?;
        answer.await.map_err(|_| StorageError::Closed)?
    }

    fn committed(&self) -> RwLockReadGuard<'_, Committed<T>> {
        self.committed.read().unwrap_or_else(PoisonError::into_inner)
    }
}
