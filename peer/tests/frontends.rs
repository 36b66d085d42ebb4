//! Tests of several frontends of one peer: each has the whole state, and none delays another.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::ops::Range;
use std::process::{Command as Program, Stdio};

use common::{PATIENCE, Peer, Tracker, password_of, room, say_in, user};
use commons::room_log::facts::Policy;
use commons::snapshot::ChangeKind;
use peer::api::answer::Answer;
use peer::api::conversation::Conversation;
use peer::api::snapshot::{LinkInfo, Snapshot, UserState};
use peer::api::status::LinkState;
use peer::api::status::{TrackerState, Trust};
use peer::api::{Command, Event};
use peer::event_bus::{Events, Subscription};
use peer::limits::EVENT_QUEUE_BYTES;
use peer::service::PeerService;
use peer::untrusted::AsUntrusted;
use serde_json::Value;
use tokio::sync::mpsc;

/// The snapshot after an event, as far as the event tells of rooms and links.
fn apply(snapshot: &mut Snapshot, event: &Event) {
    match event {
        Event::LoggedIn { username } => snapshot.username = Some(username.clone()),
        Event::Tracker { state, .. } => snapshot.tracker = *state,
        Event::RoomEntered { room } | Event::RoomUpdate { room_state: room, .. } => {
            snapshot.rooms.retain(|known| known.name != room.name);
            snapshot.rooms.push((**room).clone());
            snapshot.rooms.sort_by(|a, b| a.name.cmp(&b.name));
        }
        Event::RoomLeft { room } | Event::RoomDeleted { room } => {
            snapshot.rooms.retain(|known| known.name != *room);
        }
        Event::Link { peer, state, encrypted, verified } => {
            let link = LinkInfo { encrypted: *encrypted, verified: *verified };
            let link = (*state == LinkState::Up).then_some(link);
            snapshot.users.retain(|known| known.username != *peer);
            let state = UserState {
                username: peer.clone(),
                link,
                trust: Trust::Unverified,
                changed_key: None,
                away: None,
            };
            snapshot.users.push(state);
        }
        Event::ConversationStarted { conversation: Conversation::Private(user) } => {
            snapshot.private_chats.push(user.clone());
        }
        Event::ConversationEnded { conversation: Conversation::Private(user), .. } => {
            snapshot.private_chats.retain(|known| known != user);
        }
        Event::BlockChanged { user, blocked } => {
            snapshot.blocked.retain(|known| known != user);
            snapshot.blocked.extend(blocked.then(|| user.clone()));
        }
        _ => {}
    }
}

/// The rooms of a snapshot and the linked users.
fn summary(snapshot: &Snapshot) -> String {
    let linked = snapshot.users.iter().filter(|it| it.link.is_some()).map(|it| it.username.as_str());
    let mut linked: Vec<_> = linked.collect();
    linked.sort_unstable();
    let rooms: Vec<_> =
        snapshot.rooms.iter().map(|room| (&room.name, room.revision, &room.members)).collect();
    let Snapshot { username, tracker, private_chats, blocked, .. } = snapshot;
    format!("{username:?} {tracker:?} {rooms:?} {private_chats:?} {blocked:?} {linked:?}")
}

#[tokio::test]
async fn snapshot_and_later_events_give_the_present_state() {
    let tracker = Tracker::start().await;
    let (mut ana, mut bob) = (tracker.peer("ana").await, tracker.peer("bob").await);
    let mut subscriptions = vec![ana.service.subscribe().await];
    ana.create("sala").await;
    subscriptions.push(ana.service.subscribe().await);
    bob.join("sala").await;
    subscriptions.push(ana.service.subscribe().await);
    ana.linked("bob").await;
    ana.run(Command::Block { user: Some(user("mallory")) }).await.unwrap();
    ana.tell("bob", "between us").await.unwrap();
    ana.create("equipe").await;
    subscriptions.push(ana.service.subscribe().await);
    bob.run(Command::Leave { conversation: None }).await.unwrap();
    ana.until(|e| matches!(e, Event::RoomUpdate { change: ChangeKind::Left, .. })).await;
    subscriptions.push(ana.service.subscribe().await);
    ana.run(Command::Delete { room: Some(room("equipe")) }).await.unwrap();
    ana.run(Command::Leave { conversation: Some(private("bob")) }).await.unwrap();
    ana.run(Command::Unblock { user: user("mallory") }).await.unwrap();
    ana.tell("bob", "once more").await.unwrap();
    bob.join("sala").await;
    bob.receives("once more").await;
    subscriptions.push(ana.service.subscribe().await);
    ana.service.stop().await;
    let mut states = Vec::new();
    for Subscription { mut snapshot, mut events } in subscriptions {
        while let Some(event) = events.recv().await {
            apply(&mut snapshot, &event);
        }
        states.push(summary(&snapshot));
    }
    let last = states.pop().unwrap();
    assert!(states.iter().all(|state| *state == last), "{states:#?}\n{last}");
    assert!(last.contains("sala") && !last.contains("equipe"), "{last}");
}

