//! The history: the local encrypted message store of one user. It holds the messages of all conversations and the
//! outbox.
//!
//! It consists of a handle ([`History`]), a thread (`db_thread`) and tables (`tables`). `history_db` puts the requests
//! into transactions. It uses no thread and no clock, so that tests and simulations can drive it.
//!
//! A message is verified before it is published, and it is durable before it is sent or acknowledged. Its path from Ana
//! to Bob, file by file:
//!
//! ```text
//! Ana   request -> append -> commit -> report Committed       => the engine sends the message to Bob
//! Bob   request -> batch_assembler -> verify -> ingest -> report Received   => the engine publishes it
//!                                     -> commit -> report AckDue            => the engine sends the ack to Ana
//! Ana   request -> acks -> report Delivered                   => the engine publishes the delivery
//! ```

mod acks;
pub mod answer;
mod append;
mod batch_assembler;
mod clock;
pub mod conversation;
mod database;
mod db_thread;
mod deletion;
mod early_messages;
mod frontend_queries;
pub mod history_db;
mod incarnation;
mod ingest;
mod log_check;
pub mod membership;
mod membership_ranges;
pub mod message;
mod meta;
pub mod open_error;
mod outbox;
pub mod query;
pub mod read_marks;
pub mod remembered_room;
mod remembered_rooms;
pub mod report;
pub mod request;
mod rollback;
mod rollback_action;
mod rows;
pub mod search;
pub mod seq_ranges;
pub(crate) mod signed_batch;
pub mod size_record;
mod stored_logs;
mod stream_tips;
mod sync_queries;
pub mod tables;
#[cfg(test)]
pub(crate) mod testing;
mod unanswered;
pub mod unread;
mod verify;

use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::{io, thread};

use tokio::sync::{mpsc, oneshot};

use crate::history::answer::{HistoryFailed, StoredMessage};
use crate::history::db_thread::{Counters, DbThread, Task};
use crate::history::history_db::{Author, HistoryDb, InitialState, Place};
use crate::history::open_error::OpenError;
use crate::history::read_marks::ReadMarks;
use crate::history::report::Report;
use crate::history::request::Request;
use crate::history::search::Search;
use crate::history::tables::Tables;
use crate::limits::{HISTORY_END, HISTORY_QUEUE, HISTORY_REPORTS};

/// A handle to the history of this peer's user. The thread ends after the last clone is dropped. That drop waits
/// for the thread, at most [`HISTORY_END`]. [`close`](Self::close) waits without a limit.
#[derive(Debug, Clone)]
pub struct History {
    tasks: mpsc::Sender<Task>,
    counters: Arc<Counters>,
    unshown_rows: Range<i64>,
    /// This field comes after the queue, so that the queue closes first.
    _thread: Arc<Thread>,
}

/// The end of the database thread, for the last handle that is dropped. The database library shuts down when the
/// program ends, so the thread must not use it any more by then.
#[derive(Debug)]
struct Thread {
    /// A channel that carries nothing. It closes when the thread ends.
    ended: Mutex<std::sync::mpsc::Receiver<()>>,
}

impl Drop for Thread {
    fn drop(&mut self) {
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = ended.recv_timeout(HISTORY_END);
    }
}

impl History {
    /// Opens the history, or creates one. This call blocks on the disk. The reader of the reports must not wait
    /// for this history: the thread stops when the channel of reports is full.
    pub fn open(
        place: &Place,
        author: &Author,
    ) -> Result<(Self, mpsc::Receiver<Report>, InitialState), OpenError> {
        let (history, opened) = HistoryDb::open(place, author)?;
        let (tasks, queue) = mpsc::channel(HISTORY_QUEUE);
        let (reports, reported) = mpsc::channel(HISTORY_REPORTS);
        let counters = Arc::new(Counters::default());
        let (over, ended) = std::sync::mpsc::channel();
        let handle = Arc::new(Thread { ended: ended.into() });
        let unshown_rows = history.tables.meta.shown + 1..history.tables.meta.next_row;
        let db_thread =
            DbThread::new(history, queue, reports, Arc::clone(&counters)).map_err(io::Error::other)?;
        thread::Builder::new().name("history".into()).spawn(move || {
            db_thread.run();
            drop(over);
        })?;
        Ok((Self { tasks, counters, unshown_rows, _thread: handle }, reported, opened))
    }

