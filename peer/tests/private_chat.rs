//! Tests of private chats: between two users, beside rooms, and refused with oneself or an unknown user.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{Peer, Tracker, three_in, user};
use commons::protocol::with_tracker::ErrorCode;
use peer::api::conversation::Conversation;
use peer::api::error::CommandError;
use peer::api::status::LinkState;
use peer::api::{Command, Event};
use peer::limits::REQUEST_MESSAGES;
use peer::untrusted::AsUntrusted;

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

/// Waits until the last message of a series is stored at its author.
async fn tells(author: &mut Peer, to: &str, texts: impl Iterator<Item = String>) {
    let mut last = String::new();
    for text in texts {
        author.tell(to, &text).await.unwrap();
        last = text;
    }
    author.until(|e| matches!(e, Event::Sent { content, .. } if content == last.as_str())).await;
}

/// The next message from a user, and whether it is marked as a request.
async fn next_from(peer: &mut Peer, name: &str) -> (String, bool) {
    let event = peer.until(|e| matches!(e, Event::Message { from, .. } if *from == user(name))).await;
    let Event::Message { content, request, .. } = event else { unreachable!() };
    (content.expose().to_owned(), request)
}

#[tokio::test]
async fn stranger_asks_and_the_rest_waits_until_accepted() {
    let tracker = Tracker::start().await;
    let (mut ana, mut bob) = (tracker.peer("ana").await, tracker.peer("bob").await);
    tells(&mut ana, "bob", ["hello, it is me".to_owned()].into_iter()).await;
    bob.until(|e| *e == Event::ChatRequest { user: user("ana") }).await;
    assert_eq!(next_from(&mut bob, "ana").await, ("hello, it is me".to_owned(), true));
    tells(&mut ana, "bob", (1..=20).map(|n| n.to_string())).await;
    let outbox = ana.run(Command::Outbox).await.unwrap();
    assert!(serde_json::to_string(&outbox).unwrap().contains("\"20\""), "the author sees that it waits");
    let shown = bob.count(|e| matches!(e, Event::Message { .. }));
    assert!(shown < REQUEST_MESSAGES, "besides the first one: {shown}");
    // The request is still one after a restart.
    bob.service.stop().await;
    let mut bob = bob.again().await;
    assert_eq!(bob.service.subscribe().await.snapshot.requests, [user("ana")]);
    bob.run(Command::AcceptChat { user: user("ana") }).await.unwrap();
    bob.until(|e| *e == Event::ChatAccepted { user: user("ana") }).await;
    // No frontend of the first run has shown the messages before the acceptance, so they come again.
    let mut came = Vec::new();
    while came.last().is_none_or(|text| text != "20") {
        came.push(next_from(&mut bob, "ana").await.0);
    }
    let all = std::iter::once("hello, it is me".to_owned()).chain((1..=20).map(|n| n.to_string()));
    let all: Vec<_> = all.collect();
    assert!(
        came.len() + REQUEST_MESSAGES >= all.len() && all.ends_with(&came),
        "in order, none twice: {came:?}"
    );
    // The acceptance outlives a restart too.
    bob.service.stop().await;
    let mut bob = bob.again().await;
    assert!(bob.service.subscribe().await.snapshot.requests.is_empty());
    tells(&mut ana, "bob", (21..=30).map(|n| n.to_string())).await;
    while next_from(&mut bob, "ana").await != ("30".to_owned(), false) {}
}

#[tokio::test]
async fn reply_or_common_room_needs_no_acceptance() {
    let tracker = Tracker::start().await;
    let [mut ana, mut bob, _carla] = three_in(&tracker, "sala").await;
    tells(&mut ana, "bob", (1..=20).map(|n| n.to_string())).await;
    while next_from(&mut bob, "ana").await != ("20".to_owned(), false) {}
    assert!(!bob.saw(|e| matches!(e, Event::ChatRequest { .. })));
    let mut dora = tracker.peer("dora").await;
    tells(&mut dora, "bob", ["hello".to_owned()].into_iter()).await;
    assert_eq!(next_from(&mut bob, "dora").await, ("hello".to_owned(), true));
    bob.tell("dora", "hi").await.unwrap();
    bob.until(|e| *e == Event::ChatAccepted { user: user("dora") }).await;
    tells(&mut dora, "bob", (1..=20).map(|n| n.to_string())).await;
    while next_from(&mut bob, "dora").await != ("20".to_owned(), false) {}
}