#[tokio::test]
async fn late_frontend_draws_its_screen_from_the_snapshot() {
    let tracker = Tracker::start().await;
    let [mut ana, mut bob, carla] = common::three_in(&tracker, "sala").await;
    ana.tell("bob", "between us").await.unwrap();
    bob.receives("between us").await;
    ana.run(Command::Verified { user: user("bob") }).await.unwrap();
    ana.run(Command::Block { user: Some(user("mallory")) }).await.unwrap();
    let _device = carla.elsewhere().await;
    ana.until(|e| matches!(e, Event::KeyChanged { .. })).await;

    let Snapshot { username, key, tracker: state, tracker_address, rooms, private_chats, users, .. } =
        ana.service.subscribe().await.snapshot;
    assert_eq!((username, key.is_some(), state), (Some(user("ana")), true, TrackerState::Connected));
    assert_eq!(tracker_address, tracker.address.to_string());
    let members: Vec<_> = rooms[0].members.iter().map(|member| member.username.as_str()).collect();
    assert_eq!((rooms[0].name.as_str(), members), ("sala", vec!["ana", "bob", "carla"]));
    assert_eq!(private_chats, [user("bob")]);
    let [bob, carla] = users.as_slice() else { panic!("{users:?}") };
    assert_eq!((bob.username.as_str(), bob.trust, bob.changed_key), ("bob", Trust::Verified, None));
    assert!(bob.link.is_some_and(|link| link.encrypted), "{bob:?}");
    assert_eq!((carla.username.as_str(), carla.trust), ("carla", Trust::Changed));
    assert!(carla.changed_key.is_some(), "it waits for this user's decision");
    let now = ana.service.subscribe().await.snapshot;
    assert_eq!((now.blocked, now.history_locked), (vec![user("mallory")], true));
    ana.run(Command::Unlock { password: password_of("ana") }).await.unwrap();
    assert!(!ana.service.subscribe().await.snapshot.history_locked);
    // It comes through any transport: a frontend may run in another process.
    let now = ana.service.subscribe().await.snapshot;
    let read: Snapshot = serde_json::from_str(&serde_json::to_string(&now).unwrap()).unwrap();
    assert_eq!(read, now);
}

fn private(name: &str) -> Conversation {
    Conversation::Private(user(name))
}

/// The size of a long message.
const LONG: usize = 8000;

/// More long messages than the queue of one frontend holds.
const MANY: usize = EVENT_QUEUE_BYTES / LONG + 300;

fn long(n: usize) -> String {
    format!("{n:0LONG$}")
}

/// Sends these messages to the room, in pieces, each once every other member has stored the one before. The readers
/// must get each message, in order.
async fn send(author: &mut Peer, messages: Range<usize>, recipients: usize, readers: &mut [&mut Peer]) {
    let all: Vec<usize> = messages.collect();
    for piece in all.chunks(100) {
        for n in piece {
            author.run(say_in("sala", long(*n))).await.unwrap();
        }
        for _ in 0..piece.len() * recipients {
            author.until(|e| matches!(e, Event::Delivered { .. })).await;
        }
        for reader in &mut *readers {
            let texts = reader.next_messages(piece.len()).await;
            assert!(texts.iter().zip(piece).all(|(text, n)| *text == long(*n)), "in order, each once");
        }
    }
}

