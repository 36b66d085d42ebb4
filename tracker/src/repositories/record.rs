//! The entries of a collection.
//! The trait says how an entry is read from its file, written to it and indexed.

use serde_json::value::RawValue;

/// A kind of entry that a collection can hold.
pub(crate) trait Record: Clone + Send + Sync + 'static {
    /// Reads an entry from the file. An error is a text that says what is wrong with the entry.
    fn read(key: &str, json: &RawValue) -> Result<Decoded<Self>, String>;

    /// Encodes the entry as the JSON value that the file holds.
    fn write(&self) -> serde_json::Result<Box<RawValue>>;

    /// Notes for the operator about an entry that was migrated from `_original`, an entry of a legacy file. Each note
    /// has one or two sentences.
    fn take_over_notes(&self, _original: &RawValue) -> Vec<String> {
        Vec::new()
    }

    /// Prepares the entry for a new run of the tracker.
    fn begin_run(&mut self) {}

    /// The skeleton of the entry's key, if no two entries may have keys that look alike.
    fn skeleton(_key: &str) -> Option<String> {
        None
    }

    /// Secondary keys under which the index also files the entry.
    fn index_keys(&self) -> Vec<String> {
        Vec::new()
    }
}

/// The result of decoding an entry.
#[derive(Debug)]
pub(crate) enum Decoded<T> {
    /// This version of the tracker wrote the entry.
    Native(T),
    /// The entry was migrated from a legacy file. The migration added data that must be kept.
    Migrated(T),
    /// The entry is well formed but breaks a rule of this tracker. It stays in the file and is not served.
    Invalid,
}

/// The error text for a JSON value that does not have the expected form.
pub(crate) fn unreadable(error: &serde_json::Error) -> String {
    // The text leaves out Serde's own message: it may repeat values, and some values are password hashes.
    format!("an entry of the wrong form ({:?} error)", error.classify()).to_lowercase()
}
