//! Tests with thousands of connections that never sign in.
//! They are silent or send one byte at a time while a user signs in. Each connection comes from another 127.x.y
//! address. These are networks of their own if the limits apply to loopback.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may")]

mod common;

use std::time::Duration;

use common::device::{Device, by_key};
use common::{Client, PATIENCE, TestTracker, sign_in};
use commons::limits::FRAME_MAX;
use commons::net::connection::Connection;
use commons::net::socket::Socket;
use commons::net::tls::Purpose;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Mutex, MutexGuard};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// The maximum time of the user's login. It is shorter than the time after which the tracker closes the other
/// connections.
const LOGIN_TIME: Duration = Duration::from_secs(9);

/// The time by which the tracker must have closed a connection that never completes its first frame. The limit is ten
/// seconds; the rest is for a busy machine.
const REAPED_BY: Duration = PATIENCE;

/// Permits one crowd at a time, because the descriptors belong to the process.
static CROWD: Mutex<()> = Mutex::const_new(());

/// The number of connections in the crowd: 6,000, or as many as the limit on descriptors permits. Each connection takes
/// two descriptors in this process.
fn crowd() -> u16 {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    let room = maximum.unwrap_or(u64::MAX).saturating_sub(500) / 2;
    let crowd = u16::try_from(room.min(6000)).unwrap();
    if crowd < 6000 {
        eprintln!("the limit on descriptors leaves room for {crowd} connections instead of 6000");
    }
    crowd
}

/// A crowd of open connections.
struct ConnectionTable {
    /// One task per connection. It returns the text that it received until the tracker closed the connection.
    members: JoinSet<Option<String>>,
    _alone: MutexGuard<'static, ()>,
}

impl ConnectionTable {
    /// Opens all connections, spread over this many networks.
    async fn gather(tracker: &TestTracker, networks: u16) -> Self {
        let (alone, mut members) = (CROWD.lock().await, JoinSet::new());
        for number in 0..crowd() {
            let network = number % networks;
            let source = [10 + (network / 250) as u8, (network % 250) as u8 + 1];
            let client = tracker.connect_from(source).await;
            members.spawn(loiter(client, number % 2 == 0));
        }
        Self { members, _alone: alone }
    }

    /// The texts of the connections that were closed since the last call.
    fn closed(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.members.try_join_next()).filter_map(|ended| ended.unwrap()).collect()
    }
}

/// Sends nothing, or one byte a second of an endless frame, until the connection is closed.
async fn loiter(mut client: Client, silent: bool) -> Option<String> {
    let (mut reader, mut writer) = client.stream.get_mut().split();
    let drip = async {
        for byte in br#"{"cmd":"LOGIN","username":"#.iter().chain(std::iter::repeat(&b' ')) {
            if silent || writer.write_all(&[*byte]).await.is_err() {
                std::future::pending::<()>().await;
            }
            sleep(Duration::from_secs(1)).await;
        }
    };
    let mut output = Vec::new();
    let closed = timeout(PATIENCE * 2, reader.read_to_end(&mut output));
    tokio::select! {
        closed = closed => closed.is_ok().then(|| String::from_utf8_lossy(&output).into_owned()),
        () = drip => None,
    }
}

/// Signs in by key on a new encrypted session. Returns the time that it took, or `None` if the tracker refused it.
async fn sign_in_again(tracker: &TestTracker, device: &Device) -> Option<Duration> {
    let begun = Instant::now();
    let socket = Socket::dial_encrypted(tracker.address, &device.identity(Purpose::Session)).await.ok()?;
    let mut session = Connection::new(socket, FRAME_MAX);
    session.send(&by_key("ana")).await.ok()?;
    let reply: Value = session.recv_within(PATIENCE).await.ok()??.parse_owned().ok()?;
    (reply["status"] == "OK").then(|| begun.elapsed())
}

async fn with_ana(tracker: &TestTracker) -> Device {
    let ana = Device::new();
    drop(ana.session(tracker.address, sign_in("REGISTER", "ana", 5000)).await);
    ana
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_delay_no_user_and_are_closed_in_time() {
    let tracker = TestTracker::start_with(|config| config.connections.preauth = 10_000).await;
    let ana = with_ana(&tracker).await;
    let mut crowd = ConnectionTable::gather(&tracker, 500).await;
    let (gathered, mut closed) = (Instant::now(), 0);
    let all = crowd.members.len();
    while closed < all {
        assert!(gathered.elapsed() < REAPED_BY, "{} of {all} are still there", all - closed);
        let took = sign_in_again(&tracker, &ana).await.expect("the user is let in");
        assert!(took < LOGIN_TIME, "{took:?}");
        sleep(Duration::from_millis(500)).await;
        let reported = crowd.closed();
        assert!(!reported.iter().any(|reported| reported.contains("BUSY")), "they were let in");
        closed += reported.len();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_from_100_networks_leave_a_slot() {
    let tracker = TestTracker::start_with(|config| config.limit_loopback = true).await;
    let ana = with_ana(&tracker).await;
    let _crowd = ConnectionTable::gather(&tracker, 100).await;
    for _ in 0..5 {
        let took = sign_in_again(&tracker, &ana).await.expect("the user is let in");
        assert!(took < LOGIN_TIME, "{took:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_in_every_slot_are_displaced() {
    let tracker = TestTracker::start().await;
    let ana = with_ana(&tracker).await;
    let mut crowd = ConnectionTable::gather(&tracker, 1).await;
    for _ in 0..5 {
        let took = sign_in_again(&tracker, &ana).await.expect("the user is let in");
        assert!(took < LOGIN_TIME, "{took:?}");
    }
    // The tracker must have displaced all but 256 of them.
    for _ in 256..crowd.members.len() {
        let closed = timeout(PATIENCE, crowd.members.join_next()).await.expect("they were not displaced");
        assert!(closed.unwrap().unwrap().is_some());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_without_displacement_the_user_is_blocked() {
    let tracker = TestTracker::start_with(|config| config.connections.sessions = 256).await;
    let ana = with_ana(&tracker).await;
    let _crowd = ConnectionTable::gather(&tracker, 100).await;
    assert_eq!(sign_in_again(&tracker, &ana).await, None);
}
