//! A double of the original Python peer, built on blocking sockets and threads like that program.
//!
//! It reproduces the habits on which the original depends, including its defects. One `recv` is one message. A thread
//! that blocks in `recv` keeps a closed socket open. A peer is forgotten when any of its links ends. A room's messages
//! are dropped while another view is open. An announcement with an empty owner slot ends the program at
//! `/deletar_sala`.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::needless_pass_by_value, reason = "a request is written where it is asked")]

mod links;
pub mod tracker;
mod tracker_link;

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::{Value, json};

use links::Links;
use tracker_link::TrackerLink;

/// Longest wait for an expected event. It is only reached on a very busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Time that an unwanted event is given to happen. A passing test always waits this long.
const A_WHILE: Duration = Duration::from_millis(500);

/// Output of the program, or output that it should have printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// `<X> text`, in the open room.
    Room { from: String, text: String },
    /// `[PRIVADO de X] text`, from a private chat.
    Private { from: String, text: String },
    /// A message of a room that is not open, which the program drops silently.
    Dropped { from: String, text: String },
    /// `*** X entrou na sala.`: X has joined.
    Entered(String),
    /// `*** X saiu da sala.`: X has left.
    Left(String),
    /// `[ATUALIZAÇÃO DA SALA] msg`: the room has changed.
    Update(String),
    /// `[CONEXÃO P2P] X se conectou.`: X sent HELLO.
    Hello(String),
    /// `[DESCONECTADO P2P] de X.`: the link to X has ended.
    Disconnected(String),
    /// `[AVISO] Conexão com X não encontrada.`: a message to X is lost.
    NoLink(String),
    /// `[AVISO] Informações para 'X' incompletas.`: X has no address or port.
    Incomplete(String),
    /// A command that the program does not know. It shows nothing of it.
    Unknown(String),
    /// One `recv` held more or less than one message.
    NotOneMessage(String),
    /// `[ERRO] na escuta do tracker`: the connection to the tracker is lost.
    TrackerGone(String),
}

/// The view on the screen: a room, a private chat, or the menu.
#[derive(Debug, Default)]
struct View {
    room: Option<Value>,
    private: Option<String>,
}

impl View {
    fn room_name(&self) -> Option<&str> {
        self.room.as_ref()?["name"].as_str()
    }
}

/// The names in the slots of a room.
fn participants(room: &Value) -> Vec<String> {
    let slots = ["peer_owner", "peer_one", "peer_two"].map(|slot| room[slot]["username"].as_str());
    slots.into_iter().flatten().map(str::to_owned).collect()
}

