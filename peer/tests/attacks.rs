//! Attacks on sessions and links.
//! Each has a control: the attack succeeds on a careless client, or the same connection works without the attacker.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
mod proxy;
mod raw_client;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use common::{Peer, Tracker, password_of, peer_config, three_in, user};
use commons::keys::Seed;
use commons::net::plaintext::Plaintext;
use commons::net::socket::Listener;
use commons::net::tls::{Identity, Purpose};
use peer::api::answer::Answer;
use peer::api::error::CommandError;
use peer::api::sign_in::{Consent, SignIn};
use peer::api::status::LinkState;
use peer::api::status::Trust;
use peer::api::undeliverable::Undeliverable;
use peer::api::{Command, Event};
use peer::service::{Keep, PeerConfig, PeerService};
use peer::untrusted::AsUntrusted;
use proxy::{Deed, Proxy, Way};
use raw_client::{RawClient, RawLink, digest, hello, message, seed_in, sign_in};
use serde_json::json;
use tokio::time::timeout;

/// Distance between two flipped bits in bytes. Flipping every bit would take minutes.
const FLIP_EVERY: usize = 61;

/// Range of the flipped bits in bytes from the start of a connection: past the handshake, into the first frames.
const FLIP_UNTIL: usize = 2048;

/// Longest wait for a connection that a flipped bit has stalled.
const HANGING: Duration = Duration::from_secs(2);

fn anybody(purpose: Purpose) -> Identity {
    Identity::new(&Seed::random().unwrap(), purpose).unwrap()
}

async fn any_port() -> Listener {
    Listener::bind("127.0.0.1:0").await.unwrap()
}

#[tokio::test]
async fn a_middle_man_before_the_tracker_is_not_signed_in_at() {
    let tracker = Tracker::start().await;
    let proxy = Proxy::to(tracker.address).await;
    let mut ana = Peer::register(proxy.address, "ana").await;

    // The attack is tried on the running program and at its next start.
    let middle = anybody(Purpose::Session);
    proxy.does(Deed::Middle(middle.clone()));
    proxy.cut();
    ana.until(|e| matches!(e, Event::Error { code, .. } if code == "TRACKER_KEY_CHANGED")).await;
    assert_eq!(ana.service.failure(), None, "the chat goes on without the tracker");
    ana.service.stop().await;
    let refused = ana.try_again().await.err();
    assert!(
        matches!(&refused, Some(CommandError::TrackerKeyChanged { found, .. }) if *found == middle.key()),
        "{refused:?}"
    );
    assert!(!proxy.received("LOGIN"), "the stranger was told who wants in");

    // The control: a client that compares no keys is intercepted, so the attack was real.
    let mut naive = RawLink::encrypted(proxy.address, &anybody(Purpose::Session)).await.unwrap();
    naive.ok(&sign_in("REGISTER", "naive", 5000)).await;
    assert!(proxy.received(&digest("naive")));

    // The same connection without the man in the middle works.
    proxy.does(Deed::Pass);
    ana.again().await.run(Command::Rooms).await.unwrap();
}

#[tokio::test]
async fn middle_man_between_two_peers_reads_nothing() {
    let tracker = Tracker::start().await;
    let listener = any_port().await;
    let proxy = Proxy::to(listener.local_addr().unwrap()).await;
    let mut bob = RawClient::register(tracker.address, "bob", listener, proxy.address.port()).await;
    let mut ana = tracker.peer("ana").await;

    let middle = anybody(Purpose::Link);
    proxy.does(Deed::Middle(middle.clone()));
    ana.tell("bob", "for bob alone").await.unwrap();
    let changed = ana.until(|e| matches!(e, Event::KeyChanged { .. })).await;
    assert_eq!(changed, Event::KeyChanged { peer: user("bob"), fingerprint: middle.key() });
    let Ok(Answer::Outbox { lines }) = ana.run(Command::Outbox).await else { panic!("no outbox") };
    assert_eq!(lines.len(), 1, "the line waits for bob");
    assert!(!ana.saw(|e| matches!(e, Event::Link { .. })));
    assert_eq!(bob.received(), None);
    assert_eq!(proxy.received_bytes(), 0, "the stranger was told something");

    // The control: a client that compares no keys is intercepted, so the attack was real.
    let mut naive = RawLink::encrypted(proxy.address, &anybody(Purpose::Link)).await.unwrap();
    assert_eq!(naive.ask(&hello("naive")).await.unwrap()["cmd"], "WELCOME");
    assert!(proxy.received("naive"));

    proxy.does(Deed::Pass);
    assert_eq!(bob.receives().await, "for bob alone", "it waited for the right one");
    ana.tell("bob", "and now it works").await.unwrap();
    assert_eq!(bob.receives().await, "and now it works");
    assert!(!proxy.received("and now it works"));
}