/// Reads the numbers of messages, received and own ones, until this many came. Counts the lags.
async fn read(service: &PeerService, events: &mut Events, count: usize) -> (Vec<usize>, usize) {
    let (mut numbers, mut lags) = (Vec::new(), 0);
    while numbers.len() < count {
        match events.recv().await {
            Some(Event::Message { content, .. } | Event::Sent { content, .. }) => {
                numbers.push(content.expose().parse().unwrap());
            }
            Some(Event::Lagged) => {
                lags += 1;
                assert_eq!(events.recv().await, None, "the queue ends");
                *events = service.subscribe_after(events.position()).await.events;
            }
            Some(_) => {}
            None => panic!("it ended after {} messages", numbers.len()),
        }
    }
    (numbers, lags)
}

#[tokio::test(flavor = "multi_thread")]
async fn stalled_frontend_delays_no_other_and_loses_nothing() {
    let tracker = Tracker::start().await;
    let [mut ana, mut bob, mut carla] = common::three_in(&tracker, "sala").await;
    let Subscription { events: mut stalled, .. } = bob.service.subscribe().await;
    // The control: a frontend behind a queue that blocks, with another one that nobody reads.
    let Subscription { events: mut coupled, .. } = bob.service.subscribe().await;
    let (blocks, unread) = mpsc::channel(100);
    let (passes_on, mut behind) = mpsc::unbounded_channel();
    let coupled = tokio::spawn(async move {
        while let Some(event) = coupled.recv().await {
            passes_on.send(event.clone()).unwrap();
            blocks.send(event).await.unwrap();
        }
    });
    // The stalled frontend has read one message.
    let readers = &mut [&mut bob, &mut carla];
    send(&mut ana, 0..1, 2, readers).await;
    assert_eq!(read(&readers[0].service, &mut stalled, 1).await, (vec![0], 0));

    // Acks come although bob's frontend stalls, and bob's other frontend and carla get every message.
    send(&mut ana, 1..MANY, 2, readers).await;
    let mut few = 0;
    while let Ok(event) = behind.try_recv() {
        few += usize::from(matches!(event, Event::Message { .. }));
    }
    assert!(few <= unread.capacity() + unread.len() + 1, "the control is delayed: {few} of {MANY}");
    coupled.abort();

    // An own message from another frontend comes in its place.
    bob.run(say_in("sala", long(MANY))).await.unwrap();
    for _ in 0..2 {
        bob.until(|e| matches!(e, Event::Delivered { .. })).await;
    }
    ana.receives(&long(MANY)).await;
    send(&mut ana, MANY + 1..MANY + 3, 2, &mut []).await;
    let (numbers, lags) = read(&bob.service, &mut stalled, MANY + 2).await;
    assert_eq!(numbers, (1..MANY + 3).collect::<Vec<_>>());
    assert_eq!(lags, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn bot_that_does_not_read_gets_each_message_once() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut ana = tracker.peer("ana").await;
    ana.create("sala").await;
    let mut bot = Program::new(env!("CARGO_BIN_EXE_peer"))
        .args(["--tracker", &tracker.address.to_string(), "--data", data.path().to_str().unwrap()])
        .args(["--username", "bot", "--register", "--input", "json"])
        .env("PEER_PASSWORD", "a secret of theirs")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut commands = bot.stdin.take().unwrap();
    commands.write_all(b"{\"command\":\"join\",\"room\":\"sala\"}\n").unwrap();
    ana.linked("bot").await;
    send(&mut ana, 0..MANY, 1, &mut []).await;
    // It asks, and reads only now.
    commands.write_all(b"{\"command\":\"say\",\"text\":\"ready\",\"id\":7}\n").unwrap();
    let mut numbers = Vec::new();
    let (mut lags, mut is_answered) = (0, false);
    for line in BufReader::new(bot.stdout.take().unwrap()).lines() {
        let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
        match event["event"].as_str() {
            Some("message") => numbers.push(event["content"].as_str().unwrap().parse::<usize>().unwrap()),
            Some("lagged") => lags += 1,
            Some("sent") => is_answered = event["in_reply_to"] == 7,
            _ => {}
        }
        if numbers.len() >= MANY && is_answered {
            break;
        }
    }
    assert_eq!(numbers, (0..MANY).collect::<Vec<_>>());
    assert_eq!(lags, 1);
    bot.kill().unwrap();
    bot.wait().unwrap();
}

#[tokio::test]
async fn messages_that_no_frontend_showed_come_after_a_crash() {
    let tracker = Tracker::start().await;
    let (mut ana, mut bob) = (tracker.peer("ana").await, tracker.peer("bob").await);
    ana.create("sala").await;
    bob.join("sala").await;
    ana.linked("bob").await;
    // More messages than a queue holds. Bob's only frontend reads the second one, so it has shown the first.
    send(&mut ana, 0..MANY, 1, &mut []).await;
    assert_eq!(bob.next_messages(2).await, [long(0), long(1)]);
    let mut bob = bob.again_after_death().await;
    let texts = bob.next_messages(MANY - 1).await;
    assert!(texts.iter().enumerate().all(|(n, text)| *text == long(n + 1)), "in order, each once");
}

#[tokio::test]
async fn other_frontend_gets_an_event_for_each_change() {
    let tracker = Tracker::start().await;
    let [mut ana, mut bob, carla] = common::three_in(&tracker, "sala").await;
    let sala = Conversation::Room(room("sala"));
    let is_down = |e: &Event, of: &str| matches!(e, Event::Link { peer, state: LinkState::Down, .. } if *peer == user(of));
    carla.dies().await;
    ana.until(|e| is_down(e, "carla")).await;
    ana.run(Command::Unlock { password: password_of("ana") }).await.unwrap();
    let Subscription { events: mut other, .. } = ana.service.subscribe().await;
    let mut expect = async |what: &str, wanted: &dyn Fn(&Event) -> bool| {
        let found = tokio::time::timeout(PATIENCE, async {
            while let Some(event) = other.recv().await {
                if wanted(&event) {
                    return;
                }
            }
            panic!("the events ended before {what}");
        });
        found.await.unwrap_or_else(|_| panic!("the other frontend does not learn of {what}"));
    };
    let run = async |command: Command| ana.service.execute(command).await.unwrap();
    let say = |conversation: &Conversation, text: &str| Command::Say {
        conversation: Some(conversation.clone()),
        text: text.to_owned(),
        id: None,
    };

    run(Command::Create { room: room("equipe"), policy: Policy::Open }).await;
    expect("a new room", &|e| matches!(e, Event::RoomEntered { .. })).await;
    run(Command::Delete { room: Some(room("equipe")) }).await;
    expect("its deletion", &|e| matches!(e, Event::RoomDeleted { .. })).await;
    run(Command::Open { conversation: private("bob") }).await;
    expect("a chat", &|e| matches!(e, Event::ConversationStarted { .. })).await;
    run(say(&private("bob"), "psst")).await;
    let psst = |e: &Event| matches!(e, Event::Sent { conversation, content, .. } if *conversation == private("bob") && content == "psst");
    expect("a private message", &psst).await;
    bob.receives("psst").await;
    run(Command::Leave { conversation: Some(private("bob")) }).await;
    let ended = |e: &Event| matches!(e, Event::ConversationEnded { by, .. } if *by == user("ana"));
    expect("the end of the chat", &ended).await;
    run(Command::Block { user: Some(user("bob")) }).await;
    expect("a block", &|e| matches!(e, Event::BlockChanged { blocked: true, .. })).await;
    run(Command::Unblock { user: user("bob") }).await;
    expect("its end", &|e| matches!(e, Event::BlockChanged { blocked: false, .. })).await;
    run(Command::Verify { user: user("bob") }).await;
    run(Command::Verified { user: user("bob") }).await;
    expect("a comparison", &|e| matches!(e, Event::KeyVerified { .. })).await;
    // Bob has it, and carla does not.
    run(say(&sala, "for both")).await;
    bob.receives("for both").await;
    bob.service.stop().await;
    expect("the end of bob's link", &|e| is_down(e, "bob")).await;
    run(say(&sala, "a mistake")).await;
    let Answer::Outbox { lines } = run(Command::Outbox).await else { panic!("no outbox") };
    let id = lines.last().unwrap().message.id;
    run(Command::Withdraw { id: id.to_string() }).await;
    expect("a withdrawal", &|e| matches!(e, Event::MessageWithdrawn { id: gone } if *gone == id)).await;
    run(Command::Forget { conversation: sala.clone() }).await;
    expect("what was erased", &|e| matches!(e, Event::HistoryErased { .. })).await;
    run(Command::Leave { conversation: Some(sala) }).await;
    expect("the end of a membership", &|e| matches!(e, Event::RoomLeft { .. })).await;
    run(Command::Join { room: room("sala") }).await;
    expect("a new membership", &|e| matches!(e, Event::RoomEntered { .. })).await;
}
