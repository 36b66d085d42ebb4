//! The double's links to other peers, as the original's `PeerPeerCommunication`.
//! One thread per link reads and shows its messages.

use std::collections::HashMap;
use std::io::Write;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Weak};
use std::thread;

use serde_json::{Value, json};

use super::{PATIENCE, Shown, View, python_json, recv};

/// A Python socket. Closing it drops the program's own handle. A pending `recv` holds another handle, so the connection
/// stays open until it returns.
#[derive(Debug)]
struct PythonSocket(Mutex<Option<Arc<TcpStream>>>);

impl PythonSocket {
    fn handle(&self) -> Option<Arc<TcpStream>> {
        self.0.lock().unwrap().clone()
    }

    fn close(&self) {
        *self.0.lock().unwrap() = None;
    }

    /// Receives one message. Returns `None` if the stream has ended or this program has closed the socket.
    fn recv(&self) -> Option<Result<Value, String>> {
        let handle = self.handle()?;
        recv(&handle, 4096).ok().flatten()
    }

    /// Sends a message. Returns whether its bytes could be written.
    fn send(&self, message: &Value) -> bool {
        self.handle().is_some_and(|handle| (&*handle).write_all(&python_json(message)).is_ok())
    }
}

/// All links of the program: only the newest one for each name.
#[derive(Debug)]
pub struct Links {
    /// The port on which the program listens.
    pub port: u16,
    connections: Mutex<HashMap<String, Arc<PythonSocket>>>,
    /// Whether the threads wait at the end of a link before they remove its entry. A test sets it.
    slow: Mutex<bool>,
    fast_again: Condvar,
    view: Arc<Mutex<View>>,
    show: Mutex<Sender<Shown>>,
    open: Mutex<Open>,
}

/// The sockets that the system closes at the end of the program.
#[derive(Debug, Default)]
struct Open {
    ended: bool,
    streams: Vec<Weak<TcpStream>>,
}

