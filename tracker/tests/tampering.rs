//! Tests of an attacker in the middle who flips a bit of a session.
//! The session must break, and no other request or reply may result.
//!
//! The client does not sign in. The tracker refuses its request and returns its id, so a change in either direction
//! shows in the reply.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may")]

mod common;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use common::TestTracker;
use common::device::Device;
use commons::limits::FRAME_MAX;
use commons::net::connection::Connection;
use commons::net::socket::Socket;
use commons::net::tls::{Identity, Purpose};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// The number of bits that are flipped in each direction. The first 2 KiB hold the handshake, the request and the
/// reply.
const BITS: usize = 8 * 2048;

/// The time limit for a reply. A longer length in a record header makes the other side wait for bytes that never come.
const HANGING: Duration = Duration::from_secs(3);

/// The number of sessions at a time.
const AT_A_TIME: usize = 64;

/// The direction of the flipped bit: to the tracker, or back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    There,
    Back,
}

/// The result of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// The client got the reply to its own request.
    Answered,
    /// The client got no reply.
    Broken,
    /// The client got a different reply.
    Changed,
}

/// The number of sessions with each result.
#[derive(Debug, Default)]
struct Outcomes {
    answered: usize,
    broken: usize,
    changed: usize,
}

/// The attacker: forwards one connection with one bit flipped.
async fn meddle(listener: TcpListener, tracker: SocketAddr, way: Way, bit: usize) -> io::Result<()> {
    let (mut near, _) = listener.accept().await?;
    let socket = TcpSocket::new_v4()?;
    // One source address does not have as many ports as there are bits.
    socket.bind(SocketAddr::from(([127, 0, 30, (bit % 250) as u8 + 1], 0)))?;
    let mut far = socket.connect(tracker).await?;
    let ((near_reads, near_writes), (far_reads, far_writes)) = (near.split(), far.split());
    let flip = |this| if this == way { bit } else { usize::MAX };
    tokio::select! {
        ended = pass(near_reads, far_writes, flip(Way::There)) => ended,
        ended = pass(far_reads, near_writes, flip(Way::Back)) => ended,
    }
}

async fn pass(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, bit: usize) -> io::Result<()> {
    let (mut bytes, mut passed) = ([0; 4096], 0);
    loop {
        let length = from.read(&mut bytes).await?;
        if length == 0 {
            return Ok(());
        }
        if let Some(byte) = (bit / 8).checked_sub(passed).and_then(|at| bytes[..length].get_mut(at)) {
            *byte ^= 1 << (bit % 8);
        }
        passed += length;
        to.write_all(&bytes[..length]).await?;
    }
}

/// Runs one session through the attacker. It is encrypted if it has an identity.
async fn session(tracker: SocketAddr, me: Option<Identity>, way: Way, bit: usize) -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let middle = listener.local_addr().unwrap();
    let meddling = tokio::spawn(meddle(listener, tracker, way, bit));
    let id = "ping ".repeat(300);
    let ask = async {
        let socket = match &me {
            Some(me) => Socket::dial_encrypted(middle, me).await.ok()?,
            None => Socket::dial(middle).await.ok()?,
        };
        let mut session = Connection::new(socket, FRAME_MAX);
        session.send(&json!({"cmd": "PING", "id": id})).await.ok()?;
        session.recv().await.ok()?
    };
    let answer = timeout(HANGING, ask).await;
    meddling.abort();
    match answer {
        Ok(Some(frame)) => match frame.parse_owned::<Value>() {
            Ok(reply) if reply["id"] == id && reply["code"] == "NOT_LOGGED_IN" => Outcome::Answered,
            _ => Outcome::Changed,
        },
        _ => Outcome::Broken,
    }
}

/// Runs a session for every `step`th bit in both directions, with that bit flipped.
async fn flip(step: usize, encrypted: bool) -> Outcomes {
    let tracker = TestTracker::start().await;
    let (tracker, places) = (tracker.address, Arc::new(Semaphore::new(AT_A_TIME)));
    let me = encrypted.then(|| Device::new().identity(Purpose::Session));
    // Control: without a flipped bit, the session succeeds.
    assert_eq!(session(tracker, me.clone(), Way::There, usize::MAX).await, Outcome::Answered);
    let mut sessions = JoinSet::new();
    for (way, bit) in [Way::There, Way::Back].into_iter().flat_map(|way| (0..BITS).map(move |bit| (way, bit)))
    {
        if bit % step == 0 {
            let (place, me) = (places.clone().acquire_owned().await.unwrap(), me.clone());
            sessions.spawn(async move {
                let outcome = session(tracker, me, way, bit).await;
                drop(place);
                outcome
            });
        }
    }
    let mut outcomes = Outcomes::default();
    for outcome in sessions.join_all().await {
        match outcome {
            Outcome::Answered => outcomes.answered += 1,
            Outcome::Broken => outcomes.broken += 1,
            Outcome::Changed => outcomes.changed += 1,
        }
    }
    eprintln!("{outcomes:?}");
    outcomes
}

/// Checks that no flipped bit changed a request or reply. No side reads the version in a TLS record header, so a flip
/// there may have no effect.
fn all_was_noticed(Outcomes { answered, broken, changed }: &Outcomes) {
    assert_eq!(*changed, 0);
    assert!(*broken > 50 * answered, "{answered} went unnoticed, {broken} did not");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_breaks_a_session_and_changes_nothing() {
    all_was_noticed(&flip(97, true).await);
}

/// The same test with every bit: `cargo test -p tracker --test tampering -- --ignored`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "32,768 handshakes"]
async fn every_flipped_bit_breaks_a_session_and_changes_nothing() {
    all_was_noticed(&flip(1, true).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_flipped_bit_changes_a_plaintext_session() {
    assert!(flip(97, false).await.changed > 50);
}
