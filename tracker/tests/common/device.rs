//! A device with its own key and encrypted sessions.

use std::net::SocketAddr;

use commons::keys::{PublicKey, Seed};
use commons::limits::FRAME_MAX;
use commons::net::connection::Connection;
use commons::net::socket::Socket;
use commons::net::tls::{Identity, Purpose};
use serde_json::Value;

use crate::common::{PATIENCE, sign_in};

/// A device. It uses the same key for sessions and for links.
pub(crate) struct Device {
    pub(crate) seed: Seed,
}

impl Device {
    pub(crate) fn new() -> Self {
        Self { seed: Seed::random().unwrap() }
    }

    pub(crate) fn identity(&self, purpose: Purpose) -> Identity {
        Identity::new(&self.seed, purpose).unwrap()
    }

    pub(crate) fn key(&self) -> PublicKey {
        self.identity(Purpose::Session).key()
    }

    /// Sends a request on a new encrypted session.
    pub(crate) async fn ask(&self, tracker: SocketAddr, request: Value) -> (Connection<Socket>, Value) {
        let socket = Socket::dial_encrypted(tracker, &self.identity(Purpose::Session)).await.unwrap();
        let mut session = Connection::new(socket, FRAME_MAX);
        let reply = ask(&mut session, request).await;
        (session, reply)
    }

    /// Signs in or registers on a new session, which must succeed.
    pub(crate) async fn session(&self, tracker: SocketAddr, request: Value) -> Connection<Socket> {
        let (session, reply) = self.ask(tracker, request).await;
        assert_eq!(reply["status"], "OK", "{reply}");
        session
    }
}

/// Sends a request and returns its reply.
pub(crate) async fn ask(session: &mut Connection<Socket>, request: Value) -> Value {
    session.send(&request).await.unwrap();
    loop {
        let received = receive(session).await;
        // A push may arrive before the reply.
        if !["ROOM_UPDATE", "ANNOUNCEMENT"].iter().any(|push| received["status"] == *push) {
            return received;
        }
    }
}

/// Receives the next line.
pub(crate) async fn receive(session: &mut Connection<Socket>) -> Value {
    session.recv_within(PATIENCE).await.unwrap().unwrap().parse_owned().unwrap()
}

/// A login request without a password.
pub(crate) fn by_key(name: &str) -> Value {
    let mut login = sign_in("LOGIN", name, 5000);
    login.as_object_mut().unwrap().remove("password");
    login
}
