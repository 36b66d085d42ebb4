//! A collection of named entries in memory that confirms a change only after the disk holds it.
//!
//! The interface consists of lookups, range scans, updates that are decided on the current entry, and watchers of all
//! changes. Another storage engine could therefore replace the files behind it, even one that several processes share.

use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::thread;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::limits::CHANGES_WAITING_MAX;
use crate::login::ConnectionId;
use crate::repositories::data_folder::{DataFolder, OpenError};
use crate::repositories::frozen_entries::FrozenEntries;
use crate::repositories::json_file::Loaded;
use crate::repositories::manifest::Manifest;
use crate::repositories::name_claims::{NameClaim, NameClaims};
use crate::repositories::record::Record;
use crate::repositories::table::Table;
use crate::repositories::update::{Change, StorageError, Update};
use crate::repositories::watch::Watch;
use crate::repositories::writer::{Request, Writer};
use crate::timing::Timing;

/// Entries by name. A clone is cheap and refers to the same collection.
#[derive(Debug)]
pub(crate) struct Collection<T> {
    committed: Arc<RwLock<Table<T>>>,
    changes: mpsc::Sender<Request<T>>,
    claims: NameClaims,
    ended: CancellationToken,
    flushes: Arc<Timing>,
}

impl<T> Clone for Collection<T> {
    fn clone(&self) -> Self {
        let Self { committed, changes, claims, ended, flushes } = self;
        Self {
            committed: committed.clone(),
            changes: changes.clone(),
            claims: claims.clone(),
            ended: ended.clone(),
            flushes: flushes.clone(),
        }
    }
}

impl<T: Record> Collection<T> {
    /// Takes over the loaded entries and starts the writer thread, which owns the files.
    pub(crate) fn start(
        loaded: Loaded<T>,
        folder: Arc<DataFolder>,
        manifest: Arc<Manifest>,
    ) -> Result<Self, OpenError> {
        let path = loaded.path().to_owned();
        let (file, contents) = loaded.open(folder, manifest)?;
        let committed = Arc::new(RwLock::new(Table::from_iter(contents.entries)));
        let (changes, requests) = mpsc::channel(CHANGES_WAITING_MAX);
        let ended = CancellationToken::new();
        let flushes = Arc::<Timing>::default();
        let committer = Writer {
            committed: committed.clone(),
            unfit: contents.unfit,
            file,
            unsaved: false,
            flushes: flushes.clone(),
            requests,
            _ended: ended.clone().drop_guard(),
        };
        let thread = thread::Builder::new().name(path.display().to_string());
        thread.spawn(move || committer.run()).map_err(OpenError::at(&path))?;
        Ok(Self { committed, changes, claims: NameClaims::default(), ended, flushes })
    }

    /// Calls `look` with an entry under the read lock. Returns `None` if there is no such entry.
    pub(crate) fn read<R>(&self, key: &str, look: impl FnOnce(&T) -> R) -> Option<R> {
        self.committed().entries.get(key).map(|value| look(value))
    }

    /// Returns a copy of an entry.
    pub(crate) fn get(&self, key: &str) -> Option<T> {
        self.read(key, T::clone)
    }

    /// Whether an entry with this key exists.
    pub(crate) fn contains(&self, key: &str) -> bool {
        self.committed().entries.contains_key(key)
    }

    /// Whether another entry has a key that looks like this one.
    pub(crate) fn has_look_alike(&self, key: &str) -> bool {
        T::skeleton(key).is_some_and(|skeleton| self.committed().has_look_alike(key, &skeleton))
    }

    /// Claims the key of an entry that is about to be created. Returns `None` if a key that looks like it is taken or
    /// claimed. Hold the claim until the entry is created: of two look-alikes at the same moment, one is created.
    pub(crate) fn claim(&self, key: &str) -> Option<NameClaim> {
        let skeleton = T::skeleton(key);
        let claim = self.claims.claim(skeleton.clone().unwrap_or_else(|| key.to_owned()))?;
        // The order matters: an entry is visible before its claim ends.
        let is_taken = skeleton.is_some_and(|skeleton| self.committed().has_look_alike(key, &skeleton));
        (!is_taken).then_some(claim)
    }

    /// The times of writing changes to the disk.
    pub(crate) fn flushes(&self) -> &Arc<Timing> {
        &self.flushes
    }

    /// The number of changes that wait for the disk.
    pub(crate) fn waiting(&self) -> usize {
        self.changes.max_capacity() - self.changes.capacity()
    }

    /// The number of entries.
    pub(crate) fn len(&self) -> usize {
        self.committed().entries.len()
    }

