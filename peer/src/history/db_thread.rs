//! The thread that owns the database. It applies requests in batches, and runs queries.
//!
//! A message is committed as soon as the disk is free. The commit includes all requests that arrived while the
//! disk was busy (group commit). For example, 1,000 pasted messages need a few dozen commits instead of 1,000.
//!
//! Received messages are published before the commit, and acknowledged after it.
//!
//! Delivery marks wait for the next commit, but at most [`MARKS_WAIT`]. If a crash loses a mark, the recipient's
//! next HAVE frame restores it. Work in a transaction of its own sees only durable data: it ends the current batch.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::history::history_db::HistoryDb;
use crate::history::read_marks::ReadMarks;
use crate::history::report::Report;
use crate::history::request::Request;
use crate::history::tables::Tables;
use crate::limits::{COMMIT_MESSAGES, HISTORY_IDLE, MARKS_WAIT, QUERY_RETRY, READ_MARKS_PAUSE};

/// A task for the database thread.
pub(crate) enum Task {
    /// Stores the effects of a request.
    Request(Request),
    /// Runs work in its own transaction.
    Transaction(Box<dyn FnOnce(&mut HistoryDb) + Send>),
    /// Notes at the next idle moment which messages were shown.
    Shown,
    /// Closes the history and confirms it on this channel.
    Close(oneshot::Sender<()>),
}

/// Counters that the thread shares with the handles of the history.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// The highest row that was shown to the user.
    pub(crate) shown: AtomicI64,
    /// The read marks since the last ones that were written.
    pub(crate) read: Mutex<ReadMarks>,
    /// Whether a `Shown` task is queued, so that no second one is needed.
    pub(crate) nudged: AtomicBool,
    /// The number of commits that changed something.
    pub(crate) commits: AtomicU64,
}

/// The state of the database thread.
pub(crate) struct DbThread {
    history: HistoryDb,
    queue: mpsc::Receiver<Task>,
    reports: mpsc::Sender<Report>,
    counters: Arc<Counters>,
    /// The runtime for the timeout of a receive: the channel itself has no timeout.
    runtime: Runtime,
    /// The time at which pending delivery marks must be committed; `None` if there are none.
    marks_due: Option<Instant>,
    /// The time before which no read mark is written, so that a stream of messages does not write one with each commit.
    read_marks_due: Instant,
}

