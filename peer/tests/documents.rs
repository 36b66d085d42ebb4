//! Tests of the documentation against the program.
//! They check the events of `docs/protocol.md` byte for byte against `--output json`, and the commands and flags of the
//! front page.

#![allow(clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::Path;

use clap::{Arg, Command, CommandFactory};
use commons::protocol::with_tracker::RequestId;
use peer::api::administration::{AdminAnswer, AdminEvent};
use peer::api::answer::Answer;
use peer::api::request::{Action, parse};
use peer::api::{Event, schema};
use peer::config::Config;
use peer::frontends::slash_commands::{self, COMMANDS};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

const PAGE: &str = include_str!("../../docs/protocol.md");

const FRONT_PAGE: &str = include_str!("../../README.md");

/// The lines of every block that opens with exactly these words. There is always at least one.
fn examples(words: &str) -> Vec<&'static str> {
    let opening = format!("```{words}");
    let mut lines = PAGE.lines();
    let mut found = Vec::new();
    while lines.by_ref().any(|line| line == opening) {
        found.extend(lines.by_ref().take_while(|line| *line != "```"));
    }
    assert!(!found.is_empty(), "no example of {words}");
    found
}

/// Reads a line and checks that the value is written as the same line.
fn read<T: Serialize + DeserializeOwned + Debug>(line: &str) -> T {
    let value: T = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    assert_eq!(serde_json::to_string(&value).ok().as_deref(), Some(line));
    value
}

/// Generates an exhaustive match that names every variant, and the list of those names.
macro_rules! variants {
    ($function:ident, $all:ident: $type:ty { $($pattern:pat => $name:literal),* $(,)? }) => {
        fn $function(value: &$type) -> &'static str {
            match value { $($pattern => $name),* }
        }
        const $all: &[&str] = &[$($name),*];
    };
}

variants!(event_name, EVENTS: Event {
    Event::ConversationStarted { .. } => "conversation_started",
    Event::ConversationEnded { .. } => "conversation_ended",
    Event::BlockChanged { .. } => "block_changed",
    Event::MuteChanged { .. } => "mute_changed",
    Event::ChatRequest { .. } => "chat_request",
    Event::ChatAccepted { .. } => "chat_accepted",
    Event::Presence { .. } => "presence",
    Event::KeyVerified { .. } => "key_verified",
    Event::HistoryErased { .. } => "history_erased",
    Event::MessageWithdrawn { .. } => "message_withdrawn",
    Event::Lagged => "lagged",
    Event::LoggedIn { .. } => "logged_in",
    Event::RoomEntered { .. } => "room_entered",
    Event::RoomAvailable { .. } => "room_available",
    Event::RoomUpdate { .. } => "room_update",
    Event::Invited { .. } => "invited",
    Event::RoomEntry(_) => "room_entry",
    Event::RoomLeft { .. } => "room_left",
    Event::RoomDeleted { .. } => "room_deleted",
    Event::Admin(AdminEvent::Announcement { .. }) => "announcement",
    Event::Admin(AdminEvent::RoomOwner { .. }) => "room_owner",
    Event::Link { .. } => "link",
    Event::KeyChanged { .. } => "key_changed",
    Event::KeyAccepted { .. } => "key_accepted",
    Event::NewKey { .. } => "new_key",
    Event::Message { .. } => "message",
    Event::Missed { .. } => "missed",
    Event::Fork { .. } => "fork",
    Event::PasswordWanted { .. } => "password_wanted",
    Event::Sent { .. } => "sent",
    Event::Delivered { .. } => "delivered",
    Event::Written { .. } => "written",
    Event::Undelivered { .. } => "undelivered",
    Event::Tracker { .. } => "tracker",
    Event::TrackerMoved { .. } => "tracker_moved",
    Event::Error { .. } => "error",
});

variants!(answer_name, ANSWERS: Answer {
    Answer::Muted { .. } => "muted",
    Answer::Room(_) => "room",
    Answer::Peers { .. } => "peers",
    Answer::Rooms { .. } => "rooms",
    Answer::Users { .. } => "users",
    Answer::Keys { .. } => "keys",
    Answer::LoggedIn { .. } => "logged_in",
    Answer::IdentityExported { .. } => "identity_exported",
    Answer::IdentityImported { .. } => "identity_imported",
    Answer::AccountDeleted => "account_deleted",
    Answer::Admin(AdminAnswer::Sessions { .. }) => "sessions",
    Answer::Admin(AdminAnswer::Bans { .. }) => "bans",
    Answer::SafetyNumber { .. } => "safety_number",
    Answer::WhoAmI { .. } => "who_am_i",
    Answer::Blocked { .. } => "blocked",
    Answer::History { .. } => "history",
    Answer::Found { .. } => "found",
    Answer::Conversations { .. } => "conversations",
    Answer::Receipts { .. } => "receipts",
    Answer::Outbox { .. } => "outbox",
    Answer::Filter { .. } => "filter",
    Answer::Withdrawn { .. } => "withdrawn",
    Answer::Exported { .. } => "exported",
    Answer::Forgotten { .. } => "forgotten",
    // These answers are printed only with JSON input: see the replies.
    Answer::Done => "done",
    Answer::Quit { .. } => "quit",
});

