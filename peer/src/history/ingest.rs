//! The ingest of messages from other devices. It stores each message once, and only if the message is verified and
//! fits the stored ones.
//!
//! A link delivers messages one by one. The assembler of the link collects them into signed batches. A complete
//! batch is verified and stored as a whole. For example, Carla forwards Ana's messages 1, 2 and 3, and message 3
//! carries the signature. Nothing is stored until message 3 arrives; then all three are stored together.
//!
//! After the commit, the peer acknowledges the last message of a link. The ack is withheld while an earlier
//! message from that link is not stored but may still become valid. It is sent when that message has come again,
//! on any link.

use commons::names::{RoomName, Username};
use commons::protocol::provenance::StreamSpans;
use rusqlite::{ErrorCode, OptionalExtension, Result, params};

use crate::history::answer::StoredMessage;
use crate::history::batch_assembler::{BatchAssembler, StreamName};
use crate::history::message::{SignedMessage, Text};
use crate::history::report::{IncomingMessage, Report};
use crate::history::request::{InboundBatch, UnsignedMessage};
use crate::history::rows::NewRow;
use crate::history::signed_batch::Chain;
use crate::history::tables::{Omission, Tables};
use crate::history::verify::{Verdict, numbers};

/// A signed batch that was stored.
struct StoredBatch {
    /// The number of messages before it that count as missing.
    missing: u64,
    /// True if it counts as late.
    late: bool,
}

impl Tables {
    /// Stages the verified signed batches that these messages complete.
    pub(crate) fn ingest(&mut self, received: InboundBatch) -> Result<()> {
        let InboundBatch { from, conversation, room, messages, late, trusted } = received;
        let known = self.conversation(&conversation, room.as_ref())?;
        let room = room.or(known.name);
        for message in messages {
            let name = StreamName::of(&conversation, &message);
            if name.author == from && !self.unacked_streams.contains(&name) {
                self.unacked_streams.insert(name.clone());
            }
            let taken = self.assembler(&from).take(&conversation, message);
            if taken.broken > 0 {
                self.report_refusal(&from, &name, "a signed batch without its end");
            }
            let Some(batch) = taken.whole else { continue };
            self.uncommitted.push((from.clone(), batch.iter().map(|message| message.id).collect()));
            let keys = self.keys_of(&name.author, &trusted);
            let stored = match self.verify(&name, &from, &batch, &keys)? {
                Ok(chain) => self.store_batch(known.key, &name, &batch, &chain, late)?,
                Err(verdict) => Err(verdict),
            };
            match stored {
                Ok(stored) => self.publish_batch(&name, room.as_ref(), batch, stored),
                Err(verdict) => self.drop_batch(&from, &name, room.as_ref(), &batch, verdict)?,
            }
        }
        Ok(())
    }

    /// Returns the assembler of the link to a user.
    fn assembler(&mut self, user: &Username) -> &mut BatchAssembler {
        self.assemblers.entry(user.clone()).or_default()
    }

    /// Drops a batch that is not stored, and reports the reason unless it is a duplicate. The ack is withheld only if the
    /// batch may be accepted when it comes again.
    fn drop_batch(
        &mut self,
        from: &Username,
        name: &StreamName,
        room: Option<&RoomName>,
        batch: &[SignedMessage],
        verdict: Verdict,
    ) -> Result<()> {
        if matches!(verdict, Verdict::NotYet(_)) {
            self.assembler(from).miss(batch);
        } else {
            self.drop_withheld_acks(batch);
        }
        let why = match verdict {
            Verdict::Duplicate => return Ok(()),
            Verdict::Fork(seq) => {
                self.report_fork(name, room, seq)?;
                "another message has this sequence number"
            }
            Verdict::Refused(why) | Verdict::NotYet(why) => why,
        };
        self.report_refusal(from, name, why);
        Ok(())
    }

    fn report_refusal(&mut self, from: &Username, name: &StreamName, why: &'static str) {
        self.report(Report::BatchRejected { from: from.clone(), author: name.author.clone(), why });
    }

