//! Tests of rooms with a signed log: the owner decides who enters, and the log says who is in.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
mod raw_client;

use common::{Peer, Tracker, room, user};
use commons::names::RoomName;
use commons::protocol::with_tracker::{ErrorCode, RoomsFate};
use commons::room_log::facts::Policy;
use peer::api::account::AccountCommand;
use peer::api::answer::Answer;
use peer::api::conversation::Conversation;
use peer::api::error::CommandError;
use peer::api::room_command::{RoomCommand, RoomReport};
use peer::api::room_entry::{KeyAcquaintance, RoomEntryChange};
use peer::api::status::Trust;
use peer::api::{Command, Event};
use peer::identity::password::Password;
use raw_client::{RawLink, sign_in};
use serde_json::json;

/// Creates a room with a log.
async fn create(peer: &mut Peer, name: &str, policy: Policy) {
    peer.run(Command::Create { room: room(name), policy }).await.unwrap();
    peer.until(|event| matches!(event, Event::RoomEntered { room } if room.name.as_str() == name)).await;
}

async fn change(peer: &Peer, command: fn(Option<RoomName>) -> RoomCommand) -> Result<Answer, CommandError> {
    peer.run(Command::Room(command(Some(room("sala"))))).await
}

async fn report(peer: &Peer) -> RoomReport {
    match change(peer, |room| RoomCommand::Room { room }).await.unwrap() {
        Answer::Room(report) => *report,
        other => panic!("{other:?}"),
    }
}

/// Lets two people meet, so that each knows the other's key.
async fn meet(ana: &mut Peer, bob: &mut Peer) {
    ana.tell("bob", "hello").await.unwrap();
    bob.receives("hello").await;
    bob.tell("ana", "hi").await.unwrap();
    ana.receives("hi").await;
}

fn code(refused: Result<Answer, CommandError>) -> String {
    refused.unwrap_err().code()
}

#[tokio::test]
async fn only_invited_people_enter_and_each_sees_who_is_in() {
    let tracker = Tracker::start().await;
    let [mut ana, mut bob] = [tracker.peer("ana").await, tracker.peer("bob").await];
    let dora = tracker.peer("dora").await;
    create(&mut ana, "sala", Policy::Invite).await;
    // The room is not even listed to others.
    let refused = bob.run(Command::Join { room: room("sala") }).await.unwrap_err();
    assert!(matches!(refused, CommandError::Refused { code: ErrorCode::RoomNotFound, .. }), "{refused:?}");
    let unknown = change(&ana, |room| RoomCommand::Invite { room, user: user("bob") }).await;
    assert_eq!(code(unknown), "KEY_UNKNOWN", "ana has met no key of bob");
    meet(&mut ana, &mut bob).await;
    change(&ana, |room| RoomCommand::Invite { room, user: user("bob") }).await.unwrap();
    bob.until(|e| matches!(e, Event::Invited { room, by } if room.as_str() == "sala" && *by == user("ana")))
        .await;
    bob.join("sala").await;
    let newcomer = RoomEntryChange::Joined { invited_by: Some(user("ana")), key: KeyAcquaintance::Met };
    ana.until(|e| matches!(e, Event::RoomEntry(entry) if entry.change == newcomer)).await;
    ana.until(|e| matches!(e, Event::RoomUpdate { username, .. } if *username == user("bob"))).await;
    ana.say("we are among us").await;
    bob.receives("we are among us").await;
    assert!(dora.run(Command::Join { room: room("sala") }).await.is_err());
    let seen = report(&bob).await;
    let members: Vec<_> =
        seen.members.iter().map(|m| (m.username.as_str(), m.invited_by.clone(), m.met)).collect();
    assert_eq!(members, [("ana", None, true), ("bob", Some(user("ana")), true)]);
    assert_eq!((seen.policy, seen.epoch, &seen.invited[..]), (Policy::Invite, 3, &[][..]));
    assert!(seen.members.iter().all(|member| member.since.is_some()));
    assert_eq!(seen.members[0].trust, Trust::Unverified);
    assert_eq!(report(&ana).await.head, seen.head, "both see the same room");
}

