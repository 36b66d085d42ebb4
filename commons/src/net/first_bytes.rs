//! A stream that records its first bytes during a TLS handshake.
//! A full tracker answers a handshake in plaintext, because a TLS handshake is the work that it must avoid. The TLS
//! library discards that answer as an error; this stream keeps it readable.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::time::timeout;

use crate::limits::{FRAME_MAX_BEFORE_LOGIN, LINGER_TIME};

/// Error: the other side answered a TLS handshake in plaintext. Nothing proves where the bytes come from.
#[derive(Debug, thiserror::Error)]
#[error("the other side answered a TLS handshake in plaintext")]
pub struct PlaintextAnswer(pub Vec<u8>);

/// A stream that records the bytes read from it, until it is stopped.
#[derive(Debug)]
pub(crate) struct FirstBytes<S> {
    stream: S,
    seen: Option<Vec<u8>>,
}

impl<S> FirstBytes<S> {
    /// Wraps a stream and records the bytes from now on.
    pub(crate) fn remembering(stream: S) -> Self {
        Self { stream, seen: Some(Vec::new()) }
    }

    /// Wraps a stream without recording.
    pub(crate) fn forgetting(stream: S) -> Self {
        Self { stream, seen: None }
    }

    /// Stops recording and drops the recorded bytes.
    pub(crate) fn forget(&mut self) {
        self.seen = None;
    }

    pub(crate) fn stream(&self) -> &S {
        &self.stream
    }
}

impl<S: AsyncRead + Unpin> FirstBytes<S> {
    /// Reads the line that the other side has begun, if it looks like plaintext JSON: at most
    /// [`FRAME_MAX_BEFORE_LOGIN`] bytes.
    pub(crate) async fn plaintext_answer(mut self) -> Option<PlaintextAnswer> {
        let mut answer = self.seen.take().filter(|seen| seen.first() == Some(&b'{'))?;
        let rest = async {
            let mut bytes = [0; 512];
            while !answer.contains(&b'\n') && answer.len() < FRAME_MAX_BEFORE_LOGIN {
                match self.stream.read(&mut bytes).await {
                    Ok(read @ 1..) => answer.extend(&bytes[..read]),
                    _ => break,
                }
            }
        };
        // An unfinished line is returned as far as it has arrived.
        let _ = timeout(LINGER_TIME, rest).await;
        answer.truncate(FRAME_MAX_BEFORE_LOGIN);
        Some(PlaintextAnswer(answer))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for FirstBytes<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if let Some(seen) = &mut self.seen
            && seen.len() < FRAME_MAX_BEFORE_LOGIN
        {
            seen.extend(&buf.filled()[before..]);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for FirstBytes<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
