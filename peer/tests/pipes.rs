//! Tests of the program behind pipes: bots, scripts and exit statuses.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
mod programs;

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use common::Tracker;
use peer::limits::LINE_MAX;
use programs::{PASSWORD, Piped, end_of, flags, json, signal};
use rustix::process::Signal;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn two_bots_exchange_messages_in_json() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut ana = Piped::bot(tracker.address, data.path(), "ana", true);
    assert_eq!(ana.event("logged_in"), json!({"event": "logged_in", "username": "ana"}));
    assert_eq!(
        ana.passed(),
        [r#"{"event":"tracker","state":"connected"}"#],
        "the first connection is told too"
    );
    ana.line("/create sala");
    assert_eq!(ana.event("room_entered")["room"]["name"], "sala");

    let mut bob = Piped::bot(tracker.address, data.path(), "bob", true);
    bob.line("/join sala");
    assert_eq!(bob.event("room_entered")["room"]["owner"], "ana");
    let joined = json!({"event": "room_update", "room": "sala", "change": "joined", "username": "bob", "members": ["ana", "bob"]});
    let mut update = ana.event("room_update");
    let state = update.as_object_mut().unwrap().remove("room_state").unwrap();
    assert_eq!(update, joined);
    assert_eq!((&state["name"], &state["revision"]), (&json!("sala"), &json!(2)));
    assert_eq!(state["members"][1]["username"], "bob");
    assert_eq!(
        ana.event("link"),
        json!({"event": "link", "peer": "bob", "state": "up", "encrypted": true, "verified": false})
    );

    ana.line("olá \u{1b} todos");
    let sent = ana.event("sent");
    assert_eq!(
        (&sent["room"], &sent["content"], &sent["to"]),
        (&json!("sala"), &json!("olá \u{1b} todos"), &json!(null))
    );
    let received = bob.event("message");
    assert_eq!(
        (&received["id"], &received["room"], &received["from"]),
        (&sent["id"], &json!("sala"), &json!("ana"))
    );
    assert_eq!(received["content"], "olá \u{1b} todos");
    assert!(received["sent_at"].as_str().unwrap().ends_with('Z'));

    bob.line("@ana psst");
    assert_eq!(bob.event("sent")["to"], "ana");
    let received = ana.event("message");
    assert_eq!((&received["room"], &received["content"]), (&json!(null), &json!("psst")));

    bob.close_input();
    let end = bob.end();
    assert_eq!((end.status, end.stderr.as_slice()), (Some(0), &[][..]), "{end:?}");
    assert_eq!(ana.event("room_update")["change"], "offline");
    ana.line("/quit");
    assert_eq!(ana.end().status, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_line_waits_for_its_answer_and_events_come_before_it() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut ana = Piped::bot(tracker.address, data.path(), "ana", true);
    ana.write(
        "/create sala\n/rooms\n/join nowhere\n\nfirst\n/peers\n/users\n/whoami\n/blub\n/delete\nlast\n"
            .as_bytes(),
    );
    ana.close_input();
    let end = ana.end();
    assert_eq!(end.status, Some(0));
    let reported: Vec<_> = end.stdout.iter().map(|line| json(line)).collect();
    let kinds: Vec<_> = reported.iter().map(|event| event["event"].as_str().unwrap()).collect();
    let expected = [
        "tracker",
        "logged_in",
        "room_entered",
        "rooms",
        "error",
        "sent",
        "peers",
        "users",
        "who_am_i",
        "error",
        "room_deleted",
        "error",
    ];
    assert_eq!(kinds, expected);
    assert_eq!(reported[3]["rooms"][0]["name"], "sala");
    let codes = [4, 9, 11].map(|n: usize| reported[n]["code"].as_str().unwrap());
    assert_eq!(codes, ["ROOM_NOT_FOUND", "USAGE", "NO_CONVERSATION"]);
    assert_eq!(reported[6]["peers"][0]["username"], "ana");
}

#[tokio::test(flavor = "multi_thread")]
async fn text_for_people_also_flows_through_pipes() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut bob = tracker.peer("bob").await;
    bob.create("sala").await;
    let mut arguments = flags(tracker.address, data.path());
    arguments.extend(["--username", "ana", "--register"].map(Into::into));
    let mut ana = Piped::start(&arguments, Some(PASSWORD));
    assert_eq!(ana.until(|line| line.contains("online")), "  online  bob");
    ana.line("/join sala");
    ana.until(|line| line == "── sala ── owner bob, 1 seat free");
    bob.until(|event| matches!(event, peer::api::Event::RoomUpdate { .. })).await;
    bob.say("two\nlines\u{1b}[31m").await;
    assert_eq!(&ana.until(|line| line.contains("<bob>"))[10..], " <bob> two");
    assert_eq!(ana.until(|_| true), "                 lines\\u{1b}[31m");
    ana.line("/leave");
    ana.until(|line| line.contains("no longer in sala"));
    ana.close_input();
    let end = ana.end();
    assert_eq!((end.status, end.stdout.last().unwrap().as_str()), (Some(0), "Goodbye."));
    assert!(!end.stdout.iter().any(|line| line.contains('\u{1b}')), "no colours in a pipe");
}

