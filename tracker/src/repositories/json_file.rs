//! The file behind a collection: a JSON file of all entries, and beside it the journal of what changed since.
//!
//! A change costs one appended line, whatever the number of entries. Folding writes the JSON file anew and empties
//! the journal; a crash between the two does no harm, since a line may be replayed over a file that holds it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::value::RawValue;

use crate::limits::FOLD_BYTES;
use crate::repositories::data_folder::{DataFolder, OpenError, private_file, sync_folder_of};
use crate::repositories::journal::{read_lines, write_line};
use crate::repositories::record::{Reading, Record};

/// What the files held at the start.
#[derive(Debug)]
pub(crate) struct Contents<T> {
    /// The entries.
    pub(crate) entries: BTreeMap<String, T>,
    /// Entries that are carried along and not served.
    pub(crate) unfit: BTreeMap<String, Box<RawValue>>,
    /// Bytes at the journal's end that a crash or a power cut left of lines that were promised to nobody.
    pub(crate) torn: usize,
}

/// Files that were read and not yet touched, so that damage in one leaves its neighbours too as they are.
#[derive(Debug)]
pub(crate) struct Loaded<T> {
    folder: Arc<DataFolder>,
    path: PathBuf,
    contents: Contents<T>,
    /// Whether the files are not in the form in which we leave them.
    stale: bool,
}

/// The two files; one thread owns them.
#[derive(Debug)]
pub(crate) struct JsonFile {
    path: PathBuf,
    /// Locked until nobody writes in it any more.
    _folder: Arc<DataFolder>,
    journal: File,
    /// Bytes of the journal that hold whole lines.
    length: u64,
    /// The last line's number.
    seq: u64,
    /// The journal's length at which it is folded next.
    fold_at: u64,
    trouble: Trouble,
}

/// What a failed write left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    None,
    /// Bytes after the last whole line: to be cut off before the next is written.
    Remnant,
    /// Nobody knows what of the journal the disk holds: to be folded before anything is promised.
    Unflushed,
}

impl JsonFile {
    /// Appends the changes and waits for the disk. After an error none of them is there.
    pub(crate) fn append(&mut self, changes: &[(String, Option<Box<RawValue>>)]) -> io::Result<()> {
        if self.trouble == Trouble::Remnant {
            self.cut_back()?;
        }
        let mut lines = Vec::new();
        for (seq, (key, value)) in (self.seq + 1..).zip(changes) {
            write_line(&mut lines, seq, key, value.as_deref())?;
        }
        let written = self.journal.write_all(&lines).inspect_err(|_| self.trouble = Trouble::Remnant);
        let flushed = written
            .and_then(|()| self.journal.sync_data().inspect_err(|_| self.trouble = Trouble::Unflushed));
        if let Err(error) = flushed {
            // Where this fails too, it is tried again before the next line.
            let _ = self.cut_back();
            return Err(error);
        }
        self.length += lines.len() as u64;
        self.seq += changes.len() as u64;
        Ok(())
    }

    fn cut_back(&mut self) -> io::Result<()> {
        self.journal.set_len(self.length)?;
        self.journal.seek(SeekFrom::Start(self.length))?;
        if self.trouble == Trouble::Remnant {
            self.trouble = Trouble::None;
        }
        Ok(())
    }

    /// Whether nothing may be promised before the next fold.
    pub(crate) fn must_fold(&self) -> bool {
        self.trouble == Trouble::Unflushed
    }

    /// Whether the journal has outgrown its file.
    pub(crate) fn should_fold(&self) -> bool {
        self.length >= self.fold_at
    }

    /// Whether the JSON file holds everything.
    pub(crate) fn is_folded(&self) -> bool {
        self.length == 0
    }

    /// Puts off folding for another while, after it failed.
    pub(crate) fn fold_later(&mut self) {
        self.fold_at = self.length + FOLD_BYTES;
    }

    /// Writes all entries to a new JSON file, puts it in the old one's place and empties the journal.
    pub(crate) fn fold<T: Record>(
        &mut self,
        entries: &BTreeMap<String, T>,
        unfit: &BTreeMap<String, Box<RawValue>>,
    ) -> io::Result<()> {
        let aside = self.path.with_extension("json.new");
        let mut file = BufWriter::new(private_file().create(true).truncate(true).open(&aside)?);
        write_entries(&mut file, entries, unfit)?;
        let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        let size = file.metadata()?.len();
        fs::rename(&aside, &self.path)?;
        sync_folder_of(&self.path)?;

        self.journal.set_len(0)?;
        self.journal.seek(SeekFrom::Start(0))?;
        self.journal.sync_data()?;
        (self.length, self.seq, self.trouble) = (0, 0, Trouble::None);
        self.fold_at = fold_at(size);
        Ok(())
    }
}

