//! A connection: frames in, frames out, over any byte stream.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, SinkExt, StreamExt};
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_util::codec::{Framed, FramedParts};

use crate::limits::{LINGER_BYTES, LINGER_TIME, WRITE_TIMEOUT};
use crate::net::frame::{Frame, FrameError, JsonCodec, encode};

/// Small until used: thousands of idle connections are the usual case.
const FIRST_BUFFER: usize = 1024;

/// What a link reads at once: many lines come together.
const LINK_BUFFER: usize = 16 * 1024;

/// Frames over a byte stream. One task owns it; receiving is cancel safe.
#[derive(Debug)]
pub struct Connection<S> {
    framed: Framed<S, JsonCodec>,
    pacer: Pacer,
}

/// Keeps writes apart, for a reader that takes what one `recv` brings for one message.
#[derive(Debug, Default)]
struct Pacer {
    pause: Option<Duration>,
    next: Option<Instant>,
}

impl Pacer {
    /// Waits until the next write is due.
    async fn due(&self) {
        if let Some(next) = self.next {
            sleep_until(next).await;
        }
    }

    /// Something was written.
    fn wrote(&mut self) {
        self.next = self.pause.map(|pause| Instant::now() + pause);
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Speaks frames of at most `max_frame` bytes over `stream`.
    pub fn new(stream: S, max_frame: usize) -> Self {
        let framed = Framed::with_capacity(stream, JsonCodec::new(max_frame), FIRST_BUFFER);
        Self { framed, pacer: Pacer::default() }
    }

    /// Keeps writes apart by this much from now on.
    pub fn set_pause(&mut self, pause: Option<Duration>) {
        self.pacer.pause = pause;
    }

    /// Lets the next write come at once: the reader has read the last one.
    pub fn skip_pause(&mut self) {
        self.pacer.next = None;
    }

    /// Waits until the next write is due: the pause after the last one is over.
    pub async fn due(&self) {
        self.pacer.due().await;
    }

    /// Takes longer frames from now on.
    pub fn set_max_frame(&mut self, max_frame: usize) {
        self.framed.codec_mut().set_max_frame(max_frame);
    }

    /// The next frame; `None` once the other side has ended well. Cancel safe.
    pub async fn recv(&mut self) -> Result<Option<Frame>, FrameError> {
        self.framed.next().await.transpose()
    }

    /// The next frame, if it comes in time; a late one is an error of kind `TimedOut`.
    pub async fn recv_within(&mut self, time: Duration) -> Result<Option<Frame>, FrameError> {
        timeout(time, self.recv()).await.map_err(std::io::Error::from)?
    }

    /// Sends one object in a write of its own.
    pub async fn send(&mut self, object: &impl Serialize) -> Result<(), FrameError> {
        self.send_encoded(encode(object)?).await
    }

    /// Sends what [`encode`] made, one or several lines, in one write; an error where the reader takes none of
    /// it for [`WRITE_TIMEOUT`].
    pub async fn send_encoded(&mut self, lines: Bytes) -> Result<(), FrameError> {
        self.pacer.due().await;
        let sent = timeout(WRITE_TIMEOUT, self.framed.send(lines)).await;
        self.pacer.wrote();
        sent.map_err(std::io::Error::from)?
    }

    /// Says goodbye: ends this direction and reads the other one to its end within bounds, for a close with
    /// unread bytes would be a reset that takes our last words with it.
    pub async fn close(self) {
        let deadline = Instant::now() + LINGER_TIME;
        let mut stream = self.framed.into_inner();
        if timeout_at(deadline, stream.shutdown()).await.is_err() {
            return;
        }
        // An array would lie in the task of every idle connection until its end.
        let mut sink = vec![0; 4096];
        let mut left = LINGER_BYTES;
        while let Ok(Ok(read @ 1..)) = timeout_at(deadline, stream.read(&mut sink)).await {
            left = left.saturating_sub(read);
            if left == 0 {
                return;
            }
        }
    }

    /// Splits the connection into the end that reads and the end that writes, so that neither waits for the other.
    pub fn split(self) -> (FrameReader<ReadHalf<S>>, FrameWriter<WriteHalf<S>>) {
        let parts = self.framed.into_parts();
        let (read, write) = split(parts.io);
        let mut reader = FramedParts::new::<Bytes>(read, parts.codec);
        reader.read_buf = parts.read_buf;
        reader.read_buf.reserve(LINK_BUFFER);
        (FrameReader { framed: Framed::from_parts(reader) }, FrameWriter { write, pacer: self.pacer })
    }
}

/// The end of a connection that reads.
#[derive(Debug)]
pub struct FrameReader<R> {
    framed: Framed<R, JsonCodec>,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// The next frame; `None` once the other side has ended well. Cancel safe.
    pub async fn recv(&mut self) -> Result<Option<Frame>, FrameError> {
        self.framed.next().await.transpose()
    }

