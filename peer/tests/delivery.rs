//! Tests of delivery: no message is lost.
//! An absent member receives every message once, in order, from any member that has it, and the author gets the acks.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
mod raw_client;

use chrono::Utc;
use common::{PATIENCE, Peer, Tracker, say_in, three_in, user};
use commons::net::socket::Listener;
use commons::net::tls::Purpose;
use commons::protocol::between_peers::PeerMessage;
use commons::snapshot::RoomSnapshot;
use peer::api::answer::Answer;
use peer::api::{Command, Event};
use peer::history::conversation::ConversationId;
use peer::history::history_db::{HistoryDb, Place};
use peer::history::report::Report;
use peer::history::request::{Draft, Request};
use peer::limits::BACKPRESSURE_MESSAGES;
use raw_client::{RawClient, RawLink};
use serde_json::{Value, json};
use tokio::time::timeout;
use uuid::Uuid;

const MESSAGES: usize = 50;

/// Waits until this peer has acknowledged this number of the author's messages.
async fn delivered(author: &mut Peer, to: &str, messages: usize) {
    let to = user(to);
    for _ in 0..messages {
        author.until(|e| matches!(e, Event::Delivered { to: got, .. } if *got == to)).await;
    }
}

fn numbered(messages: usize) -> Vec<String> {
    (1..=messages).map(|n| format!("line {n}")).collect()
}

#[tokio::test]
async fn member_syncs_messages_of_an_offline_author_from_another() {
    let tracker = Tracker::start().await;
    let [mut ana, mut bob, carla] = three_in(&tracker, "sala").await;
    carla.service.stop().await;
    for text in numbered(MESSAGES) {
        ana.say(&text).await;
    }
    assert_eq!(bob.next_messages(MESSAGES).await, numbered(MESSAGES));
    delivered(&mut ana, "bob", MESSAGES).await;
    ana.run(Command::Quit).await.unwrap();

    let mut carla = carla.again().await;
    let missed = carla.until(|e| matches!(e, Event::Missed { .. })).await;
    assert!(matches!(missed, Event::Missed { people: 1, lines: 50, .. }), "{missed:?}");
    let mut received = Vec::new();
    while received.len() < MESSAGES {
        match carla.until(|e| matches!(e, Event::Message { .. })).await {
            // A message that is synced from another member is marked as late.
            Event::Message { from, content, late, .. } => {
                assert_eq!((from.as_str(), late), ("ana", true));
                received.push(peer::untrusted::AsUntrusted::expose(&content).to_owned());
            }
            _ => unreachable!(),
        }
    }
    assert_eq!(received, numbered(MESSAGES));

    let mut ana = ana.again().await;
    delivered(&mut ana, "carla", MESSAGES).await;
    assert!(!carla.saw(|e| matches!(e, Event::Message { .. })), "nothing comes twice");
}

#[tokio::test]
async fn private_message_to_an_absent_user_survives_a_restart() {
    let tracker = Tracker::start().await;
    let (ana, bob) = (tracker.peer("ana").await, tracker.peer("bob").await);
    bob.service.stop().await;
    ana.tell("bob", "are you there?").await.unwrap();
    let quit = ana.run(Command::Quit).await.unwrap();
    assert_eq!(quit, Answer::Quit { undelivered: vec![(user("bob"), 1)] });

    let mut bob = bob.again().await;
    let mut ana = ana.again().await;
    assert_eq!(bob.receives("are you there?").await, user("ana"));
    delivered(&mut ana, "bob", 1).await;
}

#[tokio::test]
async fn only_an_undelivered_message_can_be_withdrawn() {
    let tracker = Tracker::start().await;
    let [mut ana, mut bob, carla] = three_in(&tracker, "sala").await;
    carla.service.stop().await;
    ana.say("to both").await;
    bob.receives("to both").await;
    delivered(&mut ana, "bob", 1).await;
    let waiting = |answer| match answer {
        Answer::Outbox { lines: messages } => messages,
        other => panic!("{other:?}"),
    };
    let messages = waiting(ana.run(Command::Outbox).await.unwrap());
    assert_eq!(messages[0].message.waits, [user("carla")]);
    let refused = ana.run(Command::Withdraw { id: messages[0].message.id.to_string() }).await.unwrap_err();
    assert_eq!(refused.code(), "USAGE", "bob has it");

    bob.service.stop().await;
    ana.until(
        |e| matches!(e, Event::Link { peer, state: peer::api::status::LinkState::Down, .. } if *peer == user("bob")),
    )
    .await;
    ana.say("a slip").await;
    ana.say("what was meant").await;
    let messages = waiting(ana.run(Command::Outbox).await.unwrap());
    let slip = messages.iter().find(|waiting| waiting.message.content == *"a slip").unwrap();
    ana.run(Command::Withdraw { id: slip.message.id.to_string() }).await.unwrap();

    let mut bob = bob.again().await;
    bob.receives("what was meant").await;
    assert!(!bob.saw(|e| matches!(e, Event::Message { content, .. } if *content == *"a slip")));
}