#[test]
fn every_event_is_printed_as_it_is_shown() {
    let seen: BTreeSet<_> = examples("json event").into_iter().map(|line| event_name(&read(line))).collect();
    assert_eq!(seen, EVENTS.iter().copied().collect());
}

#[test]
fn every_answer_is_printed_as_it_is_shown() {
    let seen: BTreeSet<_> =
        examples("json answer").into_iter().map(|line| answer_name(&read(line))).collect();
    assert_eq!(seen, ANSWERS.iter().copied().filter(|name| !["done", "quit"].contains(name)).collect());
}

#[test]
fn every_command_is_read_as_it_is_shown() {
    let command = |line: &str| {
        let request = parse(line).unwrap_or_else(|refused| panic!("{line}: {refused}"));
        if let Action::Run(command) = request.action {
            // A written command can be read again.
            let written = serde_json::to_string(&command).unwrap_or_default();
            assert!(parse(&written).is_ok_and(|again| again.action == Action::Run(command)), "{line}");
        }
        serde_json::from_str::<Value>(line).ok()?["command"].as_str().map(ToOwned::to_owned)
    };
    let seen: BTreeSet<_> = examples("json request").into_iter().filter_map(command).collect();
    assert_eq!(seen, schema::COMMANDS.iter().map(|schema| schema.name.to_owned()).collect());
}

/// An event or an answer, followed by the id of its request.
#[derive(Debug, Serialize, Deserialize)]
struct Reply<T> {
    #[serde(flatten)]
    reported: T,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    in_reply_to: Option<RequestId>,
}

#[test]
fn every_reply_is_printed_as_it_is_shown() {
    for line in examples("json reply") {
        let is_answer = serde_json::from_str::<Reply<Answer>>(line).is_ok();
        if is_answer { drop(read::<Reply<Answer>>(line)) } else { drop(read::<Reply<Event>>(line)) }
    }
}

#[test]
fn the_front_page_names_every_command_and_no_other() {
    let typed =
        FRONT_PAGE.split('`').skip(1).step_by(2).filter(|text| text.starts_with('/') && !text.contains("//"));
    // The paths of the tracker's status page are no commands.
    let paths = ["/metrics", "/healthz", "/readyz"];
    let named = typed.filter_map(|text| text.split(' ').next()).filter(|name| !paths.contains(name));
    let named: BTreeSet<_> = named.collect();
    let known =
        COMMANDS.iter().flat_map(|spec| std::iter::once(spec.name).chain(spec.aliases.iter().copied()));
    // Each action of /room is also a command of its own.
    let actions =
        ["/invite", "/uninvite", "/kick", "/ban", "/unban", "/give", "/successor", "/topic", "/policy"];
    assert!(actions.iter().all(|action| slash_commands::parse(&format!("{action} open"), true).is_ok()));
    assert_eq!(named, known.chain(actions).collect());
}

#[test]
fn the_front_page_names_no_flag_that_does_not_exist() {
    let parser = Config::command();
    let commands = std::iter::once(&parser).chain(parser.get_subcommands());
    let mut known: Vec<_> = commands.flat_map(Command::get_arguments).filter_map(Arg::get_long).collect();
    // The page also names flags of cargo and of the tracker, which has its own parser.
    known.extend(["release", "example", "workspace", "help"]);
    known.extend(["data", "listen", "max-per-network", "max-new-per-network", "limit-loopback"]);
    known.extend(["config", "log-dir", "monitor", "status"]);
    for word in FRONT_PAGE.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')) {
        let Some(flag) = word.strip_prefix("--").filter(|flag| !flag.is_empty() && !flag.starts_with('-'))
        else {
            continue;
        };
        assert!(known.contains(&flag), "--{flag} is no flag");
    }
}

/// Returns the tests that a page names as `FILE::TEST`.
fn named_tests(page: &str) -> Vec<(&str, &str)> {
    page.split('`').filter_map(|code| code.split_once("::")).collect()
}

#[test]
fn pages_name_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let exists = |file: &str, test: &str| {
        let source = std::fs::read_to_string(root.join(file)).unwrap_or_default();
        source.contains(&format!("fn {test}(")) || source.contains(&format!("it(\"{test}\""))
    };
    let named = named_tests(include_str!("../../docs/seeds.md"));
    assert!(named.len() > 80, "{}", named.len());
    let missing: Vec<_> = named.iter().filter(|(file, test)| !exists(file, test)).collect();
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(!exists("peer/tests/documents.rs", "no_such_test"), "control");
}
