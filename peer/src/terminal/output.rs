//! Rows on their way to a screen or a pipe: a bounded queue and a thread that writes, so that a slow reader slows this
//! peer's screen and nothing else, and no row is ever dropped.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::limits::{FAREWELL_WAIT, OUTPUT_PIECES};

/// Rows that are written at once have about so many bytes at most.
const BATCH: usize = 32 * 1024;

/// The reader is gone: nothing more can be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OutputClosed;

/// Something to write.
enum Piece {
    Rows(String),
    /// Nothing new above, but the line above the input changed.
    Repaint,
}

/// Where rows are written.
pub(crate) trait Sink: Send + 'static {
    /// Writes whole rows, each with its end.
    fn write(&mut self, rows: &str) -> io::Result<()>;

    /// Draws again what stands below the rows, if anything does.
    fn repaint(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Waits until what was written can be seen.
    fn wait_drawn(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A pipe, a file, or a terminal that cannot edit.
#[derive(Debug)]
pub(crate) struct Stdout;

impl Sink for Stdout {
    fn write(&mut self, rows: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(rows.as_bytes())?;
        out.flush()
    }
}

/// The way to the thread that writes.
pub(crate) struct Output {
    pieces: mpsc::Sender<Piece>,
    /// How many pieces were queued, and how many of them can be seen.
    queued: AtomicU64,
    seen: watch::Receiver<u64>,
    ended: oneshot::Receiver<()>,
    stop: CancellationToken,
}

impl Output {
    /// Starts the thread that writes. Once `stop` is cancelled a stuck reader is waited for no longer than
    /// [`FAREWELL_WAIT`].
    pub(crate) fn start(mut sink: impl Sink, stop: CancellationToken) -> io::Result<Self> {
        let (pieces, mut queue) = mpsc::channel(OUTPUT_PIECES);
        let (done, ended) = oneshot::channel();
        let (count, seen) = watch::channel(0);
        let write = move || {
            let mut written = 0;
            while let Some(piece) = queue.blocking_recv() {
                let Ok(pieces) = write_batch(piece, &mut queue, &mut sink) else { return };
                written += pieces;
                if queue.is_empty() {
                    if sink.wait_drawn().is_err() {
                        return;
                    }
                    count.send_replace(written);
                }
            }
            let _ = done.send(());
        };
        thread::Builder::new().name("output".to_owned()).spawn(write)?;
        Ok(Self { pieces, queued: AtomicU64::new(0), seen, ended, stop })
    }

    /// Queues rows, waiting while the reader is behind.
    pub(crate) async fn show(&self, rows: &[String]) -> Result<(), OutputClosed> {
        if rows.is_empty() {
            return Ok(());
        }
        self.send(Piece::Rows(rows.join("\n") + "\n")).await
    }

    /// Has the line above the input drawn again.
    pub(crate) async fn repaint(&self) -> Result<(), OutputClosed> {
        self.send(Piece::Repaint).await
    }

    /// Waits until all that was queued can be seen; for ever where the reader is gone or does not read.
    pub(crate) async fn is_seen(&self) {
        let queued = self.queued.load(Ordering::Relaxed);
        if self.seen.clone().wait_for(|seen| *seen >= queued).await.is_err() {
            std::future::pending().await
        }
    }

    async fn send(&self, piece: Piece) -> Result<(), OutputClosed> {
        self.queued.fetch_add(1, Ordering::Relaxed);
        let overdue = async {
            self.stop.cancelled().await;
            sleep(FAREWELL_WAIT).await;
        };
        tokio::select! {
            biased;
            sent = self.pieces.send(piece) => sent.map_err(|_| OutputClosed),
            () = overdue => Err(OutputClosed),
        }
    }

    /// Waits until the reader is gone.
    pub(crate) async fn closed(&self) {
        self.pieces.closed().await;
    }

    /// Waits until everything is written, within [`FAREWELL_WAIT`].
    pub(crate) async fn close(self) {
        drop(self.pieces);
        let _ = timeout(FAREWELL_WAIT, self.ended).await;
    }
}

/// Writes a piece and what is queued behind it at once: drawing the screen anew for each row is slow. How many it were.
fn write_batch(first: Piece, queue: &mut mpsc::Receiver<Piece>, sink: &mut impl Sink) -> io::Result<u64> {
    let (mut rows, mut pieces) = (String::new(), 0);
    let mut next = Some(first);
    while let Some(piece) = next {
        pieces += 1;
        if let Piece::Rows(more) = piece {
            rows.push_str(&more);
        }
        next = if rows.len() < BATCH { queue.try_recv().ok() } else { None };
    }
    if rows.is_empty() {
        sink.repaint()?
    } else {
        sink.write(&rows)?
    }
    Ok(pieces)
}