#[tokio::test]
async fn messages_without_the_tracker_reach_an_absent_member_later() {
    let mut tracker = Tracker::start().await;
    let [mut ana, mut bob, carla] = three_in(&tracker, "sala").await;
    carla.service.stop().await;
    tracker.down().await;
    ana.say("the tracker is gone").await;
    bob.receives("the tracker is gone").await;
    bob.say("who needs it").await;
    ana.receives("who needs it").await;
    tracker.up().await;
    let mut carla = carla.again().await;
    let mut received = carla.next_messages(2).await;
    received.sort();
    assert_eq!(received, ["the tracker is gone", "who needs it"]);
}

#[tokio::test]
async fn message_to_a_former_member_is_given_up_and_reported() {
    let tracker = Tracker::start().await;
    let [mut ana, mut bob, carla] = three_in(&tracker, "sala").await;
    bob.service.stop().await;
    ana.until(
        |e| matches!(e, Event::Link { peer, state: peer::api::status::LinkState::Down, .. } if *peer == user("bob")),
    )
    .await;
    ana.say("bye bob").await;
    bob = bob.again().await;
    // Bob leaves the room while the message is under way. Delivered or not, the author learns the outcome.
    bob.run(Command::Leave { conversation: None }).await.unwrap();
    let ended = |e: &Event| matches!(e, Event::Delivered { to, .. } | Event::Undelivered { to, .. } if *to == user("bob"));
    ana.until(ended).await;
    drop(carla);
}

#[tokio::test]
async fn history_asks_for_the_password_and_allows_three_tries() {
    let tracker = Tracker::start().await;
    let [ana, mut bob, _carla] = three_in(&tracker, "sala").await;
    ana.say("uma lição de coração").await;
    bob.receives("uma lição de coração").await;
    let shut = bob
        .run(Command::History { lines: 5, conversation: None, before: None, after: None })
        .await
        .unwrap_err();
    assert_eq!(shut.code(), "PASSWORD_WANTED");
    let password = |text: &str| Command::Unlock { password: peer::identity::password::Password::typed(text) };
    assert_eq!(bob.run(password("wrong")).await.unwrap_err().code(), "PASSWORD_WANTED");
    bob.run(password("password of bob")).await.unwrap();
    let Answer::History { lines: messages, .. } =
        bob.run(Command::History { lines: 5, conversation: None, before: None, after: None }).await.unwrap()
    else {
        panic!()
    };
    assert_eq!(messages.len(), 1);
    assert!(messages[0].signed && messages[0].from == user("ana"));
    let search = |words: &str| Command::Search { words: words.to_owned(), before: None };
    for (words, found) in [("licao cora", 1), ("nothing", 0), ("\" OR *", 0)] {
        let Answer::Found { lines: messages, .. } = bob.run(search(words)).await.unwrap() else { panic!() };
        assert_eq!(messages.len(), found, "{words}");
    }

    for left in ["PASSWORD_WANTED", "PASSWORD_WANTED", "TOO_MANY_ATTEMPTS"] {
        assert_eq!(ana.run(password("wrong")).await.unwrap_err().code(), left);
    }
    assert!(ana.service.failure().is_some());
}

#[tokio::test]
async fn long_outbox_of_an_absent_member_delays_no_other() {
    const MANY: usize = 2 * BACKPRESSURE_MESSAGES;
    let tracker = Tracker::start().await;
    let [ana, mut bob, carla] = three_in(&tracker, "sala").await;
    carla.service.stop().await;
    let (ana, mut anas) = ana.into_parts();
    let events = tokio::spawn(async move { while anas.recv().await.is_some() {} });
    let sending = async {
        for text in numbered(MANY) {
            ana.execute(say_in("sala", text)).await.unwrap();
        }
    };
    // If each message waited for the absent member, the paced rest would take half an hour.
    let (sent, received) = tokio::join!(timeout(PATIENCE, sending), bob.next_messages(MANY));
    sent.expect("a message is delayed");
    assert_eq!(received, numbered(MANY));
    let waiting = ana.execute(Command::Outbox).await.unwrap();
    assert!(
        matches!(waiting, Answer::Outbox { lines: messages } if messages.len() == MANY),
        "they wait for carla"
    );
    events.abort();
}

