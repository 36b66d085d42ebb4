//! Delivery state of own messages: which recipient has acknowledged which message.
//!
//! An own message stays in the outbox until every recipient has acknowledged it, or until it is given up for the
//! others. An acknowledgement is cumulative: peers store messages in the order in which they are sent. For
//! example, messages 1, 2 and 3 wait for Bob. An ack of message 2 delivers 1 and 2, and message 3 still waits. A
//! HAVE frame from Bob acknowledges exactly the sequence ranges that it names.

use std::collections::{BTreeMap, HashSet};

use commons::names::Username;
use commons::protocol::provenance::StreamSpans;
use rusqlite::{Result, params};
use uuid::Uuid;

use crate::history::answer::NotWithdrawn;
use crate::history::batch_assembler::StreamName;
use crate::history::conversation::ConversationId;
use crate::history::message::{SignedMessage, Text};
use crate::history::report::{GivenUp, OutgoingMessage, Report};
use crate::history::rows::{batch_at, note_written, read_audience, read_written, write_audience};
use crate::history::seq_ranges::SeqRanges;
use crate::history::tables::Tables;

impl Tables {
    /// Marks these messages as delivered to a recipient, and all earlier messages that wait for the same
    /// recipient. The ack is cumulative because a recipient stores messages in the order in which they are sent.
    pub(crate) fn mark_delivered_up_to(&mut self, to: &Username, ids: &[Uuid]) -> Result<()> {
        let Some(recipient) = self.known_user_key(to)? else { return Ok(()) };
        let last = ids.iter().filter_map(|id| self.outbox.row(id)).max().unwrap_or(0);
        let before = self.outbox.for_recipient(recipient, 0).take_while(|(row, _)| *row <= last);
        let rows: Vec<i64> = before.map(|(row, _)| row).collect();
        self.report_delivered(to, &rows)
    }

    /// Marks messages as written to a legacy client. A legacy client sends no ack, so these messages do not count
    /// as delivered.
    pub(crate) fn mark_written(&mut self, to: &Username, ids: &[Uuid]) -> Result<()> {
        let rows: Vec<i64> = ids.iter().filter_map(|id| self.outbox.row(id)).collect();
        // The message may have been given up after it was written. The client has it nevertheless.
        let mut written = Vec::new();
        for id in ids {
            written.extend(self.own_message(id)?.map(|(row, _)| row));
        }
        let ids = self.remove_waiting(to, &rows)?;
        for row in written {
            let noted = note_written(self.audience_text(row)?.as_deref(), to);
            self.keep_audience(row, &noted)?;
        }
        if !ids.is_empty() {
            self.report(Report::Written { to: to.clone(), ids });
        }
        Ok(())
    }

    /// Stops waiting for a recipient to store these messages, for the given reason.
    pub(crate) fn give_up(&mut self, to: &Username, ids: &[Uuid], why: GivenUp) -> Result<()> {
        let rows: Vec<i64> = ids.iter().filter_map(|id| self.outbox.row(id)).collect();
        let ids = self.remove_waiting(to, &rows)?;
        for row in rows {
            self.shrink_audience(row, std::slice::from_ref(to))?;
        }
        if !ids.is_empty() {
            self.report(Report::GivenUp { to: to.clone(), ids, why });
        }
        Ok(())
    }

    /// Marks own messages as delivered if they lie in the sequence ranges that a peer reports in a HAVE frame.
    pub(crate) fn mark_ranges_delivered(
        &mut self,
        to: &Username,
        conversation: &ConversationId,
        theirs: &[StreamSpans],
    ) -> Result<()> {
        let Some(recipient) = self.known_user_key(to)? else { return Ok(()) };
        let mut rows = Vec::new();
        let me = self.me.clone();
        for claimed in theirs.iter().filter(|claimed| claimed.username == me.as_str()) {
            let Ok(spans) = SeqRanges::read(&claimed.spans) else { continue };
            let name = StreamName {
                conversation: conversation.clone(),
                author: me.clone(),
                incarnation: claimed.incarnation,
            };
            let Some(stream) = self.known_stream(&name)?.map(|stream| stream.key) else { continue };
            let waiting = self.outbox.in_stream(stream, recipient);
            rows.extend(waiting.filter(|(_, seq)| spans.contains(*seq)).map(|(row, _)| row));
        }
        self.report_delivered(to, &rows)
    }

