//! Tests of a tracker that moved to another address.
//! The local data follows the proven key and nothing else. A program at the address that is not a tracker is reported
//! as such.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
mod programs;
mod proxy;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use common::{Peer, Tracker, peer_config};
use commons::net::socket::Listener;
use peer::api::Event;
use peer::service::{Keep, PeerConfig, PeerService};
use programs::{Piped, json};
use proxy::{Deed, Proxy, Way};
use tokio::io::AsyncWriteExt;

/// Whether this computer holds data of ana for this tracker.
fn keeps(ana: &Peer, tracker: SocketAddr) -> bool {
    ana.folder().join(tracker.to_string()).join("ana/identity.json").exists()
}

fn has_moved(event: &Event) -> bool {
    matches!(event, Event::TrackerMoved { .. })
}

#[tokio::test]
async fn stored_data_follows_the_tracker_key_to_a_new_address() {
    let mut tracker = Tracker::start().await;
    let old = tracker.address;
    let mut ana = tracker.peer("ana").await;
    ana.create("sala").await;
    ana.say("said at the old address").await;
    ana.service.stop().await;
    tracker.moves().await;

    let mut again = ana.try_again_at(tracker.address).await.unwrap();
    let reported = Event::TrackerMoved { from: old.to_string(), to: tracker.address.to_string() };
    assert_eq!(again.until(has_moved).await, reported);
    assert_eq!(again.service.take_moved(), Some(reported), "for a page that signs in");
    assert_eq!(again.service.take_moved(), None, "once");
    again.until(|event| matches!(event, Event::RoomEntered { .. })).await;
    assert!(!keeps(&ana, old) && keeps(&ana, tracker.address));

    // The second start at the new address is an ordinary one.
    again.service.stop().await;
    let mut third = again.try_again_at(tracker.address).await.unwrap();
    assert!(!third.saw(has_moved));
}

#[tokio::test]
async fn another_key_at_another_address_moves_nothing() {
    let (tracker, other) = (Tracker::start().await, Tracker::start().await);
    let ana = tracker.peer("ana").await;
    ana.service.stop().await;
    let refused = ana.try_again_at(other.address).await.err().unwrap();
    assert_eq!(refused.code(), "INVALID_CREDENTIALS", "nobody of that name is known there");
    assert!(keeps(&ana, tracker.address) && !keeps(&ana, other.address));
}

#[tokio::test]
async fn a_folder_that_is_in_use_stays_where_it_is() {
    let tracker = Tracker::start().await;
    let elsewhere = Proxy::to(tracker.address).await;
    let ana = tracker.peer("ana").await;
    let refused = ana.try_again_at(elsewhere.address).await.err().unwrap();
    assert!(refused.to_string().contains("in use by another peer"), "{refused}");
    assert!(keeps(&ana, tracker.address) && !keeps(&ana, elsewhere.address));
    // It moves once it is no longer in use.
    ana.service.stop().await;
    ana.try_again_at(elsewhere.address).await.unwrap();
    assert!(!keeps(&ana, tracker.address) && keeps(&ana, elsewhere.address));
}

#[tokio::test]
async fn a_move_that_a_crash_cut_short_is_made_at_the_next_start() {
    let tracker = Tracker::start().await;
    let elsewhere = Proxy::to(tracker.address).await;
    let ana = tracker.peer("ana").await;
    ana.service.stop().await;
    // The key is pinned at the new address, and the folder is still at the old one.
    let known = [tracker.address, elsewhere.address].map(|address| (address.to_string(), tracker.key()));
    let known = serde_json::to_vec(&BTreeMap::from(known)).unwrap();
    std::fs::write(ana.folder().join("known_trackers.json"), known).unwrap();
    let mut again = ana.try_again_at(elsewhere.address).await.unwrap();
    assert!(again.saw(has_moved));
    assert!(!keeps(&ana, tracker.address) && keeps(&ana, elsewhere.address));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_follows_its_tracker_too() {
    let mut tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut ana = Piped::bot(tracker.address, data.path(), "ana", true);
    ana.line("/quit");
    assert_eq!(ana.end().status, Some(0));
    tracker.moves().await;
    let mut again = Piped::bot(tracker.address, data.path(), "ana", false);
    assert_eq!(again.event("tracker_moved")["to"], tracker.address.to_string());
}

/// The reasons why a sign-in at this address fails, before the name is asked and after it.
async fn refused(tracker: SocketAddr) -> [String; 2] {
    let data = tempfile::tempdir().unwrap();
    let config = PeerConfig { keep: Keep::InMemory, ..peer_config(tracker, data.path()) };
    let knocked = PeerService::start(config).await.unwrap().probe().await.unwrap_err();
    let signed_in = tokio::task::spawn_blocking(move || {
        let end = Piped::bot(tracker, data.path(), "ana", true).end();
        json(end.stdout.last().unwrap())["code"].as_str().unwrap().to_owned()
    });
    [knocked.code(), signed_in.await.unwrap()]
}

/// A port that sends these words to every client and then closes.
async fn says(words: &'static [u8]) -> SocketAddr {
    let listener = Listener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            // The client's bytes are read first, so that the connection does not end with a reset.
            let _ = socket.opening().await;
            let _ = socket.write_all(words).await;
            let _ = tokio::io::copy(&mut socket, &mut tokio::io::sink()).await;
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn other_program_is_distinguished_from_no_answer() {
    let mut tracker = Tracker::start().await;
    let proxy = Proxy::to(tracker.address).await;
    let strange = ["NOT_A_TRACKER", "NOT_A_TRACKER"];
    assert_eq!(refused(says(b"HTTP/1.1 400 Bad Request\r\n\r\n").await).await, strange);
    // The greeting of the client or of the tracker is changed on its way.
    for way in [Way::There, Way::Back] {
        proxy.does(Deed::Flip(way, 100));
        assert_eq!(refused(proxy.address).await, strange);
        assert!(proxy.flips() > 0);
    }
    tracker.down().await;
    assert_eq!(refused(tracker.address).await, ["TRACKER_LOST", "TRACKER_LOST"]);
}
