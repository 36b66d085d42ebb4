//! The away text: others see it beside the name, and it ends with the next message, with `back` and with the link.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
mod legacy;
mod programs;

use common::{Peer, Tracker, say_in};
use legacy::{LegacyClient, Shown};
use peer::api::answer::Answer;
use peer::api::status::TrackerState;
use peer::api::{Command, Event};
use peer::untrusted::AsUntrusted;
use programs::Screen;

/// Waits for the event that says whether a user is away.
async fn hears_of(peer: &mut Peer, name: &str) -> Option<String> {
    let is_of = |event: &Event| matches!(event, Event::Presence { user, .. } if user.as_str() == name);
    match peer.until(is_of).await {
        Event::Presence { away, .. } => away.map(|text| text.expose().to_owned()),
        _ => panic!("another event"),
    }
}

/// Returns the away text of a user in the answer to `users`.
async fn listed(peer: &Peer, name: &str) -> Option<String> {
    let Ok(Answer::Users { members, .. }) = peer.run(Command::Users { conversation: None }).await else {
        panic!("no members")
    };
    let member = members.into_iter().find(|it| it.member.username.as_str() == name).unwrap();
    member.away.map(|text| text.expose().to_owned())
}

/// Returns the away text of a user in the answer to `peers`.
async fn listed_online(peer: &Peer, name: &str) -> Option<String> {
    let Ok(Answer::Peers { peers }) = peer.run(Command::Peers).await else { panic!("no users") };
    let user = peers.into_iter().find(|it| it.peer.username == name).unwrap();
    user.away.map(|text| text.expose().to_owned())
}

async fn is_away(peer: &Peer, text: &str) {
    peer.run(Command::Away { text: Some(text.to_owned()) }).await.unwrap();
}

/// Starts ana and bob, linked in a room.
async fn two(tracker: &Tracker) -> (Peer, Peer) {
    let (mut ana, mut bob) = (tracker.peer("ana").await, tracker.peer("bob").await);
    ana.create("sala").await;
    bob.join("sala").await;
    ana.linked("bob").await;
    bob.linked("ana").await;
    (ana, bob)
}

#[tokio::test]
async fn away_text_reaches_others_and_ends_with_a_message() {
    let tracker = Tracker::start().await;
    let (mut ana, mut bob) = two(&tracker).await;
    assert_eq!(listed(&bob, "ana").await, None, "the control");
    is_away(&ana, "at\nlunch").await;
    assert_eq!(hears_of(&mut ana, "ana").await.as_deref(), Some("at lunch"));
    assert_eq!(hears_of(&mut bob, "ana").await.as_deref(), Some("at lunch"));
    assert_eq!(listed(&bob, "ana").await.as_deref(), Some("at lunch"));
    assert_eq!(listed(&ana, "ana").await.as_deref(), Some("at lunch"));
    for peer in [&ana, &bob] {
        assert_eq!(listed_online(peer, "ana").await.as_deref(), Some("at lunch"));
        assert_eq!(listed_online(peer, "bob").await, None, "the control");
    }
    ana.say("hi").await;
    assert_eq!(hears_of(&mut bob, "ana").await, None);
    assert_eq!(listed(&bob, "ana").await, None);
    assert!(ana.run(Command::Back).await.is_err(), "ana is there");
}

#[tokio::test]
async fn away_text_goes_to_a_new_link_and_ends_with_it() {
    let tracker = Tracker::start().await;
    let (mut ana, mut bob) = (tracker.peer("ana").await, tracker.peer("bob").await);
    bob.create("sala").await;
    is_away(&ana, "").await;
    ana.join("sala").await;
    assert_eq!(hears_of(&mut bob, "ana").await.as_deref(), Some(""));
    ana.run(Command::Quit).await.unwrap();
    assert_eq!(hears_of(&mut bob, "ana").await, None);
    assert_eq!(listed(&bob, "ana").await, None);
}

#[tokio::test]
async fn away_text_survives_reconnects_until_a_message() {
    let mut tracker = Tracker::start().await;
    let (mut ana, mut bob) = two(&tracker).await;
    is_away(&ana, "lunch").await;
    assert_eq!(hears_of(&mut bob, "ana").await.as_deref(), Some("lunch"));
    bob.run(Command::Quit).await.unwrap();
    let mut bob = bob.again().await;
    assert_eq!(hears_of(&mut bob, "ana").await.as_deref(), Some("lunch"), "the link is new");
    tracker.down().await;
    ana.until(|event| matches!(event, Event::Tracker { state: TrackerState::Lost, .. })).await;
    tracker.up().await;
    ana.until(|event| matches!(event, Event::Tracker { state: TrackerState::Connected, .. })).await;
    assert_eq!(listed(&ana, "ana").await.as_deref(), Some("lunch"), "the session is new");
    ana.run(say_in("sala", "hi")).await.unwrap();
    assert_eq!(hears_of(&mut bob, "ana").await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn away_text_disturbs_no_legacy_client() {
    let tracker = Tracker::start().await;
    let mut ana = tracker.peer("ana").await;
    ana.create("sala").await;
    let py = LegacyClient::registered(tracker.address, "py");
    py.join("sala");
    ana.linked("py").await;
    is_away(&ana, "lunch").await;
    let late = LegacyClient::registered(tracker.address, "rui");
    late.join("sala");
    ana.linked("rui").await;
    ana.say("back").await;
    for client in [&py, &late] {
        let first = client.until(|shown| matches!(shown, Shown::Room { .. } | Shown::Unknown(_)));
        assert_eq!(first, Shown::Room { from: "ana".into(), text: "back".into() });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn away_text_stands_beside_the_name_on_the_screen() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut bob = tracker.peer("bob").await;
    bob.create("sala").await;
    let mut ana = Screen::user(tracker.address, data.path(), "ana", 60, 120);
    ana.line("/join sala");
    ana.shows("sala · ● bob");
    bob.linked("ana").await;
    ana.line("/away at lunch");
    ana.shows("You are away: at lunch. Your next message ends this, or /back.");
    assert_eq!(hears_of(&mut bob, "ana").await.as_deref(), Some("at lunch"));
    ana.line("/users");
    ana.wait("the list", |screen| {
        screen.rows().iter().any(|row| row.contains("(you)") && row.ends_with("away: at lunch"))
    });
    ana.line("/peers");
    ana.wait("the list of all", |screen| {
        screen.rows().iter().any(|row| row.contains("127.0.0.1:") && row.ends_with("away: at lunch"))
    });
    ana.line("/back");
    ana.shows("You are back.");
    assert_eq!(hears_of(&mut bob, "ana").await, None);
}
