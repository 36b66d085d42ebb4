//! A room with an original program in it: it takes one `recv` of 4,096 bytes for one message, dials whoever is in a
//! slot, forgets a peer when either of their links closes, and closes a link on any LEAVE.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use common::{PATIENCE, Tracker, room, user};
use peer::api::{Command, Conversation, Event, Undeliverable};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// What an original program shows, hears or complains of.
#[derive(Debug, Clone, PartialEq)]
enum Shown {
    Hello(String),
    Message {
        room: Value,
        from: String,
        content: String,
    },
    Closed(String),
    /// More or less than one message in one `recv`: the original dies of it.
    NotOneMessage(String),
}

struct Original {
    name: &'static str,
    tracker: TcpStream,
    links: Links,
    shown: mpsc::UnboundedReceiver<Shown>,
    show: mpsc::UnboundedSender<Shown>,
}

/// Every link to a peer stays open, the newest is written to.
type Links = Arc<Mutex<BTreeMap<String, Vec<OwnedWriteHalf>>>>;

async fn recv(stream: &mut (impl AsyncReadExt + Unpin)) -> Option<Result<Value, String>> {
    let mut buffer = [0; 4096];
    let read = stream.read(&mut buffer).await.unwrap_or(0);
    (read > 0).then(|| {
        let text = String::from_utf8_lossy(&buffer[..read]).into_owned();
        serde_json::from_str(&text).map_err(|_| text)
    })
}

async fn listen(
    mut reading: tokio::net::tcp::OwnedReadHalf,
    name: String,
    links: Links,
    show: mpsc::UnboundedSender<Shown>,
) {
    while let Some(message) = recv(&mut reading).await {
        let Ok(message) = message.map_err(|text| show.send(Shown::NotOneMessage(text))) else { break };
        match message["cmd"].as_str() {
            Some("MESSAGE") => {
                let text = |field: &str| message[field].as_str().unwrap_or_default().to_owned();
                let (from, content) = (text("username"), text("content"));
                let _ = show.send(Shown::Message { room: message["room"].clone(), from, content });
            }
            Some("LEAVE") => break,
            _ => {}
        }
    }
    links.lock().unwrap().remove(&name);
    let _ = show.send(Shown::Closed(name));
}

impl Original {
    async fn register(tracker: SocketAddr, name: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (show, shown) = mpsc::unbounded_channel();
        let links = Links::default();
        let (accepted, told) = (Arc::clone(&links), show.clone());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (links, show) = (Arc::clone(&accepted), told.clone());
                tokio::spawn(async move {
                    match recv(&mut stream).await {
                        Some(Ok(hello)) if hello["cmd"] == "HELLO" => {
                            let name = hello["username"].as_str().unwrap().to_owned();
                            let (reading, writing) = stream.into_split();
                            links.lock().unwrap().entry(name.clone()).or_default().push(writing);
                            let _ = show.send(Shown::Hello(name.clone()));
                            listen(reading, name, links, show).await;
                        }
                        Some(Ok(ping)) if ping["cmd"] == "PING" => {
                            stream.write_all(br#"{"cmd": "PONG"}"#).await.unwrap();
                        }
                        Some(Err(text)) => drop(show.send(Shown::NotOneMessage(text))),
                        _ => {}
                    }
                });
            }
        });
        let tracker = TcpStream::connect(tracker).await.unwrap();
        let mut original = Self { name, tracker, links, shown, show };
        let digest = commons::user::PasswordDigest::of_typed("senha").as_str().to_owned();
        let request = json!({"cmd": "REGISTER", "username": name, "password": digest, "address": "localhost", "port": port});
        assert_eq!(original.ask(request).await["status"], "OK");
        original
    }

    async fn ask(&mut self, request: Value) -> Value {
        self.tracker.write_all(request.to_string().as_bytes()).await.unwrap();
        loop {
            let answer = timeout(PATIENCE, recv(&mut self.tracker)).await.unwrap().unwrap().unwrap();
            if answer["status"] != "ROOM_UPDATE" {
                return answer;
            }
        }
    }

    /// Joins a room and dials everybody in its slots.
    async fn join(&mut self, room: &str) {
        let answer = self.ask(json!({"cmd": "JOIN_ROOM", "room": room, "username": self.name})).await;
        assert_eq!(answer["status"], "OK", "{answer}");
        for slot in ["peer_owner", "peer_one", "peer_two"] {
            let peer = &answer["room"][slot];
            let Some(name) = peer["username"].as_str().filter(|name| *name != self.name) else { continue };
            let (address, port) = (peer["address"].as_str().unwrap(), peer["port"].as_u64().unwrap());
            let mut stream = TcpStream::connect(format!("{address}:{port}")).await.unwrap();
            stream
                .write_all(json!({"cmd": "HELLO", "username": self.name}).to_string().as_bytes())
                .await
                .unwrap();
            let (reading, writing) = stream.into_split();
            self.links.lock().unwrap().entry(name.to_owned()).or_default().push(writing);
            tokio::spawn(listen(reading, name.to_owned(), Arc::clone(&self.links), self.show.clone()));
        }
    }

    async fn say(&self, to: &str, message: Value) {
        let link = self.links.lock().unwrap().get_mut(to).and_then(Vec::pop);
        let mut link = link.unwrap_or_else(|| panic!("no link to {to}"));
        link.write_all(message.to_string().as_bytes()).await.unwrap();
        self.links.lock().unwrap().entry(to.to_owned()).or_default().push(link);
    }

    async fn until(&mut self, wanted: impl Fn(&Shown) -> bool) -> Shown {
        loop {
            let shown = timeout(PATIENCE, self.shown.recv()).await.unwrap().unwrap();
            assert!(!matches!(shown, Shown::NotOneMessage(_)), "{shown:?}");
            if wanted(&shown) {
                return shown;
            }
        }
    }

    async fn hears(&mut self, text: &str) {
        self.until(|shown| matches!(shown, Shown::Message { content, .. } if content == text)).await;
    }
}

