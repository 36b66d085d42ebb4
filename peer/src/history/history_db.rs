//! The transactions of a history. Requests are staged in an open transaction, until a commit makes all of them durable
//! at once. There is no thread and no clock here.
//!
//! The effects of a request are reported only after they are durable, except that received messages are published and
//! delivery marks are reported early. If the disk fails, the whole transaction is
//! rolled back. Own messages in it are then reported as not stored. Messages of others get no ack, so their senders
//! send them again. Requests that nobody else would repeat are retried in the next transaction. For example, an
//! own message and a room snapshot are staged, and the disk is full. The message is reported as not stored, and the
//! snapshot is staged again with the next request.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use commons::keys::{PublicKey, Seed};
use commons::names::Username;
use commons::room_log::log::RoomLog;
use ed25519_dalek::SigningKey;
use rusqlite::{Connection, Error};
use uuid::Uuid;

use crate::history::answer::HistoryFailed;
use crate::history::conversation::{ConversationId, NamedConversation};
use crate::history::database;
use crate::history::early_messages::EarlyMessages;
use crate::history::incarnation;
use crate::history::meta::Meta;
use crate::history::open_error::OpenError;
use crate::history::outbox::Outbox;
use crate::history::query::Query;
use crate::history::read_marks::ReadMarks;
use crate::history::remembered_room::RememberedRoom;
use crate::history::report::{IncomingMessage, Report};
use crate::history::request::Request;
use crate::history::rollback_action::RollbackAction;
use crate::history::size_record::{Loss, Record};
use crate::history::tables::{Omission, Tables};
use crate::history::unread::UnreadMessage;

/// The owner of a history.
#[derive(Debug, Clone)]
pub struct Author {
    /// The user that owns the history.
    pub username: Username,
    /// The seed of the device key, which signs messages and authenticates links. The database key also derives
    /// from this seed.
    pub seed: Seed,
}

/// The location of a history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A file in this folder. The folder must exist and be locked by the caller.
    File(PathBuf),
    /// Memory only, for tests and simulations.
    Memory,
}

/// The content of a history at its opening.
#[derive(Debug, Default)]
pub struct InitialState {
    /// Received messages that were possibly never shown to the user, oldest first.
    pub unshown: Vec<IncomingMessage>,
    /// The number of own messages that wait for each recipient.
    pub waiting: Vec<(Username, usize)>,
    /// The conversations that hold messages.
    pub conversations: Vec<NamedConversation>,
    /// The rooms that this user entered on this device and did not leave.
    pub rooms: Vec<RememberedRoom>,
    /// The logs of the rooms that this device knows, those of rooms that the user left included.
    pub logs: Vec<Arc<RoomLog>>,
    /// The path to which an unreadable history was moved; this history then starts empty.
    pub damaged: Option<PathBuf>,
    /// The loss since the last commit, if the files are damaged or older.
    pub lost: Option<Loss>,
    /// The users to whom this user has written in private.
    pub answered: BTreeSet<Username>,
    /// The other users whose private messages are stored, with the ids of the first ones.
    pub unanswered: Vec<(Username, Vec<Uuid>)>,
    /// The messages of others that were shown and not read, in the order of each conversation.
    pub unread: BTreeMap<ConversationId, Vec<UnreadMessage>>,
    /// The conversation that was open last.
    pub last_open: Option<NamedConversation>,
}

/// The history over one database connection.
pub struct HistoryDb {
    pub(crate) tables: Tables,
    pub(crate) folder: Option<PathBuf>,
    record: Option<Record>,
    commits: u64,
    pub(crate) is_open: bool,
    /// Whether the state in memory may differ from the database.
    pub(crate) is_stale: bool,
    /// The total number of database changes when the transaction began.
    changes: u64,
    pub(crate) failure: Option<Error>,
    /// The follow-up actions for the staged requests, in case the transaction fails.
    pub(crate) staged: Vec<RollbackAction>,
    /// The requests that failed and must be retried, in order.
    pub(crate) again: Vec<Request>,
    /// Whether the open transaction holds more than delivery marks.
    pub(crate) needs_commit: bool,
    /// The queries that are answered after the commit, in order.
    queries: Vec<Query>,
    pub(crate) reports: Vec<Report>,
    /// The deliveries that were reported and are not durable yet: recipients and message ids.
    early_deliveries: HashSet<(Username, Uuid)>,
    /// Whether the disk failed, and no write has succeeded since.
    pub(crate) in_trouble: bool,
    /// Stands for the wait for the disk at each commit.
    #[cfg(test)]
    pub(crate) disk_wait: Box<dyn FnMut() + Send>,
}

impl fmt::Debug for HistoryDb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HistoryDb").field("commits", &self.commits).finish_non_exhaustive()
    }
}