    /// Marks messages as delivered to a recipient and reports the ones that were still waiting.
    fn report_delivered(&mut self, to: &Username, rows: &[i64]) -> Result<()> {
        let ids = self.remove_waiting(to, rows)?;
        if !ids.is_empty() {
            self.report(Report::Delivered { to: to.clone(), ids });
        }
        Ok(())
    }

    /// Removes messages from the outbox of a recipient. Returns the ids of those that were still waiting, without
    /// withdrawn ones.
    fn remove_waiting(&mut self, to: &Username, rows: &[i64]) -> Result<Vec<Uuid>> {
        let Some(recipient) = self.known_user_key(to)? else { return Ok(Vec::new()) };
        let mut rows = rows.to_vec();
        rows.sort_unstable();
        rows.dedup();
        let mut ids = Vec::new();
        rows.retain(|row| {
            let waits = self.outbox.message(*row).filter(|message| message.waits.contains(&recipient));
            ids.extend(waits.filter(|message| !message.is_withdrawn).map(|message| message.id));
            waits.is_some()
        });
        self.delete_waiting(&rows, recipient)?;
        Ok(ids)
    }

    /// Keeps the outbox of each recipient within its quota: the oldest signed batches are given up. A signed batch
    /// is only sent as a whole. If half of it were given up, the recipient would still get that half.
    pub(crate) fn enforce_quota(&mut self, conversation: i64, recipients: &[i64]) -> Result<()> {
        let is_full = |recipient: &i64| self.outbox.surplus(conversation, *recipient).is_some();
        for recipient in recipients.iter().copied().filter(is_full).collect::<Vec<_>>() {
            let (mut ids, to) = (Vec::new(), self.names(&[recipient])?);
            while let Some(oldest) = self.outbox.surplus(conversation, recipient) {
                for row in self.batch_of(oldest)? {
                    let waiting =
                        self.outbox.message(row).filter(|message| message.waits.contains(&recipient));
                    let Some(message) = waiting else { continue };
                    ids.extend((!message.is_withdrawn).then_some(message.id));
                    self.delete_waiting(&[row], recipient)?;
                    self.shrink_audience(row, &to)?;
                }
            }
            if let Some(to) = to.into_iter().next().filter(|_| !ids.is_empty()) {
                self.report(Report::GivenUp { to, ids, why: GivenUp::QueueFull });
            }
        }
        Ok(())
    }

    /// Returns the rows of the signed batch that holds a waiting message, including the message itself.
    fn batch_of(&self, row: i64) -> Result<Vec<i64>> {
        let Some(message) = self.outbox.message(row) else { return Ok(vec![row]) };
        let batch = batch_at(&self.db, message.stream, message.seq)?;
        Ok(std::iter::once(row).chain(batch.into_iter().map(|stored| stored.row)).collect())
    }

    /// Removes these messages from the outbox of a recipient. Consecutive rows are removed together: an ack covers
    /// many.
    fn delete_waiting(&mut self, rows: &[i64], recipient: i64) -> Result<()> {
        let mut delete = self
            .db
            .prepare_cached("DELETE FROM outbox WHERE recipient = ?1 AND message BETWEEN ?2 AND ?3")?;
        for (first, last) in runs(rows) {
            delete.execute([recipient, first, last])?;
        }
        for row in rows {
            self.outbox.remove(*row, recipient);
        }
        Ok(())
    }

