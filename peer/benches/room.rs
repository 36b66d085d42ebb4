//! A room of three over loopback, beside the same work on bare tokio: TCP, JSON lines by serde_json, a queue and a
//! writing task a link, a queue to the consumer. Both take turns in one run; what counts is the ratio of the medians.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark ends by panicking")]

#[path = "../tests/common/mod.rs"]
mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use common::{Peer, Tracker, three_in};
use peer::api::{Command, Event};
use peer::events::Events;
use peer::service::PeerService;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use uuid::Uuid;

const ROUNDS: usize = 7;
const LINES: usize = 20_000;
const SINGLES: usize = 1_500;
const TEXT: usize = 100;
const QUEUE: usize = 1024;

/// The sender's two bare links and the far ends' consumers.
struct Bare {
    links: [mpsc::Sender<bytes::Bytes>; 2],
    heard: [mpsc::Receiver<Line>; 2],
}

#[derive(Serialize, Deserialize)]
struct Line {
    cmd: String,
    room: String,
    username: String,
    content: String,
    id: Uuid,
    sent_at: DateTime<Utc>,
}

async fn bare_link() -> (mpsc::Sender<bytes::Bytes>, mpsc::Receiver<Line>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (accepted, _) = listener.accept().await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (queue, mut queued) = mpsc::channel::<bytes::Bytes>(QUEUE);
    tokio::spawn(async move {
        let (_reading, mut writing) = stream.into_split();
        while let Some(line) = queued.recv().await {
            writing.write_all(&line).await.unwrap();
        }
    });
    let (hear, heard) = mpsc::channel(QUEUE);
    tokio::spawn(async move {
        let mut lines = BufReader::new(accepted).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if hear.send(serde_json::from_str(&line).unwrap()).await.is_err() {
                break;
            }
        }
    });
    (queue, heard)
}

impl Bare {
    async fn new() -> Self {
        let ((one, first), (two, second)) = (bare_link().await, bare_link().await);
        Self { links: [one, two], heard: [first, second] }
    }

    async fn say(&self, text: &str) {
        let line = Line {
            cmd: "MESSAGE".into(),
            room: "sala".into(),
            username: "ana".into(),
            content: text.into(),
            id: Uuid::now_v7(),
            sent_at: Utc::now(),
        };
        let mut bytes = serde_json::to_vec(&line).unwrap();
        bytes.push(b'\n');
        let bytes = bytes::Bytes::from(bytes);
        for link in &self.links {
            link.send(bytes.clone()).await.unwrap();
        }
    }
}

/// Lines a second, from the first said to the last heard by both.
async fn bare_throughput(bare: &mut Bare, text: &str) -> f64 {
    let links = bare.links.clone();
    let sender = Bare { links, heard: [mpsc::channel(1).1, mpsc::channel(1).1] };
    let text = text.to_owned();
    let start = Instant::now();
    let saying = tokio::spawn(async move {
        for _ in 0..LINES {
            sender.say(&text).await;
        }
    });
    let [first, second] = &mut bare.heard;
    let hear = async |heard: &mut mpsc::Receiver<Line>| {
        for _ in 0..LINES {
            heard.recv().await.unwrap();
        }
    };
    tokio::join!(hear(first), hear(second));
    let rate = LINES as f64 / start.elapsed().as_secs_f64();
    saying.await.unwrap();
    rate
}

async fn bare_latency(bare: &mut Bare, text: &str) -> Vec<Duration> {
    let mut times = Vec::with_capacity(SINGLES);
    for _ in 0..SINGLES {
        let start = Instant::now();
        bare.say(text).await;
        let [first, second] = &mut bare.heard;
        tokio::join!(first.recv(), second.recv());
        times.push(start.elapsed());
    }
    times
}

async fn hear(events: &mut Events, lines: usize) {
    let mut heard = 0;
    while heard < lines {
        if let Some(Event::Message { .. }) = events.recv().await {
            heard += 1;
        }
    }
}

async fn say(ana: &PeerService, text: &str) {
    ana.execute(Command::Say { text: text.to_owned() }).await.unwrap();
}

async fn our_throughput(ana: &Arc<PeerService>, ears: &mut [Events; 2], text: &str) -> f64 {
    let (service, text) = (ana.clone(), text.to_owned());
    let start = Instant::now();
    let saying = tokio::spawn(async move {
        for _ in 0..LINES {
            service.execute(Command::Say { text: text.clone() }).await.unwrap();
        }
    });
    let [first, second] = ears;
    tokio::join!(hear(first, LINES), hear(second, LINES));
    let rate = LINES as f64 / start.elapsed().as_secs_f64();
    saying.await.unwrap();
    rate
}

async fn our_latency(ana: &PeerService, ears: &mut [Events; 2], text: &str) -> Vec<Duration> {
    let mut times = Vec::with_capacity(SINGLES);
    for _ in 0..SINGLES {
        let start = Instant::now();
        say(ana, text).await;
        let [first, second] = &mut *ears;
        tokio::join!(hear(first, 1), hear(second, 1));
        times.push(start.elapsed());
    }
    times
}

fn quantile(times: &mut [Duration], quantile: f64) -> f64 {
    times.sort();
    times[((times.len() - 1) as f64 * quantile) as usize].as_secs_f64() * 1e6
}

fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

#[tokio::main]
async fn main() {
    let tracker = Tracker::start().await;
    let [ana, bob, carla] = three_in(&tracker, "sala").await.map(Peer::into_parts);
    let ((ana, mut anas), (_bob, bobs), (_carla, carlas)) = (ana, bob, carla);
    // A face reads what becomes of ana's lines, as in a real program.
    tokio::spawn(async move { while anas.recv().await.is_some() {} });
    let mut ears = [bobs, carlas];
    let mut bare = Bare::new().await;
    let text = "x".repeat(TEXT);

    let (mut bare_rates, mut our_rates) = (Vec::new(), Vec::new());
    let (mut bare_times, mut our_times) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let rates = (bare_throughput(&mut bare, &text).await, our_throughput(&ana, &mut ears, &text).await);
        let times = (bare_latency(&mut bare, &text).await, our_latency(&ana, &mut ears, &text).await);
        // The first round warms up.
        if round > 0 {
            bare_rates.push(rates.0);
            our_rates.push(rates.1);
            bare_times.extend(times.0);
            our_times.extend(times.1);
        }
    }
    let (bare_rate, our_rate) = (median(&mut bare_rates), median(&mut our_rates));
    println!("room of three, {TEXT} bytes a line, {ROUNDS} rounds in turn");
    println!(
        "  throughput  bare {bare_rate:9.0} lines/s   ours {our_rate:9.0} lines/s   ratio {:.2}",
        our_rate / bare_rate
    );
    for (name, at) in [("p50", 0.5), ("p99", 0.99)] {
        let (bare, ours) = (quantile(&mut bare_times, at), quantile(&mut our_times, at));
        println!(
            "  {name} latency bare {bare:9.1} us        ours {ours:9.1} us        ratio {:.2}",
            ours / bare
        );
    }
}
