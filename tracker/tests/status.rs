//! The status page, the metrics and the health checks of a tracker.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::net::SocketAddr;

use common::{Client, PATIENCE, TestTracker, config, room, sign_in};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tracker::config::Config;
use tracker::server::TrackerServer;

fn with_status(config: &mut Config) {
    config.status = Some("127.0.0.1:0".to_owned());
}

async fn start() -> (TestTracker, SocketAddr) {
    let tracker = TestTracker::start_with(with_status).await;
    let status = tracker.status.unwrap();
    (tracker, status)
}

/// Returns the answer to a request, with its headers.
async fn request(status: SocketAddr, method: &str, path: &str) -> String {
    request_to(status, &status.to_string(), method, path).await
}

/// Returns the answer to a request that names this host.
async fn request_to(status: SocketAddr, host: &str, method: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(status).await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    answer
}

async fn get(status: SocketAddr, path: &str) -> String {
    request(status, "GET", path).await
}

/// Reads the metrics until a row of them is there. A request is counted at the same moment as it is answered.
async fn until(status: SocketAddr, row: &str) {
    let there = async { while !get(status, "/metrics").await.lines().any(|found| found == row) {} };
    if timeout(PATIENCE, there).await.is_err() {
        panic!("{row} is not in {}", get(status, "/metrics").await);
    }
}

#[tokio::test]
async fn metrics_count_what_the_tracker_does() {
    let (tracker, status) = start().await;
    until(status, "p2p_chat_sessions 0.0").await;
    let mut ana = tracker.user("ana").await;
    ana.ok(room("CREATE_ROOM", "sala")).await;
    assert_eq!(ana.refused(room("CREATE_ROOM", "sala")).await, "ROOM_EXISTS");
    let mut stranger = tracker.connect().await;
    let mut wrong = sign_in("LOGIN", "ana", 5000);
    wrong["password"] = json!(common::WRONG);
    stranger.ask(wrong).await;
    for row in [
        "p2p_chat_sessions 1.0",
        "p2p_chat_connections 2.0",
        "p2p_chat_connections_unauthenticated 1.0",
        "p2p_chat_users 1.0",
        "p2p_chat_rooms 1.0",
        "p2p_chat_requests_total{command=\"REGISTER\",code=\"OK\"} 1",
        "p2p_chat_requests_total{command=\"CREATE_ROOM\",code=\"OK\"} 1",
        "p2p_chat_requests_total{command=\"CREATE_ROOM\",code=\"ROOM_EXISTS\"} 1",
        "p2p_chat_login_failures_total 1.0",
        "p2p_chat_request_seconds_bucket{le=\"+Inf\"} 4",
        "p2p_chat_password_hashes_waiting 0.0",
    ] {
        until(status, row).await;
    }
    let metrics = get(status, "/metrics").await;
    assert!(metrics.contains("content-type: application/openmetrics-text"), "{metrics}");
    assert!(metrics.trim_end().ends_with("# EOF"), "{metrics}");
    let flushes = metrics.lines().find_map(|row| row.strip_prefix("p2p_chat_journal_flush_seconds_count "));
    assert!(flushes.unwrap().parse::<u64>().unwrap() >= 2, "{metrics}");
    drop(ana);
    until(status, "p2p_chat_sessions 0.0").await;
}

#[tokio::test]
async fn a_client_cannot_create_counters() {
    let (tracker, status) = start().await;
    let mut stranger = tracker.connect().await;
    for number in 0..20 {
        stranger.ask(json!({"cmd": format!("INVENTED_{number}"), "id": number})).await;
    }
    until(status, "p2p_chat_requests_total{command=\"none\",code=\"UNKNOWN_COMMAND\"} 20").await;
    stranger.ask(json!({"cmd": "PONG", "text": "x".repeat(1024 * 1024)})).await;
    until(status, "p2p_chat_requests_total{command=\"none\",code=\"FRAME_TOO_LARGE\"} 1").await;
    assert!(!get(status, "/metrics").await.contains("INVENTED"));
}

#[tokio::test]
async fn the_page_shows_charts_and_no_name() {
    let (tracker, status) = start().await;
    let mut ana = tracker.user("ana-who-is-seen-nowhere").await;
    ana.ok(room("CREATE_ROOM", "room-that-is-seen-nowhere")).await;
    until(status, "p2p_chat_rooms 1.0").await;
    let page = get(status, "/").await;
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    assert_eq!(page.matches("<svg").count(), 3, "{page}");
    assert_eq!(
        page.matches("class=\"line\" points=\"360.0,").count(),
        3,
        "a line from the first second on: {page}"
    );
    for text in [
        "content-security-policy: default-src 'none'",
        "http-equiv=\"refresh\"",
        "CREATE_ROOM OK",
        "Wrong passwords and keys",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
    for text in ["nowhere", "127.0.0.1", "<script"] {
        assert!(!page.contains(text), "{text}: {page}");
    }
    assert!(get(status, "/page.css").await.contains("content-type: text/css"));
}

#[tokio::test]
async fn health_checks_report_a_full_tracker() {
    let tracker = TestTracker::start_with(|config| {
        with_status(config);
        config.connections.sessions = 1;
    });
    let tracker = tracker.await;
    let status = tracker.status.unwrap();
    assert!(get(status, "/readyz").await.ends_with("ready\n"));
    let _only = tracker.user("ana").await;
    let full = get(status, "/readyz").await;
    assert!(full.starts_with("HTTP/1.1 503") && full.contains("full"), "{full}");
    assert!(get(status, "/healthz").await.ends_with("ok\n"));
    let mut refused = Client::connect(tracker.address).await;
    let reply = refused.recv().await;
    assert_eq!(reply["code"], "BUSY", "{reply}");
    until(status, "p2p_chat_connections_refused_total 1.0").await;
}

#[tokio::test]
async fn only_get_is_answered() {
    let (_tracker, status) = start().await;
    assert!(request(status, "POST", "/").await.starts_with("HTTP/1.1 405"));
    assert!(get(status, "/nothing").await.starts_with("HTTP/1.1 404"));
}

#[tokio::test]
async fn a_foreign_host_gets_nothing_from_a_listener_on_loopback() {
    let (_tracker, status) = start().await;
    for host in
        ["evil.example", "evil.example:80", "localhost.evil.example", "127.0.0.1.evil.example", "0.0.0.0", ""]
    {
        assert!(request_to(status, host, "GET", "/metrics").await.starts_with("HTTP/1.1 403"), "{host}");
    }
    for host in ["localhost", "localhost:9100", "127.0.0.1", "[::1]:9100"] {
        assert!(
            request_to(status, host, "GET", "/metrics").await.starts_with("HTTP/1.1 200"),
            "control: {host}"
        );
    }
}

#[tokio::test]
async fn silent_connections_do_not_keep_the_page_from_others() {
    let (_tracker, status) = start().await;
    let mut silent = Vec::new();
    for _ in 0..40 {
        silent.push(TcpStream::connect(status).await.unwrap());
    }
    assert!(get(status, "/healthz").await.ends_with("ok\n"));
}

#[tokio::test]
async fn a_taken_status_address_is_a_clear_error() {
    let (_tracker, status) = start().await;
    let folder = tempfile::tempdir().unwrap();
    let taken = Config { status: Some(status.to_string()), ..config(folder.path()) };
    let error = TrackerServer::bind(taken).await.unwrap_err().to_string();
    assert!(error.contains(&status.to_string()) && error.contains("--status"), "{error}");
}
