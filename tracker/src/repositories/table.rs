//! The table that readers of a collection see.
//! It holds the committed entries by name, an index by secondary key, and the stream of the changes.

use std::collections::hash_map::{Entry, HashMap};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use tokio::sync::broadcast;

use crate::limits::WATCH_BACKLOG;
use crate::login::ConnectionId;
use crate::repositories::record::Record;

/// Entries and their index. The two always agree.
#[derive(Debug)]
pub(crate) struct Table<T> {
    /// The entries by name.
    pub(crate) entries: BTreeMap<String, Arc<T>>,
    /// The index: secondary key → names of the entries filed under it.
    pub(crate) index: BTreeMap<String, BTreeSet<String>>,
    /// The number of entries per skeleton of their key, by a hash of the skeleton. Two skeletons with one hash would only
    /// refuse a free name. The hash is keyed, so nobody can look for such a pair.
    skeletons: HashMap<u64, u32>,
    hasher: RandomState,
    /// The sending end of the stream of changes. Without a watcher, it keeps nothing.
    pub(crate) changes: broadcast::Sender<Committed<T>>,
}

/// A committed change of an entry.
#[derive(Debug)]
pub(crate) struct Committed<T> {
    /// The name of the entry.
    pub(crate) key: String,
    /// The new value. `None` means that the entry was removed.
    pub(crate) value: Option<Arc<T>>,
    /// The session of this process that asked for the change, if there is one.
    pub(crate) by: Option<ConnectionId>,
}

impl<T> Clone for Committed<T> {
    fn clone(&self) -> Self {
        Self { key: self.key.clone(), value: self.value.clone(), by: self.by }
    }
}

impl<T: Record> FromIterator<(String, T)> for Table<T> {
    fn from_iter<I: IntoIterator<Item = (String, T)>>(entries: I) -> Self {
        // A start adds a million entries here. Entries in order become a map without a search for each of them.
        let entries: BTreeMap<_, _> =
            entries.into_iter().map(|(key, value)| (key, Arc::new(value))).collect();
        let mut table = Self {
            entries: BTreeMap::new(),
            index: BTreeMap::new(),
            skeletons: HashMap::new(),
            hasher: RandomState::new(),
            changes: broadcast::Sender::new(WATCH_BACKLOG),
        };
        entries.iter().for_each(|(key, value)| table.file(key, value));
        let hashes: Vec<_> = entries.keys().filter_map(|key| table.skeleton_hash(key)).collect();
        table.skeletons.reserve(hashes.len());
        hashes.into_iter().for_each(|hash| *table.skeletons.entry(hash).or_default() += 1);
        table.entries = entries;
        table
    }
}

impl<T: Record> Table<T> {
    /// Sets or removes an entry, updates the index, and informs the watchers.
    pub(crate) fn apply(&mut self, change: Committed<T>) {
        let Committed { key, value, .. } = &change;
        for old in self.entries.get(key).map(|old| old.index_keys()).unwrap_or_default() {
            if let Some(keys) = self.index.get_mut(&old) {
                keys.remove(key);
                if keys.is_empty() {
                    self.index.remove(&old);
                }
            }
        }
        value.iter().for_each(|value| self.file(key, value));
        let (before, after) = match value {
            Some(value) => (self.entries.insert(key.clone(), value.clone()), true),
            None => (self.entries.remove(key), false),
        };
        match (before.is_some(), after) {
            (false, true) => self.count_skeleton(key),
            (true, false) => self.forget_skeleton(key),
            (false, false) | (true, true) => {}
        }
        // Nobody may be watching.
        let _ = self.changes.send(change);
    }

    /// Whether another entry has a key that looks like this one.
    /// `skeleton` is the skeleton of the key.
    pub(crate) fn has_look_alike(&self, key: &str, skeleton: &str) -> bool {
        let own = u32::from(self.entries.contains_key(key));
        self.skeletons.get(&self.hasher.hash_one(skeleton)).is_some_and(|count| *count > own)
    }

    /// Adds an entry to the index.
    fn file(&mut self, key: &str, value: &T) {
        for filed in value.index_keys() {
            self.index.entry(filed).or_default().insert(key.to_owned());
        }
    }

    fn count_skeleton(&mut self, key: &str) {
        if let Some(hash) = self.skeleton_hash(key) {
            *self.skeletons.entry(hash).or_default() += 1;
        }
    }

    fn forget_skeleton(&mut self, key: &str) {
        let Some(hash) = self.skeleton_hash(key) else { return };
        let Entry::Occupied(mut count) = self.skeletons.entry(hash) else { return };
        *count.get_mut() -= 1;
        if *count.get() == 0 {
            count.remove();
        }
    }

    fn skeleton_hash(&self, key: &str) -> Option<u64> {
        Some(self.hasher.hash_one(T::skeleton(key)?))
    }
}
