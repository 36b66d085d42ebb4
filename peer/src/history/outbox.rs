//! Own lines that somebody has not stored yet, in memory: what the table of that name says, quick to ask.

use std::collections::{BTreeMap, HashMap};

use rusqlite::{Connection, Result};
use uuid::Uuid;

/// The lines, by row.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    lines: BTreeMap<i64, WaitingLine>,
    rows: HashMap<Uuid, i64>,
}

/// An own line that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WaitingLine {
    pub(crate) id: Uuid,
    pub(crate) conversation: i64,
    pub(crate) stream: i64,
    pub(crate) seq: u64,
    /// Bytes of its text.
    pub(crate) bytes: usize,
    /// For whom.
    pub(crate) waits: Vec<i64>,
    /// Taken back: it still fills its number for the others, and nobody waits for it.
    pub(crate) is_withdrawn: bool,
}

impl Outbox {
    /// Reads the table.
    pub(crate) fn read(db: &Connection) -> Result<Self> {
        let mut outbox = Self::default();
        let mut query = db.prepare(
            "SELECT row, id, conversation, stream, seq, length(CAST(text AS BLOB)), recipient
             FROM outbox JOIN lines ON row = line ORDER BY row, recipient",
        )?;
        let mut found = query.query([])?;
        while let Some(found) = found.next()? {
            let row: i64 = found.get(0)?;
            let recipient = found.get(6)?;
            if let Some(line) = outbox.lines.get_mut(&row) {
                line.waits.push(recipient);
                continue;
            }
            let bytes: Option<i64> = found.get(5)?;
            let line = WaitingLine {
                id: Uuid::from_bytes(found.get(1)?),
                conversation: found.get(2)?,
                stream: found.get(3)?,
                seq: found.get::<_, i64>(4)?.cast_unsigned(),
                bytes: bytes.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(0),
                waits: vec![recipient],
                is_withdrawn: bytes.is_none(),
            };
            outbox.add(row, line);
        }
        Ok(outbox)
    }

    /// Adds a line.
    pub(crate) fn add(&mut self, row: i64, line: WaitingLine) {
        self.rows.insert(line.id, row);
        self.lines.insert(row, line);
    }

    /// All lines, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (i64, &WaitingLine)> {
        self.lines.iter().map(|(row, line)| (*row, line))
    }

    /// The lines behind a row that wait for somebody.
    pub(crate) fn for_person(&self, person: i64, after: i64) -> impl Iterator<Item = (i64, &WaitingLine)> {
        let behind = self.lines.range(after.saturating_add(1)..);
        behind.filter(move |(_, line)| line.waits.contains(&person)).map(|(row, line)| (*row, line))
    }

    /// Where a line stands.
    pub(crate) fn row(&self, id: &Uuid) -> Option<i64> {
        self.rows.get(id).copied()
    }

    /// A line, by its row.
    pub(crate) fn line(&self, row: i64) -> Option<&WaitingLine> {
        self.lines.get(&row)
    }

    /// Notes that the text of a line is gone; whether it was there.
    pub(crate) fn withdraw(&mut self, row: i64) {
        if let Some(line) = self.lines.get_mut(&row) {
            line.is_withdrawn = true;
        }
    }

    /// A line waits for somebody no longer. The line comes back where it waited for nobody else.
    pub(crate) fn settle(&mut self, row: i64, person: i64) -> Option<WaitingLine> {
        let line = self.lines.get_mut(&row)?;
        line.waits.retain(|waiting| *waiting != person);
        if !line.waits.is_empty() {
            return None;
        }
        let line = self.lines.remove(&row)?;
        self.rows.remove(&line.id);
        Some(line)
    }
}