impl Links {
    pub(super) fn listen(view: Arc<Mutex<View>>, show: Sender<Shown>) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let links = Arc::new(Self {
            port: listener.local_addr().unwrap().port(),
            connections: Mutex::default(),
            slow: Mutex::default(),
            fast_again: Condvar::new(),
            view,
            show: show.into(),
            open: Mutex::default(),
        });
        let accepting = Arc::clone(&links);
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if accepting.open.lock().unwrap().ended {
                    return;
                }
                let links = Arc::clone(&accepting);
                thread::spawn(move || links.accepted(stream));
            }
        });
        links
    }

    fn socket(&self, stream: TcpStream) -> Arc<PythonSocket> {
        let mut open = self.open.lock().unwrap();
        if open.ended {
            let _ = stream.shutdown(Shutdown::Both);
        }
        let stream = Arc::new(stream);
        open.streams.push(Arc::downgrade(&stream));
        Arc::new(PythonSocket(Mutex::new(Some(stream))))
    }

    fn show(&self, shown: Shown) {
        let _ = self.show.lock().unwrap().send(shown);
    }

    fn connections(&self) -> MutexGuard<'_, HashMap<String, Arc<PythonSocket>>> {
        self.connections.lock().unwrap()
    }

    /// Reads the first message of a connection: HELLO makes it a link, PING is answered, and anything else closes it.
    fn accepted(self: Arc<Self>, stream: TcpStream) {
        match recv(&stream, 1024) {
            Ok(Some(Ok(hello))) if hello["cmd"] == "HELLO" => {
                let user = hello["username"].as_str().unwrap_or_default().to_owned();
                let socket = self.socket(stream);
                self.connections().insert(user.clone(), Arc::clone(&socket));
                self.show(Shown::Hello(user.clone()));
                self.receive(&socket, &user);
            }
            Ok(Some(Ok(ping))) if ping["cmd"] == "PING" => {
                let _ = (&stream).write_all(&python_json(&json!({"cmd": "PONG"})));
            }
            Ok(Some(Err(text))) => self.show(Shown::NotOneMessage(text)),
            _ => {}
        }
    }

    /// Links to a peer if there is no link yet. Returns whether there is one now.
    pub(super) fn connect(self: &Arc<Self>, peer: &Value, me: &str) -> bool {
        let user = peer["username"].as_str().unwrap().to_owned();
        if self.connections().contains_key(&user) {
            return true;
        }
        let (Some(address), Some(port)) = (peer["address"].as_str(), peer["port"].as_u64()) else {
            self.show(Shown::Incomplete(user));
            return false;
        };
        let address = format!("{address}:{port}").parse().unwrap();
        let Ok(mut stream) = TcpStream::connect_timeout(&address, PATIENCE) else { return false };
        if stream.write_all(&python_json(&json!({"cmd": "HELLO", "username": me}))).is_err() {
            return false;
        }
        let socket = self.socket(stream);
        self.connections().insert(user.clone(), Arc::clone(&socket));
        let links = Arc::clone(self);
        thread::spawn(move || links.receive(&socket, &user));
        true
    }

    /// Shows the messages of a link until it ends. Then it removes the entry of that name, even if another link has
    /// replaced it.
    fn receive(&self, socket: &PythonSocket, user: &str) {
        while let Some(message) = socket.recv() {
            let message = match message {
                Ok(message) => message,
                Err(text) => {
                    self.show(Shown::NotOneMessage(text));
                    break;
                }
            };
            self.print(user, &message);
            if message["cmd"] == "LEAVE" {
                break;
            }
        }
        let _slow = self.fast_again.wait_while(self.slow.lock().unwrap(), |slow| *slow).unwrap();
        socket.close();
        self.connections().remove(user);
        self.show(Shown::Disconnected(user.to_owned()));
    }

    fn print(&self, from: &str, message: &Value) {
        let from = from.to_owned();
        let text = message["content"].as_str().unwrap_or_default().to_owned();
        let open = |room: &Value| self.view.lock().unwrap().room_name() == room.as_str();
        match (message["cmd"].as_str(), &message["room"]) {
            (Some("MESSAGE"), Value::Null) => self.show(Shown::Private { from, text }),
            (Some("MESSAGE"), room) if open(room) => self.show(Shown::Room { from, text }),
            (Some("MESSAGE"), _) => self.show(Shown::Dropped { from, text }),
            (Some("LEAVE"), room) if room.is_string() && open(room) => self.show(Shown::Left(from)),
            (Some("LEAVE" | "PING" | "PONG" | "HELLO"), _) | (None, _) => {}
            (Some(unknown), _) => self.show(Shown::Unknown(unknown.to_owned())),
        }
    }

    pub(super) fn send(&self, user: &str, message: &Value) {
        let socket = self.connections().get(user).cloned();
        if !socket.is_some_and(|socket| socket.send(message)) {
            self.show(Shown::NoLink(user.to_owned()));
        }
    }

    /// Sends a goodbye to these users and closes the sockets, which other threads may still read.
    pub(super) fn leave(&self, users: &[String], goodbye: &Value) {
        for user in users {
            let Some(socket) = self.connections().remove(user) else { continue };
            socket.send(goodbye);
            socket.close();
        }
    }

    /// Whether the program has a link to this user.
    pub fn knows(&self, user: &str) -> bool {
        self.connections().contains_key(user)
    }

    /// Makes all threads wait at the end of a link, or lets them continue.
    pub fn slow_down(&self, slow: bool) {
        *self.slow.lock().unwrap() = slow;
        self.fast_again.notify_all();
    }

    /// Ends the program: the system closes its sockets, including those that threads are reading.
    pub(super) fn end(&self) {
        {
            let mut open = self.open.lock().unwrap();
            open.ended = true;
            for stream in open.streams.drain(..).filter_map(|stream| stream.upgrade()) {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
        // The connection wakes the accepting thread, which then ends.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}
