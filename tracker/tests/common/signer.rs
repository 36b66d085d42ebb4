//! A user who signs the entries of rooms' logs.

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use commons::digest::Digest;
use commons::keys::{PublicKey, Seed};
use commons::names::{RoomName, Username};
use commons::net::connection::Connection;
use commons::net::socket::Socket;
use commons::net::tls::Purpose;
use commons::room_log::entry::{Change, Creation, Entry, FIRST_EPOCH, SignedEntry};
use commons::room_log::facts::Policy;
use commons::room_log::head::SignedHead;
use commons::room_log::log::RoomLog;
use serde_json::{Value, json};

use crate::common::device::{Device, ask, by_key, receive};
use crate::common::sign_in;

/// A user with one device and a session.
pub(crate) struct Signer {
    pub(crate) name: Username,
    pub(crate) device: Device,
    pub(crate) session: Connection<Socket>,
    /// The proven key of the tracker.
    pub(crate) tracker: PublicKey,
}

pub(crate) fn user(name: &str) -> Username {
    Username::parse(name).unwrap()
}

/// The time of this moment, as entries carry it.
pub(crate) fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// The request that adds an entry.
pub(crate) fn change_room(entry: &SignedEntry) -> Value {
    json!({"cmd": "CHANGE_ROOM", "entry": entry})
}

impl Signer {
    /// Registers a user with a new device.
    pub(crate) async fn register(tracker: SocketAddr, name: &str) -> Self {
        Self::sign_in(tracker, name, Device::new(), sign_in("REGISTER", name, 5000)).await
    }

    /// Signs in again with the same device.
    pub(crate) async fn again(self, tracker: SocketAddr) -> Self {
        let login = by_key(self.name.as_str());
        Self::sign_in(tracker, self.name.as_str(), self.device, login).await
    }

    async fn sign_in(address: SocketAddr, name: &str, device: Device, mut request: Value) -> Self {
        request["id"] = json!(1);
        let identity = device.identity(Purpose::Session);
        let socket = Socket::dial_encrypted(address, &identity).await.unwrap();
        let tracker = socket.remote_key().unwrap();
        let mut session = Connection::new(socket, commons::limits::FRAME_MAX);
        let reply = ask(&mut session, request).await;
        assert_eq!(reply["status"], "OK", "{reply}");
        Self { name: user(name), device, session, tracker }
    }

    pub(crate) fn key(&self) -> PublicKey {
        self.device.key()
    }

    /// Sends a request, and returns its reply. Pushes before it are skipped, and PINGs are answered.
    pub(crate) async fn ask(&mut self, request: Value) -> Value {
        self.session.send(&request).await.unwrap();
        loop {
            let received = self.receive().await;
            if received["status"] != "ROOM_UPDATE" {
                return received;
            }
        }
    }

    /// Receives the next line that is no PING.
    async fn receive(&mut self) -> Value {
        loop {
            let received = receive(&mut self.session).await;
            if received["status"] != "PING" {
                return received;
            }
            self.session.send(&json!({"cmd": "PONG"})).await.unwrap();
        }
    }

    /// The outcome of a request: OK or an error code.
    pub(crate) async fn outcome(&mut self, request: Value) -> String {
        let reply = self.ask(request).await;
        reply["code"].as_str().or_else(|| reply["status"].as_str()).unwrap().to_owned()
    }

    /// The kind and the user of the next push.
    pub(crate) async fn push(&mut self) -> (String, String) {
        let push = self.receive().await;
        assert_eq!(push["status"], "ROOM_UPDATE", "{push}");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(&push["change"]["kind"]), text(&push["change"]["username"]))
    }

    /// Waits for a push of this kind about this user. Others are skipped.
    pub(crate) async fn until_push(&mut self, kind: &str, username: &str) {
        while self.push().await != (kind.to_owned(), username.to_owned()) {}
    }

    /// The first entry of a room, unsigned.
    pub(crate) fn creation(&self, room: &str, policy: Policy, legacy: bool) -> Entry {
        let none = Digest([0; 32]);
        let creation = Creation {
            name: RoomName::parse(room).unwrap(),
            keys: vec![self.key()],
            policy,
            legacy,
            nonce: *Seed::random().unwrap().public_key().as_bytes(),
            tracker: self.tracker,
        };
        Entry {
            room: none,
            epoch: FIRST_EPOCH,
            previous: none,
            time: now(),
            author: self.name.clone(),
            key: self.key(),
            change: Change::Created(creation),
        }
    }

    /// Creates a room, which must succeed.
    pub(crate) async fn create(&mut self, room: &str, policy: Policy, legacy: bool) -> Value {
        let created = self.creation(room, policy, legacy).sign(&self.device.seed);
        let reply = self.ask(change_room(&created)).await;
        assert_eq!(reply["status"], "OK", "{reply}");
        reply
    }

    /// Reads and checks the whole log of a room.
    pub(crate) async fn log(&mut self, room: &str) -> RoomLog {
        let mut log: Option<RoomLog> = None;
        loop {
            let after = log.as_ref().map_or(0, |log| log.head().epoch);
            let reply = self.ask(json!({"cmd": "ROOM_LOG", "room": room, "after": after})).await;
            assert_eq!(reply["status"], "OK", "{reply}");
            let entries: Vec<SignedEntry> = serde_json::from_value(reply["entries"].clone()).unwrap();
            for entry in entries {
                match &mut log {
                    None => log = Some(RoomLog::begin(entry).unwrap()),
                    Some(log) => log.append(entry).unwrap(),
                }
            }
            let log = log.as_ref().unwrap();
            if reply.get("more").is_none() {
                let head: SignedHead = serde_json::from_value(reply["head"].clone()).unwrap();
                assert!(head.is_signed_by(&self.tracker));
                assert_eq!(head.head, log.head());
                return log.clone();
            }
        }
    }

    /// The next entry after a log, signed by this user.
    pub(crate) fn next(&self, log: &RoomLog, change: Change) -> SignedEntry {
        self.next_at(log, now(), change)
    }

    pub(crate) fn next_at(&self, log: &RoomLog, time: u64, change: Change) -> SignedEntry {
        log.state().next(self.name.clone(), self.key(), time, change).sign(&self.device.seed)
    }

    /// Adds an entry after this log. Returns OK or an error code.
    pub(crate) async fn change_after(&mut self, log: &RoomLog, change: Change) -> String {
        let entry = self.next(log, change);
        self.outcome(change_room(&entry)).await
    }

    /// Adds an entry to a room whose log this user may read. Returns OK or an error code.
    pub(crate) async fn change(&mut self, room: &str, change: Change) -> String {
        let log = self.log(room).await;
        self.change_after(&log, change).await
    }

    /// The change by which this user joins.
    pub(crate) fn joined(&self) -> Change {
        Change::Joined { keys: vec![self.key()], endorsements: Vec::new() }
    }

    pub(crate) async fn join(&mut self, room: &str) -> String {
        let joined = self.joined();
        self.change(room, joined).await
    }

    /// The change by which an owner invites this user.
    pub(crate) fn invited(&self) -> Change {
        Change::Invited { user: self.name.clone(), keys: vec![self.key()] }
    }

    /// The names of the rooms that LIST_ROOMS shows to this user.
    pub(crate) async fn listed(&mut self) -> Vec<String> {
        let reply = self.ask(json!({"cmd": "LIST_ROOMS"})).await;
        reply["rooms"].as_object().unwrap().keys().cloned().collect()
    }
}
