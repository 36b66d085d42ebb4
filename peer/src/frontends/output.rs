//! The output queue: rows for a screen or a pipe.
//!
//! The queue is bounded, and a thread writes it. So a slow reader slows only this peer's screen, and no row is dropped.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::limits::{FAREWELL_WAIT, OUTPUT_PIECES};

/// Bytes after which a batch of rows is written, at most one piece more.
const BATCH: usize = 32 * 1024;

/// The reader of the output is gone: nothing can be shown any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OutputClosed;

/// A piece of output in the queue.
enum Piece {
    Rows(String),
    /// No new rows, but the status row changed.
    Repaint,
}

/// The destination of rows.
pub(crate) trait Sink: Send + 'static {
    /// Writes complete rows, each with its line end.
    fn write(&mut self, rows: &str) -> io::Result<()>;

    /// Redraws the rows below, if there are any.
    fn repaint(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Waits until the written rows are visible.
    fn wait_drawn(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A pipe, a file, or a terminal without an editor.
#[derive(Debug)]
pub(crate) struct Stdout;

impl Sink for Stdout {
    fn write(&mut self, rows: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(rows.as_bytes())?;
        out.flush()
    }
}

/// The sending side of the output queue.
pub(crate) struct Output {
    pieces: mpsc::Sender<Piece>,
    /// The number of pieces that were queued, and below the number of those that are visible.
    queued: AtomicU64,
    seen: watch::Receiver<u64>,
    ended: oneshot::Receiver<()>,
    stop: CancellationToken,
}

impl Output {
    /// Starts the thread that writes. Once `stop` is cancelled, it waits for a blocked reader no longer than
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

    /// Queues rows; waits while the queue is full.
    pub(crate) async fn show(&self, rows: &[String]) -> Result<(), OutputClosed> {
        if rows.is_empty() {
            return Ok(());
        }
        self.send(Piece::Rows(rows.join("\n") + "\n")).await
    }

    /// Requests a redraw of the status row.
    pub(crate) async fn repaint(&self) -> Result<(), OutputClosed> {
        self.send(Piece::Repaint).await
    }

    /// Waits until all queued pieces are visible; forever if the reader is gone or does not read.
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

    /// Waits until everything is written, at most [`FAREWELL_WAIT`].
    pub(crate) async fn close(self) {
        drop(self.pieces);
        let _ = timeout(FAREWELL_WAIT, self.ended).await;
    }
}

/// Writes a piece together with the queued ones, because redrawing the screen for each is slow. Returns their number.
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
