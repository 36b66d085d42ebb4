//! The servers of the load test, each in a process of its own, so that only its memory is counted.

use std::io::{BufRead, BufReader, Read, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;
use std::{env, fs};

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracker::config::{Config, ConnectionLimits, PasswordCost};
use tracker::server::TrackerServer;

use crate::scenarios::bare_tls::BareTls;

/// The environment variable with the settings of a server, for the process of the server.
const SERVER: &str = "LOAD_SERVER";

/// The beginning of the line that says that a server is ready.
const READY: &str = "load server ready ";

/// A number of sessions above that of all scenarios.
const SESSIONS_MAX: usize = 30_000;

/// A program that serves if the environment says so.
pub struct ServerProgram<'a>(pub &'a (dyn Fn() -> Command + Sync));

/// The settings of a server.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Settings {
    /// Accepts TLS connections, and answers each line.
    Bare,
    /// A tracker with a data folder.
    Tracker {
        /// The data folder.
        data: PathBuf,
        /// Whether the limits hold for loopback too.
        limited: bool,
        /// The time that a peer has to answer.
        ping_timeout: Duration,
    },
}

impl Settings {
    /// A tracker without limits for loopback.
    pub fn tracker(data: &Path) -> Self {
        Self::Tracker { data: data.to_owned(), limited: false, ping_timeout: Duration::from_secs(3) }
    }
}

/// A server process. It ends with this value.
pub struct Server {
    child: Child,
    /// The address of the server.
    pub address: SocketAddr,
    /// The address of the status page.
    status: SocketAddr,
    /// Stays open: a server that prints into a closed pipe would end.
    _stdout: BufReader<ChildStdout>,
}

impl Server {
    /// Starts a server and waits until it is ready.
    pub fn start(program: &ServerProgram<'_>, settings: &Settings) -> Self {
        let mut command = (program.0)();
        command.env(SERVER, serde_json::to_string(settings).unwrap());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut lines = stdout.by_ref().lines().map_while(Result::ok);
        let ready = lines.find_map(|line| line.strip_prefix(READY).map(str::to_owned)).unwrap();
        let (address, status) = ready.split_once(' ').unwrap();
        let (address, status) = (address.parse().unwrap(), status.parse().unwrap());
        Self { child, address, status, _stdout: stdout }
    }

    /// The resident memory of the server in bytes.
    pub fn memory(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() * 1024.0
    }

    /// The number of open descriptors of the server.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// Makes the tracker sweep at once, and then again and again.
    pub fn sweep(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"s").unwrap();
    }

    /// Reads a figure of the tracker by its name in the metrics.
    pub async fn metric(&self, name: &str) -> f64 {
        let mut stream = tokio::net::TcpStream::connect(self.status).await.unwrap();
        stream.write_all(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
    }

    /// Waits until a figure of the tracker has a value that `wanted` accepts.
    pub async fn wait_for(&self, name: &str, wanted: impl Fn(f64) -> bool) {
        while !wanted(self.metric(name).await) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether this process is a server.
pub fn is_server() -> bool {
    env::var_os(SERVER).is_some()
}

/// Serves as the environment says, until stdin ends.
pub async fn serve() {
    match serde_json::from_str(&env::var(SERVER).unwrap()).unwrap() {
        Settings::Bare => tokio::select! {
            () = serve_bare() => {}
            () = obey(|| ()) => {}
        },
        Settings::Tracker { data, limited, ping_timeout } => {
            let config = Config {
                listen: "127.0.0.1:0".to_owned(),
                status: Some("127.0.0.1:0".to_owned()),
                data,
                limit_loopback: limited,
                ping_interval: Duration::from_secs(24 * 60 * 60),
                ping_timeout,
                password_cost: PasswordCost { memory: 64, passes: 1 },
                connections: ConnectionLimits { sessions: SESSIONS_MAX, ..ConnectionLimits::default() },
                ..Config::default()
            };
            let server = TrackerServer::bind(config).await.unwrap();
            let (address, status) = (server.local_addr(), server.status_addr().unwrap());
            println!("\n{READY}{address} {status}");
            let (settings, stop) = (server.settings(), CancellationToken::new());
            let stopping = stop.clone();
            let sweep =
                move || settings.send_modify(|config| config.ping_interval = Duration::from_millis(1));
            tokio::spawn(async move {
                obey(sweep).await;
                stopping.cancel();
            });
            server.run(stop).await.unwrap();
        }
    }
}

/// Calls `command` for each byte of stdin, until it ends.
async fn obey(command: impl Fn() + Send + 'static) {
    let read = move || {
        let mut byte = [0];
        while std::io::stdin().read_exact(&mut byte).is_ok() {
            command();
        }
    };
    tokio::task::spawn_blocking(read).await.unwrap();
}

/// Serves each connection with one task that answers a line and waits for the next.
async fn serve_bare() {
    let tls = BareTls::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    println!("\n{READY}{address} {address}");
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let tls = tls.clone();
        tokio::spawn(async move {
            let mut stream = tls.answer(stream).await;
            while let Ok(byte) = stream.read_u8().await {
                if byte != b'\n' {
                    continue;
                }
                if stream.write_all(b"{\"status\":\"OK\"}\n").await.is_err() || stream.flush().await.is_err()
                {
                    return;
                }
            }
        });
    }
}
