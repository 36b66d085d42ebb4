//! Five hundred hostile strings in a pseudo-terminal, as text of other users and of a tracker.
//! Nothing may steer the terminal, hide, or look like another user's row. The control prints them unchanged, which
//! damages the screen.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
#[path = "hostile_text/mod.rs"]
mod corpus;
mod programs;

use std::collections::BTreeSet;

use common::{Peer, Tracker};
use commons::keys::Seed;
use commons::limits::FRAME_MAX;
use commons::names::{NameError, RoomName};
use commons::net::connection::Connection;
use commons::net::socket::Listener;
use commons::net::tls::{Identity, Purpose};
use corpus::{Area, Picture, judge, strings};
use peer::api::Event;
use peer::limits::OFFERED_MAX;
use programs::Screen;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

const COLUMNS: u16 = 80;

/// Width of `[HH:MM:SS] <bob> ` in columns.
const HEAD: usize = 17;

/// Whether a row belongs to a message of bob: it begins with time and name, or is indented below them.
fn is_bobs(row: &str) -> bool {
    is_head(row) || row.chars().take(HEAD).all(|c| c == ' ')
}

fn is_head(row: &str) -> bool {
    let shape: String =
        row.chars().take(HEAD - 1).map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    shape.trim_end() == "[00:00:00] <bob>"
}

const BOBS: Area<'static> = Area { own: &is_bobs, text_from: Some(17) };

/// Starts zoe at a screen with a draft in the input, and bob in the same room.
async fn scene() -> (Tracker, TempDir, Screen, Peer) {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut bob = tracker.peer("bob").await;
    bob.create("sala").await;
    let mut zoe = Screen::user(tracker.address, data.path(), "zoe", 24, COLUMNS);
    zoe.line("/join sala");
    zoe.shows("sala · ● bob");
    bob.until(|event| matches!(event, Event::RoomUpdate { .. })).await;
    bob.linked("zoe").await;
    zoe.keys("draft");
    zoe.ends_with(&["sala · ● bob", "> draft"]);
    (tracker, data, zoe, bob)
}

#[tokio::test(flavor = "multi_thread")]
async fn text_of_others_stays_in_its_place() {
    let (_tracker, _data, mut zoe, bob) = scene().await;
    let before = zoe.bytes();
    let strings = strings();
    assert!(strings.len() >= 500);
    for (_, text) in &strings {
        bob.say(text).await;
    }
    bob.say("the end").await;
    zoe.shows("<bob> the end");
    zoe.ends_with(&["sala · ● bob", "> draft"]);
    let wrong = judge(&Picture::of(&before, COLUMNS), &Picture::of(&zoe.bytes(), COLUMNS), &BOBS);
    assert!(wrong.is_empty(), "{wrong:#?}");
    // The program still works as before.
    zoe.keys(" goes on\r");
    zoe.shows("<zoe> draft goes on");
}

/// A malicious tracker: its lists are full of hostile names, and it refuses `/join N` with the Nth string. After the
/// last string it ends the session. The next login makes the user a member of every room with a hostile name.
struct Liar {
    strings: Vec<String>,
    rooms: Vec<RoomName>,
}

impl Liar {
    fn new() -> Self {
        let mut strings: Vec<_> = strings().into_iter().map(|(_, text)| text).collect();
        let short = strings.iter().map(|text| text.chars().take(64).collect::<String>());
        let rooms: BTreeSet<_> = short.filter_map(|text| RoomName::parse(text.trim()).ok()).collect();
        strings.push("that was all".to_owned());
        Self { strings, rooms: rooms.into_iter().chain(RoomName::parse("plain")).collect() }
    }

    async fn serve(&self, listener: Listener) {
        let seed = Seed::random().unwrap();
        let identity = Identity::new(&seed, Purpose::Session).unwrap();
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let Ok(socket) = socket.accept_encrypted(&identity).await else { continue };
            let mut session = Connection::new(socket, FRAME_MAX);
            while let Ok(Some(frame)) = session.recv().await {
                let request: Map<String, Value> = frame.parse_owned().unwrap();
                let Some(mut reply) = self.reply(&request) else { break };
                reply["id"] = request["id"].clone();
                session.send(&reply).await.unwrap();
            }
        }
    }

    /// The reply, or `None` if the session ends instead.
    fn reply(&self, request: &Map<String, Value>) -> Option<Value> {
        let after = request.get("after").and_then(Value::as_str);
        let rooms = || self.rooms.iter().map(RoomName::as_str);
        Some(match request["cmd"].as_str().unwrap() {
            "LIST_PEERS" => page("peers", self.strings.iter().map(String::as_str), after, |name| {
                json!({"username": name, "address": null, "port": null, "connected": true, "last_ping": null,
                       "room": name})
            }),
            "LIST_ROOMS" => page("rooms", rooms(), after, room),
            "JOIN_ROOM" => {
                let msg = self.strings.get(request["room"].as_str().unwrap().parse::<usize>().unwrap())?;
                json!({"status": "ERROR", "code": "BUSY", "msg": msg})
            }
            "LOGIN" => {
                let rooms: Map<_, _> = rooms().map(|name| (name.to_owned(), room(name))).collect();
                json!({"status": "OK", "msg": "yes", "rooms": rooms})
            }
            _ => json!({"status": "OK", "msg": "yes"}),
        })
    }
}

