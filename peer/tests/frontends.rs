//! Tests of several frontends of one peer: each has the whole state, and none delays another.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{Tracker, room, user};
use peer::api::snapshot::{LinkInfo, Snapshot, UserState};
use peer::api::status::{TrackerState, Trust};
use peer::api::{Command, Event, LinkState};
use peer::event_bus::Subscription;

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
            let state =
                UserState { username: peer.clone(), link, trust: Trust::Unverified, changed_key: None };
            snapshot.users.push(state);
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
    format!("{:?} {:?} {rooms:?} {linked:?}", snapshot.username, snapshot.tracker)
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
    ana.create("equipe").await;
    subscriptions.push(ana.service.subscribe().await);
    bob.run(Command::Leave { conversation: None }).await.unwrap();
    ana.until(|e| matches!(e, Event::Link { state: LinkState::Down, .. })).await;
    subscriptions.push(ana.service.subscribe().await);
    ana.run(Command::Delete { room: Some(room("equipe")) }).await.unwrap();
    bob.join("sala").await;
    ana.linked("bob").await;
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
    bob.hears("between us").await;
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
    ana.run(Command::Unlock { password: common::password_of("ana") }).await.unwrap();
    assert!(!ana.service.subscribe().await.snapshot.history_locked);
    // It comes through any transport: a frontend may run in another process.
    let now = ana.service.subscribe().await.snapshot;
    let read: Snapshot = serde_json::from_str(&serde_json::to_string(&now).unwrap()).unwrap();
    assert_eq!(read, now);
}