#[tokio::test]
async fn owner_removes_bans_and_gives_the_room() {
    let tracker = Tracker::start().await;
    let [mut ana, mut bob] = [tracker.peer("ana").await, tracker.peer("bob").await];
    create(&mut ana, "sala", Policy::Open).await;
    bob.join("sala").await;
    let refused = change(&bob, |room| RoomCommand::Kick { room, user: user("ana") }).await;
    assert_eq!(code(refused), "NOT_OWNER");
    ana.until(|e| matches!(e, Event::RoomUpdate { username, .. } if *username == user("bob"))).await;
    change(&ana, |room| RoomCommand::Kick { room, user: user("bob") }).await.unwrap();
    bob.until(|e| matches!(e, Event::RoomLeft { .. })).await;
    bob.join("sala").await;
    change(&ana, |room| RoomCommand::Ban { room, user: user("bob") }).await.unwrap();
    bob.until(|e| matches!(e, Event::RoomLeft { .. })).await;
    assert_eq!(code(bob.run(Command::Join { room: room("sala") }).await), "BANNED_FROM_ROOM");
    change(&ana, |room| RoomCommand::Unban { room, user: user("bob") }).await.unwrap();
    bob.join("sala").await;
    change(&ana, |room| RoomCommand::Topic { room, text: "tea".to_owned() }).await.unwrap();
    change(&ana, |room| RoomCommand::Give { room, user: user("bob") }).await.unwrap();
    assert_eq!(
        code(change(&ana, |room| RoomCommand::Topic { room, text: "mine".to_owned() }).await),
        "NOT_OWNER"
    );
    let seen = report(&ana).await;
    assert_eq!((seen.owner, seen.topic), (user("bob"), "tea".into()));
    bob.run(Command::Delete { room: Some(room("sala")) }).await.unwrap();
    ana.until(|e| matches!(e, Event::RoomDeleted { .. })).await;
}

#[tokio::test]
async fn removed_member_gets_no_later_message() {
    let tracker = Tracker::start().await;
    let [mut ana, mut bob] = [tracker.peer("ana").await, tracker.peer("bob").await];
    let mut carla = tracker.peer("carla").await;
    create(&mut ana, "sala", Policy::Open).await;
    bob.join("sala").await;
    carla.join("sala").await;
    ana.until(|e| matches!(e, Event::RoomUpdate { username, .. } if *username == user("carla"))).await;
    ana.say("for all").await;
    bob.receives("for all").await;
    carla.receives("for all").await;
    change(&ana, |room| RoomCommand::Kick { room, user: user("carla") }).await.unwrap();
    ana.until(|e| matches!(e, Event::RoomUpdate { members, .. } if !members.contains(&user("carla")))).await;
    ana.say("for two").await;
    bob.receives("for two").await;
    // A later private message shows that nothing came before it.
    ana.tell("carla", "sorry").await.unwrap();
    carla.receives("sorry").await;
    assert!(!carla.saw(|e| matches!(e, Event::Message { content, .. } if content == "for two")));
}

#[tokio::test]
async fn log_is_known_again_after_a_restart() {
    let tracker = Tracker::start().await;
    let [mut ana, mut bob] = [tracker.peer("ana").await, tracker.peer("bob").await];
    create(&mut ana, "sala", Policy::Open).await;
    bob.join("sala").await;
    bob.say("before").await;
    ana.receives("before").await;
    let before = report(&bob).await;
    bob.run(Command::Quit).await.unwrap();
    change(&ana, |room| RoomCommand::Topic { room, text: "new".to_owned() }).await.unwrap();
    ana.say("while you were away").await;
    let mut bob = bob.again().await;
    let topic = RoomEntryChange::Topic { text: "new".into() };
    bob.until(|e| matches!(e, Event::RoomEntry(entry) if entry.change == topic)).await;
    bob.receives("while you were away").await;
    let after = report(&bob).await;
    assert_eq!(after.head, report(&ana).await.head);
    assert_eq!((after.epoch, after.topic), (before.epoch + 1, "new".into()));
}