    /// Queues a request, and waits until the queue has room for it. The caller can drop this future at any time without
    /// side effects. After the history is closed, requests are dropped silently.
    pub async fn put(&self, request: Request) {
        let _ = self.tasks.send(Task::Request(request)).await;
    }

    /// Queues a request without waiting. Returns the request if the queue is full: the caller waits for
    /// [`ready`](Self::ready), and queues that request before any later one. After the history is closed, requests
    /// are dropped silently.
    #[expect(clippy::result_large_err, reason = "the caller gets back what it gave")]
    pub fn try_put(&self, request: Request) -> Result<(), Request> {
        match self.tasks.try_send(Task::Request(request)) {
            Err(mpsc::error::TrySendError::Full(Task::Request(request))) => Err(request),
            _ => Ok(()),
        }
    }

    /// Waits until the queue has room, or until the history is closed. Another handle may take the room first, so
    /// the next [`try_put`](Self::try_put) can still fail. The caller can drop this future at any time.
    pub async fn ready(&self) {
        drop(self.tasks.reserve().await);
    }

    /// Runs work on the tables in its own transaction, after all earlier requests are durable and reported. This is the
    /// way to each stored message:
    ///
    /// ```ignore
    /// let page = history.transaction(move |tables| tables.page(&conversation, None, 50)).await?;
    /// ```
    ///
    /// A failure of the disk is an error, not an empty answer. So is a history that was closed.
    pub async fn transaction<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Tables) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, HistoryFailed> {
        let (answer, answered) = oneshot::channel();
        let work = Box::new(move |history: &mut HistoryDb| {
            // The caller may have stopped waiting for the answer.
            let _ = answer.send(history.transaction(work));
        });
        self.tasks.send(Task::Transaction(work)).await.map_err(|_| HistoryFailed)?;
        answered.await.unwrap_or(Err(HistoryFailed))
    }

    /// Returns the messages that match a search, newest first. Messages that are not in the index yet are indexed
    /// first, in pieces, so that other requests do not wait for the whole index.
    pub async fn search(&self, wanted: Search, count: usize) -> Result<Vec<StoredMessage>, HistoryFailed> {
        // If the index cannot be written, the search still finds older messages.
        while self.transaction(Tables::index).await.unwrap_or(false) {}
        self.transaction(move |tables| tables.search(&wanted, count)).await
    }

    /// Waits until all earlier requests are durable and reported.
    pub async fn flush(&self) {
        // After the end everything is durable, or reported as lost.
        let _ = self.transaction(|_| Ok(())).await;
    }

    /// Returns the rows that were not noted as shown when the history was opened.
    #[must_use]
    pub fn unshown_rows(&self) -> &Range<i64> {
        &self.unshown_rows
    }

    /// Notes that all messages up to this row were shown. This call is cheap: the next commit or an idle moment
    /// writes the row.
    pub fn note_shown(&self, row: i64) {
        self.counters.shown.fetch_max(row, Ordering::Relaxed);
        self.nudge();
    }

    /// Notes what was read. This call is cheap: the marks of a second are written together, with a commit or in an idle
    /// moment.
    pub fn note_read(&self, marks: ReadMarks) {
        self.counters.read.lock().unwrap_or_else(PoisonError::into_inner).merge(marks);
        self.nudge();
    }

    fn nudge(&self) {
        if !self.counters.nudged.swap(true, Ordering::Relaxed) {
            // If the queue is full, a commit will follow soon anyway.
            let _ = self.tasks.try_send(Task::Shown);
        }
    }

    /// Returns the number of commits that changed something.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.counters.commits.load(Ordering::Relaxed)
    }

    /// Waits until everything is durable and the file is closed.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        // If the thread is gone, it has closed the file already.
        if self.tasks.send(Task::Close(done)).await.is_ok() {
            let _ = closed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use commons::names::Username;
    use commons::protocol::provenance::StreamSpans;
    use tokio::time::timeout;

    use super::*;
    use crate::history::message::SignedMessage;
    use crate::history::query::Query;
    use crate::history::report::GivenUp;
    use crate::history::request::Draft;
    use crate::history::testing::*;
    use crate::limits::{INDEX_PIECE, OUTBOX_MESSAGES};

    fn open(name: &str) -> (tempfile::TempDir, History, mpsc::Receiver<Report>) {
        let folder = tempfile::tempdir().unwrap();
        let (history, reports, _) =
            History::open(&Place::File(folder.path().to_owned()), &author(name)).unwrap();
        (folder, history, reports)
    }

    async fn next(reports: &mut mpsc::Receiver<Report>) -> Report {
        timeout(Duration::from_secs(20), reports.recv()).await.unwrap().unwrap()
    }

    async fn note_room(history: &History) {
        history.put(everybody()).await;
    }

    /// The most waits for the disk that a paste of 1,000 messages may cost each side.
    const WAITS_MAX: u64 = 40;

    /// Makes the disk of a history so slow that its first wait lasts until the returned sender is dropped. A paste
    /// takes far less time than one such wait of 2 ms.
    async fn slow_down(history: &History) -> std::sync::mpsc::Sender<()> {
        let (arrived, arrival) = std::sync::mpsc::channel::<()>();
        let (set, is_set) = oneshot::channel();
        let slow_down = Box::new(move |history: &mut HistoryDb| {
            history.disk_wait = Box::new(move || {
                let _ = arrival.recv();
            });
            let _ = set.send(());
        });
        history.tasks.send(Task::Transaction(slow_down)).await.unwrap();
        is_set.await.unwrap();
        arrived
    }

    /// Returns the sequence ranges of the room that a history holds.
    async fn spans(history: &History) -> Vec<StreamSpans> {
        history.transaction(|tables| tables.spans(&room())).await.unwrap()
    }

    async fn waiting(history: &History) -> Vec<(Username, usize)> {
        history.transaction(|tables| tables.waiting_counts(None)).await.unwrap()
    }

    /// Waits until the history has stored as many own messages, and passes them to `stored`.
    async fn sent_messages(
        reports: &mut mpsc::Receiver<Report>,
        count: usize,
        mut stored: impl AsyncFnMut(Vec<SignedMessage>),
    ) {
        let mut sent = 0;
        while sent < count {
            let Report::Committed(messages) = next(reports).await else { continue };
            sent += messages.len();
            stored(messages.into_iter().map(|sent| sent.message).collect()).await;
        }
    }

    /// Ana pastes messages, and Bob acknowledges what he has stored. Returns the waits for the disk of both.
    /// `one_by_one` leaves out the rule: each message is stored before the next one is written.
    async fn waits_of_a_paste(count: usize, one_by_one: bool) -> (u64, u64) {
        let ((_ana, ana, mut anas), (_bob, bob, mut bobs)) = (open(ANA), open(BOB));
        note_room(&ana).await;
        note_room(&bob).await;
        let (all_written, all_arrived) = (slow_down(&ana).await, slow_down(&bob).await);
        let before = (ana.commits(), bob.commits());
        let drafts: Vec<_> = (0..count).map(|n| draft(&room(), &n.to_string(), &[BOB])).collect();
        let to_bob = async |messages: Vec<SignedMessage>| {
            for message in messages {
                bob.put(inbound(ANA, &room(), &[message])).await;
            }
        };
        if one_by_one {
            drop((all_written, all_arrived));
            for draft in drafts {
                ana.put(Request::Append(draft)).await;
                sent_messages(&mut anas, 1, to_bob).await;
                bob.flush().await;
            }
        } else {
            for draft in drafts {
                ana.put(Request::Append(draft)).await;
            }
            drop(all_written);
            sent_messages(&mut anas, count, to_bob).await;
            drop(all_arrived);
        }
        let (mut received, mut delivered) = (Vec::new(), 0);
        while received.len() < count || delivered < count {
            tokio::select! {
                report = next(&mut bobs) => match report {
                    Report::AckDue { conversation, stream, .. } => {
                        let (from, theirs) = (user(BOB), vec![stream]);
                        ana.put(Request::AckRanges { from, conversation, theirs, lamport: None }).await;
                    }
                    report => {
                        let rows = incoming_messages(std::slice::from_ref(&report));
                        rows.last().into_iter().for_each(|last| bob.note_shown(last.message.row));
                        received.extend(texts(&[report]));
                    }
                },
                report = next(&mut anas) => match report {
                    Report::Delivered { ids, .. } => delivered += ids.len(),
                    report => panic!("{report:?}"),
                },
            }
        }
        assert_eq!(received, (0..count).map(|n| n.to_string()).collect::<Vec<_>>());
        // The close also writes what waits for a commit.
        tokio::join!(ana.flush(), bob.flush());
        (ana.commits() - before.0, bob.commits() - before.1)
    }

    #[tokio::test]
    async fn pasted_messages_share_the_waits_for_a_slow_disk() {
        let (anas, bobs) = waits_of_a_paste(1_000, false).await;
        assert!(anas <= WAITS_MAX && bobs <= WAITS_MAX, "{anas} and {bobs}");
        let (anas, bobs) = waits_of_a_paste(100, true).await;
        assert!(anas > WAITS_MAX && bobs > WAITS_MAX, "the control: {anas} and {bobs}");
    }

    #[tokio::test]
    async fn query_sees_all_earlier_requests_and_only_durable_data() {
        let (folder, ana, mut reports) = open(ANA);
        note_room(&ana).await;
        ana.put(Request::Append(draft(&room(), "1", &[BOB]))).await;
        let stored = spans(&ana).await;
        assert_eq!(stored[0].spans, [(1, 1)]);
        assert!(matches!(next(&mut reports).await, Report::Committed(_)));
        ana.put(Query::Pending { to: user(BOB), after: 0, bytes: usize::MAX }.into()).await;
        let Report::Pending { messages, more: false, .. } = next(&mut reports).await else { panic!() };
        assert_eq!(messages.len(), 1);
        ana.close().await;
        ana.close().await;
        let after = ana.transaction(|tables| tables.spans(&room())).await;
        assert_eq!(after, Err(HistoryFailed), "after the end there is no answer");
        let (again, _, opened) = History::open(&Place::File(folder.path().to_owned()), &author(ANA)).unwrap();
        assert_eq!(opened.waiting, [(user(BOB), 1)]);
        assert_eq!(spans(&again).await, stored);
    }

    /// Blocks the thread of a history until the returned sender is dropped.
    async fn block(history: &History) -> std::sync::mpsc::Sender<()> {
        let (go_on, gate) = std::sync::mpsc::channel::<()>();
        let (began, begun) = oneshot::channel();
        let question = Box::new(move |_: &mut HistoryDb| {
            let _ = began.send(());
            let _ = gate.recv();
        });
        history.tasks.send(Task::Transaction(question)).await.unwrap();
        begun.await.unwrap();
        go_on
    }

    fn holdings() -> Request {
        Query::Holdings { of: room(), to: user(BOB), on: None, since: 0 }.into()
    }

    #[tokio::test]
    async fn query_among_requests_is_answered_after_their_commit() {
        let (_folder, ana, mut reports) = open(ANA);
        note_room(&ana).await;
        let go_on = block(&ana).await;
        let before = ana.commits();
        ana.try_put(Request::Append(draft(&room(), "1", &[BOB]))).unwrap();
        ana.try_put(holdings()).unwrap();
        ana.try_put(Query::Pending { to: user(BOB), after: 0, bytes: usize::MAX }.into()).unwrap();
        ana.try_put(Request::Append(draft(&room(), "2", &[BOB]))).unwrap();
        ana.try_put(Query::Waiting { of: Some(room()) }.into()).unwrap();
        drop(go_on);
        let Report::Committed(sent) = next(&mut reports).await else { panic!() };
        assert_eq!(sent.len(), 2);
        let Report::Holdings { to, streams, lamport, .. } = next(&mut reports).await else { panic!() };
        assert_eq!((to, streams[0].spans.as_slice(), lamport), (user(BOB), &[(1, 2)][..], Some(2)));
        let Report::Pending { messages, more: false, .. } = next(&mut reports).await else { panic!() };
        assert_eq!(messages, sent);
        let waiting = Report::Waiting { of: Some(room()), waiting: vec![(user(BOB), 2)], used: vec![] };
        assert_eq!(next(&mut reports).await, waiting);
        assert_eq!(ana.commits(), before + 1);
    }

    #[tokio::test]
    async fn first_search_does_not_hold_up_other_requests() {
        let (_folder, ana, mut reports) = open(ANA);
        let drain = tokio::spawn(async move { while reports.recv().await.is_some() {} });
        let messages = 2 * INDEX_PIECE;
        let append = Box::new(move |history: &mut HistoryDb| {
            (0..messages)
                .for_each(|n| history.apply(Request::Append(draft(&room(), &format!("word {n}"), &[]))));
            history.commit();
        });
        ana.tasks.send(Task::Transaction(append)).await.unwrap();
        let go_on = block(&ana).await;
        let mut search = std::pin::pin!(ana.search("word".into(), 9));
        tokio::select! {
            biased;
            _ = &mut search => panic!("the thread is blocked"),
            () = tokio::task::yield_now() => {}
        }
        let mut other = std::pin::pin!(ana.transaction(|tables| Ok(tables.meta.indexed)));
        tokio::select! {
            biased;
            _ = &mut other => panic!("the thread is blocked"),
            () = tokio::task::yield_now() => {}
        }
        drop(go_on);
        let (found, indexed) = tokio::join!(search, other);
        let indexed = indexed.unwrap();
        assert_eq!(found.unwrap().len(), 9);
        assert!((1..messages).contains(&indexed), "the other request waited: {indexed}");
        ana.close().await;
        drain.await.unwrap();
    }

    #[tokio::test]
    async fn full_queue_returns_the_request_and_keeps_the_order() {
        let (_folder, ana, mut reports) = open(ANA);
        let go_on = block(&ana).await;
        let mut texts = (0..).map(|n: usize| n.to_string());
        let refused = loop {
            let sent = draft(&private(BOB), &texts.next().unwrap(), &[BOB]);
            if let Err(refused) = ana.try_put(Request::Append(sent)) {
                break refused;
            }
        };
        let Request::Append(Draft { text: last, .. }) = &refused else { panic!() };
        let queued: usize = last.parse().unwrap();
        let waiting = tokio::spawn({
            let ana = ana.clone();
            async move {
                let mut refused = refused;
                while let Err(again) = ana.try_put(refused) {
                    ana.ready().await;
                    refused = again;
                }
            }
        });
        drop(go_on);
        let mut stored_texts = Vec::new();
        while stored_texts.len() <= queued {
            stored_texts.extend(outgoing_messages(vec![next(&mut reports).await]));
        }
        waiting.await.unwrap();
        let stored_texts: Vec<_> =
            stored_texts.iter().map(|sent| sent.message.text.plain().to_owned()).collect();
        assert_eq!(stored_texts, (0..=queued).map(|n| n.to_string()).collect::<Vec<_>>());
        ana.close().await;
        ana.ready().await;
        assert!(ana.try_put(holdings()).is_ok(), "dropped after the end");
    }

    #[tokio::test]
    async fn outbox_bound_holds_over_a_restart() {
        let (folder, ana, mut reports) = open(ANA);
        let drain = tokio::spawn(async move { while reports.recv().await.is_some() {} });
        let messages: Vec<_> =
            (0..OUTBOX_MESSAGES).map(|n| draft(&private(BOB), &n.to_string(), &[BOB])).collect();
        for message in &messages {
            ana.put(Request::Append(message.clone())).await;
        }
        ana.close().await;
        drain.await.unwrap();
        let (ana, mut reports, _) =
            History::open(&Place::File(folder.path().to_owned()), &author(ANA)).unwrap();
        ana.put(Request::Append(draft(&private(CARLA), "elsewhere", &[CARLA]))).await;
        ana.flush().await;
        assert_eq!(waiting(&ana).await, [(user(BOB), OUTBOX_MESSAGES), (user(CARLA), 1)]);
        ana.put(Request::Append(draft(&private(BOB), "one more", &[BOB]))).await;
        assert_eq!(waiting(&ana).await, [(user(BOB), OUTBOX_MESSAGES), (user(CARLA), 1)]);
        assert!(matches!(next(&mut reports).await, Report::Committed(_)));
        let given_up = Report::GivenUp { to: user(BOB), ids: vec![messages[0].id], why: GivenUp::QueueFull };
        assert_eq!(next(&mut reports).await, given_up);
    }

    #[tokio::test]
    async fn full_outbox_of_an_absent_member_delays_no_other() {
        let (_folder, ana, mut reports) = open(ANA);
        let messages: Vec<_> =
            (0..OUTBOX_MESSAGES + 2).map(|n| draft(&room(), &n.to_string(), &[BOB, CARLA])).collect();
        let ids: Vec<_> = messages.iter().map(|message| message.id).collect();
        let saying = ana.clone();
        let sent = tokio::spawn(async move {
            for message in messages {
                saying.put(Request::Append(message)).await;
            }
        });
        let (mut stored_texts, mut delivered, mut given_up) = (0, 0, Vec::new());
        while stored_texts < ids.len() || delivered < ids.len() || given_up.len() < 2 {
            match next(&mut reports).await {
                Report::Committed(messages) => {
                    stored_texts += messages.len();
                    let ids = messages.iter().map(|sent| sent.message.id).collect();
                    ana.put(Request::AckUpTo { to: user(BOB), ids }).await;
                }
                Report::Delivered { ids, .. } => delivered += ids.len(),
                Report::GivenUp { to, ids, .. } => {
                    assert_eq!(to, user(CARLA), "bob has all");
                    given_up.extend(ids);
                }
                other => panic!("{other:?}"),
            }
        }
        sent.await.unwrap();
        let (oldest, rest) = ids.split_at(given_up.len());
        assert_eq!(given_up, oldest, "the oldest, in whole batches");
        assert!(rest.len() <= OUTBOX_MESSAGES, "what waits is bounded");
        assert_eq!(waiting(&ana).await, [(user(CARLA), rest.len())]);
    }

    #[tokio::test]
    async fn shown_messages_are_noted_without_a_new_message() {
        let (folder, bob, mut reports) = open(BOB);
        note_room(&bob).await;
        let messages = say(&mut history(ANA), &room(), &["1"], &[BOB]);
        let Request::Ingest(received) = inbound(ANA, &room(), &messages) else { panic!() };
        bob.put(Request::Ingest(received)).await;
        let row = incoming_messages(&[next(&mut reports).await])[0].message.row;
        bob.flush().await;
        let before = bob.commits();
        bob.note_shown(row);
        let noted = async {
            while bob.commits() == before {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(20), noted).await.unwrap();
        drop(bob);
        while reports.recv().await.is_some() {}
        let (_, _, opened) = History::open(&Place::File(folder.path().to_owned()), &author(BOB)).unwrap();
        assert_eq!(opened.unshown, []);
    }

    #[tokio::test]
    async fn message_whose_author_gave_up_waiting_is_not_stored() {
        let (_folder, ana, mut reports) = open(ANA);
        // The thread is blocked, so the queue fills.
        let (go_on, gate) = std::sync::mpsc::channel::<()>();
        let standing = tokio::spawn({
            let ana = ana.clone();
            async move {
                let wait = move |_: &mut Tables| {
                    gate.recv().unwrap_or_default();
                    Ok(())
                };
                ana.transaction(wait).await.unwrap();
            }
        });
        let mut queued = 0;
        let message = || Request::Append(draft(&private(BOB), "queued", &[BOB]));
        while timeout(Duration::from_millis(1), ana.put(message())).await.is_ok() {
            queued += 1;
        }
        assert!(queued >= HISTORY_QUEUE - 1, "{queued}");
        go_on.send(()).unwrap();
        standing.await.unwrap();
        let mut stored_texts = 0;
        while stored_texts < queued {
            stored_texts += outgoing_messages(vec![next(&mut reports).await]).len();
        }
        ana.close().await;
        assert!(reports.try_recv().is_err(), "the one that gave up is not among them");
    }
}
