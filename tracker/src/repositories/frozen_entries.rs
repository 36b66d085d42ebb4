//! The entries of a collection at one moment, for a backup.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;

use serde_json::value::RawValue;

use crate::repositories::contents::{Contents, write_entries};
use crate::repositories::record::Record;

/// The entries of one collection at one moment.
#[derive(Debug)]
pub(crate) struct FrozenEntries<T> {
    /// The entries that are served.
    pub(crate) entries: BTreeMap<String, Arc<T>>,
    /// Invalid entries: they stay in the file and are not served.
    pub(crate) unfit: BTreeMap<String, Box<RawValue>>,
}

/// Entries of any type.
pub(crate) trait WriteEntries: Sync {
    /// Writes the JSON file of the entries.
    fn write_json(&self, out: &mut dyn Write) -> io::Result<()>;
}

impl<T: Record> From<Contents<T>> for FrozenEntries<T> {
    fn from(contents: Contents<T>) -> Self {
        let entries = contents.entries.into_iter().map(|(key, value)| (key, Arc::new(value)));
        Self { entries: entries.collect(), unfit: contents.unfit }
    }
}

impl<T: Record> WriteEntries for FrozenEntries<T> {
    fn write_json(&self, mut out: &mut dyn Write) -> io::Result<()> {
        write_entries(&mut out, self.entries.iter().map(|(key, value)| (key, &**value)), &self.unfit)
    }
}
