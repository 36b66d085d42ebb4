//! Tests of rooms with a log: people sign the entries, and the tracker orders them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may")]

mod common;

use std::fs;
use std::time::Duration;

use common::device::{Device, ask, by_key, receive};
use common::signer::{Signer, change_room, now, user};
use common::{PASSWORD, TestTracker, config, members, room, sign_in};
use commons::keys::Seed;
use commons::room_log::entry::{Change, Entry};
use commons::room_log::facts::Policy;
use serde_json::{Value, json};
use tracker::config::Config;
use tracker::folder_check::check;
use tracker::server::TrackerServer;

/// Starts a tracker with these users.
async fn with<const N: usize>(names: [&str; N]) -> (TestTracker, [Signer; N]) {
    signed_up(TestTracker::start().await, names).await
}

/// Starts a tracker with these users that takes entries of any age.
async fn with_old_entries<const N: usize>(names: [&str; N]) -> (TestTracker, [Signer; N]) {
    let any_age = |config: &mut Config| config.entry_behind_max = Duration::from_hours(10_000);
    signed_up(TestTracker::start_with(any_age).await, names).await
}

async fn signed_up<const N: usize>(tracker: TestTracker, names: [&str; N]) -> (TestTracker, [Signer; N]) {
    let mut signers = Vec::new();
    for name in names {
        signers.push(Signer::register(tracker.address, name).await);
    }
    (tracker, signers.try_into().unwrap_or_else(|_| panic!()))
}

/// An hour in milliseconds.
const HOUR: u64 = 60 * 60 * 1000;

fn kind(kind: &str, username: &str) -> (String, String) {
    (kind.to_owned(), username.to_owned())
}

#[tokio::test]
async fn people_change_a_room_by_signed_entries() {
    let (_tracker, [mut ana, mut bob, mut carla]) = with(["ana", "bob", "carla"]).await;
    let created = ana.create("sala", Policy::Open, false).await;
    assert_eq!((&created["room"]["owner"], &created["room"]["log"]["epoch"]), (&json!("ana"), &json!(1)));
    let log = bob.log("sala").await;
    assert_eq!(created["room"]["id"], json!(log.state().id()));

    assert_eq!(bob.join("sala").await, "OK");
    assert_eq!(ana.push().await, kind("joined", "bob"));
    assert_eq!(ana.change("sala", Change::Topic("tea".to_owned())).await, "OK");
    assert_eq!(bob.push().await, kind("changed", "ana"));
    assert_eq!(bob.change("sala", Change::Topic("coffee".to_owned())).await, "NOT_OWNER");
    assert_eq!(carla.change("sala", Change::Left).await, "NOT_A_MEMBER");

    assert_eq!(ana.change("sala", Change::Removed(user("bob"))).await, "OK");
    assert_eq!(bob.push().await, kind("left", "bob"), "the removed member gets the push");
    assert_eq!(bob.join("sala").await, "OK");
    ana.until_push("joined", "bob").await;
    assert_eq!(ana.change("sala", Change::Banned(user("bob"))).await, "OK");
    assert_eq!(bob.push().await, kind("left", "bob"), "the banned member gets the push");
    assert_eq!(bob.join("sala").await, "BANNED_FROM_ROOM");
    assert_eq!(ana.change("sala", Change::Banned(user("bob"))).await, "INVALID_ENTRY", "no change");

    assert_eq!(carla.join("sala").await, "OK");
    ana.until_push("joined", "carla").await;
    assert_eq!(ana.change("sala", Change::Owner(user("carla"))).await, "OK");
    assert_eq!(carla.push().await, kind("changed", "carla"));
    assert_eq!(ana.change("sala", Change::Deleted).await, "NOT_OWNER");
    assert_eq!(ana.change("sala", Change::Left).await, "OK");
    assert_eq!(carla.push().await, kind("left", "ana"));
    let deleted = carla.log("sala").await;
    let deleted = carla.next(&deleted, Change::Deleted);
    let reply = carla.ask(change_room(&deleted)).await;
    assert_eq!((&reply["status"], &reply["room"]), (&json!("OK"), &Value::Null));
    assert!(carla.listed().await.is_empty());
    assert_eq!(carla.outcome(change_room(&deleted)).await, "ROOM_NOT_FOUND");
}

