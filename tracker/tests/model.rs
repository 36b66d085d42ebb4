//! A comparison of the tracker with a model of rooms.
//! Four users send random requests, and the tracker must answer as the rules say.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may")]

mod common;

use std::collections::BTreeMap;

use common::{Client, TestTracker, members, room};
use proptest::prelude::*;
use serde_json::json;

const USERS: [&str; 4] = ["ana", "bob", "carla", "dora"];
const ROOMS: [&str; 2] = ["quarto", "sala"];
const COMMANDS: [&str; 4] = ["CREATE_ROOM", "JOIN_ROOM", "LEAVE_ROOM", "DELETE_ROOM"];

/// The state of a room, computed from the rules alone.
#[derive(Debug)]
struct Model {
    owner: usize,
    owner_is_member: bool,
    guests: Vec<usize>,
}

impl Model {
    fn is_member(&self, user: usize) -> bool {
        if user == self.owner { self.owner_is_member } else { self.guests.contains(&user) }
    }
}

/// The answer that the tracker must give. Applies the request to the model.
fn expected(
    rooms: &mut BTreeMap<&'static str, Model>,
    user: usize,
    cmd: &str,
    name: &'static str,
) -> &'static str {
    if cmd == "CREATE_ROOM" {
        if rooms.contains_key(name) {
            return "ROOM_EXISTS";
        }
        rooms.insert(name, Model { owner: user, owner_is_member: true, guests: Vec::new() });
        return "OK";
    }
    let Some(room) = rooms.get_mut(name) else { return "ROOM_NOT_FOUND" };
    match cmd {
        "JOIN_ROOM" if room.is_member(user) => "OK",
        "JOIN_ROOM" if user == room.owner => {
            room.owner_is_member = true;
            "OK"
        }
        "JOIN_ROOM" if room.guests.len() == 2 => "ROOM_FULL",
        "JOIN_ROOM" => {
            room.guests.push(user);
            "OK"
        }
        "LEAVE_ROOM" if !room.is_member(user) => "NOT_A_MEMBER",
        "LEAVE_ROOM" if user == room.owner => {
            room.owner_is_member = false;
            "OK"
        }
        "LEAVE_ROOM" => {
            room.guests.retain(|guest| *guest != user);
            "OK"
        }
        _ if user == room.owner => {
            rooms.remove(name);
            "OK"
        }
        _ if room.is_member(user) => "NOT_OWNER",
        _ => "NOT_A_MEMBER",
    }
}

/// The next reply. Pushes are skipped.
async fn reply(client: &mut Client) -> serde_json::Value {
    loop {
        let line = client.recv().await;
        if line["status"] != "ROOM_UPDATE" {
            return line;
        }
    }
}

async fn agrees(steps: Vec<(usize, usize, usize)>) {
    let tracker = TestTracker::start().await;
    let mut clients = Vec::new();
    for name in USERS {
        clients.push(tracker.original(name).await);
    }
    let mut rooms = BTreeMap::new();
    for (user, cmd, name) in steps {
        let (cmd, name) = (COMMANDS[cmd], ROOMS[name]);
        let expected = expected(&mut rooms, user, cmd, name);
        clients[user].send(&room(cmd, name)).await;
        let reply = reply(&mut clients[user]).await;
        let got = reply["code"].as_str().or_else(|| reply["status"].as_str()).unwrap();
        assert_eq!(got, expected, "{} asks for {cmd} {name}", USERS[user]);
    }
    clients[0].send(&json!({"cmd": "LIST_ROOMS"})).await;
    let listed = reply(&mut clients[0]).await["rooms"].take();
    assert_eq!(listed.as_object().unwrap().len(), rooms.len());
    for (name, model) in rooms {
        let room = &listed[name];
        let mut expected: Vec<_> =
            (0..USERS.len()).filter(|user| model.is_member(*user)).map(|user| USERS[user]).collect();
        let mut shown = members(room);
        if model.owner_is_member {
            assert_eq!(shown[0], USERS[model.owner], "an owner who is a member comes first");
        }
        assert_eq!(room["owner"], USERS[model.owner]);
        expected.sort_unstable();
        shown.sort_unstable();
        assert_eq!(shown, expected, "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn tracker_behaves_as_the_model(
        steps in proptest::collection::vec((0..USERS.len(), 0..COMMANDS.len(), 0..ROOMS.len()), 1..60),
    ) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(agrees(steps));
    }
}