impl HistoryDb {
    /// Opens the history, or creates one. A file that is damaged or has another key is set aside.
    pub fn open(place: &Place, author: &Author) -> Result<(Self, InitialState), OpenError> {
        match (Self::open_present(place, author), place) {
            (Err(OpenError::Database(error)), Place::File(folder)) if database::is_damage(&error) => {
                let damaged = database::put_aside(folder)?;
                let (history, opened) = Self::open_present(place, author)?;
                Ok((history, InitialState { damaged: Some(damaged), ..opened }))
            }
            (opened, _) => opened,
        }
    }

    fn open_present(place: &Place, author: &Author) -> Result<(Self, InitialState), OpenError> {
        let folder = match place {
            Place::File(folder) => Some(folder.clone()),
            Place::Memory => None,
        };
        let (db, lost) = match &folder {
            Some(folder) => database::open_file(folder, &author.seed)?,
            None => (database::open_memory()?, None),
        };
        incarnation::begin(&db, folder.as_deref(), lost.is_some())?;
        let held = database::held(&db)?.unwrap_or_default();
        let record = folder.as_deref().map(|folder| Record::begin(folder, held)).transpose()?;
        let (history, opened) = Self::over(db, folder, author)?;
        Ok((Self { record, ..history }, InitialState { lost, ..opened }))
    }

    /// Loads the history from an open database.
    pub(crate) fn over(
        db: Connection,
        folder: Option<PathBuf>,
        author: &Author,
    ) -> rusqlite::Result<(Self, InitialState)> {
        let key = SigningKey::from_bytes(author.seed.as_bytes());
        let meta = Meta::read(&db)?;
        let tables = Tables {
            first_row: meta.next_row,
            written: meta.clone(),
            meta,
            outbox: Outbox::read(&db)?,
            read_marks: ReadMarks::default(),
            db,
            me: author.username.clone(),
            device: PublicKey::new(key.verifying_key().to_bytes()),
            key,
            user_keys: HashMap::new(),
            conversations: HashMap::new(),
            streams: HashMap::new(),
            claimed_times: HashMap::new(),
            withheld: RefCell::default(),
            own: BTreeMap::new(),
            rooms: BTreeMap::new(),
            assemblers: BTreeMap::new(),
            reports: Vec::new(),
            early: EarlyMessages::default(),
            unacked_streams: BTreeSet::new(),
            uncommitted: Vec::new(),
            #[cfg(test)]
            omission: None,
        };
        let mut history = Self {
            tables,
            folder,
            record: None,
            commits: 0,
            is_open: false,
            is_stale: false,
            changes: 0,
            failure: None,
            staged: Vec::new(),
            again: Vec::new(),
            needs_commit: false,
            queries: Vec::new(),
            reports: Vec::new(),
            early_deliveries: HashSet::new(),
            in_trouble: false,
            #[cfg(test)]
            disk_wait: Box::new(|| ()),
        };
        let opened = InitialState {
            unshown: history.tables.unshown()?,
            waiting: history.tables.waiting_counts(None)?,
            conversations: history.tables.conversations()?,
            rooms: history.tables.remembered_rooms()?,
            logs: history.tables.stored_logs()?,
            damaged: None,
            lost: None,
            answered: history.tables.answered()?,
            unanswered: history.tables.unanswered()?,
            unread: history.tables.unread()?,
            last_open: history.tables.last_open()?,
        };
        Ok((history, opened))
    }

    /// Stages a request in the open transaction, or begins one. A query waits for the end of the transaction.
    pub fn apply(&mut self, request: impl Into<Request>) {
        let request = match request.into() {
            Request::Query(query) => return self.queries.push(query),
            change => change,
        };
        self.needs_commit |= !request.is_mark();
        // Requests that are retried are staged first. So the order stays the same after a second failure.
        if self.failure.is_none() {
            self.failure = self.begin().err();
        }
        self.staged.push(RollbackAction::of(&request));
        if self.failure.is_none() {
            self.failure = self.tables.apply(request).err();
        }
    }

    /// Makes all staged requests durable and returns the reports about them, and then the answers to the queries.
    pub fn commit(&mut self) -> Vec<Report> {
        let mut is_lost = false;
        if self.is_open || self.failure.is_some() {
            let ended = match self.failure.take() {
                None => self.end(),
                Some(error) => Err(error),
            };
            if let Err(error) = ended {
                self.undo(&error);
                is_lost = true;
            }
        }
        self.answer_queries(is_lost);
        std::mem::take(&mut self.reports)
    }

    /// Notes that all messages up to this row were shown. The next commit writes it.
    pub fn note_shown(&mut self, row: i64) {
        self.tables.meta.shown = self.tables.meta.shown.max(row);
    }

    /// Notes what was read. The next commit writes it.
    pub fn note_read(&mut self, marks: ReadMarks) {
        self.tables.read_marks.merge(marks);
    }

    /// Returns the number of commits that changed something.
    pub fn commits(&self) -> u64 {
        self.commits
    }

