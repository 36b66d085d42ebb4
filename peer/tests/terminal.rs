//! Tests of keys and marks at a terminal: Ctrl-C, a window that changes its width, and notifications.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
mod programs;

use common::{Peer, Tracker, user};
use peer::api::account::AccountCommand;
use peer::api::{Command, Event};
use programs::{Screen, flags, signal};
use rustix::process::Signal;
use tempfile::TempDir;

/// Rows of the screen, enough that nothing scrolls off.
const ROWS: u16 = 150;

const CTRL_C: &str = "\x03";
const CTRL_Y: &str = "\x19";

/// Ana at a screen and bob as a peer, both in the same room.
struct Scene {
    tracker: Tracker,
    ana: Screen,
    bob: Peer,
    data: TempDir,
}

async fn scene(more_flags: &[&str], environment: &[(&str, &str)], columns: u16) -> Scene {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut bob = tracker.peer("bob").await;
    bob.create("sala").await;
    let mut arguments = flags(tracker.address, data.path());
    arguments.extend(["--username", "ana", "--register"].iter().chain(more_flags).map(|&flag| flag.into()));
    let environment: Vec<_> =
        [("PEER_PASSWORD", "secret secret")].into_iter().chain(environment.iter().copied()).collect();
    let mut ana = Screen::start(&arguments, &environment, ROWS, columns);
    ana.shows("lobby");
    ana.line("/join sala");
    ana.shows("sala · ● bob");
    bob.until(|event| matches!(event, Event::RoomUpdate { .. })).await;
    bob.linked("ana").await;
    Scene { tracker, ana, bob, data }
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_clears_the_line_and_a_second_one_quits() {
    let Scene { tracker: _tracker, mut ana, mut bob, data: _data } = scene(&[], &[], 80).await;
    let hint = "Press Ctrl-C again within 2 seconds to quit.";
    ana.keys("half a message");
    ana.ends_with(&["> half a message"]);
    ana.keys(CTRL_C);
    ana.ends_with(&[hint, "sala · ● bob", ">"]);
    // Text that is typed in between makes the next Ctrl-C a first one again.
    ana.keys(&format!("another half{CTRL_C}"));
    ana.ends_with(&[hint, "sala · ● bob", ">"]);
    ana.keys(CTRL_Y);
    ana.ends_with(&["sala · ● bob", "> another half"]);
    ana.line(" and the rest");
    assert_eq!(bob.receives("another half and the rest").await, user("ana"));
    // If there is nothing to clear, Ctrl-C shows the hint.
    ana.keys(CTRL_C);
    ana.wait("the hint", |screen| screen.text().matches(hint).count() == 2);
    ana.keys(CTRL_C);
    assert_eq!(ana.end(), 0);
    ana.shows("Goodbye.");
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_a_hidden_question_and_not_the_program() {
    let Scene { tracker: _tracker, mut ana, mut bob, data: _data } = scene(&[], &[], 80).await;
    ana.line("/password");
    ana.shows_row("The password you have (not shown; empty ends this)");
    ana.keys(&format!("canary{CTRL_C}"));
    ana.shows_row("✗ the password stays as it is");
    ana.ends_with(&["sala · ● bob", ">"]);
    assert!(!ana.text().contains("to quit"), "nobody wants to quit");
    ana.line("still here");
    bob.receives("still here").await;
    assert!(!String::from_utf8_lossy(&ana.bytes()).contains("canary"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_the_program_whatever_is_typed() {
    let Scene { tracker: _tracker, mut ana, bob: _bob, data: _data } = scene(&[], &[], 80).await;
    ana.keys("half a message");
    ana.ends_with(&["> half a message"]);
    signal(ana.id(), Signal::INT);
    assert_eq!(ana.end(), 0);
    ana.wait("the terminal back", |screen| screen.is_cooked());
    ana.shows("Goodbye.");
}

/// Opens a room at ana's screen whose long name makes a long status row above the input.
async fn in_a_long_room(environment: &[(&str, &str)]) -> Scene {
    let mut scene = scene(&[], environment, 80).await;
    scene.ana.line("/create a-room-with-a-long-name");
    scene.ana.ends_with(&["a-room-with-a-long-name", ">"]);
    scene.bob.say("missed").await;
    scene.bob.tell("ana", "psst").await.unwrap();
    scene.ana.shows("psst");
    scene.ana.ends_with(&["a-room-with-a-long-name [sala 1, @bob 1]", ">"]);
    scene
}

/// Widths of a window one after the other. Each is at least half of the one before.
const HALVED: [u16; 8] = [80, 60, 40, 77, 45, 41, 79, 40];

#[tokio::test(flavor = "multi_thread")]
async fn a_rewrapping_terminal_keeps_no_old_status_rows() {
    let Scene { tracker: _tracker, mut ana, bob, data: _data } = in_a_long_room(&[]).await;
    ana.keys("half a message");
    for columns in HALVED {
        ana.resize_and_rewrap(ROWS, columns);
        // A message may arrive at any moment in between.
        bob.say("missed too").await;
        ana.wait("one line above one input", |screen| {
            let rows = screen.rows();
            let status = rows.iter().filter(|row| row.starts_with("a-room-with")).count();
            status == 1 && rows.last().is_some_and(|row| row == "> half a message")
        });
        assert!(ana.text().contains("psst"), "{columns}:\n{}", ana.text());
    }
    // The control: a status row that was left behind is detected.
    ana.print("\r\na-room-with-a-long-name\r\n");
    let status = ana.rows().iter().filter(|row| row.starts_with("a-room-with")).count();
    assert!(status > 1, "{}", ana.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn resizes_while_messages_arrive_lose_none() {
    let Scene { tracker: _tracker, mut ana, bob, data: _data } = scene(&[], &[], 80).await;
    ana.keys("half a message");
    ana.ends_with(&["sala · ● bob", "> half a message"]);
    let output: Vec<_> = (0..30).map(|n| format!("<n{n}>")).collect();
    for (n, text) in output.iter().enumerate() {
        bob.say(text).await;
        ana.resize_and_rewrap(ROWS, [33, 120, 21, 64, 40, 80][n % 6]);
    }
    let lacks = |screen: &Screen| output.iter().any(|text| !screen.text().contains(text.as_str()));
    ana.wait("all that was said", |screen| !lacks(screen));
    ana.ends_with(&["> half a message"]);
    assert!(!lacks(&ana), "{}", ana.text());
    // The control: clearing a few rows too many is detected.
    ana.print("\x1b[6A\x1b[J");
    assert!(lacks(&ana), "{}", ana.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_that_cuts_rows_off_loses_no_message() {
    let Scene { tracker: _tracker, mut ana, bob: _bob, data: _data } = in_a_long_room(&[]).await;
    for columns in [60, 30, 24, 70] {
        ana.resize(ROWS, columns);
        ana.wait("a line above the input, and the message", |screen| {
            let rows = screen.rows();
            let mut status = rows.iter().filter(|row| row.starts_with("a-room-with"));
            // A row that was drawn for the wider window may leave a piece, but no message is lost.
            let drawn_anew = status.any(|row| row.chars().count() < columns.into());
            drawn_anew && screen.text().contains("[PRIVATE")
        });
    }
}

/// A text with thousands of line feeds.
fn line_feeds() -> String {
    format!("first{}the end", "\n".repeat(8000))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_thousands_of_rows_is_cut_and_exported() {
    let Scene { tracker: _tracker, mut ana, bob, data } = scene(&[], &[], 80).await;
    bob.say(&line_feeds()).await;
    ana.shows("more rows, /show ");
    ana.ends_with(&["sala · ● bob", ">"]);
    assert!(ana.text().contains("<bob> first") && !ana.text().contains("the end"), "{}", ana.text());
    let file = data.path().join("all.jsonl");
    ana.line(&format!("/export {}", file.display()));
    ana.shows("to look back");
    ana.line("secret secret");
    ana.shows("written to");
    assert!(std::fs::read_to_string(&file).unwrap().contains("the end"));
    // A second export to the same name does not overwrite the first.
    ana.line(&format!("/export {}", file.display()));
    ana.shows("exists already, and nothing was written");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_can_type_and_quit_during_a_flood() {
    let Scene { tracker: _tracker, mut ana, mut bob, data: _data } = scene(&[], &[], 80).await;
    let flood = line_feeds();
    for _ in 0..100 {
        bob.say(&flood).await;
    }
    ana.line("stop it");
    assert_eq!(bob.receives("stop it").await, user("ana"));
    for _ in 0..100 {
        bob.say(&flood).await;
    }
    ana.keys(&format!("{CTRL_C}{CTRL_C}"));
    assert_eq!(ana.end(), 0);
}

fn bells(screen: &Screen) -> usize {
    // A notification ends with ST, so every BEL is a bell.
    screen.bytes().iter().filter(|byte| **byte == 7).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_to_me_are_marked_and_ring_without_colour() {
    let Scene { tracker: _tracker, mut ana, bob, data: _data } = scene(&[], &[("NO_COLOR", "1")], 80).await;
    bob.say("banana").await;
    ana.shows("] <bob> banana");
    ana.line("I am ana");
    ana.shows("] <ana> I am ana");
    assert_eq!(bells(&ana), 0, "neither other words nor own messages ring");
    bob.tell("ana", "psst").await.unwrap();
    ana.shows("] >> [PRIVATE from bob] psst");
    ana.wait("the bell", |screen| bells(screen) > 0);
    bob.say("hey Ana!").await;
    ana.shows("] >> <bob> hey Ana!");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notification_names_the_sender_and_hides_the_text() {
    for (notify, notice) in
        [("desktop", "private message from bob"), ("desktop-text", "private message from bob: \\u{1b}\\psst")]
    {
        let Scene { tracker: _tracker, mut ana, bob, data: _data } =
            scene(&["--notify", notify], &[], 80).await;
        bob.tell("ana", "\x1b\\psst").await.unwrap();
        let wanted = format!("\x1b]9;{notice}\x1b\\");
        ana.wait("the notification", |screen| String::from_utf8_lossy(&screen.bytes()).contains(&wanted));
    }
    // The controls: by default only the bell rings, and with notifications off nothing does.
    for (flags, rings) in [(&[][..], true), (&["--notify", "off"], false)] {
        let Scene { tracker: _tracker, mut ana, bob, data: _data } = scene(flags, &[], 80).await;
        bob.tell("ana", "psst").await.unwrap();
        ana.shows("psst");
        assert!(!String::from_utf8_lossy(&ana.bytes()).contains("\x1b]9;"));
        assert_eq!(bells(&ana) > 0, rings);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn alt_n_opens_the_next_unread_conversation() {
    let Scene { tracker: _tracker, mut ana, bob, data: _data } = scene(&[], &[], 80).await;
    ana.line("/create equipe");
    ana.ends_with(&["equipe", ">"]);
    ana.keys("draft");
    bob.say("in the room").await;
    bob.tell("ana", "in private").await.unwrap();
    ana.ends_with(&["equipe [sala 1, @bob 1]", "> draft"]);
    ana.keys("\x1bn");
    ana.ends_with(&["sala [@bob 1] · ● bob", "> draft"]);
    ana.keys("\x1bn");
    ana.ends_with(&["@bob", "> draft"]);
    ana.keys("\x1bn");
    ana.shows("Nothing is unread.");
    ana.ends_with(&["@bob", "> draft"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_private_chat_is_named_and_a_room_opens() {
    let Scene { tracker: _tracker, mut ana, bob: _bob, data: _data } = scene(&[], &[], 80).await;
    ana.line("@bob");
    ana.ends_with(&["@bob", ">"]);
    ana.line("/leave");
    ana.shows("*** the chat with bob is closed");
    ana.ends_with(&["sala · ● bob", ">"]);
    // The room is left too, so further input goes nowhere.
    ana.line("@bob");
    ana.ends_with(&["@bob", ">"]);
    ana.line("/switch sala");
    ana.ends_with(&["sala · ● bob", ">"]);
    ana.line("/leave");
    ana.shows("Leave sala? [y/N]");
    ana.line("y");
    ana.ends_with(&["*** you are no longer in sala", "lobby", ">"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn endorsement_after_a_warning_is_shown() {
    let Scene { tracker: _tracker, mut ana, bob, data: _data } = scene(&[], &[], 80).await;
    let mut new = bob.elsewhere().await;
    let Event::NewKey { fingerprint } = new.until(|event| matches!(event, Event::NewKey { .. })).await else {
        panic!("no key")
    };
    ana.shows("bob has another key than before");
    new.service.stop().await;
    let old = bob.again_after_death().await;
    let key = fingerprint.to_string()[..16].to_owned();
    old.run(Command::Account(AccountCommand::Endorse { key })).await.unwrap();
    old.service.stop().await;
    let mut new = new.again().await;
    new.linked("ana").await;
    ana.shows("All clear: a key of bob that you know vouches for the new one.");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_key_ends_the_warning() {
    let Scene { tracker: _tracker, mut ana, bob, data: _data } = scene(&[], &[], 80).await;
    bob.service.stop().await;
    let mut new = bob.elsewhere().await;
    // A new computer enters a room only on command.
    new.join("sala").await;
    ana.shows("bob has another key than before");
    ana.line("/accept bob");
    ana.shows("All clear: you accepted bob's key.");
    new.linked("ana").await;
    ana.line("welcome");
    assert_eq!(new.receives("welcome").await, user("ana"));
}