    /// Gives up all messages that wait for users other than these members. It also gives up messages that were
    /// written before revision `since`, the start of this user's own membership.
    pub(crate) fn prune_outbox(
        &mut self,
        conversation: &ConversationId,
        members: &[Username],
        since: u64,
        why: GivenUp,
    ) -> Result<()> {
        let Some(key) = self.known_conversation(conversation)?.map(|known| known.key) else { return Ok(()) };
        // The table has the messages of signed batches only.
        self.sign_open_batches()?;
        let mut stay = Vec::new();
        for member in members {
            stay.extend(self.known_user_key(member)?);
        }
        let mut given_up: BTreeMap<i64, Vec<Uuid>> = BTreeMap::new();
        let here = self.outbox.iter().filter(|(_, message)| message.conversation == key);
        let messages: Vec<_> = here.map(|(row, message)| (row, message.clone())).collect();
        let earlier = self.waiting_before(key, since)?;
        for (row, message) in messages {
            let stays = |recipient: &i64| stay.contains(recipient) && !earlier.contains(&row);
            let gone: Vec<i64> =
                message.waits.iter().copied().filter(|recipient| !stays(recipient)).collect();
            for recipient in &gone {
                self.delete_waiting(&[row], *recipient)?;
                if !message.is_withdrawn {
                    given_up.entry(*recipient).or_default().push(message.id);
                }
            }
            if !gone.is_empty() {
                self.shrink_audience(row, &self.names(&gone)?)?;
            }
        }
        for (recipient, ids) in given_up {
            let to = self.names(&[recipient])?.remove(0);
            self.report(Report::GivenUp { to, ids, why });
        }
        Ok(())
    }

    /// Returns the rows of waiting messages that were written before this revision of the room.
    fn waiting_before(&self, conversation: i64, revision: u64) -> Result<HashSet<i64>> {
        let mut query = self.db.prepare_cached(
            "SELECT message FROM outbox JOIN messages ON row = message WHERE conversation = ?1 AND revision < ?2",
        )?;
        query.query_map([conversation, revision.cast_signed()], |row| row.get(0))?.collect()
    }

    /// Removes users from the audience of a message. A user in the audience for whom the message does not wait
    /// counts as one who has it.
    fn shrink_audience(&self, row: i64, gone: &[Username]) -> Result<()> {
        let text = self.audience_text(row)?;
        let written = read_written(text.as_deref());
        let mut audience = read_audience(text.as_deref());
        audience.retain(|name| !gone.contains(name));
        let stay = written.iter().filter(|name| audience.contains(name));
        let noted = stay.fold(write_audience(&audience), |shrunk, name| note_written(Some(&shrunk), name));
        self.keep_audience(row, &noted)
    }

    fn keep_audience(&self, row: i64, text: &str) -> Result<()> {
        self.withheld.borrow_mut().clear();
        let mut update = self.db.prepare_cached("UPDATE messages SET audience = ?2 WHERE row = ?1")?;
        update.execute(params![row, text]).map(drop)
    }

    fn audience(&self, row: i64) -> Result<Vec<Username>> {
        Ok(read_audience(self.audience_text(row)?.as_deref()))
    }

    /// Returns the recipients of an own message as the table stores them.
    pub(crate) fn audience_text(&self, row: i64) -> Result<Option<String>> {
        let mut query = self.db.prepare_cached("SELECT audience FROM messages WHERE row = ?1")?;
        query.query_row([row], |row| row.get(0))
    }

    /// Returns the own messages after a row that wait for a recipient. The report holds as many whole signed
    /// batches as fit in `bytes`, but at least one.
    pub(crate) fn pending(&self, to: &Username, after: i64, bytes: usize) -> Result<Report> {
        let recipient = self.known_user_key(to)?;
        let waiting = recipient.map(|recipient| self.outbox.for_recipient(recipient, after));
        let waiting: Vec<_> =
            waiting.into_iter().flatten().map(|(row, message)| (row, message.stream, message.seq)).collect();
        let queried_after = after;
        let (mut messages, mut taken, mut after, mut more) = (Vec::new(), HashSet::new(), after, false);
        let mut room = bytes;
        for (row, stream, seq) in waiting {
            if !taken.contains(&row) {
                let batch = batch_at(&self.db, stream, seq)?;
                let size: usize = batch.iter().map(|stored| stored.message.encoded_len()).sum();
                if size > room && !messages.is_empty() {
                    more = true;
                    break;
                }
                room = room.saturating_sub(size);
                let (conversation, room) = self.stream_conversation(stream)?;
                taken.extend(batch.iter().map(|stored| stored.row));
                messages.extend(batch.into_iter().map(|stored| OutgoingMessage {
                    row: stored.row,
                    conversation: conversation.clone(),
                    room: room.clone(),
                    message: stored.message,
                    audience: stored.audience,
                }));
            }
            after = row;
        }
        Ok(Report::Pending { to: to.clone(), queried_after, messages, after, more })
    }

