//! Tests of one account on two computers: what contacts see, and what the programs report.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
mod programs;

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use common::{CHEAP_SEAL, Peer, Tracker, password_of, room, three_in, user};
use peer::api::account::AccountCommand;
use peer::api::answer::Answer;
use peer::api::conversation::Conversation;
use peer::api::error::CommandError;
use peer::api::status::Trust;
use peer::api::undeliverable::Undeliverable;
use peer::api::{Command, Event};
use peer::identity::identity_export::{AccountLocation, export, import};
use programs::{PASSWORD, Piped, flags};
use tempfile::TempDir;

fn is_change(event: &Event) -> bool {
    matches!(event, Event::KeyChanged { .. })
}

fn gets_key_not_accepted(event: &Event) -> bool {
    matches!(event, Event::Error { code, .. } if code == "KEY_CHANGED")
}

/// The trust in the name of bob, a member of the open conversation.
async fn trust_in_bob(peer: &Peer) -> Trust {
    let Ok(Answer::Users { members, .. }) = peer.run(Command::Users { conversation: None }).await else {
        panic!("no users")
    };
    members.into_iter().find(|present| present.member.username == user("bob")).unwrap().trust
}

/// Exports the account of a stopped peer and imports it into a new folder.
async fn carried(peer: &Peer, tracker: &Tracker) -> TempDir {
    let here = tempfile::tempdir().unwrap();
    let file = here.path().join("identity");
    let password = password_of(peer.name.as_str());
    let location = AccountLocation {
        data: peer.folder().to_owned(),
        tracker: tracker.address.to_string(),
        username: peer.name.clone(),
    };
    export(&location, &password, CHEAP_SEAL, &file).await.unwrap();
    import(here.path(), None, &password, CHEAP_SEAL, &file).await.unwrap();
    here
}

#[tokio::test]
async fn friends_see_no_change_where_the_account_was_carried() {
    let tracker = Tracker::start().await;
    let (ana, mut bob) = (tracker.peer("ana").await, tracker.peer("bob").await);
    ana.tell("bob", "from the old computer").await.unwrap();
    bob.receives("from the old computer").await;
    ana.service.stop().await;

    let mut moved = ana.at_home_in(carried(&ana, &tracker).await).await;
    moved.tell("bob", "from the new computer").await.unwrap();
    assert_eq!(bob.receives("from the new computer").await, user("ana"));
    bob.tell("ana", "welcome").await.unwrap();
    moved.receives("welcome").await;
    assert!(!bob.saw(is_change) && !moved.saw(is_change));

    // The old computer is still the same user: the latest sign-in has the session.
    let back = ana.again().await;
    moved.until(|event| matches!(event, Event::Error { code, .. } if code == "SUPERSEDED")).await;
    back.tell("bob", "back on the old computer").await.unwrap();
    bob.receives("back on the old computer").await;
    assert!(!bob.saw(is_change));
}

#[tokio::test]
async fn friends_see_a_change_where_only_the_password_came_along() {
    let tracker = Tracker::start().await;
    let (ana, mut bob) = (tracker.peer("ana").await, tracker.peer("bob").await);
    ana.tell("bob", "from the old computer").await.unwrap();
    bob.receives("from the old computer").await;
    ana.service.stop().await;
    let elsewhere = ana.elsewhere().await;
    elsewhere.tell("bob", "from a computer with another key").await.unwrap();
    bob.until(is_change).await;
}

#[tokio::test]
async fn room_message_waits_only_for_the_member_with_a_changed_key() {
    let tracker = Tracker::start().await;
    let [mut ana, mut bob, carla] = three_in(&tracker, "sala").await;
    carla.service.stop().await;
    let mut carla = carla.elsewhere().await;
    carla.join("sala").await;
    ana.until(is_change).await;
    ana.say("for those who are who they were").await;
    bob.receives("for those who are who they were").await;
    let held = |e: &Event| matches!(e, Event::Undelivered { to, reason: Undeliverable::KeyChanged, .. } if *to == user("carla"));
    ana.until(held).await;
    ana.until(|e| matches!(e, Event::Delivered { to, .. } if *to == user("bob"))).await;
    let waits = ana.run(Command::Outbox).await.unwrap();
    assert!(matches!(waits, Answer::Outbox { lines } if lines[0].message.waits == [user("carla")]));
    // Another member does not pass the message on to a key that is not accepted there.
    bob.until(is_change).await;
    ana.say("and one more").await;
    bob.receives("and one more").await;
    assert!(!carla.saw(|e| matches!(e, Event::Message { .. })));

    ana.run(Command::Accept { user: user("carla") }).await.unwrap();
    assert_eq!(carla.next_messages(2).await, ["for those who are who they were", "and one more"]);
    ana.until(|e| matches!(e, Event::Delivered { to, .. } if *to == user("carla"))).await;
}

