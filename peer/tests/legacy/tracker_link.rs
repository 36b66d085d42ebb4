//! The double's session with the tracker, as the original's `PeerTrackerCommunication`.
//! One thread reads all frames and separates answers from announcements.

use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

use super::{PATIENCE, Shown, View, participants, python_json, recv};

/// One connection, a thread that reads it, and a queue of answers.
pub(super) struct TrackerLink {
    stream: Arc<TcpStream>,
    answers: Mutex<Receiver<Value>>,
}

impl TrackerLink {
    pub(super) fn connect(tracker: SocketAddr, view: Arc<Mutex<View>>, show: Sender<Shown>) -> Self {
        let stream = Arc::new(TcpStream::connect(tracker).unwrap());
        let (answer, answers) = channel();
        let reading = Arc::clone(&stream);
        thread::spawn(move || {
            loop {
                let gone = match recv(&reading, 4096) {
                    Ok(Some(Ok(push))) if push["status"] == "ROOM_UPDATE" => {
                        update(&view, &show, &push);
                        continue;
                    }
                    Ok(Some(Ok(reply))) => {
                        let _ = answer.send(reply);
                        continue;
                    }
                    Ok(Some(Err(text))) => text,
                    Ok(None) => "Conexão com o tracker foi perdida.".to_owned(),
                    Err(error) => error.to_string(),
                };
                let _ = show.send(Shown::TrackerGone(gone));
                return;
            }
        });
        Self { stream, answers: answers.into() }
    }

    pub(super) fn send(&self, request: &Value) {
        let _ = (&*self.stream).write_all(&python_json(request));
    }

    /// Sends a request. The next answer is used as its reply.
    pub(super) fn ask(&self, request: &Value) -> Value {
        self.send(request);
        let timeout = |_| json!({"status": "ERROR", "msg": "Tracker timeout."});
        self.answers.lock().unwrap().recv_timeout(PATIENCE).unwrap_or_else(timeout)
    }

    pub(super) fn end(&self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

/// Compares an announcement of the open room with the known state. The program dials nobody here, and loses the port of
/// every peer that it learns of in this way.
fn update(view: &Mutex<View>, show: &Sender<Shown>, push: &Value) {
    let print = |shown| drop(show.send(shown));
    print(Shown::Update(push["msg"].as_str().unwrap_or_default().to_owned()));
    let mut view = view.lock().unwrap();
    let Some(old) = view.room.clone().filter(|room| room["name"] == push["room"]["name"]) else { return };
    view.room = Some(push["room"].clone());
    drop(view);
    let (old, new) = (participants(&old), participants(&push["room"]));
    for name in new.iter().filter(|name| !old.contains(name)) {
        print(Shown::Entered(name.clone()));
        print(Shown::Incomplete(name.clone()));
    }
    old.into_iter().filter(|name| !new.contains(name)).for_each(|name| print(Shown::Left(name)));
}
