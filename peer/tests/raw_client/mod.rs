//! A hand-written client: it can also violate the protocol, with another user's name, key or port.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use commons::keys::Seed;
use commons::limits::FRAME_MAX;
use commons::net::connection::Connection;
use commons::net::socket::{FirstByte, Listener, Socket};
use commons::net::tls::{Identity, Purpose};
use commons::user::PasswordDigest;
use peer::history::history_db::Author;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Longest wait for an expected event. It is only reached on a very busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub fn digest(name: &str) -> String {
    PasswordDigest::of_typed(&format!("password of {name}")).as_str().to_owned()
}

/// The original program's REGISTER or LOGIN.
pub fn sign_in(cmd: &str, name: &str, port: u16) -> Value {
    json!({"cmd": cmd, "username": name, "password": digest(name), "address": "127.0.0.1", "port": port})
}

pub fn message(name: &str, content: &str) -> Value {
    let id = uuid::Uuid::now_v7();
    json!({"cmd": "MESSAGE", "room": null, "username": name, "content": content, "id": id})
}

/// A HELLO. Each has a later start time than the one before.
pub fn hello(name: &str) -> Value {
    static STARTED: AtomicU64 = AtomicU64::new(2);
    json!({"cmd": "HELLO", "username": name, "instance": STARTED.fetch_add(1, Ordering::Relaxed)})
}

/// The private key in a peer's folder, opened with its user's password.
pub fn seed_in(folder: &Path, name: &str) -> Seed {
    let sealed = sealed_in(folder).1;
    let bytes = |field: &str| base16ct::lower::decode_vec(sealed[field].as_str().unwrap()).unwrap();
    let cipher = cipher(&format!("password of {name}"), &sealed);
    let nonce: [u8; 24] = bytes("nonce").try_into().unwrap();
    let payload = Payload { msg: &bytes("sealed"), aad: b"p2p-chat identity v2" };
    Seed::new(cipher.decrypt(&nonce.into(), payload).unwrap().try_into().unwrap())
}

/// The sealed key in a peer's folder, and its path.
pub fn sealed_in(folder: &Path) -> (PathBuf, Value) {
    let (path, sealed) =
        files_in(folder).into_iter().find(|(path, _)| path.ends_with("identity.json")).unwrap();
    (path, serde_json::from_slice(&sealed).unwrap())
}

/// Seals a peer's private key as the first version did: under the digest that the tracker also gets.
pub fn seal_as_before(folder: &Path, name: &str) {
    let seed = seed_in(folder, name);
    let (path, mut sealed) = sealed_in(folder);
    let nonce = base16ct::lower::decode_vec(sealed["nonce"].as_str().unwrap()).unwrap();
    let nonce: [u8; 24] = nonce.try_into().unwrap();
    let payload = Payload { msg: seed.as_bytes(), aad: b"p2p-chat identity v1" };
    let bytes = cipher(&digest(name), &sealed).encrypt(&nonce.into(), payload).unwrap();
    sealed["sealed"] = json!(base16ct::lower::encode_string(&bytes));
    sealed.as_object_mut().unwrap().remove("version");
    fs::write(path, sealed.to_string()).unwrap();
}

fn cipher(secret: &str, sealed: &Value) -> XChaCha20Poly1305 {
    let cost = |field: &str| u32::try_from(sealed["cost"][field].as_u64().unwrap()).unwrap();
    let params = Params::new(cost("memory"), cost("passes"), 1, Some(32)).unwrap();
    let salt = base16ct::lower::decode_vec(sealed["salt"].as_str().unwrap()).unwrap();
    let mut key = [0; 32];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(secret.as_bytes(), &salt, &mut key)
        .unwrap();
    XChaCha20Poly1305::new_from_slice(&key).unwrap()
}

/// Every file below a folder with its content.
pub fn files_in(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_in(&path));
        } else {
            let content = fs::read(&path).unwrap();
            files.push((path, content));
        }
    }
    files
}

/// A connection that sends and receives single frames.
pub struct RawLink {
    connection: Connection<Socket>,
}

