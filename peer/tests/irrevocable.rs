//! Tests of irrevocable actions at a terminal: the program asks for confirmation, and never sends the password as a
//! message.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
mod programs;

use common::{Peer, Tracker, room};
use commons::protocol::with_tracker::RoomsFate;
use peer::api::account::AccountCommand;
use peer::api::loss::Loss;
use peer::api::{Command, Event};
use programs::{Piped, Screen, flags};

const PASSWORD: &str = "correct horse";

/// A user who has registered by typing the password.
fn typed_in(tracker: &Tracker, data: &std::path::Path, name: &str) -> Screen {
    let mut flags = flags(tracker.address, data);
    flags.extend(["--username", name, "--register"].map(Into::into));
    let mut screen = Screen::start(&flags, &[], 24, 80);
    screen.shows("Password:");
    screen.line(PASSWORD);
    screen.shows("The same again:");
    screen.line(PASSWORD);
    screen.shows("lobby");
    screen
}

/// Starts ana at a screen and bob, both in a room of ana's.
async fn two_in_sala(tracker: &Tracker, data: &std::path::Path) -> (Screen, Peer) {
    let mut bob = tracker.peer("bob").await;
    let mut ana = typed_in(tracker, data, "ana");
    ana.line("/create sala");
    ana.shows("── sala ──");
    bob.join("sala").await;
    bob.linked("ana").await;
    (ana, bob)
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_a_room_with_others_in_it_wants_a_yes() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let (mut ana, mut bob) = two_in_sala(&tracker, data.path()).await;
    ana.line("/delete");
    ana.shows("Deleting sala ends it for everybody in it: bob.");
    ana.shows("Delete sala? [y/N]");
    ana.line("n");
    ana.shows("nothing was deleted");
    ana.line("still here");
    assert_eq!(bob.next_messages(1).await, ["still here"], "the answer is no message");
    ana.line("/delete");
    ana.wait("the question", |screen| screen.text().matches("ends it for everybody").count() == 2);
    ana.line("y");
    bob.until(|event| matches!(event, Event::RoomDeleted { .. })).await;
    ana.wait("the question's end", |screen| !screen.text().contains("[y/N]"));
}

#[tokio::test]
async fn deleting_a_room_not_entered_here_needs_confirmation() {
    let tracker = Tracker::start().await;
    let mut ana = tracker.peer("ana").await;
    let delete = Command::Delete { room: Some(room("sala")) };
    let loss = ana.service.loss(&delete).await;
    assert!(
        matches!(loss, Some(Loss::Room { others, .. }) if others.is_empty()),
        "its members are unknown here"
    );
    ana.create("sala").await;
    assert_eq!(ana.service.loss(&delete).await, None, "the control: an empty room of one's own");
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_an_empty_room_asks_nothing() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut ana = typed_in(&tracker, data.path(), "ana");
    ana.line("/create sala");
    ana.shows("── sala ──");
    ana.line("/delete");
    ana.shows("lobby");
    assert!(!ana.text().contains("[y/N]"));
}