/// Whether a message arrives on a link of its own through this proxy.
async fn arrives(proxy: &Proxy, ana: &RawClient, content: &str) -> bool {
    let talk = async {
        let Ok(mut link) = RawLink::encrypted(proxy.address, &ana.identity(Purpose::Link)).await else {
            return false;
        };
        let welcome = link.ask(&hello(ana.name)).await.is_some_and(|answer| answer["cmd"] == "WELCOME");
        let line = message(ana.name, content);
        welcome && link.ask(&line).await == Some(json!({"cmd": "RECEIVED", "id": line["id"]}))
    };
    timeout(HANGING, talk).await.unwrap_or(false)
}

#[tokio::test]
async fn flipped_bit_breaks_the_link_and_changes_no_message() {
    let tracker = Tracker::start().await;
    let mut bob = tracker.peer("bob").await;
    // Ana accepts no links at this port, so all links go from ana to bob.
    let ana = RawClient::register(tracker.address, "ana", any_port().await, 1).await;
    let proxy = Proxy::to(bob.service.local_addr()).await;
    assert!(arrives(&proxy, &ana, "untouched").await);
    // Of a request for a chat, only a few messages would be taken.
    bob.until(|event| matches!(event, Event::Message { .. })).await;
    bob.run(Command::AcceptChat { user: user("ana") }).await.unwrap();

    let (mut output, mut broken) = (BTreeSet::from(["untouched".to_owned(), "the last".to_owned()]), 0);
    for way in [Way::There, Way::Back] {
        for at in (0..FLIP_UNTIL).step_by(FLIP_EVERY) {
            let content = format!("{way:?} {at} {}", "x".repeat(FLIP_UNTIL / 2));
            output.insert(content.clone());
            proxy.does(Deed::Flip(way, at));
            broken += usize::from(!arrives(&proxy, &ana, &content).await);
        }
    }
    // The version in a record's header is ignored, so flips of it have no effect.
    let flips = proxy.flips();
    assert!(flips > 40 && broken * 10 >= flips * 9, "{broken} of {flips} were noticed");
    proxy.does(Deed::Pass);
    assert!(arrives(&proxy, &ana, "the last").await);
    bob.receives("the last").await;
    assert!(!bob.saw(|e| matches!(e, Event::Message { content, .. } if !output.contains(content.expose()))));
}

#[tokio::test]
async fn control_flipped_bit_changes_a_plaintext_message() {
    let tracker = Tracker::start().await;
    let mut bob = tracker.peer("bob").await;
    RawLink::in_the_clear(tracker.address).await.ok(&sign_in("REGISTER", "original", 5000)).await;
    let proxy = Proxy::to(bob.service.local_addr()).await;
    let (hello, line) = (hello("original"), message("original", "aaaaaaaaaaaaaaaa"));
    let before = hello.to_string().len() + 1 + line.to_string().find("aaaa").unwrap();
    proxy.does(Deed::Flip(Way::There, before.next_multiple_of(8)));
    let mut link = RawLink::in_the_clear(proxy.address).await;
    link.send(&hello).await;
    link.send(&line).await;
    let received = bob.until(|e| matches!(e, Event::Message { .. })).await;
    assert!(matches!(received, Event::Message { content, .. } if content.expose().contains('`')));
}

#[tokio::test]
async fn a_flipped_bit_breaks_a_session_and_never_changes_a_request() {
    let mut tracker = Tracker::start().await;
    let proxy = Proxy::to(tracker.address).await;
    let register = async |name: String| {
        let talk = async {
            let mut session = RawLink::encrypted(proxy.address, &anybody(Purpose::Session)).await.ok()?;
            session.ask(&sign_in("REGISTER", &name, 5000)).await
        };
        timeout(HANGING, talk).await.ok().flatten().is_some_and(|reply| reply["status"] == "OK")
    };
    assert!(register("untouched".to_owned()).await);
    let (mut names, mut broken) = (BTreeSet::from(["untouched".to_owned()]), 0);
    for way in [Way::There, Way::Back] {
        for at in (0..FLIP_UNTIL).step_by(FLIP_EVERY) {
            let name = format!("{way:?}{at}").to_lowercase();
            names.insert(name.clone());
            proxy.does(Deed::Flip(way, at));
            broken += usize::from(!register(name).await);
        }
    }
    let flips = proxy.flips();
    assert!(flips > 40 && broken * 10 >= flips * 9, "{broken} of {flips} were noticed");
    // A stopped tracker has compacted its journals.
    tracker.down().await;
    let users = std::fs::read(tracker.folder().join("users_db.json")).unwrap();
    let users: BTreeMap<String, String> = serde_json::from_slice(&users).unwrap();
    assert!(users.contains_key("untouched"));
    assert!(users.keys().all(|name| names.contains(name)), "{:?}", users.keys());
}

