//! Reconnect storm: all sessions end, and all users sign in again by their keys.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::scenarios::Sizes;
use crate::scenarios::bare_tls::BareTls;
use crate::scenarios::client::{User, each, register_all};
use crate::scenarios::figures::{quantiles, rounded};
use crate::scenarios::server::{Server, ServerProgram, Settings};

pub async fn run(sizes: &Sizes, program: &ServerProgram<'_>) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(program, &Settings::tracker(folder.path()));
    let users: Vec<_> = (0..sizes.encrypted).map(User::encrypted).collect();
    drop(register_all(&users, server.address).await);
    server.wait_for("p2p_chat_connections", |connections| connections == 0.0).await;
    let bare_server = Server::start(program, &Settings::Bare);
    let tls = BareTls::new();
    let (bare, mut bare_times) = storm(&users, |_| bare_session(bare_server.address, &tls)).await;
    let (ours, mut times) = storm(&users, |user| user.sign_in_by_key(server.address)).await;
    json!({
        "sessions": users.len(),
        "seconds": rounded(ours.as_secs_f64()),
        "time": quantiles(&mut times),
        "bare_handshakes_seconds": rounded(bare.as_secs_f64()),
        "bare_time": quantiles(&mut bare_times),
        "ratio_to_bare_handshakes": rounded(ours.as_secs_f64() / bare.as_secs_f64()),
    })
}

/// Opens a session for each user. Returns the time for all, and the time of each.
async fn storm<'a, R, F: Future<Output = R>>(
    users: &'a [User],
    open: impl Fn(&'a User) -> F,
) -> (Duration, Vec<Duration>) {
    let begin = Instant::now();
    let opened = each(users, |user| {
        let opening = open(user);
        async {
            let begin = Instant::now();
            (opening.await, begin.elapsed())
        }
    })
    .await;
    let time = begin.elapsed();
    // The sessions stay until all are there.
    (time, opened.into_iter().map(|(_, time)| time).collect())
}

/// Makes a bare TLS connection, and exchanges one line.
async fn bare_session(server: SocketAddr, tls: &BareTls) -> tokio_rustls::TlsStream<TcpStream> {
    let mut stream = tls.greet(TcpStream::connect(server).await.unwrap()).await;
    stream.write_all(b"{\"cmd\":\"LOGIN\"}\n").await.unwrap();
    // A task that opens many sessions may be out of its budget, and the line then waits in the TLS session.
    stream.flush().await.unwrap();
    let mut answer = String::new();
    BufReader::with_capacity(64, &mut stream).read_line(&mut answer).await.unwrap();
    stream
}
