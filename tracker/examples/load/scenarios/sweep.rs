//! Time of a liveness sweep of many plaintext peers, of which some do not answer.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket};
use tokio::time::sleep;

use crate::scenarios::Sizes;
use crate::scenarios::client::{User, register_all};
use crate::scenarios::figures::rounded;
use crate::scenarios::server::{Server, ServerProgram, Settings};

/// One of so many peers does not answer.
const SILENT: usize = 100;

/// The time that a sweep may take beyond the time for an answer, in seconds.
const GOAL_BEYOND: f64 = 2.0;

pub async fn run(sizes: &Sizes, program: &ServerProgram<'_>) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings::Tracker {
        data: folder.path().to_owned(),
        limited: false,
        ping_timeout: sizes.ping_timeout,
    };
    let mut server = Server::start(program, &settings);
    let (answering, silent) = (peers(true), peers(false));
    let user = |number: usize| User {
        port: if number.is_multiple_of(SILENT) { silent } else { answering },
        ..User::plaintext(number)
    };
    let users: Vec<_> = (0..sizes.plaintext).map(user).collect();
    let held = register_all(&users, server.address).await;
    server.sweep();
    // The next sweep takes the time for an answer again, so the figures of the first one are seen.
    let seconds = loop {
        if server.metric("p2p_chat_sweep_seconds_count").await >= 1.0 {
            break server.metric("p2p_chat_sweep_seconds_sum").await;
        }
        sleep(Duration::from_millis(10)).await;
    };
    let silent = users.iter().filter(|user| user.port == silent).count();
    let timeout = sizes.ping_timeout.as_secs_f64();
    json!({
        "peers": held.len(),
        "silent_peers": silent,
        "timeout_seconds": timeout,
        "sweep_seconds": rounded(seconds),
        "ratio_to_goal": rounded(seconds / (timeout + GOAL_BEYOND)),
    })
}

/// Starts to accept PINGs at all addresses of this computer. Returns the port.
fn peers(answer: bool) -> u16 {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([0, 0, 0, 0], 0).into()).unwrap();
    let listener: TcpListener = socket.listen(4096).unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            let Ok((mut stream, _)) = listener.accept().await else { continue };
            if answer {
                tokio::spawn(async move {
                    let mut ping = [0; 15];
                    if stream.read_exact(&mut ping).await.is_ok() {
                        let _ = stream.write_all(b"{\"cmd\":\"PONG\"}\n").await;
                    }
                });
            } else {
                held.push(stream);
            }
        }
    });
    port
}