    /// Commits everything and moves the write-ahead log into the database file.
    pub fn close(mut self) {
        // A failure is reported to nobody any more. Everything that is left can be found again.
        let _ = self.transaction(|tables| tables.write_rooms().and_then(|()| tables.write_deferred()));
        // A log that stays behind is read at the next start.
        let _ = self.tables.db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)");
    }

    /// Runs work in its own transaction, after a commit of all staged requests. This is the way to each query of
    /// `Tables`, and to each change that is not a request. The next commit returns the reports of both.
    pub fn transaction<T>(
        &mut self,
        work: impl FnOnce(&mut Tables) -> rusqlite::Result<T>,
    ) -> Result<T, HistoryFailed> {
        self.reports = self.commit();
        let done = self.begin().and_then(|()| work(&mut self.tables));
        done.and_then(|done| self.end().map(|()| done)).map_err(|error| {
            self.undo(&error);
            HistoryFailed
        })
    }

    /// Returns true if the staged requests must be committed before they are reported.
    pub(crate) fn needs_commit(&self) -> bool {
        self.needs_commit || self.failure.is_some()
    }

    /// Returns true if a query failed and must be answered as soon as the disk works.
    pub(crate) fn has_queries(&self) -> bool {
        !self.queries.is_empty()
    }

    /// Returns the received messages that may be published before the commit; see `early_messages`.
    pub fn early_reports(&mut self) -> Option<Report> {
        // After a failure the next messages are published only after they are stored.
        let messages =
            if self.in_trouble || self.failure.is_some() { Vec::new() } else { self.tables.early.publish() };
        (!messages.is_empty()).then_some(Report::Received(messages))
    }

    /// Returns the reports of delivery marks and the answers to queries when nothing else is staged. A mark is true
    /// before it is durable, because the other side stores the message. The queries read the open transaction, so they see the marks.
    pub(crate) fn reports_without_commit(&mut self) -> Vec<Report> {
        self.take_table_reports();
        for report in &self.reports {
            if let Report::Delivered { to, ids } = report {
                self.early_deliveries.extend(ids.iter().map(|id| (to.clone(), *id)));
            }
        }
        self.answer_queries(false);
        std::mem::take(&mut self.reports)
    }

    /// Takes the reports of the tables. After a failed commit a mark is made again, but not reported again.
    fn take_table_reports(&mut self) {
        for mut report in std::mem::take(&mut self.tables.reports) {
            if let Report::Delivered { to, ids } = &mut report {
                ids.retain(|id| !self.early_deliveries.contains(&(to.clone(), *id)));
                if ids.is_empty() {
                    continue;
                }
            }
            self.reports.push(report);
        }
    }

    /// Answers the queries, in order. `is_lost` says that the earlier requests were rolled back.
    fn answer_queries(&mut self, is_lost: bool) {
        for query in std::mem::take(&mut self.queries) {
            let answer = match &query {
                // Messages that arrive now would not be stored either, so none are requested.
                Query::Lacking { .. } if is_lost => query.failed(),
                _ => match self.refresh().and_then(|()| self.tables.answer(&query)) {
                    Ok(answer) => Ok(Some(answer)),
                    Err(error) => {
                        self.undo(&error);
                        query.failed()
                    }
                },
            };
            match answer {
                Ok(answer) => self.reports.extend(answer),
                Err(query) => self.queries.push(query),
            }
        }
    }

    /// Reads the state in memory again if it may differ from the database.
    fn refresh(&mut self) -> rusqlite::Result<()> {
        if self.is_stale {
            self.tables.reload()?;
            self.is_stale = false;
        }
        Ok(())
    }

    fn begin(&mut self) -> rusqlite::Result<()> {
        if self.is_open {
            return Ok(());
        }
        self.refresh()?;
        self.tables.db.execute_batch("BEGIN")?;
        self.is_open = true;
        self.changes = self.tables.db.total_changes();
        let again = std::mem::take(&mut self.again);
        // All retried requests are noted before the first one is applied. If one of them fails, none of the others
        // is lost.
        self.staged.extend(again.iter().map(RollbackAction::of));
        self.needs_commit |= !again.is_empty();
        again.into_iter().try_for_each(|request| self.tables.apply(request))
    }

    fn end(&mut self) -> rusqlite::Result<()> {
        self.tables.sign_open_batches()?;
        let has_changes = self.tables.db.total_changes() != self.changes;
        if has_changes {
            self.tables.complete()?;
        }
        if !self.tables.omits(Omission::Storing) {
            self.tables.db.execute_batch("COMMIT")?;
            self.is_open = false;
        }
        self.commits += u64::from(has_changes);
        #[cfg(test)]
        (self.disk_wait)();
        if let Some(record) = self.record.as_mut().filter(|_| has_changes) {
            record.note(self.tables.held());
        }
        self.needs_commit = false;
        // A read shows nothing about writes.
        self.in_trouble &= !has_changes;
        self.staged.clear();
        self.tables.uncommitted.clear();
        self.tables.report_acks();
        self.reports.extend(self.tables.early.committed());
        self.take_table_reports();
        self.early_deliveries.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use commons::names::RoomName;
    use rusqlite::Connection;

    use super::*;
    use crate::history::testing::*;

    /// Copies the files as a crash would leave them at this moment.
    fn crash(folder: &Path) -> tempfile::TempDir {
        let copy = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
        copy
    }

    /// Returns the texts in the room of a user's history in this folder.
    fn texts_in(folder: &Path, name: &str) -> Vec<String> {
        stored_texts(&mut history_in(folder, name).0, &room())
    }

    #[test]
    fn reported_messages_survive_a_crash_at_any_moment() {
        let folder = tempfile::tempdir().unwrap();
        let (mut ana, _) = history_in(folder.path(), ANA);
        let mut expected = Vec::new();
        for n in 0..20 {
            let messages = [format!("{n}a"), format!("{n}b")];
            say(&mut ana, &room(), &[&messages[0], &messages[1]], &[BOB]);
            expected.extend(messages);
            let image = crash(folder.path());
            // This message is staged, but not reported yet.
            ana.apply(Request::Append(draft(&room(), "lost", &[BOB])));
            let second = crash(folder.path());
            let reports = ana.commit();
            assert_eq!(outgoing_messages(reports).len(), 1);
            assert_eq!(texts_in(image.path(), ANA), expected);
            assert_eq!(texts_in(second.path(), ANA), expected);
            expected.push("lost".into());
        }
    }

    /// The control: a history that reports before it stores loses messages.
    #[test]
    fn control_report_before_the_commit_is_lost_in_a_crash() {
        let folder = tempfile::tempdir().unwrap();
        let (mut ana, _) = history_in(folder.path(), ANA);
        ana.tables.omission = Some(Omission::Storing);
        assert_eq!(say(&mut ana, &room(), &["kept?"], &[BOB]).len(), 1, "it was reported");
        assert_eq!(texts_in(crash(folder.path()).path(), ANA), [""; 0]);
    }

    /// Opens a copy of these files with another write-ahead log. Returns its texts, the reported loss and the
    /// folder.
    fn with_journal(files: &Path, journal: &[u8]) -> (Vec<String>, Option<Loss>, tempfile::TempDir) {
        let copy = crash(files);
        let _ = fs::remove_file(copy.path().join("history.db-shm"));
        fs::write(copy.path().join("history.db-wal"), journal).unwrap();
        let (mut history, opened) = history_in(copy.path(), ANA);
        (stored_texts(&mut history, &room()), opened.lost, copy)
    }

    #[test]
    fn damaged_journal_loses_later_entries_and_reports_it() {
        let folder = tempfile::tempdir().unwrap();
        let (mut ana, _) = history_in(folder.path(), ANA);
        let all: Vec<_> = (0..12).map(|n| n.to_string()).collect();
        all.iter().for_each(|text| {
            say(&mut ana, &room(), &[text], &[BOB]);
        });
        let image = crash(folder.path());
        let journal = fs::read(image.path().join("history.db-wal")).unwrap();
        for cut in (0..journal.len()).step_by(journal.len() / 60) {
            let mut flipped = journal.clone();
            flipped[cut] ^= 1;
            for damaged in [&journal[..cut], &flipped] {
                let (texts, lost, copy) = with_journal(image.path(), damaged);
                assert!(all.starts_with(&texts), "{texts:?}");
                let loss = lost.unwrap_or_else(|| panic!("{cut}: {texts:?}"));
                assert_eq!(loss.lacks.messages, (all.len() - texts.len()).cast_signed() as i64);
                // The damaged log is copied unchanged, because parts of it may be recoverable.
                let aside = format!("{}-wal", loss.copy.unwrap().display());
                assert_eq!(fs::read(aside).unwrap(), damaged);
                assert_eq!(history_in(copy.path(), ANA).1.lost, None, "claimed once");
            }
        }
        let (texts, lost, _copy) = with_journal(image.path(), &journal);
        assert_eq!((texts, lost), (all, None));
    }

    #[test]
    fn store_that_lost_messages_begins_another_incarnation() {
        let goes_on = |damage: bool| {
            let folder = tempfile::tempdir().unwrap();
            let (mut ana, _) = history_in(folder.path(), ANA);
            (0..12).for_each(|n| drop(say(&mut ana, &room(), &[&n.to_string()], &[BOB])));
            let life = ana.tables.meta.incarnation;
            let names = ["history.db", "history.db-wal", "history.record"];
            let crashed = names.map(|name| fs::read(folder.path().join(name)).unwrap());
            ana.close();
            for (name, mut bytes) in names.into_iter().zip(crashed) {
                if damage && name == "history.db-wal" {
                    let late = bytes.len() * 3 / 4;
                    bytes[late] ^= 1;
                }
                fs::write(folder.path().join(name), bytes).unwrap();
            }
            let (ana, opened) = history_in(folder.path(), ANA);
            assert_eq!(opened.lost.is_some(), damage);
            ana.tables.meta.incarnation == life
        };
        assert!(goes_on(false));
        assert!(!goes_on(true), "the numbers of what was lost are out");
    }

    /// The control: without the record, nobody notices the loss.
    #[test]
    fn control_without_a_record_the_loss_is_silent() {
        let folder = tempfile::tempdir().unwrap();
        let (mut ana, _) = history_in(folder.path(), ANA);
        say(&mut ana, &room(), &["1"], &[BOB]);
        let image = crash(folder.path());
        fs::remove_file(image.path().join("history.record")).unwrap();
        let (texts, lost, _copy) = with_journal(image.path(), &[]);
        assert_eq!((texts.len(), lost), (0, None), "and nobody notices");
    }

    #[test]
    fn only_a_restored_store_begins_another_incarnation() {
        let folder = tempfile::tempdir().unwrap();
        let (mut ana, opened) = history_in(folder.path(), ANA);
        assert_eq!((opened.conversations.len(), &opened.damaged), (0, &None));
        let first = say(&mut ana, &room(), &["1"], &[BOB]).remove(0);
        ana.close();
        let backup = crash(folder.path());
        let (mut ana, opened) = history_in(folder.path(), ANA);
        assert_eq!(opened.waiting, [(user(BOB), 1)]);
        assert_eq!(opened.conversations, [(room(), sala())]);
        let second = say(&mut ana, &room(), &["2"], &[BOB]).remove(0);
        assert_eq!(second.provenance.incarnation, first.provenance.incarnation);
        assert_eq!(second.provenance.seq, 2);
        // The backup holds both files. Opening it must begin a new incarnation.
        let (mut restored, _) = history_in(backup.path(), ANA);
        let other = say(&mut restored, &room(), &["other 2"], &[BOB]).remove(0);
        assert_ne!(other.provenance.incarnation, first.provenance.incarnation);
        assert_eq!(other.provenance.seq, 1);
        let mut bob = history(BOB);
        for message in [first, second, other] {
            assert_eq!(
                texts(&ingest(&mut bob, ANA, &room(), &[message])).len(),
                1,
                "no number is given twice"
            );
        }
    }

    #[test]
    fn restored_store_that_receives_own_messages_begins_anew() {
        let mut ana = history(ANA);
        let messages = say(&mut ana, &room(), &["1", "2"], &[BOB]);
        // This store stands for a disk image from before the messages.
        let mut image = history(ANA);
        image.tables.meta.incarnation = ana.tables.meta.incarnation;
        assert_eq!(texts(&ingest(&mut image, BOB, &room(), &messages)), ["1", "2"], "shown as own ones");
        let next = say(&mut image, &room(), &["3"], &[BOB]).remove(0);
        assert_ne!(next.provenance.incarnation, messages[0].provenance.incarnation);
        assert_eq!(stored_texts(&mut image, &room()), ["1", "2", "3"]);
    }

    #[test]
    fn a_damaged_file_and_one_of_another_key_are_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("history.db");
        let (mut ana, _) = history_in(folder.path(), ANA);
        say(&mut ana, &room(), &["1"], &[BOB]);
        ana.close();
        let before = fs::read(&file).unwrap();
        // Another user's key does not open the file.
        let (mut other, opened) = history_in(folder.path(), CARLA);
        let aside = folder.path().join("history.db.damaged-1");
        assert_eq!(opened.damaged.as_ref(), Some(&aside));
        assert_eq!(fs::read(&aside).unwrap(), before, "as it was");
        assert_eq!(stored_texts(&mut other, &room()), [""; 0]);
        say(&mut other, &room(), &["works"], &[]);
        other.close();
        let mut bytes = fs::read(&file).unwrap();
        bytes[100] ^= 1;
        fs::write(&file, bytes).unwrap();
        let (_, opened) = history_in(folder.path(), CARLA);
        assert_eq!(opened.damaged, Some(folder.path().join("history.db.damaged-2")));
    }

    #[test]
    fn damage_found_while_running_is_checked_at_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("history.db");
        let (mut ana, _) = history_in(folder.path(), ANA);
        (0..400).for_each(|n| {
            ana.apply(Request::Append(draft(&room(), &format!("{n} {}", "x".repeat(200)), &[])))
        });
        ana.note_shown(400);
        ana.note_read(ReadMarks { read: [(room(), 400)].into(), open: None });
        ana.commit();
        ana.close();
        let mut bytes = fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle..middle + 4096].fill(7);
        fs::write(&file, bytes).unwrap();
        let (mut ana, opened) = history_in(folder.path(), ANA);
        assert_eq!(opened.damaged, None, "a start reads little");
        assert_eq!(ana.transaction(|it| it.page(&room(), None, usize::MAX)), Err(HistoryFailed));
        assert_eq!(ana.commit(), [Report::Trouble("the history is damaged".into())]);
        drop(ana);
        let (mut ana, opened) = history_in(folder.path(), ANA);
        assert!(opened.damaged.is_some());
        say(&mut ana, &room(), &["works"], &[BOB]);
    }

    #[test]
    fn history_of_another_version_is_left_as_it_is() {
        for version in [1, 3, 99] {
            let folder = tempfile::tempdir().unwrap();
            let (mut ana, _) = history_in(folder.path(), ANA);
            say(&mut ana, &room(), &["1"], &[BOB]);
            ana.tables.db.execute_batch(&format!("PRAGMA user_version = {version}")).unwrap();
            ana.close();
            let before = fs::read(folder.path().join("history.db")).unwrap();
            match HistoryDb::open(&Place::File(folder.path().to_owned()), &author(ANA)) {
                Err(OpenError::Newer) => assert_eq!(version, 99),
                Err(OpenError::Older) => assert_ne!(version, 99),
                other => panic!("{other:?}"),
            }
            assert_eq!(fs::read(folder.path().join("history.db")).unwrap(), before);
        }
    }

    /// Returns true if any file in the folder contains these bytes.
    fn is_in_files(folder: &Path, bytes: &str) -> bool {
        let mut files = fs::read_dir(folder).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap());
        files.any(|file| file.windows(bytes.len()).any(|window| window == bytes.as_bytes()))
    }

    #[test]
    fn a_stolen_disk_shows_no_text_and_no_name() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (mut ana, _) = history_in(folder.path(), ANA);
        let names = ["canary-text", "canary-room", "canary-user"];
        let mut message = draft(&room(), names[0], &[names[2]]);
        message.room = RoomName::parse(names[1]).ok();
        ana.apply(Request::Append(message));
        assert_eq!(outgoing_messages(ana.commit()).len(), 1);
        assert_eq!(search(&mut ana, names[0], 9).len(), 1, "the index holds it too");
        for name in names {
            assert!(!is_in_files(folder.path(), name), "{name} in the journal");
        }
        ana.close();
        for name in names {
            assert!(!is_in_files(folder.path(), name), "{name} in the file");
        }
        for entry in fs::read_dir(folder.path()).unwrap() {
            assert_eq!(entry.unwrap().metadata().unwrap().permissions().mode() & 0o77, 0);
        }
        // The control: without encryption, the text is visible.
        let open = tempfile::tempdir().unwrap();
        let db = Connection::open(open.path().join("history.db")).unwrap();
        db.execute_batch("CREATE TABLE messages (text)").unwrap();
        db.execute("INSERT INTO messages VALUES (?1)", [names[0]]).unwrap();
        assert!(is_in_files(open.path(), names[0]));
    }

    /// Returns the number of pages that this adds to the write-ahead log.
    fn pages(folder: &Path, change: impl FnOnce()) -> u64 {
        let length = || fs::metadata(folder.join("history.db-wal")).unwrap().len();
        let before = length();
        change();
        (length() - before) / (4_096 + 24)
    }

    #[test]
    fn one_message_writes_few_pages() {
        const MESSAGES: u64 = 60;
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (mut ana, _) = history_in(a.path(), ANA);
        let (mut bob, _) = history_in(b.path(), BOB);
        let (mut own, mut others) = (0, 0);
        for _ in 0..MESSAGES {
            let mut messages = Vec::new();
            own += pages(a.path(), || messages = say(&mut ana, &room(), &[&"x".repeat(200)], &[BOB, CARLA]));
            let mut reports = Vec::new();
            others += pages(b.path(), || reports = ingest(&mut bob, ANA, &room(), &messages));
            bob.note_shown(incoming_messages(&reports)[0].message.row);
        }
        // The message, its three indexes, and the outbox or the read mark; now and then a page is full.
        assert!(own < 6 * MESSAGES && others < 6 * MESSAGES, "{own} and {others} pages");
        // The control: an idle moment writes what each message would otherwise have to write too.
        assert!(pages(a.path(), || index(&mut ana)) >= 3);
    }

    #[test]
    fn sequence_numbers_and_clock_are_found_again_after_a_crash() {
        let folder = tempfile::tempdir().unwrap();
        let (mut bob, _) = history_in(folder.path(), BOB);
        let mut ana = history(ANA);
        let all: Vec<_> = (0..5).map(|n| say(&mut ana, &room(), &[&n.to_string()], &[BOB])).collect();
        // Numbers 2 and 4 are missing, and only the first one is in the table of ranges.
        ingest(&mut bob, ANA, &room(), &all[0]);
        index(&mut bob);
        ingest(&mut bob, ANA, &room(), &all[2]);
        ingest(&mut bob, ANA, &room(), &all[4]);
        let own = say(&mut bob, &room(), &["own"], &[ANA]);
        let (stored, held) = (spans(&mut bob, &room()), bob.tables.held());
        let image = crash(folder.path());
        let (mut again, opened) = history_in(image.path(), BOB);
        assert_eq!((spans(&mut again, &room()), opened.lost), (stored.clone(), None));
        assert_eq!((again.tables.held().messages, own[0].provenance.lamport), (held.messages, 6));
        // Erased messages stay known, although only their rows showed their numbers.
        assert_eq!(again.transaction(|it| it.forget(&room())), Ok(4));
        assert_eq!(spans(&mut again, &room()), stored);
        assert!(texts(&ingest(&mut again, ANA, &room(), &all[2])).is_empty());
        assert_eq!(say(&mut again, &room(), &["next"], &[ANA])[0].provenance.lamport, 7);
        assert_eq!(texts(&ingest(&mut again, ANA, &room(), &all[3])), ["3"], "the control: it was missing");
    }

    #[test]
    fn a_message_after_a_later_one_of_its_author_is_late() {
        let (mut ana, mut bob) = (history(ANA), history(BOB));
        let all: Vec<_> = (0..3).map(|n| say(&mut ana, &room(), &[&n.to_string()], &[BOB])).collect();
        let mut arrives = |n: usize| {
            let reports = ingest(&mut bob, ANA, &room(), &all[n]);
            let received = incoming_messages(&reports).remove(0);
            (received.message.late, received.missing, received.place.map(|(_, seq)| seq))
        };
        assert_eq!(arrives(0), (false, 0, Some(1)));
        assert_eq!(arrives(2), (false, 1, Some(3)));
        assert_eq!(arrives(1), (true, 0, Some(2)), "it was not synced, and is no message of an absence");
    }

    #[test]
    fn full_disk_refuses_visibly_and_recovers() {
        let folder = tempfile::tempdir().unwrap();
        let (mut bob, _) = history_in(folder.path(), BOB);
        let mut ana = history(ANA);
        let pages: i64 = bob.tables.db.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
        bob.tables.db.query_row(&format!("PRAGMA max_page_count = {}", pages + 4), [], |_| Ok(())).unwrap();
        let long = "x".repeat(8_000);
        let theirs: Vec<_> = (0..4).map(|_| say(&mut ana, &room(), &[&long], &[BOB])).collect();
        let mut own = draft(&room(), &long, &[ANA]);
        bob.apply(inbound(ANA, &room(), &theirs[0]));
        bob.apply(inbound(ANA, &room(), &theirs[1]));
        bob.apply(Request::Append(own.clone()));
        bob.apply(inbound(ANA, &room(), &theirs[2]));
        bob.apply(snapshot(9, &[(BOB, 2)]));
        let why = "the disk is full";
        assert_eq!(
            bob.commit(),
            [Report::Trouble(why.into()), Report::NotStored { ids: vec![own.id], why: why.into() }],
            "nothing of it has happened, and nothing is receipted"
        );
        assert_eq!(stored_texts(&mut bob, &room()), [""; 0]);
        // There is space again. The next message is kept, but no ack may pass the lost messages.
        bob.tables.db.query_row("PRAGMA max_page_count = 100000", [], |_| Ok(())).unwrap();
        let reports = ingest(&mut bob, ANA, &room(), &theirs[3]);
        assert_eq!(texts(&reports).len(), 1);
        assert!(receipts(&reports).is_empty());
        for message in &theirs[..3] {
            bob.apply(inbound(ANA, &room(), message));
        }
        let reports = bob.commit();
        assert_eq!(texts(&reports).len(), 3);
        assert_eq!(receipts(&reports), [theirs[2][0].id]);
        own.id = Uuid::now_v7();
        bob.apply(Request::Append(own));
        assert_eq!(outgoing_messages(bob.commit())[0].message.provenance.seq, 1, "no number was lost");
        // The new revision of the room was stored after all: Ana is no longer a member.
        let mut late = draft(&room(), "from outside", &[BOB]);
        late.revision = 9;
        ana.apply(Request::Append(late));
        let late: Vec<_> = outgoing_messages(ana.commit()).into_iter().map(|sent| sent.message).collect();
        assert_eq!(refusals(&ingest(&mut bob, ANA, &room(), &late)).len(), 1);
    }

    #[test]
    fn failed_requests_are_retried_in_their_order() {
        let mut ana = history(ANA);
        let waiting = say(&mut ana, &room(), &["waits"], &[BOB]);
        // Bob acknowledges a message. Carla leaves and comes back.
        let requests = [
            Request::AckUpTo { to: user(BOB), ids: vec![waiting[0].id] },
            snapshot(9, &[(ANA, 1), (BOB, 2)]),
            snapshot(10, &[(ANA, 1), (BOB, 2), (CARLA, 10)]),
        ];
        for request in requests {
            set_writable(&ana, false);
            ana.apply(request);
            ana.commit();
        }
        set_writable(&ana, true);
        let mut message = draft(&room(), "again here", &[ANA]);
        message.revision = 10;
        let mut carla = history(CARLA);
        carla.apply(Request::Append(message));
        let messages: Vec<_> =
            outgoing_messages(carla.commit()).into_iter().map(|sent| sent.message).collect();
        let reports = ingest(&mut ana, CARLA, &room(), &messages);
        assert_eq!((texts(&reports), refusals(&reports)), (vec!["again here".to_owned()], vec![]));
        assert!(ana.tables.undelivered().unwrap().is_empty(), "the acknowledgement was not lost");
    }

    /// Makes every write to a history fail, or lets it succeed again.
    fn set_writable(history: &HistoryDb, value: bool) {
        history.tables.db.pragma_update(None, "query_only", !value).unwrap();
    }

    #[test]
    fn delivery_is_reported_once_although_its_commit_fails() {
        let mut ana = history(ANA);
        let waiting = say(&mut ana, &room(), &["waits"], &[BOB, CARLA]);
        let ack = |from| Request::AckUpTo { to: user(from), ids: vec![waiting[0].id] };
        let delivered = |reports: &[Report]| {
            reports.iter().filter(|report| matches!(report, Report::Delivered { .. })).count()
        };
        ana.apply(ack(BOB));
        assert_eq!(delivered(&ana.reports_without_commit()), 1);
        set_writable(&ana, false);
        ana.apply(Request::Append(draft(&room(), "lost", &[])));
        assert!(matches!(ana.commit()[..], [Report::Trouble(_), Report::NotStored { .. }]));
        assert_eq!(ana.tables.undelivered().unwrap()[0].waits, [user(BOB), user(CARLA)], "rolled back");
        set_writable(&ana, true);
        // The control: the delivery to Carla is new.
        ana.apply(ack(CARLA));
        assert_eq!(delivered(&ana.reports_without_commit()), 1);
        assert_eq!(delivered(&ana.commit()), 0);
        assert!(ana.tables.undelivered().unwrap().is_empty(), "both marks are stored");
    }

    #[test]
    fn only_a_write_ends_the_trouble_with_the_disk() {
        let mut ana = history(ANA);
        let fail = |ana: &mut HistoryDb| {
            set_writable(ana, false);
            ana.apply(Request::Append(draft(&room(), "lost", &[])));
            let reports = ana.commit();
            set_writable(ana, true);
            reports.iter().filter(|report| matches!(report, Report::Trouble(_))).count()
        };
        assert_eq!(fail(&mut ana), 1);
        assert_eq!(stored_texts(&mut ana, &room()), [""; 0]);
        assert_eq!(fail(&mut ana), 0, "a read in between shows nothing about the disk");
        say(&mut ana, &room(), &["stored"], &[]);
        assert_eq!(fail(&mut ana), 1, "the control: it failed again");
    }

    #[test]
    fn failed_disk_is_reported_and_is_no_empty_history() {
        let mut ana = history(ANA);
        say(&mut ana, &room(), &["secret"], &[BOB]);
        ana.tables.db.pragma_update(None, "query_only", true).unwrap();
        assert_eq!(ana.transaction(|it| it.forget(&room())), Err(HistoryFailed));
        ana.tables.db.pragma_update(None, "query_only", false).unwrap();
        assert_eq!(stored_texts(&mut ana, &room()), ["secret"]);
        ana.tables.db.execute_batch("ALTER TABLE messages RENAME TO elsewhere").unwrap();
        assert_eq!(ana.transaction(|it| it.export(&room(), i64::MIN, 9)), Err(HistoryFailed));
        assert_eq!(ana.transaction(|it| it.undelivered()), Err(HistoryFailed));
        assert_eq!(ana.transaction(|it| it.page(&room(), None, 9)), Err(HistoryFailed));
        ana.tables.db.execute_batch("ALTER TABLE elsewhere RENAME TO messages").unwrap();
        assert_eq!(ana.transaction(|it| it.forget(&room())), Ok(1), "the control");
    }

    #[test]
    fn a_new_link_begins_anew() {
        let mut ana = history(ANA);
        let messages = say(&mut ana, &room(), &["1", "2"], &[BOB]);
        let after = say(&mut ana, &private(BOB), &["3"], &[BOB]);
        let mut bob = history(BOB);
        ingest(&mut bob, ANA, &room(), &messages[..1]);
        assert!(receipts(&ingest(&mut bob, ANA, &private(ANA), &after)).is_empty());
        bob.apply(Request::Linked { from: user(ANA) });
        let reports = ingest(&mut bob, ANA, &private(ANA), &after);
        assert_eq!(receipts(&reports), [after[0].id]);
    }

    #[test]
    fn unshown_messages_are_reported_at_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let (mut bob, _) = history_in(folder.path(), BOB);
        let mut ana = history(ANA);
        let messages: Vec<_> = ["1", "2", "3"].map(|text| say(&mut ana, &room(), &[text], &[BOB])).into();
        let rows: Vec<_> = messages
            .iter()
            .map(|message| incoming_messages(&ingest(&mut bob, ANA, &room(), message))[0].message.row)
            .collect();
        say(&mut bob, &room(), &["own"], &[ANA]);
        bob.note_shown(rows[0]);
        index(&mut bob);
        drop(bob);
        let (bob, opened) = history_in(folder.path(), BOB);
        let unshown: Vec<_> = opened
            .unshown
            .iter()
            .map(|received| (received.message.row, received.message.text.as_str()))
            .collect();
        assert_eq!(unshown, [(rows[1], "2"), (rows[2], "3")]);
        drop(bob);
    }
}
