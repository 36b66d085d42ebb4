//! A comparison of the tracker with models of rooms.
//! Four users send random requests, and the tracker must answer as the rules say. The model of a room with a log is the
//! log itself, as every peer has it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may")]

mod common;

use std::collections::BTreeMap;

use common::signer::{Signer, change_room, user};
use common::{Client, TestTracker, members, room};
use commons::room_log::entry::Change;
use commons::room_log::facts::Policy;
use commons::room_log::refusal::Refusal;
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

/// The code for an entry that the rules refuse.
fn code(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Stale => "STALE_HEAD",
        Refusal::Full => "ROOM_FULL",
        Refusal::NotInvited => "NOT_INVITED",
        Refusal::Banned => "BANNED_FROM_ROOM",
        Refusal::TooMany => "TOO_MANY_CHANGES",
        Refusal::NotOwner => "NOT_OWNER",
        Refusal::NotAMember => "NOT_A_MEMBER",
        _ => "INVALID_ENTRY",
    }
}

/// The number of kinds of changes below.
const CHANGES: usize = 11;

fn change(kind: usize, by: &Signer, other: &Signer) -> Change {
    let name = other.name.clone();
    match kind {
        0 | 1 => by.joined(),
        2 => Change::Left,
        3 => other.invited(),
        4 => Change::Uninvited(name),
        5 => Change::Removed(name),
        6 => Change::Banned(name),
        7 => Change::Unbanned(name),
        8 => Change::Owner(name),
        9 => Change::Policy(Policy::Invite),
        _ => Change::Policy(Policy::Open),
    }
}

async fn agrees_with_the_log(steps: Vec<(usize, usize, usize)>) {
    let tracker = TestTracker::start().await;
    let mut signers = Vec::new();
    for name in USERS {
        signers.push(Signer::register(tracker.address, name).await);
    }
    signers[0].create("sala", Policy::Open, false).await;
    let mut log = signers[0].log("sala").await;
    for (by, kind, other) in steps {
        let change = change(kind, &signers[by], &signers[other]);
        let entry = signers[by].next(&log, change);
        let expected = log.append(entry.clone()).map_or_else(code, |()| "OK");
        let got = signers[by].outcome(change_room(&entry)).await;
        assert_eq!(got, expected, "{} signs {:?}", USERS[by], entry.entry.change);
    }
    let owner = log.state().owner().as_str();
    let owner = USERS.iter().position(|name| *name == owner).unwrap();
    assert_eq!(signers[owner].log("sala").await, log);
    let listed = signers[owner].ask(json!({"cmd": "LIST_ROOMS"})).await["rooms"]["sala"].take();
    let mut shown = members(&listed);
    shown.sort_unstable();
    let expected: Vec<_> = log.state().members().keys().map(|member| member.as_str()).collect();
    assert_eq!((shown, &listed["owner"]), (expected, &json!(USERS[owner])));
    for (signer, name) in signers.iter_mut().zip(USERS) {
        let state = log.state();
        let is_shown = state.policy() == Policy::Open
            || *state.owner() == user(name)
            || state.members().contains_key(&user(name))
            || state.invited().contains_key(&user(name));
        assert_eq!(!signer.listed().await.is_empty(), is_shown, "{name}");
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

    #[test]
    fn tracker_accepts_what_the_log_accepts(
        steps in proptest::collection::vec((0..USERS.len(), 0..CHANGES, 0..USERS.len()), 1..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(agrees_with_the_log(steps));
    }
}
