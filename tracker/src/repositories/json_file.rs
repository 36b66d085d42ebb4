//! The files behind a collection: a JSON file with all entries, and a journal of the later changes.
//!
//! A change costs one appended line, however many entries there are. Compaction (`compact`) writes a new JSON file and
//! begins an empty journal. Both files are replaced by renaming. The manifest names the digest of the new JSON file
//! before the rename. A crash at any point therefore leaves files that belong together, and a line may be replayed over
//! a JSON file that already contains its change.
//!
//! Example: after a crash between the two renames, the folder holds the new JSON file, the old journal and the
//! announced digest. The next start replays the old journal over the new file, and the result is the same.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::limits::COMPACTION_BYTES;
use crate::repositories::contents::{Contents, write_entries};
use crate::repositories::data_files::DataFiles;
use crate::repositories::data_folder::{
    DataFolder, OpenError, aside, open_private, private_file, recreate_private, sync_folder_of,
};
use crate::repositories::journal::{Header, write_line};
use crate::repositories::manifest::{Entries, FileState, Manifest};
use crate::repositories::record::Record;
use crate::repositories::trust::Trust;

/// The two files of a collection, read and not yet checked.
#[derive(Debug)]
pub(crate) struct Files {
    name: &'static str,
    path: PathBuf,
    json: Option<Vec<u8>>,
    journal: Option<Vec<u8>>,
    /// The state of the JSON file in the manifest. `None` if the tracker has never compacted it.
    known: Option<FileState>,
}

/// The checked files of a collection. Nothing has been written yet, so damage in one collection leaves the others
/// unchanged.
#[derive(Debug)]
pub(crate) struct Loaded<T> {
    name: &'static str,
    path: PathBuf,
    /// The entries of both files.
    pub(crate) contents: Contents<T>,
    state: FileState,
    known: bool,
}

/// The two files in use. The writer thread owns them.
#[derive(Debug)]
pub(crate) struct JsonFile {
    name: &'static str,
    path: PathBuf,
    /// Keeps the folder locked as long as any file in it is in use.
    _folder: Arc<DataFolder>,
    manifest: Arc<Manifest>,
    /// The digest of the JSON file on the disk, and the journal's generation.
    state: FileState,
    journal: File,
    /// The length of the journal's first line, in bytes.
    header: u64,
    /// The length of the journal up to its last complete line, in bytes.
    length: u64,
    /// The sequence number of the last line.
    seq: u64,
    /// The journal length at which the next compaction is due, in bytes.
    compact_at: u64,
    journal_state: JournalState,
}

/// The condition of the journal after a failed write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum JournalState {
    /// Nothing has failed.
    Sound,
    /// There may be bytes after the last complete line. They must be cut off before the next write.
    HasRemnant,
    /// A flush failed, so the content of the journal on the disk is unknown. A compaction must come before any further
    /// confirmation.
    Unflushed,
}

impl JsonFile {
    /// Appends the changes and waits for the disk. After an error, none of them is in the journal.
    pub(crate) fn append(&mut self, changes: &[(String, Option<Box<RawValue>>)]) -> io::Result<()> {
        if self.journal_state == JournalState::HasRemnant {
            self.cut_back()?;
        }
        let mut lines = Vec::new();
        for (seq, (key, value)) in (self.seq + 1..).zip(changes) {
            write_line(&mut lines, seq, key, value.as_deref())?;
        }
        let written =
            self.journal.write_all(&lines).inspect_err(|_| self.journal_state = JournalState::HasRemnant);
        let flushed = written.and_then(|()| {
            self.journal.sync_data().inspect_err(|_| self.journal_state = JournalState::Unflushed)
        });
        if let Err(error) = flushed {
            // If the cut fails too, the next append tries it again.
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
        if self.journal_state == JournalState::HasRemnant {
            self.journal_state = JournalState::Sound;
        }
        Ok(())
    }

    /// Whether a compaction must come before any further change is confirmed.
    pub(crate) fn must_compact(&self) -> bool {
        self.journal_state == JournalState::Unflushed
    }

    /// Whether the journal is long enough for a compaction.
    pub(crate) fn should_compact(&self) -> bool {
        self.length >= self.compact_at
    }

    /// Whether the JSON file holds all entries, so that the journal has no changes.
    pub(crate) fn is_compacted(&self) -> bool {
        self.length <= self.header
    }

    /// Postpones the next compaction after one failed.
    pub(crate) fn compact_later(&mut self) {
        self.compact_at = self.length + COMPACTION_BYTES;
    }

    /// Compacts the files: writes all entries to a new JSON file, renames it over the old one, and begins an empty
    /// journal.
    pub(crate) fn compact<'a, T: Record>(
        &mut self,
        entries: impl Iterator<Item = (&'a String, &'a T)>,
        unfit: &BTreeMap<String, Box<RawValue>>,
    ) -> io::Result<()> {
        let new = aside(&self.path);
        let file = recreate_private(&new)?;
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
        self.compact_at = compact_at(size);
        // The compaction is complete even if this write fails: the JSON file is the announced one.
        if let Err(error) = self.note(self.state.clone()) {
            tracing::warn!(%error, "the manifest could not be completed");
        }
        Ok(())
    }

