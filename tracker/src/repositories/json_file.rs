//! The file behind a collection: a JSON file of all entries, and beside it the journal of what changed since.
//!
//! A change costs one appended line, whatever the number of entries. Folding writes the JSON file anew and begins an empty
//! journal. Both are replaced by renaming, and the manifest names the digest of the new JSON file before it is there: so a
//! crash at any point leaves files that fit together, and a line may be replayed over a file that holds it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::limits::FOLD_BYTES;
use crate::repositories::contents::{Contents, write_entries};
use crate::repositories::data_folder::{
    DataFolder, OpenError, aside, private_file, read_if_there, sync_folder_of,
};
use crate::repositories::found::Trust;
use crate::repositories::journal::{Header, write_line};
use crate::repositories::manifest::{Entries, FileState, Manifest};
use crate::repositories::record::Record;

/// The two files as they were read, not yet judged.
#[derive(Debug)]
pub(crate) struct Files {
    name: &'static str,
    path: PathBuf,
    json: Option<Vec<u8>>,
    journal: Option<Vec<u8>>,
    /// What the manifest says of the JSON file; `None` where the tracker has never folded it.
    known: Option<FileState>,
}

/// Files that were judged and not yet touched, so that damage in one leaves its neighbours too as they are.
#[derive(Debug)]
pub(crate) struct Loaded<T> {
    name: &'static str,
    path: PathBuf,
    /// What they hold.
    pub(crate) contents: Contents<T>,
    state: FileState,
    known: bool,
}

/// The two files in use; one thread owns them.
#[derive(Debug)]
pub(crate) struct JsonFile {
    name: &'static str,
    path: PathBuf,
    /// Locked until nobody writes in it any more.
    _folder: Arc<DataFolder>,
    manifest: Arc<Manifest>,
    /// The JSON file on the disk, and the journal's generation.
    state: FileState,
    journal: File,
    /// Bytes of the journal's first line.
    header: u64,
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
        self.length <= self.header
    }

    /// Puts off folding for another while, after it failed.
    pub(crate) fn fold_later(&mut self) {
        self.fold_at = self.length + FOLD_BYTES;
    }

    /// Writes all entries to a new JSON file, puts it in the old one's place and begins an empty journal.
    pub(crate) fn fold<T: Record>(
        &mut self,
        entries: &BTreeMap<String, T>,
        unfit: &BTreeMap<String, Box<RawValue>>,
    ) -> io::Result<()> {
        let new = aside(&self.path);
        let file = private_file().create(true).truncate(true).open(&new)?;
        let mut file = BufWriter::new(Digesting { file, digest: Sha256::new() });
        write_entries(&mut file, entries, unfit)?;
        let Digesting { file, digest } = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        let size = file.metadata()?.len();
        let sha256 = Some(hex(digest));

        let announced = FileState { next_sha256: sha256.clone(), ..self.state.clone() };
        self.note(announced)?;
        fs::rename(&new, &self.path)?;
        self.state.sha256 = sha256;
        sync_folder_of(&self.path)?;

        self.begin_journal(self.state.generation + 1)?;
        self.fold_at = fold_at(size);
        // The fold is complete without it: the JSON file is the one that was announced.
        if let Err(error) = self.note(self.state.clone()) {
            tracing::warn!(%error, "the manifest could not be completed");
        }
        Ok(())
    }

    /// Puts an empty journal of a generation in the old one's place.
    fn begin_journal(&mut self, generation: u64) -> io::Result<()> {
        let path = self.path.with_extension("journal");
        let new = aside(&path);
        let header = Header::new(self.name, generation).line()?;
        let mut journal = private_file().create(true).truncate(true).open(&new)?;
        journal.write_all(&header)?;
        journal.sync_all()?;
        fs::rename(&new, &path)?;
        // From here on lines go to the new one. If its name does not reach the disk, nothing may be promised.
        self.trouble = Trouble::Unflushed;
        (self.journal, self.header, self.length, self.seq) =
            (journal, header.len() as u64, header.len() as u64, 0);
        self.state.generation = generation;
        sync_folder_of(&path)?;
        self.trouble = Trouble::None;
        Ok(())
    }

    /// Makes the manifest say this of the JSON file.
    fn note(&self, state: FileState) -> io::Result<()> {
        let name = file_name(self.name);
        self.manifest.update(|entries| drop(entries.files.insert(name, state)))
    }
}

/// A file whose digest is computed while it is written.
struct Digesting {
    file: File,
    digest: Sha256,
}