#[tokio::test]
async fn pushes_come_to_all_members_before_the_reply() {
    let (_tracker, [mut ana, mut bob]) = with(["ana", "bob"]).await;
    ana.create("sala", Policy::Open, false).await;
    assert_eq!(bob.join("sala").await, "OK");
    assert_eq!(ana.push().await, kind("joined", "bob"));
    for text in ["one", "two", "three"] {
        assert_eq!(ana.change("sala", Change::Topic(text.to_owned())).await, "OK");
    }
    // The answer to this request is queued after the pushes.
    bob.session.send(&json!({"cmd": "PING"})).await.unwrap();
    for epoch in 3..=5 {
        let push = receive(&mut bob.session).await;
        assert_eq!(
            (&push["change"]["kind"], &push["room"]["log"]["epoch"]),
            (&json!("changed"), &json!(epoch))
        );
    }
    assert_eq!(receive(&mut bob.session).await, json!({"cmd": "PONG"}));
}

#[tokio::test]
async fn slower_signer_gets_stale_head_and_repeats() {
    let (_tracker, [mut ana, mut bob, mut carla]) = with(["ana", "bob", "carla"]).await;
    ana.create("sala", Policy::Open, false).await;
    let log = bob.log("sala").await;
    let entries = [bob.next(&log, bob.joined()), carla.next(&log, carla.joined())].map(|e| change_room(&e));
    let (one, two) = tokio::join!(bob.outcome(entries[0].clone()), carla.outcome(entries[1].clone()));
    let mut outcomes = [one.as_str(), two.as_str()];
    let slower = if outcomes[0] == "OK" { &mut carla } else { &mut bob };
    assert_eq!(slower.join("sala").await, "OK");
    outcomes.sort_unstable();
    assert_eq!(outcomes, ["OK", "STALE_HEAD"]);
    let log = ana.log("sala").await;
    assert_eq!((log.state().members().len(), log.head().epoch), (3, 3));
    // An entry that was accepted is not accepted twice.
    assert_eq!(bob.outcome(entries[0].clone()).await, "STALE_HEAD");
}

#[tokio::test]
async fn forged_foreign_and_future_entries_are_refused() {
    let (_tracker, [mut ana, mut bob]) = with(["ana", "bob"]).await;
    let minutes = |count: u64| count * 60 * 1000;
    // The first entry of a room.
    let good = ana.creation("sala", Policy::Open, false);
    let seed = ana.device.seed.clone();
    let refused = [
        ("forged", good.clone().sign(&Seed::new([7; 32]))),
        ("future", Entry { time: now() + minutes(6), ..good.clone() }.sign(&seed)),
        ("long past", Entry { time: now() - 25 * HOUR, ..good.clone() }.sign(&seed)),
        ("other name", Entry { author: user("bob"), ..good.clone() }.sign(&seed)),
    ];
    for (attack, entry) in refused {
        assert_eq!(ana.outcome(change_room(&entry)).await, "INVALID_ENTRY", "{attack}");
    }
    assert_eq!(bob.outcome(change_room(&good.clone().sign(&seed))).await, "INVALID_ENTRY", "another session");
    let own_tracker = ana.tracker;
    ana.tracker = bob.key();
    let elsewhere = ana.creation("sala", Policy::Open, false).sign(&seed);
    ana.tracker = own_tracker;
    assert_eq!(ana.outcome(change_room(&elsewhere)).await, "INVALID_ENTRY", "another tracker");
    assert!(ana.listed().await.is_empty());
    // Control: the same entry with the own key, for this tracker, at a time that clocks reach.
    let ahead = Entry { time: now() + minutes(4), ..good }.sign(&seed);
    assert_eq!(ana.outcome(change_room(&ahead)).await, "OK");

    // A later entry.
    let log = bob.log("sala").await;
    let joined = bob.next_at(&log, now() + minutes(4), bob.joined());
    let mut forged = joined.clone();
    forged.signature.0[5] ^= 1;
    let of_bob = log.state().next(user("bob"), ana.key(), now(), Change::Left).sign(&seed);
    for (attack, entry) in [
        ("forged", forged),
        ("future", bob.next_at(&log, now() + minutes(6), bob.joined())),
        ("foreign key", of_bob.clone()),
        ("expiry", log.state().next(user("bob"), bob.key(), now(), Change::Expired).sign(&bob.device.seed)),
    ] {
        assert_eq!(bob.outcome(change_room(&entry)).await, "INVALID_ENTRY", "{attack}");
    }
    assert_eq!(ana.outcome(change_room(&of_bob)).await, "INVALID_ENTRY", "the owner signs for bob");
    assert_eq!(bob.outcome(change_room(&joined)).await, "OK", "control");
}