impl<T: Record> Loaded<T> {
    /// Reads `<name>_db.json` and its journal.
    pub(crate) fn read(folder: &Arc<DataFolder>, name: &str) -> Result<Self, OpenError> {
        let path = folder.path().join(format!("{name}_db.json"));
        let journal_path = path.with_extension("journal");
        let file = read_if_there(&path)?;
        let journal = read_if_there(&journal_path)?.unwrap_or_default();
        let (contents, stale) = Contents::recover(&path, file.as_deref(), &journal)?;
        Ok(Self { folder: folder.clone(), path, contents, stale })
    }

    /// The JSON file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the files ready for changes: the journal empty, everything in the JSON file.
    pub(crate) fn open(self) -> Result<(JsonFile, Contents<T>), OpenError> {
        let Self { folder, path, mut contents, mut stale } = self;
        for entry in contents.unfit.keys() {
            tracing::warn!(file = ?path, ?entry, "an entry does not fit our rules: it is kept, and not served");
        }
        let journal_path = path.with_extension("journal");
        if contents.torn > 0 {
            let (file, bytes) = (&journal_path, contents.torn);
            tracing::warn!(
                ?file,
                bytes,
                "a write was cut short, by a crash or a power cut: its remains are cut off"
            );
        }
        for entry in contents.entries.values_mut() {
            stale |= entry.begin_run();
        }
        let journal = private_file().create(true).truncate(false).open(&journal_path);
        let mut file = JsonFile {
            journal: journal.map_err(OpenError::at(&journal_path))?,
            length: 0,
            seq: 0,
            fold_at: FOLD_BYTES,
            trouble: Trouble::None,
            path,
            _folder: folder,
        };
        // What is appended is there only as long as the journal's name is.
        sync_folder_of(&file.path).map_err(OpenError::at(&file.path))?;
        if stale {
            file.fold(&contents.entries, &contents.unfit).map_err(OpenError::at(&file.path))?;
        } else {
            file.fold_at = fold_at(fs::metadata(&file.path).map_err(OpenError::at(&file.path))?.len());
        }
        Ok((file, contents))
    }
}

impl<T: Record> Contents<T> {
    /// What a file and its journal hold, and whether they are not in the form in which we leave them.
    pub(crate) fn recover(
        path: &Path,
        file: Option<&[u8]>,
        journal: &[u8],
    ) -> Result<(Self, bool), OpenError> {
        let mut contents = Self { entries: BTreeMap::new(), unfit: BTreeMap::new(), torn: 0 };
        let taken_over = match file {
            Some(file) => contents.read_file(path, file)?,
            None if !journal.is_empty() => return Err(OpenError::Missing(path.to_owned())),
            None => false,
        };
        contents.replay(&path.with_extension("journal"), journal)?;
        Ok((contents, file.is_none() || taken_over || !journal.is_empty()))
    }

    /// The JSON file that holds all of it.
    pub(crate) fn written(&self) -> io::Result<Vec<u8>> {
        let mut file = Vec::new();
        write_entries(&mut file, &self.entries, &self.unfit)?;
        Ok(file)
    }

    /// Takes the entries of a JSON file; whether any of them is an original's that needs writing anew.
    fn read_file(&mut self, path: &Path, file: &[u8]) -> Result<bool, OpenError> {
        let damaged = |line, what| OpenError::Damaged { file: path.to_owned(), line, what };
        let text = std::str::from_utf8(file)
            .map_err(|error| damaged(line_of(&file[..error.valid_up_to()]), "this is no UTF-8".to_owned()))?;
        let entries: BTreeMap<String, &RawValue> = serde_json::from_str(text)
            .map_err(|error| damaged(error.line(), "this is no JSON object of entries".to_owned()))?;
        let mut taken_over = false;
        for (key, json) in entries {
            taken_over |= self.take(key, json).map_err(|what| {
                let before = json.get().as_ptr() as usize - text.as_ptr() as usize;
                damaged(line_of(&file[..before]), what)
            })?;
        }
        Ok(taken_over)
    }

    /// Repeats the changes of a journal.
    fn replay(&mut self, path: &Path, journal: &[u8]) -> Result<(), OpenError> {
        let damaged = |line, what| OpenError::Damaged { file: path.to_owned(), line, what };
        let lines = read_lines(journal).map_err(|bad| damaged(bad.line, bad.what.to_owned()))?;
        self.torn = lines.torn;
        for (at, change) in lines.entries.into_iter().enumerate() {
            self.entries.remove(&change.key);
            self.unfit.remove(&change.key);
            if let Some(json) = change.value {
                self.take(change.key, &json).map_err(|what| damaged(at + 1, what))?;
            }
        }
        Ok(())
    }

