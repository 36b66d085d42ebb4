//! The history: the local encrypted message store of one user. It holds the messages of all conversations and the
//! outbox.
//!
//! A message is verified before it is published, and it is durable before it is sent or acknowledged. One thread owns the
//! database (`db_thread`). The rules are in `history_db`, which uses no thread and no clock. This module holds the
//! handle with which other parts of the program use the history.

mod acks;
pub mod answer;
mod append;
mod clock;
pub mod command;
pub mod conversation;
mod database;
mod db_thread;
mod deletion;
mod early_messages;
pub mod finding;
pub mod history_db;
mod incarnation;
mod ingest;
pub mod listing;
pub mod membership;
pub mod message;
mod meta;
mod outbox;
pub mod published;
mod queries;
mod reassembly;
pub mod record;
pub mod remembered;
pub mod remembered_room;
pub mod report;
mod report_queries;
mod rollback;
mod rollback_action;
mod rows;
mod search_index;
mod seats;
pub mod seq_ranges;
pub(crate) mod signed_batch;
mod sync_queries;
pub(crate) mod tables;
#[cfg(test)]
pub(crate) mod testing;
mod verify;

use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::{io, thread};

use commons::names::Username;
use commons::protocol::provenance::StreamSpans;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use crate::history::answer::{HistoryFailed, NotWithdrawn, Receipt, StoredMessage, Waiting};
use crate::history::command::Request;
use crate::history::conversation::{ConversationId, NamedConversation};
use crate::history::db_thread::{Counters, DbThread, Task};
use crate::history::finding::Search;
use crate::history::history_db::{Author, HistoryDb, HistoryError, Opened, Place};
use crate::history::listing::KeptConversation;
use crate::history::published::Published;
use crate::history::report::Report;
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
    ) -> Result<(Self, mpsc::Receiver<Report>, Opened), HistoryError> {
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

    /// Returns the number of own messages that wait for each recipient.
    pub async fn waiting(&self) -> Result<Vec<(Username, usize)>, HistoryFailed> {
        self.read(|history| history.read(|tables| tables.waiting_counts(None))).await
    }

    /// Waits until all earlier requests are durable and reported.
    pub async fn flush(&self) {
        self.ask(|_| ()).await;
    }

    /// Returns the sequence ranges of a conversation that this peer holds.
    pub async fn spans(&self, of: ConversationId) -> Vec<StreamSpans> {
        self.ask(move |history| history.spans(&of)).await
    }

    /// Returns the last messages of a conversation, oldest first. All peers with the same messages agree on the
    /// order.
    pub async fn recent(
        &self,
        of: ConversationId,
        count: usize,
    ) -> Result<Vec<StoredMessage>, HistoryFailed> {
        self.page(of, None, count).await
    }

    /// Returns the last messages of a conversation before this row, oldest first.
    pub async fn page(
        &self,
        of: ConversationId,
        before: Option<i64>,
        count: usize,
    ) -> Result<Vec<StoredMessage>, HistoryFailed> {
        self.read(move |history| history.page(&of, before, count)).await
    }

    /// Returns the first messages of a conversation after this row, oldest first.
    pub async fn page_after(
        &self,
        of: ConversationId,
        after: i64,
        count: usize,
    ) -> Result<Vec<StoredMessage>, HistoryFailed> {
        self.read(move |history| history.page_after(&of, after, count)).await
    }

    /// Returns the rows that were not noted as shown when the history was opened.
    #[must_use]
    pub fn unshown_rows(&self) -> &Range<i64> {
        &self.unshown_rows
    }

    /// Returns the published messages of these rows in order, at most `count`.
    pub async fn published(
        &self,
        received: Range<i64>,
        own: Range<i64>,
        count: usize,
    ) -> Result<Vec<Published>, HistoryFailed> {
        self.read(move |history| history.read(|tables| tables.published(&received, &own, count))).await
    }

    /// Returns the row of the message of this author with this id; of any author if `from` is absent.
    pub async fn row_of(&self, id: Uuid, from: Option<Username>) -> Result<Option<i64>, HistoryFailed> {
        self.read(move |history| history.row_of(&id, from.as_ref())).await
    }

    /// Returns the messages that match a search, newest first. Messages that are not in the index yet are indexed
    /// first, in pieces, so that other requests do not wait for the whole index.
    pub async fn search(&self, wanted: Search, count: usize) -> Result<Vec<StoredMessage>, HistoryFailed> {
        while self.ask(HistoryDb::tidy).await {}
        self.read(move |history| history.search(wanted, count)).await
    }

    /// Returns the last own messages of a conversation with their delivery state, oldest first.
    pub async fn receipts(&self, of: ConversationId, count: usize) -> Result<Vec<Receipt>, HistoryFailed> {
        self.read(move |history| history.receipts(&of, count)).await
    }

    /// Returns the own messages that wait for a recipient, oldest first.
    pub async fn outbox(&self) -> Result<Vec<Waiting>, HistoryFailed> {
        self.read(HistoryDb::outbox).await
    }

    /// Withdraws an own message that no recipient has yet.
    pub async fn withdraw(&self, id: Uuid) -> Result<(), NotWithdrawn> {
        self.asked(move |history| history.withdraw(id)).await.unwrap_or(Err(NotWithdrawn::NotStored))
    }

    /// Returns messages of a conversation in their order, and the position from which the next call continues. The
    /// first position is `i64::MIN`.
    pub async fn export(
        &self,
        of: ConversationId,
        after: i64,
        count: usize,
    ) -> Result<(Vec<StoredMessage>, Option<i64>), HistoryFailed> {
        self.read(move |history| history.export(&of, after, count)).await
    }

    /// Returns the conversations that hold messages, in the order in which they were first seen.
    pub async fn conversations(&self) -> Result<Vec<NamedConversation>, HistoryFailed> {
        self.read(HistoryDb::conversations).await
    }

    /// Returns the conversations with counts and dates, in the order in which they were first seen.
    pub async fn conversation_list(&self) -> Result<Vec<KeptConversation>, HistoryFailed> {
        self.read(HistoryDb::conversation_list).await
    }

    /// Erases the messages of a conversation and returns how many there were. A sync does not bring them back. Own
    /// messages that waited for recipients are given up.
    pub async fn forget(&self, conversation: ConversationId) -> Result<usize, HistoryFailed> {
        self.read(move |history| history.forget(&conversation)).await
    }

    /// Notes that all messages up to this row were shown. This call is cheap: the next commit or an idle moment
    /// writes the row.
    pub fn note_shown(&self, row: i64) {
        self.counters.shown.fetch_max(row, Ordering::Relaxed);
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

    /// Answers a query of a user. A failure is an error, not an empty answer.
    async fn read<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut HistoryDb) -> Result<T, HistoryFailed> + Send + 'static,
    ) -> Result<T, HistoryFailed> {
        self.asked(question).await.unwrap_or(Err(HistoryFailed))
    }

    /// Answers an internal query, with the default value after the history is closed.
    async fn ask<T: Default + Send + 'static>(
        &self,
        question: impl FnOnce(&mut HistoryDb) -> T + Send + 'static,
    ) -> T {
        self.asked(question).await.unwrap_or_default()
    }

    async fn asked<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut HistoryDb) -> T + Send + 'static,
    ) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        let question = Box::new(move |history: &mut HistoryDb| {
            // The caller may have stopped waiting for the answer.
            let _ = answer.send(question(history));
        });
        self.tasks.send(Task::Ask(question)).await.ok()?;
        answered.await.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;
    use crate::history::command::Draft;
    use crate::history::message::SignedMessage;
    use crate::history::report::GivenUp;
    use crate::history::testing::*;
    use crate::limits::{INDEX_PIECE, OUTBOX_LINES};

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
        history
            .ask(|history| {
                history.disk_wait = Box::new(move || {
                    let _ = arrival.recv();
                });
            })
            .await;
        arrived
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
                    Report::Holds { conversation, stream, .. } => {
                        let (from, theirs) = (user(BOB), vec![stream]);
                        ana.put(Request::Has { from, conversation, theirs, lamport: None }).await;
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
        let spans = ana.spans(room()).await;
        assert_eq!(spans[0].spans, [(1, 1)]);
        assert!(matches!(next(&mut reports).await, Report::Committed(_)));
        ana.put(Request::Pending { to: user(BOB), after: 0, bytes: usize::MAX }).await;
        let Report::Pending { messages, more: false, .. } = next(&mut reports).await else { panic!() };
        assert_eq!(messages.len(), 1);
        ana.close().await;
        ana.close().await;
        assert_eq!(ana.spans(room()).await, [], "after the end there is no answer");
        let (again, _, opened) = History::open(&Place::File(folder.path().to_owned()), &author(ANA)).unwrap();
        assert_eq!(opened.waiting, [(user(BOB), 1)]);
        assert_eq!(again.spans(room()).await, spans);
    }

    /// Blocks the thread of a history until the returned sender is dropped.
    async fn block(history: &History) -> std::sync::mpsc::Sender<()> {
        let (go_on, gate) = std::sync::mpsc::channel::<()>();
        let (began, begun) = oneshot::channel();
        let question = Box::new(move |_: &mut HistoryDb| {
            let _ = began.send(());
            let _ = gate.recv();
        });
        history.tasks.send(Task::Ask(question)).await.unwrap();
        begun.await.unwrap();
        go_on
    }

    fn holdings() -> Request {
        Request::Holdings { of: room(), to: user(BOB), on: None, since: 0 }
    }

    #[tokio::test]
    async fn query_among_requests_is_answered_after_their_commit() {
        let (_folder, ana, mut reports) = open(ANA);
        note_room(&ana).await;
        let go_on = block(&ana).await;
        let before = ana.commits();
        ana.try_put(Request::Append(draft(&room(), "1", &[BOB]))).unwrap();
        ana.try_put(holdings()).unwrap();
        ana.try_put(Request::Pending { to: user(BOB), after: 0, bytes: usize::MAX }).unwrap();
        ana.try_put(Request::Append(draft(&room(), "2", &[BOB]))).unwrap();
        ana.try_put(Request::Waiting { of: Some(room()) }).unwrap();
        drop(go_on);
        let Report::Committed(sent) = next(&mut reports).await else { panic!() };
        assert_eq!(sent.len(), 2);
        let Report::Holdings { to, streams, lamport, .. } = next(&mut reports).await else { panic!() };
        assert_eq!((to, streams[0].spans.as_slice(), lamport), (user(BOB), &[(1, 2)][..], Some(2)));
        let Report::Pending { messages, more: false, .. } = next(&mut reports).await else { panic!() };
        assert_eq!(messages, sent);
        let waiting = Report::Waiting { of: Some(room()), waiting: vec![(user(BOB), 2)] };
        assert_eq!(next(&mut reports).await, waiting);
        assert_eq!(ana.commits(), before + 1);
    }

    #[tokio::test]
    async fn first_search_does_not_hold_up_other_requests() {
        let (_folder, ana, mut reports) = open(ANA);
        let drain = tokio::spawn(async move { while reports.recv().await.is_some() {} });
        let messages = 2 * INDEX_PIECE;
        ana.ask(move |history| {
            (0..messages)
                .for_each(|n| history.apply(Request::Append(draft(&room(), &format!("word {n}"), &[]))));
            history.commit();
        })
        .await;
        let go_on = block(&ana).await;
        let mut search = std::pin::pin!(ana.search("word".into(), 9));
        tokio::select! {
            biased;
            _ = &mut search => panic!("the thread is blocked"),
            () = tokio::task::yield_now() => {}
        }
        let mut other = std::pin::pin!(ana.ask(|history| history.tables.meta.indexed));
        tokio::select! {
            biased;
            _ = &mut other => panic!("the thread is blocked"),
            () = tokio::task::yield_now() => {}
        }
        drop(go_on);
        let (found, indexed) = tokio::join!(search, other);
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
        let mut kept = Vec::new();
        while kept.len() <= queued {
            kept.extend(outgoing_messages(vec![next(&mut reports).await]));
        }
        waiting.await.unwrap();
        let kept: Vec<_> = kept.iter().map(|sent| sent.message.text.plain().to_owned()).collect();
        assert_eq!(kept, (0..=queued).map(|n| n.to_string()).collect::<Vec<_>>());
        ana.close().await;
        ana.ready().await;
        assert!(ana.try_put(holdings()).is_ok(), "dropped after the end");
    }

    #[tokio::test]
    async fn what_waits_keeps_its_bound_over_a_restart() {
        let (folder, ana, mut reports) = open(ANA);
        let drain = tokio::spawn(async move { while reports.recv().await.is_some() {} });
        let messages: Vec<_> =
            (0..OUTBOX_LINES).map(|n| draft(&private(BOB), &n.to_string(), &[BOB])).collect();
        for message in &messages {
            ana.put(Request::Append(message.clone())).await;
        }
        ana.close().await;
        drain.await.unwrap();
        let (ana, mut reports, _) =
            History::open(&Place::File(folder.path().to_owned()), &author(ANA)).unwrap();
        ana.put(Request::Append(draft(&private(CARLA), "elsewhere", &[CARLA]))).await;
        ana.flush().await;
        assert_eq!(ana.waiting().await.unwrap(), [(user(BOB), OUTBOX_LINES), (user(CARLA), 1)]);
        ana.put(Request::Append(draft(&private(BOB), "one more", &[BOB]))).await;
        assert_eq!(ana.waiting().await.unwrap(), [(user(BOB), OUTBOX_LINES), (user(CARLA), 1)]);
        assert!(matches!(next(&mut reports).await, Report::Committed(_)));
        let given_up = Report::GivenUp { to: user(BOB), ids: vec![messages[0].id], why: GivenUp::QueueFull };
        assert_eq!(next(&mut reports).await, given_up);
    }

    #[tokio::test]
    async fn full_queue_of_an_absent_member_holds_up_nobody() {
        let (_folder, ana, mut reports) = open(ANA);
        let messages: Vec<_> =
            (0..OUTBOX_LINES + 2).map(|n| draft(&room(), &n.to_string(), &[BOB, CARLA])).collect();
        let ids: Vec<_> = messages.iter().map(|message| message.id).collect();
        let saying = ana.clone();
        let sent = tokio::spawn(async move {
            for message in messages {
                saying.put(Request::Append(message)).await;
            }
        });
        let (mut kept, mut delivered, mut given_up) = (0, 0, Vec::new());
        while kept < ids.len() || delivered < ids.len() || given_up.len() < 2 {
            match next(&mut reports).await {
                Report::Committed(messages) => {
                    kept += messages.len();
                    let ids = messages.iter().map(|sent| sent.message.id).collect();
                    ana.put(Request::Delivered { to: user(BOB), ids }).await;
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
        assert!(rest.len() <= OUTBOX_LINES, "what waits is bounded");
        assert_eq!(ana.waiting().await.unwrap(), [(user(CARLA), rest.len())]);
    }

    #[tokio::test]
    async fn what_was_shown_is_noted_without_another_line() {
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
            async move { ana.ask(move |_| gate.recv().unwrap_or_default()).await }
        });
        let mut queued = 0;
        let message = || Request::Append(draft(&private(BOB), "queued", &[BOB]));
        while timeout(Duration::from_millis(1), ana.put(message())).await.is_ok() {
            queued += 1;
        }
        assert!(queued >= HISTORY_QUEUE - 1, "{queued}");
        go_on.send(()).unwrap();
        standing.await.unwrap();
        let mut kept = 0;
        while kept < queued {
            kept += outgoing_messages(vec![next(&mut reports).await]).len();
        }
        ana.close().await;
        assert!(reports.try_recv().is_err(), "the one that gave up is not among them");
    }
}
