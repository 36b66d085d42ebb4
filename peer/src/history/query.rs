//! The queries of the engine. A query is a request like any other, and a report answers it.
//!
//! A query changes nothing. It is answered after the commit of all requests before it. Queries alone cause no commit:
//! beside delivery marks they are answered from the open transaction, and a mark is true before it is durable. If a commit
//! fails, they are answered as if its requests had never come. For example, a
//! message arrives and a HAVE is due, but the disk is full: the HAVE does not name the message.

use commons::keys::PublicKey;
use commons::names::Username;
use commons::protocol::provenance::{StreamSpans, StreamTip};

use crate::history::conversation::ConversationId;
use crate::history::report::Report;
use crate::history::tables::Tables;

/// A question to the history. A caller that waits for the answer uses
/// [`transaction`](crate::history::History::transaction) instead.
#[derive(Debug, Clone)]
pub enum Query {
    /// Asks for own messages that a recipient has not stored yet.
    Pending {
        /// The recipient of the messages.
        to: Username,
        /// The row after which the messages start.
        after: i64,
        /// The size limit of the answer, in bytes; it holds at least one signed batch.
        bytes: usize,
    },
    /// Asks for the content of a HAVE frame. [`Report::Holdings`] answers.
    Holdings {
        /// The conversation of the HAVE frame.
        of: ConversationId,
        /// The user to whom the frame is sent.
        to: Username,
        /// The user's device; `None` for any of its devices.
        on: Option<PublicKey>,
        /// The first revision of the room whose messages the user may have.
        since: u64,
    },
    /// Asks for the sequence ranges of a WANT frame: the ones that a peer holds and this peer lacks.
    /// [`Report::Lacking`] answers.
    Lacking {
        /// The conversation of the HAVE frame.
        of: ConversationId,
        /// The user who sent the HAVE frame.
        from: Username,
        /// The sequence ranges that the peer holds.
        theirs: Vec<StreamSpans>,
    },
    /// Asks which messages of a peer differ from the stored ones of the same number. [`Report::Conflicts`] answers.
    Conflicts {
        /// The conversation of the HAVE frame.
        of: ConversationId,
        /// The user who sent the HAVE frame.
        from: Username,
        /// The last messages of streams at that peer.
        tips: Vec<StreamTip>,
    },
    /// Asks which messages this peer has missed: those that a peer holds and this peer lacks. It ends its batch, so that
    /// [`Report::Missed`] comes before the messages themselves.
    CountMissed {
        /// The conversation of the HAVE frame.
        of: ConversationId,
        /// The sequence ranges that the peer holds.
        theirs: Vec<StreamSpans>,
    },
    /// Asks for the answer to a WANT frame. [`Report::HandedOver`]
    /// answers.
    HandOver {
        /// The conversation of the WANT frame.
        of: ConversationId,
        /// The user who sent the WANT frame.
        to: Username,
        /// The sequence ranges that the user asks for.
        wanted: Vec<StreamSpans>,
        /// The first revision of the room whose messages the user may have.
        since: u64,
    },
    /// Asks for the number of own messages that wait for each recipient.
    /// [`Report::Waiting`] answers.
    Waiting {
        /// The conversation; `None` for all conversations.
        of: Option<ConversationId>,
    },
}

impl Query {
    /// Returns the answer while the disk fails, if it is not left out. Returns the query itself if it must be answered
    /// as soon as the disk works.
    pub(crate) fn failed(self) -> Result<Option<Report>, Self> {
        match self {
            Self::Lacking { of, from, .. } => Ok(Some(Report::Lacking { of, from, lacking: None })),
            // The sync asks again, and an empty answer would be wrong. A count that comes late is wrong too.
            Self::Holdings { .. }
            | Self::HandOver { .. }
            | Self::CountMissed { .. }
            | Self::Conflicts { .. } => Ok(None),
            // The engine does not ask again.
            query @ (Self::Pending { .. } | Self::Waiting { .. }) => Err(query),
        }
    }
}