    /// A frame that is here already, without waiting for one.
    pub fn try_recv(&mut self) -> Option<Result<Option<Frame>, FrameError>> {
        self.framed.next().now_or_never().map(Option::transpose)
    }
}

/// The end of a connection that writes.
#[derive(Debug)]
pub struct FrameWriter<W> {
    write: W,
    pacer: Pacer,
}

impl<W: AsyncWrite + Unpin> FrameWriter<W> {
    /// Writes lines that [`encode`] made; an error where the reader takes none of them for [`WRITE_TIMEOUT`].
    pub async fn send_encoded(&mut self, lines: &[u8]) -> Result<(), FrameError> {
        self.pacer.due().await;
        let write = async {
            self.write.write_all(lines).await?;
            self.write.flush().await
        };
        let written = timeout(WRITE_TIMEOUT, write).await;
        self.pacer.wrote();
        Ok(written.map_err(std::io::Error::from)??)
    }

    /// Ends this direction.
    pub async fn shutdown(&mut self) -> Result<(), FrameError> {
        Ok(timeout(LINGER_TIME, self.write.shutdown()).await.map_err(std::io::Error::from)??)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tokio::io::duplex;

    use super::*;
    use crate::limits::LEGACY_PACE;

    #[tokio::test]
    async fn frames_pass_a_stream_of_eight_bytes() {
        let (near, far) = duplex(8);
        let (mut near, mut far) = (Connection::new(near, 1000), Connection::new(far, 1000));
        let sent = json!({"cmd": "MESSAGE", "content": "longer than eight bytes"});
        let (result, received) = tokio::join!(near.send(&sent), far.recv());
        result.unwrap();
        assert_eq!(received.unwrap().unwrap().parse::<Value>(), Ok(sent));
        drop(near);
        assert!(far.recv().await.unwrap().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_never_reads_ends_the_write() {
        let (near, _far) = duplex(8);
        let mut near = Connection::new(near, 1000);
        let error = near.send(&json!({"content": "longer than eight bytes"})).await.unwrap_err();
        assert!(matches!(error, FrameError::Io(e) if e.kind() == std::io::ErrorKind::TimedOut));
    }

    #[tokio::test(start_paused = true)]
    async fn writes_keep_their_distance_before_and_after_a_split() {
        let (near, _far) = duplex(1000);
        let mut near = Connection::new(near, 1000);
        near.set_pause(Some(LEGACY_PACE));
        let began = Instant::now();
        near.send(&json!({})).await.unwrap();
        assert_eq!(began.elapsed(), Duration::ZERO, "the first waits for nothing");
        near.send(&json!({})).await.unwrap();
        assert_eq!(began.elapsed(), LEGACY_PACE);
        let (_, mut writer) = near.split();
        writer.send_encoded(b"{}\n").await.unwrap();
        assert_eq!(began.elapsed(), LEGACY_PACE * 2);
        tokio::time::advance(LEGACY_PACE).await;
        let later = Instant::now();
        writer.send_encoded(b"{}\n").await.unwrap();
        assert_eq!(later.elapsed(), Duration::ZERO, "it is due by now");
    }

    #[tokio::test]
    async fn what_was_read_before_a_split_is_not_lost() {
        let (near, far) = duplex(100);
        let (mut near, mut far) = (Connection::new(near, 1000), Connection::new(far, 1000));
        near.send_encoded(Bytes::from_static(b"{\"a\":1}\n{\"a\":2}\n")).await.unwrap();
        assert_eq!(far.recv().await.unwrap().unwrap().as_bytes(), b"{\"a\":1}");
        let (mut reader, _writer) = far.split();
        assert_eq!(reader.recv().await.unwrap().unwrap().as_bytes(), b"{\"a\":2}");
    }
}
