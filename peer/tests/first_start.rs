//! Tests of a new user's start: the number of connections to the tracker, and the loss of one of them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
mod programs;
mod proxy;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use common::{Tracker, password_of, peer_config, user};
use commons::keys::Seed;
use commons::limits::FRAME_MAX;
use commons::net::connection::Connection;
use commons::net::socket::Listener;
use commons::net::tls::{Identity, Purpose};
use peer::api::Event;
use peer::api::sign_in::{Consent, SignIn};
use peer::api::status::TrackerState;
use peer::api::tracker_loss::TrackerLoss;
use peer::service::{Keep, PeerConfig, PeerService};
use programs::{Piped, Screen, flags};
use proxy::Proxy;
use serde_json::{Value, json};

async fn service(tracker: SocketAddr, data: &Path) -> Arc<PeerService> {
    let config = PeerConfig { keep: Keep::InMemory, ..peer_config(tracker, data) };
    PeerService::start(config).await.unwrap()
}

fn ana(register: bool) -> SignIn {
    SignIn {
        username: user("ana"),
        password: password_of("ana"),
        register,
        changed_to: None,
        code: None,
        consent: Consent::default(),
    }
}

/// The reaction of a scripted tracker to a request.
enum Act {
    Reply(Value),
    /// Sends this object and closes the connection.
    LastWords(Value),
    /// Sends nothing and reads on.
    Swallow,
}

/// A scripted tracker. The script decides on each request by the numbers of its connection and of the request, both
/// from 0.
async fn scripted(script: impl Fn(usize, usize, &Value) -> Act + Send + 'static) -> SocketAddr {
    let listener = Listener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let identity = Identity::new(&Seed::random().unwrap(), Purpose::Session).unwrap();
    tokio::spawn(async move {
        for connection in 0.. {
            let (socket, _) = listener.accept().await.unwrap();
            let mut talk = Connection::new(socket.accept_encrypted(&identity).await.unwrap(), FRAME_MAX);
            for number in 0.. {
                let Ok(Some(frame)) = talk.recv().await else { break };
                match script(connection, number, &frame.parse_owned().unwrap()) {
                    Act::Reply(reply) => talk.send(&reply).await.unwrap(),
                    Act::LastWords(words) => {
                        talk.send(&words).await.unwrap();
                        talk.close().await;
                        break;
                    }
                    Act::Swallow => {}
                }
            }
        }
    });
    address
}

fn ok(request: &Value) -> Act {
    Act::Reply(json!({"status": "OK", "msg": "", "id": request["id"], "keys": []}))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newcomers_start_costs_two_connections_at_most() {
    let tracker = Tracker::start().await;
    let way = Proxy::to(tracker.address).await;
    let data = tempfile::tempdir().unwrap();
    let mut ana = Screen::start(&flags(way.address, data.path()), &[], 24, 80);
    ana.creates_account("ana");
    assert!(way.connections() <= 2, "{}", way.connections());
    ana.line("/quit");
    assert_eq!(ana.end(), 0);
    // The first key is the one that was kept: it signs in without a password.
    let mut again = Piped::bot(way.address, data.path(), "ana", false);
    again.event("logged_in");
}

#[tokio::test]
async fn a_knock_a_wrong_password_and_a_new_account_share_one() {
    let tracker = Tracker::start().await;
    let way = Proxy::to(tracker.address).await;
    let data = tempfile::tempdir().unwrap();
    let peer = service(way.address, data.path()).await;
    peer.probe().await.unwrap();
    peer.probe().await.unwrap();
    assert_eq!(peer.sign_in(ana(false)).await.unwrap_err().code(), "INVALID_CREDENTIALS");
    peer.sign_in(ana(true)).await.unwrap();
    assert_eq!(way.connections(), 1);
}

#[tokio::test]
async fn a_connection_that_was_cut_meanwhile_is_made_anew() {
    let tracker = Tracker::start().await;
    let way = Proxy::to(tracker.address).await;
    let data = tempfile::tempdir().unwrap();
    let peer = service(way.address, data.path()).await;
    peer.probe().await.unwrap();
    way.cut();
    assert_eq!(peer.sign_in(ana(false)).await.unwrap_err().code(), "INVALID_CREDENTIALS");
    way.cut();
    peer.sign_in(ana(true)).await.unwrap();
    assert_eq!(way.connections(), 3);
}

#[tokio::test]
async fn closing_notice_is_no_answer_to_a_sign_in() {
    let last_words = json!({"status": "ERROR", "code": "NOT_LOGGED_IN", "msg": "sign in sooner"});
    let tracker = scripted(move |connection, _, request| match connection {
        0 => Act::LastWords(last_words.clone()),
        _ => ok(request),
    });
    let data = tempfile::tempdir().unwrap();
    let peer = service(tracker.await, data.path()).await;
    peer.probe().await.unwrap();
    peer.sign_in(ana(true)).await.unwrap();
}

/// The control: last words count as an answer if the connection was made for the request. A full tracker is not dialled
/// twice.
#[tokio::test]
async fn control_closing_notice_on_a_new_connection_is_shown() {
    let last_words = json!({"status": "ERROR", "code": "BUSY", "msg": "many others want to sign in"});
    let tracker = scripted(move |connection, _, request| match connection {
        0 | 1 => Act::LastWords(last_words.clone()),
        _ => ok(request),
    });
    let data = tempfile::tempdir().unwrap();
    let peer = service(tracker.await, data.path()).await;
    peer.probe().await.unwrap();
    assert_eq!(peer.sign_in(ana(true)).await.unwrap_err().code(), "BUSY");
}

#[tokio::test]
async fn a_tracker_that_falls_silent_is_lost_by_a_time_out() {
    let tracker = scripted(|_, _, request| match request["cmd"].as_str() {
        Some("PING") => Act::Swallow,
        _ => ok(request),
    });
    let data = tempfile::tempdir().unwrap();
    let peer = service(tracker.await, data.path()).await;
    let mut events = peer.subscribe().await.events;
    peer.sign_in(ana(true)).await.unwrap();
    // From here on nothing arrives, and the paused clock jumps to each deadline.
    tokio::time::pause();
    loop {
        if let Event::Tracker { state: TrackerState::Lost, reason } = events.recv().await.unwrap() {
            return assert_eq!(reason, Some(TrackerLoss::TimedOut));
        }
    }
}

#[tokio::test]
async fn a_tracker_that_answers_no_handshake_is_a_time_out() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let data = tempfile::tempdir().unwrap();
    let peer = service(silent.local_addr().unwrap(), data.path()).await;
    tokio::time::pause();
    assert_eq!(peer.probe().await.unwrap_err().code(), "TRACKER_LOST");
    assert_eq!(peer.tracker_failed(), Some(TrackerLoss::TimedOut));
}

#[tokio::test]
async fn a_tracker_that_answers_no_sign_in_is_a_time_out() {
    let tracker = scripted(|_, _, _| Act::Swallow);
    let data = tempfile::tempdir().unwrap();
    let peer = service(tracker.await, data.path()).await;
    peer.probe().await.unwrap();
    tokio::time::pause();
    assert_eq!(peer.sign_in(ana(true)).await.unwrap_err().code(), "TRACKER_LOST");
    assert_eq!(peer.tracker_failed(), Some(TrackerLoss::TimedOut));
}