#[tokio::test(flavor = "multi_thread")]
async fn leaving_a_room_wants_a_yes_and_a_private_chat_none() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let (mut ana, mut bob) = two_in_sala(&tracker, data.path()).await;
    ana.line("/leave");
    ana.shows("You stay its owner, and your seat is kept.");
    ana.shows("Leave sala? [y/N]");
    ana.line("n");
    ana.shows("you are still in it");
    ana.line("still here");
    assert_eq!(bob.next_messages(1).await, ["still here"], "the answer is no message");
    ana.line("@bob");
    ana.ends_with(&["@bob", ">"]);
    ana.line("/leave");
    ana.shows("*** the chat with bob is closed");
    ana.line("/leave sala");
    ana.wait("the question", |screen| screen.text().matches("your seat is kept").count() == 2);
    ana.line("y");
    ana.wait("the question's end", |screen| !screen.text().contains("[y/N]"));
    bob.until(|event| matches!(event, Event::RoomUpdate { username, .. } if username.as_str() == "ana"))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forgetting_a_conversation_wants_a_yes() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut ana = typed_in(&tracker, data.path(), "ana");
    ana.line("/create sala");
    ana.shows("── sala ──");
    ana.line("kept for now");
    ana.shows("<ana> kept for now");
    ana.line("/forget sala");
    ana.shows("Forget sala? [y/N]");
    ana.keys("\r");
    ana.shows("nothing was deleted");
    ana.line("/forget sala");
    ana.wait("the question", |screen| screen.text().matches("on this computer are erased").count() == 2);
    ana.line("yes");
    ana.shows("1 message erased on this computer");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_asked_about_an_unknown_conversation() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut ana = typed_in(&tracker, data.path(), "ana");
    ana.line("/forget nowhere");
    ana.shows("✗ Nothing is kept here of nowhere.");
    assert!(!ana.text().contains("[y/N]"), "{}", ana.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn control_in_a_pipe_both_are_done_at_once() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut bob = tracker.peer("bob").await;
    let mut ana = Piped::bot(tracker.address, data.path(), "ana", true);
    ana.line("/create sala");
    ana.event("room_entered");
    bob.join("sala").await;
    ana.event("link");
    ana.line("/create porto");
    ana.event("room_entered");
    ana.line("/leave porto");
    ana.event("room_left");
    ana.line("/delete sala");
    ana.event("room_deleted");
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_the_account_wants_the_password() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut ana = typed_in(&tracker, data.path(), "ana");
    ana.line("/delete-account");
    ana.shows("can undo this");
    ana.shows("Your password, to delete ana: 3 tries left (not shown; empty ends this)");
    ana.keys("\r");
    ana.shows("nothing was deleted");
    ana.line("/delete-account ana");
    // An answered prompt may leave the screen, so the new one is that below the second warning.
    ana.wait("the prompt", |screen| {
        let text = screen.text();
        let warned = text.matches("can undo this").count() == 2;
        warned && text.rfind("3 tries left") > text.rfind("can undo this")
    });
    ana.line("canary");
    ana.shows("Your password, to delete ana: 2 tries left");
    ana.line(PASSWORD);
    ana.shows("your account is deleted");
    assert_eq!(ana.end(), 0);
    let seen = String::from_utf8_lossy(&ana.bytes()).into_owned();
    assert!(!seen.contains("canary") && !seen.contains(PASSWORD));
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_the_account_of_an_owner_asks_about_rooms() {
    let tracker = Tracker::start().await;
    for (answer, is_deleted) in [("", false), ("delete", true)] {
        let data = tempfile::tempdir().unwrap();
        let (mut ana, mut bob) = two_in_sala(&tracker, data.path()).await;
        ana.line("/delete-account");
        ana.shows("You own sala.");
        ana.shows("Hand your rooms on, or delete them? [HAND ON/delete]");
        ana.line("no");
        ana.shows("nothing was deleted");
        ana.line("/delete-account ana");
        ana.wait("the question", |screen| screen.text().matches("You own sala.").count() == 2);
        ana.line(answer);
        ana.shows("Your password, to delete ana");
        ana.line(PASSWORD);
        ana.shows("your account is deleted");
        assert_eq!(ana.end(), 0);
        let fate = bob
            .until(|event| match event {
                Event::RoomDeleted { .. } => true,
                Event::RoomUpdate { room_state, .. } => room_state.owner.as_str() == "bob",
                _ => false,
            })
            .await;
        assert_eq!(matches!(fate, Event::RoomDeleted { .. }), is_deleted);
        let password = common::password_of("bob");
        let delete =
            AccountCommand::Delete { name: None, password: Some(password), rooms: RoomsFate::Delete };
        bob.run(Command::Account(delete)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_typed_at_the_sign_in_unlocks_the_history() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut ana = typed_in(&tracker, data.path(), "ana");
    ana.line("/create sala");
    ana.shows("── sala ──");
    ana.line("said here");
    ana.shows("<ana> said here");
    ana.line("/history");
    ana.shows("── sala: the last 1 message ──");
}

#[tokio::test(flavor = "multi_thread")]
async fn typed_password_is_neither_sent_nor_remembered() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let (mut ana, mut bob) = two_in_sala(&tracker, data.path()).await;
    ana.line("first");
    ana.shows("<ana> first");
    ana.line(PASSWORD);
    ana.shows("this line is your password: it was not sent");
    assert!(!ana.text().contains(PASSWORD), "it goes off the screen");
    ana.line(&format!("@bob {PASSWORD}"));
    ana.line(&format!("/msg bob {PASSWORD}"));
    // Nothing of it is left in the input, and the Up key recalls only earlier lines.
    ana.ends_with(&["sala · ● bob", ">"]);
    ana.line("next");
    ana.shows("<ana> next");
    ana.keys("\x1b[A\x1b[A");
    ana.wait("the line before it", |screen| screen.rows().last().is_some_and(|row| row.ends_with("first")));
    ana.keys("\r");
    assert_eq!(bob.next_messages(3).await, ["first", "next", "first"]);
    assert!(!ana.text().contains("correct"), "{}", ana.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn control_in_a_pipe_the_same_text_is_a_message() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut ana = Piped::bot(tracker.address, data.path(), "ana", true);
    ana.line("/create sala");
    ana.line(programs::PASSWORD);
    assert_eq!(ana.event("sent")["content"], programs::PASSWORD);
}