    /// Withdraws an own message: its text is erased. This fails if a recipient has the message, or if it was
    /// written to a legacy client.
    pub fn withdraw(&mut self, id: &Uuid) -> Result<std::result::Result<(), NotWithdrawn>> {
        let Some((row, text)) = self.own_message(id)? else { return Ok(Err(NotWithdrawn::Unknown)) };
        let waits = self.outbox.message(row).map_or_else(Vec::new, |message| message.waits.clone());
        let waits = self.names(&waits)?;
        let mut has = self.audience(row)?;
        has.retain(|name| !waits.contains(name));
        if !has.is_empty() {
            return Ok(Err(NotWithdrawn::SomebodyHasIt(has)));
        }
        self.unindex(row, &text)?;
        self.db
            .prepare_cached("UPDATE messages SET text = NULL, withdrawn = ?2 WHERE row = ?1")?
            .execute(params![row, Text::Plain(text).digest().0])?;
        // The message stays in the outbox: recipients need its place in the hash chain, but not its text.
        self.outbox.withdraw(row);
        Ok(Ok(()))
    }

    /// Returns the row and text of an own message, if this device wrote it and did not withdraw it. For messages
    /// from the user's other devices, this device does not know which recipients have them.
    fn own_message(&mut self, id: &Uuid) -> Result<Option<(i64, String)>> {
        let me = self.user_key(&self.me.clone())?;
        let mut query = self.db.prepare_cached(
            "SELECT row, text FROM messages WHERE author = ?1 AND id = ?2 AND text IS NOT NULL AND audience IS NOT NULL",
        )?;
        let mut rows = query.query(params![me, id.as_bytes()])?;
        rows.next()?.map(|row| Ok((row.get(0)?, row.get(1)?))).transpose()
    }

    /// Counts the pending messages of each recipient, in all conversations or in one.
    pub fn waiting_counts(&mut self, of: Option<&ConversationId>) -> Result<Vec<(Username, usize)>> {
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
            .for_each(|recipient| *counts.entry(*recipient).or_default() += 1);
        let names = self.names(&counts.keys().copied().collect::<Vec<_>>())?;
        Ok(names.into_iter().zip(counts.into_values()).collect())
    }

    /// Returns the part of its quota, in percent, that the fullest conversation of each recipient uses.
    pub(crate) fn used_quotas(&self) -> Result<Vec<(Username, usize)>> {
        let used = self.outbox.used_quotas();
        let names = self.names(&used.keys().copied().collect::<Vec<_>>())?;
        Ok(names.into_iter().zip(used.into_values()).collect())
    }
}

/// Returns the first and the last row of each run of consecutive rows.
pub(crate) fn runs(rows: &[i64]) -> impl Iterator<Item = (i64, i64)> {
    let runs = rows.chunk_by(|row, next| row + 1 == *next);
    runs.filter_map(|run| Some((*run.first()?, *run.last()?)))
}

