//! The database queries of the frontends.
//!
//! They read pages and exports of a conversation, the list of conversations, the delivery states of own messages, and
//! the messages that a frontend has not shown yet.

use std::ops::Range;

use commons::incarnation::Incarnation;
use commons::names::Username;
use rusqlite::{OptionalExtension, Result, Row, params};
use uuid::Uuid;

use crate::history::answer::{ConversationSummary, PublishedMessage, Receipt, StoredMessage};
use crate::history::conversation::{ConversationId, NamedConversation};
use crate::history::report::IncomingMessage;
use crate::history::rows::{
    STORED_COLUMNS, STORED_TABLES, limit, named_conversation, read_audience, read_written, stored_message,
    time,
};
use crate::history::tables::Tables;
use crate::limits::{LAMPORT_MAX, UNSHOWN_MESSAGES};

impl Tables {
    /// Returns the last messages of a conversation, or the last ones before a row, oldest first. The order depends
    /// only on the messages, so all devices show the same order.
    pub fn page(
        &mut self,
        of: &ConversationId,
        before: Option<i64>,
        count: usize,
    ) -> Result<Vec<StoredMessage>> {
        let Some(known) = self.known_conversation(of)? else { return Ok(Vec::new()) };
        let clock = known.clock.cast_signed();
        let order_of_row = order_of_row();
        let mut query = self.db.prepare_cached(&format!(
            "SELECT {STORED_COLUMNS} FROM {STORED_TABLES}
             WHERE l.conversation = ?1 AND l.lamport > ?2 AND l.lamport <= ?3 AND l.text IS NOT NULL
               AND (?5 IS NULL OR ({ORDER}) < ({order_of_row}))
             ORDER BY {NEWEST_FIRST} LIMIT ?4"
        ))?;
        // Messages with implausible Lamport times come before all others.
        let pieces: &[(i64, i64, Option<i64>)] = match before.map(|row| self.lamport_of(row)).transpose()? {
            None => &[(-1, clock, None), (clock, i64::MAX, None)],
            Some(time) if time <= clock => &[(-1, time, before), (clock, i64::MAX, None)],
            Some(time) => &[(clock, time, before)],
        };
        let mut found = Vec::new();
        for (after, to, before) in pieces {
            let rest = limit(count - found.len());
            let piece = query.query_map(params![known.key, after, to, rest, before], stored_message)?;
            found.extend(piece.collect::<Result<Vec<_>>>()?);
        }
        found.reverse();
        Ok(found)
    }

    fn lamport_of(&self, row: i64) -> Result<i64> {
        self.db.query_row("SELECT lamport FROM messages WHERE row = ?1", [row], |it| it.get(0))
    }

    /// As [`Self::page`], before a message, which [`Self::row_of`] finds. Returns `None` if it is no longer stored.
    pub fn page_before(
        &mut self,
        of: &ConversationId,
        (id, from): (&Uuid, Option<&Username>),
        count: usize,
    ) -> Result<Option<Vec<StoredMessage>>> {
        let Some(before) = self.row_of(id, from)? else { return Ok(None) };
        self.page(of, Some(before), count).map(Some)
    }

    /// Returns the first messages of a conversation after a message, oldest first, in the order of [`Self::page`].
    /// Returns `None` if that message is no longer stored.
    pub fn page_after(
        &mut self,
        of: &ConversationId,
        (id, from): (&Uuid, Option<&Username>),
        count: usize,
    ) -> Result<Option<Vec<StoredMessage>>> {
        let Some(after) = self.row_of(id, from)? else { return Ok(None) };
        let Some(known) = self.known_conversation(of)? else { return Ok(Some(Vec::new())) };
        let clock = known.clock.cast_signed();
        let order_of_row = order_of_row();
        let mut query = self.db.prepare_cached(&format!(
            "SELECT {STORED_COLUMNS} FROM {STORED_TABLES}
             WHERE l.conversation = ?1 AND l.lamport >= ?2 AND l.lamport <= ?3 AND l.text IS NOT NULL
               AND (?5 IS NULL OR ({ORDER}) > ({order_of_row}))
             ORDER BY {ORDER} LIMIT ?4"
        ))?;
        let time = self.lamport_of(after)?;
        // Messages with implausible Lamport times come before all others.
        let pieces: &[(i64, i64, Option<i64>)] = if time > clock {
            &[(time, i64::MAX, Some(after)), (0, clock, None)]
        } else {
            &[(time, clock, Some(after))]
        };
        let mut found = Vec::new();
        for (from, to, after) in pieces {
            let rest = limit(count - found.len());
            let piece = query.query_map(params![known.key, from, to, rest, after], stored_message)?;
            found.extend(piece.collect::<Result<Vec<_>>>()?);
        }
        Ok(Some(found))
    }

