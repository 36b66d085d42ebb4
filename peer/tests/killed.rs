//! Crash tests: three programs talk in one room and are killed one after the other.
//! No message that was shown as sent is lost, repeated or out of order.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
mod programs;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

use common::Tracker;
use peer::limits::COMMIT_MESSAGES;
use programs::{PATIENCE, Piped, json};
use serde_json::Value;

const NAMES: [&str; 3] = ["ana", "bob", "carla"];

/// Number of messages that a user types ahead of the program's answers.
const AHEAD: usize = 4;

/// Number of messages that a program may show again after a crash, because the note that it showed them was not durable
/// yet. So few messages are under way here that this is far less than one commit may hold.
const LAST_BATCH: usize = COMMIT_MESSAGES / 2;

/// Longest time until all users have everything, from the moment when the last program is back in its room. Even a busy
/// machine needs only some seconds.
const CONVERGED: Duration = Duration::from_secs(30);

/// A user whose program is started again and again.
struct User<'a> {
    name: &'static str,
    tracker: SocketAddr,
    data: &'a Path,
    program: Option<Piped>,
    /// The messages of others in each run of the program: author, id, number, and whether it was late.
    received: Vec<Vec<(String, String, u64, bool)>>,
    sent: BTreeMap<String, u64>,
    ahead: usize,
    is_in_room: bool,
}

impl<'a> User<'a> {
    fn start(&mut self, register: bool) {
        self.program = Some(Piped::bot(self.tracker, self.data, self.name, register));
        self.received.push(Vec::new());
        (self.ahead, self.is_in_room) = (0, false);
    }

    fn new(name: &'static str, tracker: SocketAddr, data: &'a Path) -> Self {
        let mut user = Self {
            name,
            tracker,
            data,
            program: None,
            received: Vec::new(),
            sent: BTreeMap::new(),
            ahead: 0,
            is_in_room: false,
        };
        user.start(true);
        user
    }

    fn program(&mut self) -> &mut Piped {
        self.program.as_mut().unwrap()
    }

    /// Reads the output so far, and waits a little for more.
    fn listen(&mut self) {
        let mut wait = Duration::from_millis(5);
        while let Some(line) = self.program().next(wait) {
            self.note(&json(&line));
            wait = Duration::ZERO;
        }
    }

    fn note(&mut self, event: &Value) {
        let text = |field: &str| event[field].as_str().unwrap_or_default().to_owned();
        let number = || text("content").rsplit(' ').next().unwrap().parse().unwrap();
        match event["event"].as_str().unwrap() {
            "sent" => {
                self.sent.insert(text("id"), number());
                self.ahead = self.ahead.saturating_sub(1);
            }
            "message" => {
                let line = (text("from"), text("id"), number(), event["late"] == true);
                self.received.last_mut().unwrap().push(line);
            }
            "room_entered" => self.is_in_room = true,
            "error" | "undelivered" | "fork" => panic!("{}: {event}", self.name),
            _ => {}
        }
    }

    /// Kills the program and reads its output to the end, which may be half a line.
    fn kill(&mut self) {
        for line in self.program.take().unwrap().kill() {
            if let Ok(event) = serde_json::from_str(&line) {
                self.note(&event);
            }
        }
    }

    fn has(&self, id: &str) -> bool {
        self.sent.contains_key(id) || self.received.iter().flatten().any(|(_, received, ..)| received == id)
    }

    /// Checks that each message was shown once, except the last ones before a crash, and each author's in order.
    fn verdict(&self) -> Result<(), String> {
        let mut shown: Vec<&str> = Vec::new();
        for life in &self.received {
            let (earlier, again) = shown.split_at(shown.len().saturating_sub(LAST_BATCH));
            let (mut now, mut numbers) = (BTreeSet::new(), BTreeMap::new());
            for (from, id, number, late) in life {
                if !now.insert(id.as_str()) {
                    return Err(format!("{}: {id} of {from} was shown twice", self.name));
                }
                if let Some(at) = earlier.iter().position(|shown| shown == id) {
                    let since = earlier.len() - at + again.len();
                    return Err(format!(
                        "{}: {id} of {from} was shown again, {since} lines later",
                        self.name
                    ));
                }
                if !late && numbers.insert(from, number).is_some_and(|last| last >= number) {
                    return Err(format!("{}: {from} {number} was shown out of order", self.name));
                }
            }
            let new = life.iter().map(|(_, id, ..)| id.as_str()).filter(|id| !again.contains(id));
            let new: Vec<_> = new.collect();
            shown.extend(new);
        }
        Ok(())
    }
}

/// State of the disk after a crash. The control removes it.
#[derive(PartialEq)]
enum Disk {
    Stays,
    IsEmptied,
}

