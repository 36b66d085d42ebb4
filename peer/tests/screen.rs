//! Tests of the program in a pseudo-terminal: a person's input and screen.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
mod programs;

use common::{Peer, Tracker};
use commons::keys::PublicKey;
use peer::api::Event;
use programs::{PASSWORD, Screen, flags, signal};
use rustix::process::Signal;
use tempfile::TempDir;

const UP: &str = "\x1b[A";
const DOWN: &str = "\x1b[B";
const HOME: &str = "\x01";
const ALT_ENTER: &str = "\x1b\r";
const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";

/// Ana at a screen and bob as a peer, both in the same room.
struct Scene {
    tracker: Tracker,
    ana: Screen,
    bob: Peer,
    data: TempDir,
}

async fn scene(rows: u16, columns: u16) -> Scene {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut bob = tracker.peer("bob").await;
    bob.create("sala").await;
    let mut ana = Screen::user(tracker.address, data.path(), "ana", rows, columns);
    ana.line("/join sala");
    ana.shows("sala · ● bob");
    // The link may be up before the tracker has announced ana's membership, and bob only sends to members.
    bob.until(|event| matches!(event, Event::RoomUpdate { .. })).await;
    bob.linked("ana").await;
    Scene { tracker, ana, bob, data }
}

#[tokio::test(flavor = "multi_thread")]
async fn new_user_is_guided_to_an_account_and_no_password_is_shown() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut ana = Screen::start(&flags(tracker.address, data.path()), &[], 24, 80);
    ana.shows("Your name:");
    ana.line("Ana");
    ana.shows("try ana");
    ana.line("ana");
    ana.shows("Password:");
    ana.line("canary one");
    ana.shows("Make one? [Y/n]");
    ana.line("");
    ana.shows("The same again:");
    ana.line("canary two");
    ana.shows("The two are different");
    ana.wait("the question again", |screen| screen.text().matches("Password:").count() == 2);
    ana.line("the canary");
    ana.wait("the question again", |screen| screen.text().matches("The same again:").count() == 2);
    ana.line("the canary");
    ana.shows("Welcome, ana.");
    ana.shows_row("  try     /create sala   /help");
    ana.ends_with(&["lobby", ">"]);
    assert!(!String::from_utf8_lossy(&ana.bytes()).contains("canary"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_can_be_typed_again_and_a_taken_name_logs_in() {
    let tracker = Tracker::start().await;
    tracker.peer("bob").await.dies().await;
    let data = tempfile::tempdir().unwrap();
    let mut bob = Screen::start(&flags(tracker.address, data.path()), &[], 24, 80);
    bob.shows("Your name:");
    bob.line("bob");
    bob.shows("Password:");
    bob.line("something wrong");
    bob.shows("Make one? [Y/n]");
    bob.line("y");
    bob.shows("The same again:");
    bob.line("something wrong");
    bob.shows("Wrong password, for that name has an account: 2 tries left");
    bob.wait("the question again", |screen| screen.text().matches("Password:").count() == 2);
    bob.line("password of bob");
    bob.shows("Welcome, bob.");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_computer_asks_for_one_password() {
    let tracker = Tracker::start().await;
    tracker.peer("bob").await.dies().await;
    let data = tempfile::tempdir().unwrap();
    let mut bob = Screen::start(&flags(tracker.address, data.path()), &[], 24, 80);
    bob.shows("Your name:");
    bob.line("bob");
    bob.shows("Password:");
    bob.line("password of bob");
    bob.shows("Welcome, bob.");
    let output = bob.text();
    assert!(output.matches("Password:").count() == 1 && !output.contains("[Y/n]"), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_password_is_not_taken_for_a_new_account() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut ana = Screen::start(&flags(tracker.address, data.path()), &[], 24, 80);
    ana.shows("Your name:");
    ana.line("ana");
    ana.shows("Password:");
    ana.line("seven77");
    ana.shows("Make one? [Y/n]");
    ana.line("y");
    ana.shows("A new password needs at least 8 characters. If you lose it, nobody can open");
    ana.wait("the question again", |screen| screen.text().matches("Password:").count() == 2);
    ana.line(PASSWORD);
    ana.shows("The same again:");
    ana.line(PASSWORD);
    ana.shows("Welcome, ana.");
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_tracker_is_reported_before_the_first_question() {
    let mut tracker = Tracker::start().await;
    tracker.down().await;
    let data = tempfile::tempdir().unwrap();
    let mut ana = Screen::start(&flags(tracker.address, data.path()), &[], 24, 120);
    ana.shows("start one:");
    assert_eq!(ana.end(), 1);
    assert!(!ana.text().contains("Your name"));
}

#[tokio::test(flavor = "multi_thread")]
async fn incoming_messages_never_break_the_line_being_typed() {
    let Scene { tracker: _tracker, mut ana, mut bob, data: _data } = scene(24, 40).await;
    let typed = "não, 部屋 über 👋 und eine lange Zeile, die umbricht";
    for (n, c) in typed.chars().enumerate() {
        ana.keys(&c.to_string());
        if n % 5 == 0 {
            bob.say(&format!("interruption {n}")).await;
        }
    }
    ana.shows("interruption 45");
    let rows = ["sala · ● bob", "> não, 部屋 über 👋 und eine lange Zeile", ", die umbricht"];
    ana.ends_with(&rows);
    // The cursor also stays where it was in the middle of the text.
    ana.keys(HOME);
    bob.say("seen from the start").await;
    ana.shows("seen from the start");
    ana.wait("the cursor at the start", |screen| screen.cursor().1 == 2);
    ana.ends_with(&rows);
    ana.keys("\x05\r");
    assert_eq!(bob.receives(typed).await, common::user("ana"));
    ana.ends_with(&["sala · ● bob", ">"]);
    let shown: String = ana.rows().concat();
    let received: Vec<_> = (0..50).step_by(5).map(|n| format!("interruption {n}")).collect();
    assert!(received.iter().all(|line| shown.contains(line.as_str())), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_resize_typed_text_is_whole_and_messages_arrive() {
    let Scene { tracker: _tracker, mut ana, mut bob, data: _data } = scene(24, 60).await;
    let typed = "a line that is longer than forty columns, so it wraps there";
    ana.keys(typed);
    ana.ends_with(&["> a line that is longer than forty columns, so it wraps ther", "e"]);
    ana.resize(24, 40);
    bob.say("after the resize").await;
    ana.shows("after the resize");
    ana.ends_with(&["sala · ● bob", "> a line that is longer than forty colum", "ns, so it wraps there"]);
    ana.resize(24, 90);
    bob.say("wide again").await;
    ana.shows("wide again");
    ana.ends_with(&["sala · ● bob", &format!("> {typed}")]);
    ana.keys("\r");
    bob.receives(typed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn own_messages_are_shown_once_and_the_input_is_cleared() {
    let Scene { tracker: _tracker, mut ana, mut bob, data: _data } = scene(24, 40).await;
    let typed = "a line of my own that wraps on this narrow screen";
    ana.line(typed);
    bob.receives(typed).await;
    ana.shows_row("                 screen");
    ana.ends_with(&["sala · ● bob", ">"]);
    assert_eq!(ana.text().matches("a line of my own").count(), 1, "{}", ana.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn tab_completes_commands_rooms_and_users() {
    let Scene { tracker, mut ana, bob: _bob, data: _data } = scene(24, 80).await;
    tracker.peer("carla").await.create("sala de estar").await;
    ana.keys("/whoa\t");
    ana.ends_with(&["sala · ● bob", "> /whoami"]);
    ana.keys("\x15/rooms");
    ana.keys("\r");
    ana.shows("sala de estar");
    ana.keys("/join sala d\t");
    ana.ends_with(&["sala · ● bob", "> /join sala de estar"]);
    ana.keys("\x15@b\t");
    ana.ends_with(&["sala · ● bob", "> @bob"]);
    ana.keys("\x15hey bo\t");
    ana.ends_with(&["sala · ● bob", "> hey bob"]);
    ana.keys("\x15/join s\t");
    ana.ends_with(&["sala · ● bob", "> /join sala"]);
    ana.keys("\t");
    ana.ends_with(&["  sala           sala de estar", "sala · ● bob", "> /join sala"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn pasted_or_written_several_lines_are_one_message() {
    let Scene { tracker: _tracker, mut ana, mut bob, data: _data } = scene(24, 80).await;
    ana.paste("first\nsecond\n  third");
    ana.ends_with(&["> first", "second", "  third"]);
    ana.keys("\r");
    bob.receives("first\nsecond\n  third").await;
    ana.keys(&format!("one{ALT_ENTER}two\r"));
    bob.receives("one\ntwo").await;
    ana.shows_row("                 two");
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_typed_at_once_are_all_read_in_order() {
    let Scene { tracker: _tracker, mut ana, mut bob, data: _data } = scene(24, 80).await;
    let lines: Vec<_> = (0..200).map(|n| format!("line {n}")).collect();
    ana.keys(&format!("{}\r", lines.join("\r")));
    assert_eq!(bob.next_messages(200).await, lines);
}

#[tokio::test(flavor = "multi_thread")]
async fn up_recalls_and_down_comes_back_to_the_draft() {
    let Scene { tracker: _tracker, mut ana, mut bob, data: _data } = scene(24, 80).await;
    for line in ["one", "two"] {
        ana.line(line);
        bob.receives(line).await;
    }
    ana.keys("draft");
    let first = "> /join sala";
    let steps = [UP, UP, UP, UP, DOWN, DOWN, DOWN, DOWN];
    let shown = ["> two", "> one", first, first, "> one", "> two", "> draft", "> draft"];
    for (key, shown) in steps.into_iter().zip(shown) {
        ana.keys(key);
        ana.ends_with(&["sala · ● bob", shown]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn recalled_line_is_edited_at_its_end() {
    let Scene { mut ana, bob: _bob, tracker: _tracker, data: _data } = scene(24, 80).await;
    ana.line("first");
    ana.shows("<ana> first");
    ana.keys(UP);
    ana.keys("\x7fed");
    ana.ends_with(&["sala · ● bob", "> firsed"]);
    ana.keys(UP);
    ana.ends_with(&["sala · ● bob", "> /join sala"]);
    ana.keys(DOWN);
    ana.keys("!\r");
    ana.shows("<ana> first!");
}

#[tokio::test(flavor = "multi_thread")]
async fn password_stays_hidden_after_the_program_was_stopped() {
    let Scene { mut ana, tracker: _tracker, data: _data, .. } = scene(24, 80).await;
    ana.line("/password");
    ana.shows_row("The password you have (not shown; empty ends this)");
    signal(ana.id(), Signal::STOP);
    ana.cook();
    assert!(ana.is_cooked(), "the control: a shell leaves these modes");
    signal(ana.id(), Signal::CONT);
    ana.is_raw_again();
    ana.line("the canary");
    ana.shows("✗ wrong password: 2 tries left");
    assert!(!ana.text().contains("canary"));
}

#[tokio::test(flavor = "multi_thread")]
async fn status_row_counts_unread_messages_and_switching_shows_them() {
    let Scene { tracker: _tracker, mut ana, bob, data: _data } = scene(24, 80).await;
    ana.line("/create equipe");
    ana.ends_with(&["equipe", ">"]);
    ana.keys("typing");
    bob.say("first missed").await;
    ana.ends_with(&["· new in sala: /switch sala", "equipe [sala 1]", "> typing"]);
    bob.say("second missed").await;
    ana.ends_with(&["· new in sala: /switch sala", "equipe [sala 2]", "> typing"]);
    bob.tell("ana", "in private").await.unwrap();
    ana.ends_with(&["equipe [sala 2, @bob 1]", "> typing"]);
    ana.shows("[PRIVATE from bob] in private");
    ana.keys("\x15/switch sala\r");
    ana.ends_with(&["sala [@bob 1] · ● bob", ">"]);
    ana.shows("second missed");
    let rows = ana.rows();
    let missed: Vec<_> = rows.iter().filter(|row| row.contains("missed")).collect();
    assert!(
        missed[0].ends_with("<bob> first missed") && missed[1].ends_with("<bob> second missed"),
        "{rows:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_tracker_is_shown_and_its_return_too() {
    let Scene { mut tracker, mut ana, bob: _bob, data: _data } = scene(24, 80).await;
    tracker.down().await;
    ana.ends_with(&["sala (offline: tracker) · ● bob", ">"]);
    ana.shows("talk goes on");
    tracker.up().await;
    ana.shows("the tracker is back");
    ana.wait("calm", |screen| !screen.rows().iter().any(|row| row.starts_with("sala (offline")));
}

#[tokio::test(flavor = "multi_thread")]
async fn start_without_a_tracker_says_what_to_type_if_it_moved() {
    let Scene { mut tracker, mut ana, bob: _bob, data } = scene(24, 80).await;
    ana.line("/quit");
    assert_eq!(ana.end(), 0);
    tracker.down().await;
    let mut arguments = flags(tracker.address, data.path());
    arguments.extend(["--username", "ana"].map(Into::into));
    let mut ana = Screen::start(&arguments, &[("PEER_PASSWORD", PASSWORD)], 24, 80);
    ana.shows("Welcome, ana.");
    ana.shows("--tracker HOST:PORT; your account comes along");
    // The room of the last run is open.
    ana.ends_with(&["sala (offline: tracker) · ● bob", ">"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_text_steers_nothing_and_imitates_no_user() {
    let Scene { tracker: _tracker, mut ana, mut bob, data: _data } = scene(24, 80).await;
    bob.say("\u{1b}[2J\u{1b}]0;title\u{7}\u{9b}31m gone?\n[00:00:00] <ana> I owe bob money\n> /quit").await;
    // The text names ana, so it is marked, and its further rows are indented as far.
    ana.shows_row("                    > /quit");
    ana.shows("\\u{1b}[2J\\u{1b}]0;title\\u{7}\\u{9b}31m gone?");
    ana.shows_row("                    [00:00:00] <ana> I owe bob money");
    ana.shows("Welcome, ana.");
    ana.line("still here");
    bob.receives("still here").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mention_rings_and_stands_out() {
    let Scene { tracker: _tracker, mut ana, bob, data: _data } = scene(24, 80).await;
    bob.say("banana").await;
    ana.shows("banana");
    assert!(!ana.bytes().contains(&7));
    bob.say("hey Ana!").await;
    ana.shows("hey Ana!");
    ana.wait("the bell", |screen| screen.bytes().contains(&7));
    assert!(String::from_utf8_lossy(&ana.bytes()).contains("\x1b[1;7mhey Ana!"));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_color_is_respected() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut arguments = flags(tracker.address, data.path());
    arguments.extend(["--username", "ana", "--register"].map(Into::into));
    let mut ana = Screen::start(&arguments, &[("PEER_PASSWORD", PASSWORD), ("NO_COLOR", "1")], 24, 80);
    ana.ends_with(&["lobby", ">"]);
    ana.line("/rooms");
    ana.shows("no rooms yet");
    assert!(!String::from_utf8_lossy(&ana.bytes()).contains("m/create"), "{}", ana.text());
    assert!(
        !ana.bytes().windows(3).any(|bytes| bytes == b"\x1b[3" || bytes == b"\x1b[1" || bytes == b"\x1b[0")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn however_it_ends_the_terminal_is_given_back() {
    let tracker = Tracker::start().await;
    for (n, way) in ["/quit\r", "\x03\x03", CTRL_D, "TERM", "newer login"].into_iter().enumerate() {
        let data = tempfile::tempdir().unwrap();
        let name = format!("ana{n}");
        let mut ana = Screen::user(tracker.address, data.path(), &name, 24, 80);
        assert!(!ana.is_cooked() && ana.marks_pastes());
        let status = match way {
            "TERM" => {
                signal(ana.id(), Signal::TERM);
                0
            }
            "newer login" => {
                let elsewhere = tempfile::tempdir().unwrap();
                let mut newer = programs::Piped::bot(tracker.address, elsewhere.path(), &name, false);
                newer.event("logged_in");
                1
            }
            keys => {
                ana.keys(keys);
                0
            }
        };
        assert_eq!(ana.end(), status, "{way}");
        ana.wait("the terminal back", |screen| screen.is_cooked() && !screen.marks_pastes());
        let last = if status == 0 { "Goodbye." } else { "peer: " };
        ana.wait(last, |screen| screen.rows().last().is_some_and(|row| row.starts_with(last)));
        assert!(!ana.rows().iter().any(|row| row.trim() == ">"), "no prompt is left behind: {}", ana.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_before_signing_in_gives_the_terminal_back_too() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut ana = Screen::start(&flags(tracker.address, data.path()), &[], 24, 80);
    ana.shows("Your name:");
    ana.line("ana");
    ana.shows("Password:");
    assert!(!ana.is_cooked());
    ana.keys(CTRL_C);
    assert_eq!(ana.end(), 0);
    ana.wait("the terminal back", |screen| screen.is_cooked());
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_message_names_its_recipient_and_arrives_on_return() {
    let Scene { tracker: _tracker, mut ana, bob, data: _data } = scene(24, 100).await;
    bob.service.stop().await;
    ana.shows("*** bob went offline, the seat is kept");
    ana.line("are you there?");
    ana.shows_row("… your message waits here for bob");
    ana.ends_with(&["sala (1 message waits) · ○ bob", ">"]);
    let mut bob = bob.again_after_death().await;
    ana.shows_row("✓ bob has your message now");
    bob.receives("are you there?").await;
    ana.ends_with(&["sala · ● bob", ">"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn history_password_is_asked_for_and_never_shown() {
    let Scene { tracker: _tracker, mut ana, mut bob, data: _data } = scene(24, 80).await;
    ana.line("something to look back at");
    bob.receives("something to look back at").await;
    ana.line("/search look");
    ana.shows_row("Your password, to look back: 3 tries left (not shown; empty ends this)");
    // Messages are shown above the question.
    bob.say("still here?").await;
    ana.shows("<bob> still here?");
    ana.line("the canary");
    ana.shows_row("✗ wrong password");
    ana.shows_row("Your password, to look back: 2 tries left (not shown; empty ends this)");
    ana.line("");
    ana.shows_row("✗ the history stays locked");
    ana.ends_with(&["sala · ● bob", ">"]);
    ana.line("/search look");
    ana.shows_row("Your password, to look back: 2 tries left (not shown; empty ends this)");
    ana.line(PASSWORD);
    ana.shows_row("── 1 message found, the newest last ──");
    ana.ends_with(&["sala · ● bob", ">"]);
    ana.keys(UP);
    ana.ends_with(&["sala · ● bob", "> /search look"]);
    ana.keys("\x05\x15");
    // The history is unlocked now: entering a room shows its earlier messages.
    ana.line("/create equipe");
    ana.ends_with(&["equipe", ">"]);
    ana.line("/switch sala");
    ana.wait("what was said before", |screen| screen.text().matches("<bob> still here?").count() == 2);
    let shown = String::from_utf8_lossy(&ana.bytes()).into_owned();
    assert!(!shown.contains("canary") && !shown.contains(PASSWORD), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn third_wrong_password_ends_the_program_and_frees_the_terminal() {
    let Scene { tracker: _tracker, mut ana, bob: _bob, data: _data } = scene(24, 80).await;
    ana.line("/history");
    for tries in ["3 tries", "2 tries", "1 try"] {
        ana.shows(&format!("to look back: {tries} left"));
        ana.line("wrong");
    }
    assert_eq!(ana.end(), 1);
    ana.wait("the terminal back", |screen| screen.is_cooked());
    ana.shows("peer: too many wrong passwords");
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_text_is_shown_above_the_reason() {
    let Scene { tracker: _tracker, mut ana, bob: _bob, data: _data } = scene(24, 80).await;
    ana.line("@nobody are you there?");
    ana.shows_row("> @nobody are you there?");
    ana.shows("✗ there is no user nobody");
    ana.line("/jion sala");
    ana.shows_row("✗ there is no /jion: did you mean /join?");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_password_is_asked_for_and_never_shown() {
    let Scene { tracker, mut ana, bob, data: _data } = scene(24, 80).await;
    ana.line("/password");
    ana.shows_row("The password you have (not shown; empty ends this)");
    ana.line("canary of before");
    ana.shows("✗ wrong password: 2 tries left");
    ana.shows_row("The password you have (not shown; empty ends this)");
    ana.line(PASSWORD);
    ana.shows_row("The new one");
    // Messages are shown above the question.
    bob.say("still here?").await;
    ana.shows("<bob> still here?");
    ana.keys("canaryx\x7f");
    ana.line(" one");
    ana.shows_row("The new one again");
    ana.line("another canary");
    ana.shows("✗ The two new passwords are different. Type the new one again, twice.");
    ana.shows_row("The new one");
    ana.line("canary one");
    ana.shows_row("The new one again");
    ana.paste("canary one");
    ana.line("");
    ana.shows("your password is changed");
    ana.keys(UP);
    ana.ends_with(&["sala · ● bob", "> /password"]);
    // The key restores the last cut text, which is the line and never an answer.
    ana.keys("\x15\x19\x15");
    ana.line("now everybody sees it");
    ana.shows("<ana> now everybody sees it");
    assert!(!String::from_utf8_lossy(&ana.bytes()).contains("canary"));
    ana.line("/quit");
    ana.end();
    let elsewhere = tempfile::tempdir().unwrap();
    let mut arguments = flags(tracker.address, elsewhere.path());
    arguments.extend(["--username", "ana"].map(Into::into));
    let mut again = Screen::start(&arguments, &[("PEER_PASSWORD", "canary one")], 24, 80);
    again.shows("Welcome, ana.");
}

/// A tracker that accepts no more new accounts in this hour.
async fn a_weary_tracker() -> Tracker {
    let tracker = Tracker::start_with(|config| config.limit_loopback = true).await;
    for name in ["a", "b", "c", "d", "e"] {
        tracker.peer(name).await.dies().await;
    }
    tracker
}

#[tokio::test(flavor = "multi_thread")]
async fn rate_limited_user_sees_the_wait_and_can_retry() {
    let tracker = a_weary_tracker().await;
    let data = tempfile::tempdir().unwrap();
    let mut ana = Screen::start(&flags(tracker.address, data.path()), &[("PEER_PASSWORD", PASSWORD)], 24, 80);
    ana.shows("Your name:");
    ana.line("ana");
    ana.shows("Make one? [Y/n]");
    ana.line("y");
    ana.shows("wait");
    ana.shows("Try again? [Y/n]");
    ana.line("y");
    ana.wait("the question again", |screen| screen.text().matches("Try again?").count() == 2);
    ana.line("n");
    assert_eq!(ana.end(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_tracker_key_is_reported_before_the_password() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut ana = Screen::user(tracker.address, data.path(), "ana", 24, 80);
    ana.line("/quit");
    assert_eq!(ana.end(), 0);
    // The same address has another key.
    let known = data.path().join("known_trackers.json");
    let text = std::fs::read_to_string(&known).unwrap();
    let (before, digits) = text.split_at(text.rfind("\": \"").unwrap() + 4);
    let changed = digits.chars().next().map(|digit| if digit == '0' { '1' } else { '0' }).unwrap();
    std::fs::write(&known, format!("{before}{changed}{}", &digits[1..])).unwrap();
    let mut again = Screen::start(&flags(tracker.address, data.path()), &[], 24, 80);
    again.shows("has another key than before");
    assert_eq!(again.end(), 1);
    let output = again.text();
    let keys: Vec<_> = again.rows().into_iter().map(|row| row.trim().to_owned()).collect();
    let keys: Vec<_> = keys.iter().filter(|row| row.parse::<PublicKey>().is_ok()).collect();
    assert!(keys.len() == 3 && keys[1] == keys[2], "each key has a row of its own: {output}");
    assert!(!output.contains("Password") && !output.contains("Your name"), "{output}");
    assert_eq!(output.matches("another key").count(), 1, "{output}");
    // The command that the message suggests works.
    let mut accepted = flags(tracker.address, data.path());
    accepted[1] = format!("{}#{}", tracker.address, keys[1]);
    let mut accepted = Screen::start(&accepted, &[("PEER_PASSWORD", PASSWORD)], 24, 80);
    accepted.shows("Welcome, ana.");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_password_can_be_changed_without_a_conversation() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut ana = Screen::user(tracker.address, data.path(), "ana", 24, 80);
    ana.line("/quit");
    ana.end();
    let mut arguments = flags(tracker.address, data.path());
    arguments.extend(["password", "--username", "ana"].map(Into::into));
    let mut change = Screen::start(&arguments, &[], 24, 80);
    change.shows("Password:");
    change.line(PASSWORD);
    change.shows("New password:");
    change.line("the canary");
    change.shows("The same again:");
    change.line("the canary");
    change.shows("the password is changed");
    assert_eq!(change.end(), 0);
    assert!(!String::from_utf8_lossy(&change.bytes()).contains("canary"));
    let mut again = Screen::start(&flags(tracker.address, data.path()), &[], 24, 80);
    again.shows("Password of ana:");
    again.line("the canary");
    again.shows("Welcome, ana.");
}

#[tokio::test(flavor = "multi_thread")]
async fn second_start_asks_only_for_the_password_of_a_single_account() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let ended = |name: &str| {
        let mut screen = Screen::user(tracker.address, data.path(), name, 24, 80);
        screen.line("/quit");
        assert_eq!(screen.end(), 0);
    };
    ended("ana");
    let start = || Screen::start(&flags(tracker.address, data.path()), &[], 24, 80);
    let mut again = start();
    again.shows("Password of ana:");
    again.shows("--username NAME");
    assert!(!again.text().contains("Your name"), "{}", again.text());
    again.line(PASSWORD);
    again.shows("Welcome, ana.");
    again.line("/quit");
    again.end();
    ended("bob");
    let mut again = start();
    again.shows("Accounts on this computer: ana, bob");
    again.shows("Your name:");
    again.line("bob");
    again.shows("Password:");
    again.line(PASSWORD);
    again.shows("Welcome, bob.");
}

#[tokio::test(flavor = "multi_thread")]
async fn user_keeps_the_account_when_the_tracker_moves() {
    let mut tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut ana = Screen::user(tracker.address, data.path(), "ana", 24, 80);
    ana.line("/create sala");
    ana.line("/quit");
    assert_eq!(ana.end(), 0);
    tracker.down().await;
    let mut lost = Screen::start(&flags(tracker.address, data.path()), &[], 24, 80);
    // At the old address the local data opens all the same.
    lost.shows("Password of ana:");
    lost.line(PASSWORD);
    lost.shows("*** the tracker is out of reach");
    lost.line("/quit");
    assert_eq!(lost.end(), 0);
    tracker.moves().await;
    let mut again = Screen::start(&flags(tracker.address, data.path()), &[], 24, 80);
    again.shows("Password of ana:");
    again.line(PASSWORD);
    again.shows("*** the tracker of");
    again.shows("sala");
    again.line("/whoami");
    again.shows(&format!("its key    {}", tracker.key()));
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_tracker_key_is_reported_as_such() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut arguments = flags(tracker.address, data.path());
    arguments[1] = format!("{}#{}", tracker.address, PublicKey::new([7; 32]));
    let mut ana = Screen::start(&arguments, &[], 24, 80);
    ana.shows("has another key than the one you gave");
    ana.shows_row(&format!("   {}", PublicKey::new([7; 32])));
    ana.shows_row(&format!("   {}", tracker.key()));
    assert_eq!(ana.end(), 1);
    assert!(!ana.text().contains("Your name"));
}

#[tokio::test(flavor = "multi_thread")]
async fn host_sees_how_others_join_in_rows_that_fit() {
    let data = tempfile::tempdir().unwrap();
    let mut arguments = flags(([127, 0, 0, 1], 0).into(), data.path());
    arguments.extend(["--username", "ana", "--register", "--host"].map(Into::into));
    let mut ana = Screen::start(&arguments, &[("PEER_PASSWORD", PASSWORD)], 24, 80);
    ana.shows("Welcome, ana.");
    let rows = ana.rows();
    let command = rows.iter().position(|row| row.starts_with("peer --tracker 127.0.0.1:")).unwrap();
    assert!(rows[command].ends_with("#\\"), "{rows:#?}");
    assert!(rows[command + 1].parse::<PublicKey>().is_ok(), "{rows:#?}");
}