/// Error: the program died of an uncaught exception.
#[derive(Debug, PartialEq, Eq)]
pub struct Crashed(pub &'static str);

/// The original peer, with a person who types at its menu.
pub struct LegacyClient {
    pub name: String,
    view: Arc<Mutex<View>>,
    pub links: Arc<Links>,
    tracker: TrackerLink,
    shown: Mutex<Receiver<Shown>>,
    /// Output that no call has looked for yet.
    passed: Mutex<Vec<Shown>>,
}

impl LegacyClient {
    /// Starts the program with a port for links and a connection to the tracker, not signed in.
    pub fn start(tracker: SocketAddr) -> Self {
        let (show, shown) = channel();
        let view = Arc::new(Mutex::new(View::default()));
        let links = Links::listen(Arc::clone(&view), show.clone());
        let tracker = TrackerLink::connect(tracker, Arc::clone(&view), show);
        Self { name: String::new(), view, links, tracker, shown: shown.into(), passed: Mutex::default() }
    }

    /// Starts the program and registers.
    pub fn registered(tracker: SocketAddr, name: &str) -> Self {
        Self::signed_in(tracker, "REGISTER", name)
    }

    /// Starts the program and logs in. It then shows its menu.
    pub fn logged_in(tracker: SocketAddr, name: &str) -> Self {
        Self::signed_in(tracker, "LOGIN", name)
    }

    fn signed_in(tracker: SocketAddr, cmd: &str, name: &str) -> Self {
        let mut client = Self::start(tracker);
        let answer = client.sign_in(cmd, name, "uma senha longa");
        assert_eq!(answer["status"], "OK", "{answer}");
        client
    }

    /// Chooses Login or Registrar in the menu.
    pub fn sign_in(&mut self, cmd: &str, name: &str, password: &str) -> Value {
        let digest = commons::user::PasswordDigest::of_typed(password);
        name.clone_into(&mut self.name);
        self.ask(json!({"cmd": cmd, "username": name, "password": digest.as_str(), "address": "127.0.0.1",
            "port": self.links.port}))
    }

    /// Sends a request and returns the answer. The original waits five seconds for it, but a busy machine may need
    /// longer.
    pub fn ask(&self, request: Value) -> Value {
        self.tracker.ask(&request)
    }

    fn ask_for_room(&self, cmd: &str, room: &str) -> Value {
        self.ask(json!({"cmd": cmd, "room": room, "username": self.name}))
    }

    /// Chooses "Listar peers online" in the menu.
    pub fn list_peers(&self) -> Value {
        self.ask(json!({"cmd": "LIST_PEERS"}))
    }

    /// Chooses "Listar salas disponíveis" in the menu. Returns the number of participants that the program counts in
    /// each room.
    pub fn count_rooms(&self) -> Vec<(String, usize)> {
        let answer = self.ask(json!({"cmd": "LIST_ROOMS"}));
        let rooms = answer["rooms"].as_object().unwrap_or_else(|| panic!("{answer}"));
        let count = |room: &Value| {
            let objects = room.as_object().unwrap().values().filter(|value| value.is_object());
            objects.filter(|peer| peer["username"].is_string()).count()
        };
        rooms.iter().map(|(name, room)| (name.clone(), count(room))).collect()
    }

    /// Chooses "Criar sala" in the menu. The program stays in its menu.
    pub fn create(&self, room: &str) -> Value {
        self.ask_for_room("CREATE_ROOM", room)
    }

    /// Chooses "Entrar em sala" in the menu. The program opens the room's view and dials every peer in its slots.
    pub fn join(&self, room: &str) -> Value {
        let answer = self.ask_for_room("JOIN_ROOM", room);
        if answer["status"] == "OK" {
            self.lock().room = Some(answer["room"].clone());
            for slot in answer["room"].as_object().unwrap().values().filter(|value| value.is_object()) {
                if slot["username"].as_str().is_some_and(|name| name != self.name) {
                    self.links.connect(slot, &self.name);
                }
            }
        }
        answer
    }

    /// Chooses "Chat com um peer" in the menu. Returns whether the view of the private chat opened.
    pub fn chat_with(&self, user: &str) -> bool {
        let answer = self.list_peers();
        let peer = &answer["peers"][user];
        let reachable = user != self.name && peer["connected"] == true && peer["port"].is_number();
        let open = reachable && self.links.connect(peer, &self.name);
        if open {
            self.lock().private = Some(user.to_owned());
        }
        open
    }

    /// Types a text into the open view.
    pub fn say(&self, text: &str) {
        let (room, to) = {
            let view = self.lock();
            match (&view.private, &view.room) {
                (Some(user), _) => (Value::Null, vec![user.clone()]),
                (None, Some(room)) => (room["name"].clone(), participants(room)),
                (None, None) => panic!("no view is open"),
            }
        };
        for user in to.iter().filter(|user| **user != self.name) {
            let message = json!({"cmd": "MESSAGE", "room": room, "username": self.name, "content": text});
            self.links.send(user, &message);
        }
    }

    /// Types `/sair` in either view.
    pub fn leave(&self) {
        let (private, room) = {
            let view = self.lock();
            (view.private.clone(), view.room.clone())
        };
        if let Some(user) = private {
            self.links.leave(&[user], &json!({"cmd": "LEAVE", "room": null}));
            self.lock().private = None;
        } else if let Some(room) = room {
            self.ask_for_room("LEAVE_ROOM", room["name"].as_str().unwrap());
            self.links.leave(&self.users(), &json!({"cmd": "LEAVE"}));
            self.lock().room = None;
        }
    }

    /// Types `/users` and returns the names.
    pub fn users(&self) -> Vec<String> {
        self.lock().room.as_ref().map(participants).unwrap_or_default()
    }

    /// Types `/deletar_sala` and returns whether the tracker deleted the room. The program reads the owner's name
    /// without a check whether there is an owner.
    pub fn delete_room(&self) -> Result<bool, Crashed> {
        let room = self.lock().room.clone().unwrap();
        let owner = room["peer_owner"]["username"].as_str();
        let owner = owner.ok_or(Crashed("'NoneType' object has no attribute 'username'"))?;
        if owner != self.name {
            return Ok(false);
        }
        let deleted = self.ask_for_room("DELETE_ROOM", room["name"].as_str().unwrap())["status"] == "OK";
        if deleted {
            self.lock().room = None;
            self.links.leave(&participants(&room), &json!({"cmd": "LEAVE"}));
        }
        Ok(deleted)
    }

    /// Empties the owner slot, as an announcement with `null` does.
    pub fn forget_the_owner(&self) {
        self.lock().room.as_mut().unwrap()["peer_owner"] = Value::Null;
    }

    /// Chooses Sair in the menu, which ends the program.
    pub fn quit(self) {
        self.tracker.send(&json!({"cmd": "LOGOUT", "username": self.name}));
    }

    fn lock(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap()
    }

    /// Waits for output that matches. The program must have understood everything so far.
    pub fn until(&self, wanted: impl Fn(&Shown) -> bool) -> Shown {
        let (shown, mut passed) = (self.shown.lock().unwrap(), self.passed.lock().unwrap());
        if let Some(at) = passed.iter().position(&wanted) {
            return passed.remove(at);
        }
        loop {
            let Ok(next) = shown.recv_timeout(PATIENCE) else { panic!("{} saw only {passed:?}", self.name) };
            let broken = matches!(next, Shown::NotOneMessage(_) | Shown::TrackerGone(_));
            assert!(!broken, "{} saw {next:?} after {passed:?}", self.name);
            if wanted(&next) {
                return next;
            }
            passed.push(next);
        }
    }

    /// Waits a while for unwanted output, so that a defect has time to show.
    pub fn may_show(&self, unwanted: impl Fn(&Shown) -> bool) {
        let (shown, mut passed) = (self.shown.lock().unwrap(), self.passed.lock().unwrap());
        while let Ok(next) = shown.recv_timeout(A_WHILE) {
            passed.push(next);
            if passed.last().is_some_and(&unwanted) {
                break;
            }
        }
    }

    /// Waits for a message in the open room.
    pub fn receives(&self, text: &str) {
        self.until(|shown| matches!(shown, Shown::Room { text: received, .. } if received == text));
    }

    /// Waits for a private message.
    pub fn receives_privately(&self, text: &str) {
        self.until(|shown| matches!(shown, Shown::Private { text: received, .. } if received == text));
    }

    /// Waits until this user has sent HELLO.
    pub fn is_dialled_by(&self, user: &str) {
        self.until(|shown| *shown == Shown::Hello(user.to_owned()));
    }

    /// All output so far that no call has looked for.
    pub fn shown_so_far(&self) -> Vec<Shown> {
        let mut passed = std::mem::take(&mut *self.passed.lock().unwrap());
        passed.extend(self.shown.lock().unwrap().try_iter());
        passed
    }
}

impl Drop for LegacyClient {
    fn drop(&mut self) {
        self.links.end();
        self.tracker.end();
    }
}

/// Reads at most `size` bytes with one `recv` as one message. Returns `None` at the end of the stream.
fn recv(mut stream: &std::net::TcpStream, size: usize) -> std::io::Result<Option<Result<Value, String>>> {
    let mut buffer = vec![0; size];
    let read = std::io::Read::read(&mut stream, &mut buffer)?;
    let text = String::from_utf8_lossy(&buffer[..read]).into_owned();
    Ok((read > 0).then(|| serde_json::from_str(&text).map_err(|_| text)))
}

/// Encodes a message as Python does: with escaped characters beyond ASCII, and without a line feed.
fn python_json(message: &Value) -> Vec<u8> {
    let escaped = |char: char| match char {
        '\0'..='\x7f' => char.to_string(),
        _ => char.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect(),
    };
    message.to_string().chars().map(escaped).collect::<String>().into_bytes()
}
