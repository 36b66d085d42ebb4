//! Benchmark of room operations at trackers with 0, 1,000 and 100,000 registered users.
//! The trackers take turns in one run, because only the ratio of the costs counts.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark ends by panicking")]

mod users_file;

use std::net::SocketAddr;
use std::time::Instant;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio_util::sync::CancellationToken;
use tracker::config::Config;
use tracker::server::TrackerServer;
use users_file::users_file;

const USERS: [usize; 3] = [0, 1_000, 100_000];
const ROUNDS: usize = 15;
const ROOMS: usize = 100;

struct Client {
    reading: Lines<BufReader<OwnedReadHalf>>,
    writing: OwnedWriteHalf,
}

impl Client {
    async fn register(tracker: SocketAddr, name: &str) -> Self {
        let stream = TcpStream::connect(tracker).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (reading, writing) = stream.into_split();
        let mut client = Self { reading: BufReader::new(reading).lines(), writing };
        let digest = "0".repeat(64);
        client
            .ask(json!({"cmd": "REGISTER", "username": name, "password": digest, "port": 5000, "id": 0}))
            .await;
        client
    }

    async fn ask(&mut self, request: Value) {
        self.writing.write_all(format!("{request}\n").as_bytes()).await.unwrap();
        let reply = self.reading.next_line().await.unwrap().unwrap();
        assert!(reply.contains(r#""status":"OK""#), "{reply}");
    }

    /// Creates and deletes rooms, one request after the other. Returns operations per second.
    async fn round(&mut self) -> f64 {
        let start = Instant::now();
        for room in 0..ROOMS {
            self.ask(json!({"cmd": "CREATE_ROOM", "room": format!("r{room}"), "id": room})).await;
            self.ask(json!({"cmd": "DELETE_ROOM", "room": format!("r{room}"), "id": room})).await;
        }
        (2 * ROOMS) as f64 / start.elapsed().as_secs_f64()
    }
}

#[tokio::main]
async fn main() {
    let mut clients = Vec::new();
    let mut folders = Vec::new();
    for users in USERS {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("users_db.json"), users_file(users)).unwrap();
        let config =
            Config { listen: "127.0.0.1:0".into(), data: folder.path().to_owned(), ..Config::default() };
        let start = Instant::now();
        let tracker = TrackerServer::bind(config).await.unwrap();
        println!("start with {users} users: {:.3} s", start.elapsed().as_secs_f64());
        let address = tracker.local_addr();
        tokio::spawn(tracker.run(CancellationToken::new()));
        clients.push(Client::register(address, "bench").await);
        folders.push(folder);
    }
    let mut rates = vec![Vec::new(); USERS.len()];
    for round in 0..=ROUNDS {
        for (client, rates) in clients.iter_mut().zip(&mut rates) {
            let rate = client.round().await;
            // The first round warms up.
            if round > 0 {
                rates.push(rate);
            }
        }
    }
    println!("room operations a second, {ROUNDS} rounds in turn (each is on disk before its reply)");
    let medians: Vec<f64> = rates
        .iter_mut()
        .map(|rates| {
            rates.sort_by(f64::total_cmp);
            rates[rates.len() / 2]
        })
        .collect();
    for (users, rate) in USERS.iter().zip(&medians) {
        println!(
            "  {users:7} users {rate:8.0} operations/s   cost {:.2} of that with none",
            medians[0] / rate
        );
    }
}
