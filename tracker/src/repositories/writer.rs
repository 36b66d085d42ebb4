//! The writer thread of a collection: it owns the files and commits updates in batches.
//!
//! The thread takes all waiting updates and decides them in order, each on the committed entries and the earlier
//! changes of the batch. It appends the changes to the journal and waits for the disk once. Only then it makes the
//! batch visible to readers and sends the answers. Updates are therefore atomic, and a batch costs one flush.
//!
//! Example: two clients join the same room at the same moment. Both updates are in one batch, and the second one sees
//! the membership of the first.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use serde_json::value::RawValue;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::DropGuard;

use crate::limits::BATCH_MAX;
use crate::repositories::frozen_entries::FrozenEntries;
use crate::repositories::json_file::JsonFile;
use crate::repositories::record::Record;
use crate::repositories::table::{Committed, Table};
use crate::repositories::update::{Change, Step, StorageError};
use crate::timing::Timing;

/// A request to the writer thread.
pub(crate) enum Request<T> {
    /// An update of one entry.
    Update(Box<dyn Step<T>>),
    /// Sends the committed entries, and commits nothing until the other end is dropped.
    Pause(oneshot::Sender<FrozenEntries<T>>, oneshot::Receiver<()>),
    /// Closes the collection and reports whether every entry was written.
    Close(oneshot::Sender<Result<(), StorageError>>),
}

/// The state that the writer thread owns.
pub(crate) struct Writer<T> {
    /// The table that readers see.
    pub(crate) committed: Arc<RwLock<Table<T>>>,
    /// Invalid entries: they stay in the file and are not served.
    pub(crate) unfit: BTreeMap<String, Box<RawValue>>,
    /// The files of the collection.
    pub(crate) file: JsonFile,
    /// Whether an entry has changed only in memory since the last compaction.
    pub(crate) unsaved: bool,
    /// The times of writing a batch to the disk.
    pub(crate) flushes: Arc<Timing>,
    /// The queue of requests.
    pub(crate) requests: mpsc::Receiver<Request<T>>,
    /// Signals that the thread has ended, for any reason.
    pub(crate) _ended: DropGuard,
}

/// The changes of a batch that is not committed yet.
struct Overlay<T> {
    /// All changes in order. Several of them may change the same entry.
    changes: Vec<Committed<T>>,
    /// The index of the last change of each entry.
    last: HashMap<String, usize>,
    lines: Vec<(String, Option<Box<RawValue>>)>,
    /// Whether the batch changes an entry only in memory.
    unsaved: bool,
}

impl<T: Record> Writer<T> {
    /// Handles requests until one asks to close, or until no sender is left.
    pub(crate) fn run(mut self) {
        let mut batch = Vec::new();
        while let Some(request) = self.requests.blocking_recv() {
            let mut next = Some(request);
            while let Some(Request::Update(step)) = next {
                batch.push(step);
                next = if batch.len() < BATCH_MAX { self.requests.try_recv().ok() } else { None };
            }
            self.commit(&mut batch);
            if let Some(Request::Pause(frozen, resumed)) = next {
                self.pause(frozen, resumed);
            } else if let Some(Request::Close(done)) = next {
                let complete = self.file.is_compacted() && !self.unsaved;
                let compacted = if complete { Ok(()) } else { self.compact() };
                // The folder is released first: the caller may open it again as soon as it has the answer.
                drop(self);
                let _ = done.send(compacted.map_err(|_| StorageError::Disk));
                return;
            }
            if self.file.should_compact() && self.compact().is_err() {
                self.file.compact_later();
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
                tracing::error!(%error, "changes could not be written to the disk");
                // Changes in memory need no disk, so they are made all the same.
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

    /// Decides the updates in order, each on the result of the earlier ones.
    fn decide<'a>(&self, steps: impl Iterator<Item = &'a mut Box<dyn Step<T>>>) -> io::Result<Overlay<T>> {
        let committed = self.committed.read().unwrap_or_else(PoisonError::into_inner);
        let mut overlay =
            Overlay { changes: Vec::new(), last: HashMap::new(), lines: Vec::new(), unsaved: false };
        for step in steps {
            let key = step.key().to_owned();
            let current = match overlay.last.get(&key) {
                Some(index) => overlay.changes[*index].value.as_deref(),
                None => committed.entries.get(&key).map(Arc::as_ref),
            };
            let value = match step.decide(current) {
                Change::Keep => continue,
                Change::Put(value) => Some(Arc::new(value)),
                Change::Remove => None,
            };
            if step.durable() {
                let json = value.as_deref().map(T::write).transpose()?;
                overlay.lines.push((key.clone(), json));
            } else {
                overlay.unsaved = true;
            }
            overlay.last.insert(key.clone(), overlay.changes.len());
            overlay.changes.push(Committed { key, value, by: step.by() });
        }
        Ok(overlay)
    }

    fn write(&mut self, overlay: &Overlay<T>) -> io::Result<()> {
        if overlay.lines.is_empty() {
            return Ok(());
        }
        if self.file.must_compact() {
            self.compact()?;
        }
        let begin = Instant::now();
        self.file.append(&overlay.lines)?;
        self.flushes.note(begin.elapsed());
        Ok(())
    }

    fn publish(&mut self, overlay: Overlay<T>) {
        self.unsaved |= overlay.unsaved;
        let mut committed = self.committed.write().unwrap_or_else(PoisonError::into_inner);
        for change in overlay.changes {
            self.unfit.remove(&change.key);
            committed.apply(change);
        }
    }

    fn pause(&self, frozen: oneshot::Sender<FrozenEntries<T>>, resumed: oneshot::Receiver<()>) {
        let entries = self.committed.read().unwrap_or_else(PoisonError::into_inner).entries.clone();
        if frozen.send(FrozenEntries { entries, unfit: self.unfit.clone() }).is_ok() {
            // The other end sends nothing, so this ends with an error.
            let _ = resumed.blocking_recv();
        }
    }

    fn compact(&mut self) -> io::Result<()> {
        let committed = self.committed.read().unwrap_or_else(PoisonError::into_inner);
        let compacted =
            self.file.compact(committed.entries.iter().map(|(key, value)| (key, &**value)), &self.unfit);
        self.unsaved &= compacted.is_err();
        compacted.inspect_err(|error| tracing::error!(%error, "the journal could not be compacted"))
    }
}