/// Lets all three talk, and kills one of them `kills` times, each time after a number of messages within `lines`.
async fn talk_and_kill(kills: usize, lines: Range<usize>, disk: Disk) -> Result<(), String> {
    let tracker = Tracker::start().await;
    let address = tracker.address;
    let talk = move || {
        let folders = NAMES.map(|_| tempfile::tempdir().unwrap());
        let mut users: Vec<_> = NAMES
            .iter()
            .zip(&folders)
            .map(|(name, folder)| User::new(name, address, folder.path()))
            .collect();
        users[0].program().line("/create sala");
        users[0].program().event("room_entered");
        for user in &mut users[1..] {
            user.program().line("/join sala");
            user.program().event("room_entered");
        }
        for (user, joining) in [(0, "bob"), (0, "carla"), (1, "carla")] {
            let joined = users[user].program().event("room_update");
            assert_eq!(joined["username"], joining);
        }
        users.iter_mut().for_each(|user| user.is_in_room = true);
        let mut written = 0;
        for _ in 0..kills {
            let victim = fastrand::usize(..users.len());
            talk_on(&mut users, &mut written, fastrand::usize(lines.clone()));
            users[victim].kill();
            if disk == Disk::IsEmptied {
                empty(users[victim].data);
            }
            users[victim].start(false);
        }
        settle(&mut users)?;
        if disk == Disk::IsEmptied {
            // A program that lost its history is sent everything again, and shows it again, after a while.
            let deadline = Instant::now() + PATIENCE;
            while users.iter().all(|user| user.verdict().is_ok()) && Instant::now() < deadline {
                users.iter_mut().for_each(User::listen);
            }
        }
        users.iter().try_for_each(User::verdict)
    };
    tokio::task::spawn_blocking(talk).await.unwrap()
}

/// Lets all users write until this number of further messages was sent.
fn talk_on(users: &mut [User<'_>], written: &mut u64, lines: usize) {
    let sent = |users: &[User<'_>]| users.iter().map(|user| user.sent.len()).sum::<usize>();
    let enough = sent(users) + lines;
    let deadline = Instant::now() + PATIENCE;
    while sent(users) < enough {
        assert!(Instant::now() < deadline, "nobody says anything any more");
        for user in users.iter_mut() {
            while user.is_in_room && user.ahead < AHEAD {
                *written += 1;
                let line = format!("{} {written}", user.name);
                user.program().line(&line);
                user.ahead += 1;
            }
            user.listen();
        }
    }
}

/// Waits until every user has all messages that any user has.
fn settle(users: &mut [User<'_>]) -> Result<(), String> {
    let mut deadline = Instant::now() + PATIENCE;
    let mut all_in = false;
    loop {
        users.iter_mut().for_each(User::listen);
        if !all_in && users.iter().all(|user| user.is_in_room) {
            all_in = true;
            deadline = Instant::now() + CONVERGED;
        }
        let received = users.iter().flat_map(|user| user.received.iter().flatten().map(|(_, id, ..)| id));
        let sent = users.iter().flat_map(|user| user.sent.keys());
        let ids: BTreeSet<_> = received.chain(sent).collect();
        // A message also counts as the author's own if the program was killed before it reported the message as sent.
        let lacks = |user: &User<'_>| {
            let of_mine = |id: &str| {
                users
                    .iter()
                    .flat_map(|user| user.received.iter().flatten())
                    .any(|(from, received, ..)| received == id && from == user.name)
            };
            ids.iter()
                .find(|id| !user.has(id) && !of_mine(id))
                .map(|id| format!("{} never got {id}", user.name))
        };
        let lacking = users.iter().find_map(lacks);
        let idle = users.iter().all(|user| user.ahead == 0);
        match lacking {
            None if all_in && idle => return Ok(()),
            lacking if Instant::now() > deadline => {
                return Err(lacking.unwrap_or_else(|| "a program takes no lines".into()));
            }
            _ => {}
        }
    }
}

/// Removes the history from a user's folder.
fn empty(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.path().is_dir() {
            empty(&entry.path());
        } else if entry.file_name().to_str().unwrap().starts_with("history.") {
            fs::remove_file(entry.path()).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn thirty_kills_lose_repeat_and_reorder_nothing() {
    talk_and_kill(30, 5..60, Disk::Stays).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes"]
async fn five_hundred_kills_lose_repeat_and_reorder_nothing() {
    talk_and_kill(500, 5..60, Disk::Stays).await.unwrap();
}

/// The control: programs whose disk forgets lose messages or show them again.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_forgets_is_found_out() {
    talk_and_kill(2, 3 * LAST_BATCH..3 * LAST_BATCH + 1, Disk::IsEmptied).await.unwrap_err();
}