    /// Calls `look` with the entries that start with `prefix` and come after `after`, in the order of their keys.
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
                .map(|(key, value)| (key.as_str(), &**value))
                .take_while(|(key, _)| key.starts_with(prefix)),
        )
    }

    /// The keys of the entries that the index files under a secondary key.
    pub(crate) fn index_keys(&self, key: &str) -> Vec<String> {
        self.committed().index.get(key).map(|keys| keys.iter().cloned().collect()).unwrap_or_default()
    }

    /// The secondary keys for which `wanted` returns true.
    pub(crate) fn filing_keys(&self, wanted: impl Fn(&str) -> bool) -> Vec<String> {
        self.committed().index.keys().filter(|key| wanted(key)).cloned().collect()
    }

    /// Starts to watch the changes of all entries, from this moment on.
    pub(crate) fn watch(&self) -> Watch<T> {
        Watch::start(self.committed.clone())
    }

    /// Changes an entry and returns once the change is on the disk and has reached the watchers. `decide` sees the
    /// current entry. The writer may call it again after a failed write.
    pub(crate) async fn update<R: Send + 'static>(
        &self,
        key: &str,
        decide: impl FnMut(Option<&T>) -> (Change<T>, R) + Send + 'static,
    ) -> Result<R, StorageError> {
        self.update_by(key, None, decide).await
    }

    /// Like [`update`](Self::update), for a change that a session asks for.
    pub(crate) async fn update_by<R: Send + 'static>(
        &self,
        key: &str,
        by: Option<ConnectionId>,
        decide: impl FnMut(Option<&T>) -> (Change<T>, R) + Send + 'static,
    ) -> Result<R, StorageError> {
        self.request_change(key, true, by, decide).await
    }

    /// Changes an entry in memory only, in order with the other changes. A crash loses the change. The next durable
    /// change of this entry, or the next compaction, writes it.
    pub(crate) async fn update_in_memory<R: Send + 'static>(
        &self,
        key: &str,
        by: Option<ConnectionId>,
        decide: impl FnMut(Option<&T>) -> (Change<T>, R) + Send + 'static,
    ) -> Result<R, StorageError> {
        self.request_change(key, false, by, decide).await
    }

    /// Closes the collection: writes every entry to the JSON file and leaves an empty journal.
    pub(crate) async fn close(&self) -> Result<(), StorageError> {
        let (done, answer) = oneshot::channel();
        self.changes.send(Request::Close(done)).await.map_err(|_| StorageError::Closed)?;
        answer.await.map_err(|_| StorageError::Closed)?
    }

    /// Pauses the writer thread after the changes that wait now, and returns the entries. It goes on when the second
    /// value is dropped.
    pub(crate) async fn pause(&self) -> Result<(FrozenEntries<T>, oneshot::Sender<()>), StorageError> {
        let (frozen, entries) = oneshot::channel();
        let (resume, resumed) = oneshot::channel();
        let pause = Request::Pause(frozen, resumed);
        self.changes.send(pause).await.map_err(|_| StorageError::Closed)?;
        Ok((entries.await.map_err(|_| StorageError::Closed)?, resume))
    }

    /// Waits until the writer thread has ended, for any reason.
    pub(crate) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    async fn request_change<R: Send + 'static>(
        &self,
        key: &str,
        durable: bool,
        by: Option<ConnectionId>,
        decide: impl FnMut(Option<&T>) -> (Change<T>, R) + Send + 'static,
    ) -> Result<R, StorageError> {
        let (update, answer) = Update::new(key, durable, by, decide);
        self.changes.send(Request::Update(Box::new(update))).await.map_err(|_| StorageError::Closed)?;
        answer.await.map_err(|_| StorageError::Closed)?
    }

    fn committed(&self) -> RwLockReadGuard<'_, Table<T>> {
        self.committed.read().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::value::RawValue;

    use crate::limits::COMPACTION_BYTES;
    use crate::repositories::data_files::DataFiles;
    use crate::repositories::json_file::Files;
    use crate::repositories::manifest::Entries;
    use crate::repositories::record::Decoded;
    use crate::repositories::trust::Trust;

    use super::*;

    /// A note, indexed by its first letter.
    #[derive(Debug, Clone, PartialEq)]
    struct Note(String);

    impl Record for Note {
        fn read(_: &str, json: &RawValue) -> Result<Decoded<Self>, String> {
            serde_json::from_str(json.get())
                .map(|text| Decoded::Native(Self(text)))
                .map_err(|e| e.to_string())
        }

        fn write(&self) -> serde_json::Result<Box<RawValue>> {
            serde_json::value::to_raw_value(&self.0)
        }

        fn index_keys(&self) -> Vec<String> {
            self.0.chars().take(1).map(String::from).collect()
        }
    }

    fn open(path: &Path) -> Collection<Note> {
        let folder = Arc::new(DataFolder::open(path).unwrap());
        let files = DataFiles::InFolder(path);
        let entries = Entries::read(files).unwrap().unwrap_or_default();
        let files = Files::read(files, "notes", Some(&entries)).unwrap();
        let manifest = Arc::new(Manifest::new(path, entries));
        Collection::start(Loaded::check(files, Trust::AsLeft).unwrap(), folder, manifest).unwrap()
    }

    async fn put(notes: &Collection<Note>, key: &str, text: &str) {
        let note = Note(text.to_owned());
        notes.update(key, move |_| (Change::Put(note.clone()), ())).await.unwrap();
    }

    #[tokio::test]
    async fn updates_of_one_entry_are_atomic() {
        let folder = tempfile::tempdir().unwrap();
        let notes = open(folder.path());
        let tasks = (0..200).map(|n| {
            let notes = notes.clone();
            let longer = |note: Option<&Note>| {
                let text = note.map_or(String::new(), |note| note.0.clone()) + "x";
                let length = text.len();
                (Change::Put(Note(text)), length)
            };
            tokio::spawn(async move {
                if n % 2 == 0 {
                    notes.update("a", longer).await
                } else {
                    notes.update_in_memory("a", None, longer).await
                }
            })
        });
        let mut lengths = Vec::new();
        for task in tasks.collect::<Vec<_>>() {
            lengths.push(task.await.unwrap().unwrap());
        }
        lengths.sort_unstable();
        assert_eq!(lengths, (1..=200).collect::<Vec<_>>());
        notes.close().await.unwrap();
        assert_eq!(open(folder.path()).get("a").unwrap().0.len(), 200);
    }

    #[tokio::test]
    async fn the_index_follows_every_change() {
        let folder = tempfile::tempdir().unwrap();
        let notes = open(folder.path());
        put(&notes, "a", "red").await;
        put(&notes, "b", "rose").await;
        assert_eq!(notes.index_keys("r"), ["a", "b"]);
        put(&notes, "a", "blue").await;
        notes.update("b", |_| (Change::Remove, ())).await.unwrap();
        assert_eq!((notes.index_keys("r"), notes.index_keys("b")), (vec![], vec!["a".to_owned()]));
        assert_eq!(notes.filing_keys(|_| true), ["b"]);
        notes.close().await.unwrap();
        assert_eq!(open(folder.path()).index_keys("b"), ["a"]);
    }

    #[tokio::test]
    async fn a_scan_starts_after_a_key_and_keeps_to_a_prefix() {
        let folder = tempfile::tempdir().unwrap();
        let notes = open(folder.path());
        for key in ["a", "ab", "abc", "b", "ba"] {
            put(&notes, key, "x").await;
        }
        let scan = |prefix, after| {
            notes.scan(prefix, after, |n| n.map(|(key, _)| key.to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(scan("", ""), ["a", "ab", "abc", "b", "ba"]);
        assert_eq!(scan("ab", ""), ["ab", "abc"]);
        assert_eq!(scan("ab", "a"), ["ab", "abc"]);
        assert_eq!(scan("ab", "ab"), ["abc"]);
        assert_eq!(scan("", "abc"), ["b", "ba"]);
        assert_eq!(scan("ab", "b"), [""; 0]);
    }

    #[tokio::test]
    async fn long_journal_is_compacted_during_updates() {
        let folder = tempfile::tempdir().unwrap();
        let notes = open(folder.path());
        let text = "x".repeat(COMPACTION_BYTES as usize / 8);
        for n in 0..20 {
            put(&notes, &n.to_string(), &text).await;
            put(&notes, "same", &n.to_string()).await;
        }
        let journal = std::fs::metadata(folder.path().join("notes_db.journal")).unwrap().len();
        assert!(journal < 20 * COMPACTION_BYTES / 8, "never compacted: {journal} bytes");
        // The collection is not closed: every confirmed change must be on the disk.
        let copy = tempfile::tempdir().unwrap();
        for name in ["notes_db.json", "notes_db.journal", "manifest.json"] {
            std::fs::copy(folder.path().join(name), copy.path().join(name)).unwrap();
        }
        let notes = open(copy.path());
        assert_eq!((notes.len(), notes.get("same")), (21, Some(Note("19".to_owned()))));
    }

    #[tokio::test]
    async fn nothing_is_promised_after_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let notes = open(folder.path());
        notes.close().await.unwrap();
        let late = notes.update("a", |_| (Change::Put(Note("x".to_owned())), ())).await;
        assert_eq!(late, Err(StorageError::Closed));
        notes.ended().await;
    }
}
