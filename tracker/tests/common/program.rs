//! The tracker as a program of its own, and a client that writes until it is killed.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::json;

use crate::common::{Client, room, sign_in};

/// The program, killed at the end of its test.
pub(crate) struct Program {
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
}

impl Program {
    pub(crate) fn start(data: &Path) -> Self {
        // A file that may not grow is an error to the program, and not its end.
        Self::start_limited(data, "trap '' XFSZ")
    }

    /// Starts it in a shell that has done something before.
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

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -s {name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Lets no file grow beyond this many bytes.
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

/// Registers a user and makes rooms until the tracker is gone; what was acknowledged.
pub(crate) async fn write_until_killed(
    mut client: Client,
    name: String,
    acknowledged: tokio::sync::mpsc::Sender<String>,
) {
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