#[tokio::test]
async fn member_enters_again_on_a_device_that_knows_no_room() {
    let tracker = Tracker::start().await;
    let [mut ana, mut bob] = [tracker.peer("ana").await, tracker.peer("bob").await];
    create(&mut ana, "sala", Policy::Open).await;
    bob.join("sala").await;
    let before = report(&ana).await;
    let mut elsewhere = bob.elsewhere().await;
    elsewhere.run(Command::Join { room: room("sala") }).await.unwrap();
    elsewhere.until(|event| matches!(event, Event::RoomEntered { .. })).await;
    assert_eq!(report(&elsewhere).await.head, before.head, "no entry was needed");
    // Control: a user who is no member joins by an entry.
    let mut carla = tracker.peer("carla").await;
    carla.join("sala").await;
    assert_eq!(report(&carla).await.epoch, before.epoch + 1);
}

#[tokio::test]
async fn room_without_a_log_has_no_owner_commands() {
    let tracker = Tracker::start().await;
    let mut ana = tracker.peer("ana").await;
    let mut original = RawLink::in_the_clear(tracker.address).await;
    original.ok(&sign_in("REGISTER", "original", 5000)).await;
    original.ok(&json!({"cmd": "CREATE_ROOM", "room": "sala"})).await;
    ana.join("sala").await;
    assert_eq!(code(change(&ana, |room| RoomCommand::Room { room }).await), "UNSIGNED");
    assert_eq!(
        code(change(&ana, |room| RoomCommand::Topic { room, text: "tea".to_owned() }).await),
        "UNSIGNED"
    );
}

#[tokio::test]
async fn room_of_a_deleted_account_is_handed_on_by_an_entry() {
    let tracker = Tracker::start().await;
    let [mut ana, mut bob] = [tracker.peer("ana").await, tracker.peer("bob").await];
    bob.create("sala").await;
    bob.create("empty").await;
    ana.join("sala").await;
    let password = Some(Password::typed("password of bob"));
    let delete = AccountCommand::Delete { name: None, password, rooms: RoomsFate::HandOn };
    bob.run(Command::Account(delete)).await.unwrap();
    ana.until(|e| matches!(e, Event::RoomUpdate { members, .. } if *members == [user("ana")])).await;
    let seen = report(&ana).await;
    let members: Vec<_> = seen.members.iter().map(|member| member.username.clone()).collect();
    assert_eq!((seen.owner, members), (user("ana"), vec![user("ana")]));
    let Ok(Answer::Rooms { rooms }) = ana.run(Command::Rooms).await else { panic!() };
    assert_eq!(rooms.len(), 1, "a room without another member ends");
}

#[tokio::test]
async fn endorsed_device_signs_in_the_rooms_too() {
    let tracker = Tracker::start().await;
    let [mut ana, mut bob] = [tracker.peer("ana").await, tracker.peer("bob").await];
    ana.create("sala").await;
    bob.join("sala").await;
    ana.linked("bob").await;
    let mut new = bob.elsewhere().await;
    let Event::NewKey { fingerprint } = new.until(|e| matches!(e, Event::NewKey { .. })).await else {
        panic!()
    };
    let leave = Command::Leave { conversation: Some(Conversation::Room(room("sala"))) };
    new.join("sala").await;
    assert_eq!(new.run(leave.clone()).await.unwrap_err().code(), "INVALID_ENTRY", "the control");
    let old = bob.again_after_death().await;
    let key = fingerprint.to_string()[..16].to_owned();
    old.run(Command::Account(AccountCommand::Endorse { key })).await.unwrap();
    old.service.stop().await;
    let new = new.again_after_death().await;
    new.run(leave).await.unwrap();
    ana.until(|e| matches!(e, Event::RoomUpdate { members, .. } if *members == [user("ana")])).await;
}
