//! Tests of lists, their pages, and single records.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may")]

mod common;

use common::{Client, TestTracker, room};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;

fn names(reply: &Value, of: &str) -> Vec<String> {
    reply[of].as_object().unwrap().keys().cloned().collect()
}

/// Requests all pages of a list and returns the names.
async fn all(client: &mut Client, mut request: Value, of: &str) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        let reply = client.ok(request.clone()).await;
        all.extend(names(&reply, of));
        if reply.get("more").is_none() {
            return all;
        }
        assert_eq!(reply["more"], true);
        request["after"] = json!(all.last().unwrap());
    }
}

#[tokio::test]
async fn rooms_are_listed_by_name_in_pages() {
    let tracker = TestTracker::start().await;
    let mut expected = Vec::new();
    let mut askers = Vec::new();
    for user in 0..10 {
        let mut client = tracker.user(&format!("user{user}")).await;
        for n in 0..15 {
            let name = format!("{}{user}-{n:02} {}", if n % 2 == 0 { "a" } else { "b" }, "ã".repeat(40));
            client.ok(room("CREATE_ROOM", &name)).await;
            expected.push(name);
        }
        askers.push(client);
    }
    expected.sort();
    let ana = &mut askers[0];
    let list = json!({"cmd": "LIST_ROOMS", "id": 1});
    assert_eq!(all(ana, list.clone(), "rooms").await, expected);
    assert_eq!(all(ana, json!({"cmd": "LIST_ROOMS", "limit": 7}), "rooms").await, expected);
    assert_eq!(all(ana, json!({"cmd": "LIST_ROOMS", "limit": 1000}), "rooms").await, expected);
    let first = ana.ok(json!({"cmd": "LIST_ROOMS", "limit": 7})).await;
    assert_eq!(names(&first, "rooms"), expected[..7]);

    let picked: Vec<_> = expected.iter().filter(|name| name.starts_with("b3")).cloned().collect();
    assert_eq!(all(ana, json!({"cmd": "LIST_ROOMS", "prefix": "b3", "limit": 4}), "rooms").await, picked);
    let past = ana.ok(json!({"cmd": "LIST_ROOMS", "prefix": "b3", "after": "c"})).await;
    assert_eq!(names(&past, "rooms"), [""; 0]);
    assert_eq!(ana.refused(json!({"cmd": "LIST_ROOMS", "limit": 0})).await, "MALFORMED");
    assert_eq!(ana.refused(json!({"cmd": "LIST_ROOMS", "limit": -1})).await, "MALFORMED");
}

#[tokio::test]
async fn a_bare_list_fits_what_an_original_program_takes_at_once() {
    let tracker = TestTracker::start().await;
    let mut clients = Vec::new();
    for n in 0..40 {
        let mut client = tracker.original(&format!("user{n:02}{}", "x".repeat(26))).await;
        client.ok(room("CREATE_ROOM", &format!("{n:02} {}", "日本".repeat(30)))).await;
        clients.push(client);
    }
    let ana = &mut clients[0];
    for list in ["LIST_ROOMS", "LIST_PEERS"] {
        ana.send(&json!({"cmd": list})).await;
        // A legacy client reads the reply with one `recv`.
        let mut buffer = [0; 4096];
        let read = ana.stream.get_mut().read(&mut buffer).await.unwrap();
        assert!(read < 4096 && buffer[read - 1] == b'\n', "{read}");
        let reply: Value = serde_json::from_slice(&buffer[..read]).unwrap();
        assert_eq!(reply["more"], true);
    }
    let peers = all(ana, json!({"cmd": "LIST_PEERS", "id": 1}), "peers").await;
    assert_eq!(peers.len(), 40);
}

#[tokio::test]
async fn a_peers_record_is_complete() {
    let tracker = TestTracker::start().await;
    let mut ana = tracker.user_at("ana", 5001).await;
    let mut bob = tracker.user_at("bob", 5002).await;
    ana.ok(room("CREATE_ROOM", "first")).await;
    ana.ok(room("CREATE_ROOM", "last")).await;
    let peers = bob.ok(json!({"cmd": "LIST_PEERS"})).await;
    let expected = json!({
        "ana": {"username": "ana", "address": "127.0.0.1", "port": 5001, "connected": true, "last_ping": null, "room": "last"},
        "bob": {"username": "bob", "address": "127.0.0.1", "port": 5002, "connected": true, "last_ping": null, "room": null},
    });
    assert_eq!(peers["peers"], expected);
    ana.ok(room("LEAVE_ROOM", "last")).await;
    let one = bob.ok(json!({"cmd": "GET_PEER", "peer": "ana"})).await;
    assert_eq!((&one["peer"]["room"], &one["peer"]["keys"]), (&json!("first"), &json!([])));

    ana.ok(json!({"cmd": "LOGOUT"})).await;
    let peers = bob.ok(json!({"cmd": "LIST_PEERS"})).await;
    assert_eq!(names(&peers, "peers"), ["bob"]);
    let gone = bob.ok(json!({"cmd": "GET_PEER", "peer": "ana"})).await;
    assert_eq!((&gone["peer"]["connected"], &gone["peer"]["port"]), (&json!(false), &json!(5001)));
    assert_eq!(bob.refused(json!({"cmd": "GET_PEER", "peer": "nobody"})).await, "PEER_NOT_FOUND");
    assert_eq!(bob.refused(json!({"cmd": "GET_PEER", "peer": "No Name"})).await, "INVALID_NAME");
}