#[tokio::test]
async fn a_new_device_is_not_talked_to_before_it_is_accepted() {
    let tracker = Tracker::start().await;
    let [mut ana, bob, _carla] = three_in(&tracker, "sala").await;
    ana.say("to the one I know").await;
    // The tracker announces another key, of a second computer or of a thief of the password.
    let mut device = bob.elsewhere().await;
    device.join("sala").await;
    bob.service.stop().await;
    let seed = seed_in(device.folder(), "bob");
    let key = Identity::new(&seed, Purpose::Link).unwrap();
    let changed = ana.until(|e| matches!(e, Event::KeyChanged { .. })).await;
    assert_eq!(changed, Event::KeyChanged { peer: user("bob"), fingerprint: key.key() });

    ana.say("not for a stranger").await;
    let refused = |e: &Event| matches!(e, Event::Undelivered { to, reason: Undeliverable::KeyChanged, .. } if *to == user("bob"));
    ana.until(refused).await;
    assert_eq!(ana.tell("bob", "nor this").await, Err(CommandError::KeyChanged(user("bob"))));
    let mut link = RawLink::encrypted(ana.service.local_addr(), &key).await.unwrap();
    let answer = link.ask(&hello("bob")).await;
    assert_eq!(answer, Some(json!({"cmd": "REFUSED", "code": "KEY_CHANGED"})));
    link.send(&message("bob", "trust me")).await;
    assert_eq!(link.recv().await, None);
    let with_ana =
        |e: &Event| matches!(e, Event::Link { peer, state: LinkState::Up, .. } if *peer == user("ana"));
    assert!(!device.saw(with_ana));
    assert!(!device.saw(|e| matches!(e, Event::Message { .. })));

    ana.run(Command::Accept { user: user("bob") }).await.unwrap();
    ana.linked("bob").await;
    ana.say("for both of you").await;
    device.receives("for both of you").await;
    device.say("it is me").await;
    assert_eq!(ana.receives("it is me").await, user("bob"));
    assert!(!ana.saw(|e| matches!(e, Event::Message { content, .. } if content == "trust me")));
}

#[tokio::test]
async fn a_new_device_that_speaks_first_is_accepted_at_once() {
    let tracker = Tracker::start().await;
    let mut ana = tracker.peer("ana").await;
    let mut bob = tracker.peer("bob").await;
    ana.tell("bob", "hello").await.unwrap();
    bob.receives("hello").await;
    let mut device = bob.elsewhere().await;
    bob.service.stop().await;
    device.tell("ana", "from my new computer").await.unwrap();
    let reported = |e: &Event| matches!(e, Event::Error { code, .. } if code == "KEY_CHANGED");
    device.until(reported).await;
    ana.until(|e| matches!(e, Event::KeyChanged { .. })).await;
    ana.run(Command::Accept { user: user("bob") }).await.unwrap();
    device.tell("ana", "and again").await.unwrap();
    ana.receives("and again").await;
    assert!(!device.saw(reported), "told once");
}

async fn trust_in(ana: &Peer, name: &str) -> Trust {
    let Ok(Answer::Users { members, .. }) = ana.run(Command::Users { conversation: None }).await else {
        panic!("no users")
    };
    members.into_iter().find(|present| present.member.username == user(name)).unwrap().trust
}

#[tokio::test]
async fn name_is_shown_with_its_trust() {
    let tracker = Tracker::start().await;
    let (mut ana, mut bob) = (tracker.peer("ana").await, tracker.peer("bob").await);
    ana.create("sala").await;
    bob.join("sala").await;
    ana.linked("bob").await;
    assert_eq!(trust_in(&ana, "ana").await, Trust::Verified);
    assert_eq!(trust_in(&ana, "bob").await, Trust::Unverified);
    ana.run(Command::Verified { user: user("bob") }).await.unwrap();
    assert_eq!(trust_in(&ana, "bob").await, Trust::Verified);
    let _device = bob.elsewhere().await;
    ana.until(|e| matches!(e, Event::KeyChanged { .. })).await;
    assert_eq!(trust_in(&ana, "bob").await, Trust::Changed);
    ana.run(Command::Accept { user: user("bob") }).await.unwrap();
    assert_eq!(trust_in(&ana, "bob").await, Trust::Unverified);
    assert_eq!(ana.service.status().await.trust, BTreeMap::from([(user("bob"), Trust::Unverified)]));

    let mut original = RawLink::in_the_clear(tracker.address).await;
    original.ok(&sign_in("REGISTER", "original", 5000)).await;
    original.ok(&json!({"cmd": "JOIN_ROOM", "room": "sala"})).await;
    ana.until(|e| matches!(e, Event::RoomUpdate { username, .. } if *username == user("original"))).await;
    assert_eq!(trust_in(&ana, "original").await, Trust::Unencrypted);
}

