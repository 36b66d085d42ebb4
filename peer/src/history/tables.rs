//! The database and the part of it that is cached in memory.
//!
//! The database is authoritative. When a transaction fails, the cache is discarded and read again.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use commons::digest::Digest;
use commons::keys::PublicKey;
use commons::names::{RoomName, Username};
use ed25519_dalek::SigningKey;
use rusqlite::{Connection, OptionalExtension, Result, params};
use uuid::Uuid;

use crate::history::batch_assembler::{BatchAssembler, StreamName};
use crate::history::conversation::ConversationId;
use crate::history::early_messages::EarlyMessages;
use crate::history::meta::Meta;
use crate::history::outbox::Outbox;
use crate::history::read_marks::ReadMarks;
use crate::history::remembered_room::Unwritten;
use crate::history::report::{OutgoingMessage, Report};
use crate::history::seq_ranges::SeqRanges;
use crate::history::size_record::Held;
use crate::limits::{CLOCK_STEP, LAMPORT_MAX, SPANS_UNWRITTEN};

/// The database connection and its cache. Its queries run in a transaction of the history.
pub struct Tables {
    pub(crate) db: Connection,
    pub(crate) me: Username,
    pub(crate) key: SigningKey,
    pub(crate) device: PublicKey,
    pub(crate) meta: Meta,
    /// The values of `meta` that the database has.
    pub(crate) written: Meta,
    /// The next row at the begin of the transaction.
    pub(crate) first_row: i64,
    pub(crate) user_keys: HashMap<Username, i64>,
    pub(crate) conversations: HashMap<ConversationId, Conversation>,
    pub(crate) streams: HashMap<StreamName, Stream>,
    /// The highest Lamport times that others claim, by conversation. They are not stored.
    pub(crate) claimed_times: HashMap<ConversationId, u64>,
    /// The own messages that were given up, by stream and member. They are not stored.
    pub(crate) withheld: RefCell<HashMap<(i64, Username), Withheld>>,
    /// The streams of this device's incarnation, by conversation.
    pub(crate) own: BTreeMap<i64, OwnStream>,
    /// The rooms of the user, as this run knows them.
    pub(crate) rooms: BTreeMap<Uuid, Unwritten>,
    pub(crate) outbox: Outbox,
    /// The read marks that the database does not have yet.
    pub(crate) read_marks: ReadMarks,
    /// The reassembly state by the user of the link. It is not stored.
    pub(crate) assemblers: BTreeMap<Username, BatchAssembler>,
    /// The reports to publish after the commit.
    pub(crate) reports: Vec<Report>,
    /// Received messages that are published before the commit, and those that were not stored in the end.
    pub(crate) early: EarlyMessages,
    /// The streams that their authors sent since the last commit.
    pub(crate) unacked_streams: BTreeSet<StreamName>,
    /// Received messages in the open transaction, by the user of the link.
    pub(crate) uncommitted: Vec<(Username, Vec<Uuid>)>,
    #[cfg(test)]
    pub(crate) omission: Option<Omission>,
}

/// A check that a test variant leaves out. The tests show that they detect the omission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Omission {
    /// Accepts every signature without verification.
    Signatures,
    /// Stores messages that are already there.
    Doubles,
    /// Reports messages before the commit.
    Storing,
    /// Accepts every Lamport time.
    Times,
    /// Accepts messages that name any entry of a room's log, or none.
    Heads,
}

/// A conversation as it is cached in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Conversation {
    pub(crate) key: i64,
    pub(crate) name: Option<RoomName>,
    /// The latest revision of the room that the tracker sent.
    pub(crate) revision: u64,
    /// The Lamport clock, followed by the value that the database has.
    pub(crate) clock: u64,
    pub(crate) written_clock: u64,
    /// Whether the conversation holds messages with Lamport times beyond the clock.
    pub(crate) has_far_messages: bool,
}

/// The own messages of a stream that were given up for a member who left and came back.
#[derive(Debug, Clone, Default)]
pub(crate) struct Withheld {
    /// The revision at which the latest stay of this user began: later messages are not withheld.
    pub(crate) since: i64,
    /// The last message that was read. A HAVE reads only the later ones.
    pub(crate) read_to: i64,
    pub(crate) seqs: SeqRanges,
}

