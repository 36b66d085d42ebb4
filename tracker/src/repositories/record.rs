//! What a collection keeps, and how an entry stands in its file.

use serde_json::value::RawValue;

/// A kind of entry.
pub(crate) trait Record: Clone + Send + Sync + 'static {
    /// Reads an entry of the file; an error says what is wrong with it.
    fn read(key: &str, json: &RawValue) -> Result<Decoded<Self>, String>;

    /// Writes the entry as it stands in the file.
    fn write(&self) -> serde_json::Result<Box<RawValue>>;

    /// Notes for the operator on an entry that was taken over from this one of an original file, a sentence or two each.
    fn take_over_notes(&self, _original: &RawValue) -> Vec<String> {
        Vec::new()
    }

    /// Prepares the entry for another run of the tracker.
    fn begin_run(&mut self) {}

    /// Further keys under which the entry is to be found.
    fn index_keys(&self) -> Vec<String> {
        Vec::new()
    }
}

/// An entry that was read.
#[derive(Debug)]
pub(crate) enum Decoded<T> {
    /// Of our own writing.
    Native(T),
    /// Taken over from an original file, with something added that has to be kept.
    Migrated(T),
    /// Well formed, but against our rules: stays in the file and is not served.
    Invalid,
}

/// The words for a JSON value that is not of the expected form.
pub(crate) fn unreadable(error: &serde_json::Error) -> String {
    // Serde's own words may repeat values, and some of those are password hashes.
    format!("an entry of the wrong form ({:?} error)", error.classify()).to_lowercase()
}
