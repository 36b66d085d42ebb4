//! The web server of the page, attacked and used over real sockets.
//!
//! An attack is a request from another host, from a foreign page, or without the token. Each has a control: the same
//! request as the user's own page sends it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use common::{PATIENCE, Tracker, peer_config, user};
use futures_util::{SinkExt, StreamExt};
use peer::api::Event;
use peer::frontends::web::server::WebServer;
use peer::frontends::web::tab_events::Program;
use peer::limits::{
    EVENT_QUEUE_BYTES, WEB_COMMAND_MAX, WEB_CONNECTIONS_MAX, WEB_OPENINGS_MAX, WEB_SOCKETS_MAX,
};
use peer::service::service_slot::ServiceSlot;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async};
use tokio_util::sync::CancellationToken;

const PROGRAM: Program = Program { hosts_tracker: true, ends_at_sign_out: false };

/// A page whose user has not signed in, and its tracker.
struct Page {
    tracker: Tracker,
    address: SocketAddr,
    token: String,
    stop: CancellationToken,
    _data: TempDir,
}

impl Page {
    async fn start() -> Self {
        let (tracker, data) = (Tracker::start().await, tempfile::tempdir().unwrap());
        let slot = ServiceSlot::new(peer_config(tracker.address, data.path())).with_name(Some(user("ana")));
        let stop = CancellationToken::new();
        let server = WebServer::start(([127, 0, 0, 1], 0).into(), Arc::new(slot), PROGRAM, stop.clone())
            .await
            .unwrap();
        let (address, token) =
            server.url().strip_prefix("http://").unwrap().split_once("/#").map(owned).unwrap();
        Self { tracker, address: address.parse().unwrap(), token, stop, _data: data }
    }

    fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sends a request as raw text and returns the whole answer.
    async fn request(&self, head: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        answer
    }