#[tokio::test]
async fn plaintext_session_adds_no_entry() {
    let (tracker, [ana]) = with(["ana"]).await;
    let created = ana.creation("sala", Policy::Open, true).sign(&ana.device.seed);
    let mut plain = tracker.user("bob").await;
    assert_eq!(plain.refused(change_room(&created)).await, "INVALID_ENTRY");
    // Control: the same entry on the session of its author.
    let mut ana = ana;
    assert_eq!(ana.outcome(change_room(&created)).await, "OK");
}

#[tokio::test]
async fn malformed_entries_are_refused_and_harm_nobody() {
    let (_tracker, [mut ana]) = with(["ana"]).await;
    let good = ana.creation("sala", Policy::Open, false).sign(&ana.device.seed);
    let hex = String::from(good.clone());
    let cut = &hex[..hex.len() - 2];
    let long = "00".repeat(commons::limits::ENTRY_MAX + 1);
    for entry in [
        json!(""),
        json!("zz"),
        json!("abc"),
        json!(7),
        json!([hex]),
        json!(hex.to_uppercase()),
        json!(cut),
        json!(format!("{hex}00")),
        json!(long),
    ] {
        let outcome = ana.outcome(json!({"cmd": "CHANGE_ROOM", "entry": entry})).await;
        assert_eq!(outcome, "MALFORMED", "{entry}");
    }
    assert_eq!(ana.outcome(json!({"cmd": "CHANGE_ROOM"})).await, "MISSING_PARAMETER");
    assert_eq!(ana.outcome(change_room(&good)).await, "OK", "control");
    for after in [json!(-1), json!("1"), json!(0.5)] {
        let outcome = ana.outcome(json!({"cmd": "ROOM_LOG", "room": "sala", "after": after})).await;
        assert_eq!(outcome, "MALFORMED", "{after}");
    }
}

#[tokio::test]
async fn name_of_a_signed_room_obeys_the_usual_rules() {
    let (tracker, [mut ana, mut bob]) = with(["ana", "bob"]).await;
    ana.create("sala", Policy::Open, false).await;
    let again = bob.creation("sala", Policy::Open, false).sign(&bob.device.seed);
    assert_eq!(bob.outcome(change_room(&again)).await, "ROOM_EXISTS");
    let alike = bob.creation("sa1a", Policy::Open, false).sign(&bob.device.seed);
    assert_eq!(bob.outcome(change_room(&alike)).await, "INVALID_NAME");
    let mut carla = tracker.user("carla").await;
    assert_eq!(carla.refused(room("CREATE_ROOM", "sala")).await, "ROOM_EXISTS");
    for number in 0..16 {
        bob.create(&format!("quarto {number}"), Policy::Open, false).await;
    }
    let more = bob.creation("quarto 16", Policy::Open, false).sign(&bob.device.seed);
    assert_eq!(bob.outcome(change_room(&more)).await, "TOO_MANY_ROOMS");
    assert_eq!(bob.join("sala").await, "TOO_MANY_ROOMS");
    assert_eq!(bob.change("quarto 3", Change::Left).await, "OK");
    assert_eq!(bob.join("sala").await, "OK", "control");
}

