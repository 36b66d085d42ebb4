//! Received messages that are published before they are durable.
//!
//! A received message is published as soon as it is verified, so that the recipient's disk does not delay it. It is
//! acknowledged only after the commit. If a crash prevents the commit, no ack was sent, so the author sends the message
//! again and the next run shows it. If the commit fails while the program runs on, the message comes again too. Its id
//! is kept until then, so that it is not shown twice.
//!
//! For example, rows 5 and 6 are published and the commit fails. The rows are not used again: row 6 was noted as
//! shown, and a later message in it would count as shown. The two messages come again as rows 7 and 8 and are stored
//! without another report.

use std::collections::VecDeque;

use commons::names::Username;
use uuid::Uuid;

use crate::history::report::{IncomingMessage, Report};
use crate::limits::UNSTORED_MAX;

/// The received messages of the open transaction, and published ones that are not stored.
#[derive(Default)]
pub(crate) struct EarlyMessages {
    /// Verified messages that are not published yet, in order of their rows.
    verified: Vec<IncomingMessage>,
    /// The published messages of the open transaction.
    published: Vec<(Username, Uuid)>,
    /// Published messages whose commit failed, oldest first, at most [`UNSTORED_MAX`].
    unstored: VecDeque<(Username, Uuid)>,
    /// The highest row that was published.
    last_row: i64,
}

impl EarlyMessages {
    /// Adds verified messages. Messages that were published before a failed commit are left out.
    pub(crate) fn add(&mut self, messages: impl Iterator<Item = IncomingMessage>) {
        for message in messages {
            let (author, id) = (&message.message.from, &message.message.id);
            match self.unstored.iter().position(|(from, unstored)| from == author && unstored == id) {
                Some(at) => {
                    self.unstored.remove(at);
                    self.published.push((author.clone(), *id));
                }
                None => self.verified.push(message),
            }
        }
    }

    /// Returns the messages to publish now.
    pub(crate) fn publish(&mut self) -> Vec<IncomingMessage> {
        let verified = std::mem::take(&mut self.verified);
        self.last_row =
            verified.last().map_or(self.last_row, |message| message.message.row.max(self.last_row));
        self.published
            .extend(verified.iter().map(|message| (message.message.from.clone(), message.message.id)));
        verified
    }

    /// Notes that the transaction is durable. Returns a report of its messages that are not published yet.
    pub(crate) fn committed(&mut self) -> Option<Report> {
        self.published.clear();
        let rest = std::mem::take(&mut self.verified);
        (!rest.is_empty()).then_some(Report::Received(rest))
    }

    /// Notes that the transaction was rolled back.
    pub(crate) fn rolled_back(&mut self) {
        self.verified.clear();
        self.unstored.extend(self.published.drain(..));
        let surplus = self.unstored.len().saturating_sub(UNSTORED_MAX);
        self.unstored.drain(..surplus);
    }

    /// Returns the first row after the published ones.
    pub(crate) fn next_row(&self) -> i64 {
        self.last_row + 1
    }
}

#[cfg(test)]
mod tests {
    use crate::history::history_db::HistoryDb;
    use crate::history::report::Report;
    use crate::history::request::Request;
    use crate::history::testing::*;

    fn writable(history: &HistoryDb, value: bool) {
        history.tables.db.pragma_update(None, "query_only", !value).unwrap();
    }

    /// Publishes a message of Ana's in Bob's history before a commit that fails. Returns its texts and the report of
    /// the failure.
    fn publish_and_fail(bob: &mut HistoryDb, message: Request) -> (Vec<String>, Vec<Report>) {
        bob.apply(message);
        let early: Vec<_> = bob.early_reports().into_iter().collect();
        bob.tables.db.execute_batch("ROLLBACK; BEGIN").unwrap();
        writable(bob, false);
        bob.tables.meta.shown += 1;
        let reports = bob.commit();
        writable(bob, true);
        (texts(&early), reports)
    }

    #[test]
    fn message_is_published_before_the_commit_and_acked_after() {
        let mut bob = history(BOB);
        let messages = say(&mut history(ANA), &room(), &["1", "2"], &[BOB]);
        let before = bob.commits();
        bob.apply(inbound(ANA, &room(), &messages));
        let early: Vec<_> = bob.early_reports().into_iter().collect();
        assert_eq!((texts(&early), bob.commits()), (vec!["1".into(), "2".into()], before));
        assert!(receipts(&early).is_empty());
        let reports = bob.commit();
        assert_eq!((texts(&reports), bob.commits()), (vec![], before + 1));
        assert_eq!(receipts(&reports), [messages[1].id]);
    }

    #[test]
    fn message_of_a_failed_commit_is_not_shown_again_in_this_run() {
        let (mut ana, mut bob) = (history(ANA), history(BOB));
        let messages: Vec<_> = ["1", "2"].map(|text| say(&mut ana, &room(), &[text], &[BOB])).into();
        let (early, reports) = publish_and_fail(&mut bob, inbound(ANA, &room(), &messages[0]));
        assert_eq!(early, ["1"]);
        assert!(matches!(reports.as_slice(), [Report::Trouble(_)]), "no ack: {reports:?}");
        assert_eq!(stored_texts(&mut bob, &room()), [""; 0]);
        bob.note_shown(1);
        // Ana sends it again, and another message. Only that one is shown; both are stored and acknowledged.
        bob.apply(inbound(ANA, &room(), &messages[0]));
        bob.apply(inbound(ANA, &room(), &messages[1]));
        let reports = bob.commit();
        assert_eq!(texts(&reports), ["2"]);
        assert_eq!(incoming_messages(&reports)[0].message.row, 3, "row 1 was shown, so it is not used again");
        assert_eq!(receipts(&reports), [messages[1][0].id]);
        assert_eq!(stored_texts(&mut bob, &room()), ["1", "2"]);
    }

    #[test]
    fn failing_disk_publishes_only_stored_messages() {
        let (mut ana, mut bob) = (history(ANA), history(BOB));
        let messages: Vec<_> = ["1", "2"].map(|text| say(&mut ana, &room(), &[text], &[BOB])).into();
        publish_and_fail(&mut bob, inbound(ANA, &room(), &messages[0]));
        bob.apply(inbound(ANA, &room(), &messages[1]));
        assert_eq!(bob.early_reports(), None);
        assert_eq!(texts(&bob.commit()), ["2"]);
        // The control: the disk works again.
        bob.apply(inbound(ANA, &room(), &say(&mut ana, &room(), &["3"], &[BOB])));
        assert_eq!(texts(&bob.early_reports().into_iter().collect::<Vec<_>>()), ["3"]);
    }
}
