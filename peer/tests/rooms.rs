//! Tests of rooms of three: every message reaches the others once and in order.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{Peer, Tracker, password_of, room, three_in, user};
use commons::protocol::with_tracker::ErrorCode;
use commons::snapshot::ChangeKind;
use peer::api::answer::Answer;
use peer::api::conversation::Conversation;
use peer::api::error::CommandError;
use peer::api::missing_conversation::MissingConversation;
use peer::api::{Command, Event};
use peer::untrusted::AsUntrusted;

#[tokio::test]
async fn three_members_chat_and_a_fourth_is_refused() {
    let tracker = Tracker::start().await;
    let [ana, mut bob, mut carla] = three_in(&tracker, "sala").await;
    let dora = tracker.peer("dora").await;

    ana.say("olá").await;
    assert_eq!(bob.receives("olá").await, user("ana"));
    assert_eq!(carla.receives("olá").await, user("ana"));

    let refused = dora.run(Command::Join { room: room("sala") }).await.unwrap_err();
    assert!(matches!(refused, CommandError::Refused { code: ErrorCode::RoomFull, .. }));
}

#[tokio::test]
async fn messages_pasted_at_once_arrive_in_order_at_both_others() {
    let tracker = Tracker::start().await;
    let [mut ana, mut bob, mut carla] = three_in(&tracker, "sala").await;
    let lines: Vec<String> = (0..500).map(|n| format!("line {n}")).collect();
    for line in &lines {
        ana.say(line).await;
    }
    assert_eq!(bob.next_messages(500).await, lines);
    assert_eq!(carla.next_messages(500).await, lines);
    for _ in 0..1000 {
        ana.until(|event| matches!(event, Event::Delivered { .. })).await;
    }
    assert!(!ana.saw(|event| matches!(event, Event::Undelivered { .. })));
}

#[tokio::test]
async fn message_right_after_entering_arrives() {
    // Nobody is linked yet, and the others may not know the new member. The message waits for both.
    let tracker = Tracker::start().await;
    let mut ana = tracker.peer("ana").await;
    let mut bob = tracker.peer("bob").await;
    ana.create("sala").await;
    bob.join("sala").await;
    bob.say("am I in time?").await;
    assert_eq!(ana.receives("am I in time?").await, user("bob"));
}

#[tokio::test]
async fn message_acknowledged_before_leaving_is_no_loss() {
    let tracker = Tracker::start().await;
    let [mut ana, mut bob, _carla] = three_in(&tracker, "sala").await;
    ana.say("one more thing").await;
    bob.receives("one more thing").await;
    bob.run(Command::Leave { conversation: None }).await.unwrap();
    let reported = ana
        .until(|e| {
            matches!(e, Event::Delivered { to, .. } | Event::Undelivered { to, .. } if *to == user("bob"))
        })
        .await;
    assert!(matches!(reported, Event::Delivered { .. }));
}

#[tokio::test]
async fn joining_and_leaving_is_reported() {
    let tracker = Tracker::start().await;
    let [mut ana, bob, mut carla] = three_in(&tracker, "sala").await;
    bob.run(Command::Leave { conversation: None }).await.unwrap();
    for one in [&mut ana, &mut carla] {
        let event = one.until(|e| matches!(e, Event::RoomUpdate { change: ChangeKind::Left, .. })).await;
        let Event::RoomUpdate { username, members, .. } = event else { unreachable!() };
        assert_eq!((username, members), (user("bob"), vec![user("ana"), user("carla")]));
    }
    ana.until(
        |e| matches!(e, Event::Link { peer, state: peer::api::status::LinkState::Down, .. } if *peer == user("bob")),
    )
    .await;

    ana.run(Command::Delete { room: None }).await.unwrap();
    carla.until(|e| matches!(e, Event::RoomDeleted { room: name } if *name == room("sala"))).await;
    let nowhere = carla.run(Command::say("anybody?")).await.unwrap_err();
    assert_eq!(nowhere, MissingConversation::NoneOpen.into());
}

#[tokio::test]
async fn absent_member_is_named_and_the_others_receive() {
    let tracker = Tracker::start().await;
    let [mut ana, mut bob, carla] = three_in(&tracker, "sala").await;
    carla.dies().await;
    ana.until(|e| matches!(e, Event::RoomUpdate { change: ChangeKind::Offline, .. })).await;
    ana.say("who is here?").await;
    bob.receives("who is here?").await;
    ana.until(|e| matches!(e, Event::Delivered { to, .. } if *to == user("bob"))).await;
    let Ok(Answer::Receipts { lines, .. }) = ana.run(Command::Receipts { conversation: None }).await else {
        panic!("no receipts")
    };
    assert_eq!((&lines[0].has[..], &lines[0].waits[..]), (&[user("bob")][..], &[user("carla")][..]));
}

#[tokio::test]
async fn command_is_for_the_conversation_that_it_names() {
    let tracker = Tracker::start().await;
    let mut ana = tracker.peer("ana").await;
    let mut bob = tracker.peer("bob").await;
    ana.create("sala").await;
    ana.create("equipe").await;
    bob.join("sala").await;
    bob.join("equipe").await;
    bob.open(Conversation::Room(room("sala"))).await.unwrap();
    for text in ["one", "two"] {
        bob.say(text).await;
        ana.receives(text).await;
    }
    let status = ana.service.status().await;
    let rooms = ["equipe", "sala"].map(|name| (Conversation::Room(room(name)), 0));
    assert_eq!((status.open, status.conversations), (None, rooms.to_vec()), "these belong to each frontend");

    ana.open(Conversation::Room(room("sala"))).await.unwrap();
    ana.say("three").await;
    bob.receives("three").await;
    let Ok(Answer::Users { conversation, members }) = ana.run(Command::Users { conversation: None }).await
    else {
        panic!("no users")
    };
    assert_eq!(conversation, Conversation::Room(room("sala")));
    assert_eq!(members.len(), 2);
}