#[tokio::test]
async fn an_original_program_and_two_of_ours_hear_each_other() {
    let tracker = Tracker::start().await;
    let mut ana = tracker.peer("ana").await;
    let mut zoe = tracker.peer("zoe").await;
    ana.create("sala").await;
    zoe.join("sala").await;
    let mut py = Original::register(tracker.address, "py").await;
    py.join("sala").await;
    ana.linked("py").await;
    zoe.linked("py").await;

    for n in 0..20 {
        ana.say(&format!("from ana {n}")).await;
        zoe.say(&format!("from zoe {n}")).await;
    }
    let (mut of_ana, mut of_zoe) = (0, 0);
    while of_ana < 20 || of_zoe < 20 {
        let Shown::Message { room, from, content } = py.until(|s| matches!(s, Shown::Message { .. })).await
        else {
            unreachable!()
        };
        assert_eq!(room, "sala");
        let count = if from == "ana" { &mut of_ana } else { &mut of_zoe };
        assert_eq!(content, format!("from {from} {count}"));
        *count += 1;
    }
    for to in ["ana", "zoe"] {
        py.say(to, json!({"cmd": "MESSAGE", "room": "sala", "username": "py", "content": "oi"})).await;
    }
    assert_eq!(ana.hears("oi").await, user("py"));
    assert_eq!(zoe.hears("oi").await, user("py"));
}

#[tokio::test]
async fn a_text_that_an_original_program_cannot_take_is_refused_visibly() {
    let tracker = Tracker::start().await;
    let mut ana = tracker.peer("ana").await;
    ana.create("sala").await;
    let mut py = Original::register(tracker.address, "py").await;
    py.join("sala").await;
    ana.linked("py").await;
    ana.say(&"x".repeat(4096)).await;
    let event = ana.until(|e| matches!(e, Event::Undelivered { .. })).await;
    assert!(matches!(event, Event::Undelivered { reason: Undeliverable::TextTooLong, .. }));
    ana.say("short").await;
    py.hears("short").await;
}