impl Tables {
    /// Answers a query.
    pub(crate) fn answer(&mut self, query: &Query) -> rusqlite::Result<Report> {
        Ok(match query {
            Query::Pending { to, after, bytes } => self.pending(to, *after, *bytes)?,
            Query::Holdings { of, to, on, since } => {
                let (streams, lamport) = self.holdings_for(of, to, *on, *since)?;
                let tips = self.tips(of, &streams)?;
                Report::Holdings { of: of.clone(), to: to.clone(), streams, lamport, tips }
            }
            Query::Conflicts { of, from, tips } => {
                let streams = self.conflicts(of, tips)?;
                Report::Conflicts { of: of.clone(), from: from.clone(), streams }
            }
            Query::Lacking { of, from, theirs } => {
                let lacking = Some(self.lacking(of, theirs)?);
                Report::Lacking { of: of.clone(), from: from.clone(), lacking }
            }
            Query::CountMissed { of, theirs } => {
                Report::Missed { of: of.clone(), lacking: self.lacking(of, theirs)? }
            }
            Query::HandOver { of, to, wanted, since } => {
                let messages = self.hand_over(of, to, wanted, *since)?;
                Report::HandedOver { of: of.clone(), to: to.clone(), messages }
            }
            Query::Waiting { of } => {
                let waiting = self.waiting_counts(of.as_ref())?;
                Report::Waiting { of: of.clone(), waiting, used: self.used_quotas()? }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::history_db::HistoryDb;
    use crate::history::request::Request;
    use crate::history::testing::*;

    #[test]
    fn queries_alone_force_no_commit_of_marks() {
        let mut ana = history(ANA);
        let messages =
            say(&mut ana, &room(), &["1"], &[BOB, CARLA]).iter().map(|message| message.id).collect();
        let before = ana.commits();
        ana.apply(Query::Holdings { of: room(), to: user(BOB), on: None, since: 0 });
        ana.apply(Request::AckUpTo { to: user(BOB), ids: messages });
        ana.apply(Query::Waiting { of: None });
        assert!(!ana.needs_commit());
        let waiting = Report::Waiting { of: None, waiting: vec![(user(CARLA), 1)], used: vec![] };
        let reports = ana.reports_without_commit();
        assert!(matches!(&reports[..2], [Report::Delivered { .. }, Report::Holdings { .. }]), "{reports:?}");
        assert_eq!((&reports[2..], ana.commits()), (&[waiting][..], before));
        // The control: a message needs a commit, which also writes the mark.
        ana.apply(Request::Append(draft(&room(), "2", &[])));
        assert!(ana.needs_commit());
        ana.commit();
        assert_eq!(ana.commits(), before + 1);
        assert!(!ana.needs_commit());
    }

    #[test]
    fn failing_disk_gives_no_wrong_answer_to_a_query() {
        let folder = tempfile::tempdir().unwrap();
        let (mut bob, _) = history_in(folder.path(), BOB);
        let mut ana = history(ANA);
        let messages: Vec<_> = ["1", "2"].map(|text| say(&mut ana, &room(), &[text], &[BOB])).into();
        ingest(&mut bob, ANA, &room(), &messages[0]);
        let all = spans(&mut ana, &room());
        let queries = [
            Query::Holdings { of: room(), to: user(ANA), on: None, since: 0 },
            Query::Lacking { of: room(), from: user(ANA), theirs: all.clone() },
            Query::HandOver { of: room(), to: user(ANA), wanted: all.clone(), since: 0 },
            Query::Pending { to: user(ANA), after: 0, bytes: usize::MAX },
            Query::Waiting { of: None },
        ];
        let ask = |bob: &mut HistoryDb| {
            bob.apply(inbound(ANA, &room(), &messages[1]));
            queries.iter().for_each(|query| bob.apply(query.clone()));
            bob.commit()
        };
        // The commit fails, but the database is readable. Nothing of the failed transaction is claimed.
        bob.tables.db.pragma_update(None, "query_only", true).unwrap();
        let reports = ask(&mut bob);
        let [
            Report::Trouble(_),
            Report::Holdings { streams, .. },
            Report::Lacking { lacking: None, .. },
            Report::HandedOver { messages: handed, .. },
            Report::Pending { .. },
            Report::Waiting { .. },
        ] = reports.as_slice()
        else {
            panic!("{reports:?}")
        };
        assert_eq!((streams[0].spans.as_slice(), handed.len()), (&[(1, 1)][..], 1));
        bob.tables.db.pragma_update(None, "query_only", false).unwrap();
        // The control: the disk works.
        let reports = ask(&mut bob);
        let streams = reports.iter().find_map(|report| match report {
            Report::Holdings { streams, .. } => Some(streams.clone()),
            _ => None,
        });
        assert_eq!(streams, Some(all));
        assert!(reports.iter().any(|report| matches!(report, Report::Lacking { lacking: Some(_), .. })));
        // The database cannot be read either. The queries that nobody repeats are answered later.
        bob.tables
            .db
            .execute_batch("ALTER TABLE messages RENAME TO elsewhere; ALTER TABLE users RENAME TO nowhere")
            .unwrap();
        bob.is_stale = true;
        queries.iter().for_each(|query| bob.apply(query.clone()));
        let reports = bob.commit();
        assert!(
            matches!(reports.as_slice(), [Report::Trouble(_), Report::Lacking { lacking: None, .. }]),
            "{reports:?}"
        );
        bob.tables
            .db
            .execute_batch("ALTER TABLE elsewhere RENAME TO messages; ALTER TABLE nowhere RENAME TO users")
            .unwrap();
        let reports = bob.commit();
        assert!(
            matches!(reports.as_slice(), [Report::Pending { .. }, Report::Waiting { .. }]),
            "{reports:?}"
        );
    }
}
