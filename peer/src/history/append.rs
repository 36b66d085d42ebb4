//! Own messages: the history numbers, chains and signs them.
//!
//! Each own message gets the next sequence number of its stream and a digest that covers the digest before it.
//! Consecutive messages form a signed batch: only the last one carries a signature, which covers the whole chain.
//! A batch ends at its size limits, at a new revision of the room, and at a commit. For example, 150 pasted
//! messages become batches of 64, 64 and 22 messages with one signature each. In private conversations each
//! message is a batch of its own.

use std::collections::BTreeMap;

use commons::limits::{BATCH_BYTES, BATCH_LINES, HEADS_MAX};
use commons::protocol::provenance::Provenance;
use rusqlite::{ErrorCode, Result, params};
use uuid::Uuid;

use crate::history::command::Draft;
use crate::history::conversation::ConversationId;
use crate::history::message::{NO_DIGEST, SignedMessage, Text, digest, to_millis};
use crate::history::outbox::WaitingLine;
use crate::history::quota::QuotaUsage;
use crate::history::reassembly::StreamName;
use crate::history::report::{OutgoingMessage, Report};
use crate::history::rows::{NewLine, digest_at, write_audience};
use crate::history::signed_batch;
use crate::history::store::{OwnStream, Store};
use crate::limits::RECENT_HEADS;

