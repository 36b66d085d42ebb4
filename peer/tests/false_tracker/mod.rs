//! A malicious tracker: it speaks the protocol, and makes any claims about rooms and members that a test wants.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use commons::keys::{PublicKey, Seed};
use commons::limits::FRAME_MAX;
use commons::net::connection::Connection;
use commons::net::socket::{Listener, Socket};
use commons::net::tls::{Identity, Purpose};
use serde_json::{Value, json};
use tokio::sync::broadcast;
use tokio::task::JoinSet;
use tokio::time::timeout;
use uuid::Uuid;

use crate::raw_client::{RawLink, hello};

/// Longest wait for an expected event. It is only reached on a very busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A claim of the tracker about a room.
#[derive(Clone)]
pub struct Claim {
    pub id: Uuid,
    pub name: &'static str,
    pub revision: u64,
    /// The members with the revisions at which they joined. The first one is the owner.
    pub members: Vec<(&'static str, u64)>,
}

/// An action on every session.
#[derive(Clone)]
enum Push {
    Say(Value),
    HangUp,
}

#[derive(Default)]
struct State {
    /// The announced keys and port of each user.
    users: BTreeMap<String, (Vec<PublicKey>, u16)>,
    /// The rooms in the reply to LOGIN.
    rooms: Vec<Claim>,
    /// The room in the reply to CREATE_ROOM and JOIN_ROOM, whatever is requested.
    entered: Option<Claim>,
    /// The user whose record answers every GET_PEER, if there is one.
    found: Option<&'static str>,
}

pub struct FalseTracker {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
    pushes: broadcast::Sender<Push>,
    _tasks: JoinSet<()>,
}

impl FalseTracker {
    pub async fn start() -> Self {
        let listener = Listener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let (pushes, _) = broadcast::channel(64);
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, Arc::clone(&state), pushes.clone()));
        Self { address, state, pushes, _tasks: tasks }
    }

    /// Announces a user with these keys.
    pub fn announces(&self, name: &str, keys: &[PublicKey]) {
        self.state.lock().unwrap().users.insert(name.to_owned(), (keys.to_vec(), 1));
    }

    /// Announces a user with these additional keys.
    pub fn adds_keys(&self, name: &str, keys: &[PublicKey]) {
        self.state.lock().unwrap().users.entry(name.to_owned()).or_default().0.extend_from_slice(keys);
    }

    /// Claims from now on that any user who signs in is a member of these rooms.
    pub fn set_rooms(&self, rooms: &[Claim]) {
        self.state.lock().unwrap().rooms = rooms.to_vec();
    }

    /// Answers the next CREATE_ROOM and JOIN_ROOM with this room.
    pub fn lets_enter(&self, claim: &Claim) {
        self.state.lock().unwrap().entered = Some(claim.clone());
    }

    /// Answers every GET_PEER with the record of this user, or of the requested one again.
    pub fn finds_instead(&self, name: Option<&'static str>) {
        self.state.lock().unwrap().found = name;
    }

    /// Announces a change of this room to every session.
    pub fn tells(&self, kind: &str, username: &str, claim: &Claim) {
        let room = self.state.lock().unwrap().snapshot(claim);
        let change = json!({"kind": kind, "username": username});
        let update = json!({"status": "ROOM_UPDATE", "msg": "", "change": change, "room": room});
        let _ = self.pushes.send(Push::Say(update));
    }

    /// Ends every session. The peers sign in again by themselves.
    pub fn hangs_up(&self) {
        let _ = self.pushes.send(Push::HangUp);
    }
}

impl State {
    fn snapshot(&self, claim: &Claim) -> Value {
        let keys = |name: &str| self.users.get(name).map(|user| user.0.clone()).unwrap_or_default();
        let member = |(name, since): &(&str, u64)| json!({"username": name, "connected": true, "since": since, "keys": keys(name)});
        let peer = |at: usize| {
            let (name, _) = claim.members.get(at)?;
            let (keys, port) = self.users.get(*name)?;
            Some(json!({"username": name, "address": "127.0.0.1", "port": port, "connected": true,
                        "last_ping": null, "keys": keys}))
        };
        json!({"id": claim.id, "name": claim.name, "revision": claim.revision, "capacity": 3,
               "owner": claim.members[0].0, "members": claim.members.iter().map(member).collect::<Vec<_>>(),
               "peer_owner": peer(0), "peer_one": peer(1), "peer_two": peer(2)})
    }

