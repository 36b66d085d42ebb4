//! A double of the original Python peer, built on blocking sockets and threads as that program is.
//!
//! It repeats the habits on which the original depends, its defects included: one `recv` is one message; a thread that
//! blocks in `recv` keeps a closed socket open; a peer is forgotten when any of its links ends; a room's messages are
//! dropped while another view is open; a push with an empty owner slot ends the program at `/deletar_sala`.

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

/// Long enough for a machine with much else to do; nothing waits so long where all is well.
const PATIENCE: Duration = Duration::from_secs(60);

/// Time for what should not happen: a test that goes well always takes so long, and never needs it.
const A_WHILE: Duration = Duration::from_millis(500);

/// Something that the program prints, or should have printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// `<X> text`, in the room that is open.
    Room { from: String, text: String },
    /// `[PRIVADO de X] text`.
    Private { from: String, text: String },
    /// A message of a room that is not open: the program drops it without a word.
    Dropped { from: String, text: String },
    /// `*** X entrou na sala.`
    Entered(String),
    /// `*** X saiu da sala.`
    Left(String),
    /// `[ATUALIZAÇÃO DA SALA] msg`.
    Update(String),
    /// `[CONEXÃO P2P] X se conectou.`: X said HELLO.
    Hello(String),
    /// `[DESCONECTADO P2P] de X.`
    Disconnected(String),
    /// `[AVISO] Conexão com X não encontrada.`: a message to X is lost.
    NoLink(String),
    /// `[AVISO] Informações para 'X' incompletas.`
    Incomplete(String),
    /// One `recv` held more or less than one message.
    NotOneMessage(String),
    /// `[ERRO] na escuta do tracker`: nothing is heard from it any more.
    TrackerGone(String),
}

/// What the screen shows.
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

/// The program died of an exception that nothing caught.
#[derive(Debug, PartialEq, Eq)]
pub struct Crashed(pub &'static str);

/// The original peer, with a person who types at its menu.
pub struct LegacyClient {
    pub name: String,
    view: Arc<Mutex<View>>,
    pub links: Arc<Links>,
    tracker: TrackerLink,
    shown: Mutex<Receiver<Shown>>,
    /// What nobody has looked for yet.
    passed: Mutex<Vec<Shown>>,
}

impl LegacyClient {
    /// Starts the program: a port for links, a session with the tracker, nobody signed in.
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

    /// Starts the program and logs in: what it shows then is its menu.
    pub fn logged_in(tracker: SocketAddr, name: &str) -> Self {
        Self::signed_in(tracker, "LOGIN", name)
    }

    fn signed_in(tracker: SocketAddr, cmd: &str, name: &str) -> Self {
        let mut client = Self::start(tracker);
        let answer = client.sign_in(cmd, name, "uma senha longa");
        assert_eq!(answer["status"], "OK", "{answer}");
        client
    }

    /// Menu: Login, or Registrar.
    pub fn sign_in(&mut self, cmd: &str, name: &str, password: &str) -> Value {
        let digest = commons::user::PasswordDigest::of_typed(password);
        name.clone_into(&mut self.name);
        self.ask(json!({"cmd": cmd, "username": name, "password": digest.as_str(), "address": "127.0.0.1",
            "port": self.links.port}))
    }

    /// A request and its answer. The program waits five seconds for it, which a machine with much else to do may need.
    pub fn ask(&self, request: Value) -> Value {
        self.tracker.ask(&request)
    }

    fn ask_for_room(&self, cmd: &str, room: &str) -> Value {
        self.ask(json!({"cmd": cmd, "room": room, "username": self.name}))
    }

    /// Menu: Listar peers online.
    pub fn list_peers(&self) -> Value {
        self.ask(json!({"cmd": "LIST_PEERS"}))
    }

    /// Menu: Listar salas disponíveis. How many participants the program counts in each.
    pub fn count_rooms(&self) -> Vec<(String, usize)> {
        let answer = self.ask(json!({"cmd": "LIST_ROOMS"}));
        let rooms = answer["rooms"].as_object().unwrap_or_else(|| panic!("{answer}"));
        let count = |room: &Value| {
            let objects = room.as_object().unwrap().values().filter(|value| value.is_object());
            objects.filter(|peer| peer["username"].is_string()).count()
        };
        rooms.iter().map(|(name, room)| (name.clone(), count(room))).collect()
    }

    /// Menu: Criar sala. The program stays in its menu.
    pub fn create(&self, room: &str) -> Value {
        self.ask_for_room("CREATE_ROOM", room)
    }

    /// Menu: Entrar em sala. It opens the room's view and dials everybody in its slots.
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

    /// Menu: Chat com um peer. Whether the view of the private chat opened.
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

    /// A text typed into the view that is open.
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

    /// `/sair`, in either view.
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

    /// `/users`.
    pub fn users(&self) -> Vec<String> {
        self.lock().room.as_ref().map(participants).unwrap_or_default()
    }

    /// `/deletar_sala`: whether the tracker deleted the room. The program reads the owner's name without a look whether
    /// there is one.
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

    /// As after a push whose owner slot is null.
    pub fn forget_the_owner(&self) {
        self.lock().room.as_mut().unwrap()["peer_owner"] = Value::Null;
    }

    /// Menu: Sair. The program ends.
    pub fn quit(self) {
        self.tracker.send(&json!({"cmd": "LOGOUT", "username": self.name}));
    }

    fn lock(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap()
    }

    /// What the program shows next, of what is wanted. It must have understood everything so far.
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

    /// Gives something that should not happen the time to happen.
    pub fn may_show(&self, unwanted: impl Fn(&Shown) -> bool) {
        let (shown, mut passed) = (self.shown.lock().unwrap(), self.passed.lock().unwrap());
        while let Ok(next) = shown.recv_timeout(A_WHILE) {
            passed.push(next);
            if passed.last().is_some_and(&unwanted) {
                break;
            }
        }
    }

    /// Waits for a message of the open room.
    pub fn hears(&self, text: &str) {
        self.until(|shown| matches!(shown, Shown::Room { text: heard, .. } if heard == text));
    }

    /// Waits for a private message.
    pub fn hears_privately(&self, text: &str) {
        self.until(|shown| matches!(shown, Shown::Private { text: heard, .. } if heard == text));
    }

    /// Waits until somebody has said HELLO.
    pub fn is_dialled_by(&self, user: &str) {
        self.until(|shown| *shown == Shown::Hello(user.to_owned()));
    }

    /// All that has been shown by now and not been looked for.
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

/// Takes one `recv` of at most `size` bytes for one message; `None` at the end of the stream.
fn recv(mut stream: &std::net::TcpStream, size: usize) -> std::io::Result<Option<Result<Value, String>>> {
    let mut buffer = vec![0; size];
    let read = std::io::Read::read(&mut stream, &mut buffer)?;
    let text = String::from_utf8_lossy(&buffer[..read]).into_owned();
    Ok((read > 0).then(|| serde_json::from_str(&text).map_err(|_| text)))
}

/// A message as Python writes it: characters beyond ASCII escaped, and no line feed behind it.
fn python_json(message: &Value) -> Vec<u8> {
    let escaped = |char: char| match char {
        '\0'..='\x7f' => char.to_string(),
        _ => char.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect(),
    };
    message.to_string().chars().map(escaped).collect::<String>().into_bytes()
}