/// A stream: the messages of one incarnation of an author in one conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stream {
    pub(crate) key: i64,
    pub(crate) device: PublicKey,
    /// The sequence numbers that are or were stored.
    pub(crate) spans: SeqRanges,
    /// The number of messages that the table `spans` does not contain yet. The ranges are completed from the
    /// messages themselves, so that not every commit writes them.
    pub(crate) unwritten: u64,
    /// The number and digest of the last erased message.
    pub(crate) tip: Option<(u64, Digest)>,
}

/// The stream that this device writes in one conversation.
pub(crate) struct OwnStream {
    pub(crate) name: StreamName,
    pub(crate) key: i64,
    /// The sequence number of the last message.
    pub(crate) seq: u64,
    pub(crate) digest: Digest,
    /// The messages of the open batch, which is not signed yet.
    pub(crate) open: Vec<OutgoingMessage>,
    /// Encoded length of the open batch, in bytes.
    pub(crate) bytes: usize,
}

impl fmt::Debug for Tables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tables").field("meta", &self.meta).finish_non_exhaustive()
    }
}

impl Tables {
    /// Returns whether this test variant leaves out a check.
    #[cfg(test)]
    pub(crate) fn omits(&self, what: Omission) -> bool {
        self.omission == Some(what)
    }

    /// Always returns false outside the tests.
    #[cfg(not(test))]
    pub(crate) fn omits(&self, _what: Omission) -> bool {
        false
    }

    /// Discards the cache after a rollback and reads the essential parts again.
    pub(crate) fn reload(&mut self) -> Result<()> {
        self.user_keys.clear();
        self.conversations.clear();
        self.streams.clear();
        self.own.clear();
        self.withheld.get_mut().clear();
        // The database may lack the snapshots of this run, so they are kept and written again.
        self.rooms.values_mut().for_each(Unwritten::write_again);
        self.reports.clear();
        self.unacked_streams.clear();
        self.written = Meta::read(&self.db)?;
        self.meta = self.written.clone();
        // A row of a message that was published must not become the row of another one.
        self.meta.next_row = self.meta.next_row.max(self.early.next_row());
        self.first_row = self.meta.next_row;
        self.outbox = Outbox::read(&self.db)?;
        Ok(())
    }

    /// Returns the key of a user in the database, and creates it if necessary.
    pub(crate) fn user_key(&mut self, name: &Username) -> Result<i64> {
        if let Some(key) = self.user_keys.get(name) {
            return Ok(*key);
        }
        let key = match self.known_user_key(name)? {
            Some(key) => key,
            None => {
                self.db.execute("INSERT INTO users (name) VALUES (?1)", [name.as_str()])?;
                self.db.last_insert_rowid()
            }
        };
        self.user_keys.insert(name.clone(), key);
        Ok(key)
    }

    /// Returns the key of a user, if the database has one.
    pub(crate) fn known_user_key(&self, name: &Username) -> Result<Option<i64>> {
        if let Some(key) = self.user_keys.get(name) {
            return Ok(Some(*key));
        }
        let mut query = self.db.prepare_cached("SELECT id FROM users WHERE name = ?1")?;
        query.query_row([name.as_str()], |row| row.get(0)).optional()
    }

    /// Returns the names of these users, in the given order.
    pub(crate) fn names(&self, users: &[i64]) -> Result<Vec<Username>> {
        let mut query = self.db.prepare_cached("SELECT name FROM users WHERE id = ?1")?;
        users.iter().map(|key| query.query_row([key], |row| Ok(row.get::<_, Name>(0)?.0))).collect()
    }

    /// Returns a conversation, and creates it if necessary. A new name of the room is stored.
    pub(crate) fn conversation(
        &mut self,
        id: &ConversationId,
        name: Option<&RoomName>,
    ) -> Result<Conversation> {
        let mut found = match self.known_conversation(id)? {
            Some(found) if name.is_none() || found.name.as_ref() == name => return Ok(found),
            Some(found) => found,
            None => {
                let (room, peer) = match id {
                    ConversationId::Room(room) => (Some(room.as_bytes().to_vec()), None),
                    ConversationId::Private(peer) => (None, Some(self.user_key(peer)?)),
                };
                self.db
                    .execute("INSERT INTO conversations (room, peer) VALUES (?1, ?2)", params![room, peer])?;
                let key = self.db.last_insert_rowid();
                Conversation {
                    key,
                    name: None,
                    revision: 0,
                    clock: 0,
                    written_clock: 0,
                    has_far_messages: false,
                }
            }
        };
        if name.is_some() && found.name.as_ref() != name {
            found.name = name.cloned();
            let name = name.map(RoomName::as_str);
            self.db.execute("UPDATE conversations SET name = ?2 WHERE id = ?1", params![found.key, name])?;
        }
        self.conversations.insert(id.clone(), found.clone());
        Ok(found)
    }