#[tokio::test]
async fn ending_a_private_chat_does_not_cut_the_link_that_the_room_uses() {
    let tracker = Tracker::start().await;
    let mut ana = tracker.peer("ana").await;
    ana.create("sala").await;
    let mut py = Original::register(tracker.address, "py").await;
    py.join("sala").await;
    ana.linked("py").await;
    ana.tell("py", "psst").await.unwrap();
    py.hears("psst").await;
    ana.run(Command::Leave { conversation: Some(Conversation::Private(user("py"))) }).await.unwrap();
    ana.say("still linked").await;
    let shown = py.until(|s| matches!(s, Shown::Closed(_) | Shown::Message { .. })).await;
    assert!(matches!(&shown, Shown::Message { content, .. } if content == "still linked"), "{shown:?}");
}

#[tokio::test]
async fn after_a_leave_from_it_the_link_is_dialled_again() {
    let tracker = Tracker::start().await;
    let mut ana = tracker.peer("ana").await;
    ana.create("sala").await;
    let mut py = Original::register(tracker.address, "py").await;
    py.join("sala").await;
    ana.linked("py").await;
    // It ends a private chat and with it, as it does, the link.
    py.say("ana", json!({"cmd": "LEAVE", "room": null})).await;
    py.links.lock().unwrap().clear();
    py.until(|shown| *shown == Shown::Hello("ana".into())).await;
    ana.linked("py").await;
    ana.say("again").await;
    py.hears("again").await;
}

#[tokio::test]
async fn nobody_speaks_under_another_name_or_in_a_room_of_others() {
    let tracker = Tracker::start().await;
    let mut ana = tracker.peer("ana").await;
    ana.create("sala").await;
    let eve = Original::register(tracker.address, "eve").await;
    let mut stream = TcpStream::connect(ana.service.local_addr()).await.unwrap();
    let mut say = async |message: Value| {
        stream.write_all(format!("{message}\n").as_bytes()).await.unwrap();
    };
    say(json!({"cmd": "HELLO", "username": "eve"})).await;
    say(json!({"cmd": "MESSAGE", "room": null, "username": "bob", "content": "I am bob"})).await;
    say(json!({"cmd": "MESSAGE", "room": "sala", "username": "eve", "content": "not a member"})).await;
    say(json!({"cmd": "MESSAGE", "room": null, "username": "eve", "content": "I am eve"})).await;
    assert_eq!(ana.hears("I am eve").await, user("eve"));
    assert!(!ana.saw(|e| matches!(e, Event::Message { .. })));
    assert_eq!(ana.service.status().open, Some(Conversation::Room(room("sala"))));
    drop(eve);
}

#[tokio::test]
async fn a_port_answers_ping_and_closes_on_anything_else_than_hello() {
    let tracker = Tracker::start().await;
    let ana = tracker.peer("ana").await;
    let mut stream = TcpStream::connect(ana.service.local_addr()).await.unwrap();
    stream.write_all(br#"{"cmd":"PING"}"#).await.unwrap();
    assert_eq!(recv(&mut stream).await, Some(Ok(json!({"cmd": "PONG"}))));
    for first in [
        &br#"{"cmd":"MESSAGE","room":null,"username":"eve","content":"hi"}"#[..],
        b"[1]",
        b"\x16\x03\x01\x00\x05hello",
        b"GET / HTTP/1.1\r\n",
    ] {
        let mut stream = TcpStream::connect(ana.service.local_addr()).await.unwrap();
        stream.write_all(first).await.unwrap();
        assert_eq!(timeout(PATIENCE, recv(&mut stream)).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_free_name_may_be_used_in_the_clear_and_one_with_keys_may_not() {
    let tracker = Tracker::start().await;
    let mut ana = tracker.peer("ana").await;
    let _bob = tracker.peer("bob").await;
    for (name, text) in [("bob", "I have no key of bob's"), ("zed", "nobody has this name")] {
        let mut stream = TcpStream::connect(ana.service.local_addr()).await.unwrap();
        for message in [
            json!({"cmd": "HELLO", "username": name}),
            json!({"cmd": "MESSAGE", "room": null, "username": name, "content": text}),
        ] {
            stream.write_all(format!("{message}\n").as_bytes()).await.unwrap();
        }
        if name == "bob" {
            assert_eq!(timeout(PATIENCE, recv(&mut stream)).await.unwrap(), None);
        } else {
            assert_eq!(ana.hears(text).await, user(name));
        }
    }
    assert!(!ana.saw(|e| matches!(e, Event::Message { .. })));
}