impl Write for Digesting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.digest.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Files {
    /// Reads `<name>_db.json` and its journal.
    pub(crate) fn read(
        folder: &Path,
        name: &'static str,
        manifest: Option<&Entries>,
    ) -> Result<Self, OpenError> {
        let path = folder.join(file_name(name));
        let json = read_if_there(&path)?;
        let journal = read_if_there(&path.with_extension("journal"))?;
        let known = manifest.and_then(|manifest| manifest.files.get(&file_name(name))).cloned();
        Ok(Self { name, path, json, journal, known })
    }

    /// The JSON file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether there is no JSON file.
    pub(crate) fn json_is_missing(&self) -> bool {
        self.json.is_none()
    }

    /// Whether one of the two is there.
    pub(crate) fn are_there(&self) -> bool {
        self.json.is_some() || self.journal.as_ref().is_some_and(|journal| !journal.is_empty())
    }

    /// Forgets what the manifest says.
    pub(crate) fn forget(&mut self) {
        self.known = None;
    }

    /// Whether the journal begins as only this version begins one.
    pub(crate) fn journal_names_generation(&self) -> bool {
        self.journal.as_ref().is_some_and(|journal| Header::begins(journal))
    }

    /// Whether the JSON file and the journal are the ones that the manifest names.
    fn judge(
        &self,
        known: &FileState,
        sha256: Option<&String>,
        header: Option<&Header>,
    ) -> Result<(), OpenError> {
        let journal = self.path.with_extension("journal");
        let (current, next) =
            (sha256 == known.sha256.as_ref(), sha256.is_some() && sha256 == known.next_sha256.as_ref());
        let generation = header.map(|header| header.generation);
        if generation
            .is_some_and(|generation| generation > known.generation + u64::from(known.next_sha256.is_some()))
        {
            return Err(OpenError::Older { file: self.path.with_file_name("manifest.json"), than: journal });
        }
        match (sha256, current || next) {
            (None, false) => return Err(OpenError::Missing(self.path.clone())),
            (Some(_), false) => return Err(OpenError::Changed(self.path.clone())),
            _ => {}
        }
        match generation {
            // Taken over, and not folded yet.
            None if known.generation == 0 => Ok(()),
            None if self.journal.is_none() => Err(OpenError::Lost(journal)),
            None => {
                let what = "the line that names the generation is missing".to_owned();
                Err(OpenError::Damaged { file: journal, line: 1, what })
            }
            Some(generation) if generation < known.generation => {
                Err(OpenError::Older { file: journal, than: self.path.with_file_name("manifest.json") })
            }
            Some(generation) if generation > known.generation && !next => {
                Err(OpenError::Older { file: self.path.clone(), than: journal })
            }
            Some(_) => Ok(()),
        }
    }
}

impl<T: Record> Loaded<T> {
    /// Judges files that were read.
    pub(crate) fn judge(files: Files, trust: Trust) -> Result<Self, OpenError> {
        let journal = files.journal.as_deref().unwrap_or_default();
        let contents = Contents::recover(&files.path, files.json.as_deref(), journal)?;
        if let Some(header) = contents.header.as_ref().filter(|header| header.journal != files.name) {
            let what = format!("this is the journal of {:?}", header.journal);
            return Err(OpenError::Damaged { file: files.path.with_extension("journal"), line: 1, what });
        }
        let sha256 = files.json.as_ref().map(|json| hex(Sha256::new_with_prefix(json)));
        if let (Some(known), Trust::AsLeft) = (&files.known, trust) {
            files.judge(known, sha256.as_ref(), contents.header.as_ref())?;
        }
        let named = contents.header.as_ref().map_or(0, |header| header.generation);
        let known = files.known.as_ref();
        let state = FileState {
            generation: if trust == Trust::AsLeft {
                named
            } else {
                named.max(known.map_or(0, |known| known.generation))
            },
            sha256,
            next_sha256: None,
        };
        Ok(Self { name: files.name, known: known.is_some(), path: files.path, contents, state })
    }

    /// The JSON file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the tracker has folded the JSON file before.
    pub(crate) fn is_known(&self) -> bool {
        self.known
    }

    /// What an operator should know of the contents, a sentence or two each.
    pub(crate) fn oddities(&self) -> Vec<String> {
        let (file, Contents { torn, unfit, .. }) = (file_name(self.name), &self.contents);
        let cut = (*torn > 0).then(|| {
            format!("{}_db.journal: a write was cut short, and its last {torn} bytes, promised to nobody, are cut off", self.name)
        });
        let kept = unfit
            .keys()
            .map(|entry| format!("{file}: {entry:?} does not fit our rules: it is kept, and not served. data/README.md says how to bring it back"));
        cut.into_iter().chain(kept).collect()
    }