    /// Opens a WebSocket that names this origin.
    async fn socket(&self, path: &str, origin: Option<&str>) -> Result<Tab, u16> {
        let mut request = format!("ws://{}{path}", self.address).into_client_request().unwrap();
        if let Some(origin) = origin {
            request.headers_mut().insert("Origin", origin.parse().unwrap());
        }
        let socket = TcpSocket::new_v4().unwrap();
        // The socket of a tab that reads nothing is full soon.
        socket.set_recv_buffer_size(64 * 1024).unwrap();
        let stream = socket.connect(self.address).await.unwrap();
        match client_async(request, stream).await {
            Ok((socket, _)) => Ok(Tab(socket)),
            Err(tungstenite::Error::Http(refused)) => Err(refused.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    /// Opens a tab as the user's own page does, and returns it with its first snapshot.
    async fn tab(&self) -> (Tab, Value) {
        let mut tab = self.socket("/ws", Some(&self.origin())).await.unwrap();
        tab.send(&json!({"token": self.token})).await;
        let snapshot = tab.until("snapshot").await;
        (tab, snapshot)
    }
}

fn owned((address, token): (&str, &str)) -> (String, String) {
    (address.to_owned(), token.to_owned())
}

/// A tab of the browser.
struct Tab(WebSocketStream<TcpStream>);

impl Tab {
    async fn send(&mut self, command: &Value) {
        self.0.send(Message::text(command.to_string())).await.unwrap();
    }

    /// Returns the next event, or the code with which the tab was closed.
    async fn next(&mut self) -> Result<Value, Option<CloseCode>> {
        loop {
            match timeout(PATIENCE, self.0.next()).await.expect("an event") {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(frame))) => return Err(frame.map(|frame| frame.code)),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(None),
            }
        }
    }

    async fn until(&mut self, kind: &str) -> Value {
        loop {
            let event = self.next().await.unwrap_or_else(|code| panic!("closed with {code:?} before {kind}"));
            if event["event"] == kind {
                return event;
            }
        }
    }
}

#[tokio::test]
async fn only_a_request_to_this_server_gets_the_page() {
    let page = Page::start().await;
    let port = page.address.port();
    for own in [format!("127.0.0.1:{port}"), format!("localhost:{port}"), format!("[::1]:{port}")] {
        let answer = page.request(&format!("GET / HTTP/1.1\r\nHost: {own}\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "the control {own}: {answer}");
        for header in ["frame-ancestors 'none'", "nosniff", "no-store", "no-referrer", "same-origin"] {
            assert!(answer.contains(header), "{header} is missing");
        }
    }
    for foreign in [
        "Host: evil.example\r\n".to_owned(),
        format!("Host: evil.example:{port}\r\n"),
        "Host: 127.0.0.1\r\n".to_owned(),
        format!("Host: 127.0.0.1:{port}\r\nHost: 127.0.0.1:{port}\r\n"),
    ] {
        for path in ["/", "/app.js", "/ws", "/nothing"] {
            let answer = page.request(&format!("GET {path} HTTP/1.1\r\n{foreign}")).await;
            assert!(answer.starts_with("HTTP/1.1 40"), "{path} {foreign}: {answer}");
            assert!(!answer.contains("<title>"));
        }
    }
}

#[tokio::test]
async fn a_foreign_page_opens_no_tab() {
    let page = Page::start().await;
    for foreign in [
        None,
        Some("null"),
        Some("http://evil.example"),
        Some("https://127.0.0.1"),
        Some("http://127.0.0.1:1"),
        Some(&format!("http://localhost:{}", page.address.port())),
    ] {
        assert_eq!(page.socket("/ws", foreign).await.err(), Some(403), "{foreign:?}");
    }
    assert!(page.socket("/ws", Some(&page.origin())).await.is_ok(), "the control");
}

#[tokio::test]
async fn tab_without_the_token_gets_nothing() {
    let page = Page::start().await;
    let (right, origin) = (&page.token, page.origin());
    for (path, first) in [
        ("/ws".to_owned(), Message::text(json!({"token": "0".repeat(64)}).to_string())),
        ("/ws".to_owned(), Message::text(json!({"token": &right[1..]}).to_string())),
        ("/ws".to_owned(), Message::text(json!({"command": "whoami"}).to_string())),
        ("/ws".to_owned(), Message::text(json!({"token": right, "command": "whoami"}).to_string())),
        ("/ws".to_owned(), Message::binary(json!({"token": right}).to_string())),
        (format!("/ws?token={right}"), Message::text("{}")),
    ] {
        let mut tab = page.socket(&path, Some(&origin)).await.unwrap();
        tab.0.send(first.clone()).await.unwrap();
        assert_eq!(tab.next().await, Err(Some(CloseCode::Policy)), "{first}");
    }
    let (_tab, snapshot) = page.tab().await;
    assert_eq!(snapshot["username"], Value::Null, "the control");
}

#[tokio::test]
async fn late_token_is_distinguished_from_a_wrong_one() {
    let page = Page::start().await;
    let mut tab = page.socket("/ws", Some(&page.origin())).await.unwrap();
    let closed = async |tab: &mut Tab| match timeout(PATIENCE, tab.0.next()).await.unwrap() {
        Some(Ok(Message::Close(Some(frame)))) => (frame.code, frame.reason.starts_with("late")),
        other => panic!("{other:?}"),
    };
    assert_eq!(closed(&mut tab).await, (CloseCode::Policy, true));
    let mut tab = page.socket("/ws", Some(&page.origin())).await.unwrap();
    tab.send(&json!({"token": "0".repeat(64)})).await;
    assert_eq!(closed(&mut tab).await, (CloseCode::Policy, false), "the control");
}

#[tokio::test]
async fn page_offers_the_name_given_at_the_start() {
    let page = Page::start().await;
    let (_tab, snapshot) = page.tab().await;
    assert_eq!(snapshot["given_name"], "ana");
}

#[tokio::test]
async fn the_server_proves_that_it_knows_the_token() {
    let (page, other) = (Page::start().await, Page::start().await);
    let nonce = "0123456789abcdef".repeat(4);
    let ask = async |page: &Page, nonce: &str| {
        let mut tab = page.socket("/ws", Some(&page.origin())).await.unwrap();
        tab.send(&json!({"nonce": nonce})).await;
        let answer = tab.next().await;
        (tab, answer)
    };
    let (mut tab, proven) = ask(&page, &nonce).await;
    let proven = proven.unwrap();
    assert_eq!(proven["proof"].as_str().map(str::len), Some(64), "{proven}");
    assert_eq!(proven.as_object().map(serde_json::Map::len), Some(1), "nothing else before the token");
    assert_ne!(ask(&page, &"0".repeat(64)).await.1.unwrap(), proven, "another nonce");
    assert_ne!(ask(&other, &nonce).await.1.unwrap(), proven, "the control: another token");
    tab.send(&json!({"token": page.token})).await;
    assert_eq!(tab.until("snapshot").await["username"], Value::Null);
    // Neither a second nonce nor one of another length gets an answer.
    let (mut again, _) = ask(&page, &nonce).await;
    again.send(&json!({"nonce": nonce})).await;
    assert_eq!(again.next().await, Err(Some(CloseCode::Policy)));
    for wrong in ["", &nonce[1..], &"g".repeat(64)] {
        assert_eq!(ask(&page, wrong).await.1, Err(Some(CloseCode::Policy)), "{wrong}");
    }
}

#[tokio::test]
async fn a_peer_that_ends_proves_nothing_any_more() {
    let page = Page::start().await;
    let mut tab = page.socket("/ws", Some(&page.origin())).await.unwrap();
    // The port is free from this moment on. The control is the test above.
    page.stop.cancel();
    // The connection may be closed already.
    let _ = tab.0.send(Message::text(json!({"nonce": "0".repeat(64)}).to_string())).await;
    let answer = tab.next().await;
    assert!(answer.is_err(), "{answer:?}");
}

#[tokio::test]
async fn one_tab_too_many_is_turned_away() {
    let page = Page::start().await;
    let mut tabs = Vec::new();
    for _ in 0..WEB_SOCKETS_MAX {
        tabs.push(page.tab().await.0);
    }
    let mut more = page.socket("/ws", Some(&page.origin())).await.unwrap();
    more.send(&json!({"token": page.token})).await;
    assert_eq!(more.next().await, Err(Some(CloseCode::Again)));
    drop(tabs.pop());
    // The server notices the closed tab a moment later.
    let waited = async {
        loop {
            let mut tab = page.socket("/ws", Some(&page.origin())).await.unwrap();
            // The server may have closed it already.
            let _ = tab.0.send(Message::text(json!({"token": page.token}).to_string())).await;
            if tab.next().await.is_ok() {
                return;
            }
        }
    };
    timeout(PATIENCE, waited).await.expect("a place for another tab");
}

#[tokio::test]
async fn silent_connections_keep_no_page_from_opening() {
    let page = Page::start().await;
    let mut silent = Vec::new();
    for _ in 0..WEB_OPENINGS_MAX {
        silent.push(page.socket("/ws", Some(&page.origin())).await.unwrap());
    }
    let mut tabs = vec![page.tab().await.0];
    assert!(silent[0].next().await.is_err(), "the oldest one makes room");
    let mut connections = Vec::new();
    for _ in 0..WEB_CONNECTIONS_MAX {
        connections.push(TcpStream::connect(page.address).await.unwrap());
    }
    let answer = page.request(&format!("GET / HTTP/1.1\r\nHost: {}\r\n", page.address)).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(timeout(PATIENCE, connections[0].read(&mut [0])).await.unwrap().unwrap(), 0);
    // The control: with the token, they use up the places.
    while tabs.len() < WEB_SOCKETS_MAX {
        tabs.push(page.tab().await.0);
    }
    let mut more = page.socket("/ws", Some(&page.origin())).await.unwrap();
    more.send(&json!({"token": page.token})).await;
    assert_eq!(more.next().await, Err(Some(CloseCode::Again)));
}

#[tokio::test]
async fn a_command_that_is_too_long_closes_only_its_tab() {
    let page = Page::start().await;
    let ((mut long, _), (mut other, _)) = (page.tab().await, page.tab().await);
    let text = "x".repeat(WEB_COMMAND_MAX + 1);
    // The server may close the tab before it has read everything.
    let _ = long.0.send(Message::text(text)).await;
    assert!(long.next().await.is_err());
    other.send(&json!({"command": "help", "id": 1})).await;
    assert_eq!(other.until("help").await["in_reply_to"], 1);
}

#[tokio::test]
async fn all_tabs_are_signed_in_and_out_together() {
    let page = Page::start().await;
    let ((mut first, _), (mut second, _)) = (page.tab().await, page.tab().await);
    first.send(&json!({"command": "rooms", "id": 1})).await;
    assert_eq!(first.until("error").await["code"], "NOT_LOGGED_IN");
    let tracker = page.tracker.address.to_string();
    first
        .send(&json!({"command": "register", "tracker": tracker, "tracker_key": page.tracker.key(),
                      "username": "ana", "password": "correct-horse", "id": 2}))
        .await;
    assert_eq!(
        first.next().await.unwrap(),
        json!({"event": "logged_in", "username": "ana", "in_reply_to": 2})
    );
    for tab in [&mut first, &mut second] {
        assert_eq!(tab.until("snapshot").await["username"], "ana");
    }
    first.send(&json!({"command": "create", "room": "sala"})).await;
    assert_eq!(second.until("room_entered").await["room"]["name"], "sala");
    second.send(&json!({"command": "say", "conversation": {"room": "sala"}, "text": "hi", "id": 3})).await;
    assert_eq!(second.until("sent").await["in_reply_to"], 3);
    assert_eq!(first.until("sent").await["content"], "hi");
    let (late, snapshot) = page.tab().await;
    assert_eq!(snapshot["rooms"][0]["name"], "sala");
    drop(late);
    second.send(&json!({"command": "sign_out"})).await;
    for tab in [&mut first, &mut second] {
        tab.until("signed_out").await;
        let snapshot = tab.until("snapshot").await;
        assert_eq!((&snapshot["username"], &snapshot["accounts"]), (&Value::Null, &json!(["ana"])));
    }
    second.send(&json!({"command": "sign_in", "username": "ana", "password": "wrong", "id": 4})).await;
    assert_eq!(second.until("error").await["code"], "INVALID_CREDENTIALS");
    second
        .send(&json!({"command": "sign_in", "username": "ana", "password": "correct-horse", "id": 5}))
        .await;
    second.until("logged_in").await;
    assert_eq!(first.until("snapshot").await["username"], "ana");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tab_that_lags_gets_a_snapshot_and_every_message() {
    const LONG: usize = 8000;
    let page = Page::start().await;
    let (mut tab, _) = page.tab().await;
    tab.send(&json!({"command": "register", "username": "ana", "password": "correct-horse"})).await;
    tab.until("logged_in").await;
    tab.send(&json!({"command": "create", "room": "sala"})).await;
    tab.until("room_entered").await;
    let mut bob = page.tracker.peer("bob").await;
    bob.join("sala").await;
    bob.linked("ana").await;
    let mut last = 0;
    // The tab reads nothing, so the browser's socket and then the queue of events are full.
    while last * LONG < 2 * EVENT_QUEUE_BYTES {
        for _ in 0..100 {
            bob.say(&format!("{last:0LONG$}")).await;
            last += 1;
        }
        for _ in 0..100 {
            bob.until(|event| matches!(event, Event::Delivered { .. })).await;
        }
    }
    let (mut numbers, mut others) = (Vec::<usize>::new(), Vec::new());
    while numbers.len() < last {
        let event = tab.next().await.unwrap();
        match event["event"].as_str() {
            Some("message") => numbers.push(event["content"].as_str().unwrap().parse().unwrap()),
            Some("lagged") => others.push((numbers.len(), "lagged")),
            Some("snapshot") => others.push((numbers.len(), "snapshot")),
            _ => {}
        }
    }
    assert_eq!(numbers, (0..last).collect::<Vec<_>>(), "in order, each once");
    let [(at, "lagged"), (then, "snapshot")] = others[..] else { panic!("{others:?}") };
    assert_eq!(at, then, "the snapshot comes before the messages that were not read");
}

#[tokio::test]
async fn a_wrong_address_or_key_of_a_tracker_is_an_error() {
    let page = Page::start().await;
    let (mut tab, _) = page.tab().await;
    let register = |tracker: &str, key: Option<&str>| json!({"command": "register", "tracker": tracker, "tracker_key": key, "username": "ana", "password": "correct-horse"});
    let tracker = page.tracker.address.to_string();
    for (tracker, key, code) in [
        ("nonsense", None, "USAGE"),
        ("127.0.0.1:99999", None, "USAGE"),
        ("127.0.0.1:1", None, "TRACKER_LOST"),
        (tracker.as_str(), Some("no key"), "USAGE"),
        (tracker.as_str(), Some("ab".repeat(32).as_str()), "TRACKER_KEY_CHANGED"),
    ] {
        tab.send(&register(tracker, key)).await;
        assert_eq!(tab.until("error").await["code"], code, "{tracker} {key:?}");
    }
    tab.send(&register(&tracker, None)).await;
    tab.until("logged_in").await;
}

#[tokio::test]
async fn tab_that_signs_in_is_notified_of_its_new_key() {
    let (page, elsewhere) = (Page::start().await, Page::start().await);
    let at = |command: &str| {
        json!({"command": command, "tracker": page.tracker.address.to_string(), "tracker_key": page.tracker.key(),
               "username": "ana", "password": "correct-horse"})
    };
    let (mut tab, _) = page.tab().await;
    tab.send(&at("register")).await;
    tab.until("snapshot").await;
    tab.send(&json!({"command": "keys"})).await;
    assert_eq!(tab.next().await.unwrap()["event"], "admin", "the first user of a local tracker");
    assert_eq!(tab.next().await.unwrap()["event"], "keys", "the control: the first key is no news");
    let (mut other, _) = elsewhere.tab().await;
    other.send(&at("sign_in")).await;
    let key = other.until("snapshot").await["key"].clone();
    assert_eq!(other.next().await.unwrap(), json!({"event": "new_key", "fingerprint": key}));
}

#[tokio::test]
async fn quitting_from_a_tab_ends_the_program() {
    let page = Page::start().await;
    let (mut tab, _) = page.tab().await;
    tab.send(&json!({"command": "register", "username": "ana", "password": "correct-horse"})).await;
    tab.until("snapshot").await;
    assert!(timeout(Duration::ZERO, page.stop.cancelled()).await.is_err(), "the control");
    tab.send(&json!({"command": "quit", "id": 1})).await;
    assert_eq!(tab.until("done").await["in_reply_to"], 1);
    timeout(PATIENCE, page.stop.cancelled()).await.expect("the end of the program");
}

#[tokio::test]
async fn tab_learns_of_its_program_and_why_it_ends() {
    let page = Page::start().await;
    let opening = json!({"token": page.token});
    let (mut signed_out, _) = page.tab().await;
    let mut tab = page.socket("/ws", Some(&page.origin())).await.unwrap();
    tab.send(&opening).await;
    let program = json!({"event": "program", "hosts_tracker": true, "ends_at_sign_out": false});
    assert_eq!(tab.next().await.unwrap(), program);
    tab.send(&json!({"command": "register", "username": "ana", "password": "correct-horse"})).await;
    tab.until("logged_in").await;
    tab.until("snapshot").await;
    page.stop.cancel();
    for tab in [&mut tab, &mut signed_out] {
        assert_eq!(tab.until("program_ended").await, json!({"event": "program_ended"}));
        assert!(tab.next().await.is_err(), "it is the last event");
    }
}