#[tokio::test(flavor = "multi_thread")]
async fn overlong_or_invalid_line_is_refused_and_the_next_one_works() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut ana = Piped::bot(tracker.address, data.path(), "ana", true);
    ana.line("/create sala");
    ana.write(&[b'x'; LINE_MAX * 4]);
    ana.write(b"\n\xff\xfe\n");
    ana.line(&"y".repeat(9000));
    ana.line("short");
    assert_eq!(ana.event("error")["code"], "TEXT_TOO_LONG");
    assert_eq!(ana.event("error")["code"], "USAGE");
    assert_eq!(ana.event("error")["code"], "TEXT_TOO_LONG");
    assert_eq!(ana.event("sent")["content"], "short");
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_messages_at_once_arrive_in_order() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut bob = tracker.peer("bob").await;
    bob.create("sala").await;
    let mut ana = Piped::bot(tracker.address, data.path(), "ana", true);
    ana.line("/join sala");
    ana.event("link");
    let lines: Vec<_> = (0..500).map(|n| format!("line {n}")).collect();
    ana.write(format!("{}\n", lines.join("\n")).as_bytes());
    ana.close_input();
    assert_eq!(bob.next_messages(500).await, lines);
    assert_eq!(ana.end().status, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_start_enters_the_rooms_again() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut ana = Piped::bot(tracker.address, data.path(), "ana", true);
    ana.line("/create sala");
    ana.event("room_entered");
    ana.close_input();
    assert_eq!(ana.end().status, Some(0));
    let mut again = Piped::bot(tracker.address, data.path(), "ana", false);
    assert_eq!(again.event("room_entered")["room"]["name"], "sala");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_usage_is_two_and_says_what_is_missing() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let with = |more: &[&str], password: Option<&str>| {
        let mut arguments = flags(tracker.address, data.path());
        arguments.extend(more.iter().map(|flag| (*flag).to_owned()));
        Piped::start(&arguments, password).end()
    };
    for (end, named) in [
        (with(&["--frobnicate"], None), "--frobnicate"),
        (with(&["--username", "Ana"], None), "try ana"),
        (with(&[], Some(PASSWORD)), "--username"),
        (with(&["--username", "ana"], None), "--password-file"),
    ] {
        assert_eq!(end.status, Some(2), "{end:?}");
        assert!(end.stderr.iter().any(|line| line.contains(named)), "{end:?}");
        assert!(end.stdout.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_sign_in_is_one_and_says_why_also_in_json() {
    let tracker = Tracker::start().await;
    tracker.peer("bob").await;
    let data = tempfile::tempdir().unwrap();
    let end = Piped::bot(tracker.address, data.path(), "bob", false).end();
    assert_eq!(end.status, Some(1), "{end:?}");
    assert_eq!(json(&end.stdout[end.stdout.len() - 1])["code"], "INVALID_CREDENTIALS");
    assert_eq!(end.stderr.len(), 1, "{end:?}");
    let end = Piped::bot(tracker.address, data.path(), "bob", true).end();
    assert_eq!(
        (end.status, json(&end.stdout[end.stdout.len() - 1])["code"].as_str()),
        (Some(1), Some("USERNAME_TAKEN"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_tracker_the_command_that_starts_one_is_named() {
    let mut tracker = Tracker::start().await;
    tracker.down().await;
    let data = tempfile::tempdir().unwrap();
    let end = Piped::bot(tracker.address, data.path(), "ana", true).end();
    assert_eq!(end.status, Some(1), "{end:?}");
    let command = format!(" --listen {}", tracker.address);
    let complained = end.stderr.join("\n");
    assert!(complained.contains(&command) && complained.contains("--host"), "{end:?}");
    assert!(complained.contains("--tracker HOST:PORT"), "it may have moved: {end:?}");
    let lost =
        end.stdout.iter().map(|line| json(line)).find(|event| event["code"] == "TRACKER_LOST").unwrap();
    let message = lost["message"].as_str().unwrap();
    assert!(message.starts_with("no tracker answers at") && !message.contains("Talk goes on"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_file_is_read_without_its_line_end() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("password");
    std::fs::write(&file, format!("{PASSWORD}\n")).unwrap();
    let mut arguments = flags(tracker.address, data.path());
    arguments.extend(["--username", "ana", "--register", "--password-file"].map(Into::into));
    arguments.push(file.to_str().unwrap().to_owned());
    let mut ana = Piped::start(&arguments, None);
    ana.close_input();
    assert_eq!(ana.end().status, Some(0));
    let mut again = Piped::bot(tracker.address, data.path(), "ana", false);
    again.event("logged_in");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_is_an_orderly_end_while_the_input_is_open() {
    let tracker = Tracker::start().await;
    for (n, asked) in [Signal::TERM, Signal::INT, Signal::HUP].into_iter().enumerate() {
        let data = tempfile::tempdir().unwrap();
        let mut ana = Piped::bot(tracker.address, data.path(), &format!("ana{n}"), true);
        ana.event("logged_in");
        signal(ana.id(), asked);
        let end = ana.end();
        assert_eq!((end.status, end.stderr.as_slice()), (Some(0), &[][..]), "{asked:?} {end:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_login_ends_the_program_while_the_input_is_open() {
    let tracker = Tracker::start().await;
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut first = Piped::bot(tracker.address, here.path(), "ana", true);
    first.event("logged_in");
    let mut second = Piped::bot(tracker.address, there.path(), "ana", false);
    second.event("logged_in");
    let end = first.end();
    assert_eq!((end.status, end.stderr.len()), (Some(1), 1), "{end:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn closed_output_ends_the_program_quietly() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut arguments = flags(tracker.address, data.path());
    arguments.extend(["--username", "ana", "--register", "--output", "json"].map(Into::into));
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_peer"));
    command.args(&arguments).env_clear().env("PEER_PASSWORD", PASSWORD).stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let _input_stays_open = child.stdin.take();
    let end = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
    assert_eq!((end.status.code(), end.stderr.as_slice()), (Some(0), &b""[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_can_host_the_tracker_itself() {
    let data = tempfile::tempdir().unwrap();
    let mut arguments = flags(([127, 0, 0, 1], 0).into(), data.path());
    arguments.extend(["--username", "ana", "--register", "--output", "json", "--host"].map(Into::into));
    let mut ana = Piped::start(&arguments, Some(PASSWORD));
    assert!(ana.error_line().contains("Others join with"));
    let reported = ana.error_line();
    let (address, key) = reported.strip_prefix("peer --tracker ").unwrap().split_once('#').unwrap();
    ana.event("logged_in");
    ana.line("/whoami");
    assert_eq!(ana.event("who_am_i")["status"]["tracker_key"], key);
    let mut bob = Piped::bot(address.parse().unwrap(), data.path(), "bob", true);
    bob.event("logged_in");
    ana.line("/quit");
    assert_eq!(ana.end().status, Some(0));
    let lost = bob.until(|line| json(line)["state"] == "lost");
    assert_eq!(json(&lost), json!({"event": "tracker", "state": "lost", "reason": "STOPPED"}));
    assert!(data.path().join("tracker/users_db.json").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn stuck_reader_does_not_keep_the_program_from_ending() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut arguments = flags(tracker.address, data.path());
    arguments.extend(["--username", "ana", "--register", "--output", "json"].map(Into::into));
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_peer"));
    command.args(&arguments).env_clear().env("PEER_PASSWORD", PASSWORD).stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let (progress, taken) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        // The writer fills the input until nothing more is accepted, and later writes to the end.
        while input.write_all(b"/help\n").is_ok() && progress.send(()).is_ok() {}
    });
    // The program is stuck once its output, its queues and its input are full. From outside, only a long pause shows
    // this.
    taken.recv_timeout(programs::PATIENCE).unwrap();
    while taken.recv_timeout(Duration::from_secs(1)).is_ok() {}
    signal(child.id(), Signal::TERM);
    assert_eq!(end_of(&mut child), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_that_is_put_off_ends_with_the_code() {
    let tracker = Tracker::start_with(|config| config.limit_loopback = true).await;
    for name in ["a", "b", "c", "d", "e"] {
        tracker.peer(name).await.dies().await;
    }
    let data = tempfile::tempdir().unwrap();
    let end = Piped::bot(tracker.address, data.path(), "ana", true).end();
    assert_eq!((end.status, end.stderr.len()), (Some(1), 1), "{end:?}");
    let reported = json(end.stdout.last().unwrap());
    assert_eq!(reported["code"], "RATE_LIMITED", "{end:?}");
    assert!(reported["message"].as_str().unwrap().ends_with(" s"), "programs count seconds: {end:?}");
    assert!(reported["retry_after_ms"].as_u64().is_some_and(|wait| wait > 0), "{end:?}");
    assert!(end.stderr[0].ends_with(" minutes)"), "people do not: {end:?}");
}

/// A bot in a room in which these texts were sent.
fn bot_that_said(tracker: &Tracker, data: &std::path::Path, texts: &[&str]) -> Piped {
    let mut ana = Piped::bot(tracker.address, data, "ana", true);
    ana.line("/create sala");
    ana.event("room_entered");
    for text in texts {
        ana.line(text);
        ana.event("sent");
    }
    ana
}

#[tokio::test(flavor = "multi_thread")]
async fn history_asks_for_the_password_once_and_never_sends_it() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut ana = bot_that_said(&tracker, data.path(), &["olá, mundo", "two"]);
    ana.line("/history");
    assert_eq!(ana.event("password_wanted"), json!({"event": "password_wanted", "tries_left": 3}));
    ana.line("the canary");
    assert_eq!(ana.event("password_wanted"), json!({"event": "password_wanted", "tries_left": 2}));
    ana.line(PASSWORD);
    let history = ana.event("history");
    assert_eq!(history["room"], "sala");
    let lines = history["lines"].as_array().unwrap();
    let texts: Vec<_> = lines.iter().map(|line| line["content"].as_str().unwrap()).collect();
    assert_eq!(texts, ["olá, mundo", "two"]);
    assert_eq!((&lines[0]["from"], &lines[0]["signed"]), (&json!("ana"), &json!(true)));
    assert!(lines[0]["id"].is_string() && lines[0]["sent_at"].is_string());
    ana.line("/search MUNDO");
    let found = ana.event("found");
    assert_eq!(
        (&found["lines"][0]["room"], &found["lines"][0]["content"]),
        (&json!("sala"), &json!("olá, mundo"))
    );
    ana.line("/history 1");
    assert_eq!(ana.event("history")["lines"].as_array().unwrap().len(), 1);
    let output = ana.passed().concat();
    assert!(!output.contains("canary") && !output.contains(PASSWORD), "{output}");
    ana.close_input();
    assert_eq!(ana.end().status, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn third_wrong_password_ends_the_program_even_if_not_text() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut ana = bot_that_said(&tracker, data.path(), &["one"]);
    ana.line("/search one");
    ana.write(b"wrong\n\xff\xfe\n/quit\n");
    let end = ana.end();
    assert_eq!((end.status, end.stderr.len()), (Some(1), 1), "{end:?}");
    let reported: Vec<_> = end.stdout.iter().map(|line| json(line)).collect();
    let last = &reported[reported.len() - 4..];
    let wanted = |tries: usize| json!({"event": "password_wanted", "tries_left": tries});
    assert_eq!(last[..3], [wanted(3), wanted(2), wanted(1)]);
    assert_eq!((&last[3]["event"], &last[3]["code"]), (&json!("error"), &json!("TOO_MANY_ATTEMPTS")));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_input_instead_of_a_password_is_an_orderly_end() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut ana = bot_that_said(&tracker, data.path(), &["one"]);
    ana.line("/history");
    ana.event("password_wanted");
    ana.close_input();
    let end = ana.end();
    assert_eq!((end.status, end.stderr.as_slice()), (Some(0), &[][..]), "{end:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_message_is_listed_and_can_be_withdrawn() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut bob = tracker.peer("bob").await;
    let mut ana = bot_that_said(&tracker, data.path(), &[]);
    bob.join("sala").await;
    bob.linked("ana").await;
    ana.event("link");
    ana.line("you have this");
    let sent = ana.event("sent");
    assert_eq!(ana.event("delivered"), json!({"event": "delivered", "id": sent["id"], "to": "bob"}));
    bob.dies().await;
    ana.until(|line| json(line)["event"] == "link" && json(line)["state"] == "down");
    ana.line("this waits");
    let sent = ana.event("sent");
    let id = sent["id"].as_str().unwrap().to_owned();
    ana.line("/outbox");
    let outbox = ana.event("outbox");
    let waiting = &outbox["lines"][0];
    assert_eq!(
        (&waiting["id"], &waiting["room"], &waiting["waits"]),
        (&json!(id), &json!("sala"), &json!(["bob"]))
    );
    assert_eq!(outbox["lines"].as_array().unwrap().len(), 1);
    ana.line("/receipts");
    let receipts = ana.event("receipts");
    assert_eq!(receipts["room"], "sala");
    let has: Vec<_> = receipts["lines"].as_array().unwrap().iter().map(|line| &line["has"]).collect();
    assert_eq!(has, [&json!(["bob"]), &json!([])]);
    ana.line(&format!("/withdraw {}", &id[id.len() - 6..]));
    assert_eq!(ana.event("withdrawn")["id"], json!(id));
    ana.line("/outbox");
    assert_eq!(ana.event("outbox"), json!({"event": "outbox", "lines": []}));
}

#[tokio::test(flavor = "multi_thread")]
async fn late_message_is_marked_and_a_conversation_can_be_exported() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut bob = tracker.peer("bob").await;
    let mut ana = bot_that_said(&tracker, data.path(), &["mine"]);
    bob.join("sala").await;
    ana.line("/quit");
    assert_eq!(ana.end().status, Some(0));
    bob.say("while you were away").await;
    let mut ana = Piped::bot(tracker.address, data.path(), "ana", false);
    let late = ana.event("message");
    assert_eq!((&late["content"], &late["late"]), (&json!("while you were away"), &json!(true)));
    let file = data.path().join("sala.jsonl");
    ana.line(&format!("/export {}", file.display()));
    ana.event("password_wanted");
    ana.line(PASSWORD);
    assert_eq!(ana.event("exported"), json!({"event": "exported", "file": file, "lines": 2}));
    let text = std::fs::read_to_string(&file).unwrap();
    let texts: Vec<_> = text.lines().map(|line| json(line)["content"].clone()).collect();
    assert_eq!(texts, ["mine", "while you were away"]);
    // The history of a room that was left can be searched too.
    ana.line("/leave sala");
    ana.event("room_left");
    ana.line("/search mine");
    assert_eq!(ana.event("found")["lines"].as_array().unwrap().len(), 1);
    ana.line("/forget sala");
    assert_eq!(ana.event("forgotten"), json!({"event": "forgotten", "lines": 2}));
    ana.line("/search mine");
    assert_eq!(ana.event("found"), json!({"event": "found", "lines": []}));
    ana.line("/forget sala");
    assert_eq!(ana.event("error")["code"], "NO_CONVERSATION");
}

#[tokio::test(flavor = "multi_thread")]
async fn text_for_people_asks_for_the_password_in_a_row() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut arguments = flags(tracker.address, data.path());
    arguments.extend(["--username", "ana", "--register"].map(Into::into));
    let mut ana = Piped::start(&arguments, Some(PASSWORD));
    ana.line("/create sala");
    ana.line("said here");
    ana.until(|line| line.ends_with("<ana> said here"));
    ana.line("/history");
    ana.until(|line| line == "your password, to look back (3 tries left): the next line is taken for it");
    ana.line(PASSWORD);
    ana.until(|line| line == "── sala: the last 1 message ──");
    ana.until(|line| line.ends_with("<ana> said here"));
}