    /// Returns messages in order from a position on, and the position at which to continue. A position is a Lamport
    /// time, and messages of one time are never split. Messages with implausible times come first; their positions
    /// are negative.
    pub fn export(
        &mut self,
        of: &ConversationId,
        after: i64,
        count: usize,
    ) -> Result<(Vec<StoredMessage>, Option<i64>)> {
        const FAR: i64 = LAMPORT_MAX.cast_signed() + 1;
        let Some(known) = self.known_conversation(of)? else { return Ok((Vec::new(), None)) };
        let clock = known.clock.cast_signed();
        let is_far = known.has_far_messages && after < -1;
        let (first, to) =
            if is_far { (after.saturating_add(FAR).max(clock), i64::MAX) } else { (after.max(-1), clock) };
        let mut query = self.db.prepare_cached(
            "SELECT lamport FROM messages WHERE conversation = ?1 AND lamport > ?2 AND lamport <= ?3
             ORDER BY lamport LIMIT 1 OFFSET ?4",
        )?;
        let last: Option<i64> =
            query.query_row(params![known.key, first, to, limit(count)], |row| row.get(0)).optional()?;
        let mut query = self.db.prepare_cached(&format!(
            "SELECT {STORED_COLUMNS} FROM {STORED_TABLES}
             WHERE l.conversation = ?1 AND l.lamport > ?2 AND l.lamport <= ?3 AND l.text IS NOT NULL
             ORDER BY {ORDER}"
        ))?;
        let found = query.query_map(params![known.key, first, last.unwrap_or(to)], stored_message)?;
        let found = found.collect::<Result<_>>()?;
        Ok((found, if is_far { Some(last.map_or(-1, |last| last - FAR)) } else { last }))
    }

    /// Returns the conversations that hold messages, in the order in which they were first seen.
    pub fn conversations(&self) -> Result<Vec<NamedConversation>> {
        let mut query = self.db.prepare_cached(
            "SELECT c.room, p.name, c.name FROM conversations c LEFT JOIN users p ON p.id = c.peer
             WHERE EXISTS (SELECT 1 FROM messages l WHERE l.conversation = c.id) ORDER BY c.id",
        )?;
        query.query_map([], named_conversation)?.collect()
    }

