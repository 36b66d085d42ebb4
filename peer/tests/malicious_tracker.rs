//! Tests against a malicious tracker: its claims about rooms and members open no closed room and reveal no history.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
mod false_tracker;
mod raw_client;

use common::{Peer, Tracker, room, user};
use commons::keys::Seed;
use commons::snapshot::ChangeKind;
use false_tracker::{Claim, FalseTracker, Link};
use peer::api::account::AccountCommand;
use peer::api::answer::Answer;
use peer::api::conversation::Conversation;
use peer::api::status::LinkState;
use peer::api::status::{MemberStatus, TrackerState, Trust};
use peer::api::{Command, Event};
use serde_json::{Value, json};
use uuid::Uuid;

/// The tracker's claim about sala at a revision, with each member's first revision.
fn sala(revision: u64, members: &[(&'static str, u64)]) -> Claim {
    Claim { id: Uuid::from_u128(0x5a1a), name: "sala", revision, members: members.to_vec() }
}

fn entered(name: &str) -> impl Fn(&Event) -> bool {
    move |event| matches!(event, Event::RoomEntered { room } if room.name.as_str() == name)
}

fn available(name: &str) -> impl Fn(&Event) -> bool {
    let announced = json!({"event": "room_available", "room": name});
    move |event| serde_json::to_value(event).unwrap() == announced
}

fn joined(name: &str) -> impl Fn(&Event) -> bool {
    move |event| matches!(event, Event::RoomUpdate { username, change: ChangeKind::Joined, .. } if *username == user(name))
}

fn is_change(event: &Event) -> bool {
    matches!(event, Event::KeyChanged { .. })
}

/// Starts ana and bob in sala with carla, a member with a key of her own, whom both have seen there from the beginning.
async fn talk_of_two(tracker: &FalseTracker, carla: &Seed) -> (Peer, Peer) {
    tracker.announces("carla", &[carla.public_key()]);
    let mut ana = Peer::register(tracker.address, "ana").await;
    let mut bob = Peer::register(tracker.address, "bob").await;
    let three = [("ana", 1), ("bob", 2), ("carla", 3)];
    tracker.lets_enter(&sala(3, &three));
    ana.join("sala").await;
    bob.join("sala").await;
    ana.linked("bob").await;
    ana.say("a secret of ana").await;
    bob.receives("a secret of ana").await;
    bob.say("a secret of bob").await;
    ana.receives("a secret of bob").await;
    (ana, bob)
}

/// The messages and streams that a hand-written client gets from ana when it asks for these streams of sala.
async fn gets(ana: &Peer, name: &str, seed: &Seed, streams: Option<&Value>) -> (Vec<String>, Value) {
    let id = sala(0, &[]).id;
    let mut link = Link::dial(ana.service.local_addr(), name, seed).await;
    let announced = link.announced(id).await;
    let mut got = link.request(id, streams.unwrap_or(&announced)).await;
    got.sort();
    (got, announced)
}

#[tokio::test]
async fn a_ghost_member_gets_nothing_from_before_it_was_seen() {
    let tracker = FalseTracker::start().await;
    let (carla, ghost) = (Seed::random().unwrap(), Seed::random().unwrap());
    let (mut ana, _bob) = talk_of_two(&tracker, &carla).await;

    // The control: carla was a member when it was written, and the same request returns it.
    let (got, streams) = gets(&ana, "carla", &carla, None).await;
    assert_eq!(got, ["a secret of ana", "a secret of bob"]);

    // The tracker adds a member and claims that it was there from the beginning.
    tracker.announces("mallory", &[ghost.public_key()]);
    let claim = sala(9, &[("ana", 1), ("bob", 2), ("mallory", 1)]);
    tracker.tells("joined", "mallory", &claim);
    ana.until(joined("mallory")).await;
    let (got, announced) = gets(&ana, "mallory", &ghost, Some(&streams)).await;
    assert_eq!(got, [""; 0], "the ghost was given what was written before it came");
    assert_eq!(announced, Value::Array(Vec::new()), "not even how much there is");
    let mut link = Link::dial(ana.service.local_addr(), "mallory", &ghost).await;
    ana.say("everybody sees mallory now").await;
    assert_eq!(link.receives().await, "everybody sees mallory now");

    // The same holds if ana's program was not running when the false member appeared.
    ana.service.stop().await;
    let eve = Seed::random().unwrap();
    tracker.announces("eve", &[eve.public_key()]);
    tracker.set_rooms(&[sala(20, &[("ana", 1), ("bob", 2), ("eve", 1)])]);
    let mut ana = ana.again().await;
    ana.until(entered("sala")).await;
    let (got, _) = gets(&ana, "eve", &eve, Some(&streams)).await;
    assert_eq!(got, [""; 0], "a restart forgot who had been there");
}

#[tokio::test]
async fn a_room_that_was_left_is_not_revived_by_a_login() {
    let tracker = FalseTracker::start().await;
    let carla = Seed::random().unwrap();
    let (mut ana, mut bob) = talk_of_two(&tracker, &carla).await;
    ana.run(Command::Leave { conversation: None }).await.unwrap();
    ana.until(|e| matches!(e, Event::RoomLeft { .. })).await;
    tracker.set_rooms(&[sala(4, &[("ana", 1), ("bob", 2)])]);
    tracker.hangs_up();
    ana.until(available("sala")).await;
    // The control: bob never left, and is in the room as before.
    bob.until(|e| matches!(e, Event::Tracker { state: TrackerState::Lost, .. })).await;
    bob.until(|e| matches!(e, Event::Tracker { state: TrackerState::Connected, .. })).await;
    bob.say("among us").await;
    assert!(!ana.saw(entered("sala")));
    assert_eq!(ana.opened().await, None);
    ana.service.stop().await;
    let mut ana = ana.again().await;
    ana.until(available("sala")).await;
    assert_eq!(ana.service.status().await.conversations, []);
    assert!(!ana.saw(entered("sala")));

    // Only ana's own command enters the room.
    tracker.lets_enter(&sala(5, &[("ana", 1), ("bob", 2)]));
    ana.join("sala").await;
    ana.receives("among us").await;
}

#[tokio::test]
async fn a_room_unknown_here_is_offered_and_a_known_one_entered() {
    let tracker = FalseTracker::start().await;
    let carla = Seed::random().unwrap();
    let (ana, _bob) = talk_of_two(&tracker, &carla).await;
    ana.service.stop().await;
    let trap = Claim { id: Uuid::from_u128(7), name: "trap", ..sala(2, &[("mallory", 1), ("ana", 2)]) };
    tracker.set_rooms(&[sala(4, &[("ana", 1), ("bob", 2)]), trap]);
    let mut ana = ana.again().await;
    ana.until(entered("sala")).await;
    ana.until(available("trap")).await;
    assert_eq!(ana.service.status().await.conversations, [(Conversation::Room(room("sala")), 0)]);
    assert!(!ana.saw(entered("trap")));

    // A new room under the name of a known one is treated as another room.
    let other = Claim { id: Uuid::from_u128(8), ..sala(9, &[("mallory", 1), ("ana", 2)]) };
    tracker.tells("online", "mallory", &other);
    ana.until(|e| matches!(e, Event::RoomDeleted { room: gone } if *gone == room("sala"))).await;
    ana.until(available("sala")).await;
    assert_eq!(ana.service.status().await.conversations, []);
}

#[tokio::test]
async fn another_room_than_the_one_asked_for_is_not_entered() {
    let tracker = FalseTracker::start().await;
    let mut ana = Peer::register(tracker.address, "ana").await;
    tracker.lets_enter(&sala(3, &[("mallory", 1), ("ana", 2)]));
    ana.run(Command::Join { room: room("equipe") }).await.unwrap_err();
    assert!(!ana.saw(|e| matches!(e, Event::RoomEntered { .. })));
    // The control: the requested room is entered.
    ana.join("sala").await;
}

#[tokio::test]
async fn a_key_that_only_the_tracker_announces_opens_no_link() {
    let tracker = FalseTracker::start().await;
    let (carla, slipped_in) = (Seed::random().unwrap(), Seed::random().unwrap());
    tracker.announces("carla", &[carla.public_key()]);
    let mut ana = Peer::register(tracker.address, "ana").await;
    let mut bob = Peer::register(tracker.address, "bob").await;
    // From the beginning a second key is announced beside the one that bob proves.
    tracker.adds_keys("bob", &[slipped_in.public_key()]);
    tracker.lets_enter(&sala(3, &[("ana", 1), ("bob", 2), ("carla", 3)]));
    ana.join("sala").await;
    bob.join("sala").await;
    ana.linked("bob").await;
    assert!(!ana.saw(is_change), "nobody uses it");
    let address = ana.service.local_addr();
    let refused = Link::try_dial(address, "bob", &slipped_in).await.err().unwrap();
    assert_eq!(refused, json!({"cmd": "REFUSED", "code": "KEY_CHANGED"}));
    ana.until(is_change).await;
    // The control: carla's key, which is announced in the same way, opens a link.
    Link::dial(address, "carla", &carla).await;
}

#[tokio::test]
async fn record_of_another_user_answers_no_question_about_this_one() {
    let tracker = FalseTracker::start().await;
    let mut ana = Peer::register(tracker.address, "ana").await;
    let mut bob = Peer::register(tracker.address, "bob").await;
    let _mallory = Peer::register(tracker.address, "mallory").await;
    tracker.finds_instead(Some("mallory"));
    let error = ana.tell("bob", "for bob only").await.unwrap_err();
    assert_eq!(error.code(), "UNREACHABLE");
    assert!(!ana.saw(|e| matches!(e, Event::ConversationStarted { .. })));
    // The control: the record of bob.
    tracker.finds_instead(None);
    ana.tell("bob", "hello").await.unwrap();
    bob.receives("hello").await;
}

#[tokio::test]
async fn port_of_a_system_service_is_announced_in_vain() {
    let tracker = FalseTracker::start().await;
    let carla = Seed::random().unwrap();
    // The port of carla is 1.
    tracker.announces("carla", &[carla.public_key()]);
    let mut ana = Peer::register(tracker.address, "ana").await;
    tracker.lets_enter(&sala(2, &[("ana", 1), ("carla", 2)]));
    ana.join("sala").await;
    ana.until(|e| matches!(e, Event::Error { code, .. } if code == "ADDRESS_REFUSED")).await;
    // The control: carla can still connect.
    Link::dial(ana.service.local_addr(), "carla", &carla).await;
    ana.linked("carla").await;
}

#[tokio::test]
async fn mark_is_that_of_the_key_of_the_link() {
    let tracker = Tracker::start().await;
    let (mut ana, mut bob) = (tracker.peer("ana").await, tracker.peer("bob").await);
    ana.tell("bob", "hello").await.unwrap();
    bob.receives("hello").await;
    ana.run(Command::Verified { user: user("bob") }).await.unwrap();
    // Another computer of bob's, endorsed by the old one.
    let mut new = bob.elsewhere().await;
    let Event::NewKey { fingerprint } = new.until(|e| matches!(e, Event::NewKey { .. })).await else {
        unreachable!()
    };
    let old = bob.again_after_death().await;
    let endorse = AccountCommand::Endorse { key: fingerprint.to_string()[..16].to_owned() };
    old.run(Command::Account(endorse)).await.unwrap();
    let is_up = |is_verified: bool| move |e: &Event| matches!(e, Event::Link { state: LinkState::Up, verified, .. } if *verified == is_verified);
    old.tell("ana", "from the old one").await.unwrap();
    ana.receives("from the old one").await;
    ana.until(is_up(true)).await;
    // The safety number that ana sees is that of the old key, even if the new one has linked before she compares it.
    let Ok(Answer::SafetyNumber { verified: true, .. }) =
        ana.run(Command::Verify { user: user("bob") }).await
    else {
        panic!("the number of another key")
    };
    old.service.stop().await;
    let new = new.again_after_death().await;
    new.tell("ana", "from the new one").await.unwrap();
    ana.receives("from the new one").await;
    ana.until(is_up(false)).await;
    let trust = |answer| match answer {
        Ok(Answer::Users { members, .. }) => {
            members
                .into_iter()
                .find(|present: &MemberStatus| present.member.username == user("bob"))
                .unwrap()
                .trust
        }
        other => panic!("{other:?}"),
    };
    ana.open(Conversation::Private(user("bob"))).await.unwrap();
    assert_eq!(
        trust(ana.run(Command::Users { conversation: None }).await),
        Trust::Unverified,
        "nobody has compared this one"
    );
    // Verifying marks the shown key and ends the link of the other. The old key's endorsement then admits the other
    // again.
    ana.run(Command::Verified { user: user("bob") }).await.unwrap();
    ana.until(is_up(false)).await;
    // The first such event may be that of a link before, which has ended meanwhile.
    while trust(ana.run(Command::Users { conversation: None }).await) == Trust::Verified {
        ana.until(is_up(false)).await;
    }
}
