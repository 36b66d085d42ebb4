//! The outbox in memory.
//!
//! It mirrors the table `outbox`: the user's own messages that some recipient has not acknowledged yet. Quota
//! checks and reads for one recipient need no database query.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rusqlite::{Connection, Result};
use uuid::Uuid;

use crate::limits::{OUTBOX_BYTES_MAX, OUTBOX_MESSAGES};

/// All pending messages, by row, and the pending messages of each recipient.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    messages: BTreeMap<i64, WaitingMessage>,
    rows: HashMap<Uuid, i64>,
    /// The pending messages by conversation and recipient.
    queues: HashMap<(i64, i64), Queue>,
}

/// The messages of one conversation that wait for one recipient.
#[derive(Debug, Default)]
struct Queue {
    rows: BTreeSet<i64>,
    /// Total length of the texts, in bytes.
    bytes: usize,
}

/// One of the user's own messages with at least one recipient who has not acknowledged it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WaitingMessage {
    pub(crate) id: Uuid,
    pub(crate) conversation: i64,
    pub(crate) stream: i64,
    pub(crate) seq: u64,
    /// Length of the text, in bytes; 0 after a withdrawal.
    pub(crate) bytes: usize,
    /// The recipients who have not acknowledged the message.
    pub(crate) waits: Vec<i64>,
    /// The author withdrew the message. The empty record still fills its sequence number in the stream.
    pub(crate) is_withdrawn: bool,
}

impl Outbox {
    /// Reads the outbox from the database.
    pub(crate) fn read(db: &Connection) -> Result<Self> {
        let mut outbox = Self::default();
        let mut query = db.prepare(
            "SELECT row, id, conversation, stream, seq, length(CAST(text AS BLOB)), recipient
             FROM outbox JOIN messages ON row = message ORDER BY row, recipient",
        )?;
        let mut found = query.query([])?;
        while let Some(found) = found.next()? {
            let row: i64 = found.get(0)?;
            let recipient = found.get(6)?;
            if let Some(message) = outbox.messages.get_mut(&row) {
                message.waits.push(recipient);
                outbox.queues.entry((message.conversation, recipient)).or_default().add(row, message.bytes);
                continue;
            }
            let bytes: Option<i64> = found.get(5)?;
            let message = WaitingMessage {
                id: Uuid::from_bytes(found.get(1)?),
                conversation: found.get(2)?,
                stream: found.get(3)?,
                seq: found.get::<_, i64>(4)?.cast_unsigned(),
                bytes: bytes.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(0),
                waits: vec![recipient],
                is_withdrawn: bytes.is_none(),
            };
            outbox.add(row, message);
        }
        Ok(outbox)
    }

    /// Adds a message to the queues of its recipients.
    pub(crate) fn add(&mut self, row: i64, message: WaitingMessage) {
        for recipient in &message.waits {
            self.queues.entry((message.conversation, *recipient)).or_default().add(row, message.bytes);
        }
        self.rows.insert(message.id, row);
        self.messages.insert(row, message);
    }

    /// Returns the oldest message for a recipient in a conversation if the recipient's quota is exceeded.
    pub(crate) fn surplus(&self, conversation: i64, recipient: i64) -> Option<i64> {
        let queue = self.queues.get(&(conversation, recipient))?;
        let is_full = queue.rows.len() > OUTBOX_MESSAGES || queue.bytes > OUTBOX_BYTES_MAX;
        queue.rows.first().copied().filter(|_| is_full)
    }

    /// Returns the part of its quota, in percent, that the fullest conversation of each recipient uses. Recipients below
    /// 1 % are left out.
    pub(crate) fn used_quotas(&self) -> BTreeMap<i64, usize> {
        let mut used = BTreeMap::new();
        for ((_, recipient), queue) in &self.queues {
            let messages = queue.rows.len() * 100 / OUTBOX_MESSAGES;
            let percent = messages.max(queue.bytes * 100 / OUTBOX_BYTES_MAX);
            if percent > 0 {
                let fullest = used.entry(*recipient).or_insert(percent);
                *fullest = percent.max(*fullest);
            }
        }
        used
    }

