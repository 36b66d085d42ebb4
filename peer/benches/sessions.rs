//! Benchmark of the cost of encryption, compared with bare rustls in the same run.
//! It measures full handshakes per second and core, and the tracker's memory for 5,000 idle sessions. Each server is a
//! process of its own, so that only its memory is counted.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark ends by panicking")]

mod bare_tls;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs};

use bare_tls::BareTls;
use commons::keys::Seed;
use commons::limits::FRAME_MAX;
use commons::net::connection::Connection;
use commons::net::socket::{Listener, Socket};
use commons::net::tls::{Identity, Purpose};
use commons::user::PasswordDigest;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tracker::config::{Config, PasswordCost};
use tracker::server::TrackerServer;

const ROUNDS: usize = 7;
const HANDSHAKES: u32 = 200;
const SESSIONS: usize = 5_000;
const WARM_UP: usize = 200;
const AT_ONCE: usize = 50;

fn main() {
    let server = env::args().nth(1).filter(|argument| !argument.starts_with('-'));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    match server.as_deref() {
        Some("tracker") => runtime.block_on(serve_tracker()),
        Some(_) => runtime.block_on(serve_bare()),
        None => runtime.block_on(measure()),
    }
}

async fn measure() {
    let (bare, ours) = handshakes().await;
    println!("full handshakes, both ends on one core, {ROUNDS} rounds in turn");
    println!("  bare rustls {bare:7.0}/s   ours {ours:7.0}/s   ratio {:.2}", ours / bare);
    let (bare, ours) = (memory("bare").await, memory("tracker").await);
    println!("memory of an idle encrypted session, {SESSIONS} of them");
    println!("  bare rustls {bare:5.1} KiB   tracker {ours:5.1} KiB");
}

async fn handshakes() -> (f64, f64) {
    let tls = BareTls::new();
    let identity = Identity::new(&Seed::random().unwrap(), Purpose::Session).unwrap();
    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listener = Listener::bind("127.0.0.1:0").await.unwrap();
    let (mut bare, mut ours) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let start = Instant::now();
        for _ in 0..HANDSHAKES {
            let _ = tokio::join!(tls.dial(&plain), tls.accept(&plain));
        }
        let bare_time = start.elapsed();
        let start = Instant::now();
        for _ in 0..HANDSHAKES {
            let accept = async {
                let (socket, _) = listener.accept().await.unwrap();
                socket.opening().await.unwrap();
                socket.accept_encrypted(&identity).await.unwrap()
            };
            let _ = tokio::join!(Socket::dial_encrypted(listener.local_addr().unwrap(), &identity), accept);
        }
        // The first round warms up.
        if round > 0 {
            bare.push(rate(bare_time));
            ours.push(rate(start.elapsed()));
        }
    }
    (median(&mut bare), median(&mut ours))
}

fn rate(time: Duration) -> f64 {
    f64::from(HANDSHAKES) / time.as_secs_f64()
}

fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// A server in a process of its own.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start(kind: &str) -> Self {
        let mut child =
            Command::new(env::current_exe().unwrap()).arg(kind).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, address: line.trim_end().parse().unwrap() }
    }

    fn kib(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Memory of one session in KiB.
async fn memory(kind: &str) -> f64 {
    let server = Server::start(kind);
    let tls = BareTls::new();
    let (mut bare, mut ours) = (Vec::new(), Vec::new());
    let mut before = 0.0;
    for n in (0..WARM_UP + SESSIONS).step_by(AT_ONCE) {
        if n == WARM_UP {
            before = server.kib();
        }
        match kind {
            "tracker" => {
                ours.extend(join_all((n..n + AT_ONCE).map(|n| session(server.address, n))).await);
            }
            _ => bare.extend(join_all((0..AT_ONCE).map(|_| bare_session(server.address, &tls))).await),
        }
    }
    (server.kib() - before) / SESSIONS as f64
}

async fn session(tracker: SocketAddr, n: usize) -> Connection<Socket> {
    let identity = Identity::new(&Seed::random().unwrap(), Purpose::Session).unwrap();
    let socket = Socket::dial_encrypted(tracker, &identity).await.unwrap();
    let mut session = Connection::new(socket, FRAME_MAX);
    let password = PasswordDigest::of_typed("password");
    let request = json!({"cmd": "REGISTER", "username": format!("u{n}"), "password": password.as_str(),
                         "address": "127.0.0.1", "port": 5000});
    session.send(&request).await.unwrap();
    let reply: Value = session.recv().await.unwrap().expect("no answer").parse_owned().unwrap();
    assert_eq!(reply["status"], "OK", "{reply}");
    session
}

async fn bare_session(server: SocketAddr, tls: &BareTls) -> tokio_rustls::TlsStream<TcpStream> {
    let mut stream = tls.greet(TcpStream::connect(server).await.unwrap()).await;
    stream.write_all(b"{\"cmd\":\"REGISTER\"}\n").await.unwrap();
    let mut answer = String::new();
    tokio::io::BufReader::with_capacity(64, &mut stream).read_line(&mut answer).await.unwrap();
    stream
}

async fn serve_tracker() {
    let data = tempfile::tempdir().unwrap();
    let config = Config {
        listen: "127.0.0.1:0".to_owned(),
        data: data.path().to_owned(),
        password_cost: PasswordCost { memory: 64, passes: 1 },
        ping_interval: Duration::from_secs(600),
        ..Config::default()
    };
    let server = TrackerServer::bind(config).await.unwrap();
    println!("{}", server.local_addr());
    server.run(CancellationToken::new()).await.unwrap();
}

/// Serves each session with one task that answers a line and waits for the next, without a buffer of its own.
async fn serve_bare() {
    let tls = BareTls::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    loop {
        let mut stream = tls.accept(&listener).await;
        tokio::spawn(async move {
            while let Ok(byte) = stream.read_u8().await {
                if byte == b'\n' {
                    stream.write_all(b"{\"status\":\"OK\"}\n").await.unwrap();
                }
            }
        });
    }
}
