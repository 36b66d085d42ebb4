//! The tracker as a separate process, and clients that send changes until it is killed.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::json;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinSet;

use crate::common::{Client, room, sign_in};

/// A tracker process that is killed at the end of its test.
pub(crate) struct Program {
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
}

impl Program {
    pub(crate) fn start(data: &Path) -> Self {
        // Without SIGXFSZ, the file size limit gives the program an error instead of ending it.
        Self::start_limited(data, "trap '' XFSZ")
    }

    /// Starts the program from a shell that runs the commands `before` first.
    pub(crate) fn start_limited(data: &Path, before: &str) -> Self {
        let script = format!("{before}; exec \"$@\"");
        let mut command = Command::new("sh");
        command.args(["-c", &script, "sh", env!("CARGO_BIN_EXE_tracker")]);
        command.args(["--listen", "127.0.0.1:0", "--data"]).arg(data);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("tracker listening on ").expect(&line).parse().unwrap();
        Self { child, address }
    }

    pub(crate) async fn connect(&self) -> Client {
        Client::connect(self.address).await
    }

    /// Sends a signal to the process by its name.
    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -s {name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Limits the size of every file of the process to this many bytes.
    pub(crate) fn limit_files(&self, most: &str) {
        let pid = self.child.id().to_string();
        let limit = format!("--fsize={most}:");
        assert!(Command::new("prlimit").args(["--pid", &pid, &limit]).status().unwrap().success());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Clients that send changes until the tracker is gone.
pub(crate) struct Writers {
    acknowledged: Receiver<String>,
    clients: JoinSet<()>,
}

impl Writers {
    /// Starts this many clients. Their names are unique to the round.
    pub(crate) async fn start(program: &Program, round: usize, count: usize) -> Self {
        let (sender, acknowledged) = channel(1000);
        let mut clients = JoinSet::new();
        for number in 0..count {
            let client = program.connect().await;
            clients.spawn(write_until_killed(client, format!("u{round}-{number}"), sender.clone()));
        }
        Self { acknowledged, clients }
    }

    /// Waits for this many further confirmed changes.
    pub(crate) async fn next(&mut self, count: usize) -> Vec<String> {
        let mut next = Vec::new();
        while next.len() < count {
            next.push(self.acknowledged.recv().await.unwrap());
        }
        next
    }

    /// The remaining confirmed changes, after the tracker has ended.
    pub(crate) async fn rest(mut self) -> Vec<String> {
        let mut rest = Vec::new();
        while let Some(more) = self.acknowledged.recv().await {
            rest.push(more);
        }
        self.clients.join_all().await;
        rest
    }
}

/// Registers a user and creates rooms until the tracker is gone. Sends each confirmed change to the channel.
async fn write_until_killed(mut client: Client, name: String, acknowledged: Sender<String>) {
    client.try_send(&sign_in("REGISTER", &name, 5000)).await;
    let Some(reply) = client.try_recv().await else { return };
    assert_eq!(reply["status"], "OK", "{reply}");
    let _ = acknowledged.send(format!("user {name}")).await;
    for n in 0.. {
        let room_name = format!("{name} {n}");
        for cmd in ["CREATE_ROOM", "LEAVE_ROOM"] {
            client.try_send(&room(cmd, &room_name)).await;
            let Some(reply) = client.try_recv().await else { return };
            assert_eq!(reply["status"], "OK", "{reply}");
            if cmd == "CREATE_ROOM" {
                let _ = acknowledged.send(format!("room {room_name}")).await;
            }
        }
    }
}

/// Starts the tracker on a folder and checks that all confirmed changes are there.
pub(crate) async fn assert_kept(data: &Path, acknowledged: &[String]) {
    let program = Program::start(data);
    let mut client = program.connect().await;
    client.ok(sign_in("REGISTER", "witness", 5000)).await;
    let rooms = all_rooms(&mut client).await;
    for what in acknowledged {
        match what.split_once(' ').unwrap() {
            ("user", name) => drop(client.ok(json!({"cmd": "GET_PEER", "peer": name})).await),
            (_, name) => assert!(rooms.iter().any(|room| room == name), "{name} is lost"),
        }
    }
}

/// The names of all rooms, in order.
pub(crate) async fn all_rooms(client: &mut Client) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    loop {
        let reply = client.ok(json!({"cmd": "LIST_ROOMS", "id": 1, "after": all.last()})).await;
        all.extend(reply["rooms"].as_object().unwrap().keys().cloned());
        if reply.get("more").is_none() {
            return all;
        }
    }
}
