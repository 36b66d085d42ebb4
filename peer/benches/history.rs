//! Benchmark of the history: durable and signed messages per second, compared with a bare SQLite file in the same run.
//! It also measures opening and searching a history of 100,000 messages.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark ends by panicking")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use commons::keys::{PublicKey, Seed};
use commons::names::Username;
use commons::snapshot::{Member, RoomSnapshot};
use peer::history::History;
use peer::history::conversation::ConversationId;
use peer::history::history_db::{Author, InitialState, Place};
use peer::history::message::SignedMessage;
use peer::history::report::Report;
use peer::history::request::{Draft, InboundBatch, Request};
use peer::history::search::Search;
use peer::limits::BACKPRESSURE_MESSAGES;
use rusqlite::{Connection, params};
use tokio::sync::{Semaphore, mpsc};
use uuid::Uuid;

const LINES: usize = 20_000;
const KEPT: usize = 100_000;
const SEARCHES: usize = 200;

/// Words that the texts of the messages are made of.
const WORDS: [&str; 12] = [
    "tomorrow",
    "reunião",
    "coração",
    "train",
    "seven",
    "lunch",
    "número",
    "river",
    "deploy",
    "blue",
    "sábado",
    "again",
];

fn user(name: &str) -> Username {
    Username::parse(name).unwrap()
}

fn room() -> RoomSnapshot {
    let member = |name: &str| Member {
        username: user(name),
        connected: true,
        since: 1,
        keys: Vec::new(),
        endorsements: Vec::new(),
        in_menu: false,
    };
    RoomSnapshot {
        id: Uuid::from_u128(7),
        name: "sala".parse().unwrap(),
        revision: 1,
        capacity: 3,
        log: None,
        owner: user("ana"),
        members: ["ana", "bob", "carla"].map(member).into(),
        peer_owner: None,
        peer_one: None,
        peer_two: None,
    }
}

fn text(n: usize) -> String {
    let word = |step: usize| WORDS[(n / step) % WORDS.len()];
    format!("{} {} {} number{n} {}", word(1), word(7), word(31), word(101))
}

fn output(n: usize) -> Draft {
    Draft {
        head: None,
        id: Uuid::now_v7(),
        to: ConversationId::Room(room().id),
        room: Some(room().name),
        text: text(n),
        audience: vec![user("bob"), user("carla")],
        revision: 1,
        sent_at: Utc::now(),
    }
}

async fn open(folder: &Path, name: &str) -> (History, mpsc::Receiver<Report>, InitialState) {
    let author = Author { username: user(name), seed: Seed::new([name.as_bytes()[0]; 32]) };
    let opened = History::open(&Place::File(folder.to_owned()), &author).unwrap();
    opened.0.put(Request::NoteRoom(Box::new(room().into()))).await;
    opened.0.flush().await;
    opened
}

/// Appends messages, each acknowledged by both others as soon as it is durable. Returns the signed messages.
async fn say(history: &History, reports: &mut mpsc::Receiver<Report>, lines: usize) -> Vec<SignedMessage> {
    let (writing, pace) = (history.clone(), Arc::new(Semaphore::new(BACKPRESSURE_MESSAGES)));
    let permits = Arc::clone(&pace);
    let writer = tokio::spawn(async move {
        for n in 0..lines {
            permits.acquire().await.unwrap().forget();
            writing.put(Request::Append(output(n))).await;
        }
    });
    let mut out = Vec::with_capacity(lines);
    while out.len() < lines {
        let Some(Report::Committed(output)) = reports.recv().await else { continue };
        pace.add_permits(output.len());
        let ids: Vec<_> = output.iter().map(|output| output.message.id).collect();
        out.extend(output.into_iter().map(|output| output.message));
        for to in ["bob", "carla"] {
            history.put(Request::AckUpTo { to: user(to), ids: ids.clone() }).await;
        }
    }
    writer.await.unwrap();
    history.flush().await;
    out
}

async fn ingest(history: &History, reports: &mut mpsc::Receiver<Report>, lines: &[SignedMessage]) {
    let key = lines[0].provenance.device.unwrap();
    let trusted: BTreeMap<_, Vec<PublicKey>> = [(user("ana"), vec![key])].into();
    let hearing = history.clone();
    let batches: Vec<_> = lines
        .chunks(64)
        .map(|lines| InboundBatch {
            from: user("ana"),
            conversation: ConversationId::Room(room().id),
            room: Some(room().name),
            messages: lines.to_vec(),
            late: false,
            trusted: trusted.clone(),
        })
        .collect();
    let reader = tokio::spawn(async move {
        for batch in batches {
            hearing.put(Request::Ingest(batch)).await;
        }
    });
    let mut received = 0;
    while received < lines.len() {
        if let Some(Report::Received(lines)) = reports.recv().await {
            received += lines.len();
            history.note_shown(lines.last().unwrap().message.row);
        }
    }
    reader.await.unwrap();
    history.flush().await;
}

