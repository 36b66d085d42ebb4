//! The thread that owns the database: it takes what is asked for, and commits in groups.
//!
//! A single line is committed at once. While the disk is busy, and for a moment after it, what comes is gathered, so that
//! a thousand lines at once cost a few waits for the disk. A question sees only what is durable: it ends the gathering.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Instant;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::history::ledger::Ledger;
use crate::history::report::Report;
use crate::history::request::Request;
use crate::limits::{COMMIT_LINES, COMMIT_PAUSE, HISTORY_IDLE};

/// What the thread is asked for.
pub(crate) enum Task {
    /// To keep something.
    Keep(Request),
    /// A question. What it changes, it commits itself.
    Ask(Box<dyn FnOnce(&mut Ledger) + Send>),
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
pub(crate) struct Keeper {
    ledger: Ledger,
    queue: mpsc::Receiver<Task>,
    reports: mpsc::Sender<Report>,
    counters: Arc<Counters>,
    /// For its clock only: a channel alone cannot be waited for with a limit.
    runtime: Runtime,
    committed_at: Option<Instant>,
}

impl Keeper {
    pub(crate) fn new(
        ledger: Ledger,
        queue: mpsc::Receiver<Task>,
        reports: mpsc::Sender<Report>,
        counters: Arc<Counters>,
    ) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_time().build()?;
        Ok(Self { ledger, queue, reports, counters, runtime, committed_at: None })
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
                    match self.runtime.block_on(async { timeout(HISTORY_IDLE, self.queue.recv()).await }) {
                        Ok(task) => return task,
                        Err(_) => idle = true,
                    }
                }
            }
        }
    }

    /// Stages a request and what else comes before the next commit, and commits. What is no request ends it and is
    /// returned.
    fn gather(&mut self, first: Request) -> Option<Task> {
        let mut next = Some(Task::Keep(first));
        let mut staged = 0;
        while let Some(Task::Keep(request)) = next {
            staged += request.lines();
            self.ledger.apply(request);
            next = if staged < COMMIT_LINES { self.next_to_gather() } else { None };
        }
        self.commit();
        next
    }

    fn next_to_gather(&mut self) -> Option<Task> {
        loop {
            let task = match self.queue.try_recv() {
                Ok(task) => task,
                Err(_) => {
                    let rest = COMMIT_PAUSE.checked_sub(self.committed_at?.elapsed())?;
                    self.runtime.block_on(async { timeout(rest, self.queue.recv()).await }).ok()??
                }
            };
            if !matches!(task, Task::Shown) {
                return Some(task);
            }
        }
    }

    fn commit(&mut self) {
        self.note_shown();
        let reports = self.ledger.commit();
        if self.count() {
            self.committed_at = Some(Instant::now());
        }
        for report in reports {
            // Without a reader there is nobody to tell.
            let _ = self.reports.blocking_send(report);
        }
    }

    fn note_shown(&mut self) {
        self.counters.nudged.store(false, Ordering::Relaxed);
        self.ledger.note_shown(self.counters.shown.load(Ordering::Relaxed));
    }

    /// Whether the disk was waited for since the last time.
    fn count(&self) -> bool {
        let commits = self.ledger.commits();
        self.counters.commits.swap(commits, Ordering::Relaxed) != commits
    }
}
