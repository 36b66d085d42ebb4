//! Own messages: the history numbers, chains and signs them.
//!
//! Each own message gets the next sequence number of its stream and a digest that covers the digest before it.
//! Consecutive messages form a signed batch: only the last one carries a signature, which covers the whole chain.
//! A batch ends at its size limits, at a new revision of the room, and at a commit. For example, 150 pasted
//! messages become batches of 64, 64 and 22 messages with one signature each. In private conversations each
//! message is a batch of its own.

use std::collections::BTreeMap;

use commons::limits::{BATCH_BYTES, BATCH_LINES};
use commons::protocol::provenance::Provenance;
use rusqlite::{ErrorCode, Result, params};

use crate::history::acks::runs;
use crate::history::batch_assembler::StreamName;
use crate::history::conversation::ConversationId;
use crate::history::message::{BatchStart, NO_DIGEST, SignedMessage, Text, digest, to_millis};
use crate::history::outbox::WaitingMessage;
use crate::history::report::{OutgoingMessage, Report};
use crate::history::request::Draft;
use crate::history::rows::{NewRow, digest_at, write_audience};
use crate::history::signed_batch;
use crate::history::tables::{OwnStream, Tables};

impl Tables {
    /// Stages an own message: numbers it, chains it and adds it to the outbox.
    pub(crate) fn append(&mut self, draft: Draft) -> Result<()> {
        let conversation = self.conversation(&draft.to, draft.room.as_ref())?;
        let author = self.user_key(&self.me.clone())?;
        let mut own = self.take_own_stream(conversation.key, &draft.to)?;
        let message = self.next_message(&own, &draft);
        // The batch must also have space for the signature, which is not counted yet.
        let is_full = own.open.len() >= BATCH_LINES || own.bytes + message.encoded_len() + 145 > BATCH_BYTES;
        let other_state =
            own.open.last().is_some_and(|last| last.message.provenance.revision != draft.revision);
        let message = if is_full || other_state {
            self.sign_batch(&mut own)?;
            self.next_message(&own, &draft)
        } else {
            message
        };
        let row = self.new_row();
        let start = BatchStart { device: self.device, head: draft.head };
        let digest = digest(&draft.to, &self.me, &message, &start, &own.digest);
        let new = NewRow {
            row,
            conversation: conversation.key,
            author,
            stream: own.key,
            message: &message,
            digest,
            late: false,
            audience: Some(write_audience(&draft.audience)),
        };
        match new.write(&self.db) {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                self.own.insert(conversation.key, own);
                self.meta.next_row = row;
                self.report(Report::NotStored {
                    ids: vec![draft.id],
                    why: "its id is in use already".into(),
                });
                return Ok(());
            }
            written => written?,
        }
        self.add_to_outbox(row, &own, &message, &draft)?;
        self.advance_clock(&draft.to, message.provenance.lamport)?;
        own.seq = message.provenance.seq;
        own.digest = digest;
        own.bytes += message.encoded_len();
        own.open.push(OutgoingMessage {
            row,
            conversation: draft.to,
            room: draft.room.or(conversation.name),
            message,
            audience: draft.audience,
        });
        if own.name.conversation.room().is_none() {
            self.sign_batch(&mut own)?;
        }
        self.own.insert(conversation.key, own);
        Ok(())
    }

    /// Signs all open batches, so that each commit ends with complete signed batches.
    pub(crate) fn sign_open_batches(&mut self) -> Result<()> {
        let open: Vec<i64> =
            self.own.iter().filter(|(_, own)| !own.open.is_empty()).map(|(key, _)| *key).collect();
        for key in open {
            if let Some(mut own) = self.own.remove(&key) {
                self.sign_batch(&mut own)?;
                self.own.insert(key, own);
            }
        }
        Ok(())
    }

    fn sign_batch(&mut self, own: &mut OwnStream) -> Result<()> {
        let mut messages = std::mem::take(&mut own.open);
        self.write_outbox(&messages)?;
        own.bytes = 0;
        let Some(first) = messages.first().map(|first| first.message.provenance.seq) else { return Ok(()) };
        if let Some(last) = messages.last_mut() {
            let signature = signed_batch::sign(&self.key, &own.digest);
            last.message.provenance.signature = Some(signature);
            self.db
                .prepare_cached("UPDATE messages SET signature = ?2 WHERE row = ?1")?
                .execute(params![last.row, signature.0])?;
        }
        self.note_span(&own.name, first, own.seq);
        self.report(Report::Committed(messages));
        Ok(())
    }

    fn next_message(&self, own: &OwnStream, draft: &Draft) -> SignedMessage {
        let begins = own.open.is_empty();
        SignedMessage {
            id: draft.id,
            author: self.me.clone(),
            sent_at: to_millis(draft.sent_at),
            text: Text::Plain(draft.text.clone()),
            provenance: Provenance {
                incarnation: own.name.incarnation,
                seq: own.seq + 1,
                lamport: self.next_lamport(&draft.to),
                revision: draft.revision,
                heads: Vec::new(),
                head: draft.head.filter(|_| begins),
                previous: begins.then_some(own.digest),
                device: begins.then_some(self.device),
                signature: None,
            },
        }
    }

    /// Writes the messages of a batch to the table of the outbox. Consecutive rows are written together.
    fn write_outbox(&self, batch: &[OutgoingMessage]) -> Result<()> {
        let mut rows = BTreeMap::<i64, Vec<i64>>::new();
        for message in batch {
            for recipient in self.outbox.message(message.row).iter().flat_map(|waiting| &waiting.waits) {
                rows.entry(*recipient).or_default().push(message.row);
            }
        }
        let mut insert = self
            .db
            .prepare_cached("INSERT INTO outbox SELECT ?1, row FROM messages WHERE row BETWEEN ?2 AND ?3")?;
        for (recipient, rows) in rows {
            for (first, last) in runs(&rows) {
                insert.execute([recipient, first, last])?;
            }
        }
        Ok(())
    }

    /// Adds a message to the outbox of each recipient, and keeps the outbox within its quota. The table follows when the
    /// batch is signed.
    fn add_to_outbox(
        &mut self,
        row: i64,
        own: &OwnStream,
        message: &SignedMessage,
        draft: &Draft,
    ) -> Result<()> {
        let mut waits = Vec::new();
        for user in &draft.audience {
            let recipient = self.user_key(user)?;
            if !waits.contains(&recipient) {
                waits.push(recipient);
            }
        }
        let Some(conversation) = self.conversations.get(&draft.to) else { return Ok(()) };
        if !waits.is_empty() {
            let waiting = WaitingMessage {
                id: draft.id,
                conversation: conversation.key,
                stream: own.key,
                seq: message.provenance.seq,
                bytes: draft.text.len(),
                waits: waits.clone(),
                is_withdrawn: false,
            };
            let conversation = waiting.conversation;
            self.outbox.add(row, waiting);
            self.enforce_quota(conversation, &waits)?;
        }
        Ok(())
    }

    /// Takes this device's stream in a conversation out of memory. The caller must put it back into `self.own`.
    fn take_own_stream(&mut self, conversation: i64, id: &ConversationId) -> Result<OwnStream> {
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
        Ok(OwnStream { name, key, seq, digest, open: Vec::new(), bytes: 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::history_db::HistoryDb;
    use crate::history::request::Request;
    use crate::history::testing::*;

    /// Returns the number of messages in each signed batch.
    fn batches(messages: &[SignedMessage]) -> Vec<usize> {
        let sizes = messages.chunk_by(|_, next| !next.provenance.begins_batch()).map(<[_]>::len);
        sizes.collect()
    }

    fn say_all(history: &mut HistoryDb, sent: impl IntoIterator<Item = Draft>) -> Vec<SignedMessage> {
        sent.into_iter().for_each(|sent| history.apply(Request::Append(sent)));
        outgoing_messages(history.commit()).into_iter().map(|sent| sent.message).collect()
    }

    #[test]
    fn batch_ends_at_its_limits_a_new_revision_and_a_commit() {
        let mut ana = history(ANA);
        let messages = say_all(&mut ana, (0..150).map(|n| draft(&room(), &n.to_string(), &[BOB])));
        assert_eq!(batches(&messages), [BATCH_LINES, BATCH_LINES, 22]);
        let messages = say_all(&mut ana, (0..10).map(|_| draft(&room(), &"x".repeat(8_000), &[BOB])));
        assert_eq!(batches(&messages), [5, 5]);
        let messages =
            say_all(&mut ana, (0..6).map(|n| Draft { revision: 3 + n / 4, ..draft(&room(), "hi", &[BOB]) }));
        assert_eq!(batches(&messages), [4, 2]);
        let messages = say_all(&mut ana, (0..3).map(|_| draft(&private(BOB), "hi", &[BOB])));
        assert_eq!(batches(&messages), [1, 1, 1]);
        let all = say(&mut ana, &room(), &["last"], &[BOB]);
        assert_eq!(all[0].provenance.seq, 167);
    }

    #[test]
    fn every_group_fits_a_frame_and_ends_signed() {
        let mut ana = history(ANA);
        for text in ["hi".to_owned(), "\u{1}".repeat(8_192), "\"".repeat(700), "é".repeat(400)] {
            let messages = say_all(&mut ana, (0..130).map(|_| draft(&room(), &text, &[BOB])));
            for batch in messages.chunk_by(|_, next| !next.provenance.begins_batch()) {
                let wire = batch.iter().map(|message| message.wire(None)).collect();
                let frame = commons::protocol::between_peers::PeerMessage::Lines {
                    room_id: room().room(),
                    messages: wire,
                };
                assert!(serde_json::to_string(&frame).unwrap().len() < commons::limits::FRAME_MAX);
                let signed: Vec<_> = batch.iter().map(|message| message.provenance.ends_batch()).collect();
                assert_eq!(signed.iter().position(|signed| *signed), Some(batch.len() - 1));
            }
        }
    }

    #[test]
    fn answer_has_a_later_time_than_what_its_author_had_seen() {
        let (mut ana, mut bob) = (history(ANA), history(BOB));
        let first = say(&mut ana, &room(), &["1", "2"], &[BOB]);
        ingest(&mut bob, ANA, &room(), &first);
        let answer = say(&mut bob, &room(), &["answer"], &[ANA]);
        assert!(answer[0].provenance.lamport > first[1].provenance.lamport);
    }

    #[test]
    fn repeated_message_is_refused_and_the_others_are_stored() {
        let mut ana = history(ANA);
        let message = draft(&room(), "1", &[BOB]);
        ana.apply(Request::Append(message.clone()));
        ana.apply(Request::Append(message.clone()));
        ana.apply(Request::Append(draft(&room(), "2", &[BOB])));
        let reports = ana.commit();
        assert!(matches!(&reports[0], Report::NotStored { ids, .. } if *ids == [message.id]), "{reports:?}");
        let messages: Vec<_> = outgoing_messages(reports).into_iter().map(|sent| sent.message).collect();
        assert_eq!(messages.len(), 2);
        assert_eq!(texts(&ingest(&mut history(BOB), ANA, &room(), &messages)), ["1", "2"]);
    }
}
