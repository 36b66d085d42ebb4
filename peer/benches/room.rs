//! Benchmark of a room of three over loopback.
//! It compares the room with the same work on bare tokio, in plaintext and over bare rustls: JSON by serde_json, a
//! queue and a writer task per link, and a queue to the consumer. All take turns in one run, because only the ratio of
//! the medians counts.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark ends by panicking")]

mod bare_tls;
#[path = "../tests/common/mod.rs"]
mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bare_tls::BareTls;
use chrono::{DateTime, Utc};
use common::{Peer, Tracker, say_in, three_keeping};
use peer::api::Event;
use peer::event_bus::Events;
use peer::service::{Keep, PeerService};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use uuid::Uuid;

const ROUNDS: usize = 7;
const LINES: usize = 20_000;
const SINGLES: usize = 1_500;
const TEXT: usize = 100;
const QUEUE: usize = 1024;

/// The sender's two bare links, and the consumers at their far ends.
struct Bare {
    links: [mpsc::Sender<bytes::Bytes>; 2],
    received: [mpsc::Receiver<Line>; 2],
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

/// The byte stream of a bare link.
trait Wire: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Wire for T {}

fn bare_link((mut near, far): (impl Wire, impl Wire)) -> (mpsc::Sender<bytes::Bytes>, mpsc::Receiver<Line>) {
    let (queue, mut queued) = mpsc::channel::<bytes::Bytes>(QUEUE);
    tokio::spawn(async move {
        while let Some(line) = queued.recv().await {
            near.write_all(&line).await.unwrap();
            near.flush().await.unwrap();
        }
    });
    let (hear, received) = mpsc::channel(QUEUE);
    tokio::spawn(async move {
        let mut lines = BufReader::new(far).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if hear.send(serde_json::from_str(&line).unwrap()).await.is_err() {
                break;
            }
        }
    });
    (queue, received)
}

async fn in_the_clear() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    near.set_nodelay(true).unwrap();
    (near, listener.accept().await.unwrap().0)
}

async fn encrypted() -> (impl Wire, impl Wire) {
    let (tls, listener) = (BareTls::new(), TcpListener::bind("127.0.0.1:0").await.unwrap());
    tokio::join!(tls.dial(&listener), tls.accept(&listener))
}

impl Bare {
    async fn in_the_clear() -> Self {
        Self::of([bare_link(in_the_clear().await), bare_link(in_the_clear().await)])
    }

    async fn encrypted() -> Self {
        Self::of([bare_link(encrypted().await), bare_link(encrypted().await)])
    }

    fn of([(one, first), (two, second)]: [(mpsc::Sender<bytes::Bytes>, mpsc::Receiver<Line>); 2]) -> Self {
        Self { links: [one, two], received: [first, second] }
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

/// Messages per second, from the first one sent until both others have received the last.
async fn bare_throughput(bare: &mut Bare, text: &str) -> f64 {
    let links = bare.links.clone();
    let sender = Bare { links, received: [mpsc::channel(1).1, mpsc::channel(1).1] };
    let text = text.to_owned();
    let start = Instant::now();
    let saying = tokio::spawn(async move {
        for _ in 0..LINES {
            sender.say(&text).await;
        }
    });
    let [first, second] = &mut bare.received;
    let hear = async |received: &mut mpsc::Receiver<Line>| {
        for _ in 0..LINES {
            received.recv().await.unwrap();
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
        let [first, second] = &mut bare.received;
        tokio::join!(first.recv(), second.recv());
        times.push(start.elapsed());
    }
    times
}

async fn hear(events: &mut Events, lines: usize) {
    let mut received = 0;
    while received < lines {
        if let Some(Event::Message { .. }) = events.recv().await {
            received += 1;
        }
    }
}

async fn say(ana: &PeerService, text: &str) {
    ana.execute(say_in("sala", text)).await.unwrap();
}

async fn our_throughput(ana: &Arc<PeerService>, ears: &mut [Events; 2], text: &str) -> f64 {
    let (service, text) = (ana.clone(), text.to_owned());
    let start = Instant::now();
    let saying = tokio::spawn(async move {
        for _ in 0..LINES {
            service.execute(say_in("sala", text.clone())).await.unwrap();
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
    let [ana, bob, carla] = three_keeping(Keep::InMemory, &tracker, "sala").await.map(Peer::into_parts);
    let ((ana, mut anas), (_bob, bobs), (_carla, carlas)) = (ana, bob, carla);
    // A subscriber reads the events of ana, as a frontend does in a real program.
    tokio::spawn(async move { while anas.recv().await.is_some() {} });
    let mut ears = [bobs, carlas];
    let mut bares = [Bare::in_the_clear().await, Bare::encrypted().await];
    let text = "x".repeat(TEXT);

    let (mut rates, mut times) = ([const { Vec::new() }; 3], [const { Vec::new() }; 3]);
    for round in 0..=ROUNDS {
        for n in 0..3 {
            let (rate, time) = match bares.get_mut(n) {
                Some(bare) => (bare_throughput(bare, &text).await, bare_latency(bare, &text).await),
                None => {
                    (our_throughput(&ana, &mut ears, &text).await, our_latency(&ana, &mut ears, &text).await)
                }
            };
            // The first round warms up.
            if round > 0 {
                rates[n].push(rate);
                times[n].extend(time);
            }
        }
    }
    println!(
        "encrypted room of three, {TEXT} bytes a line, {ROUNDS} rounds in turn; bare in the clear, bare rustls, ours"
    );
    let [clear, tls, ours] = rates.map(|mut rates| median(&mut rates));
    let ratios = |ours: f64, clear: f64, tls: f64| {
        format!("{:.2} of clear, {:.2} of rustls", ours / clear, ours / tls)
    };
    println!("  throughput  {clear:9.0} {tls:9.0} {ours:9.0} lines/s   {}", ratios(ours, clear, tls));
    for (name, at) in [("p50", 0.5), ("p99", 0.99)] {
        let [clear, tls, ours] = times.each_mut().map(|times| quantile(times, at));
        println!("  {name} latency {clear:9.1} {tls:9.1} {ours:9.1} us        {}", ratios(ours, clear, tls));
    }
}