#[tokio::test]
async fn plaintext_cannot_use_the_name_of_a_user_with_keys() {
    let tracker = Tracker::start().await;
    let mut ana = tracker.peer("ana").await;
    let _bob = tracker.peer("bob").await;
    let mut link = RawLink::in_the_clear(ana.service.local_addr()).await;
    link.send(&hello("bob")).await;
    link.send(&message("bob", "a lie")).await;
    assert_eq!(link.recv().await, None);

    // A legacy client has no key to prove and only claims its name.
    RawLink::in_the_clear(tracker.address).await.ok(&sign_in("REGISTER", "original", 5000)).await;
    let mut link = RawLink::in_the_clear(ana.service.local_addr()).await;
    link.send(&hello("original")).await;
    link.send(&message("original", "the truth")).await;
    assert_eq!(ana.receives("the truth").await, user("original"));
    assert!(ana.saw(|e| matches!(e, Event::Link { encrypted: false, .. })));
    assert!(!ana.saw(|e| matches!(e, Event::Message { content, .. } if content == "a lie")));
}

#[tokio::test]
async fn peer_that_refuses_plaintext_uses_none() {
    let tracker = Tracker::start().await;
    let strict = tempfile::tempdir().unwrap();
    let config = PeerConfig {
        plaintext: Plaintext::Never,
        keep: Keep::InMemory,
        ..peer_config(tracker.address, strict.path())
    };
    let strict = PeerService::start(config).await.unwrap();
    let sign_in_as = SignIn {
        username: user("strict"),
        password: password_of("strict"),
        register: true,
        changed_to: None,
        code: None,
        consent: Consent::default(),
    };
    strict.sign_in(sign_in_as).await.unwrap();
    let mut ana = tracker.peer("ana").await;
    let listener = any_port().await;
    let proxy = Proxy::to(listener.local_addr().unwrap()).await;
    let port = proxy.address.port();
    RawLink::in_the_clear(tracker.address).await.ok(&sign_in("REGISTER", "original", port)).await;
    for (address, welcome) in [(strict.local_addr(), false), (ana.service.local_addr(), true)] {
        let mut link = RawLink::in_the_clear(address).await;
        link.send(&hello("original")).await;
        link.send(&message("original", "in the clear")).await;
        if welcome {
            ana.receives("in the clear").await;
        } else {
            assert_eq!(link.recv().await, None);
        }
    }
    strict.execute(Command::send_private(user("original"), "never")).await.unwrap();
    let Answer::Quit { undelivered } = strict.execute(Command::Quit).await.unwrap() else { panic!() };
    assert_eq!((undelivered, proxy.received_bytes()), (vec![(user("original"), 1)], 0));
}

#[tokio::test]
async fn another_key_cannot_use_the_name_of_a_user_with_keys() {
    let tracker = Tracker::start().await;
    let mut ana = tracker.peer("ana").await;
    let bob = RawClient::register(tracker.address, "bob", any_port().await, 1).await;
    for key in [anybody(Purpose::Link), bob.identity(Purpose::Link)] {
        let right = key.key() == bob.identity(Purpose::Link).key();
        let mut link = RawLink::encrypted(ana.service.local_addr(), &key).await.unwrap();
        let answer = link.ask(&hello("bob")).await.unwrap();
        assert_eq!(answer["cmd"], if right { "WELCOME" } else { "REFUSED" }, "{answer}");
        link.send(&message("bob", if right { "the truth" } else { "a lie" })).await;
        if !right {
            let changed = ana.until(|e| matches!(e, Event::KeyChanged { .. })).await;
            assert_eq!(changed, Event::KeyChanged { peer: user("bob"), fingerprint: key.key() });
        }
    }
    ana.receives("the truth").await;
    assert!(!ana.saw(|e| matches!(e, Event::Message { content, .. } if content == "a lie")));
}
