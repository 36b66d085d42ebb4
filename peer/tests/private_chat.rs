//! Tests of private chats: between two users, beside rooms, and refused with oneself or an unknown user.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{Tracker, three_in, user};
use commons::protocol::with_tracker::ErrorCode;
use peer::api::conversation::Conversation;
use peer::api::error::CommandError;
use peer::api::status::LinkState;
use peer::api::{Command, Event};

#[tokio::test]
async fn private_message_reaches_one_and_switches_nothing() {
    let tracker = Tracker::start().await;
    let [ana, mut bob, mut carla] = three_in(&tracker, "sala").await;
    ana.tell("bob", "between us").await.unwrap();
    let event = bob.until(|e| matches!(e, Event::Message { .. })).await;
    let Event::Message { room, from, content, .. } = event else { unreachable!() };
    assert_eq!((room, from, content), (None, user("ana"), "between us".into()));
    ana.say("for all").await;
    carla.receives("for all").await;
    assert!(!carla.saw(|e| matches!(e, Event::Message { content, .. } if content == "between us")));
}

#[tokio::test]
async fn private_chat_without_a_shared_room_works_both_ways() {
    let tracker = Tracker::start().await;
    let mut ana = tracker.peer("ana").await;
    let mut bob = tracker.peer("bob").await;
    bob.open(Conversation::Private(user("ana"))).await.unwrap();
    bob.say("hello").await;
    ana.receives("hello").await;
    ana.tell("bob", "hi").await.unwrap();
    bob.receives("hi").await;
}

#[tokio::test]
async fn private_message_to_oneself_or_unknown_user_is_refused() {
    let tracker = Tracker::start().await;
    let ana = tracker.peer("ana").await;
    assert_eq!(ana.tell("ana", "hm").await, Err(CommandError::NotYourself));
    let nobody = ana.tell("nobody", "hm").await;
    assert!(matches!(nobody, Err(CommandError::Refused { code: ErrorCode::PeerNotFound, .. })));
}

#[tokio::test]
async fn ending_a_private_chat_leaves_the_rooms_link() {
    let tracker = Tracker::start().await;
    let [ana, mut bob, _carla] = three_in(&tracker, "sala").await;
    ana.tell("bob", "psst").await.unwrap();
    bob.receives("psst").await;
    ana.run(Command::Leave { conversation: Some(Conversation::Private(user("bob"))) }).await.unwrap();
    ana.say("still here").await;
    bob.receives("still here").await;
    assert!(!bob.saw(|e| matches!(e, Event::Link { state: LinkState::Down, .. })));
}

#[tokio::test]
async fn private_message_of_a_blocked_user_is_dropped() {
    let tracker = Tracker::start().await;
    let [ana, mut bob, _carla] = three_in(&tracker, "sala").await;
    bob.run(Command::Block { user: Some(user("ana")) }).await.unwrap();
    ana.tell("bob", "block privately").await.unwrap();
    ana.say("in the room").await;
    bob.receives("in the room").await;
    assert!(!bob.saw(|e| matches!(e, Event::Message { room: None, .. })));
    bob.run(Command::Unblock { user: user("ana") }).await.unwrap();
    ana.tell("bob", "let in").await.unwrap();
    bob.receives("let in").await;
}

#[tokio::test]
async fn many_private_messages_to_an_absent_user_all_wait() {
    let tracker = Tracker::start().await;
    let [ana, mut bob, _carla] = three_in(&tracker, "sala").await;
    ana.tell("bob", "first").await.unwrap();
    bob.receives("first").await;
    bob.service.stop().await;
    for n in 0..40 {
        ana.tell("bob", &n.to_string()).await.unwrap();
    }
    // The control: a name without an account is still refused.
    let nobody = ana.tell("nobody", "hm").await;
    assert!(matches!(nobody, Err(CommandError::Refused { code: ErrorCode::PeerNotFound, .. })), "{nobody:?}");
}
