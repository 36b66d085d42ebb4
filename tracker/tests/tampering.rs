//! Somebody in the middle who changes a bit of a session: it breaks, and nothing else is ever asked or answered.
//!
//! Nobody signs in here: the tracker refuses the request and echoes its id, so that whatever changes on the way there
//! or back shows in the answer.

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

/// The bits that are flipped: of the first 2 KiB each way, which holds the handshake, the request and the answer.
const BITS: usize = 8 * 2048;

/// How long an answer may take: a longer length in a head makes the other side wait for what never comes.
const HANGING: Duration = Duration::from_secs(3);

/// Sessions at a time.
const AT_A_TIME: usize = 64;

/// To the tracker, or back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    There,
    Back,
}

/// What became of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// The answer is the one to the request that was sent.
    Answered,
    /// There is none.
    Broken,
    /// It is another one.
    Changed,
}

/// How often each was the case.
#[derive(Debug, Default)]
struct Outcomes {
    answered: usize,
    broken: usize,
    changed: usize,
}

/// Who stands in the middle: takes one connection and passes it on, with one bit flipped.
async fn meddle(listener: TcpListener, tracker: SocketAddr, way: Way, bit: usize) -> io::Result<()> {
    let (mut near, _) = listener.accept().await?;
    let socket = TcpSocket::new_v4()?;
    // One address has not as many ports as there are bits.
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

/// One session through the middle; encrypted, if it has an identity.
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

/// Sessions with a bit flipped each, every `step`th of them both ways.
async fn flip(step: usize, encrypted: bool) -> Outcomes {
    let tracker = TestTracker::start().await;
    let (tracker, places) = (tracker.address, Arc::new(Semaphore::new(AT_A_TIME)));
    let me = encrypted.then(|| Device::new().identity(Purpose::Session));
    // Without a flip the same session goes well.
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

/// The version in the head of a TLS record is read by nobody, and to change it changes nothing; all else is noticed.
fn all_was_noticed(Outcomes { answered, broken, changed }: &Outcomes) {
    assert_eq!(*changed, 0);
    assert!(*broken > 50 * answered, "{answered} went unnoticed, {broken} did not");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_breaks_a_session_and_changes_nothing() {
    all_was_noticed(&flip(97, true).await);
}

/// The same with every bit: `cargo test -p tracker --test tampering -- --ignored`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "32,768 handshakes"]
async fn every_flipped_bit_breaks_a_session_and_changes_nothing() {
    all_was_noticed(&flip(1, true).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_in_the_clear_changes_what_is_asked_and_answered() {
    assert!(flip(97, false).await.changed > 50);
}
