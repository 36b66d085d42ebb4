//! Benchmark of durable delivery: a room of three with signed and acknowledged messages.
//! It compares the rate with the same work in memory and with three bare SQLite files, all in one run, because only the
//! ratio counts. It also measures how long a sync takes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark ends by panicking")]

#[path = "../tests/common/mod.rs"]
mod common;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use common::{Peer, Tracker, say_in, three_in, three_keeping};
use peer::api::Event;
use peer::event_bus::Events;
use peer::service::{Keep, PeerService};
use rusqlite::{Connection, params};

const ROUNDS: usize = 3;
const LINES: usize = 20_000;
const MISSED: usize = 10_000;
const TEXT: usize = 100;
/// Number of messages in one transaction of the bare files: as many as a signed batch has at most.
const BATCH: usize = 64;

async fn count(events: &mut Events, lines: usize, wanted: impl Fn(&Event) -> bool) {
    let mut seen = 0;
    while seen < lines {
        seen += usize::from(wanted(&events.recv().await.unwrap()));
    }
}

/// Messages per second, from the first one sent until both others have stored, shown and acknowledged the last.
async fn throughput(ana: &Arc<PeerService>, ears: &mut [Events; 3], text: &str) -> f64 {
    let (service, text) = (ana.clone(), text.to_owned());
    let start = Instant::now();
    let saying = tokio::spawn(async move {
        for _ in 0..LINES {
            service.execute(say_in("sala", text.clone())).await.unwrap();
        }
    });
    let [anas, bobs, carlas] = ears;
    let received = |event: &Event| matches!(event, Event::Message { .. });
    tokio::join!(
        count(anas, 2 * LINES, |event| matches!(event, Event::Delivered { .. })),
        count(bobs, LINES, received),
        count(carlas, LINES, received),
    );
    let rate = LINES as f64 / start.elapsed().as_secs_f64();
    saying.await.unwrap();
    rate
}

/// Messages per second of three bare SQLite files, each on its own thread, with one durable transaction per batch.
fn bare(folder: &Path, text: &str) -> f64 {
    let start = Instant::now();
    std::thread::scope(|scope| {
        for n in 0..3 {
            scope.spawn(move || {
                let mut db =
                    Connection::open(folder.join(format!("{n}-{}.db", uuid::Uuid::now_v7()))).unwrap();
                db.execute_batch(
                    "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
                     CREATE TABLE lines (id BLOB UNIQUE, author TEXT, text TEXT, sent_at INTEGER);",
                )
                .unwrap();
                for _ in 0..LINES / BATCH {
                    let batch = db.transaction().unwrap();
                    {
                        let mut insert =
                            batch.prepare_cached("INSERT INTO lines VALUES (?1, ?2, ?3, ?4)").unwrap();
                        for at in 0..BATCH as i64 {
                            let id = uuid::Uuid::now_v7();
                            insert.execute(params![id.as_bytes(), "ana", text, at]).unwrap();
                        }
                    }
                    batch.commit().unwrap();
                }
            });
        }
    });
    LINES as f64 / start.elapsed().as_secs_f64()
}

fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

async fn room(
    keep: Keep,
    tracker: &Tracker,
    name: &str,
) -> (Arc<PeerService>, [Events; 3], Vec<Arc<PeerService>>) {
    let [(ana, anas), (bob, bobs), (carla, carlas)] =
        three_keeping(keep, tracker, name).await.map(Peer::into_parts);
    (ana, [anas, bobs, carlas], vec![bob, carla])
}

#[tokio::main]
async fn main() {
    let text = "x".repeat(TEXT);
    let folder = tempfile::tempdir().unwrap();
    let (durable_tracker, memory_tracker) = (Tracker::start().await, Tracker::start().await);
    let (ana, mut ears, _others) = room(Keep::OnDisk, &durable_tracker, "sala").await;
    let (memory_ana, mut memory_ears, _memory_others) = room(Keep::InMemory, &memory_tracker, "sala").await;
    let (mut durable, mut memory, mut files) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let commits = ana.commits();
        let rates = (
            throughput(&ana, &mut ears, &text).await,
            throughput(&memory_ana, &mut memory_ears, &text).await,
            bare(folder.path(), &text),
        );
        // The first round warms up.
        if round > 0 {
            durable.push(rates.0);
            memory.push(rates.1);
            files.push(rates.2);
        } else {
            println!("{LINES} lines cost the author {} commits", ana.commits() - commits);
        }
    }
    let (durable, memory, files) = (median(&mut durable), median(&mut memory), median(&mut files));
    println!("room of three, {TEXT} bytes a line, receipted by both, {ROUNDS} rounds in turn");
    println!(
        "  durable {durable:9.0} lines/s   in memory {memory:9.0} lines/s   ratio {:.2}",
        durable / memory
    );
    println!("  three bare SQLite files {files:9.0} lines/s                ratio {:.2}", durable / files);

    catching_up(&text).await;
}

/// Measures the time from a program's start until it has all messages that were sent while it was not running.
async fn catching_up(text: &str) {
    let tracker = Tracker::start().await;
    let [ana, mut bob, carla] = three_in(&tracker, "sala").await;
    carla.service.stop().await;
    let (ana, mut anas) = ana.into_parts();
    let reported = tokio::spawn(async move { while anas.recv().await.is_some() {} });
    let output = async {
        for _ in 0..MISSED {
            ana.execute(say_in("sala", text)).await.unwrap();
        }
    };
    tokio::join!(output, bob.next_messages(MISSED));
    let start = Instant::now();
    let mut back = carla.again().await;
    let signed_in = start.elapsed();
    back.next_messages(MISSED).await;
    let whole = start.elapsed();
    reported.abort();
    println!("  {MISSED} missed lines caught up: {whole:.2?}, sign-in {signed_in:.2?} included");
}