    fn take(&mut self, key: String, json: &RawValue) -> Result<bool, String> {
        let reading = T::read(&key, json)?;
        let taken_over = matches!(reading, Reading::TakenOver(_));
        match reading {
            Reading::Ours(value) | Reading::TakenOver(value) => {
                self.entries.insert(key, value);
            }
            Reading::Unfit => {
                self.unfit.insert(key, json.to_owned());
            }
        }
        Ok(taken_over)
    }
}

/// How long a journal may become beside a file of this size: folding stays rare beside what is appended.
fn fold_at(file: u64) -> u64 {
    FOLD_BYTES.max(2 * file)
}

/// The number of the line that begins or goes on after these bytes.
fn line_of(before: &[u8]) -> usize {
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}

fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, OpenError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(OpenError::at(path)(error)),
    }
}

/// One entry a line, for people who look into the file.
fn write_entries<T: Record>(
    out: &mut impl Write,
    entries: &BTreeMap<String, T>,
    unfit: &BTreeMap<String, Box<RawValue>>,
) -> io::Result<()> {
    out.write_all(b"{")?;
    let mut comma = "";
    let mut write = |key: &str, json: &RawValue| {
        let key = serde_json::to_string(key)?;
        write!(out, "{comma}\n{key}: {json}")?;
        comma = ",";
        io::Result::Ok(())
    };
    unfit.iter().try_for_each(|(key, json)| write(key, json))?;
    entries.iter().try_for_each(|(key, value)| write(key, &value.write()?))?;
    out.write_all(if comma.is_empty() { b"}\n" } else { b"\n}\n" })
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Record for String {
        fn read(_: &str, json: &RawValue) -> Result<Reading<Self>, String> {
            serde_json::from_str(json.get()).map(Reading::Ours).map_err(|error| error.to_string())
        }

        fn write(&self) -> serde_json::Result<Box<RawValue>> {
            serde_json::value::to_raw_value(self)
        }
    }

    fn open(path: &Path) -> (JsonFile, Contents<String>) {
        let folder = Arc::new(DataFolder::open(path).unwrap());
        Loaded::read(&folder, "words").unwrap().open().unwrap()
    }

    fn change(key: &str) -> [(String, Option<Box<RawValue>>); 1] {
        [(key.to_owned(), Some(key.to_owned().write().unwrap()))]
    }

    /// The names that another start would find.
    fn found(path: &Path, file: JsonFile) -> Vec<String> {
        drop(file);
        open(path).1.entries.into_keys().collect()
    }

    #[test]
    fn after_a_failed_write_the_next_line_follows_the_last_good_one() {
        let folder = tempfile::tempdir().unwrap();
        let (mut file, _) = open(folder.path());
        file.append(&change("one")).unwrap();
        let read_only = File::open(folder.path().join("words_db.journal")).unwrap();
        let journal = std::mem::replace(&mut file.journal, read_only);
        assert!(file.append(&change("two")).is_err());
        file.journal = journal;
        // As if half of the line had been written.
        file.journal.write_all(b"{\"seq\":2,\"ke").unwrap();
        file.append(&change("three")).unwrap();
        assert_eq!(found(folder.path(), file), ["one", "three"]);
    }

    #[cfg(unix)]
    #[test]
    fn after_a_failed_flush_nothing_is_promised_before_a_fold() {
        let folder = tempfile::tempdir().unwrap();
        let (mut file, contents) = open(folder.path());
        file.append(&change("one")).unwrap();
        // Takes what is written and cannot be flushed.
        let bottomless = private_file().open("/dev/null").unwrap();
        let journal = std::mem::replace(&mut file.journal, bottomless);
        assert!(file.append(&change("two")).is_err());
        assert!(file.must_fold());
        file.journal = journal;
        let entries = BTreeMap::from([("one".to_owned(), "one".to_owned())]);
        file.fold(&entries, &contents.unfit).unwrap();
        assert!(!file.must_fold() && file.is_folded());
        file.append(&change("three")).unwrap();
        assert_eq!(found(folder.path(), file), ["one", "three"]);
    }

    #[test]
    fn a_crash_between_the_two_halves_of_a_fold_does_no_harm() {
        let folder = tempfile::tempdir().unwrap();
        let (mut file, contents) = open(folder.path());
        file.append(&change("one")).unwrap();
        file.append(&[("gone".to_owned(), None)]).unwrap();
        let journal = fs::read(folder.path().join("words_db.journal")).unwrap();
        let entries = BTreeMap::from([("one".to_owned(), "one".to_owned())]);
        file.fold(&entries, &contents.unfit).unwrap();
        fs::write(folder.path().join("words_db.journal"), journal).unwrap();
        assert_eq!(found(folder.path(), file), ["one"]);
    }
}
