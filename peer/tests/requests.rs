//! Tests of JSON commands: one object per line, one answer each, and text that is never read as a command.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
mod programs;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::thread;

use common::Tracker;
use peer::limits::LINE_MAX;
use programs::{Piped, flags, json, limit_files};
use serde_json::{Value, json};

const PASSWORD: &str = "correct horse";

/// Starts a user who signs in, gives commands as JSON and reads JSON.
fn program(tracker: SocketAddr, data: &Path, name: &str, more: &[&str]) -> Piped {
    let mut flags = flags(tracker, data);
    flags.extend(["--username", name, "--input", "json"].map(Into::into));
    flags.extend(more.iter().copied().map(Into::into));
    Piped::start(&flags, Some(PASSWORD))
}

fn registered(tracker: SocketAddr, data: &Path, name: &str) -> Piped {
    program(tracker, data, name, &["--register"])
}

impl Piped {
    fn request(&mut self, request: &Value) {
        self.line(&request.to_string());
    }

    /// Sends a request and reads to its answer.
    fn ask(&mut self, request: &Value) -> Value {
        self.request(request);
        let id = &request["id"];
        let line = self.until(|line| json(line)["in_reply_to"] == *id);
        json(&line)
    }
}

/// The answers in the output: the id of the request and the event.
fn answers(output: &[String]) -> Vec<(Value, String)> {
    let events = output.iter().map(|line| json(line));
    let replies = events.filter(|event| event.get("in_reply_to").is_some());
    replies.map(|event| (event["in_reply_to"].clone(), event["event"].as_str().unwrap().to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_command_has_exactly_one_answer_with_its_id() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut ana = registered(tracker.address, data.path(), "ana");
    let requests = [
        (json!({"command": "create", "room": "sala"}), "done"),
        (json!({"command": "say", "text": "one"}), "sent"),
        (json!({"command": "say", "text": "two", "conversation": {"room": "sala"}}), "sent"),
        (json!({"command": "peers"}), "peers"),
        (json!({"command": "rooms"}), "rooms"),
        (json!({"command": "users"}), "users"),
        (json!({"command": "whoami"}), "who_am_i"),
        (json!({"command": "keys"}), "keys"),
        (json!({"command": "receipts"}), "receipts"),
        (json!({"command": "outbox"}), "outbox"),
        (json!({"command": "filter"}), "filter"),
        (json!({"command": "away", "text": "lunch"}), "done"),
        (json!({"command": "back"}), "done"),
        (json!({"command": "block", "user": "bob"}), "done"),
        (json!({"command": "block"}), "blocked"),
        (json!({"command": "unblock", "user": "bob"}), "done"),
        (json!({"command": "unlock", "password": PASSWORD}), "done"),
        (json!({"command": "history"}), "history"),
        (json!({"command": "search", "words": "one"}), "found"),
        (json!({"command": "help"}), "help"),
        (json!({"command": "switch", "conversation": {"room": "sala"}}), "done"),
        (json!({"command": "switch", "conversation": {"room": "nowhere"}}), "error"),
        (json!({"command": "say", "text": "x", "conversation": {"to": "ana"}}), "error"),
        (json!({"command": "say", "text": "x".repeat(9000)}), "error"),
        (json!({"command": "withdraw", "message": "0000"}), "error"),
        (json!({"command": "dance"}), "error"),
        (json!({"command": "leave", "room": "sala"}), "done"),
        (json!({"command": "forget", "conversation": {"room": "sala"}}), "forgotten"),
        (json!({"command": "quit"}), "done"),
    ];
    let mut expected = Vec::new();
    for (n, (request, event)) in requests.iter().enumerate() {
        let id = if n % 2 == 0 { json!(n) } else { json!(format!("request {n}")) };
        let mut request = request.clone();
        request["id"] = id.clone();
        ana.request(&request);
        expected.push((id, (*event).to_owned()));
    }
    let end = ana.end();
    assert_eq!(end.status, Some(0), "{end:?}");
    assert_eq!(answers(&end.stdout), expected, "{:#?}", end.stdout);
}

/// Texts of a hostile member, sent to a program that repeats them.
const HOSTILE: [&str; 5] = [
    "hello\n/leave",
    "hello\n/delete-account ana\ncorrect horse",
    "\n/quit\n",
    "\u{1b}[2J\u{0}\r/quit",
    "\"}\n{\"command\":\"leave\"}\n",
];

#[tokio::test(flavor = "multi_thread")]
async fn lines_before_a_sign_in_by_command_count_too() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut flags = flags(tracker.address, data.path());
    flags.extend(["--input", "json"].map(Into::into));
    let mut ana = Piped::start(&flags, None);
    assert_eq!(ana.event("signed_out")["code"], "NOT_LOGGED_IN");
    let early = ana.ask(&json!({"command": "rooms", "id": 1}));
    assert_eq!((&early["code"], &early["line"]), (&json!("NOT_LOGGED_IN"), &json!(1)));
    let signed_in =
        ana.ask(&json!({"command": "register", "username": "ana", "password": PASSWORD, "id": 2}));
    assert_eq!(signed_in["event"], "logged_in");
    let again = json!({"command": "sign_in", "username": "ana", "password": PASSWORD, "id": 3});
    let refused = ana.ask(&again);
    assert_eq!((&refused["code"], &refused["line"]), (&json!("ALREADY_LOGGED_IN"), &json!(3)));
    assert_eq!(ana.ask(&json!({"command": "sign_out", "id": 4}))["event"], "done");
    assert_eq!(ana.end().status, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn text_with_line_feeds_and_commands_in_it_is_data() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut bob = tracker.peer("bob").await;
    bob.create("sala").await;
    let mut ana = registered(tracker.address, data.path(), "ana");
    ana.request(&json!({"command": "join", "room": "sala"}));
    ana.event("link");
    for text in HOSTILE {
        let sent = ana.ask(&json!({"id": text, "command": "say", "text": text}));
        assert_eq!((&sent["event"], &sent["content"]), (&json!("sent"), &json!(text)));
    }
    assert_eq!(bob.next_messages(HOSTILE.len()).await, HOSTILE);
    let whoami = ana.ask(&json!({"id": 1, "command": "whoami"}));
    assert_eq!(whoami["status"]["open"], json!({"room": "sala"}), "still there");
}

#[tokio::test(flavor = "multi_thread")]
async fn control_the_same_text_as_lines_is_carried_out() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut ana = Piped::bot(tracker.address, data.path(), "ana", true);
    ana.line("/create sala");
    ana.line(HOSTILE[0]);
    assert_eq!(ana.event("room_left")["room"], "sala");
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_request_is_refused_by_its_line_number() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut ana = registered(tracker.address, data.path(), "ana");
    ana.write(b"canary\n\n\xff\xfe\n");
    ana.write(&[b'x'; LINE_MAX * 2]);
    ana.write(b"\n[]\n{\"id\":5,\"command\":\"say\",\"txet\":\"canary\"}\n{\"id\":6,\"command\":\"join\",\"room\":\"nowhere\"}\n");
    ana.request(&json!({"id": 7, "command": "quit"}));
    let end = ana.end();
    assert_eq!(end.status, Some(0), "{end:?}");
    let events: Vec<_> = end.stdout.iter().map(|line| json(line)).collect();
    let errors = events.iter().filter(|event| event["event"] == "error");
    let refused: Vec<_> =
        errors.map(|error| json!([error["line"], error["code"], error["in_reply_to"]])).collect();
    let expected = [
        json!([1, "USAGE", null]),
        json!([3, "USAGE", null]),
        json!([4, "USAGE", null]),
        json!([5, "USAGE", null]),
        json!([6, "USAGE", 5]),
        json!([7, "ROOM_NOT_FOUND", 6]),
    ];
    assert_eq!(refused, expected);
    assert!(!end.stdout.concat().contains("canary"), "{:#?}", end.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_in_opens_the_history_and_a_wrong_field_counts() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut ana = registered(tracker.address, data.path(), "ana");
    ana.ask(&json!({"id": 1, "command": "create", "room": "sala"}));
    ana.ask(&json!({"id": 2, "command": "say", "text": "said here"}));
    let open = ana.ask(&json!({"id": 3, "command": "history"}));
    assert_eq!(open["lines"][0]["content"], "said here");
    assert_eq!(ana.ask(&json!({"id": 4, "command": "rooms"}))["event"], "rooms");
    let wrong = ana.ask(&json!({"id": 5, "command": "history", "password": "wrong"}));
    assert_eq!(wrong, json!({"event": "password_wanted", "tries_left": 2, "in_reply_to": 5}));
    // The next line is an ordinary command.
    assert_eq!(ana.ask(&json!({"id": 8, "command": "rooms"}))["event"], "rooms");
    let shown = ana.ask(&json!({"id": 6, "command": "history", "password": PASSWORD}));
    assert_eq!(shown["lines"][0]["content"], "said here");
    assert_eq!(ana.ask(&json!({"id": 7, "command": "history", "lines": 1}))["event"], "history");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_wait_until_the_sign_in_has_ended() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    // Nobody answers at this port until all requests are sent.
    let before = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut ana = registered(before.local_addr().unwrap(), data.path(), "ana");
    ana.request(&json!({"id": 1, "command": "create", "room": "sala"}));
    ana.request(&json!({"id": 2, "command": "say", "text": "early"}));
    let address = tracker.address;
    thread::spawn(move || {
        for near in before.incoming().map_while(Result::ok) {
            let far = TcpStream::connect(address).unwrap();
            for (mut from, mut to) in [(&near, &far), (&far, &near)]
                .map(|(a, b)| (a.try_clone(), b.try_clone()))
                .map(|(a, b)| (a.unwrap(), b.unwrap()))
            {
                thread::spawn(move || std::io::copy(&mut from, &mut to));
            }
        }
    });
    let sent = ana.until(|line| json(line)["in_reply_to"] == 2);
    assert_eq!(json(&sent)["event"], "sent");
    let before: Vec<_> =
        ana.passed().into_iter().map(|line| json(line)["event"].as_str().unwrap().to_owned()).collect();
    assert_eq!(before, ["tracker", "logged_in", "room_entered", "done"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_the_disk_refuses_is_answered_by_an_error() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut ana = Piped::bot_with_a_small_disk_and(tracker.address, data.path(), "ana", &["--input", "json"]);
    ana.ask(&json!({"id": 1, "command": "create", "room": "sala"}));
    limit_files(ana.id(), Some(1));
    let refused = ana.ask(&json!({"id": "lost", "command": "say", "text": "no room for this"}));
    assert_eq!(
        (&refused["event"], &refused["code"], &refused["line"]),
        (&json!("error"), &json!("STORAGE"), &json!(2))
    );
    limit_files(ana.id(), None);
    assert_eq!(ana.ask(&json!({"id": 3, "command": "say", "text": "there is room"}))["event"], "sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn refusal_names_the_line_number_and_not_the_text() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut ana = Piped::bot(tracker.address, data.path(), "ana", true);
    ana.write(b"/create sala\n\nhello\n/join canary\n/canary\n\xff\n/leave\n/leave\n");
    ana.close_input();
    let end = ana.end();
    assert_eq!(end.status, Some(0), "without the flag the status stays: {end:?}");
    let events: Vec<_> = end.stdout.iter().map(|line| json(line)).collect();
    let numbers: Vec<_> =
        events.iter().filter(|event| event["event"] == "error").map(|error| &error["line"]).collect();
    assert_eq!(numbers, [4, 5, 6, 8]);
    assert!(events.iter().all(|event| event["event"] == "error" || event.get("line").is_none()));
    assert!(events.iter().all(|event| event["event"] != "done"), "lines are answered by events");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_ends_with_status_three_where_that_is_asked_for() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let run = |flags: &[&str], input: &str| {
        let mut ana = program(tracker.address, data.path(), "ana", flags);
        ana.line(input);
        ana.close_input();
        ana.end()
    };
    let (good, bad) = (r#"{"id":1,"command":"rooms"}"#, r#"{"command":"join","room":"nowhere"}"#);
    let end = run(&["--register", "--fail-on-error"], good);
    assert_eq!(end.status, Some(0));
    assert_eq!(answers(&end.stdout), [(json!(1), "rooms".to_owned())], "the end of the input is no command");
    assert_eq!(run(&[], bad).status, Some(0));
    let end = run(&["--fail-on-error"], bad);
    assert_eq!((end.status, end.stderr.len()), (Some(3), 1), "{end:?}");
    let mut arguments = flags(tracker.address, data.path());
    arguments.extend(["--username", "ana", "--fail-on-error"].map(Into::into));
    let mut ana = Piped::start(&arguments, Some(PASSWORD));
    ana.line("/join nowhere");
    ana.close_input();
    assert_eq!(ana.end().status, Some(3), "also where people read");
}

#[tokio::test(flavor = "multi_thread")]
async fn json_input_goes_with_json_output_only() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let end = program(tracker.address, data.path(), "ana", &["--output", "text"]).end();
    assert_eq!(end.status, Some(2), "{end:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_password_counts_after_the_third_wrong_one() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut ana = registered(tracker.address, data.path(), "ana");
    let delete = |id: u8, password: &str| {
        json!({"id": id, "command": "delete_account", "password": password}).to_string()
    };
    let wrong = (1..=3).map(|id| delete(id, "wrong wrong"));
    let behind = [r#"{"id":5,"command":"create","room":"sala"}"#, r#"{"id":6,"command":"quit"}"#];
    let behind = behind.map(str::to_owned);
    let all: Vec<_> = wrong.chain([delete(4, PASSWORD)]).chain(behind.clone()).collect();
    ana.line(&all.join("\n"));
    ana.close_input();
    let end = ana.end();
    assert_eq!(end.status, Some(1), "{end:?}");
    let ids: Vec<_> = answers(&end.stdout).into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, [1, 2, 3], "what stands behind is not read: {end:?}");
    // The control: the account still exists, and the same commands are carried out.
    let mut ana = program(tracker.address, data.path(), "ana", &[]);
    ana.line(&behind.join("\n"));
    assert_eq!(json(&ana.until(|line| json(line)["in_reply_to"] == 5))["event"], "done");
    assert_eq!(ana.end().status, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_input_is_read_after_the_third_wrong_password() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut ana = Piped::bot(tracker.address, data.path(), "ana", true);
    ana.event("logged_in");
    ana.line("/history\nwrong wrong\nwrong wrong\nwrong wrong\n/create sala\n/quit");
    ana.close_input();
    let end = ana.end();
    assert_eq!(end.status, Some(1), "{end:?}");
    let mut ana = Piped::bot(tracker.address, data.path(), "ana", false);
    ana.event("logged_in");
    ana.line("/rooms");
    assert_eq!(ana.event("rooms")["rooms"], json!([]), "none was made");
    // The control: with the right password the rest of the input is read.
    ana.line(&format!("/history\n{}\n/create sala\n/quit", programs::PASSWORD));
    ana.event("room_entered");
    assert_eq!(ana.end().status, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_before_the_tracker_answers_are_carried_out() {
    let mut tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut ana = registered(tracker.address, data.path(), "ana");
    ana.ask(&json!({"id": 1, "command": "create", "room": "sala"}));
    ana.ask(&json!({"id": 2, "command": "say", "text": "before"}));
    ana.request(&json!({"command": "quit"}));
    assert_eq!(ana.end().status, Some(0));
    tracker.down().await;

    let mut ana = program(tracker.address, data.path(), "ana", &[]);
    let history = ana.ask(&json!({"id": 3, "command": "history"}));
    assert_eq!((&history["event"], &history["lines"][0]["content"]), (&json!("history"), &json!("before")));
    assert_eq!(ana.ask(&json!({"id": 4, "command": "say", "text": "meanwhile"}))["event"], "sent");
    let refused = ana.ask(&json!({"id": 5, "command": "rooms"}));
    assert_eq!((&refused["event"], &refused["code"]), (&json!("error"), &json!("TRACKER_LOST")));
    let states: Vec<_> = ana.passed().iter().map(|line| json(line)["event"].clone()).collect();
    assert!(states.contains(&json!("room_entered")) && !states.contains(&json!("logged_in")), "{states:?}");
    tracker.up().await;
    assert_eq!(ana.event("logged_in")["username"], "ana");
    assert_eq!(ana.ask(&json!({"id": 6, "command": "rooms"}))["event"], "rooms");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_old_password_counts_among_the_tries() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut ana = registered(tracker.address, data.path(), "ana");
    let change =
        |id: u8, old: &str| json!({"id": id, "command": "password", "old": old, "new": "another one"});
    for id in 1..=2 {
        assert_eq!(ana.ask(&change(id, "wrong wrong"))["code"], "INVALID_CREDENTIALS");
    }
    assert_eq!(ana.ask(&change(3, "wrong wrong"))["code"], "TOO_MANY_ATTEMPTS");
    let end = ana.end();
    assert_eq!(end.status, Some(1), "{end:?}");
    // The controls: nothing was changed, and the right password is accepted.
    let mut ana = program(tracker.address, data.path(), "ana", &[]);
    assert_eq!(ana.ask(&change(1, "wrong wrong"))["code"], "INVALID_CREDENTIALS");
    assert_eq!(ana.ask(&change(2, PASSWORD))["event"], "done");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_names_the_command_that_json_has() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut ana = registered(tracker.address, data.path(), "ana");
    let refused = ana.ask(&json!({"id": 1, "command": "say", "text": "x"}));
    assert_eq!(refused["code"], "NO_CONVERSATION");
    assert_eq!(
        refused["message"],
        "No conversation is open. \"join\" a room, or open a chat with \"say\" USER."
    );
    // The control: a program with line input gets the line command in its hint.
    let mut bob = Piped::bot(tracker.address, data.path(), "bob", true);
    bob.line("x");
    let message = bob.event("error")["message"].as_str().unwrap().to_owned();
    assert!(message.contains("/join a room"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_stands_twice_is_refused() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut ana = registered(tracker.address, data.path(), "ana");
    assert_eq!(ana.ask(&json!({"id": 1, "command": "create", "room": "sala"}))["event"], "done");
    ana.line(r#"{"id":2,"command":"say","text":"one","text":"two"}"#);
    let refused = json(&ana.until(|line| json(line)["in_reply_to"] == 2));
    assert_eq!((&refused["event"], &refused["code"]), (&json!("error"), &json!("USAGE")));
    assert_eq!(ana.ask(&json!({"id": 3, "command": "say", "text": "two"}))["event"], "sent", "the control");
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_input_without_a_password_is_wrong_usage() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut flags = flags(tracker.address, data.path());
    flags.extend(["--username", "ana", "--input", "json"].map(Into::into));
    let mut ana = Piped::start(&flags, None);
    ana.close_input();
    let end = ana.end();
    assert_eq!(end.status, Some(2), "{end:?}");
    assert!(end.stderr.iter().any(|line| line.contains("--password-file")), "{end:?}");
    // The control: a command was given.
    let mut ana = Piped::start(&flags, None);
    assert_eq!(ana.ask(&json!({"command": "help", "id": 1}))["event"], "help");
    ana.close_input();
    assert_eq!(ana.end().status, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_in_by_command_brings_the_rooms_and_the_tracker() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut ana = registered(tracker.address, data.path(), "ana");
    ana.ask(&json!({"command": "create", "room": "sala", "id": 1}));
    ana.close_input();
    assert_eq!(ana.end().status, Some(0));
    let mut flags = flags(tracker.address, data.path());
    flags.extend(["--input", "json"].map(Into::into));
    let mut ana = Piped::start(&flags, None);
    let signed_in = json!({"command": "sign_in", "username": "ana", "password": PASSWORD, "id": 1});
    assert_eq!(ana.ask(&signed_in)["event"], "logged_in");
    assert_eq!(ana.event("tracker")["state"], "connected");
    assert_eq!(ana.event("room_entered")["room"]["name"], "sala");
}

#[tokio::test(flavor = "multi_thread")]
async fn request_with_half_a_character_is_refused_with_its_id() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut ana = registered(tracker.address, data.path(), "ana");
    ana.line(r#"{"command":"say","text":"\ud800","id":"half"}"#);
    let refused = ana.event("error");
    assert_eq!((&refused["code"], &refused["in_reply_to"]), (&json!("USAGE"), &json!("half")));
    ana.line(r#"{"command":"say","text":"\ud800","id":"half"#);
    let refused = ana.event("error");
    assert_eq!((&refused["code"], refused.get("in_reply_to")), (&json!("USAGE"), None), "the control");
}

#[tokio::test(flavor = "multi_thread")]
async fn end_by_an_admin_is_an_end_with_status_one() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    // The first account of a tracker is an admin.
    let mut ana = registered(tracker.address, data.path(), "ana");
    ana.event("logged_in");
    let mut bob = registered(tracker.address, data.path(), "bob");
    bob.event("logged_in");
    let kicked = ana.ask(&json!({"command": "admin_kick", "user": "bob", "id": 1}));
    assert_eq!(kicked["event"], "done");
    assert_eq!(bob.end().status, Some(1));
}
