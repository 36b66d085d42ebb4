//! A tracker inside the test process, and a client that does not use the project's code.
//! The client sends and receives lines of JSON over TCP.

#![allow(dead_code, reason = "every test file takes what it needs")]

pub(crate) mod device;
#[cfg(target_os = "linux")]
pub(crate) mod program;
pub(crate) mod signer;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracker::config::{Config, PasswordCost};
use tracker::operator::Operator;
use tracker::server::{RunError, TrackerServer};

/// A time limit longer than any step takes on a slow machine. A step that succeeds never waits so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The SHA-256 digest of "123456", as a client sends it.
pub(crate) const PASSWORD: &str = "8d969eef6ecad3c29a3a629280e686cf0c3f5d5a86aff3ca12020c923adc6c92";

/// A digest that no account has.
pub(crate) const WRONG: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The settings of most tests: a free port, cheap password hashes, and no sweep.
pub(crate) fn config(data: &Path) -> Config {
    Config {
        listen: "127.0.0.1:0".to_owned(),
        data: data.to_owned(),
        ping_interval: Duration::from_secs(3600),
        password_cost: PasswordCost { memory: 8, passes: 1 },
        ..Config::default()
    }
}

/// A tracker that is stopped at the end of its test.
pub(crate) struct TestTracker {
    pub(crate) address: SocketAddr,
    pub(crate) status: Option<SocketAddr>,
    pub(crate) folder: Arc<TempDir>,
    pub(crate) operator: Operator,
    stop: CancellationToken,
    running: Option<JoinHandle<Result<(), RunError>>>,
}

impl TestTracker {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| ()).await
    }

    pub(crate) async fn start_with(set: impl FnOnce(&mut Config)) -> Self {
        Self::start_in(Arc::new(tempfile::tempdir().unwrap()), set).await
    }

    /// Starts a tracker on a data folder that may already hold files.
    pub(crate) async fn start_in(folder: Arc<TempDir>, set: impl FnOnce(&mut Config)) -> Self {
        let mut config = config(folder.path());
        set(&mut config);
        let server = TrackerServer::bind(config).await.unwrap();
        let (address, status, stop) = (server.local_addr(), server.status_addr(), CancellationToken::new());
        let operator = server.operator();
        let running = Some(tokio::spawn(server.run(stop.clone())));
        Self { address, status, folder, operator, stop, running }
    }

    /// Stops the tracker in order and returns its data folder.
    pub(crate) async fn stop(mut self) -> Arc<TempDir> {
        self.stop.cancel();
        self.running.take().unwrap().await.unwrap().unwrap();
        self.folder.clone()
    }

    pub(crate) async fn connect(&self) -> Client {
        Client::connect(self.address).await
    }

    pub(crate) async fn connect_from(&self, source: [u8; 2]) -> Client {
        Client::connect_from(source, self.address).await
    }

    /// Registers a user whose session has no ids: a legacy client.
    pub(crate) async fn original(&self, name: &str) -> Client {
        let mut client = self.connect().await;
        let reply = client.ask(sign_in("REGISTER", name, 5000)).await;
        assert_eq!(reply["status"], "OK", "{reply}");
        client
    }

    /// Registers a user whose session has ids.
    pub(crate) async fn user(&self, name: &str) -> Client {
        self.user_at(name, 5000).await
    }

    pub(crate) async fn user_at(&self, name: &str, port: u16) -> Client {
        let mut client = self.connect().await;
        let reply = client.ask(with_id(sign_in("REGISTER", name, port))).await;
        assert_eq!(reply["status"], "OK", "{reply}");
        client
    }

    /// Signs in an existing user.
    pub(crate) async fn back(&self, name: &str) -> (Client, Value) {
        let mut client = self.connect().await;
        let reply = client.ask(with_id(sign_in("LOGIN", name, 5000))).await;
        assert_eq!(reply["status"], "OK", "{reply}");
        (client, reply)
    }
}

impl Drop for TestTracker {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

pub(crate) fn sign_in(cmd: &str, name: &str, port: u16) -> Value {
    json!({"cmd": cmd, "username": name, "password": PASSWORD, "address": "localhost", "port": port})
}

pub(crate) fn with_id(mut request: Value) -> Value {
    request["id"] = json!("sign-in");
    request
}

pub(crate) fn room(cmd: &str, room: &str) -> Value {
    json!({"cmd": cmd, "room": room})
}

/// The names of a room's members, in seat order.
pub(crate) fn members(room: &Value) -> Vec<&str> {
    room["members"].as_array().unwrap().iter().map(|member| member["username"].as_str().unwrap()).collect()
}

/// A plaintext connection to the tracker.
pub(crate) struct Client {
    pub(crate) stream: BufReader<TcpStream>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self { stream: BufReader::new(TcpStream::connect(address).await.unwrap()) }
    }