    /// Returns the conversations with counts and dates. It reads every message, so it is slow for a large history.
    pub fn conversation_list(&self) -> Result<Vec<ConversationSummary>> {
        let mut query = self.db.prepare_cached(
            "SELECT c.room, p.name, c.name, count(*), min(l.sent_at), max(l.sent_at)
             FROM conversations c JOIN messages l ON l.conversation = c.id LEFT JOIN users p ON p.id = c.peer
             WHERE l.text IS NOT NULL GROUP BY c.id ORDER BY c.id",
        )?;
        let summary = |row: &Row<'_>| {
            Ok(ConversationSummary {
                name: named_conversation(row)?,
                messages: row.get::<_, i64>(3)?.cast_unsigned(),
                sent: (time(row.get(4)?), time(row.get(5)?)),
            })
        };
        query.query_map([], summary)?.collect()
    }

    /// Returns the last own messages of a conversation with their delivery states, oldest first.
    pub fn receipts(&mut self, of: &ConversationId, count: usize) -> Result<Vec<Receipt>> {
        let Some(known) = self.known_conversation(of)? else { return Ok(Vec::new()) };
        let me = self.user_key(&self.me.clone())?;
        let mut query = self.db.prepare_cached(
            "SELECT row FROM messages WHERE conversation = ?1 AND author = ?2 AND text IS NOT NULL
             AND audience IS NOT NULL AND lamport <= ?4 ORDER BY lamport DESC LIMIT ?3",
        )?;
        let rows = query
            .query_map(params![known.key, me, limit(count), known.clock.cast_signed()], |row| row.get(0))?;
        let mut receipts = rows.map(|row| self.receipt(row?)).collect::<Result<Vec<_>>>()?;
        receipts.reverse();
        Ok(receipts)
    }

    /// Returns the messages of the outbox with their delivery states, oldest first.
    pub fn undelivered(&mut self) -> Result<Vec<Receipt>> {
        let waiting = self.outbox.iter().filter(|(_, message)| !message.is_withdrawn);
        waiting.map(|(row, _)| self.receipt(row)).collect()
    }

    fn receipt(&self, row: i64) -> Result<Receipt> {
        let mut query = self
            .db
            .prepare_cached(&format!("SELECT {STORED_COLUMNS} FROM {STORED_TABLES} WHERE l.row = ?1"))?;
        let message = query.query_row([row], stored_message)?;
        let audience = self.audience_text(row)?;
        let waits = self.outbox.message(row).map_or_else(|| Ok(Vec::new()), |it| self.names(&it.waits))?;
        let written = read_written(audience.as_deref());
        let mut has = read_audience(audience.as_deref());
        has.retain(|name| !waits.contains(name) && !written.contains(name));
        Ok(Receipt { message, has, written, waits })
    }

    /// Returns received messages that were perhaps never shown, oldest first. They include the user's messages from
    /// other devices.
    pub(crate) fn unshown(&mut self) -> Result<Vec<IncomingMessage>> {
        let me = self.user_key(&self.me.clone())?;
        let mut query = self.db.prepare_cached(&format!(
            "SELECT {STORED_COLUMNS}, s.incarnation, l.seq FROM {STORED_TABLES}
             WHERE l.row > ?1 AND (l.author <> ?2 OR l.audience IS NULL) AND l.text IS NOT NULL
             ORDER BY l.row"
        ))?;
        let shown = self.meta.shown.max(self.meta.next_row - UNSHOWN_MESSAGES);
        let found = query.query_map([shown, me], |row| {
            let (incarnation, seq): (Option<i64>, Option<i64>) = (row.get(10)?, row.get(11)?);
            let place =
                incarnation.map(|it| Incarnation(it.cast_unsigned())).zip(seq.map(i64::cast_unsigned));
            Ok(IncomingMessage { message: stored_message(row)?, missing: 0, place, is_withdrawn: false })
        })?;
        found.collect()
    }

    /// Returns the messages of these rows in order, at most `count`. The first row of each range is its first one.
    pub fn published(
        &mut self,
        received: &Range<i64>,
        own: &Range<i64>,
        count: usize,
    ) -> Result<Vec<PublishedMessage>> {
        let me = self.user_key(&self.me.clone())?;
        let mut found = Vec::new();
        let of_this_device = "l.author = ?3 AND l.audience IS NOT NULL";
        let of_others = "(l.author <> ?3 OR l.audience IS NULL)";
        for (rows, which, is_own) in [(received, of_others, false), (own, of_this_device, true)] {
            let mut query = self.db.prepare_cached(&format!(
                "SELECT {STORED_COLUMNS} FROM {STORED_TABLES}
                 WHERE l.row >= ?1 AND l.row < ?2 AND {which} AND l.text IS NOT NULL ORDER BY l.row LIMIT ?4"
            ))?;
            let messages =
                query.query_map(params![rows.start, rows.end, me, limit(count)], stored_message)?;
            for message in messages {
                found.push(PublishedMessage { message: message?, is_own });
            }
        }
        found.sort_by_key(|it| it.message.row);
        found.truncate(count);
        Ok(found)
    }
}

/// The sort key of a conversation's messages. An unsigned message has no incarnation and sequence number, so the
/// key has the lowest values in their place.
const ORDER: &str =
    "l.lamport, a.name, ifnull(s.incarnation, -9223372036854775808), ifnull(l.seq, -1), l.row";

/// The order of [`ORDER`], backwards.
const NEWEST_FIRST: &str = "l.lamport DESC, a.name DESC, ifnull(s.incarnation, -9223372036854775808) DESC, ifnull(l.seq, -1) DESC, l.row DESC";

/// Returns the query for the sort key of the message in row `?5`.
fn order_of_row() -> String {
    format!("SELECT {ORDER} FROM {STORED_TABLES} WHERE l.row = ?5")
}

#[cfg(test)]
mod tests {
    use crate::history::history_db::HistoryDb;
    use crate::history::request::{Request, UnsignedMessage};
    use crate::history::testing::*;

    #[test]
    fn unsigned_message_is_stored_once_and_marked() {
        let mut ana = history(ANA);
        let message = UnsignedMessage {
            conversation: room(),
            room: sala(),
            from: user(BOB),
            id: uuid::Uuid::now_v7(),
            sent_at: time(),
            text: "plain".into(),
        };
        ana.apply(Request::IngestUnsigned(message.clone()));
        let reports = ana.commit();
        assert_eq!(
            (texts(&reports), incoming_messages(&reports)[0].message.signed),
            (vec!["plain".into()], false)
        );
        assert_eq!(receipts(&reports), [message.id]);
        ana.apply(Request::IngestUnsigned(message));
        assert_eq!(texts(&ana.commit()), [""; 0]);
        say(&mut ana, &room(), &["signed"], &[]);
        let marks: Vec<_> = ana
            .tables
            .page(&room(), None, 9)
            .unwrap()
            .into_iter()
            .map(|message| (message.text, message.signed))
            .collect();
        assert_eq!(marks, [("plain".to_owned(), false), ("signed".to_owned(), true)]);
    }

