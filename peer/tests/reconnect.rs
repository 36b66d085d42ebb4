//! Tests of recovery: the tracker, a peer's program or a link is lost and returns.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{Tracker, room, three_in, user};
use commons::snapshot::ChangeKind;
use peer::api::answer::Answer;
use peer::api::conversation::Conversation;
use peer::api::error::CommandError;
use peer::api::status::TrackerState;
use peer::api::{Command, Event};

#[tokio::test]
async fn chat_goes_on_without_the_tracker() {
    let mut tracker = Tracker::start().await;
    let [mut ana, mut bob, mut carla] = three_in(&tracker, "sala").await;
    tracker.down().await;
    for one in [&mut ana, &mut bob, &mut carla] {
        one.until(|e| matches!(e, Event::Tracker { state: TrackerState::Lost, .. })).await;
    }
    assert_eq!(ana.run(Command::Rooms).await, Err(CommandError::TrackerLost));
    ana.say("without a tracker").await;
    bob.receives("without a tracker").await;
    carla.receives("without a tracker").await;
    bob.tell("carla", "in private too").await.unwrap();
    carla.receives("in private too").await;

    tracker.up().await;
    for one in [&mut ana, &mut bob, &mut carla] {
        one.until(|e| matches!(e, Event::Tracker { state: TrackerState::Connected, .. })).await;
        // The first `Connected` event belongs to the first connection.
        one.until(|e| matches!(e, Event::Tracker { state: TrackerState::Connected, .. })).await;
    }
    let Ok(Answer::Rooms { rooms }) = ana.run(Command::Rooms).await else { panic!("no rooms") };
    assert_eq!(rooms[0].members.len(), 3);
    ana.say("and with it again").await;
    bob.receives("and with it again").await;
}

#[tokio::test]
async fn lost_tracker_blocks_new_members_until_it_returns() {
    let mut tracker = Tracker::start().await;
    let [mut ana, mut bob, mut carla] = three_in(&tracker, "sala").await;
    let mut dora = tracker.peer("dora").await;
    let eva = tracker.peer("eva").await;
    eva.service.stop().await;
    carla.run(Command::Leave { conversation: None }).await.unwrap();
    tracker.down().await;
    for one in [&mut ana, &mut bob, &mut carla, &mut dora] {
        one.until(|e| matches!(e, Event::Tracker { state: TrackerState::Lost, .. })).await;
        assert_eq!(one.service.status().await.tracker, TrackerState::Lost);
    }
    let join = || Command::Join { room: room("sala") };
    assert_eq!(dora.run(join()).await, Err(CommandError::TrackerLost), "a free seat cannot be taken");
    assert_eq!(eva.try_elsewhere().await.map(drop).unwrap_err().code(), "TRACKER_LOST", "nobody can sign in");
    ana.say("among us").await;
    bob.receives("among us").await;

    tracker.up().await;
    dora.until(|e| matches!(e, Event::Tracker { state: TrackerState::Connected, .. })).await;
    dora.until(|e| matches!(e, Event::Tracker { state: TrackerState::Connected, .. })).await;
    dora.run(join()).await.unwrap();
    ana.linked("dora").await;
    ana.say("welcome").await;
    bob.receives("welcome").await;
    dora.receives("welcome").await;
    assert!(!dora.saw(|e| matches!(e, Event::Message { content, .. } if *content == *"among us")));
}

#[tokio::test]
async fn a_restarted_peer_enters_its_rooms_again_by_itself() {
    let tracker = Tracker::start().await;
    let [mut ana, bob, _carla] = three_in(&tracker, "sala").await;
    let quit = bob.run(Command::Quit).await;
    assert_eq!(quit, Ok(Answer::Quit { undelivered: vec![] }));
    ana.until(|e| matches!(e, Event::RoomUpdate { change: ChangeKind::Offline, .. })).await;
    let mut bob = bob.again().await;
    bob.until(|e| matches!(e, Event::RoomEntered { room } if room.name.as_str() == "sala")).await;
    assert_eq!(bob.opened().await, Some(Conversation::Room(room("sala"))));
    ana.until(|e| matches!(e, Event::RoomUpdate { change: ChangeKind::Online, .. })).await;
    ana.linked("bob").await;
    ana.say("welcome back").await;
    bob.receives("welcome back").await;
}

#[tokio::test]
async fn a_crashed_peer_is_linked_again_when_it_returns() {
    let tracker = Tracker::start().await;
    let [mut ana, bob, mut carla] = three_in(&tracker, "sala").await;
    let bob = bob.again_after_death().await;
    ana.linked("bob").await;
    carla.linked("bob").await;
    bob.say("I am back").await;
    assert_eq!(ana.receives("I am back").await, user("bob"));
    assert_eq!(carla.receives("I am back").await, user("bob"));
}

#[tokio::test]
async fn the_newest_login_wins_and_the_older_program_ends() {
    let tracker = Tracker::start().await;
    let mut old = tracker.peer("ana").await;
    let _new = old.elsewhere().await;
    old.until(|e| matches!(e, Event::Error { code, .. } if code == "SUPERSEDED")).await;
    assert!(old.service.failure().is_some());
}

#[tokio::test]
async fn quit_waits_for_messages_on_their_way() {
    let tracker = Tracker::start().await;
    let [ana, mut bob, _carla] = three_in(&tracker, "sala").await;
    for n in 0..200 {
        ana.say(&format!("line {n}")).await;
    }
    let quit = ana.run(Command::Quit).await;
    assert_eq!(quit, Ok(Answer::Quit { undelivered: vec![] }));
    assert_eq!(bob.next_messages(200).await[199], "line 199");
}
