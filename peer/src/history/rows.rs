//! Lines between memory and table.

use chrono::{DateTime, Utc};
use commons::keys::{PublicKey, Signature};
use commons::names::{RoomName, Username};
use commons::protocol::provenance::{Digest, Incarnation, Provenance};
use rusqlite::{Connection, OptionalExtension, Result, Row, params};
use uuid::Uuid;

use crate::history::answer::StoredMessage;
use crate::history::conversation::ConversationId;
use crate::history::message::{SignedMessage, Text};
use crate::history::store::Name;
use crate::limits::GROUP_ROWS;

/// A line of a stream, about to be written.
pub(crate) struct NewLine<'a> {
    pub(crate) row: i64,
    pub(crate) conversation: i64,
    pub(crate) author: i64,
    pub(crate) stream: i64,
    pub(crate) line: &'a SignedMessage,
    pub(crate) digest: Digest,
    pub(crate) late: bool,
    pub(crate) audience: Option<String>,
}

impl NewLine<'_> {
    /// Writes it.
    pub(crate) fn write(&self, db: &Connection) -> Result<()> {
        let provenance = &self.line.provenance;
        let (text, withdrawn) = match &self.line.text {
            Text::Plain(text) => (Some(text), None),
            Text::Withdrawn(digest) => (None, Some(digest.0)),
        };
        let heads: Option<Vec<u8>> = (!provenance.heads.is_empty())
            .then(|| provenance.heads.iter().flat_map(|head| *head.as_bytes()).collect());
        let mut insert = db.prepare_cached(
            "INSERT INTO lines VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
        )?;
        insert.execute(params![
            self.row,
            self.conversation,
            self.author,
            self.line.id.as_bytes(),
            self.stream,
            provenance.seq.cast_signed(),
            provenance.lamport.cast_signed(),
            provenance.revision.cast_signed(),
            self.line.sent_at.timestamp_millis(),
            text,
            withdrawn,
            heads,
            provenance.previous.map(|digest| digest.0),
            self.digest.0,
            provenance.signature.map(|signature| signature.0),
            self.late,
            self.audience,
        ])?;
        Ok(())
    }
}

/// A line of a stream as it stands in the table.
pub(crate) struct StoredLine {
    pub(crate) row: i64,
    pub(crate) line: SignedMessage,
    pub(crate) audience: Vec<Username>,
    /// Whether it was said on this computer: then the audience is all for whom it was.
    pub(crate) is_said_here: bool,
}

/// The digest of a line, where it is here.
pub(crate) fn digest_at(db: &Connection, stream: i64, seq: u64) -> Result<Option<Digest>> {
    let mut query = db.prepare_cached("SELECT digest FROM lines WHERE stream = ?1 AND seq = ?2")?;
    query.query_row(params![stream, seq.cast_signed()], |row| Ok(Digest(row.get(0)?))).optional()
}

/// The digest that a line names as the one before it, where the line is here and begins a group.
pub(crate) fn previous_at(db: &Connection, stream: i64, seq: u64) -> Result<Option<Digest>> {
    let mut query = db.prepare_cached("SELECT previous FROM lines WHERE stream = ?1 AND seq = ?2")?;
    let found = query.query_row(params![stream, seq.cast_signed()], |row| row.get::<_, Option<[u8; 32]>>(0));
    Ok(found.optional()?.flatten().map(Digest))
}

/// The whole group that holds this line, or the first one behind it; empty where there is none.
pub(crate) fn group_at(db: &Connection, stream: i64, seq: u64) -> Result<Vec<StoredLine>> {
    let mut query = db.prepare_cached(
        "SELECT max(seq) FROM lines WHERE stream = ?1 AND seq BETWEEN ?2 AND ?3 AND previous IS NOT NULL",
    )?;
    // A group has few lines, so its first is near.
    let near = seq.saturating_sub(GROUP_ROWS);
    let begin: Option<i64> =
        query.query_row(params![stream, near.cast_signed(), seq.cast_signed()], |row| row.get(0))?;
    let group = read_group(db, stream, begin.unwrap_or_else(|| seq.cast_signed()))?;
    if begin.is_none() || group.last().is_some_and(|last| last.line.provenance.seq >= seq) {
        return Ok(group);
    }
    read_group(db, stream, seq.cast_signed())
}