#[tokio::test]
async fn log_comes_in_pages_that_fit_a_frame() {
    let (_tracker, [mut ana]) = with_old_entries(["ana"]).await;
    let created = ana.creation("sala", Policy::Open, false);
    let created = Entry { time: now() - 400 * HOUR, ..created }.sign(&ana.device.seed);
    assert_eq!(ana.outcome(change_room(&created)).await, "OK");
    let mut log = ana.log("sala").await;
    // At most twenty of these are of one day.
    for hours in (2..82).rev() {
        let text = format!("{hours:03} ").repeat(60);
        let entry = ana.next_at(&log, now() - hours * 2 * HOUR, Change::Topic(text));
        assert_eq!(ana.outcome(change_room(&entry)).await, "OK");
        log.append(entry).unwrap();
    }
    let first = ana.ask(json!({"cmd": "ROOM_LOG", "room": "sala"})).await;
    assert_eq!((&first["more"], &first["head"]["epoch"]), (&json!(true), &json!(81)));
    let bytes = first["entries"].to_string().len();
    assert!(bytes > 44 * 1024 && bytes < 50 * 1024, "{bytes}");
    assert_eq!(ana.log("sala").await, log, "all pages together");
    let last = ana.ask(json!({"cmd": "ROOM_LOG", "room": "sala", "after": 80})).await;
    assert_eq!((&last["entries"], &last["more"]), (&json!(log.entries()[80..]), &Value::Null));
    let none = ana.ask(json!({"cmd": "ROOM_LOG", "room": "sala", "after": u64::MAX})).await;
    assert_eq!((&none["entries"], &none["head"]["epoch"]), (&json!([]), &json!(81)));
    // A room without a log has no entry and no head.
    let created = ana.ask(json!({"cmd": "CREATE_ROOM", "room": "unsigned"})).await;
    assert_eq!(created["room"]["log"], Value::Null);
    let reply = ana.ask(json!({"cmd": "ROOM_LOG", "room": "unsigned"})).await;
    assert_eq!((&reply["entries"], &reply["head"]), (&json!([]), &Value::Null));
}

#[tokio::test]
async fn unsigned_requests_need_the_exception_of_the_owner() {
    let (tracker, [mut ana, mut bob]) = with(["ana", "bob"]).await;
    let mut py = tracker.original("py").await;
    for (name, legacy) in [("strict", false), ("mixed", true)] {
        ana.create(name, Policy::Open, legacy).await;
    }
    for cmd in ["JOIN_ROOM", "LEAVE_ROOM", "DELETE_ROOM"] {
        assert_eq!(py.refused(room(cmd, "strict")).await, "SIGNATURE_REQUIRED", "{cmd}");
        // A member may always join again, which changes nothing.
        let of_member = if cmd == "JOIN_ROOM" { "OK" } else { "SIGNATURE_REQUIRED" };
        assert_eq!(ana.outcome(room(cmd, "strict")).await, of_member, "{cmd}");
    }
    assert_eq!(ana.log("strict").await.head().epoch, 1);
    // The exception: a user outside the log joins and leaves, and the log does not change.
    let joined = py.ok(room("JOIN_ROOM", "mixed")).await;
    assert_eq!(members(&joined["room"]), ["ana", "py"]);
    assert_eq!(joined["room"]["log"], Value::Null, "a legacy client has no use for it");
    assert_eq!(ana.push().await, kind("joined", "py"));
    assert_eq!(ana.log("mixed").await.head().epoch, 1);
    py.ok(room("LEAVE_ROOM", "mixed")).await;
    assert_eq!(py.refused(room("LEAVE_ROOM", "mixed")).await, "NOT_A_MEMBER");
    py.ok(room("JOIN_ROOM", "mixed")).await;

    // A member of the log leaves and deletes only by an entry.
    assert_eq!(bob.join("mixed").await, "OK");
    assert_eq!(py.push().await.0, "joined");
    assert_eq!(bob.outcome(room("LEAVE_ROOM", "mixed")).await, "SIGNATURE_REQUIRED");
    assert_eq!(ana.outcome(room("DELETE_ROOM", "mixed")).await, "SIGNATURE_REQUIRED");
    // A full room counts members who do not sign.
    let mut carla = Signer::register(tracker.address, "carla").await;
    assert_eq!(carla.join("mixed").await, "ROOM_FULL");
    // A change that legacy clients do not know is not pushed to them.
    assert_eq!(ana.change("mixed", Change::Topic("tea".to_owned())).await, "OK");
    py.expect_no_push().await;
    assert_eq!(ana.change("mixed", Change::Banned(user("py"))).await, "OK");
    assert_eq!(py.push().await.1, "py");
    assert_eq!(py.refused(room("JOIN_ROOM", "mixed")).await, "BANNED_FROM_ROOM");
    assert_eq!(carla.join("mixed").await, "OK", "the place is free");
    assert_eq!(carla.change("mixed", Change::Left).await, "OK");
    assert_eq!(ana.change("mixed", Change::Policy(Policy::Invite)).await, "OK");
    let mut other = tracker.original("other").await;
    assert_eq!(other.refused(room("JOIN_ROOM", "mixed")).await, "SIGNATURE_REQUIRED", "an invite room");
}