/// The first digits of the new key that a sign-in on another computer has reported.
async fn digits_of_the_new_key(peer: &mut Peer) -> String {
    let Event::NewKey { fingerprint } = peer.until(|e| matches!(e, Event::NewKey { .. })).await else {
        unreachable!()
    };
    fingerprint.to_string()[..16].to_owned()
}

async fn endorse(peer: &Peer, digits: &str) -> Result<Answer, CommandError> {
    peer.run(Command::Account(AccountCommand::Endorse { key: digits.to_owned() })).await
}

#[tokio::test]
async fn contacts_see_no_change_if_the_old_device_endorsed_the_new() {
    let tracker = Tracker::start().await;
    let (mut ana, mut bob) = (tracker.peer("ana").await, tracker.peer("bob").await);
    assert!(!bob.saw(|e| matches!(e, Event::NewKey { .. })), "it is the only one");
    ana.tell("bob", "hello").await.unwrap();
    bob.receives("hello").await;
    ana.run(Command::Verified { user: user("bob") }).await.unwrap();

    let mut new = bob.elsewhere().await;
    let digits = digits_of_the_new_key(&mut new).await;
    assert_eq!(endorse(&new, &digits).await.unwrap_err().code(), "FORBIDDEN", "nobody vouches for oneself");
    let old = bob.again_after_death().await;
    assert_eq!(endorse(&old, &digits[..15]).await.unwrap_err().code(), "USAGE");
    assert_eq!(endorse(&old, &digits).await, Ok(Answer::Done));
    old.service.stop().await;

    let mut new = new.again_after_death().await;
    assert!(!new.saw(|e| matches!(e, Event::NewKey { .. })), "told once");
    new.tell("ana", "from my new computer").await.unwrap();
    assert_eq!(ana.receives("from my new computer").await, user("bob"));
    ana.tell("bob", "welcome").await.unwrap();
    new.receives("welcome").await;
    assert!(!ana.saw(is_change) && !new.saw(gets_key_not_accepted));
    ana.open(Conversation::Private(user("bob"))).await.unwrap();
    assert_eq!(trust_in_bob(&ana).await, Trust::Unverified, "the number was of the other key");

    // The key is pinned, and stays pinned after both programs restart.
    let mut ana = ana.again_after_death().await;
    ana.tell("bob", "still you").await.unwrap();
    new.receives("still you").await;
    assert!(!ana.saw(is_change));
}

#[tokio::test]
async fn warned_contact_continues_once_the_key_is_endorsed() {
    let tracker = Tracker::start().await;
    let (mut ana, mut bob) = (tracker.peer("ana").await, tracker.peer("bob").await);
    ana.create("sala").await;
    bob.join("sala").await;
    ana.linked("bob").await;
    let mut new = bob.elsewhere().await;
    new.join("sala").await;
    let digits = digits_of_the_new_key(&mut new).await;
    ana.until(is_change).await;
    ana.say("for bob, whoever that is").await;
    ana.until(|e| matches!(e, Event::Undelivered { reason: Undeliverable::KeyChanged, .. })).await;
    assert!(!new.saw(|e| matches!(e, Event::Message { .. })));
    new.service.stop().await;
    let old = bob.again_after_death().await;
    assert_eq!(endorse(&old, &digits).await, Ok(Answer::Done));
    old.service.stop().await;

    let mut new = new.again().await;
    new.linked("ana").await;
    new.receives("for bob, whoever that is").await;
    ana.open(Conversation::Room(room("sala"))).await.unwrap();
    ana.say("there you are").await;
    new.receives("there you are").await;
    new.say("here I am").await;
    assert_eq!(ana.receives("here I am").await, user("bob"));
    assert!(!ana.saw(is_change), "warned once");
    assert_eq!(trust_in_bob(&ana).await, Trust::Unverified);
}

