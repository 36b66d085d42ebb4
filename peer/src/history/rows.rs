//! The conversion of messages to and from database rows.
//!
//! It also reads complete signed batches and encodes the recipients of a message.

use chrono::{DateTime, Utc};
use commons::digest::Digest;
use commons::incarnation::Incarnation;
use commons::keys::{PublicKey, Signature};
use commons::names::{RoomName, Username};
use commons::protocol::provenance::Provenance;
use rusqlite::{Connection, OptionalExtension, Result, Row, params};
use uuid::Uuid;

use crate::history::answer::StoredMessage;
use crate::history::conversation::{ConversationId, NamedConversation};
use crate::history::message::{SignedMessage, Text};
use crate::history::tables::Name;
use crate::limits::BATCH_MESSAGES;

/// A signed message that is about to be written.
pub(crate) struct NewRow<'a> {
    pub(crate) row: i64,
    pub(crate) conversation: i64,
    pub(crate) author: i64,
    pub(crate) stream: i64,
    pub(crate) message: &'a SignedMessage,
    pub(crate) digest: Digest,
    pub(crate) late: bool,
    pub(crate) audience: Option<String>,
}

impl NewRow<'_> {
    /// Writes the message as a new row.
    pub(crate) fn write(&self, db: &Connection) -> Result<()> {
        let provenance = &self.message.provenance;
        let (text, withdrawn) = match &self.message.text {
            Text::Plain(text) => (Some(text), None),
            Text::Withdrawn(digest) => (None, Some(digest.0)),
        };
        let heads: Option<Vec<u8>> = (!provenance.heads.is_empty())
            .then(|| provenance.heads.iter().flat_map(|head| *head.as_bytes()).collect());
        let mut insert = db.prepare_cached(
            "INSERT INTO messages VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)",
        )?;
        insert.execute(params![
            self.row,
            self.conversation,
            self.author,
            self.message.id.as_bytes(),
            self.stream,
            provenance.seq.cast_signed(),
            provenance.lamport.cast_signed(),
            provenance.revision.cast_signed(),
            self.message.sent_at.timestamp_millis(),
            text,
            withdrawn,
            heads,
            provenance.previous.map(|digest| digest.0),
            self.digest.0,
            provenance.signature.map(|signature| signature.0),
            self.late,
            self.audience,
            provenance.head.map(|digest| digest.0),
        ])?;
        Ok(())
    }
}

/// A signed message as it is stored in the table.
pub(crate) struct StoredRow {
    pub(crate) row: i64,
    pub(crate) message: SignedMessage,
    pub(crate) audience: Vec<Username>,
    /// Whether this device wrote the message. If so, `audience` holds all recipients.
    pub(crate) is_own: bool,
}

/// Returns the digest of a message, or `None` if the message is not stored.
pub(crate) fn digest_at(db: &Connection, stream: i64, seq: u64) -> Result<Option<Digest>> {
    let mut query = db.prepare_cached("SELECT digest FROM messages WHERE stream = ?1 AND seq = ?2")?;
    query.query_row(params![stream, seq.cast_signed()], |row| Ok(Digest(row.get(0)?))).optional()
}

/// Returns the digest of the preceding message that the first message of a signed batch names.
pub(crate) fn previous_at(db: &Connection, stream: i64, seq: u64) -> Result<Option<Digest>> {
    let mut query = db.prepare_cached("SELECT previous FROM messages WHERE stream = ?1 AND seq = ?2")?;
    let found = query.query_row(params![stream, seq.cast_signed()], |row| row.get::<_, Option<[u8; 32]>>(0));
    Ok(found.optional()?.flatten().map(Digest))
}

/// Returns the revision at which a message was written, or `None` if the message is not stored.
pub(crate) fn revision_at(db: &Connection, stream: i64, seq: u64) -> Result<Option<u64>> {
    let mut query = db.prepare_cached("SELECT revision FROM messages WHERE stream = ?1 AND seq = ?2")?;
    let found = query.query_row(params![stream, seq.cast_signed()], |row| row.get(0)).optional()?;
    Ok(found.map(i64::cast_unsigned))
}

/// Returns the complete signed batch that contains a sequence number, or the next one. The result is empty if
/// neither exists.
pub(crate) fn batch_at(db: &Connection, stream: i64, seq: u64) -> Result<Vec<StoredRow>> {
    let mut query = db.prepare_cached(
        "SELECT max(seq) FROM messages WHERE stream = ?1 AND seq BETWEEN ?2 AND ?3 AND previous IS NOT NULL",
    )?;
    // A batch has at most `BATCH_MESSAGES` messages, so its first message is near.
    let near = seq.saturating_sub(BATCH_MESSAGES);
    let begin: Option<i64> =
        query.query_row(params![stream, near.cast_signed(), seq.cast_signed()], |row| row.get(0))?;
    let batch = read_batch(db, stream, begin.unwrap_or_else(|| seq.cast_signed()))?;
    if begin.is_none() || batch.last().is_some_and(|last| last.message.provenance.seq >= seq) {
        return Ok(batch);
    }
    read_batch(db, stream, seq.cast_signed())
}

/// Reads the signed batch that begins at this number, or the next one.
fn read_batch(db: &Connection, stream: i64, begin: i64) -> Result<Vec<StoredRow>> {
    let mut query = db.prepare_cached(
        "SELECT row, l.id, a.name, sent_at, text, withdrawn, incarnation, seq, lamport, revision, heads, previous,
             device, signature, audience, head
         FROM messages l JOIN streams s ON s.id = l.stream JOIN users a ON a.id = l.author
         WHERE l.stream = ?1 AND seq >= ?2 ORDER BY seq LIMIT ?3",
    )?;
    let mut rows = query.query(params![stream, begin, BATCH_MESSAGES.cast_signed()])?;
    let mut batch: Vec<StoredRow> = Vec::new();
    while let Some(row) = rows.next()? {
        let stored = read_row(row)?;
        let begins = stored.message.provenance.begins_batch();
        let follows =
            batch.last().is_some_and(|last| last.message.provenance.seq + 1 == stored.message.provenance.seq);
        if !batch.is_empty() && (begins || !follows) {
            break;
        }
        batch.push(stored);
    }
    Ok(batch)
}