#[tokio::test]
async fn program_with_a_key_signs_to_join() {
    let (tracker, [mut ana, mut bob]) = with(["ana", "bob"]).await;
    ana.create("sala", Policy::Open, true).await;
    assert_eq!(bob.outcome(room("JOIN_ROOM", "sala")).await, "SIGNATURE_REQUIRED");
    // Control: an original program has no key.
    let mut original = tracker.user("dora").await;
    original.ok(json!({"cmd": "JOIN_ROOM", "room": "sala", "id": 1})).await;
    assert_eq!(ana.push().await, kind("joined", "dora"));
    assert_eq!(bob.join("sala").await, "OK");
    assert_eq!(ana.push().await, kind("joined", "bob"));
    assert!(ana.log("sala").await.state().members().contains_key(&user("bob")));
    assert_eq!(bob.outcome(room("JOIN_ROOM", "sala")).await, "OK", "a member may join again");
    assert_eq!(bob.outcome(room("LEAVE_ROOM", "sala")).await, "SIGNATURE_REQUIRED");
}

#[tokio::test]
async fn invite_room_is_hidden_from_others() {
    let (tracker, [mut ana, mut bob, mut carla]) = with(["ana", "bob", "carla"]).await;
    ana.create("secret", Policy::Invite, false).await;
    ana.create("public", Policy::Open, false).await;
    let log = ana.log("secret").await;
    let room_log = json!({"cmd": "ROOM_LOG", "room": "secret"});
    let mut plain = tracker.user("dora").await;
    let listed = |reply: &Value| reply["rooms"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(bob.listed().await, ["public"]);
    assert_eq!(listed(&plain.ok(json!({"cmd": "LIST_ROOMS", "id": 1})).await), ["public"]);
    assert_eq!(bob.outcome(room_log.clone()).await, "ROOM_NOT_FOUND");
    assert_eq!(plain.refused(room_log.clone()).await, "ROOM_NOT_FOUND");
    let peer = plain.ok(json!({"cmd": "GET_PEER", "peer": "ana"})).await;
    assert_eq!(peer["peer"]["room"], "public", "the last room that everybody may see");
    // Control: the owner and invited users see the room.
    assert_eq!(ana.listed().await, ["public", "secret"]);
    assert_eq!(bob.change_after(&log, bob.joined()).await, "NOT_INVITED");
    assert_eq!(ana.change("secret", bob.invited()).await, "OK");
    assert_eq!(bob.listed().await, ["public", "secret"]);
    assert_eq!(bob.join("secret").await, "OK");
    assert_eq!(bob.listed().await, ["public", "secret"]);
    assert_eq!(carla.outcome(room_log.clone()).await, "ROOM_NOT_FOUND");
    let stranger = Change::Invited { user: user("carla"), keys: vec![Device::new().key()] };
    assert_eq!(ana.change("secret", stranger).await, "OK");
    assert_eq!(carla.outcome(room_log.clone()).await, "ROOM_NOT_FOUND", "the invitation is for another key");
    assert_eq!(ana.change("secret", Change::Removed(user("bob"))).await, "OK");
    assert_eq!(bob.outcome(room_log).await, "ROOM_NOT_FOUND", "a former member sees it no more");
}

#[tokio::test]
async fn absent_guest_of_an_open_room_expires_by_an_entry() {
    let tracker = TestTracker::start_with(|config| {
        config.ping_interval = Duration::from_millis(300);
        config.seat_hold = Duration::ZERO;
    })
    .await;
    let mut ana = Signer::register(tracker.address, "ana").await;
    let mut bob = Signer::register(tracker.address, "bob").await;
    ana.create("open", Policy::Open, false).await;
    ana.create("closed", Policy::Invite, false).await;
    assert_eq!(ana.change("closed", bob.invited()).await, "OK");
    for name in ["closed", "open"] {
        assert_eq!(bob.join(name).await, "OK");
    }
    assert_eq!(bob.outcome(json!({"cmd": "LOGOUT"})).await, "OK");
    ana.until_push("left", "bob").await;
    let log = ana.log("open").await;
    let last = &log.last().entry;
    assert_eq!((&last.change, last.key), (&Change::Expired, ana.tracker));
    assert!(!log.state().members().contains_key(&user("bob")));
    assert!(ana.log("closed").await.state().members().contains_key(&user("bob")), "an invite room waits");
    // The owner does not expire.
    assert_eq!(bob.again(tracker.address).await.join("open").await, "OK");
    assert!(ana.log("open").await.state().members().contains_key(&user("ana")));
}

#[tokio::test]
async fn deleted_account_leaves_open_rooms_and_keeps_its_name() {
    let (tracker, [mut ana, mut bob]) = with(["ana", "bob"]).await;
    ana.create("open", Policy::Open, false).await;
    ana.create("closed", Policy::Invite, false).await;
    assert_eq!(ana.change("closed", bob.invited()).await, "OK");
    for name in ["open", "closed"] {
        assert_eq!(bob.join(name).await, "OK");
    }
    bob.create("own", Policy::Open, false).await;
    assert_eq!(ana.join("own").await, "OK");
    let of_bob = bob.device.seed.clone();
    assert_eq!(bob.outcome(json!({"cmd": "DELETE_ACCOUNT"})).await, "OK");
    ana.until_push("deleted", "bob").await;
    assert_eq!(ana.listed().await, ["closed", "open"], "nobody else can sign for the owner");
    let log = ana.log("open").await;
    assert_eq!((&log.last().entry.change, log.last().entry.key), (&Change::Expired, ana.tracker));
    assert!(ana.log("closed").await.state().members().contains_key(&user("bob")));

    // Another person does not inherit the membership. The same one may return.
    let (_, reply) = Device::new().ask(tracker.address, sign_in("REGISTER", "bob", 5000)).await;
    assert_eq!(reply["code"], "USERNAME_TAKEN");
    let same = Device { seed: of_bob };
    let (_, reply) = same.ask(tracker.address, sign_in("REGISTER", "bob", 5000)).await;
    assert_eq!(reply["status"], "OK", "{reply}");
    let again = json!({"cmd": "DELETE_ACCOUNT", "password": PASSWORD});
    let mut session = same.session(tracker.address, by_key("bob")).await;
    assert_eq!(ask(&mut session, again).await["status"], "OK");
    // The owner frees the name.
    assert_eq!(ana.change("closed", Change::Removed(user("bob"))).await, "OK");
    let (_, reply) = Device::new().ask(tracker.address, sign_in("REGISTER", "bob", 5000)).await;
    assert_eq!(reply["status"], "OK", "{reply}");
}

#[tokio::test]
async fn successor_waits_while_the_owner_comes_online() {
    let (_tracker, [mut ana, mut bob]) = with_old_entries(["ana", "bob"]).await;
    let days = |count: u64| count * 24 * HOUR;
    // The room is as old as its first entry says.
    let mut created = ana.creation("sala", Policy::Open, false);
    created.time = now() - days(40);
    assert_eq!(ana.outcome(change_room(&created.sign(&ana.device.seed))).await, "OK");
    let log = bob.log("sala").await;
    let joined = bob.next_at(&log, now() - days(39), bob.joined());
    assert_eq!(bob.outcome(change_room(&joined)).await, "OK");
    let log = ana.log("sala").await;
    let named = ana.next_at(&log, now() - days(38), Change::Successor(Some(user("bob"))));
    assert_eq!(ana.outcome(change_room(&named)).await, "OK");
    // The log alone would permit it, but the owner is online.
    assert_eq!(bob.change("sala", Change::Owner(user("bob"))).await, "NOT_OWNER");
    drop(ana);
    bob.until_push("offline", "ana").await;
    // Control: as far as the tracker knows, the owner's peer has not answered for 30 days.
    assert_eq!(bob.change("sala", Change::Owner(user("bob"))).await, "OK");
}

#[tokio::test]
async fn log_survives_a_restart_and_goes_on() {
    let (tracker, [mut ana, mut bob]) = with(["ana", "bob"]).await;
    ana.create("sala", Policy::Open, true).await;
    assert_eq!(bob.join("sala").await, "OK");
    let before = ana.log("sala").await;
    let folder = tracker.stop().await;
    let tracker = TestTracker::start_in(folder, |_| ()).await;
    let (mut ana, mut bob) = (ana.again(tracker.address).await, bob.again(tracker.address).await);
    assert_eq!(ana.log("sala").await, before);
    assert_eq!(bob.change("sala", Change::Left).await, "OK");
    assert_eq!(bob.change_after(&before, Change::Left).await, "STALE_HEAD");
    assert_eq!(ana.log("sala").await.head().epoch, 3);
}

#[tokio::test]
async fn start_fails_on_a_log_that_does_not_follow() {
    let (tracker, [mut ana, mut bob]) = with(["ana", "bob"]).await;
    ana.create("sala", Policy::Open, false).await;
    assert_eq!(bob.join("sala").await, "OK");
    assert_eq!(ana.change("sala", Change::Topic("tea".to_owned())).await, "OK");
    let folder = tracker.stop().await;
    let path = folder.path().join("rooms_db.json");
    let good: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let why = async |change: fn(&mut Value)| {
        let mut bad = good.clone();
        change(&mut bad["sala"]);
        fs::write(&path, bad.to_string()).unwrap();
        let copy = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(folder.path()).unwrap().map(Result::unwrap) {
            // Without the manifest, no digest is known, so only the log itself shows the damage.
            if entry.file_name() != "manifest.json"
                && !entry.file_name().to_str().unwrap().ends_with("journal")
            {
                fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
            }
        }
        let error = TrackerServer::bind(config(copy.path())).await.err()?.to_string();
        assert_eq!(check(copy.path()).unwrap_err().to_string(), error);
        Some(error)
    };
    let damages: [fn(&mut Value); 4] = [
        |sala| drop(sala["log"].as_array_mut().unwrap().remove(1)),
        |sala| sala["log"][1] = json!("00"),
        |sala| sala["peer_one"] = Value::Null,
        |sala| drop(sala["log"].as_array_mut().unwrap().drain(..)),
    ];
    for damage in damages {
        let error = why(damage).await.expect("the start must fail");
        assert!(error.contains("rooms_db.json") && error.contains("\"sala\""), "{error}");
    }
    assert_eq!(why(|_| ()).await, None, "control: the undamaged files");
}

#[tokio::test]
async fn operator_and_admins_still_delete_such_rooms() {
    let (_tracker, [mut ana, mut bob]) = with(["ana", "bob"]).await;
    // The first user is the tracker's admin.
    bob.create("sala", Policy::Open, false).await;
    bob.create("quarto", Policy::Open, false).await;
    assert_eq!(ana.join("sala").await, "OK");
    assert_eq!(ana.outcome(json!({"cmd": "ADMIN_DELETE_ROOM", "room": "sala"})).await, "OK");
    bob.until_push("deleted", "ana").await;
    assert_eq!(ana.outcome(json!({"cmd": "REMOVE_USER", "user": "bob"})).await, "OK");
    assert!(ana.listed().await.is_empty());
}