#[tokio::test]
async fn warned_private_partner_continues_after_endorsement() {
    let tracker = Tracker::start().await;
    let (mut ana, mut bob) = (tracker.peer("ana").await, tracker.peer("bob").await);
    ana.tell("bob", "hello").await.unwrap();
    bob.receives("hello").await;
    let mut new = bob.elsewhere().await;
    let digits = digits_of_the_new_key(&mut new).await;
    new.tell("ana", "too early").await.unwrap();
    new.until(gets_key_not_accepted).await;
    ana.until(is_change).await;
    let refused = ana.tell("bob", "who are you?").await.unwrap_err();
    assert_eq!(refused, CommandError::KeyChanged(user("bob")));
    new.service.stop().await;
    let old = bob.again_after_death().await;
    assert_eq!(endorse(&old, &digits).await, Ok(Answer::Done));
    old.service.stop().await;

    let mut new = new.again().await;
    ana.tell("bob", "so it is you").await.unwrap();
    new.receives("so it is you").await;
    assert_eq!(ana.receives("too early").await, user("bob"));
}

/// Returns ana's old computer, which is off, her new one, and bob. The old computer has endorsed the new one if it is
/// `trusted`. Both have written to the room, in which bob has received it.
async fn two_computers_of_ana(tracker: &Tracker, trusted: bool) -> (Peer, Peer, Peer) {
    let (mut ana, mut bob) = (tracker.peer("ana").await, tracker.peer("bob").await);
    ana.create("sala").await;
    bob.join("sala").await;
    ana.linked("bob").await;
    ana.say("from the old computer").await;
    bob.receives("from the old computer").await;
    let mut new = ana.elsewhere().await;
    let digits = digits_of_the_new_key(&mut new).await;
    new.service.stop().await;
    let old = ana.again_after_death().await;
    if trusted {
        assert_eq!(endorse(&old, &digits).await, Ok(Answer::Done));
    }
    old.service.stop().await;
    let mut new = new.again().await;
    // The tracker's list of rooms opens no room on another computer.
    new.join("sala").await;
    if !trusted {
        bob.until(is_change).await;
        bob.run(Command::Accept { user: user("ana") }).await.unwrap();
    }
    new.linked("bob").await;
    new.say("from the new computer").await;
    bob.receives("from the new computer").await;
    (old, new, bob)
}

#[tokio::test]
async fn message_of_own_other_device_comes_from_a_member() {
    let tracker = Tracker::start().await;
    let (old, mut new, mut bob) = two_computers_of_ana(&tracker, true).await;
    assert_eq!(new.receives("from the old computer").await, user("ana"));
    new.service.stop().await;
    let mut old = old.again().await;
    let missed = old.until(|e| matches!(e, Event::Missed { .. })).await;
    assert!(matches!(missed, Event::Missed { lines: 1, .. }), "{missed:?}");
    assert_eq!(old.receives("from the new computer").await, user("ana"));
    old.say("back").await;
    bob.receives("back").await;
    assert!(!old.saw(|e| matches!(e, Event::Error { .. })) && !old.saw(is_change));
}

/// The control: the password alone makes no key whose messages count as one's own.
#[tokio::test]
async fn control_message_by_an_unendorsed_key_is_not_own() {
    let tracker = Tracker::start().await;
    let (old, new, bob) = two_computers_of_ana(&tracker, false).await;
    new.service.stop().await;
    let mut old = old.again().await;
    old.linked("bob").await;
    bob.say("are you there?").await;
    old.receives("are you there?").await;
    assert!(
        !old.saw(|e| matches!(e, Event::Message { content, .. } if *content == *"from the new computer"))
    );
}

#[tokio::test]
async fn own_keys_are_fetched_when_the_tracker_comes_later() {
    let mut tracker = Tracker::start().await;
    let (old, new, _bob) = two_computers_of_ana(&tracker, true).await;
    new.service.stop().await;
    tracker.down().await;
    let mut old = old.again().await;
    old.linked("bob").await;
    let is_from_the_new =
        |e: &Event| matches!(e, Event::Message { content, .. } if *content == *"from the new computer");
    assert!(!old.saw(is_from_the_new), "its key is not known yet");
    tracker.up().await;
    old.until(|e| matches!(e, Event::LoggedIn { .. })).await;
    assert_eq!(old.receives("from the new computer").await, user("ana"));
}

/// Matches one's own message from another computer in the private chat with bob.
fn is_own_to_bob(text: &'static str) -> impl Fn(&Event) -> bool {
    move |event| {
        let Event::Message { room: None, from, to: Some(to), content, .. } = event else { return false };
        *from == user("ana") && *to == user("bob") && *content == *text
    }
}