    #[test]
    fn export_and_pages_return_each_message_once() {
        let mut ana = history(ANA);
        let texts: Vec<_> = (0..25).map(|n| n.to_string()).collect();
        for text in &texts {
            say(&mut ana, &room(), &[text], &[]);
            say(&mut ana, &private(BOB), &["elsewhere"], &[]);
        }
        let (mut exported, mut after) = (Vec::new(), Some(0));
        while let Some(row) = after {
            let (messages, next) = ana.tables.export(&room(), row, 10).unwrap();
            exported.extend(messages.into_iter().map(|message| message.text));
            after = next;
        }
        assert_eq!(exported, texts);
        let last: Vec<_> =
            ana.tables.page(&room(), None, 3).unwrap().into_iter().map(|message| message.text).collect();
        assert_eq!(last, texts[22..]);
        assert_eq!(ana.tables.page(&private(CARLA), None, 3).unwrap(), []);
        // Pages from the end contain every message exactly once.
        let (mut paged, mut before) = (Vec::new(), None);
        loop {
            let page = ana.tables.page(&room(), before, 10).unwrap();
            let Some(oldest) = page.first() else { break };
            before = Some(oldest.row);
            paged.splice(0..0, page.into_iter().map(|message| message.text));
        }
        assert_eq!(paged, texts);
        // So do pages after the first message.
        let first = ana.tables.page(&room(), None, 25).unwrap().remove(0);
        let (mut paged, mut last) = (vec![first.text], first.id);
        loop {
            let page = ana.tables.page_after(&room(), (&last, None), 10).unwrap().unwrap();
            let Some(newest) = page.last() else { break };
            last = newest.id;
            paged.extend(page.into_iter().map(|message| message.text));
        }
        assert_eq!(paged, texts);
    }

    #[test]
    fn page_at_an_erased_message_is_no_disk_failure() {
        let mut ana = history(ANA);
        let id = say(&mut ana, &room(), &["1", "2"], &[]).remove(0).id;
        let pages = |ana: &mut HistoryDb| {
            let before = ana.transaction(|tables| tables.page_before(&room(), (&id, None), 9)).unwrap();
            let after = ana.transaction(|tables| tables.page_after(&room(), (&id, None), 9)).unwrap();
            [before, after].map(|page| page.map(|messages| messages.len()))
        };
        assert_eq!(pages(&mut ana), [Some(0), Some(1)]);
        ana.transaction(|tables| tables.forget(&room())).unwrap();
        assert_eq!(pages(&mut ana), [None, None]);
        assert_eq!(ana.commit(), [], "nothing is reported");
    }

    #[test]
    fn conversations_are_listed_with_counts_and_dates() {
        let mut ana = history(ANA);
        say(&mut ana, &room(), &["one", "two"], &[BOB]);
        say(&mut ana, &private(BOB), &["three"], &[BOB]);
        let list = ana.tables.conversation_list().unwrap();
        let counts: Vec<_> = list.iter().map(|listed| (listed.name.0.clone(), listed.messages)).collect();
        assert_eq!(counts, [(room(), 2), (private(BOB), 1)]);
        assert!(list.iter().all(|listed| listed.sent.0 <= listed.sent.1));
        ana.transaction(|it| it.forget(&room())).unwrap();
        assert_eq!(ana.tables.conversation_list().unwrap().len(), 1);
    }

    #[test]
    fn published_messages_come_in_order_of_their_rows() {
        let (mut ana, mut bob) = (history(ANA), history(BOB));
        for n in 0..3 {
            let from_bob = say(&mut bob, &room(), &[&format!("bob {n}")], &[ANA]);
            ingest(&mut ana, BOB, &room(), &from_bob);
            say(&mut ana, &room(), &[&format!("ana {n}")], &[BOB]);
        }
        let mut read = |received: std::ops::Range<i64>, own, count| {
            let found = ana.transaction(|tables| tables.published(&received, &own, count)).unwrap();
            found.into_iter().map(|it| (it.message.text, it.is_own)).collect::<Vec<_>>()
        };
        let all = read(1..7, 1..7, 9);
        let texts: Vec<_> = all.iter().map(|(text, _)| text.as_str()).collect();
        assert_eq!(texts, ["bob 0", "ana 0", "bob 1", "ana 1", "bob 2", "ana 2"]);
        assert!(all.iter().all(|(text, is_own)| text.starts_with("ana") == *is_own));
        assert_eq!(read(1..7, 1..7, 3), all[..3]);
        assert_eq!(read(4..7, 4..7, 9), all[3..]);
        assert_eq!(read(1..4, 7..7, 9), [all[0].clone(), all[2].clone()]);
    }
}