/// Stores the same texts in a bare file without key, index and proof. Each transaction holds `group` texts.
fn bare(folder: &Path, group: usize) -> f64 {
    let db = Connection::open(folder.join("bare.db")).unwrap();
    db.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
         CREATE TABLE lines (row INTEGER PRIMARY KEY, id BLOB UNIQUE, text TEXT)",
    )
    .unwrap();
    let texts: Vec<_> = (0..LINES).map(|n| (Uuid::now_v7(), text(n))).collect();
    let start = Instant::now();
    for group in texts.chunks(group) {
        db.execute_batch("BEGIN").unwrap();
        for (id, text) in group {
            db.prepare_cached("INSERT INTO lines (id, text) VALUES (?1, ?2)")
                .unwrap()
                .execute(params![id.as_bytes(), text])
                .unwrap();
        }
        db.execute_batch("COMMIT").unwrap();
    }
    LINES as f64 / start.elapsed().as_secs_f64()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

#[tokio::main]
async fn main() {
    let folder = || tempfile::tempdir().unwrap();
    let (a, b, c) = (folder(), folder(), folder());
    let (ana, mut said_reports, _) = open(a.path(), "ana").await;
    let before = ana.commits();
    let start = Instant::now();
    let mut lines = say(&ana, &mut said_reports, LINES).await;
    let own = LINES as f64 / start.elapsed().as_secs_f64();
    let commits = ana.commits() - before;
    println!("own lines, durable, signed, delivered to two: {own:.0} lines/s, {commits} waits for the disk");

    let (bob, mut heard_reports, _) = open(b.path(), "bob").await;
    let before = bob.commits();
    let start = Instant::now();
    ingest(&bob, &mut heard_reports, &lines).await;
    let received = LINES as f64 / start.elapsed().as_secs_f64();
    let commits = bob.commits() - before;
    println!("lines of another, verified, durable: {received:.0} lines/s, {commits} waits for the disk");

    let group = (LINES as u64 / commits.max(1)).max(1);
    let rate = bare(c.path(), usize::try_from(group).unwrap());
    println!(
        "bare SQLite in groups of {group}: {rate:.0} lines/s; own {:.2}, heard {:.2} of that",
        own / rate,
        received / rate
    );

    lines.extend(say(&ana, &mut said_reports, KEPT - LINES).await);
    ingest(&bob, &mut heard_reports, &lines[LINES..]).await;
    let start = Instant::now();
    bob.search("deploy".into(), 50).await.unwrap();
    println!("first search, what was not indexed yet included: {:?}", start.elapsed());
    let mut times = Vec::new();
    for n in 0..SEARCHES {
        let words =
            if n % 2 == 0 { format!("number{}", n * 487) } else { text(n * 31).replace("number", "") };
        let start = Instant::now();
        bob.search(words.into(), 50).await.unwrap();
        times.push(start.elapsed());
    }
    let worst = times.iter().max().copied().unwrap_or_default();
    println!("search in {KEPT} lines: median {:?}, longest {worst:?}", median(times));
    let from = |name: &str| Some(user(name));
    let latest = Utc::now() - chrono::TimeDelta::days(1);
    for (what, wanted) in [
        (
            "a common word of an author who wrote none",
            Search { from: from("carla"), ..Search::from("deploy") },
        ),
        ("a common word until yesterday", Search { until: Some(latest), ..Search::from("deploy") }),
        ("an author, without words", Search { from: from("ana"), ..Search::default() }),
        ("no message of an author", Search { from: from("carla"), ..Search::default() }),
    ] {
        let start = Instant::now();
        let found = bob.search(wanted, 50).await.unwrap().len();
        println!("search with a filter, {what}: {found} in {:?}", start.elapsed());
    }
    let start = Instant::now();
    let list = bob.transaction(|tables| tables.conversation_list()).await.unwrap().len();
    println!("list of {list} conversation: {:?}", start.elapsed());
    bob.close().await;
    let start = Instant::now();
    let (bob, _reports, _) = open(b.path(), "bob").await;
    println!("open with {KEPT} lines: {:?}", start.elapsed());
    let start = Instant::now();
    let of = ConversationId::Room(room().id);
    let recent = bob.transaction(move |tables| tables.page(&of, None, 50)).await.unwrap();
    println!("last {} of them: {:?}", recent.len(), start.elapsed());
    bob.close().await;
    ana.close().await;
}
