//! The table that readers of a collection see.
//! It holds the committed entries by name, and an index by secondary key.

use std::collections::{BTreeMap, BTreeSet};

use crate::repositories::record::Record;

/// Entries and their index. The two always agree.
#[derive(Debug)]
pub(crate) struct Table<T> {
    /// The entries by name.
    pub(crate) entries: BTreeMap<String, T>,
    /// The index: secondary key → names of the entries filed under it.
    pub(crate) index: BTreeMap<String, BTreeSet<String>>,
}

impl<T: Record> FromIterator<(String, T)> for Table<T> {
    fn from_iter<I: IntoIterator<Item = (String, T)>>(entries: I) -> Self {
        let mut committed = Self { entries: BTreeMap::new(), index: BTreeMap::new() };
        entries.into_iter().for_each(|(key, value)| committed.apply(key, Some(value)));
        committed
    }
}

impl<T: Record> Table<T> {
    /// Sets an entry, or removes it if `value` is `None`. Updates the index.
    pub(crate) fn apply(&mut self, key: String, value: Option<T>) {
        for old in self.entries.get(&key).map(T::index_keys).unwrap_or_default() {
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
        for new in value.index_keys() {
            self.index.entry(new).or_default().insert(key.clone());
        }
        self.entries.insert(key, value);
    }
}
