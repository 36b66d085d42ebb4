//! The queries behind what a user looks at.
//!
//! They read pages of a conversation, exports, receipts, the outbox and the messages that were perhaps never shown.

use std::collections::BTreeMap;

use commons::names::Username;
use rusqlite::{OptionalExtension, Result, params};

use crate::history::answer::{Receipt, StoredMessage, Waiting};
use crate::history::conversation::ConversationId;
use crate::history::report::IncomingMessage;
use crate::history::rows::{KEPT, kept, read_audience, read_written};
use crate::history::tables::Tables;
use crate::limits::{LAMPORT_MAX, UNSHOWN_LINES};

impl Tables {
    /// Returns the last messages of a conversation, or the last ones before a row, oldest first. The order depends
    /// only on the messages, so all devices show the same order.
    pub(crate) fn page(
        &mut self,
        of: &ConversationId,
        before: Option<i64>,
        count: usize,
    ) -> Result<Vec<StoredMessage>> {
        let Some(known) = self.known_conversation(of)? else { return Ok(Vec::new()) };
        let clock = known.clock.cast_signed();
        let mut query = self.db.prepare_cached(&format!(
            "{KEPT} WHERE l.conversation = ?1 AND l.lamport > ?2 AND l.lamport <= ?3 AND l.text IS NOT NULL
               AND (?5 IS NULL OR ({ORDER}) < (
                 SELECT {ORDER} FROM messages l JOIN people a ON a.id = l.author LEFT JOIN streams s ON s.id = l.stream
                 WHERE l.row = ?5))
             ORDER BY l.lamport DESC, a.name DESC, s.incarnation DESC, l.seq DESC, l.row DESC LIMIT ?4"
        ))?;
        let time_of = |row: i64| {
            self.db.query_row("SELECT lamport FROM messages WHERE row = ?1", [row], |it| it.get(0))
        };
        // Messages with implausible Lamport times come before all others.
        let pieces: &[(i64, i64, Option<i64>)] = match before.map(time_of).transpose()? {
            None => &[(-1, clock, None), (clock, i64::MAX, None)],
            Some(time) if time <= clock => &[(-1, time, before), (clock, i64::MAX, None)],
            Some(time) => &[(clock, time, before)],
        };
        let mut found = Vec::new();
        for (after, to, before) in pieces {
            let rest = limit(count - found.len());
            let piece = query.query_map(params![known.key, after, to, rest, before], kept)?;
            found.extend(piece.collect::<Result<Vec<_>>>()?);
        }
        found.reverse();
        Ok(found)
    }

    /// Returns the first messages of a conversation after a row, oldest first, in the order of [`Self::page`].
    pub(crate) fn page_after(
        &mut self,
        of: &ConversationId,
        after: i64,
        count: usize,
    ) -> Result<Vec<StoredMessage>> {
        let Some(known) = self.known_conversation(of)? else { return Ok(Vec::new()) };
        let clock = known.clock.cast_signed();
        let mut query = self.db.prepare_cached(&format!(
            "{KEPT} WHERE l.conversation = ?1 AND l.lamport >= ?2 AND l.lamport <= ?3 AND l.text IS NOT NULL
               AND (?5 IS NULL OR ({ORDER}) > (
                 SELECT {ORDER} FROM messages l JOIN people a ON a.id = l.author LEFT JOIN streams s ON s.id = l.stream
                 WHERE l.row = ?5))
             ORDER BY {ORDER} LIMIT ?4"
        ))?;
        let time =
            self.db.query_row("SELECT lamport FROM messages WHERE row = ?1", [after], |it| it.get(0))?;
        // Messages with implausible Lamport times come before all others.
        let pieces: &[(i64, i64, Option<i64>)] = if time > clock {
            &[(time, i64::MAX, Some(after)), (0, clock, None)]
        } else {
            &[(time, clock, Some(after))]
        };
        let mut found = Vec::new();
        for (from, to, after) in pieces {
            let rest = limit(count - found.len());
            let piece = query.query_map(params![known.key, from, to, rest, after], kept)?;
            found.extend(piece.collect::<Result<Vec<_>>>()?);
        }
        Ok(found)
    }