impl RawLink {
    pub async fn in_the_clear(to: SocketAddr) -> Self {
        Self { connection: Connection::new(Socket::dial(to).await.unwrap(), FRAME_MAX) }
    }

    /// Connects with TLS as `me`, and accepts any key of the other side.
    pub async fn encrypted(to: SocketAddr, me: &Identity) -> std::io::Result<Self> {
        let socket = Socket::dial_encrypted(to, me).await?;
        Ok(Self { connection: Connection::new(socket, FRAME_MAX) })
    }

    pub async fn send(&mut self, object: &Value) {
        // The other side may have closed the connection.
        let _ = self.connection.send(object).await;
    }

    /// Receives the next frame. Returns `None` if the connection has ended in any way.
    pub async fn recv(&mut self) -> Option<Value> {
        let frame = timeout(PATIENCE, self.connection.recv()).await.expect("nothing came");
        frame.ok().flatten().map(|frame| frame.parse_owned().unwrap())
    }

    pub async fn ask(&mut self, request: &Value) -> Option<Value> {
        self.send(request).await;
        self.recv().await
    }

    pub async fn ok(&mut self, request: &Value) -> Value {
        let reply = self.ask(request).await.expect("the connection was closed");
        assert_eq!(reply["status"], "OK", "{request} → {reply}");
        reply
    }
}

/// A user whose program is the test itself.
pub struct RawClient {
    pub name: &'static str,
    pub session: RawLink,
    seed: Seed,
    received: mpsc::UnboundedReceiver<String>,
    _links: JoinSet<()>,
}

impl RawClient {
    /// Registers and accepts links on `listener`, but claims `port` towards the tracker.
    pub async fn register(tracker: SocketAddr, name: &'static str, listener: Listener, port: u16) -> Self {
        let seed = Seed::random().unwrap();
        let link = Identity::new(&seed, Purpose::Link).unwrap();
        let (sender, received) = mpsc::unbounded_channel();
        let mut links = JoinSet::new();
        links.spawn(take_links(listener, link, name, sender));
        let identity = Identity::new(&seed, Purpose::Session).unwrap();
        let mut session = RawLink::encrypted(tracker, &identity).await.unwrap();
        session.ok(&sign_in("REGISTER", name, port)).await;
        Self { name, session, seed, received, _links: links }
    }

    /// The author of this user's signed messages.
    pub fn author(&self) -> Author {
        Author { username: self.name.parse().unwrap(), seed: self.seed.clone() }
    }

    pub fn identity(&self, purpose: Purpose) -> Identity {
        Identity::new(&self.seed, purpose).unwrap()
    }

    /// Waits for the next message on a link.
    pub async fn receives(&mut self) -> String {
        timeout(PATIENCE, self.received.recv()).await.expect("nothing was heard").unwrap()
    }

    /// The next message on a link, if one has already arrived.
    pub fn received(&mut self) -> Option<String> {
        self.received.try_recv().ok()
    }
}

async fn take_links(
    listener: Listener,
    identity: Identity,
    name: &'static str,
    sender: mpsc::UnboundedSender<String>,
) {
    let mut links = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        let (identity, sender) = (identity.clone(), sender.clone());
        links.spawn(async move {
            if !matches!(socket.opening().await, Ok(FirstByte::Tls)) {
                return;
            }
            let Ok(socket) = socket.accept_encrypted(&identity).await else { return };
            let mut link = Connection::new(socket, FRAME_MAX);
            while let Ok(Some(frame)) = link.recv().await {
                let frame: Value = frame.parse_owned().unwrap();
                let answer = match frame["cmd"].as_str() {
                    Some("HELLO") => json!({"cmd": "WELCOME", "username": name, "instance": 1}),
                    Some("PING") => json!({"cmd": "PONG"}),
                    Some("MESSAGE") => {
                        let _ = sender.send(frame["content"].as_str().unwrap().to_owned());
                        json!({"cmd": "RECEIVED", "id": frame["id"]})
                    }
                    _ => continue,
                };
                if link.send(&answer).await.is_err() {
                    return;
                }
            }
        });
    }
}