    /// Returns a conversation if the database has it.
    pub(crate) fn known_conversation(&mut self, id: &ConversationId) -> Result<Option<Conversation>> {
        if let Some(known) = self.conversations.get(id) {
            return Ok(Some(known.clone()));
        }
        let read = |row: &rusqlite::Row<'_>| {
            let name: Option<String> = row.get(1)?;
            let clock = row.get::<_, i64>(3)?.cast_unsigned();
            Ok(Conversation {
                key: row.get(0)?,
                name: name.and_then(|name| RoomName::parse(&name).ok()),
                revision: row.get::<_, i64>(2)?.cast_unsigned(),
                clock,
                written_clock: clock,
                has_far_messages: false,
            })
        };
        let (room, peer) = match id {
            ConversationId::Room(room) => (Some(room.as_bytes()), None),
            ConversationId::Private(peer) => match self.known_user_key(peer)? {
                None => return Ok(None),
                peer => (None, peer),
            },
        };
        let mut query = self.db.prepare_cached(
            "SELECT id, name, revision, clock FROM conversations WHERE room = ?1 OR peer = ?2",
        )?;
        let found = query.query_row(params![room, peer], read).optional()?;
        drop(query);
        let Some(mut found) = found else { return Ok(None) };
        // The clock is written only now and then. The messages show how far it has come.
        while let Some(time) = self.latest_lamport(found.key, found.clock, found.clock + CLOCK_STEP)? {
            found.clock = time;
        }
        found.has_far_messages = self.latest_lamport(found.key, found.clock, LAMPORT_MAX)?.is_some();
        self.conversations.insert(id.clone(), found.clone());
        Ok(Some(found))
    }

    /// Returns a stream if the database has it. From then on it is cached in memory.
    pub(crate) fn known_stream(&mut self, name: &StreamName) -> Result<Option<&mut Stream>> {
        if !self.streams.contains_key(name) {
            let Some(conversation) = self.known_conversation(&name.conversation)? else { return Ok(None) };
            let Some(author) = self.known_user_key(&name.author)? else { return Ok(None) };
            let mut query = self.db.prepare_cached(
                "SELECT id, device, tip_seq, tip FROM streams
                 WHERE conversation = ?1 AND author = ?2 AND incarnation = ?3",
            )?;
            let found =
                query.query_row(params![conversation.key, author, name.incarnation.0.cast_signed()], |row| {
                    let tip = row.get::<_, Option<i64>>(2)?.zip(row.get::<_, Option<[u8; 32]>>(3)?);
                    Ok(Stream {
                        key: row.get(0)?,
                        device: PublicKey::new(row.get(1)?),
                        spans: SeqRanges::default(),
                        unwritten: 0,
                        tip: tip.map(|(seq, digest)| (seq.cast_unsigned(), Digest(digest))),
                    })
                });
            let Some(mut stream) = found.optional()? else { return Ok(None) };
            let mut query = self.db.prepare_cached("SELECT first, last FROM spans WHERE stream = ?1")?;
            let pieces =
                query.query_map([stream.key], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))?;
            for piece in pieces {
                let (first, last) = piece?;
                stream.spans.insert(first.cast_unsigned(), last.cast_unsigned());
            }
            drop(query);
            self.add_unwritten(&mut stream)?;
            self.streams.insert(name.clone(), stream);
        }
        Ok(self.streams.get_mut(name))
    }

    /// Adds the stored sequence numbers that the table `spans` does not contain yet.
    fn add_unwritten(&self, stream: &mut Stream) -> Result<()> {
        let mut query = self.db.prepare_cached(
            "SELECT seq FROM messages WHERE stream = ?1 AND seq > ?2 AND seq < ?3 ORDER BY seq",
        )?;
        let (mut after, mut found) = (0, SeqRanges::default());
        let written = stream.spans.iter().chain([(i64::MAX.cast_unsigned(), 0)]);
        for (first, last) in written {
            let gap = params![stream.key, i64::try_from(after).unwrap_or(i64::MAX), first.cast_signed()];
            for seq in query.query_map(gap, |row| row.get::<_, i64>(0))? {
                let seq = seq?.cast_unsigned();
                found.insert(seq, seq);
                stream.unwritten += 1;
            }
            after = last;
        }
        found.iter().for_each(|(first, last)| stream.spans.insert(first, last));
        Ok(())
    }

    /// Creates an empty stream.
    pub(crate) fn begin_stream(&mut self, name: &StreamName, device: PublicKey) -> Result<()> {
        let conversation = self.conversation(&name.conversation, None)?.key;
        let author = self.user_key(&name.author)?;
        self.db
            .prepare_cached(
                "INSERT INTO streams (conversation, author, incarnation, device) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![conversation, author, name.incarnation.0.cast_signed(), device.as_bytes()])?;
        let key = self.db.last_insert_rowid();
        let stream = Stream { key, device, spans: SeqRanges::default(), unwritten: 0, tip: None };
        self.streams.insert(name.clone(), stream);
        Ok(())
    }

    /// Notes in memory that these sequence numbers are stored.
    pub(crate) fn note_span(&mut self, name: &StreamName, first: u64, last: u64) {
        if let Some(stream) = self.streams.get_mut(name) {
            stream.spans.insert(first, last);
            stream.unwritten += last - first + 1;
        }
    }

    /// Writes the sequence ranges of streams with at least this many messages that the table does not contain yet.
    pub(crate) fn write_spans(&mut self, unwritten: u64) -> Result<()> {
        for stream in self.streams.values_mut().filter(|stream| stream.unwritten >= unwritten) {
            self.db.prepare_cached("DELETE FROM spans WHERE stream = ?1")?.execute([stream.key])?;
            let mut insert = self.db.prepare_cached("INSERT INTO spans VALUES (?1, ?2, ?3)")?;
            for (first, last) in stream.spans.iter() {
                insert.execute(params![stream.key, first.cast_signed(), last.cast_signed()])?;
            }
            stream.unwritten = 0;
        }
        Ok(())
    }

    /// Writes what is only in memory and could also be found again: sequence ranges, clocks and the last shown row.
    /// It is written while the history is idle, so that a commit writes fewer pages.
    pub(crate) fn write_deferred(&mut self) -> Result<()> {
        self.write_spans(1)?;
        self.write_clocks()?;
        self.write_read_marks()?;
        if self.meta != self.written {
            self.write_meta()?;
        }
        Ok(())
    }

    /// Writes the row of `meta`. A transaction that only adds messages needs no such write: their rows show that it
    /// was committed.
    pub(crate) fn write_meta(&mut self) -> Result<()> {
        self.meta.write(&self.db)?;
        self.written = self.meta.clone();
        Ok(())
    }

    /// Completes a transaction that changes something, before its commit.
    pub(crate) fn complete(&mut self) -> Result<()> {
        self.write_rooms()?;
        self.write_read_marks()?;
        self.write_spans(SPANS_UNWRITTEN)?;
        let only_rows = Meta { next_row: self.written.next_row, ..self.meta.clone() } == self.written;
        if !only_rows || self.meta.next_row == self.first_row {
            self.meta.commits += 1;
            self.write_meta()?;
        }
        self.first_row = self.meta.next_row;
        Ok(())
    }

    /// Returns the size of the history, for the record file.
    pub(crate) fn held(&self) -> Held {
        Held { messages: self.meta.next_row - 1, commits: self.meta.commits }
    }

    /// Allocates the row number of a new message.
    pub(crate) fn new_row(&mut self) -> i64 {
        let row = self.meta.next_row;
        self.meta.next_row += 1;
        row
    }

    /// Queues a report until the commit. Consecutive reports of one kind are merged.
    pub(crate) fn report(&mut self, report: Report) {
        match (self.reports.last_mut(), report) {
            (Some(Report::Committed(sent)), Report::Committed(more)) => sent.extend(more),
            (Some(Report::Received(received)), Report::Received(more)) => received.extend(more),
            (
                Some(Report::GivenUp { to, ids, why }),
                Report::GivenUp { to: other, ids: more, why: reason },
            ) if *to == other && *why == reason => {
                ids.extend(more);
            }
            (_, report) => self.reports.push(report),
        }
    }
}

/// A user's name as stored in the database.
pub(crate) struct Name(pub(crate) Username);

impl rusqlite::types::FromSql for Name {
    fn column_result(value: rusqlite::types::ValueRef<'_>) -> rusqlite::types::FromSqlResult<Self> {
        Username::parse(value.as_str()?)
            .map(Self)
            .map_err(|error| rusqlite::types::FromSqlError::Other(Box::new(error)))
    }
}