impl DbThread {
    pub(crate) fn new(
        history: HistoryDb,
        queue: mpsc::Receiver<Task>,
        reports: mpsc::Sender<Report>,
        counters: Arc<Counters>,
    ) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_time().build()?;
        let read_marks_due = Instant::now();
        Ok(Self { history, queue, reports, counters, runtime, marks_due: None, read_marks_due })
    }

    /// Runs until a `Close` task arrives, or until all senders are gone.
    pub(crate) fn run(mut self) {
        while let Some(task) = self.next() {
            let rest = match task {
                Task::Request(request) => self.gather(request),
                other => Some(other),
            };
            match rest {
                Some(Task::Transaction(work)) => {
                    work(&mut self.history);
                    // The changes are durable already; this call reports them.
                    self.commit();
                }
                Some(Task::Close(done)) => {
                    self.take_read_marks();
                    self.commit();
                    self.history.close();
                    let _ = done.send(());
                    return;
                }
                Some(Task::Request(_) | Task::Shown) | None => {}
            }
        }
        self.take_read_marks();
        self.commit();
    }

    /// Returns the next task. When the queue stays empty, the thread does its deferred work first.
    fn next(&mut self) -> Option<Task> {
        let mut idle = false;
        loop {
            match self.queue.try_recv() {
                Ok(task) => return Some(task),
                Err(mpsc::error::TryRecvError::Disconnected) => return None,
                Err(mpsc::error::TryRecvError::Empty) if idle => {
                    self.note_shown();
                    idle = self.history.transaction(Tables::index).unwrap_or(false);
                    // The changes are durable already; this call reports them.
                    self.commit();
                    if !idle {
                        let Some(wait) = self.retry_wait() else { return self.queue.blocking_recv() };
                        match self.runtime.block_on(async { timeout(wait, self.queue.recv()).await }) {
                            Ok(task) => return task,
                            Err(_) => idle = true,
                        }
                    }
                }
                Err(mpsc::error::TryRecvError::Empty) => {
                    let marks = self.marks_due.map(|due| due.saturating_duration_since(Instant::now()));
                    let wait = marks.unwrap_or(HISTORY_IDLE);
                    match self.runtime.block_on(async { timeout(wait, self.queue.recv()).await }) {
                        Ok(task) => return task,
                        Err(_) if marks.is_some() => self.commit(),
                        Err(_) => idle = true,
                    }
                }
            }
        }
    }

    /// Returns the wait until a query that failed is tried again; `None` if there is none. Nobody repeats such a query.
    fn retry_wait(&self) -> Option<Duration> {
        self.history.has_queries().then_some(QUERY_RETRY)
    }

    /// Stages a request and the queued requests after it, up to [`COMMIT_MESSAGES`], and commits them. Returns the
    /// first task that is not a request. If only delivery marks and queries are staged, the commit is deferred.
    fn gather(&mut self, first: Request) -> Option<Task> {
        let mut next = Some(Task::Request(first));
        let mut staged = 0;
        while let Some(Task::Request(request)) = next {
            staged += request.weight();
            let is_last = request.ends_batch();
            self.history.apply(request);
            next = if staged < COMMIT_MESSAGES && !is_last { self.next_in_queue() } else { None };
        }
        if self.history.needs_commit() || staged >= COMMIT_MESSAGES {
            let early = self.history.early_reports();
            self.report(early);
            self.commit();
        } else {
            if self.history.is_open {
                self.marks_due.get_or_insert_with(|| Instant::now() + MARKS_WAIT);
            }
            let reports = self.history.reports_without_commit();
            self.report(reports);
        }
        next
    }

    fn next_in_queue(&mut self) -> Option<Task> {
        std::iter::from_fn(|| self.queue.try_recv().ok()).find(|task| !matches!(task, Task::Shown))
    }

    fn commit(&mut self) {
        self.note_shown();
        self.marks_due = None;
        let reports = self.history.commit();
        self.count();
        self.report(reports);
    }

    fn report(&self, reports: impl IntoIterator<Item = Report>) {
        for report in reports {
            // A closed channel means that no subscriber is left.
            let _ = self.reports.blocking_send(report);
        }
    }

    fn note_shown(&mut self) {
        self.counters.nudged.store(false, Ordering::Relaxed);
        self.history.note_shown(self.counters.shown.load(Ordering::Relaxed));
        if Instant::now() >= self.read_marks_due {
            self.take_read_marks();
        }
    }

    fn take_read_marks(&mut self) {
        let marks = std::mem::take(&mut *self.counters.read.lock().unwrap_or_else(PoisonError::into_inner));
        if marks != ReadMarks::default() {
            self.history.note_read(marks);
            self.read_marks_due = Instant::now() + READ_MARKS_PAUSE;
        }
    }

    fn count(&self) {
        self.counters.commits.store(self.history.commits(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::query::Query;
    use crate::history::testing::*;

    /// Gives the thread these requests at once, and returns its reports.
    fn reports(history: HistoryDb, requests: Vec<Request>) -> Vec<Report> {
        let (tasks, queue) = mpsc::channel(16);
        let (reports, mut received) = mpsc::channel(16);
        requests.into_iter().for_each(|request| tasks.try_send(Task::Request(request)).unwrap());
        drop(tasks);
        DbThread::new(history, queue, reports, Arc::default()).unwrap().run();
        std::iter::from_fn(|| received.try_recv().ok()).collect()
    }

    #[test]
    fn missed_messages_are_counted_before_they_are_shown() {
        let (mut ana, bob) = (history(ANA), history(BOB));
        let messages = say(&mut ana, &room(), &["1", "2"], &[BOB]);
        let theirs = spans(&mut ana, &room());
        let count = Query::CountMissed { of: room(), theirs: theirs.clone() };
        let reports = reports(bob, vec![count.into(), inbound(ANA, &room(), &messages)]);
        assert_eq!(reports[0], Report::Missed { of: room(), lacking: theirs });
        assert_eq!(texts(&reports[1..]), ["1", "2"]);
    }

    #[test]
    fn failed_query_is_tried_again_without_another_request() {
        let ana = history(ANA);
        let (_tasks, queue) = mpsc::channel(1);
        let (reports, mut received) = mpsc::channel(16);
        let mut thread = DbThread::new(ana, queue, reports, Arc::default()).unwrap();
        assert_eq!(thread.retry_wait(), None, "the control: nothing waits");
        let rename = "ALTER TABLE messages RENAME TO elsewhere; ALTER TABLE users RENAME TO nowhere";
        thread.history.tables.db.execute_batch(rename).unwrap();
        thread.history.is_stale = true;
        thread.history.apply(Query::Waiting { of: None });
        thread.commit();
        assert!(matches!(received.try_recv(), Ok(Report::Trouble(_))));
        assert_eq!(thread.retry_wait(), Some(QUERY_RETRY));
        let rename = "ALTER TABLE nowhere RENAME TO users; ALTER TABLE elsewhere RENAME TO messages";
        thread.history.tables.db.execute_batch(rename).unwrap();
        thread.commit();
        assert_eq!(
            received.try_recv(),
            Ok(Report::Waiting { of: None, waiting: Vec::new(), used: Vec::new() })
        );
        assert_eq!(thread.retry_wait(), None);
    }
}