impl Store {
    /// Stages an own message: numbers it, chains it and adds it to the outbox.
    pub(crate) fn say(&mut self, said: Draft) -> Result<()> {
        let conversation = self.conversation(&said.to, said.room.as_ref())?;
        let author = self.person(&self.me.clone())?;
        let mut own = self.own_stream(conversation.key, &said.to)?;
        let line = self.next_line(&own, &said);
        // The batch must also have space for the signature, which is not counted yet.
        let is_full = own.open.len() >= BATCH_LINES || own.bytes + line.encoded_len() + 145 > BATCH_BYTES;
        let other_state = own.open.last().is_some_and(|last| last.line.provenance.revision != said.revision);
        let line = if is_full || other_state {
            self.close_group(&mut own)?;
            self.next_line(&own, &said)
        } else {
            line
        };
        let row = self.new_row();
        let digest = digest(&said.to, &self.me, &line, &self.device, &own.digest);
        let new = NewLine {
            row,
            conversation: conversation.key,
            author,
            stream: own.key,
            line: &line,
            digest,
            late: false,
            audience: Some(write_audience(&said.audience)),
        };
        match new.write(&self.db) {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                self.own.insert(conversation.key, own);
                self.meta.next_row = row;
                self.freed.extend((!said.audience.is_empty()).then(|| (said.to, QuotaUsage::of(&said.text))));
                self.report(Report::NotKept { ids: vec![said.id], why: "its id is in use already".into() });
                return Ok(());
            }
            written => written?,
        }
        self.wait_for(row, &own, &line, &said)?;
        self.note_time(&said.to, line.provenance.lamport)?;
        own.seq = line.provenance.seq;
        own.digest = digest;
        own.heads.clear();
        own.bytes += line.encoded_len();
        own.open.push(OutgoingMessage {
            row,
            conversation: said.to,
            room: said.room.or(conversation.name),
            line,
            audience: said.audience,
        });
        if own.name.conversation.room().is_none() {
            self.close_group(&mut own)?;
        }
        self.own.insert(conversation.key, own);
        Ok(())
    }

    /// Signs all open batches, so that each commit ends with complete signed batches.
    pub(crate) fn close_groups(&mut self) -> Result<()> {
        let open: Vec<i64> =
            self.own.iter().filter(|(_, own)| !own.open.is_empty()).map(|(key, _)| *key).collect();
        for key in open {
            if let Some(mut own) = self.own.remove(&key) {
                self.close_group(&mut own)?;
                self.own.insert(key, own);
            }
        }
        Ok(())
    }

    fn close_group(&mut self, own: &mut OwnStream) -> Result<()> {
        let mut lines = std::mem::take(&mut own.open);
        own.bytes = 0;
        let Some(first) = lines.first().map(|first| first.line.provenance.seq) else { return Ok(()) };
        if let Some(last) = lines.last_mut() {
            let signature = signed_batch::sign(&self.key, &own.digest);
            last.line.provenance.signature = Some(signature);
            self.db
                .prepare_cached("UPDATE messages SET signature = ?2 WHERE row = ?1")?
                .execute(params![last.row, signature.0])?;
        }
        self.note_span(&own.name, first, own.seq);
        self.report(Report::Said(lines));
        Ok(())
    }

    fn next_line(&self, own: &OwnStream, said: &Draft) -> SignedMessage {
        let begins = own.open.is_empty();
        SignedMessage {
            id: said.id,
            author: self.me.clone(),
            sent_at: to_millis(said.sent_at),
            text: Text::Plain(said.text.clone()),
            provenance: Provenance {
                incarnation: own.name.incarnation,
                seq: own.seq + 1,
                lamport: self.next_time(&said.to),
                revision: said.revision,
                heads: own.heads.values().rev().take(HEADS_MAX).copied().collect(),
                previous: begins.then_some(own.digest),
                device: begins.then_some(self.device),
                signature: None,
            },
        }
    }

    /// Adds a message to the outbox of each recipient, and keeps the outbox within its quota.
    fn wait_for(&mut self, row: i64, own: &OwnStream, line: &SignedMessage, said: &Draft) -> Result<()> {
        let mut waits = Vec::new();
        for recipient in &said.audience {
            let person = self.person(recipient)?;
            if !waits.contains(&person) {
                self.db.prepare_cached("INSERT INTO outbox VALUES (?1, ?2)")?.execute([person, row])?;
                waits.push(person);
            }
        }
        let Some(conversation) = self.conversations.get(&said.to) else { return Ok(()) };
        if !waits.is_empty() {
            let waiting = WaitingLine {
                id: said.id,
                conversation: conversation.key,
                stream: own.key,
                seq: line.provenance.seq,
                bytes: said.text.len(),
                waits: waits.clone(),
                is_withdrawn: false,
            };
            let conversation = waiting.conversation;
            self.outbox.add(row, waiting);
            self.keep_quota(conversation, &waits)?;
        }
        Ok(())
    }

    /// Takes this device's stream in a conversation out of memory. The caller must put it back into `self.own`.
    fn own_stream(&mut self, conversation: i64, id: &ConversationId) -> Result<OwnStream> {
        if let Some(own) = self.own.remove(&conversation) {
            return Ok(own);
        }
        let name = StreamName {
            conversation: id.clone(),
            author: self.me.clone(),
            incarnation: self.meta.incarnation,
        };
        if self.known_stream(&name)?.is_none() {
            self.begin_stream(&name, self.device)?;
        }
        let (key, seq, tip) = match self.known_stream(&name)? {
            Some(stream) => (stream.key, stream.spans.last(), stream.tip),
            None => return Err(rusqlite::Error::QueryReturnedNoRows),
        };
        let digest = match digest_at(&self.db, key, seq)? {
            Some(digest) => digest,
            None => tip.filter(|(at, _)| *at == seq).map_or(NO_DIGEST, |(_, digest)| digest),
        };
        let heads = self.heads(conversation, key)?;
        Ok(OwnStream { name, key, seq, digest, heads, open: Vec::new(), bytes: 0 })
    }

    /// Returns the ids of the latest messages in other streams since this device's last message, by stream.
    fn heads(&self, conversation: i64, own: i64) -> Result<BTreeMap<i64, Uuid>> {
        let mut query = self.db.prepare_cached(
            "SELECT stream, id FROM messages WHERE conversation = ?1 AND stream IS NOT NULL AND stream <> ?2
             AND lamport > (SELECT coalesce(max(lamport), 0) FROM messages WHERE stream = ?2
                 AND seq = (SELECT max(seq) FROM messages WHERE stream = ?2))
             ORDER BY lamport DESC LIMIT ?3",
        )?;
        let latest = query.query_map(params![conversation, own, RECENT_HEADS], |row| {
            Ok((row.get(0)?, Uuid::from_bytes(row.get(1)?)))
        })?;
        let mut heads = BTreeMap::new();
        for found in latest {
            let (stream, id) = found?;
            heads.entry(stream).or_insert(id);
        }
        Ok(heads)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::command::Request;
    use crate::history::history_db::HistoryDb;
    use crate::history::testing::*;

    /// Returns the number of messages in each signed batch.
    fn groups(lines: &[SignedMessage]) -> Vec<usize> {
        let sizes = lines.chunk_by(|_, next| next.provenance.previous.is_none()).map(<[_]>::len);
        sizes.collect()
    }

    fn say_all(ledger: &mut HistoryDb, said: impl IntoIterator<Item = Draft>) -> Vec<SignedMessage> {
        said.into_iter().for_each(|said| ledger.apply(Request::Say(said)));
        outgoing_messages(ledger.commit()).into_iter().map(|said| said.line).collect()
    }

    #[test]
    fn batch_ends_at_its_limits_a_new_revision_and_a_commit() {
        let mut ana = ledger(ANA);
        let lines = say_all(&mut ana, (0..150).map(|n| draft(&room(), &n.to_string(), &[BOB])));
        assert_eq!(groups(&lines), [BATCH_LINES, BATCH_LINES, 22]);
        let lines = say_all(&mut ana, (0..10).map(|_| draft(&room(), &"x".repeat(8_000), &[BOB])));
        assert_eq!(groups(&lines), [5, 5]);
        let lines =
            say_all(&mut ana, (0..6).map(|n| Draft { revision: 3 + n / 4, ..draft(&room(), "hi", &[BOB]) }));
        assert_eq!(groups(&lines), [4, 2]);
        let lines = say_all(&mut ana, (0..3).map(|_| draft(&private(BOB), "hi", &[BOB])));
        assert_eq!(groups(&lines), [1, 1, 1]);
        let all = say(&mut ana, &room(), &["last"], &[BOB]);
        assert_eq!(all[0].provenance.seq, 167);
    }

    #[test]
    fn every_group_fits_a_frame_and_ends_signed() {
        let mut ana = ledger(ANA);
        for text in ["hi".to_owned(), "\u{1}".repeat(8_192), "\"".repeat(700), "é".repeat(400)] {
            let lines = say_all(&mut ana, (0..130).map(|_| draft(&room(), &text, &[BOB])));
            for group in lines.chunk_by(|_, next| next.provenance.previous.is_none()) {
                let wire = group.iter().map(|line| line.wire(None)).collect();
                let frame = commons::protocol::between_peers::PeerMessage::Lines {
                    room_id: room().room(),
                    lines: wire,
                };
                assert!(serde_json::to_string(&frame).unwrap().len() < commons::limits::FRAME_MAX);
                let signed: Vec<_> = group.iter().map(|line| line.provenance.signature.is_some()).collect();
                assert_eq!(signed.iter().position(|signed| *signed), Some(group.len() - 1));
            }
        }
    }

    #[test]
    fn a_line_names_what_its_author_had_seen() {
        let (mut ana, mut bob) = (ledger(ANA), ledger(BOB));
        let first = say(&mut ana, &room(), &["1", "2"], &[BOB]);
        ingest(&mut bob, ANA, &room(), &first);
        let answer = say(&mut bob, &room(), &["answer", "and more"], &[ANA]);
        assert_eq!(answer[0].provenance.heads, [first[1].id]);
        assert!(answer[1].provenance.heads.is_empty(), "named before");
        assert!(answer[0].provenance.lamport > first[1].provenance.lamport);
        ingest(&mut ana, BOB, &room(), &answer);
        let last = say(&mut ana, &room(), &["last"], &[BOB]);
        assert_eq!(last[0].provenance.heads, [answer[1].id]);
        // The result is the same after the state is read from the disk.
        ingest(&mut bob, ANA, &room(), &last);
        bob.store.own.clear();
        assert_eq!(say(&mut bob, &room(), &["x"], &[ANA])[0].provenance.heads, [last[0].id]);
    }

    #[test]
    fn repeated_message_is_refused_and_the_others_are_kept() {
        let mut ana = ledger(ANA);
        let line = draft(&room(), "1", &[BOB]);
        ana.apply(Request::Say(line.clone()));
        ana.apply(Request::Say(line.clone()));
        ana.apply(Request::Say(draft(&room(), "2", &[BOB])));
        let reports = ana.commit();
        assert!(matches!(&reports[0], Report::NotKept { ids, .. } if *ids == [line.id]), "{reports:?}");
        let lines: Vec<_> = outgoing_messages(reports).into_iter().map(|said| said.line).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(texts(&ingest(&mut ledger(BOB), ANA, &room(), &lines)), ["1", "2"]);
    }
}