    /// Connects from the address 127.0.x.y. If limits apply to loopback, each such address is a network of its own.
    pub(crate) async fn connect_from(source: [u8; 2], address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, source[0], source[1]], 0))).unwrap();
        Self { stream: BufReader::new(socket.connect(address).await.unwrap()) }
    }

    pub(crate) async fn send(&mut self, request: &Value) {
        self.send_bytes(format!("{request}\n").as_bytes()).await;
    }

    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).await.unwrap();
    }

    /// Sends to a tracker that may have closed the connection.
    pub(crate) async fn try_send(&mut self, request: &Value) {
        let _ = self.stream.get_mut().write_all(format!("{request}\n").as_bytes()).await;
    }

    /// Receives the next line.
    pub(crate) async fn recv(&mut self) -> Value {
        self.try_recv().await.expect("the tracker closed the connection")
    }

    /// Receives the next line, or returns `None` if the connection has ended.
    pub(crate) async fn try_recv(&mut self) -> Option<Value> {
        let mut line = String::new();
        let read = timeout(PATIENCE, self.stream.read_line(&mut line)).await.expect("nothing came");
        match read {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(serde_json::from_str(&line).unwrap()),
        }
    }

    /// Sends a request and returns the next line as its reply.
    pub(crate) async fn ask(&mut self, request: Value) -> Value {
        self.send(&request).await;
        self.recv().await
    }

    /// Sends a request that must succeed.
    pub(crate) async fn ok(&mut self, request: Value) -> Value {
        let reply = self.ask(request.clone()).await;
        assert_eq!(reply["status"], "OK", "{request} → {reply}");
        reply
    }

    /// Sends a request that must be refused, and returns the error code.
    pub(crate) async fn refused(&mut self, request: Value) -> String {
        let reply = self.ask(request.clone()).await;
        assert_eq!(reply["status"], "ERROR", "{request} → {reply}");
        reply["code"].as_str().unwrap().to_owned()
    }

    /// Receives the next push: its kind, its user and the room.
    pub(crate) async fn push(&mut self) -> (String, String, Value) {
        let mut push = self.recv().await;
        assert_eq!(push["status"], "ROOM_UPDATE", "{push}");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(&push["change"]["kind"]), text(&push["change"]["username"]), push["room"].take())
    }

    /// Receives the next push, which must have this kind and this user. Returns the room.
    pub(crate) async fn expect_push(&mut self, kind: &str, username: &str) -> Value {
        let (pushed_kind, pushed_username, room) = self.push().await;
        assert_eq!((&*pushed_kind, &*pushed_username), (kind, username));
        room
    }

    /// Checks that no push is pending: a pending push would arrive before the answer to a PING.
    pub(crate) async fn expect_no_push(&mut self) {
        let answer = self.ask(json!({"cmd": "PING"})).await;
        assert_eq!(answer, json!({"cmd": "PONG"}));
    }

    /// Checks that the connection has ended.
    pub(crate) async fn is_closed(&mut self) {
        let next = self.try_recv().await;
        assert_eq!(next, None);
    }
}

/// The port of a peer. It accepts connections until it is dropped.
pub(crate) struct PingPort {
    pub(crate) port: u16,
    answers: JoinHandle<()>,
}

impl PingPort {
    pub(crate) async fn answering() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::serve(listener, true)
    }

    /// A port that accepts connections and never answers.
    pub(crate) async fn tarpit() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::serve(listener, false)
    }

    /// A port with this number that answers, after an earlier one was dropped.
    pub(crate) async fn on(port: u16) -> Self {
        Self::serve(TcpListener::bind(("127.0.0.1", port)).await.unwrap(), true)
    }

    fn serve(listener: TcpListener, answers: bool) -> Self {
        let port = listener.local_addr().unwrap().port();
        let answers = tokio::spawn(async move {
            let mut held = Vec::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut ping = [0; 15];
                if answers && stream.read_exact(&mut ping).await.is_ok() {
                    assert_eq!(&ping, b"{\"cmd\":\"PING\"}\n");
                    stream.write_all(b"{\"cmd\": \"PONG\"}").await.unwrap();
                }
                held.push(stream);
            }
        });
        Self { port, answers }
    }
}

impl Drop for PingPort {
    fn drop(&mut self) {
        self.answers.abort();
    }
}
