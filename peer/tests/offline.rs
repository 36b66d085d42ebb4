//! Tests of a start without the tracker: the password opens the local data, and the sign-in follows when the tracker
//! answers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
mod programs;

use std::fs;

use common::{Tracker, password_of, room, three_in, user};
use commons::snapshot::ChangeKind;
use peer::api::answer::Answer;
use peer::api::conversation::Conversation;
use peer::api::status::TrackerState;
use peer::api::{Command, Event};
use peer::identity::password::Password;
use programs::{PASSWORD, Piped};

fn is_logged_in(event: &Event) -> bool {
    matches!(event, Event::LoggedIn { .. })
}

fn tracker_is(wanted: TrackerState) -> impl Fn(&Event) -> bool {
    move |event| matches!(event, Event::Tracker { state, .. } if *state == wanted)
}

#[tokio::test]
async fn a_start_without_a_tracker_opens_what_is_here() {
    let mut tracker = Tracker::start().await;
    let [ana, mut bob, carla] = three_in(&tracker, "sala").await;
    ana.say("before").await;
    bob.receives("before").await;
    ana.service.stop().await;
    carla.service.stop().await;
    tracker.down().await;
    bob.until(tracker_is(TrackerState::Lost)).await;

    let mut ana = ana.again().await;
    let Event::Tracker { state: TrackerState::Lost, .. } = ana.until(|_| true).await else {
        panic!("another first event")
    };
    let Event::RoomEntered { room: entered } = ana.until(|_| true).await else {
        panic!("another second event")
    };
    let there: Vec<_> = entered.members.iter().filter(|m| m.connected).map(|m| m.username.clone()).collect();
    assert_eq!(there, [user("ana")], "nobody is linked yet");
    assert_eq!(ana.opened().await, Some(Conversation::Room(room("sala"))));
    ana.run(Command::Unlock { password: password_of("ana") }).await.unwrap();
    let history = ana.run(Command::History { conversation: None, lines: 9, before: None, after: None }).await;
    assert!(matches!(history, Ok(Answer::History { lines, .. }) if lines.len() == 1));

    // Members are dialled at their last addresses, and presence follows the links.
    ana.say("without a tracker").await;
    bob.receives("without a tracker").await;
    ana.until(|e| matches!(e, Event::RoomUpdate { change: ChangeKind::Online, username, .. } if *username == user("bob"))).await;
    let is_there = |answer| match answer {
        Ok(Answer::Users { members, .. }) => members
            .into_iter()
            .filter(|present: &peer::api::status::MemberStatus| present.member.connected)
            .map(|present| present.member.username)
            .collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!(is_there(ana.run(Command::Users { conversation: None }).await), [user("ana"), user("bob")]);
    bob.service.stop().await;
    ana.until(|e| matches!(e, Event::RoomUpdate { change: ChangeKind::Offline, username, .. } if *username == user("bob"))).await;
    assert!(!ana.saw(is_logged_in));

    tracker.up().await;
    ana.until(tracker_is(TrackerState::Connected)).await;
    ana.until(is_logged_in).await;
    ana.run(Command::Rooms).await.unwrap();
    assert!(!ana.saw(|e| matches!(e, Event::RoomLeft { .. } | Event::RoomAvailable { .. })));
    tracker.down().await;
    tracker.up().await;
    ana.until(tracker_is(TrackerState::Connected)).await;
    assert!(!ana.saw(is_logged_in), "told once");
}

#[tokio::test]
async fn without_a_tracker_the_password_is_checked_locally() {
    let mut tracker = Tracker::start().await;
    let ana = tracker.peer("ana").await;
    ana.service.stop().await;
    tracker.down().await;
    let wrong = ana.try_again_with(&Password::typed("not the password")).await.map(drop).unwrap_err();
    assert_eq!(wrong.code(), "INVALID_CREDENTIALS");
    // The control, and a computer on which ana has no account.
    ana.try_again().await.unwrap();
    assert_eq!(ana.try_elsewhere().await.map(drop).unwrap_err().code(), "TRACKER_LOST");
}

#[tokio::test]
async fn refusal_after_an_offline_start_is_reported() {
    for (is_other_key, code) in [(true, "TRACKER_KEY_CHANGED"), (false, "INVALID_CREDENTIALS")] {
        let (mut tracker, other) = (Tracker::start().await, Tracker::start().await);
        let ana = tracker.peer("ana").await;
        ana.service.stop().await;
        tracker.down().await;
        let mut ana = ana.again().await;
        if is_other_key {
            tracker.takes_the_key_of(&other).await;
        } else {
            tracker.forgets().await;
        }
        ana.until(|e| matches!(e, Event::Error { code: reported, .. } if reported == code)).await;
        // Anybody on the way can show another key, so it does not end a chat that needs no tracker.
        let end = (!is_other_key).then(|| code.to_owned());
        assert_eq!(ana.service.failure().map(|error| error.code()), end);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_without_a_name_server_opens_what_is_here() {
    const NOWHERE: &str = "chat.invalid:6060";
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut ana = Piped::bot(tracker.address, data.path(), "ana", true);
    ana.event("logged_in");
    ana.close_input();
    assert_eq!(ana.end().status, Some(0));
    // The same account, as it is stored for a tracker that was given by name.
    fs::rename(data.path().join(tracker.address.to_string()), data.path().join(NOWHERE)).unwrap();
    let flags =
        ["--tracker", NOWHERE, "--data", data.path().to_str().unwrap(), "--output", "json", "--username"];
    let start = |name: &str| {
        let flags: Vec<_> = flags.into_iter().chain([name]).map(str::to_owned).collect();
        Piped::start(&flags, Some(PASSWORD))
    };
    assert_eq!(start("ana").event("tracker")["state"], "lost");
    fs::remove_dir_all(data.path().join(NOWHERE)).unwrap();
    let nobody = start("bob").end();
    assert_eq!(nobody.status, Some(1), "without an account it is a mistake in the address: {nobody:?}");
}

#[tokio::test]
async fn private_partner_is_dialled_where_it_was_last() {
    for restarts in ["ana", "bob"] {
        let mut tracker = Tracker::start().await;
        let (ana, mut bob) = (tracker.peer("ana").await, tracker.peer("bob").await);
        ana.tell("bob", "before").await.unwrap();
        bob.receives("before").await;
        let (gone, mut stays) = if restarts == "ana" { (ana, bob) } else { (bob, ana) };
        gone.service.stop().await;
        tracker.down().await;
        stays.until(tracker_is(TrackerState::Lost)).await;

        let (mut back, there) = (gone.again().await, stays.name.as_str().to_owned());
        back.linked(&there).await;
        back.tell(&there, "without a tracker").await.unwrap();
        stays.receives("without a tracker").await;
        stays.tell(restarts, "and back").await.unwrap();
        back.receives("and back").await;
        assert!(!back.saw(is_logged_in));
    }
}
