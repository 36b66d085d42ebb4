//! The first bytes of a connection: a stream that remembers them while a TLS handshake takes them.
//!
//! A tracker that is full answers a handshake in plaintext, for a handshake of its own would be the work that it saves. The
//! TLS library cannot make sense of that answer and throws it away; here it can still be read.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::time::timeout;

use crate::limits::{FRAME_MAX_BEFORE_LOGIN, LINGER_TIME};

/// The other side answered a TLS handshake in plaintext. Its bytes are a claim: nothing proves whose they are.
#[derive(Debug, thiserror::Error)]
#[error("the other side answered a TLS handshake in plaintext")]
pub struct PlaintextAnswer(pub Vec<u8>);

/// A stream that remembers what it has brought, until it is told to forget.
#[derive(Debug)]
pub(crate) struct FirstBytes<S> {
    stream: S,
    seen: Option<Vec<u8>>,
}

impl<S> FirstBytes<S> {
    /// Remembers from now on.
    pub(crate) fn remembering(stream: S) -> Self {
        Self { stream, seen: Some(Vec::new()) }
    }

    /// Remembers nothing.
    pub(crate) fn forgetting(stream: S) -> Self {
        Self { stream, seen: None }
    }

    /// Remembers nothing any more.
    pub(crate) fn forget(&mut self) {
        self.seen = None;
    }

    pub(crate) fn stream(&self) -> &S {
        &self.stream
    }
}

impl<S: AsyncRead + Unpin> FirstBytes<S> {
    /// The line that the other side has begun, if it is one of plaintext: at most [`FRAME_MAX_BEFORE_LOGIN`] bytes.
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
        // A line that never ends is judged as far as it came.
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
