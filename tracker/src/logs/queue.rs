//! The queue in front of a thread that writes log lines.
//! It is bounded. If the thread does not keep up, new lines are dropped and counted, and the count is logged.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use chrono::Utc;

use crate::config::LogFormat;
use crate::limits::{LOG_FLUSH_TIME, LOG_LINES_WAITING_MAX, LOG_STOP_TIME};
use crate::logs::line::Line;

/// An output of log lines. It runs on a thread of its own and may block.
pub(crate) trait Output: Send + 'static {
    /// Writes a line, at the latest at the next flush.
    fn write(&mut self, line: &Line);

    /// Writes what still waits. It is called at least once a second.
    fn flush(&mut self);
}

/// The near end of a queue. A clone is cheap.
#[derive(Debug, Clone)]
pub(crate) struct LogQueue {
    /// `None` wakes the thread.
    lines: SyncSender<Option<Arc<Line>>>,
    counts: Arc<QueueCounts>,
}

/// The counts that both ends of a queue change.
#[derive(Debug, Default)]
struct QueueCounts {
    /// The number of lines that were dropped since the last count was written.
    dropped: AtomicU64,
    /// The number of lines that wait.
    waiting: AtomicUsize,
}

/// The writing thread. When this is dropped, the thread writes the waiting lines and ends.
#[derive(Debug)]
pub(crate) struct Writing {
    queue: LogQueue,
    stops: Arc<AtomicBool>,
    ended: Receiver<()>,
}

impl LogQueue {
    /// Starts a thread that writes to this output.
    pub(crate) fn start(output: impl Output, format: LogFormat) -> io::Result<(Self, Writing)> {
        Self::start_bounded(output, format, LOG_LINES_WAITING_MAX)
    }

    fn start_bounded(output: impl Output, format: LogFormat, most: usize) -> io::Result<(Self, Writing)> {
        let (lines, waiting) = sync_channel(most);
        let (end, ended) = sync_channel(1);
        let (counts, stops) = (Arc::<QueueCounts>::default(), Arc::new(AtomicBool::new(false)));
        let queue = Self { lines, counts: counts.clone() };
        let stopping = stops.clone();
        let write = move || {
            write_all(output, format, &waiting, &counts, &stopping);
            let _ = end.send(());
        };
        thread::Builder::new().name("log".to_owned()).spawn(write)?;
        Ok((queue.clone(), Writing { queue, stops, ended }))
    }

    /// Adds a line. It is dropped and counted if the queue is full.
    pub(crate) fn push(&self, line: Arc<Line>) {
        // Counted first, because the thread may take it at once.
        self.counts.waiting.fetch_add(1, Ordering::Relaxed);
        if self.lines.try_send(Some(line)).is_err() {
            self.counts.waiting.fetch_sub(1, Ordering::Relaxed);
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The number of lines that wait for the thread.
    pub(crate) fn waiting(&self) -> usize {
        self.counts.waiting.load(Ordering::Relaxed)
    }
}

fn write_all(
    mut output: impl Output,
    format: LogFormat,
    waiting: &Receiver<Option<Arc<Line>>>,
    counts: &QueueCounts,
    stops: &AtomicBool,
) {
    loop {
        let first = waiting.recv_timeout(LOG_FLUSH_TIME);
        let ends = stops.load(Ordering::Acquire) || matches!(first, Err(RecvTimeoutError::Disconnected));
        // At most one queue of lines, so that a flood cannot put off the flush.
        let lines = first.into_iter().chain(waiting.try_iter().take(LOG_LINES_WAITING_MAX));
        for line in lines.flatten() {
            counts.waiting.fetch_sub(1, Ordering::Relaxed);
            output.write(&line);
        }
        match counts.dropped.swap(0, Ordering::Relaxed) {
            0 => {}
            count => output.write(&Line::dropped(count, format, Utc::now())),
        }
        output.flush();
        if ends {
            return;
        }
    }
}

impl Writing {
    /// Ends the thread, and waits at most this time until the waiting lines are written.
    pub(crate) fn end(&self, time: Duration) {
        self.stops.store(true, Ordering::Release);
        // If the queue is full, the thread is awake.
        let _ = self.queue.lines.try_send(None);
        let _ = self.ended.recv_timeout(time);
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        // An output that blocks, such as a terminal that is paused, must not keep the tracker from ending.
        self.end(LOG_STOP_TIME);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use tracing::Level;

    use super::*;

    /// An output that waits for a permit before each line.
    struct Slow(Receiver<()>, Sender<String>);

    impl Output for Slow {
        fn write(&mut self, line: &Line) {
            let _ = self.0.recv();
            self.1.send(line.written(false)).unwrap();
        }

        fn flush(&mut self) {}
    }

    fn overloaded(lines: u64, most: usize) -> Vec<String> {
        let (permits, permit) = channel();
        let (sender, written) = channel();
        let (queue, writing) = LogQueue::start_bounded(Slow(permit, sender), LogFormat::Text, most).unwrap();
        let line = Arc::new(Line::header(LogFormat::Text, Utc::now()));
        (0..lines).for_each(|_| queue.push(line.clone()));
        drop(permits);
        drop(writing);
        written.into_iter().collect()
    }

    #[test]
    fn on_overload_lines_are_dropped_and_counted() {
        let written = overloaded(100, 4);
        let counts =
            written.iter().filter_map(|line| line.trim_end().split_once("dropped=")?.1.parse::<u64>().ok());
        let dropped: Vec<_> = counts.collect();
        assert!(!dropped.is_empty(), "{written:?}");
        let kept = written.len() - dropped.len();
        assert_eq!(kept as u64 + dropped.iter().sum::<u64>(), 100);
    }

    #[test]
    fn control_no_line_is_dropped_while_there_is_room() {
        let written = overloaded(100, 100);
        assert_eq!(written.iter().filter(|line| line.contains("===")).count(), 100);
        assert_eq!(written.len(), 100);
        assert_eq!(Line::dropped(1, LogFormat::Text, Utc::now()).level, Level::WARN);
    }
}