    /// Returns messages in order from a position on, and the position at which to continue. A position is a Lamport
    /// time, and messages of one time are never split. Messages with implausible times come first; their positions
    /// are negative.
    pub(crate) fn export(
        &mut self,
        of: &ConversationId,
        after: i64,
        count: usize,
    ) -> Result<(Vec<StoredMessage>, Option<i64>)> {
        const FAR: i64 = LAMPORT_MAX.cast_signed() + 1;
        let Some(known) = self.known_conversation(of)? else { return Ok((Vec::new(), None)) };
        let clock = known.clock.cast_signed();
        let is_far = known.has_far_times && after < -1;
        let (first, to) =
            if is_far { (after.saturating_add(FAR).max(clock), i64::MAX) } else { (after.max(-1), clock) };
        let mut query = self.db.prepare_cached(
            "SELECT lamport FROM messages WHERE conversation = ?1 AND lamport > ?2 AND lamport <= ?3
             ORDER BY lamport LIMIT 1 OFFSET ?4",
        )?;
        let last: Option<i64> =
            query.query_row(params![known.key, first, to, limit(count)], |row| row.get(0)).optional()?;
        let mut query = self.db.prepare_cached(&format!(
            "{KEPT} WHERE l.conversation = ?1 AND l.lamport > ?2 AND l.lamport <= ?3 AND l.text IS NOT NULL
             ORDER BY l.lamport, a.name, s.incarnation, l.seq, l.row"
        ))?;
        let found = query.query_map(params![known.key, first, last.unwrap_or(to)], kept)?;
        let found = found.collect::<Result<_>>()?;
        Ok((found, if is_far { Some(last.map_or(-1, |last| last - FAR)) } else { last }))
    }