/// Returns an upper estimate of the encoded size of a batch of messages, in bytes.
pub(crate) fn encoded_len<'a>(messages: impl Iterator<Item = &'a SignedMessage>) -> usize {
    messages.map(SignedMessage::encoded_len).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::history_db::HistoryDb;
    use crate::history::query::Query;
    use crate::history::request::Request;
    use crate::history::testing::*;
    use crate::limits::OUTBOX_MESSAGES;

    fn delivered(history: &mut HistoryDb, to: &str, ids: &[Uuid]) -> Vec<Report> {
        history.apply(Request::AckUpTo { to: user(to), ids: ids.to_vec() });
        history.commit()
    }

    fn withdraw(history: &mut HistoryDb, id: &Uuid) -> std::result::Result<(), NotWithdrawn> {
        history.transaction(|tables| tables.withdraw(id)).unwrap()
    }

    fn ids(messages: &[SignedMessage]) -> Vec<Uuid> {
        messages.iter().map(|message| message.id).collect()
    }

    #[test]
    fn message_is_written_to_a_legacy_client_given_up_or_waits() {
        let mut ana = history(ANA);
        let messages = ids(&say(&mut ana, &room(), &["1", "2", "3"], &[BOB, CARLA]));
        let (bob, carla) = (user(BOB), user(CARLA));
        ana.apply(Request::Written { to: bob.clone(), ids: vec![messages[0], messages[0]] });
        ana.apply(Request::TooLong { to: bob.clone(), ids: vec![messages[1]] });
        let claimed = [
            Report::Written { to: bob.clone(), ids: vec![messages[0]] },
            Report::GivenUp { to: bob.clone(), ids: vec![messages[1]], why: GivenUp::TextTooLong },
        ];
        assert_eq!(ana.commit(), claimed, "one report for each change");
        delivered(&mut ana, CARLA, &messages[..1]);
        // The audience shrinks, but the note that the message was written to Bob stays.
        ana.apply(Request::TooLong { to: carla.clone(), ids: vec![messages[2]] });
        ana.commit();
        let receipts: Vec<_> = ana
            .tables
            .receipts(&room(), 9)
            .unwrap()
            .into_iter()
            .map(|it| (it.has, it.written, it.waits))
            .collect();
        let expected = [
            (vec![carla.clone()], vec![bob.clone()], vec![]),
            (vec![], vec![], vec![carla]),
            (vec![], vec![], vec![bob.clone()]),
        ];
        assert_eq!(receipts, expected);
        assert!(
            matches!(withdraw(&mut ana, &messages[0]), Err(NotWithdrawn::SomebodyHasIt(_))),
            "bob may have it"
        );
        ana.apply(Request::Written { to: bob.clone(), ids: vec![messages[2]] });
        assert_eq!(ana.commit(), [Report::Written { to: bob, ids: vec![messages[2]] }]);
    }

    #[test]
    fn delivery_is_reported_once_a_message_and_member() {
        let mut ana = history(ANA);
        let messages = ids(&say(&mut ana, &room(), &["1", "2"], &[BOB, CARLA]));
        assert_eq!(
            delivered(&mut ana, BOB, &messages[..1]),
            [Report::Delivered { to: user(BOB), ids: messages[..1].to_vec() }]
        );
        assert_eq!(
            delivered(&mut ana, BOB, &messages),
            [Report::Delivered { to: user(BOB), ids: messages[1..].to_vec() }]
        );
        assert_eq!(delivered(&mut ana, BOB, &messages), []);
        assert_eq!(delivered(&mut ana, "dora", &messages), []);
        let receipts = ana.tables.receipts(&room(), 9).unwrap();
        let who: Vec<_> =
            receipts.iter().map(|it| (it.message.text.as_str(), &it.has[..], &it.waits[..])).collect();
        let (bob, carla) = (&[user(BOB)][..], &[user(CARLA)][..]);
        assert_eq!(who, [("1", bob, carla), ("2", bob, carla)]);
        delivered(&mut ana, CARLA, &messages);
        assert!(ana.tables.undelivered().unwrap().is_empty());
    }

    #[test]
    fn messages_in_a_have_are_delivered() {
        let (mut ana, mut bob) = (history(ANA), history(BOB));
        let messages = say(&mut ana, &room(), &["1", "2"], &[BOB, CARLA]);
        say(&mut ana, &room(), &["3"], &[BOB, CARLA]);
        ingest(&mut bob, ANA, &room(), &messages);
        let theirs = spans(&mut bob, &room());
        ana.apply(Request::AckRanges { from: user(BOB), conversation: room(), theirs, lamport: None });
        assert_eq!(ana.commit(), [Report::Delivered { to: user(BOB), ids: ids(&messages) }]);
        // The same sequence numbers mean other messages in another conversation.
        let theirs = spans(&mut bob, &room());
        ana.apply(Request::AckRanges {
            from: user(CARLA),
            conversation: private(CARLA),
            theirs,
            lamport: None,
        });
        assert_eq!(ana.commit(), []);
    }

    #[test]
    fn pending_messages_come_in_whole_batches_until_stored() {
        let (mut ana, mut bob) = (history(ANA), history(BOB));
        let first = say(&mut ana, &room(), &["1", "2", "3"], &[BOB]);
        say(&mut ana, &room(), &["for carla"], &[CARLA]);
        say(&mut ana, &private(BOB), &["4"], &[BOB]);
        say(&mut ana, &room(), &["5", "6"], &[BOB]);
        delivered(&mut ana, BOB, &ids(&first[..1]));
        let (mut after, mut rounds, mut came) = (0, 0, Vec::new());
        loop {
            ana.apply(Query::Pending { to: user(BOB), after, bytes: 1 });
            let Some(Report::Pending { messages, after: next, more, .. }) = ana.commit().pop() else {
                panic!()
            };
            for batch in messages.chunk_by(|a, b| a.conversation == b.conversation) {
                let conversation = if batch[0].conversation.room().is_some() { room() } else { private(ANA) };
                let messages: Vec<_> = batch.iter().map(|sent| sent.message.clone()).collect();
                came.extend(texts(&ingest(&mut bob, ANA, &conversation, &messages)));
            }
            (after, rounds) = (next, rounds + 1);
            if !more {
                break;
            }
        }
        assert_eq!((rounds, came.join(" ")), (3, "1 2 3 4 5 6".to_owned()));
        ana.apply(Query::Pending { to: user(BOB), after: 0, bytes: usize::MAX });
        let Some(Report::Pending { messages, more: false, .. }) = ana.commit().pop() else { panic!() };
        assert_eq!(messages.len(), 6);
    }

    #[test]
    fn messages_for_a_former_member_are_given_up() {
        let mut ana = history(ANA);
        let messages = ids(&say(&mut ana, &room(), &["1"], &[BOB, CARLA]));
        let with_bob = ids(&say(&mut ana, &private(BOB), &["2"], &[BOB]));
        ana.apply(Request::PruneOutbox { conversation: room(), members: vec![user(CARLA)], since: 0 });
        assert_eq!(
            ana.commit(),
            [Report::GivenUp { to: user(BOB), ids: messages.clone(), why: GivenUp::Left }]
        );
        let receipt = ana.tables.receipts(&room(), 1).unwrap().remove(0);
        assert_eq!((receipt.has, receipt.waits), (vec![], vec![user(CARLA)]), "nobody is sent to have it");
        ana.apply(Request::PruneOutbox { conversation: room(), members: Vec::new(), since: 0 });
        assert_eq!(ana.commit(), [Report::GivenUp { to: user(CARLA), ids: messages, why: GivenUp::Left }]);
        assert_eq!(
            ana.tables.undelivered().unwrap().into_iter().map(|it| it.message.id).collect::<Vec<_>>(),
            with_bob
        );
    }

    #[test]
    fn withdrawn_message_leaves_no_gap() {
        let (mut ana, mut bob) = (history(ANA), history(BOB));
        let messages = ids(&say(&mut ana, &room(), &["1", "secret", "3"], &[BOB, CARLA]));
        assert_eq!(search(&mut ana, "secret", 9).len(), 1);
        assert_eq!(withdraw(&mut ana, &messages[1]), Ok(()));
        assert_eq!(withdraw(&mut ana, &messages[1]), Err(NotWithdrawn::Unknown));
        assert_eq!(withdraw(&mut ana, &Uuid::now_v7()), Err(NotWithdrawn::Unknown));
        assert_eq!(stored_texts(&mut ana, &room()), ["1", "3"]);
        assert_eq!(search(&mut ana, "secret", 9), []);
        assert_eq!(ana.tables.undelivered().unwrap().len(), 2);
        ana.apply(Query::Pending { to: user(BOB), after: 0, bytes: usize::MAX });
        let Some(Report::Pending { messages: pending, .. }) = ana.commit().pop() else { panic!() };
        let pending: Vec<_> = pending.into_iter().map(|sent| sent.message).collect();
        assert!(matches!(pending[1].text, Text::Withdrawn(_)));
        let reports = ingest(&mut bob, ANA, &room(), &pending);
        assert_eq!(
            (texts(&reports), incoming_messages(&reports)[1].missing),
            (vec!["1".into(), "3".into()], 0)
        );
        assert_eq!(
            delivered(&mut ana, BOB, &messages),
            [Report::Delivered { to: user(BOB), ids: vec![messages[0], messages[2]] }],
            "what was taken back is delivered to nobody"
        );
        assert_eq!(withdraw(&mut ana, &messages[0]), Err(NotWithdrawn::SomebodyHasIt(vec![user(BOB)])));
    }

    #[test]
    fn only_the_author_withdraws_a_message() {
        let (mut ana, mut bob, mut carla) = (history(ANA), history(BOB), history(CARLA));
        let messages = say(&mut ana, &room(), &["1"], &[BOB, CARLA]);
        assert_eq!(texts(&ingest(&mut bob, ANA, &room(), &messages)), ["1"], "control: bob has the text");
        let mut forged = messages.clone();
        forged[0].text = Text::Withdrawn(forged[0].text.digest());
        let reports = ingest(&mut carla, BOB, &room(), &forged);
        assert!(matches!(reports.as_slice(), [Report::BatchRejected { .. }]), "{reports:?}");
        assert_eq!(spans(&mut carla, &room()), [], "no ack covers it");
        assert_eq!(texts(&ingest(&mut carla, BOB, &room(), &messages)), ["1"]);
    }

    #[test]
    fn message_written_after_it_was_given_up_stays_out() {
        let withdraw = |is_written: bool| {
            let mut ana = history(ANA);
            let messages = ids(&say(&mut ana, &room(), &["1"], &[BOB, CARLA]));
            ana.apply(Request::PruneOutbox { conversation: room(), members: vec![user(CARLA)], since: 0 });
            if is_written {
                ana.apply(Request::Written { to: user(BOB), ids: messages.clone() });
            }
            assert!(matches!(ana.commit().as_slice(), [Report::GivenUp { .. }]));
            withdraw(&mut ana, &messages[0])
        };
        assert_eq!(withdraw(true), Err(NotWithdrawn::SomebodyHasIt(vec![user(BOB)])));
        assert_eq!(withdraw(false), Ok(()), "the control");
    }

    #[test]
    fn message_given_up_for_the_quota_is_not_sent_with_its_batch() {
        let mut ana = history(ANA);
        let texts: Vec<_> = (0..OUTBOX_MESSAGES).map(|n| n.to_string()).collect();
        for batch in texts.chunks(50) {
            say(&mut ana, &room(), &batch.iter().map(String::as_str).collect::<Vec<_>>(), &[BOB]);
        }
        ana.apply(Request::Append(draft(&room(), "one more", &[BOB])));
        let given_up = ana.commit().into_iter().find_map(|report| match report {
            Report::GivenUp { ids, why: GivenUp::QueueFull, .. } => Some(ids),
            _ => None,
        });
        let given_up = given_up.unwrap();
        assert_eq!(
            (given_up.len(), ana.tables.undelivered().unwrap().len()),
            (50, OUTBOX_MESSAGES - 49),
            "the whole batch"
        );
        ana.apply(Query::Pending { to: user(BOB), after: 0, bytes: usize::MAX });
        let Some(Report::Pending { messages, .. }) = ana.commit().pop() else { panic!() };
        assert!(messages.iter().all(|sent| !given_up.contains(&sent.message.id)));
        // The control: all other messages are sent.
        assert_eq!(messages.len(), OUTBOX_MESSAGES - 49);
    }
}
