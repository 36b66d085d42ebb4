//! The thread that owns the files of a collection: it commits updates in batches.
//!
//! It takes the updates that wait, decides them one after the other against what is committed and what the same batch
//! did before, writes one piece of journal, waits for the disk once, and only then lets readers see the batch and
//! answers. Updates are therefore atomic, and many at once cost one flush.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use serde_json::value::RawValue;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::DropGuard;

use crate::limits::BATCH_MAX;
use crate::repositories::json_file::JsonFile;
use crate::repositories::record::Record;
use crate::repositories::table::Table;
use crate::repositories::update::{Change, Step, StorageError};

/// What the thread is asked for.
pub(crate) enum Request<T> {
    /// An update.
    Update(Box<dyn Step<T>>),
    /// An end in good order.
    Close(oneshot::Sender<Result<(), StorageError>>),
}

/// What the thread owns.
pub(crate) struct Writer<T> {
    /// What readers see.
    pub(crate) committed: Arc<RwLock<Table<T>>>,
    /// What is carried along and not served.
    pub(crate) unfit: BTreeMap<String, Box<RawValue>>,
    /// Where it is written.
    pub(crate) file: JsonFile,
    /// Whether something has changed in memory only since the last fold.
    pub(crate) unsaved: bool,
    /// What is asked for.
    pub(crate) requests: mpsc::Receiver<Request<T>>,
    /// Tells that the thread has ended, whatever the cause.
    pub(crate) _ended: DropGuard,
}

/// What a batch changes, not yet committed.
struct Overlay<T> {
    entries: HashMap<String, Option<T>>,
    lines: Vec<(String, Option<Box<RawValue>>)>,
    /// Whether something changes in memory only.
    unsaved: bool,
}

impl<T: Record> Writer<T> {
    /// Works until it is asked to close, or nobody can ask any more.
    pub(crate) fn run(mut self) {
        let mut batch = Vec::new();
        while let Some(request) = self.requests.blocking_recv() {
            let mut next = Some(request);
            while let Some(Request::Update(step)) = next {
                batch.push(step);
                next = if batch.len() < BATCH_MAX { self.requests.try_recv().ok() } else { None };
            }
            self.commit(&mut batch);
            if let Some(Request::Close(done)) = next {
                let complete = self.file.is_folded() && !self.unsaved;
                let folded = if complete { Ok(()) } else { self.fold() };
                // Whoever hears of the end may open the folder again.
                drop(self);
                let _ = done.send(folded.map_err(|_| StorageError::Disk));
                return;
            }
            if self.file.should_fold() && self.fold().is_err() {
                self.file.fold_later();
            }
        }
    }

    fn commit(&mut self, batch: &mut Vec<Box<dyn Step<T>>>) {
        let written = self.decide(batch.iter_mut()).and_then(|overlay| {
            self.write(&overlay)?;
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
        let mut overlay = Overlay { entries: HashMap::new(), lines: Vec::new(), unsaved: false };
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
            if step.durable() {
                let json = value.as_ref().map(T::write).transpose()?;
                overlay.lines.push((key.clone(), json));
            } else {
                overlay.unsaved = true;
            }
            overlay.entries.insert(key, value);
        }
        Ok(overlay)
    }

    fn write(&mut self, overlay: &Overlay<T>) -> io::Result<()> {
        if overlay.lines.is_empty() {
            return Ok(());
        }
        if self.file.must_fold() {
            self.fold()?;
        }
        self.file.append(&overlay.lines)
    }

    fn publish(&mut self, overlay: Overlay<T>) {
        self.unsaved |= overlay.unsaved;
        let mut committed = self.committed.write().unwrap_or_else(PoisonError::into_inner);
        for (key, value) in overlay.entries {
            self.unfit.remove(&key);
            committed.apply(key, value);
        }
    }

    fn fold(&mut self) -> io::Result<()> {
        let committed = self.committed.read().unwrap_or_else(PoisonError::into_inner);
        let folded = self.file.fold(&committed.entries, &self.unfit);
        self.unsaved &= folded.is_err();
        folded.inspect_err(|error| tracing::error!(%error, "the journal could not be folded"))
    }
}