    /// Iterates over all messages, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (i64, &WaitingMessage)> {
        self.messages.iter().map(|(row, message)| (*row, message))
    }

    /// Iterates over the messages for a recipient whose row is greater than `after`.
    pub(crate) fn for_recipient(
        &self,
        recipient: i64,
        after: i64,
    ) -> impl Iterator<Item = (i64, &WaitingMessage)> {
        let behind = self.messages.range(after.saturating_add(1)..);
        behind
            .filter(move |(_, message)| message.waits.contains(&recipient))
            .map(|(row, message)| (*row, message))
    }

    /// Iterates over the messages of a stream that wait for a recipient, as rows and sequence numbers.
    pub(crate) fn in_stream(&self, stream: i64, recipient: i64) -> impl Iterator<Item = (i64, u64)> {
        let queues = self.queues.iter().filter(move |((_, waiting), _)| *waiting == recipient);
        let messages =
            queues.flat_map(|(_, queue)| &queue.rows).filter_map(|row| self.messages.get_key_value(row));
        messages
            .filter(move |(_, message)| message.stream == stream)
            .map(|(row, message)| (*row, message.seq))
    }

    /// Returns the row of a message.
    pub(crate) fn row(&self, id: &Uuid) -> Option<i64> {
        self.rows.get(id).copied()
    }

    /// Returns the message in a row.
    pub(crate) fn message(&self, row: i64) -> Option<&WaitingMessage> {
        self.messages.get(&row)
    }

    /// Notes that the text of a message was erased, and frees its bytes in every queue.
    pub(crate) fn withdraw(&mut self, row: i64) {
        if let Some(message) = self.messages.get_mut(&row) {
            message.is_withdrawn = true;
            let bytes = std::mem::take(&mut message.bytes);
            for recipient in &message.waits {
                if let Some(queue) = self.queues.get_mut(&(message.conversation, *recipient)) {
                    queue.bytes -= bytes;
                }
            }
        }
    }

    /// Removes a recipient from a message, and the message with its last recipient.
    pub(crate) fn remove(&mut self, row: i64, recipient: i64) {
        let Some(message) = self.messages.get_mut(&row) else { return };
        if message.waits.contains(&recipient)
            && let Some(queue) = self.queues.get_mut(&(message.conversation, recipient))
        {
            queue.rows.remove(&row);
            queue.bytes -= message.bytes;
        }
        message.waits.retain(|waiting| *waiting != recipient);
        if message.waits.is_empty() {
            self.rows.remove(&message.id);
            self.messages.remove(&row);
        }
    }
}

impl Queue {
    fn add(&mut self, row: i64, bytes: usize) {
        self.rows.insert(row);
        self.bytes += bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fullest_conversation_of_a_recipient_counts_for_its_quota() {
        let (bob, carla) = (1, 2);
        let mut outbox = Outbox::default();
        let mut add = |row, conversation, bytes, waits: &[i64]| {
            let (id, stream, seq) = (Uuid::now_v7(), conversation, row as u64);
            let waits = waits.to_vec();
            let message = WaitingMessage { id, conversation, stream, seq, bytes, waits, is_withdrawn: false };
            outbox.add(row, message);
        };
        add(1, 1, OUTBOX_BYTES_MAX / 2, &[bob]);
        add(2, 2, OUTBOX_BYTES_MAX / 4, &[bob]);
        (3..3 + OUTBOX_MESSAGES as i64 / 10).for_each(|row| add(row, 3, 1, &[carla]));
        assert_eq!(outbox.used_quotas(), BTreeMap::from([(bob, 50), (carla, 10)]));
        outbox.remove(1, bob);
        assert_eq!(outbox.used_quotas()[&bob], 25);
    }
}