#[tokio::test]
async fn last_message_before_leaving_arrives() {
    let tracker = Tracker::start().await;
    let (mut ana, mut bob) = (tracker.peer("ana").await, tracker.peer("bob").await);
    ana.create("sala").await;
    bob.join("sala").await;
    ana.linked("bob").await;
    let mut robot = tracker.peer("robot").await;
    for round in 0..5 {
        robot.join("sala").await;
        let text = format!("build {round} is green");
        robot.say(&text).await;
        robot.run(Command::Leave { conversation: None }).await.unwrap();
        ana.receives(&text).await;
        bob.receives(&text).await;
    }
    assert!(!robot.saw(|e| matches!(e, Event::Undelivered { .. })));
}

#[tokio::test]
async fn new_member_counts_no_earlier_message_as_missed() {
    let tracker = Tracker::start().await;
    let mut ana = tracker.peer("ana").await;
    let mut bob = tracker.peer("bob").await;
    ana.create("sala").await;
    for text in numbered(MESSAGES) {
        ana.say(&text).await;
    }
    bob.join("sala").await;
    bob.linked("ana").await;
    ana.say("welcome").await;
    bob.receives("welcome").await;
    // A message may be shown before it is stored, and comes again after a death in between.
    ana.until(|e| matches!(e, Event::Delivered { .. })).await;
    let mut bob = bob.again_after_death().await;
    bob.linked("ana").await;
    ana.say("welcome back").await;
    bob.receives("welcome back").await;
    assert!(!bob.saw(|e| matches!(e, Event::Missed { .. })));
    assert!(!bob.saw(|e| matches!(e, Event::Message { content, .. } if *content == *"line 1")));
}

/// Signed messages of an author in their wire form, in signed batches of these sizes.
fn signed(author: &RawClient, room: &RoomSnapshot, groups: &[usize]) -> Vec<Value> {
    let (mut ledger, _) = HistoryDb::open(&Place::Memory, &author.author()).unwrap();
    ledger.apply(Request::NoteRoom(Box::new(room.clone().into())));
    let mut messages = Vec::new();
    for text in groups {
        for message in 0..*text {
            ledger.apply(Request::Append(Draft {
                head: None,
                id: Uuid::now_v7(),
                to: ConversationId::Room(room.id),
                room: Some(room.name.clone()),
                text: format!("line {}", messages.len() + message + 1),
                audience: vec![user("bob")],
                revision: room.revision,
                sent_at: Utc::now(),
            }));
        }
        for report in ledger.commit() {
            if let Report::Committed(committed) = report {
                let wire = committed.iter().map(|committed| PeerMessage::Message {
                    room: Some(room.name.as_str().into()),
                    message: committed.message.wire(Some(room.id)),
                });
                messages.extend(wire.map(|message| serde_json::to_value(message).unwrap()));
            }
        }
    }
    messages
}

/// Links the author's program again, with the same instance.
async fn link(author: &RawClient, to: &Peer) -> RawLink {
    let mut link =
        RawLink::encrypted(to.service.local_addr(), &author.identity(Purpose::Link)).await.unwrap();
    let hello = json!({"cmd": "HELLO", "username": author.name, "instance": 1, "catch_up": true});
    assert_eq!(link.ask(&hello).await.unwrap()["cmd"], "WELCOME");
    link
}

/// Waits for a PONG, so that everything before it has been read. The PONG arrives on the latest link.
async fn is_read(link: &mut RawLink, answering: Option<&mut RawLink>) {
    link.send(&json!({"cmd": "PING"})).await;
    let answering = answering.unwrap_or(link);
    while answering.recv().await.expect("the link has ended")["cmd"] != "PONG" {}
}

#[tokio::test]
async fn replaced_link_breaks_no_batch_of_the_next_one() {
    let tracker = Tracker::start().await;
    let listener = Listener::bind("127.0.0.1:0").await.unwrap();
    let mut ana = RawClient::register(tracker.address, "ana", listener, 1).await;
    ana.session.ok(&json!({"cmd": "CREATE_ROOM", "room": "sala", "id": 1})).await;
    let mut bob = tracker.peer("bob").await;
    bob.join("sala").await;
    let joined = ana.session.recv().await.unwrap();
    let room: RoomSnapshot = serde_json::from_value(joined["room"].clone()).unwrap();
    let messages = signed(&ana, &room, &[1, 3, 1]);

    // The first link is replaced before its rest is sent, and the second link begins from the start.
    let mut first = link(&ana, &bob).await;
    first.send(&messages[0]).await;
    assert_eq!(bob.next_messages(1).await, numbered(1));
    let mut second = link(&ana, &bob).await;
    second.send(&messages[1]).await;
    is_read(&mut second, None).await;
    first.send(&messages[2]).await;
    is_read(&mut first, Some(&mut second)).await;
    for message in &messages[2..] {
        second.send(message).await;
    }
    let last = bob.until(|e| matches!(e, Event::Message { content, .. } if content == "line 5")).await;
    assert!(matches!(last, Event::Message { missing: 0, .. }), "{last:?}");
    assert_eq!(bob.next_messages(3).await, numbered(5)[1..4]);
}