#[tokio::test]
async fn a_text_is_taken_up_to_its_limit() {
    let tracker = Tracker::start().await;
    let [ana, mut bob, _carla] = three_in(&tracker, "sala").await;
    // The worst case for a frame: every byte must be escaped.
    let longest = "\u{1}".repeat(commons::limits::TEXT_MAX);
    ana.say(&longest).await;
    bob.receives(&longest).await;
    let error = ana.run(Command::say(format!("{longest}x"))).await.unwrap_err();
    assert!(matches!(error, CommandError::TextTooLong { .. }));
}

#[tokio::test]
async fn lists_come_whole_although_they_come_in_pages() {
    let tracker = Tracker::start().await;
    let mut ana = tracker.peer("ana").await;
    let mut bob = tracker.peer("bob").await;
    let mut names: Vec<String> = (0..30).map(|n| format!("{n:02} {}", "ü".repeat(60))).collect();
    for pair in names.chunks(2) {
        ana.create(&pair[0]).await;
        bob.create(&pair[1]).await;
    }
    names.sort();
    let Ok(Answer::Rooms { rooms }) = ana.run(Command::Rooms).await else { panic!("no rooms") };
    assert_eq!(rooms.iter().map(|room| room.name.as_str().to_owned()).collect::<Vec<_>>(), names);
}

#[tokio::test]
async fn first_message_of_a_newcomer_is_the_last_of_the_history() {
    let tracker = Tracker::start().await;
    let (mut ana, mut bob) = (tracker.peer("ana").await, tracker.peer("bob").await);
    ana.create("sala").await;
    bob.join("sala").await;
    ana.linked("bob").await;
    for n in 1..=12 {
        ana.say(&n.to_string()).await;
        bob.receives(&n.to_string()).await;
    }
    // The message is sent at once, as a bot does, while nobody is linked yet.
    let mut carla = tracker.peer("carla").await;
    carla.join("sala").await;
    carla.say("hi, I am new").await;
    for peer in [&mut ana, &mut bob] {
        peer.receives("hi, I am new").await;
        let password = password_of(peer.name.as_str());
        peer.run(Command::Unlock { password }).await.unwrap();
        let Ok(Answer::History { lines, .. }) =
            peer.run(Command::History { conversation: None, lines: 6, before: None, after: None }).await
        else {
            panic!()
        };
        assert_eq!(lines[5].content, *"hi, I am new");
        assert_eq!(lines[4].content, *"12");
    }
}

/// The texts of the last messages in sala, each with its mark: whether its author is muted.
async fn history_of(peer: &Peer) -> Vec<(String, bool)> {
    peer.run(Command::Unlock { password: password_of(peer.name.as_str()) }).await.unwrap();
    let conversation = Some(Conversation::Room(room("sala")));
    let command = Command::History { lines: 9, conversation, before: None, after: None };
    let answer = peer.service.marked_answer(peer.run(command).await.unwrap());
    let Answer::History { lines, .. } = answer else { panic!("{answer:?}") };
    lines.into_iter().map(|line| (line.content.expose().to_owned(), line.muted)).collect()
}

#[tokio::test]
async fn messages_of_a_muted_member_are_stored_and_marked() {
    let tracker = Tracker::start().await;
    let [mut ana, mut bob, mut carla] = three_in(&tracker, "sala").await;
    assert_eq!(bob.run(Command::Mute { user: Some(user("bob")) }).await, Err(CommandError::NotYourself));
    bob.run(Command::Mute { user: Some(user("ana")) }).await.unwrap();
    bob.until(|e| *e == Event::MuteChanged { user: user("ana"), muted: true }).await;
    ana.say("from ana").await;
    ana.until(|e| matches!(e, Event::Delivered { to, .. } if *to == user("bob"))).await;
    carla.receives("from ana").await;
    carla.say("from carla").await;
    let is_muted = |bob: &Peer, event| match bob.service.marked(event) {
        Event::Message { muted, .. } => muted,
        _ => panic!("another event"),
    };
    for (name, expected) in [("ana", true), ("carla", false)] {
        let event = bob.until(|e| matches!(e, Event::Message { from, .. } if *from == user(name))).await;
        assert_eq!(is_muted(&bob, event), expected, "{name}");
    }
    let marks = |ana| vec![("from ana".to_owned(), ana), ("from carla".to_owned(), false)];
    assert_eq!(history_of(&bob).await, marks(true));
    // A private message is not muted: /block is for those.
    ana.tell("bob", "between us").await.unwrap();
    let event = bob.until(|e| matches!(e, Event::Message { room: None, .. })).await;
    assert!(!is_muted(&bob, event));
    bob.service.stop().await;
    let bob = bob.again().await;
    assert_eq!(bob.service.subscribe().await.snapshot.muted, [user("ana")], "it survives a restart");
    assert_eq!(bob.run(Command::Mute { user: None }).await, Ok(Answer::Muted { users: vec![user("ana")] }));
    bob.run(Command::Unmute { user: user("ana") }).await.unwrap();
    assert_eq!(history_of(&bob).await, marks(false), "nothing is lost");
}