    /// Makes the files ready for changes: the journal empty, everything in the JSON file. Each start begins a generation,
    /// so that a journal of an earlier run is noticed.
    pub(crate) fn open(
        self,
        folder: Arc<DataFolder>,
        manifest: Arc<Manifest>,
    ) -> Result<(JsonFile, Contents<T>), OpenError> {
        let Self { name, path, mut contents, state, .. } = self;
        contents.entries.values_mut().for_each(T::begin_run);
        let journal_path = path.with_extension("journal");
        let journal = private_file().create(true).truncate(false).append(true).open(&journal_path);
        let journal = journal.map_err(OpenError::at(&journal_path))?;
        let length = journal.metadata().map_err(OpenError::at(&journal_path))?.len();
        let trouble = Trouble::None;
        let (header, seq) = (length, 0);
        let mut file = JsonFile {
            name,
            path,
            _folder: folder,
            manifest,
            state,
            journal,
            header,
            length,
            seq,
            fold_at: FOLD_BYTES,
            trouble,
        };
        // What is appended is there only as long as the journal's name is.
        sync_folder_of(&file.path).map_err(OpenError::at(&file.path))?;
        file.fold(&contents.entries, &contents.unfit).map_err(OpenError::at(&file.path))?;
        Ok((file, contents))
    }
}

/// The name of a collection's JSON file.
fn file_name(name: &str) -> String {
    format!("{name}_db.json")
}

fn hex(digest: Sha256) -> String {
    base16ct::lower::encode_string(&digest.finalize())
}

/// How long a journal may become beside a file of this size: folding stays rare beside what is appended.
fn fold_at(file: u64) -> u64 {
    FOLD_BYTES.max(2 * file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repositories::record::Decoded;

    impl Record for String {
        fn read(_: &str, json: &RawValue) -> Result<Decoded<Self>, String> {
            serde_json::from_str(json.get()).map(Decoded::Native).map_err(|error| error.to_string())
        }

        fn write(&self) -> serde_json::Result<Box<RawValue>> {
            serde_json::value::to_raw_value(self)
        }
    }

    fn try_open(path: &Path) -> Result<(JsonFile, Contents<String>), OpenError> {
        let folder = Arc::new(DataFolder::open(path)?);
        let entries = Entries::read(path)?.unwrap_or_default();
        let loaded = Loaded::judge(Files::read(path, "words", Some(&entries))?, Trust::AsLeft)?;
        loaded.open(folder, Arc::new(Manifest::new(path, entries)))
    }

    fn open(path: &Path) -> (JsonFile, Contents<String>) {
        try_open(path).unwrap()
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
    fn a_crash_at_any_point_of_a_fold_does_no_harm() {
        const NAMES: [&str; 3] = ["words_db.json", "words_db.journal", "manifest.json"];
        let folder = tempfile::tempdir().unwrap();
        let read = || NAMES.map(|name| fs::read(folder.path().join(name)).unwrap());
        let (mut file, contents) = open(folder.path());
        file.append(&change("one")).unwrap();
        file.append(&[("gone".to_owned(), None)]).unwrap();
        let [old_json, old_journal, old_manifest] = read();
        let announced = file.state.clone();
        let entries = BTreeMap::from([("one".to_owned(), "one".to_owned())]);
        file.fold(&entries, &contents.unfit).unwrap();
        let [json, journal, manifest] = read();
        let announced = FileState { next_sha256: file.state.sha256.clone(), ..announced };
        file.note(announced).unwrap();
        let [_, _, announcement] = read();
        drop(file);
        let try_with = |files: [&Vec<u8>; 3]| {
            let copy = tempfile::tempdir().unwrap();
            NAMES
                .iter()
                .zip(files)
                .for_each(|(name, bytes)| fs::write(copy.path().join(name), bytes).unwrap());
            let found = try_open(copy.path()).map(|(file, _)| found(copy.path(), file));
            found.map_err(|error| error.to_string())
        };
        for files in [
            [&old_json, &old_journal, &old_manifest],
            [&old_json, &old_journal, &announcement],
            [&json, &old_journal, &announcement],
            [&json, &journal, &announcement],
            [&json, &journal, &manifest],
        ] {
            assert_eq!(try_with(files), Ok(vec!["one".to_owned()]));
        }
        // These are no crash: one of the files is from another time.
        for files in [
            [&old_json, &journal, &announcement],
            [&old_json, &journal, &manifest],
            [&json, &old_journal, &manifest],
            [&json, &journal, &old_manifest],
            [&json, &old_journal, &old_manifest],
        ] {
            assert!(try_with(files).is_err());
        }
    }
}