    /// Returns the last own messages of a conversation with their recipients, oldest first.
    pub(crate) fn receipts(&mut self, of: &ConversationId, count: usize) -> Result<Vec<Receipt>> {
        let Some(known) = self.known_conversation(of)? else { return Ok(Vec::new()) };
        let me = self.person(&self.me.clone())?;
        let mut query = self.db.prepare_cached(
            "SELECT row, audience FROM messages WHERE conversation = ?1 AND author = ?2 AND text IS NOT NULL
             AND audience IS NOT NULL AND lamport <= ?4 ORDER BY lamport DESC LIMIT ?3",
        )?;
        let found: Vec<(i64, String)> = query
            .query_map(params![known.key, me, limit(count), known.clock.cast_signed()], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?
            .collect::<Result<_>>()?;
        drop(query);
        let receipt = |(row, audience): (i64, String)| {
            let message = self.stored_message(row)?;
            let waits = self.waits(row)?;
            let mut has = read_audience(Some(&audience));
            let written = read_written(Some(&audience));
            has.retain(|name| !waits.contains(name) && !written.contains(name));
            Ok(Receipt { id: message.id, text: message.text, sent_at: message.sent_at, has, written, waits })
        };
        found.into_iter().rev().map(receipt).collect()
    }

    /// Returns the messages in the outbox, oldest first.
    pub(crate) fn waiting(&mut self) -> Result<Vec<Waiting>> {
        let rows: Vec<_> =
            self.outbox.iter().filter(|(_, message)| !message.is_withdrawn).map(|(row, _)| row).collect();
        let waiting = |row: i64| {
            let StoredMessage { id, conversation, room, text, sent_at, .. } = self.stored_message(row)?;
            Ok(Waiting { id, conversation, room, text, sent_at, waits: self.waits(row)? })
        };
        rows.into_iter().map(waiting).collect()
    }

    /// Counts the pending messages of each recipient, in all conversations or in one.
    pub(crate) fn waiting_counts(&mut self, of: Option<&ConversationId>) -> Result<Vec<(Username, usize)>> {
        let key = match of {
            None => None,
            Some(of) => match self.known_conversation(of)? {
                Some(known) => Some(known.key),
                None => return Ok(Vec::new()),
            },
        };
        let mut counts = BTreeMap::<i64, usize>::new();
        let waiting = self.outbox.iter().map(|(_, message)| message).filter(|message| !message.is_withdrawn);
        let waiting = waiting.filter(|message| key.is_none_or(|key| message.conversation == key));
        waiting
            .flat_map(|message| &message.waits)
            .for_each(|person| *counts.entry(*person).or_default() += 1);
        let names = self.names(&counts.keys().copied().collect::<Vec<_>>())?;
        Ok(names.into_iter().zip(counts.into_values()).collect())
    }

    /// Returns received messages that were perhaps never shown, oldest first. They include the user's messages from
    /// other devices.
    pub(crate) fn unshown(&mut self) -> Result<Vec<IncomingMessage>> {
        let me = self.person(&self.me.clone())?;
        let mut query = self.db.prepare_cached(&format!(
            "{KEPT} WHERE l.row > ?1 AND (l.author <> ?2 OR l.audience IS NULL) AND l.text IS NOT NULL ORDER BY l.row"
        ))?;
        let shown = self.meta.shown.max(self.meta.next_row - UNSHOWN_LINES);
        let found = query.query_map([shown, me], kept)?;
        found.map(|message| Ok(IncomingMessage { message: message?, missing: 0, place: None })).collect()
    }

    fn stored_message(&self, row: i64) -> Result<StoredMessage> {
        self.db.prepare_cached(&format!("{KEPT} WHERE l.row = ?1"))?.query_row([row], kept)
    }

    fn waits(&self, row: i64) -> Result<Vec<Username>> {
        self.outbox.message(row).map_or_else(|| Ok(Vec::new()), |message| self.names(&message.waits))
    }
}

/// Converts a message count to the integer type of SQLite.
fn limit(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The sort key of a conversation's messages. An unsigned message has no incarnation and sequence number, so the
/// key has the lowest values in their place.
const ORDER: &str =
    "l.lamport, a.name, ifnull(s.incarnation, -9223372036854775808), ifnull(l.seq, -1), l.row";

#[cfg(test)]
mod tests {
    use crate::history::command::{Request, UnsignedMessage};
    use crate::history::history_db::HistoryDb;
    use crate::history::testing::*;

    fn found(history: &mut HistoryDb, words: &str) -> Vec<String> {
        history.search(words, 9).unwrap().into_iter().map(|message| message.text).collect()
    }

    #[test]
    fn words_are_found_without_accents_and_capitals_begun_or_whole() {
        let mut ana = history(ANA);
        let texts = ["O Número do Coração", "número dois", "coracao três", "🎉 Größe", "部屋 で"];
        say(&mut ana, &room(), &texts, &[]);
        assert_eq!(found(&mut ana, "numero coracao"), ["O Número do Coração"]);
        assert_eq!(found(&mut ana, "NUMERO"), ["número dois", "O Número do Coração"], "newest first");
        assert_eq!(found(&mut ana, "cora"), ["coracao três", "O Número do Coração"]);
        assert_eq!(found(&mut ana, "cora dois"), [""; 0], "only the last word may be begun");
        assert_eq!(found(&mut ana, "grosse"), [""; 0]);
        assert_eq!(found(&mut ana, "größ"), ["🎉 Größe"]);
        assert_eq!(found(&mut ana, "部屋"), ["部屋 で"]);
        // A search also finds messages that were appended after the first search.
        say(&mut ana, &room(), &["coração novo"], &[]);
        assert_eq!(ana.search("coracao", 1).unwrap().len(), 1);
        assert_eq!(found(&mut ana, "coracao novo"), ["coração novo"]);
    }

    #[test]
    fn no_word_is_an_operator() {
        let mut ana = history(ANA);
        say(&mut ana, &room(), &["a NEAR b", "text:c AND d*", "\"quoted\" (x)"], &[]);
        for hostile in [
            "\"",
            "* ",
            "NEAR(",
            "a OR",
            "text:",
            "^",
            "- a",
            "(x",
            "\0",
            "\"\"\"",
            "'; DROP TABLE messages",
            "{a b}: c",
            "+",
        ] {
            found(&mut ana, hostile);
        }
        assert_eq!(found(&mut ana, "a NEAR b"), ["a NEAR b"]);
        assert_eq!(found(&mut ana, "\"quoted\""), ["\"quoted\" (x)"]);
        assert_eq!(found(&mut ana, "text:c AND"), ["text:c AND d*"]);
        assert_eq!(found(&mut ana, ""), [""; 0]);
        assert_eq!(found(&mut ana, &"a ".repeat(100_000)).len(), 1);
        assert_eq!(ana.commit(), [], "no search failed");
    }

    #[test]
    fn a_line_without_provenance_is_kept_once_and_marked() {
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
            .recent(&room(), 9)
            .unwrap()
            .into_iter()
            .map(|message| (message.text, message.signed))
            .collect();
        assert_eq!(marks, [("plain".to_owned(), false), ("signed".to_owned(), true)]);
    }

    #[test]
    fn export_and_recent_give_all_lines_piece_by_piece() {
        let mut ana = history(ANA);
        let texts: Vec<_> = (0..25).map(|n| n.to_string()).collect();
        for text in &texts {
            say(&mut ana, &room(), &[text], &[]);
            say(&mut ana, &private(BOB), &["elsewhere"], &[]);
        }
        let (mut exported, mut after) = (Vec::new(), Some(0));
        while let Some(row) = after {
            let (messages, next) = ana.export(&room(), row, 10).unwrap();
            exported.extend(messages.into_iter().map(|message| message.text));
            after = next;
        }
        assert_eq!(exported, texts);
        let last: Vec<_> = ana.recent(&room(), 3).unwrap().into_iter().map(|message| message.text).collect();
        assert_eq!(last, texts[22..]);
        assert_eq!(ana.recent(&private(CARLA), 3).unwrap(), []);
        // Pages from the end contain every message exactly once.
        let (mut paged, mut before) = (Vec::new(), None);
        loop {
            let page = ana.page(&room(), before, 10).unwrap();
            let Some(oldest) = page.first() else { break };
            before = Some(oldest.row);
            paged.splice(0..0, page.into_iter().map(|message| message.text));
        }
        assert_eq!(paged, texts);
        // So do pages after the first message.
        let (mut paged, mut row) = (vec![texts[0].clone()], before.unwrap());
        loop {
            let page = ana.page_after(&room(), row, 10).unwrap();
            let Some(newest) = page.last() else { break };
            row = newest.row;
            paged.extend(page.into_iter().map(|message| message.text));
        }
        assert_eq!(paged, texts);
    }
}
