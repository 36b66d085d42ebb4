//! The clients of the load test.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use commons::keys::Seed;
use commons::limits::FRAME_MAX;
use commons::net::connection::Connection;
use commons::net::socket::Socket;
use commons::net::tls::{Identity, Purpose};
use futures_util::StreamExt as _;
use futures_util::stream::iter;
use serde_json::{Value, json};
use tokio::time::timeout;

/// A time that no step takes. It ends a run that hangs.
const PATIENCE: Duration = Duration::from_secs(300);

/// The number of connections that are opened at one time. The tracker has 256 places for unauthenticated ones.
const AT_ONCE: usize = 100;

/// A session with the tracker.
pub struct Client {
    connection: Connection<Socket>,
}

/// A user with the number of its address.
#[derive(Clone)]
pub struct User {
    /// The name of the user.
    pub name: String,
    /// The address of the user, in 127.0.0.0/8.
    pub source: IpAddr,
    /// The key of the user, if there is one.
    pub identity: Option<Identity>,
    /// The port at which the peer of the user accepts links.
    pub port: u16,
}

impl User {
    /// A user with a key, whose sessions are encrypted.
    pub fn encrypted(number: usize) -> Self {
        let identity = Identity::new(&Seed::random().unwrap(), Purpose::Session).unwrap();
        Self { name: format!("e{number}"), source: source(1, number), identity: Some(identity), port: 5000 }
    }

    /// A user without a key.
    pub fn plaintext(number: usize) -> Self {
        Self { name: format!("p{number}"), source: source(2, number), identity: None, port: 5000 }
    }

    /// Creates the account and signs in.
    pub async fn register(&self, tracker: SocketAddr) -> Client {
        self.sign_in(tracker, "REGISTER", true).await
    }

    /// Signs in by the key.
    pub async fn sign_in_by_key(&self, tracker: SocketAddr) -> Client {
        self.sign_in(tracker, "LOGIN", false).await
    }

    async fn sign_in(&self, tracker: SocketAddr, cmd: &str, with_password: bool) -> Client {
        let password = with_password.then(|| "0".repeat(64));
        let request = json!({"cmd": cmd, "username": self.name, "password": password, "address": "127.0.0.1",
                             "port": self.port, "id": 0});
        loop {
            let socket = Socket::dial_from(self.source, tracker).await.unwrap();
            let socket = match &self.identity {
                Some(identity) => socket.encrypt(identity).await.unwrap(),
                None => socket,
            };
            let mut client = Client { connection: Connection::new(socket, FRAME_MAX) };
            let reply = client.ask(&request).await;
            match reply["status"].as_str() {
                Some("OK") => return client,
                // Many passwords are hashed at once, and some of them wait too long.
                _ => assert_eq!(reply["code"], "BUSY", "{reply}"),
            }
        }
    }
}

/// An address of this computer for the user of this number.
fn source(kind: u8, number: usize) -> IpAddr {
    let [.., high, low] = u32::try_from(number).unwrap().to_be_bytes();
    Ipv4Addr::new(127, kind, high, low).into()
}

impl Client {
    /// Sends a request.
    pub async fn send(&mut self, request: &Value) {
        self.connection.send(request).await.unwrap();
    }

    /// Receives the next message.
    pub async fn receive(&mut self) -> Value {
        let frame = timeout(PATIENCE, self.connection.recv()).await.expect("nothing came");
        frame.unwrap().expect("the tracker closed the connection").parse_owned().unwrap()
    }

    /// Sends a request and returns its reply. Pushes before it are dropped.
    pub async fn ask(&mut self, request: &Value) -> Value {
        self.send(request).await;
        loop {
            let received = self.receive().await;
            if received["status"] != "ROOM_UPDATE" {
                return received;
            }
        }
    }

    /// Sends a request that must succeed.
    pub async fn ok(&mut self, request: Value) {
        let reply = self.ask(&request).await;
        assert_eq!(reply["status"], "OK", "{request} → {reply}");
    }

    /// Waits for the next change of a room.
    pub async fn update(&mut self) {
        while self.receive().await["status"] != "ROOM_UPDATE" {}
    }
}

/// A request about a room.
pub fn room(cmd: &str, room: &str) -> Value {
    json!({"cmd": cmd, "room": room, "id": 1})
}

/// Runs a step for each item, some at one time.
pub async fn each<T, R, F: Future<Output = R>>(
    items: impl IntoIterator<Item = T>,
    step: impl Fn(T) -> F,
) -> Vec<R> {
    iter(items.into_iter().map(step)).buffer_unordered(AT_ONCE).collect().await
}

/// Registers users, some at one time.
pub async fn register_all(users: &[User], tracker: SocketAddr) -> Vec<Client> {
    iter(users.iter().map(|user| user.register(tracker))).buffered(AT_ONCE).collect().await
}