    fn answer(&mut self, request: &Value, key: Option<PublicKey>) -> Value {
        let mut reply = json!({"status": "OK", "msg": "", "id": request["id"]});
        match request["cmd"].as_str().unwrap() {
            cmd @ ("REGISTER" | "LOGIN") => {
                let name = request["username"].as_str().unwrap().to_owned();
                let port = u16::try_from(request["port"].as_u64().unwrap()).unwrap();
                self.users.insert(name, (key.into_iter().collect(), port));
                if cmd == "LOGIN" {
                    let rooms = self.rooms.iter().map(|claim| (claim.name.to_owned(), self.snapshot(claim)));
                    reply["rooms"] = Value::Object(rooms.collect());
                }
            }
            "CREATE_ROOM" | "JOIN_ROOM" => {
                reply["room"] = self.snapshot(self.entered.as_ref().unwrap());
            }
            "LIST_KEYS" => reply["keys"] = json!([]),
            "GET_PEER" => {
                let name = self.found.unwrap_or_else(|| request["peer"].as_str().unwrap());
                let (keys, port) = self.users.get(name).cloned().unwrap_or_default();
                reply["peer"] = json!({"username": name, "address": "127.0.0.1", "port": port, "connected": true,
                                       "last_ping": null, "keys": keys, "room": null});
            }
            _ => {}
        }
        reply
    }
}

async fn serve(listener: Listener, state: Arc<Mutex<State>>, pushes: broadcast::Sender<Push>) {
    let identity = Identity::new(&Seed::random().unwrap(), Purpose::Session).unwrap();
    let mut sessions = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        let (identity, state, pushed) = (identity.clone(), Arc::clone(&state), pushes.subscribe());
        sessions.spawn(async move {
            if let Ok(socket) = socket.accept_encrypted(&identity).await {
                session(socket, &state, pushed).await;
            }
        });
    }
}

async fn session(socket: Socket, state: &Mutex<State>, mut pushed: broadcast::Receiver<Push>) {
    let key = socket.remote_key();
    let mut connection = Connection::new(socket, FRAME_MAX);
    loop {
        let output = tokio::select! {
            frame = connection.recv() => {
                let Ok(Some(frame)) = frame else { return };
                state.lock().unwrap().answer(&frame.parse_owned::<Value>().unwrap(), key)
            }
            push = pushed.recv() => match push {
                Ok(Push::Say(update)) => update,
                Ok(Push::HangUp) | Err(_) => return,
            },
        };
        if connection.send(&output).await.is_err() {
            return;
        }
    }
}

/// A hand-written link to a peer under any name.
pub struct Link {
    link: RawLink,
    /// The streams that the peer has announced, by room.
    pub have: BTreeMap<Uuid, Value>,
}

impl Link {
    /// Links as this user with this key.
    pub async fn dial(to: SocketAddr, name: &str, seed: &Seed) -> Self {
        Self::try_dial(to, name, seed).await.unwrap()
    }

    /// As [`Self::dial`], but returns the answer of a refusal.
    pub async fn try_dial(to: SocketAddr, name: &str, seed: &Seed) -> Result<Self, Value> {
        let mut link = RawLink::encrypted(to, &Identity::new(seed, Purpose::Link).unwrap()).await.unwrap();
        let mut hello = hello(name);
        hello["catch_up"] = json!(true);
        let welcome = link.ask(&hello).await.unwrap();
        if welcome["cmd"] != "WELCOME" {
            return Err(welcome);
        }
        Ok(Self { link, have: BTreeMap::new() })
    }

    /// Waits until the peer has announced its streams of a room.
    pub async fn announced(&mut self, room: Uuid) -> Value {
        while !self.have.contains_key(&room) {
            self.next().await;
        }
        self.have[&room].clone()
    }

    /// Requests these streams in full and returns the texts of the messages.
    pub async fn request(&mut self, room: Uuid, streams: &Value) -> Vec<String> {
        self.link.send(&json!({"cmd": "WANT", "room_id": room, "streams": streams})).await;
        loop {
            let frame = self.next().await;
            if frame["cmd"] == "LINES" && frame["room_id"] == json!(room) {
                let lines = frame["lines"].as_array().unwrap();
                return lines.iter().map(|line| line["content"].as_str().unwrap().to_owned()).collect();
            }
        }
    }

    /// Waits for a message that is sent as it is written, not as backlog.
    pub async fn receives(&mut self) -> String {
        loop {
            let frame = self.next().await;
            if frame["cmd"] == "MESSAGE" {
                return frame["content"].as_str().unwrap().to_owned();
            }
        }
    }

    async fn next(&mut self) -> Value {
        let frame = timeout(PATIENCE, self.link.recv()).await.unwrap().expect("the link has ended");
        if frame["cmd"] == "HAVE"
            && let Some(room) = frame["room_id"].as_str()
        {
            self.have.insert(room.parse().unwrap(), frame["streams"].clone());
        }
        frame
    }
}
