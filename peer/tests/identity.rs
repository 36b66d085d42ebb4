//! One account on two computers: what friends see of it, and what the programs say.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
mod programs;

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use common::{CHEAP_SEAL, Peer, Tracker, password_of, three_in, user};
use peer::api::{Answer, Command, Event, Undeliverable};
use peer::identity::identity_file::{Place, export, import};
use programs::{Piped, flags};
use tempfile::TempDir;

fn is_change(event: &Event) -> bool {
    matches!(event, Event::KeyChanged { .. })
}

/// Carries the account of a peer that has ended into a new folder.
async fn carried(peer: &Peer, tracker: &Tracker) -> TempDir {
    let here = tempfile::tempdir().unwrap();
    let file = here.path().join("identity");
    let password = password_of(peer.name.as_str());
    let place = Place {
        data: peer.folder().to_owned(),
        tracker: tracker.address.to_string(),
        username: peer.name.clone(),
    };
    export(&place, &password, CHEAP_SEAL, &file).await.unwrap();
    import(here.path(), None, &password, CHEAP_SEAL, &file).await.unwrap();
    here
}

#[tokio::test]
async fn friends_see_no_change_where_the_account_was_carried() {
    let tracker = Tracker::start().await;
    let (ana, mut bob) = (tracker.peer("ana").await, tracker.peer("bob").await);
    ana.tell("bob", "from the old computer").await.unwrap();
    bob.hears("from the old computer").await;
    ana.service.stop().await;

    let mut moved = ana.at_home_in(carried(&ana, &tracker).await).await;
    moved.tell("bob", "from the new computer").await.unwrap();
    assert_eq!(bob.hears("from the new computer").await, user("ana"));
    bob.tell("ana", "welcome").await.unwrap();
    moved.hears("welcome").await;
    assert!(!bob.saw(is_change) && !moved.saw(is_change));

    // The old one is the same user still: whoever signs in last is the one who is there.
    let back = ana.again().await;
    moved.until(|event| matches!(event, Event::Error { code, .. } if code == "SUPERSEDED")).await;
    back.tell("bob", "back on the old computer").await.unwrap();
    bob.hears("back on the old computer").await;
    assert!(!bob.saw(is_change));
}

#[tokio::test]
async fn friends_see_a_change_where_only_the_password_came_along() {
    let tracker = Tracker::start().await;
    let (ana, mut bob) = (tracker.peer("ana").await, tracker.peer("bob").await);
    ana.tell("bob", "from the old computer").await.unwrap();
    bob.hears("from the old computer").await;
    ana.service.stop().await;
    let elsewhere = ana.elsewhere().await;
    elsewhere.tell("bob", "from a computer with another key").await.unwrap();
    bob.until(is_change).await;
}

#[tokio::test]
async fn a_line_to_a_room_waits_for_the_member_whose_key_is_not_accepted_and_for_nobody_else() {
    let tracker = Tracker::start().await;
    let [mut ana, mut bob, carla] = three_in(&tracker, "sala").await;
    carla.service.stop().await;
    let mut carla = carla.elsewhere().await;
    ana.until(is_change).await;
    ana.say("for those who are who they were").await;
    bob.hears("for those who are who they were").await;
    let held = |e: &Event| matches!(e, Event::Undelivered { to, reason: Undeliverable::KeyChanged, .. } if *to == user("carla"));
    ana.until(held).await;
    ana.until(|e| matches!(e, Event::Delivered { to, .. } if *to == user("bob"))).await;
    let waits = ana.run(Command::Outbox).await.unwrap();
    assert!(matches!(waits, Answer::Outbox { lines } if lines[0].line.waits == [user("carla")]));
    // Neither does somebody else hand it on to a key that was not accepted there.
    bob.until(is_change).await;
    ana.say("and one more").await;
    bob.hears("and one more").await;
    assert!(!carla.saw(|e| matches!(e, Event::Message { .. })));

    ana.run(Command::Accept { user: user("carla") }).await.unwrap();
    assert_eq!(carla.next_lines(2).await, ["for those who are who they were", "and one more"]);
    ana.until(|e| matches!(e, Event::Delivered { to, .. } if *to == user("carla"))).await;
}

/// Runs the program to its end: its status and all that it said.
fn run(data: &Path, tracker: &Tracker, more: &[&str]) -> (Option<i32>, String) {
    let mut arguments: Vec<String> = more.iter().map(|word| (*word).to_owned()).collect();
    arguments.extend(flags(tracker.address, data));
    let end = Piped::start(&arguments, Some("secret")).end();
    (end.status, [end.said, end.complained].concat().join("\n"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_carries_an_account_in_a_file_for_its_user_alone() {
    let tracker = Tracker::start().await;
    let (there, here) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut ana = Piped::bot(tracker.address, there.path(), "ana", true);
    ana.close_input();
    assert_eq!(ana.end().status, Some(0));
    let file = there.path().join("ana.identity");
    let name = file.to_str().unwrap();

    let (status, said) = run(there.path(), &tracker, &["identity", "export", name, "--username", "ana"]);
    assert_eq!(status, Some(0), "{said}");
    assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o600);
    let again = run(there.path(), &tracker, &["identity", "export", name, "--username", "ana"]);
    assert_eq!(again.0, Some(1), "{}", again.1);

    let (status, said) = run(here.path(), &tracker, &["identity", "import", name]);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("--username ana"), "{said}");
    let (status, said) = run(here.path(), &tracker, &["identity", "import", name]);
    assert!(status == Some(1) && said.contains("--data"), "{said}");
    // It signs in by the key: the tracker knows no other.
    let mut moved = Piped::bot(tracker.address, here.path(), "ana", false);
    moved.line("/keys");
    assert_eq!(moved.event("keys")["keys"].as_array().unwrap().len(), 1);
    assert_eq!(run(here.path(), &tracker, &["identity"]).0, Some(2));
}
