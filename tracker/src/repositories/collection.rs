//! A collection of named entries in memory that answers for its changes only once the disk holds them.
//!
//! One thread owns the files. It takes the changes that wait, decides them one after the other against what is
//! committed and what the same batch did before, writes one piece of journal, waits for the disk once, and only then
//! lets readers see the batch and answers. Changes are therefore atomic, and many at once cost one flush.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::thread;

use serde_json::value::RawValue;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::limits::{BATCH_MAX, CHANGES_WAITING_MAX};
use crate::repositories::data_folder::OpenError;
use crate::repositories::json_file::{JsonFile, Loaded};
use crate::repositories::record::Record;

/// A change was not made, because it could not be made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StorageError {
    /// The disk is full or failing; another try may succeed.
    #[error("the tracker cannot write to its disk: try again later")]
    Disk,
    /// The collection is closed.
    #[error("the tracker is stopping")]
    Closed,
}

/// What a change does to its entry.
#[derive(Debug)]
pub(crate) enum Change<T> {
    /// Nothing.
    Keep,
    /// Sets it.
    Put(T),
    /// Takes it away.
    Remove,
}

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

/// What readers see.
#[derive(Debug)]
struct Committed<T> {
    entries: BTreeMap<String, T>,
    /// Further key → names of the entries filed under it.
    index: BTreeMap<String, BTreeSet<String>>,
}

impl<T: Record> Collection<T> {
    /// Takes over what was loaded, and starts the thread that owns the files.
    pub(crate) fn start(loaded: Loaded<T>) -> Result<Self, OpenError> {
        let (file, contents) = loaded.open()?;
        let mut committed = Committed { entries: BTreeMap::new(), index: BTreeMap::new() };
        contents.entries.into_iter().for_each(|(key, value)| committed.apply(key, Some(value)));
        let committed = Arc::new(RwLock::new(committed));
        let (changes, requests) = mpsc::channel(CHANGES_WAITING_MAX);
        let ended = CancellationToken::new();
        let owner = Owner {
            committed: committed.clone(),
            unfit: contents.unfit,
            file,
            requests,
            _ended: ended.clone().drop_guard(),
        };
        thread::spawn(move || owner.run());
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

    /// Waits until the owner of the files has ended, whatever the cause.
    pub(crate) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    async fn ask<R: Send + 'static>(
        &self,
        key: &str,
        durable: bool,
        decide: impl FnMut(Option<&T>) -> (Change<T>, R) + Send + 'static,
    ) -> Result<R, StorageError> {
        let (reply, answer) = oneshot::channel();
        let update = Update { key: key.to_owned(), durable, decide, answer: None, reply };
        self.changes.send(Request::Update(Box::new(update))).await.map_err(|_| StorageError::Closed)?;
        answer.await.map_err(|_| StorageError::Closed)?
    }

    fn committed(&self) -> RwLockReadGuard<'_, Committed<T>> {
        self.committed.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Record> Committed<T> {
    fn apply(&mut self, key: String, value: Option<T>) {
        for old in self.entries.get(&key).map(T::filed_under).unwrap_or_default() {
            if let Some(keys) = self.index.get_mut(&old) {
                keys.remove(&key);
                if keys.is_empty() {
                    self.index.remove(&old);
                }
            }
        }
        let Some(value) = value else {
            self.entries.remove(&key);
            return;
        };
        for new in value.filed_under() {
            self.index.entry(new).or_default().insert(key.clone());
        }
        self.entries.insert(key, value);
    }
}

/// What the owner is asked for.
enum Request<T> {
    Update(Box<dyn Step<T>>),
    Close(oneshot::Sender<Result<(), StorageError>>),
}

/// An update, whatever the type of its answer.
trait Step<T>: Send {
    fn key(&self) -> &str;
    fn durable(&self) -> bool;
    fn decide(&mut self, current: Option<&T>) -> Change<T>;
    fn answer(self: Box<Self>, outcome: Result<(), StorageError>);
}

struct Update<F, R> {
    key: String,
    durable: bool,
    decide: F,
    answer: Option<R>,
    reply: oneshot::Sender<Result<R, StorageError>>,
}

impl<T, R: Send, F: FnMut(Option<&T>) -> (Change<T>, R) + Send> Step<T> for Update<F, R> {
    fn key(&self) -> &str {
        &self.key
    }

