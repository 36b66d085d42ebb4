//! Thousands who never sign in, silent or one byte at a time, while somebody does. Each connection comes from one of
//! this machine's many addresses, which are networks of their own where loopback is limited.

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

/// How long a real user may have to wait for the login: less than until the strangers are closed.
const LOGIN_TIME: Duration = Duration::from_secs(9);

/// When a stranger who never ends the first frame is closed, at the latest: ten seconds, and time to do it beside much else.
const REAPED_BY: Duration = PATIENCE;

/// One crowd at a time: the descriptors are the process's.
static CROWD: Mutex<()> = Mutex::const_new(());

/// Half of the crowd says nothing, the other half one byte a second. 6,000 in all, or what the limit on descriptors
/// has room for: each connection takes two of them in this process.
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

/// A crowd that has connected.
struct ConnectionTable {
    /// Each returns the text that it received until it was closed.
    members: JoinSet<Option<String>>,
    _alone: MutexGuard<'static, ()>,
}

impl ConnectionTable {
    /// All at the door, from as many addresses as there are `networks`.
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

    /// The texts of those that were closed since the last call.
    fn closed(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.members.try_join_next()).filter_map(|ended| ended.unwrap()).collect()
    }
}

/// Says nothing, or a byte a second of something that never ends, until the connection is closed.
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
    let mut said = Vec::new();
    let closed = timeout(PATIENCE * 2, reader.read_to_end(&mut said));
    tokio::select! {
        closed = closed => closed.is_ok().then(|| String::from_utf8_lossy(&said).into_owned()),
        () = drip => None,
    }
}

/// Signs in by the key on a new encrypted session: how long it took, or nothing where the tracker does not let in.
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
async fn six_thousand_strangers_who_are_let_in_keep_nobody_waiting_and_are_closed_in_time() {
    let tracker = TestTracker::start_with(|config| config.connections.strangers = 10_000).await;
    let ana = with_ana(&tracker).await;
    let mut crowd = ConnectionTable::gather(&tracker, 500).await;
    let (gathered, mut closed) = (Instant::now(), 0);
    let all = crowd.members.len();
    while closed < all {
        assert!(gathered.elapsed() < REAPED_BY, "{} of {all} are still there", all - closed);
        let took = sign_in_again(&tracker, &ana).await.expect("the user is let in");
        assert!(took < LOGIN_TIME, "{took:?}");
        sleep(Duration::from_millis(500)).await;
        let told = crowd.closed();
        assert!(!told.iter().any(|told| told.contains("BUSY")), "they were let in");
        closed += told.len();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn six_thousand_strangers_from_a_hundred_networks_leave_a_place_for_the_user() {
    let tracker = TestTracker::start_with(|config| config.limit_loopback = true).await;
    let ana = with_ana(&tracker).await;
    let _crowd = ConnectionTable::gather(&tracker, 100).await;
    for _ in 0..5 {
        let took = sign_in_again(&tracker, &ana).await.expect("the user is let in");
        assert!(took < LOGIN_TIME, "{took:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn six_thousand_strangers_who_may_have_every_place_make_way_for_the_user() {
    let tracker = TestTracker::start().await;
    let ana = with_ana(&tracker).await;
    let mut crowd = ConnectionTable::gather(&tracker, 1).await;
    for _ in 0..5 {
        let took = sign_in_again(&tracker, &ana).await.expect("the user is let in");
        assert!(took < LOGIN_TIME, "{took:?}");
    }
    // All but 256 of them had to go.
    for _ in 256..crowd.members.len() {
        let closed = timeout(PATIENCE, crowd.members.join_next()).await.expect("they were not displaced");
        assert!(closed.unwrap().unwrap().is_some());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn if_no_stranger_made_way_the_same_crowd_would_keep_the_user_out() {
    let tracker = TestTracker::start_with(|config| config.connections.sessions = 256).await;
    let ana = with_ana(&tracker).await;
    let _crowd = ConnectionTable::gather(&tracker, 100).await;
    assert_eq!(sign_in_again(&tracker, &ana).await, None);
}