/// Returns ana's two computers, both off, and bob. The first computer has endorsed the second if it is `trusted`. Each
/// has written to bob in private, and they share no room.
async fn two_computers_that_wrote_to_bob(tracker: &Tracker, trusted: bool) -> (Peer, Peer, Peer) {
    let (ana, mut bob) = (tracker.peer("ana").await, tracker.peer("bob").await);
    ana.tell("bob", "from the old computer").await.unwrap();
    bob.receives("from the old computer").await;
    let mut new = ana.elsewhere().await;
    let digits = digits_of_the_new_key(&mut new).await;
    new.service.stop().await;
    let old = ana.again_after_death().await;
    if trusted {
        assert_eq!(endorse(&old, &digits).await, Ok(Answer::Done));
    }
    old.service.stop().await;
    let new = new.again().await;
    new.tell("bob", "from the new computer").await.unwrap();
    if !trusted {
        bob.until(is_change).await;
        bob.run(Command::Accept { user: user("ana") }).await.unwrap();
    }
    bob.receives("from the new computer").await;
    (old, new, bob)
}

#[tokio::test]
async fn private_message_of_own_other_device_comes_from_partner() {
    let tracker = Tracker::start().await;
    let (old, mut new, mut bob) = two_computers_that_wrote_to_bob(&tracker, true).await;
    new.until(is_own_to_bob("from the old computer")).await;
    new.service.stop().await;
    let mut old = old.again().await;
    old.open(Conversation::Private(user("bob"))).await.unwrap();
    let missed = old.until(|e| matches!(e, Event::Missed { .. })).await;
    assert!(matches!(missed, Event::Missed { people: 0, lines: 1, .. }), "{missed:?}");
    old.until(is_own_to_bob("from the new computer")).await;
    old.say("back").await;
    bob.receives("back").await;
    assert!(!old.saw(|e| matches!(e, Event::Error { .. })) && !old.saw(is_change));
}

/// The control: the password alone makes no key whose private messages count as one's own.
#[tokio::test]
async fn control_private_message_by_unendorsed_key_is_not_own() {
    let tracker = Tracker::start().await;
    let (old, new, mut bob) = two_computers_that_wrote_to_bob(&tracker, false).await;
    new.service.stop().await;
    let mut old = old.again().await;
    bob.tell("ana", "are you there?").await.unwrap();
    old.receives("are you there?").await;
    old.tell("bob", "yes").await.unwrap();
    bob.receives("yes").await;
    assert!(!old.saw(is_own_to_bob("from the new computer")));
}

/// Runs the program to its end. Returns its status and all its output.
fn run(data: &Path, tracker: &Tracker, more: &[&str]) -> (Option<i32>, String) {
    let mut arguments: Vec<String> = more.iter().map(|word| (*word).to_owned()).collect();
    arguments.extend(flags(tracker.address, data));
    let end = Piped::start(&arguments, Some(PASSWORD)).end();
    (end.status, [end.stdout, end.stderr].concat().join("\n"))
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

    let (status, output) = run(there.path(), &tracker, &["identity", "export", name, "--username", "ana"]);
    assert_eq!(status, Some(0), "{output}");
    assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o600);
    let again = run(there.path(), &tracker, &["identity", "export", name, "--username", "ana"]);
    assert_eq!(again.0, Some(1), "{}", again.1);

    // Without the right --tracker, the program says where the account is.
    let elsewhere =
        ["--tracker", "127.0.0.1:1", "--username", "ana", "identity", "export", name].map(Into::into);
    let data = ["--data".to_owned(), there.path().to_str().unwrap().to_owned()];
    let end = Piped::start(&[&elsewhere[..], &data].concat(), Some(PASSWORD)).end();
    let named = format!("--tracker {}", tracker.address);
    assert!(end.status == Some(1) && end.stderr.concat().contains(&named), "{end:?}");

    let (status, output) = run(here.path(), &tracker, &["identity", "import", name]);
    assert_eq!(status, Some(0), "{output}");
    assert!(output.contains("--username ana"), "{output}");
    let (status, output) = run(here.path(), &tracker, &["identity", "import", name]);
    assert!(status == Some(1) && output.contains("--data"), "{output}");
    // It signs in by the key, because the tracker knows no other.
    let mut moved = Piped::bot(tracker.address, here.path(), "ana", false);
    moved.line("/keys");
    assert_eq!(moved.event("keys")["keys"].as_array().unwrap().len(), 1);
    assert_eq!(run(here.path(), &tracker, &["identity"]).0, Some(2));
}