    fn durable(&self) -> bool {
        self.durable
    }

    fn decide(&mut self, current: Option<&T>) -> Change<T> {
        let (change, answer) = (self.decide)(current);
        self.answer = Some(answer);
        change
    }

    fn answer(self: Box<Self>, outcome: Result<(), StorageError>) {
        let Self { answer, reply, .. } = *self;
        // Whoever asked may have gone meanwhile; the change stands.
        let _ = reply.send(outcome.and_then(|()| answer.ok_or(StorageError::Closed)));
    }
}

/// The thread that owns the files.
struct Owner<T> {
    committed: Arc<RwLock<Committed<T>>>,
    unfit: BTreeMap<String, Box<RawValue>>,
    file: JsonFile,
    requests: mpsc::Receiver<Request<T>>,
    _ended: DropGuard,
}

/// What a batch changes, not yet committed.
struct Overlay<T> {
    entries: HashMap<String, Option<T>>,
    lines: Vec<(String, Option<Box<RawValue>>)>,
}

impl<T: Record> Owner<T> {
    fn run(mut self) {
        let mut batch = Vec::new();
        while let Some(request) = self.requests.blocking_recv() {
            let mut next = Some(request);
            while let Some(Request::Update(step)) = next {
                batch.push(step);
                next = if batch.len() < BATCH_MAX { self.requests.try_recv().ok() } else { None };
            }
            self.commit(&mut batch);
            if let Some(Request::Close(done)) = next {
                let folded = if self.file.is_folded() { Ok(()) } else { self.fold() };
                let _ = done.send(folded.map_err(|_| StorageError::Disk));
                return;
            }
            if self.file.should_fold() && self.fold().is_err() {
                self.file.fold_later();
            }
        }
    }

    fn commit(&mut self, batch: &mut Vec<Box<dyn Step<T>>>) {
        let durable = batch.iter().any(|step| step.durable());
        let written = self.decide(batch.iter_mut()).and_then(|overlay| {
            self.write(&overlay, durable)?;
            Ok(overlay)
        });
        let outcome = match written {
            Ok(overlay) => {
                self.publish(overlay);
                Ok(())
            }
            Err(error) => {
                tracing::error!(%error, "the disk refuses changes");
                // What needs no disk happens all the same.
                if let Ok(overlay) = self.decide(batch.iter_mut().filter(|step| !step.durable())) {
                    self.publish(overlay);
                }
                Err(StorageError::Disk)
            }
        };
        for step in batch.drain(..) {
            let outcome = if step.durable() { outcome } else { Ok(()) };
            step.answer(outcome);
        }
    }

    /// Runs the changes one after the other, each on what the ones before it left.
    fn decide<'a>(&self, steps: impl Iterator<Item = &'a mut Box<dyn Step<T>>>) -> io::Result<Overlay<T>> {
        let committed = self.committed.read().unwrap_or_else(PoisonError::into_inner);
        let mut overlay = Overlay { entries: HashMap::new(), lines: Vec::new() };
        for step in steps {
            let key = step.key().to_owned();
            let current = match overlay.entries.get(&key) {
                Some(changed) => changed.as_ref(),
                None => committed.entries.get(&key),
            };
            let value = match step.decide(current) {
                Change::Keep => continue,
                Change::Put(value) => Some(value),
                Change::Remove => None,
            };
            let json = value.as_ref().map(T::write).transpose()?;
            overlay.lines.push((key.clone(), json));
            overlay.entries.insert(key, value);
        }
        Ok(overlay)
    }

    fn write(&mut self, overlay: &Overlay<T>, durable: bool) -> io::Result<()> {
        if self.file.must_fold() {
            self.fold()?;
        }
        if overlay.lines.is_empty() { Ok(()) } else { self.file.append(&overlay.lines, durable) }
    }

    fn publish(&mut self, overlay: Overlay<T>) {
        let mut committed = self.committed.write().unwrap_or_else(PoisonError::into_inner);
        for (key, value) in overlay.entries {
            self.unfit.remove(&key);
            committed.apply(key, value);
        }
    }

    fn fold(&mut self) -> io::Result<()> {
        let committed = self.committed.read().unwrap_or_else(PoisonError::into_inner);
        let folded = self.file.fold(&committed.entries, &self.unfit);
        folded.inspect_err(|error| tracing::error!(%error, "the journal could not be folded"))
    }
}
