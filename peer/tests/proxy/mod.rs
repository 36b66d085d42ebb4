//! A proxy on the wire: it forwards and records bytes, flips one bit of them, or intercepts TLS with a key of its own.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use commons::net::socket::{Listener, Socket};
use commons::net::tls::Identity;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A direction, as the dialer sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    There,
    Back,
}

/// The treatment of all further connections.
#[derive(Debug, Clone)]
pub enum Deed {
    Pass,
    /// Flips one bit of the byte at this position on every connection.
    Flip(Way, usize),
    /// Answers with this key and dials on with this key.
    Middle(Identity),
}

/// A port that leads to another port.
pub struct Proxy {
    pub address: SocketAddr,
    seen: Arc<Seen>,
    _task: JoinSet<()>,
}

struct Seen {
    target: Mutex<SocketAddr>,
    deed: Mutex<Deed>,
    recorded: Mutex<Vec<u8>>,
    flips: AtomicUsize,
    connections: AtomicUsize,
    cut: Mutex<CancellationToken>,
}

impl Proxy {
    pub async fn to(target: SocketAddr) -> Self {
        let listener = Listener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen {
            target: Mutex::new(target),
            deed: Mutex::new(Deed::Pass),
            recorded: Mutex::default(),
            flips: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            cut: Mutex::default(),
        });
        let mut task = JoinSet::new();
        task.spawn(serve(listener, Arc::clone(&seen)));
        Self { address, seen, _task: task }
    }

    /// Forwards new connections to another target.
    pub fn lead_to(&self, target: SocketAddr) {
        *self.seen.target.lock().unwrap() = target;
    }

    pub fn does(&self, deed: Deed) {
        *self.seen.deed.lock().unwrap() = deed;
    }

    /// Closes the current connections.
    pub fn cut(&self) {
        std::mem::take(&mut *self.seen.cut.lock().unwrap()).cancel();
    }

    /// Number of flipped bits so far.
    pub fn flips(&self) -> usize {
        self.seen.flips.load(Ordering::SeqCst)
    }

    /// Number of accepted connections so far.
    pub fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// Whether these bytes went through in a form that the proxy could read.
    pub fn received(&self, text: &str) -> bool {
        let recorded = self.seen.recorded.lock().unwrap();
        recorded.windows(text.len()).any(|window| window == text.as_bytes())
    }

    /// Number of bytes that went through in a form that the proxy could read.
    pub fn received_bytes(&self) -> usize {
        self.seen.recorded.lock().unwrap().len()
    }
}

async fn serve(listener: Listener, seen: Arc<Seen>) {
    let mut connections = JoinSet::new();
    while let Ok((near, _)) = listener.accept().await {
        seen.connections.fetch_add(1, Ordering::SeqCst);
        let seen = Arc::clone(&seen);
        connections.spawn(async move {
            let cut = seen.cut.lock().unwrap().clone();
            // Errors of a connection are reported by its two ends.
            let _ = cut.run_until_cancelled(lead(near, &seen)).await;
        });
    }
}

async fn lead(near: Socket, seen: &Seen) -> std::io::Result<()> {
    let (target, deed) = (*seen.target.lock().unwrap(), seen.deed.lock().unwrap().clone());
    let (near, far) = match &deed {
        Deed::Middle(identity) => {
            let near = near.accept_encrypted(identity).await?;
            (near, Socket::dial_encrypted(target, identity).await?)
        }
        _ => (near, Socket::dial(target).await?),
    };
    let ((near_read, near_write), (far_read, far_write)) = (split(near), split(far));
    tokio::join!(
        pass(near_read, far_write, Way::There, &deed, seen),
        pass(far_read, near_write, Way::Back, &deed, seen),
    );
    Ok(())
}

/// Forwards one direction to its end. Each chunk is recorded before it is changed.
async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    way: Way,
    deed: &Deed,
    seen: &Seen,
) {
    let mut chunk = [0; 4096];
    let mut passed = 0;
    while let Ok(read @ 1..) = from.read(&mut chunk).await {
        let bytes = &mut chunk[..read];
        seen.recorded.lock().unwrap().extend_from_slice(bytes);
        if let Deed::Flip(flipped, at) = deed
            && *flipped == way
            && let Some(byte) = at.checked_sub(passed).and_then(|at| bytes.get_mut(at))
        {
            *byte ^= 1 << (at % 8);
            seen.flips.fetch_add(1, Ordering::SeqCst);
        }
        passed += read;
        if to.write_all(bytes).await.is_err() {
            break;
        }
        let _ = to.flush().await;
    }
    let _ = to.shutdown().await;
}
