//! The combined content of a JSON file and its journal.
//! This module holds the entries and does no input or output on files.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use serde_json::value::RawValue;

use crate::repositories::data_folder::OpenError;
use crate::repositories::journal::{Header, read_lines};
use crate::repositories::raw_entries::RawEntries;
use crate::repositories::record::{Decoded, Record};

/// The content of both files at the start of the tracker.
#[derive(Debug)]
pub(crate) struct Contents<T> {
    /// The entries that are served.
    pub(crate) entries: BTreeMap<String, T>,
    /// Invalid entries: they stay in the file and are not served.
    pub(crate) unfit: BTreeMap<String, Box<RawValue>>,
    /// Legacy entries in their original form. Their migrated form, with added data, is in `entries`.
    pub(crate) taken_over: BTreeMap<String, Box<RawValue>>,
    /// The first line of the journal, if it names a generation.
    pub(crate) header: Option<Header>,
    /// The number of changes in the journal.
    pub(crate) changes: usize,
    /// The number of bytes at the journal's end that an interrupted write left behind. No client got a confirmation that these
    /// changes were saved.
    pub(crate) torn: usize,
}

impl<T: Record> Contents<T> {
    /// Decodes a JSON file and replays its journal. `path` is the JSON file's path, for error messages.
    pub(crate) fn recover(path: &Path, file: Option<&[u8]>, journal: &[u8]) -> Result<Self, OpenError> {
        let (entries, unfit, taken_over) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut contents = Self { entries, unfit, taken_over, header: None, changes: 0, torn: 0 };
        match file {
            Some(file) => contents.read_file(path, file)?,
            None if !journal.is_empty() => return Err(OpenError::Missing(path.to_owned())),
            None => {}
        }
        contents.replay(&path.with_extension("journal"), journal)?;
        Ok(contents)
    }

    /// Whether there is no entry, valid or invalid.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.unfit.is_empty()
    }

    /// Encodes the JSON file that holds all entries.
    pub(crate) fn written(&self) -> io::Result<Vec<u8>> {
        let mut file = Vec::new();
        write_entries(&mut file, self.entries.iter(), &self.unfit)?;
        Ok(file)
    }

    /// Decodes the entries of a JSON file.
    fn read_file(&mut self, path: &Path, file: &[u8]) -> Result<(), OpenError> {
        let damaged = |line, what| OpenError::Damaged { file: path.to_owned(), line, what };
        let text = std::str::from_utf8(file).map_err(|error| {
            damaged(line_of(&file[..error.valid_up_to()]), "this is not UTF-8".to_owned())
        })?;
        let entries: RawEntries<'_> = serde_json::from_str(text)
            .map_err(|error| damaged(error.line(), "this is not a JSON object of entries".to_owned()))?;
        // A map that is built at once from entries in order needs no search for each of them.
        let mut served = Vec::new();
        for (key, json) in entries {
            let decoded = T::read(&key, json).map_err(|what| {
                let before = json.get().as_ptr() as usize - text.as_ptr() as usize;
                damaged(line_of(&file[..before]), what)
            })?;
            served.extend(self.sort_in(key, json, decoded));
        }
        self.entries = served.into_iter().collect();
        Ok(())
    }

    /// Applies the changes of a journal in order.
    fn replay(&mut self, path: &Path, journal: &[u8]) -> Result<(), OpenError> {
        let damaged = |line, what| OpenError::Damaged { file: path.to_owned(), line, what };
        let lines = read_lines(journal).map_err(|bad| damaged(bad.line, bad.what.to_owned()))?;
        (self.torn, self.changes) = (lines.torn, lines.entries.len());
        let first = if lines.header.is_some() { 2 } else { 1 };
        self.header = lines.header;
        for (at, change) in lines.entries.into_iter().enumerate() {
            self.entries.remove(&change.key);
            self.unfit.remove(&change.key);
            self.taken_over.remove(&change.key);
            if let Some(json) = change.value {
                let decoded = T::read(&change.key, &json).map_err(|what| damaged(at + first, what))?;
                let served = self.sort_in(change.key, &json, decoded);
                self.entries.extend(served);
            }
        }
        Ok(())
    }

    /// Keeps the original of an entry if it is needed. Returns the entry if it is served.
    fn sort_in(&mut self, key: String, json: &RawValue, decoded: Decoded<T>) -> Option<(String, T)> {
        match decoded {
            Decoded::Native(value) => Some((key, value)),
            Decoded::Migrated(value) => {
                self.taken_over.insert(key.clone(), json.to_owned());
                Some((key, value))
            }
            Decoded::Invalid => {
                self.unfit.insert(key, json.to_owned());
                None
            }
        }
    }
}

/// The number of the line on which the byte after `before` stands, counted from 1.
fn line_of(before: &[u8]) -> usize {
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}

/// Writes the JSON file with one entry per line, so that people can read it.
pub(crate) fn write_entries<'a, T: Record>(
    out: &mut impl Write,
    mut entries: impl Iterator<Item = (&'a String, &'a T)>,
    unfit: &BTreeMap<String, Box<RawValue>>,
) -> io::Result<()> {
    out.write_all(b"{")?;
    let mut comma = "";
    let mut write = |key: &str, json: &RawValue| {
        writeln!(out, "{comma}")?;
        serde_json::to_writer(&mut *out, key)?;
        write!(out, ": {json}")?;
        comma = ",";
        io::Result::Ok(())
    };
    unfit.iter().try_for_each(|(key, json)| write(key, json))?;
    entries.try_for_each(|(key, value)| write(key, &value.write()?))?;
    out.write_all(if comma.is_empty() { b"}\n" } else { b"\n}\n" })
}