    /// Stages a message without provenance. Its Lamport time is assigned here.
    pub(crate) fn ingest_unsigned(&mut self, message: UnsignedMessage) -> Result<()> {
        let conversation = self.conversation(&message.conversation, message.room.as_ref())?;
        let author = self.user_key(&message.from)?;
        let row = self.meta.next_row;
        let lamport = self.next_lamport(&message.conversation);
        let added = self
            .db
            .prepare_cached(
                "INSERT INTO messages (row, conversation, author, id, lamport, revision, sent_at, text, late)
                 VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6, ?7, 0) ON CONFLICT DO NOTHING",
            )?
            .execute(params![
                row,
                conversation.key,
                author,
                message.id.as_bytes(),
                lamport.cast_signed(),
                message.sent_at.timestamp_millis(),
                message.text
            ])?;
        self.assembler(&message.from).came(message.id);
        if added > 0 {
            self.new_row();
            self.advance_clock(&message.conversation, lamport)?;
            self.report(Report::Received(vec![unsigned(message, row)]));
        }
        Ok(())
    }

    /// Reports the acks that are due after a commit. Each stream whose author sent messages gets one, with the
    /// stored sequence ranges. Each link gets one for its last message, unless an earlier message is missing.
    pub(crate) fn report_acks(&mut self) {
        for name in std::mem::take(&mut self.unacked_streams) {
            let Some(stream) = self.streams.get(&name) else { continue };
            let StreamName { conversation, author, incarnation } = name;
            let stream = StreamSpans {
                username: author.as_str().to_owned(),
                incarnation,
                spans: stream.spans.iter().collect(),
            };
            self.reports.push(Report::AckDue { author, conversation, stream });
        }
        for (from, link) in &mut self.assemblers {
            let streams = &self.streams;
            link.drop_known(|name, seq| streams.get(name).is_some_and(|stream| stream.spans.contains(seq)));
            if let Some(id) = link.due_ack() {
                self.reports.push(Report::LegacyAckDue { from: from.clone(), id });
            }
        }
    }

    /// Stores a signed batch. It counts as late if the sync brought it, or if a later message of its author is stored
    /// already. It is refused if a message reuses the id of another one.
    fn store_batch(
        &mut self,
        conversation: i64,
        name: &StreamName,
        batch: &[SignedMessage],
        chain: &Chain,
        late: bool,
    ) -> Result<std::result::Result<StoredBatch, Verdict>> {
        let (first, last) = numbers(batch);
        if self.known_stream(name)?.is_none() {
            self.begin_stream(name, chain.start.device)?;
        }
        let Some(stream) = self.known_stream(name)? else { return Err(rusqlite::Error::QueryReturnedNoRows) };
        let (key, before) = (stream.key, stream.spans.last());
        let late = late || first <= before;
        let missing = if first > before + 1 {
            if self.counts_as_missing(conversation, name, key, before)? { first - before - 1 } else { 0 }
        } else {
            0
        };
        let author = self.user_key(&name.author)?;
        if self.omits(Omission::Doubles) {
            self.db.execute(
                "DELETE FROM messages WHERE stream = ?1 AND seq BETWEEN ?2 AND ?3",
                [key, first.cast_signed(), last.cast_signed()],
            )?;
        }
        self.db.prepare_cached("SAVEPOINT whole")?.execute([])?;
        let rows = self.meta.next_row;
        for ((message, digest), row) in batch.iter().zip(&chain.digests).zip(rows..) {
            let new = NewRow {
                row,
                conversation,
                author,
                stream: key,
                message,
                digest: *digest,
                late,
                audience: None,
            };
            match new.write(&self.db) {
                Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                    self.db.prepare_cached("ROLLBACK TO whole")?.execute([])?;
                    self.db.prepare_cached("RELEASE whole")?.execute([])?;
                    return Ok(Err(Verdict::Refused("an identity that is another message's")));
                }
                written => written?,
            }
        }
        self.db.prepare_cached("RELEASE whole")?.execute([])?;
        self.meta.next_row += batch.len().cast_signed() as i64;
        self.note_span(name, first, last);
        for message in batch {
            self.advance_clock(&name.conversation, message.provenance.lamport)?;
        }
        Ok(Ok(StoredBatch { missing, late }))
    }

    /// Returns true if a gap before a batch counts as missing messages: this user was already a member when the
    /// gap began. In private conversations, every gap counts.
    fn counts_as_missing(
        &mut self,
        conversation: i64,
        name: &StreamName,
        stream: i64,
        before: u64,
    ) -> Result<bool> {
        if name.conversation.room().is_none() {
            return Ok(true);
        }
        let (me, author) = (self.user_key(&self.me.clone())?, self.user_key(&name.author)?);
        let mut query = self.db.prepare_cached(
            "SELECT min(since) FROM memberships WHERE conversation = ?1 AND user = ?2 AND until IS NULL",
        )?;
        let since: Option<i64> = query.query_row([conversation, me], |row| row.get(0))?;
        let mut query = if before == 0 {
            // The gap begins at the author's first membership.
            self.db
                .prepare_cached("SELECT min(since) FROM memberships WHERE conversation = ?1 AND user = ?2")?
        } else {
            self.db.prepare_cached("SELECT revision FROM messages WHERE stream = ?1 AND seq = ?2")?
        };
        let from: Option<i64> = if before == 0 {
            query.query_row([conversation, author], |row| row.get(0)).optional()?.flatten()
        } else {
            query.query_row([stream, before.cast_signed()], |row| row.get(0)).optional()?
        };
        Ok(since.zip(from).is_some_and(|(since, from)| since <= from))
    }

    fn publish_batch(
        &mut self,
        name: &StreamName,
        room: Option<&RoomName>,
        batch: Vec<SignedMessage>,
        StoredBatch { mut missing, late }: StoredBatch,
    ) {
        self.drop_withheld_acks(&batch);
        let first = self.meta.next_row - batch.len().cast_signed() as i64;
        let messages = batch.into_iter().zip(first..).map(move |(message, row)| {
            let place = Some((message.provenance.incarnation, message.provenance.seq));
            let is_withdrawn = matches!(message.text, Text::Withdrawn(_));
            // The first message that is shown says how many are missing before it.
            let missing = if is_withdrawn { 0 } else { std::mem::take(&mut missing) };
            let message = StoredMessage {
                row,
                conversation: name.conversation.clone(),
                room: room.cloned(),
                from: message.author,
                id: message.id,
                text: message.text.plain().to_owned(),
                sent_at: message.sent_at,
                signed: true,
                late,
                hits: Vec::new(),
            };
            IncomingMessage { message, missing, place, is_withdrawn }
        });
        self.early.add(messages);
    }

    fn report_fork(&mut self, name: &StreamName, room: Option<&RoomName>, seq: u64) -> Result<()> {
        let Some(stream) = self.known_stream(name)? else { return Ok(()) };
        let key = stream.key;
        let is_unannounced = self
            .db
            .prepare_cached("INSERT INTO forks VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
            .execute([key, seq.cast_signed()])?;
        if is_unannounced > 0 {
            self.report(Report::Fork {
                conversation: name.conversation.clone(),
                room: room.cloned(),
                author: name.author.clone(),
            });
        }
        Ok(())
    }

    /// Removes these messages from the ones for which acks are withheld, on all links.
    fn drop_withheld_acks(&mut self, batch: &[SignedMessage]) {
        for link in self.assemblers.values_mut() {
            batch.iter().for_each(|message| link.keep(&message.id));
        }
    }
}

/// Converts a message without provenance into the form in which it is reported.
pub(crate) fn unsigned(message: UnsignedMessage, row: i64) -> IncomingMessage {
    let UnsignedMessage { conversation, room, from, id, sent_at, text } = message;
    let message = StoredMessage {
        row,
        conversation,
        room,
        from,
        id,
        text,
        sent_at,
        signed: false,
        late: false,
        hits: Vec::new(),
    };
    IncomingMessage { message, missing: 0, place: None, is_withdrawn: false }
}