fn read_row(row: &Row<'_>) -> Result<StoredRow> {
    let withdrawn: Option<[u8; 32]> = row.get(5)?;
    let heads: Option<Vec<u8>> = row.get(10)?;
    let previous: Option<[u8; 32]> = row.get(11)?;
    let audience: Option<String> = row.get(14)?;
    let message = SignedMessage {
        id: Uuid::from_bytes(row.get(1)?),
        author: row.get::<_, Name>(2)?.0,
        sent_at: time(row.get(3)?),
        text: match withdrawn {
            Some(digest) => Text::Withdrawn(Digest(digest)),
            None => Text::Plain(row.get(4)?),
        },
        provenance: Provenance {
            incarnation: Incarnation(row.get::<_, i64>(6)?.cast_unsigned()),
            seq: row.get::<_, i64>(7)?.cast_unsigned(),
            lamport: row.get::<_, i64>(8)?.cast_unsigned(),
            revision: row.get::<_, i64>(9)?.cast_unsigned(),
            heads: heads
                .unwrap_or_default()
                .as_chunks()
                .0
                .iter()
                .map(|head| Uuid::from_bytes(*head))
                .collect(),
            head: row.get::<_, Option<[u8; 32]>>(15)?.map(Digest),
            previous: previous.map(Digest),
            device: previous.map(|_| row.get(12).map(PublicKey::new)).transpose()?,
            signature: row.get::<_, Option<[u8; 64]>>(13)?.map(Signature),
        },
    };
    Ok(StoredRow {
        row: row.get(0)?,
        message,
        audience: read_audience(audience.as_deref()),
        is_own: audience.is_some(),
    })
}

/// Encodes the recipients for the table, separated by spaces. Names contain no spaces.
pub(crate) fn write_audience(audience: &[Username]) -> String {
    audience.iter().map(Username::as_str).collect::<Vec<_>>().join(" ")
}

/// The mark before the name of a legacy client to which the message was written.
const WRITTEN: char = '~';

/// Decodes the recipients from the text of [`write_audience`].
pub(crate) fn read_audience(audience: Option<&str>) -> Vec<Username> {
    let names = audience.unwrap_or_default().split_ascii_whitespace();
    names.filter_map(|name| Username::parse(name.trim_start_matches(WRITTEN)).ok()).collect()
}

/// Returns the legacy clients to which the message was written. They send no acks.
pub(crate) fn read_written(audience: Option<&str>) -> Vec<Username> {
    let names = audience.unwrap_or_default().split_ascii_whitespace();
    names.filter_map(|name| Username::parse(name.strip_prefix(WRITTEN)?).ok()).collect()
}

/// Returns the recipients with the mark that the message was written to one of them. It may have been removed
/// from them before.
pub(crate) fn note_written(audience: Option<&str>, to: &Username) -> String {
    let names = audience.unwrap_or_default().split_ascii_whitespace();
    let others = names.filter(|name| name.trim_start_matches(WRITTEN) != to.as_str()).map(str::to_owned);
    others.chain([format!("{WRITTEN}{to}")]).collect::<Vec<_>>().join(" ")
}

/// The columns that [`stored_message`] reads.
pub(crate) const STORED_COLUMNS: &str =
    "c.room, p.name, c.name, l.row, a.name, l.id, l.text, l.sent_at, l.stream IS NOT NULL, l.late";

/// The tables of [`STORED_COLUMNS`]. A query appends its conditions.
pub(crate) const STORED_TABLES: &str =
    "messages l JOIN users a ON a.id = l.author JOIN conversations c ON c.id = l.conversation
     LEFT JOIN users p ON p.id = c.peer LEFT JOIN streams s ON s.id = l.stream";

/// Reads the [`STORED_COLUMNS`] of a row.
pub(crate) fn stored_message(row: &Row<'_>) -> Result<StoredMessage> {
    let (conversation, room) = named_conversation(row)?;
    Ok(StoredMessage {
        row: row.get(3)?,
        conversation,
        room,
        from: row.get::<_, Name>(4)?.0,
        id: Uuid::from_bytes(row.get(5)?),
        text: row.get(6)?,
        sent_at: time(row.get(7)?),
        signed: row.get(8)?,
        late: row.get(9)?,
        hits: Vec::new(),
    })
}

/// Reads a conversation and the name of its room from the first three columns of a row.
pub(crate) fn named_conversation(row: &Row<'_>) -> Result<NamedConversation> {
    let id = match (row.get(0)?, row.get::<_, Option<Name>>(1)?) {
        (Some(room), _) => ConversationId::Room(Uuid::from_bytes(room)),
        (None, Some(peer)) => ConversationId::Private(peer.0),
        (None, None) => return Err(rusqlite::Error::InvalidQuery),
    };
    Ok((id, room_name(row.get(2)?)))
}

/// Parses a room's name from the table.
pub(crate) fn room_name(name: Option<String>) -> Option<RoomName> {
    name.and_then(|name| RoomName::parse(&name).ok())
}

/// Converts a number of messages to the integer type of SQLite.
pub(crate) fn limit(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

pub(crate) fn time(millis: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(millis).unwrap_or_default()
}
