//! The thread that owns the database: it takes what is asked for, and commits in groups.
//!
//! A message is committed as soon as the disk is free, together with everything that arrived while the disk was busy
//! (group commit), so that a thousand messages at once cost a few waits for the disk. The marks of deliveries wait for
//! the next commit, at most [`MARKS_WAIT`]: if a crash takes one, the recipient's next HAVE brings it back. A question sees
//! only what is durable: it ends the gathering.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Instant;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::history::command::Request;
use crate::history::history_db::HistoryDb;
use crate::history::report::Report;
use crate::limits::{COMMIT_LINES, HISTORY_IDLE, MARKS_WAIT};

/// What the thread is asked for.
pub(crate) enum Task {
    /// To keep something.
    Keep(Request),
    /// A question. What it changes, it commits itself.
    Ask(Box<dyn FnOnce(&mut HistoryDb) + Send>),
    /// To note what was shown, in an idle moment.
    Shown,
    /// An end in good order.
    Close(oneshot::Sender<()>),
}

/// Numbers that both sides see.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// The last row that was shown.
    pub(crate) shown: AtomicI64,
    /// Whether the thread knows that there is something to note.
    pub(crate) nudged: AtomicBool,
    /// How often the disk was waited for.
    pub(crate) commits: AtomicU64,
}

/// What the thread owns.
pub(crate) struct DbThread {
    ledger: HistoryDb,
    queue: mpsc::Receiver<Task>,
    reports: mpsc::Sender<Report>,
    counters: Arc<Counters>,
    /// For its clock only: a channel alone cannot be waited for with a limit.
    runtime: Runtime,
    /// When the marks are committed that wait for another commit, where some wait.
    marks_due: Option<Instant>,
}

impl DbThread {
    pub(crate) fn new(
        ledger: HistoryDb,
        queue: mpsc::Receiver<Task>,
        reports: mpsc::Sender<Report>,
        counters: Arc<Counters>,
    ) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_time().build()?;
        Ok(Self { ledger, queue, reports, counters, runtime, marks_due: None })
    }

    /// Works until it is asked to close, or nobody can ask any more.
    pub(crate) fn run(mut self) {
        while let Some(task) = self.next() {
            let rest = match task {
                Task::Keep(request) => self.gather(request),
                other => Some(other),
            };
            match rest {
                Some(Task::Ask(question)) => {
                    question(&mut self.ledger);
                    // What the question changed is durable already, and told now.
                    self.commit();
                }
                Some(Task::Close(done)) => {
                    self.commit();
                    self.ledger.close();
                    let _ = done.send(());
                    return;
                }
                Some(Task::Keep(_) | Task::Shown) | None => {}
            }
        }
        self.commit();
    }

    /// The next task. What can wait is done while there is none.
    fn next(&mut self) -> Option<Task> {
        let mut idle = false;
        loop {
            match self.queue.try_recv() {
                Ok(task) => return Some(task),
                Err(mpsc::error::TryRecvError::Disconnected) => return None,
                Err(mpsc::error::TryRecvError::Empty) if idle => {
                    self.note_shown();
                    idle = self.ledger.tidy();
                    self.count();
                    if !idle {
                        return self.queue.blocking_recv();
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

    /// Stages a request and all others that wait, and commits. What is no request ends it and is returned.
    fn gather(&mut self, first: Request) -> Option<Task> {
        let mut next = Some(Task::Keep(first));
        let (mut staged, mut only_marks) = (0, true);
        while let Some(Task::Keep(request)) = next {
            staged += request.lines();
            only_marks &= request.is_mark();
            self.ledger.apply(request);
            next = if staged < COMMIT_LINES { self.next_in_queue() } else { None };
        }
        if only_marks && staged < COMMIT_LINES {
            self.marks_due.get_or_insert_with(|| Instant::now() + MARKS_WAIT);
            let reports = self.ledger.reports_of_marks();
            self.report(reports);
        } else {
            self.commit();
        }
        next
    }

    fn next_in_queue(&mut self) -> Option<Task> {
        std::iter::from_fn(|| self.queue.try_recv().ok()).find(|task| !matches!(task, Task::Shown))
    }

    fn commit(&mut self) {
        self.note_shown();
        self.marks_due = None;
        let reports = self.ledger.commit();
        self.count();
        self.report(reports);
    }

    fn report(&self, reports: Vec<Report>) {
        for report in reports {
            // Without a reader there is nobody to tell.
            let _ = self.reports.blocking_send(report);
        }
    }

    fn note_shown(&mut self) {
        self.counters.nudged.store(false, Ordering::Relaxed);
        self.ledger.note_shown(self.counters.shown.load(Ordering::Relaxed));
    }

    fn count(&self) {
        self.counters.commits.store(self.ledger.commits(), Ordering::Relaxed);
    }
}