    /// Replaces the journal by an empty one of the given generation.
    fn begin_journal(&mut self, generation: u64) -> io::Result<()> {
        let path = self.path.with_extension("journal");
        let new = aside(&path);
        let header = Header::new(self.name, generation).line()?;
        let mut journal = recreate_private(&new)?;
        journal.write_all(&header)?;
        journal.sync_all()?;
        fs::rename(&new, &path)?;
        // From here on, lines go to the new journal. If its name does not reach the disk, no change may be confirmed.
        self.journal_state = JournalState::Unflushed;
        (self.journal, self.header, self.length, self.seq) =
            (journal, header.len() as u64, header.len() as u64, 0);
        self.state.generation = generation;
        sync_folder_of(&path)?;
        self.journal_state = JournalState::Sound;
        Ok(())
    }

    /// Writes the state of the JSON file to the manifest.
    fn note(&self, state: FileState) -> io::Result<()> {
        let name = file_name(self.name);
        self.manifest.update(|entries| drop(entries.files.insert(name, state)))
    }
}

/// A file writer that computes the digest of the bytes that it writes.
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
        files: DataFiles<'_>,
        name: &'static str,
        manifest: Option<&Entries>,
    ) -> Result<Self, OpenError> {
        let path = files.path().join(file_name(name));
        let json = files.read(&file_name(name))?;
        let journal = files.read(&journal_name(name))?;
        let known = manifest.and_then(|manifest| manifest.files.get(&file_name(name))).cloned();
        Ok(Self { name, path, json, journal, known })
    }

    /// The path of the JSON file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the JSON file does not exist.
    pub(crate) fn json_is_missing(&self) -> bool {
        self.json.is_none()
    }

    /// Whether the JSON file or a non-empty journal exists.
    pub(crate) fn exist(&self) -> bool {
        self.json.is_some() || self.journal.as_ref().is_some_and(|journal| !journal.is_empty())
    }

    /// Drops the state that the manifest holds for this file.
    pub(crate) fn forget(&mut self) {
        self.known = None;
    }

    /// Whether the journal begins with a header line. Legacy programs and earlier versions wrote none.
    pub(crate) fn journal_names_generation(&self) -> bool {
        self.journal.as_ref().is_some_and(|journal| Header::begins(journal))
    }

    /// Checks that the JSON file and the journal are the ones that the manifest names.
    fn check(
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
            // The files were migrated and not compacted yet.
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
    /// Checks the files that were read.
    pub(crate) fn check(files: Files, trust: Trust) -> Result<Self, OpenError> {
        let journal = files.journal.as_deref().unwrap_or_default();
        let contents = Contents::recover(&files.path, files.json.as_deref(), journal)?;
        if let Some(header) = contents.header.as_ref().filter(|header| header.journal != files.name) {
            let what = format!("this is the journal of {:?}", header.journal);
            return Err(OpenError::Damaged { file: files.path.with_extension("journal"), line: 1, what });
        }
        let sha256 = files.json.as_ref().map(|json| hex(Sha256::new_with_prefix(json)));
        if let (Some(known), Trust::AsLeft) = (&files.known, trust) {
            files.check(known, sha256.as_ref(), contents.header.as_ref())?;
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

    /// The path of the JSON file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the tracker has compacted the JSON file before.
    pub(crate) fn is_known(&self) -> bool {
        self.known
    }

    /// Notes for the operator about the contents, one or two sentences each.
    pub(crate) fn oddities(&self) -> Vec<String> {
        let (file, Contents { torn, unfit, .. }) = (file_name(self.name), &self.contents);
        let cut = (*torn > 0).then(|| {
            format!("{}_db.journal: a write was interrupted. Its last {torn} bytes were not confirmed to any client and are cut off", self.name)
        });
        let retained = unfit
            .keys()
            .map(|entry| format!("{file}: {entry:?} does not fit our rules. It stays in the file and is not served. data/README.md says how to bring it back"));
        cut.into_iter().chain(retained).collect()
    }

    /// Opens the files for changes: writes all entries to the JSON file and begins an empty journal. Each start begins
    /// a new generation, so that a journal of an earlier run is detected.
    pub(crate) fn open(
        self,
        folder: Arc<DataFolder>,
        manifest: Arc<Manifest>,
    ) -> Result<(JsonFile, Contents<T>), OpenError> {
        let Self { name, path, mut contents, state, .. } = self;
        contents.entries.values_mut().for_each(T::begin_run);
        let journal_path = path.with_extension("journal");
        let journal = open_private(&journal_path, private_file().append(true));
        let journal = journal.map_err(OpenError::at(&journal_path))?;
        let length = journal.metadata().map_err(OpenError::at(&journal_path))?.len();
        let journal_state = JournalState::Sound;
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
            compact_at: COMPACTION_BYTES,
            journal_state,
        };
        // Appended lines survive a crash only if the journal's file name is on the disk too.
        sync_folder_of(&file.path).map_err(OpenError::at(&file.path))?;
        file.compact(contents.entries.iter(), &contents.unfit).map_err(OpenError::at(&file.path))?;
        Ok((file, contents))
    }
}

/// The file name of a collection's JSON file.
pub(crate) fn file_name(name: &str) -> String {
    format!("{name}_db.json")
}

/// The file name of a collection's journal.
pub(crate) fn journal_name(name: &str) -> String {
    format!("{name}_db.journal")
}

/// The text of a digest in the manifest.
pub(crate) fn hex(digest: Sha256) -> String {
    base16ct::lower::encode_string(&digest.finalize())
}

/// The journal length at which a compaction is due, in bytes, for a JSON file of `file` bytes. It grows with the file,
/// so that a compaction writes little compared with the journal.
fn compact_at(file: u64) -> u64 {
    COMPACTION_BYTES.max(2 * file)
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
        let files = DataFiles::InFolder(path);
        let entries = Entries::read(files)?.unwrap_or_default();
        let loaded = Loaded::check(Files::read(files, "words", Some(&entries))?, Trust::AsLeft)?;
        loaded.open(folder, Arc::new(Manifest::new(path, entries)))
    }

    fn open(path: &Path) -> (JsonFile, Contents<String>) {
        try_open(path).unwrap()
    }

    fn change(key: &str) -> [(String, Option<Box<RawValue>>); 1] {
        [(key.to_owned(), Some(key.to_owned().write().unwrap()))]
    }

    /// The keys of the entries that the next start finds.
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
        // Simulates a line that was written only in part.
        file.journal.write_all(b"{\"seq\":2,\"ke").unwrap();
        file.append(&change("three")).unwrap();
        assert_eq!(found(folder.path(), file), ["one", "three"]);
    }

    #[cfg(unix)]
    #[test]
    fn after_a_failed_flush_nothing_is_promised_before_a_compaction() {
        let folder = tempfile::tempdir().unwrap();
        let (mut file, contents) = open(folder.path());
        file.append(&change("one")).unwrap();
        // A write to this file succeeds, and a flush of it fails.
        let bottomless = private_file().open("/dev/null").unwrap();
        let journal = std::mem::replace(&mut file.journal, bottomless);
        assert!(file.append(&change("two")).is_err());
        assert!(file.must_compact());
        file.journal = journal;
        let entries = BTreeMap::from([("one".to_owned(), "one".to_owned())]);
        file.compact(entries.iter(), &contents.unfit).unwrap();
        assert!(!file.must_compact() && file.is_compacted());
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
        file.compact(entries.iter(), &contents.unfit).unwrap();
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
        // No crash can cause these combinations: one file is from another time.
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
