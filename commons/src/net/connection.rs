//! A connection: it sends and receives frames over any byte stream.
//! It bounds the time of every write, and can pace writes for legacy clients.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, SinkExt, StreamExt};
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_util::codec::{Framed, FramedParts};

use crate::limits::{LINGER_BYTES, LINGER_TIME, WRITE_TIMEOUT};
use crate::net::frame::{Frame, FrameError, JsonCodec, encode};

/// Initial buffer of a connection in bytes. It is small, because most of thousands of connections are idle.
const FIRST_BUFFER: usize = 512;

/// Read buffer of a link in bytes: many messages arrive together.
const LINK_BUFFER: usize = 16 * 1024;

/// Frames over a byte stream. One task owns it, and receiving is cancel safe.
#[derive(Debug)]
pub struct Connection<S> {
    framed: Framed<S, JsonCodec>,
    pacer: Pacer,
}

/// Pause between writes, for a legacy client that treats the bytes of one `recv` as one message.
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

    /// Notes that a write has finished.
    fn wrote(&mut self) {
        self.next = self.pause.map(|pause| Instant::now() + pause);
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Exchanges frames of at most `max_frame` bytes over `stream`.
    pub fn new(stream: S, max_frame: usize) -> Self {
        let framed = Framed::with_capacity(stream, JsonCodec::new(max_frame), FIRST_BUFFER);
        Self { framed, pacer: Pacer::default() }
    }

    /// Sets the pause between writes from now on; `None` is no pause.
    pub fn set_pause(&mut self, pause: Option<Duration>) {
        self.pacer.pause = pause;
    }

    /// Makes the next write due at once, because the reader has read the last one.
    pub fn skip_pause(&mut self) {
        self.pacer.next = None;
    }

    /// Waits until the pause after the last write is over.
    pub async fn due(&self) {
        self.pacer.due().await;
    }

    /// Sets the longest accepted frame from now on, in bytes.
    pub fn set_max_frame(&mut self, max_frame: usize) {
        self.framed.codec_mut().set_max_frame(max_frame);
    }

    /// Receives the next frame. Returns `None` once the other side has ended the stream between frames. Cancel safe.
    pub async fn recv(&mut self) -> Result<Option<Frame>, FrameError> {
        self.framed.next().await.transpose()
    }

    /// Receives the next frame within `time`. A later one is an error of kind `TimedOut`.
    pub async fn recv_within(&mut self, time: Duration) -> Result<Option<Frame>, FrameError> {
        timeout(time, self.recv()).await.map_err(std::io::Error::from)?
    }

    /// Sends one object in a write of its own.
    pub async fn send(&mut self, object: &impl Serialize) -> Result<(), FrameError> {
        self.send_encoded(encode(object)?).await
    }

    /// Sends one or several frames from [`encode`] in one write. It fails if the write takes longer than
    /// [`WRITE_TIMEOUT`].
    pub async fn send_encoded(&mut self, lines: Bytes) -> Result<(), FrameError> {
        self.pacer.due().await;
        let sent = timeout(WRITE_TIMEOUT, self.framed.send(lines)).await;
        self.pacer.wrote();
        sent.map_err(std::io::Error::from)?
    }

    /// Closes the connection gracefully: ends this direction and discards the remaining input, for at most
    /// [`LINGER_TIME`] and [`LINGER_BYTES`]. Closing with unread bytes would reset the connection, and the last frames
    /// would be lost.
    pub async fn close(self) {
        let deadline = Instant::now() + LINGER_TIME;
        let mut stream = self.framed.into_inner();
        if timeout_at(deadline, stream.shutdown()).await.is_err() {
            return;
        }
        // An array would be part of the task of every idle connection for its whole life.
        let mut sink = vec![0; 4096];
        let mut left = LINGER_BYTES;
        while let Ok(Ok(read @ 1..)) = timeout_at(deadline, stream.read(&mut sink)).await {
            left = left.saturating_sub(read);
            if left == 0 {
                return;
            }
        }
    }

    /// Splits the connection into a reader and a writer, so that neither waits for the other.
    pub fn split(self) -> (FrameReader<ReadHalf<S>>, FrameWriter<WriteHalf<S>>) {
        let parts = self.framed.into_parts();
        let (read, write) = split(parts.io);
        let mut reader = FramedParts::new::<Bytes>(read, parts.codec);
        reader.read_buf = parts.read_buf;
        reader.read_buf.reserve(LINK_BUFFER);
        (FrameReader { framed: Framed::from_parts(reader) }, FrameWriter { write, pacer: self.pacer })
    }
}

/// The reading half of a connection.
#[derive(Debug)]
pub struct FrameReader<R> {
    framed: Framed<R, JsonCodec>,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// Receives the next frame. Returns `None` once the other side has ended the stream between frames. Cancel safe.
    pub async fn recv(&mut self) -> Result<Option<Frame>, FrameError> {
        self.framed.next().await.transpose()
    }

    /// Returns a frame that can be read without waiting, if there is one.
    pub fn try_recv(&mut self) -> Option<Result<Option<Frame>, FrameError>> {
        self.framed.next().now_or_never().map(Option::transpose)
    }
}

/// The writing half of a connection.
#[derive(Debug)]
pub struct FrameWriter<W> {
    write: W,
    pacer: Pacer,
}

impl<W: AsyncWrite + Unpin> FrameWriter<W> {
    /// Writes frames from [`encode`]. It fails if the write takes longer than [`WRITE_TIMEOUT`].
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

    /// Ends this direction, within [`LINGER_TIME`].
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
    async fn bytes_read_before_a_split_are_not_lost() {
        let (near, far) = duplex(100);
        let (mut near, mut far) = (Connection::new(near, 1000), Connection::new(far, 1000));
        near.send_encoded(Bytes::from_static(b"{\"a\":1}\n{\"a\":2}\n")).await.unwrap();
        assert_eq!(far.recv().await.unwrap().unwrap().as_bytes(), b"{\"a\":1}");
        let (mut reader, _writer) = far.split();
        assert_eq!(reader.recv().await.unwrap().unwrap().as_bytes(), b"{\"a\":2}");
    }
}