fn room(name: &str) -> Value {
    json!({"id": uuid::Uuid::now_v7(), "name": name, "revision": 1, "capacity": 3, "owner": "bob",
           "members": [{"username": "bob", "connected": false, "since": 1},
                       {"username": "zoe", "connected": true, "since": 1}],
           "peer_owner": null, "peer_one": null, "peer_two": null})
}

/// One page of a list, sorted by name.
fn page<'a>(
    list: &str,
    names: impl Iterator<Item = &'a str>,
    after: Option<&str>,
    entry: impl Fn(&str) -> Value,
) -> Value {
    let names: BTreeSet<_> = names.filter(|name| name.len() < 4096).collect();
    let left: Vec<_> = names.into_iter().filter(|name| after.is_none_or(|after| *name > after)).collect();
    let listed: Map<_, _> = left.iter().take(8).map(|name| ((*name).to_owned(), entry(name))).collect();
    json!({"status": "OK", "msg": "here", list: listed, "more": left.len() > 8})
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_tracker_text_stays_in_its_row() {
    let liar = Liar::new();
    // Rooms are offered in order of their names, as many as OFFERED_MAX, and none that looks like a command or a chat.
    let mut names: Vec<_> = liar.rooms.iter().map(RoomName::as_str).collect();
    names.sort_unstable();
    names.retain(|name| !matches!(RoomName::parse_new(name), Err(NameError::Sigil(..))));
    names.truncate(OFFERED_MAX);
    let (errors, rooms) = (liar.strings.len(), names.len());
    assert!(rooms > 50, "{rooms}");
    // The last name may be wrapped, but not within its last two characters.
    let last = names.last().unwrap();
    let last: String = last.chars().skip(last.chars().count().saturating_sub(2)).collect();
    let listener = Listener::bind("127.0.0.1:0").await.unwrap();
    let tracker = listener.local_addr().unwrap();
    tokio::spawn(async move { liar.serve(listener).await });
    let data = tempfile::tempdir().unwrap();
    // The first screen already shows names.
    let mut zoe = Screen::user(tracker, data.path(), "zoe", 24, COLUMNS);
    zoe.ends_with(&["lobby", ">"]);
    let judged = |before: &[u8], after: &[u8]| {
        let (before, after) = (Picture::of(before, COLUMNS), Picture::of(after, COLUMNS));
        let wrong = judge(&before, &after, &Area { own: &is_ours, text_from: None });
        assert!(wrong.is_empty(), "{wrong:#?}");
        assert!(before.texts().iter().all(|row| !row.starts_with('[')), "{:#?}", before.texts());
        after.texts()
    };

    let before = zoe.bytes();
    zoe.line("/peers");
    zoe.line("/rooms");
    (0..errors).for_each(|n| zoe.line(&format!("/join {n}")));
    zoe.shows("✗ that was all");
    zoe.ends_with(&["lobby", ">"]);
    let shown = judged(&before, &zoe.bytes());
    let failures = shown.iter().filter(|row| row.starts_with('✗')).count();
    assert_eq!(failures, errors);

    let before = zoe.bytes();
    zoe.line(&format!("/join {errors}"));
    zoe.shows(&format!("{last} enters it"));
    zoe.line("/nothing");
    zoe.shows("there is no /nothing");
    zoe.ends_with(&["lobby", ">"]);
    let shown = judged(&before, &zoe.bytes());
    let offers = shown.iter().filter(|row| row.starts_with(OFFER)).count();
    assert_eq!(offers, rooms);
}

/// Beginning of the row that offers a room of which the tracker says that the user is a member.
const OFFER: &str = "*** you have a seat in";

/// Whether a row begins as one of the program's own rows does in this test.
fn is_ours(row: &str) -> bool {
    let typed = row
        .strip_prefix("> /")
        .is_some_and(|line| line.chars().all(|c| c.is_ascii_alphanumeric() || c == ' '));
    let counted =
        |what| row.strip_suffix(what).is_some_and(|count: &str| count.chars().all(|c| c.is_ascii_digit()));
    let starts = ["✗", "  ", OFFER, "*** the tracker "];
    row.is_empty()
        || typed
        || counted(" online")
        || counted(" rooms")
        || starts.iter().any(|start| row.starts_with(start))
}

/// The control: text that a careless program prints unchanged damages the screen.
#[test]
fn printed_as_it_came_it_does_not() {
    let before = b"Welcome, zoe.\r\n\x1b[?2004hsala \xc2\xb7 \xe2\x97\x8f bob\r\n> draft".to_vec();
    let careless = |text: &str| {
        let mut bytes = before.clone();
        let text = text.replace('\n', "\r\n");
        bytes.extend(format!("\r\x1b[A\x1b[J[12:00:00] <bob> {text}\r\nsala · ● bob\r\n> draft").as_bytes());
        judge(&Picture::sized(&before, 120, COLUMNS), &Picture::sized(&bytes, 120, COLUMNS), &BOBS)
    };
    assert_eq!(careless("what people write, olá"), Vec::<String>::new());
    let strings = strings();
    let harmful: Vec<_> = strings.iter().filter(|(_, text)| !careless(text).is_empty()).collect();
    // An emulator shows less than a terminal does, so it cannot detect some of the damage.
    assert!(harmful.len() * 5 > strings.len() * 4, "{} of {}", harmful.len(), strings.len());
    let families = |strings: &mut dyn Iterator<Item = &(&'static str, String)>| {
        strings.map(|(family, _)| *family).collect::<BTreeSet<_>>()
    };
    assert_eq!(families(&mut strings.iter()), families(&mut harmful.into_iter()));
}
