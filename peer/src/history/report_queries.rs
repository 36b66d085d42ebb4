//! The queries among the requests, which are answered with reports.
//!
//! A query changes nothing. It is answered after the commit of all requests before it, from durable data. Queries
//! alone cause no commit. If the commit fails, they are answered as if its requests had never come. For example, a
//! message arrives and a HAVE is due, but the disk is full: the HAVE does not name the message.

use crate::history::command::Request;
use crate::history::history_db::HistoryDb;
use crate::history::report::Report;
use crate::history::tables::Tables;

impl Tables {
    /// Answers a query; other requests have no answer.
    pub(crate) fn answer(&mut self, query: &Request) -> rusqlite::Result<Option<Report>> {
        Ok(Some(match query {
            Request::Pending { to, after, bytes } => self.pending(to, *after, *bytes)?,
            Request::Holdings { of, to, on, since } => {
                let (streams, lamport) = self.holdings_for(of, to, *on, *since)?;
                Report::Holdings { of: of.clone(), to: to.clone(), streams, lamport }
            }
            Request::Lacking { of, from, theirs } => {
                let lacking = Some(self.lacking(of, theirs)?);
                Report::Lacking { of: of.clone(), from: from.clone(), lacking }
            }
            Request::CountMissed { of, theirs } => {
                Report::Missed { of: of.clone(), lacking: self.lacking(of, theirs)? }
            }
            Request::HandOver { of, to, wanted, since } => {
                let messages = self.hand_over(of, to, wanted, *since)?;
                Report::HandedOver { of: of.clone(), to: to.clone(), messages }
            }
            Request::Waiting { of } => {
                Report::Waiting { of: of.clone(), waiting: self.waiting_counts(of.as_ref())? }
            }
            _ => return Ok(None),
        }))
    }
}

impl HistoryDb {
    /// Returns true if the staged requests must be committed before they are reported.
    pub(crate) fn needs_commit(&self) -> bool {
        self.needs_commit || self.failure.is_some()
    }

    /// Returns the received messages that may be published before the commit; see
    /// `early_messages`.
    pub fn early_reports(&mut self) -> Option<Report> {
        // After a failure the next messages are published only after they are stored.
        let messages =
            if self.in_trouble || self.failure.is_some() { Vec::new() } else { self.tables.early.publish() };
        (!messages.is_empty()).then_some(Report::Received(messages))
    }

    /// Returns the reports of delivery marks and the answers to queries when nothing else is staged. A mark is true
    /// before it is durable, because the other side stores the message. Marks change no data that a query tells.
    pub(crate) fn reports_without_commit(&mut self) -> Vec<Report> {
        self.reports.append(&mut self.tables.reports);
        self.answer_queries(false);
        std::mem::take(&mut self.reports)
    }

    /// Answers the queries, in order. `is_lost` says that the earlier requests were rolled back.
    pub(crate) fn answer_queries(&mut self, is_lost: bool) {
        for query in std::mem::take(&mut self.queries) {
            if let Request::Lacking { of, from, .. } = &query
                && is_lost
            {
                self.reports.push(Report::Lacking { of: of.clone(), from: from.clone(), lacking: None });
                continue;
            }
            match self.refresh().and_then(|()| self.tables.answer(&query)) {
                Ok(answer) => self.reports.extend(answer),
                Err(error) => {
                    self.undo(&error);
                    match query {
                        Request::Lacking { of, from, .. } => {
                            self.reports.push(Report::Lacking { of, from, lacking: None })
                        }
                        // The sync asks again, and an empty answer would be wrong. A count that comes late is wrong too.
                        Request::Holdings { .. } | Request::HandOver { .. } | Request::CountMissed { .. } => {
                        }
                        // Nobody asks again, so the answer is given when the disk works.
                        query => self.queries.push(query),
                    }
                }
            }
        }
    }

    /// Reads the state in memory again if it may differ from the database.
    pub(crate) fn refresh(&mut self) -> rusqlite::Result<()> {
        if self.is_stale {
            self.tables.reload()?;
            self.is_stale = false;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::testing::*;

    #[test]
    fn queries_alone_force_no_commit_of_marks() {
        let mut ana = history(ANA);
        let messages =
            say(&mut ana, &room(), &["1"], &[BOB, CARLA]).iter().map(|message| message.id).collect();
        let before = ana.commits();
        ana.apply(Request::Holdings { of: room(), to: user(BOB), on: None, since: 0 });
        ana.apply(Request::Delivered { to: user(BOB), ids: messages });
        ana.apply(Request::Waiting { of: None });
        assert!(!ana.needs_commit());
        let waiting = Report::Waiting { of: None, waiting: vec![(user(CARLA), 1)] };
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
        let all = ana.spans(&room());
        let queries = [
            Request::Holdings { of: room(), to: user(ANA), on: None, since: 0 },
            Request::Lacking { of: room(), from: user(ANA), theirs: all.clone() },
            Request::HandOver { of: room(), to: user(ANA), wanted: all.clone(), since: 0 },
            Request::Pending { to: user(ANA), after: 0, bytes: usize::MAX },
            Request::Waiting { of: None },
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
            .execute_batch("ALTER TABLE messages RENAME TO elsewhere; ALTER TABLE people RENAME TO nowhere")
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
            .execute_batch("ALTER TABLE elsewhere RENAME TO messages; ALTER TABLE nowhere RENAME TO people")
            .unwrap();
        let reports = bob.commit();
        assert!(
            matches!(reports.as_slice(), [Report::Pending { .. }, Report::Waiting { .. }]),
            "{reports:?}"
        );
    }
}