/// The group that begins at this number or is the first behind it.
fn read_group(db: &Connection, stream: i64, begin: i64) -> Result<Vec<StoredLine>> {
    let mut query = db.prepare_cached(
        "SELECT row, l.id, a.name, sent_at, text, withdrawn, incarnation, seq, lamport, revision, heads, previous,
             device, signature, audience
         FROM lines l JOIN streams s ON s.id = l.stream JOIN people a ON a.id = l.author
         WHERE l.stream = ?1 AND seq >= ?2 ORDER BY seq LIMIT ?3",
    )?;
    let mut rows = query.query(params![stream, begin, GROUP_ROWS.cast_signed()])?;
    let mut group: Vec<StoredLine> = Vec::new();
    while let Some(row) = rows.next()? {
        let stored = read_line(row)?;
        let begins = stored.line.provenance.previous.is_some();
        let follows =
            group.last().is_some_and(|last| last.line.provenance.seq + 1 == stored.line.provenance.seq);
        if !group.is_empty() && (begins || !follows) {
            break;
        }
        group.push(stored);
    }
    Ok(group)
}

fn read_line(row: &Row<'_>) -> Result<StoredLine> {
    let withdrawn: Option<[u8; 32]> = row.get(5)?;
    let heads: Option<Vec<u8>> = row.get(10)?;
    let previous: Option<[u8; 32]> = row.get(11)?;
    let audience: Option<String> = row.get(14)?;
    let line = SignedMessage {
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
            previous: previous.map(Digest),
            device: previous.map(|_| row.get(12).map(PublicKey::new)).transpose()?,
            signature: row.get::<_, Option<[u8; 64]>>(13)?.map(Signature),
        },
    };
    Ok(StoredLine {
        row: row.get(0)?,
        line,
        audience: read_audience(audience.as_deref()),
        is_said_here: audience.is_some(),
    })
}

/// A line's audience as the table holds it: names have no spaces.
pub(crate) fn write_audience(audience: &[Username]) -> String {
    audience.iter().map(Username::as_str).collect::<Vec<_>>().join(" ")
}

/// Stands in an audience before the name of a legacy client to which the line was written.
const WRITTEN: char = '~';

/// Reads what [`write_audience`] wrote.
pub(crate) fn read_audience(audience: Option<&str>) -> Vec<Username> {
    let names = audience.unwrap_or_default().split_ascii_whitespace();
    names.filter_map(|name| Username::parse(name.trim_start_matches(WRITTEN)).ok()).collect()
}

/// Those of an audience to whom the line was written, and who acknowledge nothing.
pub(crate) fn read_written(audience: Option<&str>) -> Vec<Username> {
    let names = audience.unwrap_or_default().split_ascii_whitespace();
    names.filter_map(|name| Username::parse(name.strip_prefix(WRITTEN)?).ok()).collect()
}

/// The audience with a note that the line was written to one of it.
pub(crate) fn note_written(audience: Option<&str>, to: &Username) -> String {
    let names = audience.unwrap_or_default().split_ascii_whitespace();
    let noted =
        names.map(|name| if name == to.as_str() { format!("{WRITTEN}{name}") } else { name.to_owned() });
    noted.collect::<Vec<_>>().join(" ")
}

/// The columns of [`kept`], up to what a query adds.
pub(crate) const KEPT: &str =
    "SELECT l.row, c.room, p.name, c.name, a.name, l.id, l.text, l.sent_at, l.stream IS NOT NULL, l.late
     FROM lines l JOIN people a ON a.id = l.author JOIN conversations c ON c.id = l.conversation
     LEFT JOIN people p ON p.id = c.peer LEFT JOIN streams s ON s.id = l.stream";

/// Reads a row of [`KEPT`].
pub(crate) fn kept(row: &Row<'_>) -> Result<StoredMessage> {
    Ok(StoredMessage {
        row: row.get(0)?,
        conversation: conversation(row.get(1)?, row.get::<_, Option<Name>>(2)?)?,
        room: room_name(row.get(3)?),
        from: row.get::<_, Name>(4)?.0,
        id: Uuid::from_bytes(row.get(5)?),
        text: row.get(6)?,
        sent_at: time(row.get(7)?),
        signed: row.get(8)?,
        late: row.get(9)?,
        hits: Vec::new(),
    })
}

/// A conversation as its row names it.
pub(crate) fn conversation(room: Option<[u8; 16]>, peer: Option<Name>) -> Result<ConversationId> {
    match (room, peer) {
        (Some(room), _) => Ok(ConversationId::Room(Uuid::from_bytes(room))),
        (None, Some(peer)) => Ok(ConversationId::Private(peer.0)),
        (None, None) => Err(rusqlite::Error::InvalidQuery),
    }
}

/// A room's name as the table holds it.
pub(crate) fn room_name(name: Option<String>) -> Option<RoomName> {
    name.and_then(|name| RoomName::parse(&name).ok())
}

pub(crate) fn time(millis: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(millis).unwrap_or_default()
}
