//! The control socket: commands of the operator to the running tracker.
//!
//! It lies in the data folder, and only the tracker's own user and root can use it. A request is one line of JSON, and
//! so is the reply. A pid file would not do: it may name another process by now, and a signal brings no reply.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tracker::limits::{ACCEPT_PAUSE, CONTROL_CONNECTIONS_MAX, CONTROL_LINE_MAX, CONTROL_TIME};

use crate::reload::Reloader;

/// A command of the operator.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "cmd", rename_all = "SCREAMING_SNAKE_CASE")]
enum ControlRequest {
    /// Read the settings file again.
    Reload,
}

/// The reply to a command.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "SCREAMING_SNAKE_CASE")]
enum ControlReply {
    /// The command succeeded.
    Ok {
        /// The result for the operator.
        lines: Vec<String>,
    },
    /// The command failed.
    Error {
        /// The reasons for the operator.
        lines: Vec<String>,
    },
}

/// The control socket of a running tracker. The socket is removed when this is dropped.
pub(crate) struct ControlSocket {
    path: PathBuf,
    listener: UnixListener,
}

impl ControlSocket {
    /// Creates the socket. The caller holds the lock of the data folder, so an old socket belongs to nobody.
    pub(crate) fn bind(data: &Path) -> io::Result<Self> {
        let path = path(data);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        let only_owner = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&path, only_owner)?;
        Ok(Self { path, listener })
    }

    /// Serves commands for ever.
    pub(crate) async fn serve(self, reloader: Arc<Reloader>) {
        let places = Arc::new(Semaphore::new(CONTROL_CONNECTIONS_MAX));
        loop {
            let Ok(place) = places.clone().acquire_owned().await else { return };
            let Ok((stream, _)) = self.listener.accept().await else {
                sleep(ACCEPT_PAUSE).await;
                continue;
            };
            if !is_permitted(&stream) {
                continue;
            }
            let reloader = reloader.clone();
            tokio::spawn(async move {
                let _ = timeout(CONTROL_TIME, answer(stream, &reloader)).await;
                drop(place);
            });
        }
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn path(data: &Path) -> PathBuf {
    data.join("control.sock")
}

/// Whether the other end runs as the tracker's own user or as root. The mode of the socket says the same, but some
/// systems ignore it.
fn is_permitted(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|other| [own, 0].contains(&other.uid()))
}

async fn answer(stream: UnixStream, reloader: &Reloader) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    (&mut stream).take(CONTROL_LINE_MAX).read_line(&mut line).await?;
    let reply = match serde_json::from_str(&line) {
        Ok(ControlRequest::Reload) => match reloader.reload() {
            Ok(lines) => ControlReply::Ok { lines },
            Err(lines) => ControlReply::Error { lines },
        },
        Err(_) => ControlReply::Error { lines: vec!["this tracker does not know the command".to_owned()] },
    };
    let reply = serde_json::to_string(&reply).map_err(io::Error::other)?;
    stream.get_mut().write_all(format!("{reply}\n").as_bytes()).await
}

/// Makes the running tracker of a data folder read its settings again. Returns the lines for the operator.
pub(crate) async fn reload(data: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    let asked = timeout(CONTROL_TIME, ask(&path(data), &ControlRequest::Reload)).await;
    match asked.map_err(|_| "the tracker does not answer: look into its log")?? {
        ControlReply::Ok { lines } => Ok(lines),
        ControlReply::Error { lines } => Err(lines.join("\ntracker: ").into()),
    }
}

async fn ask(path: &Path, request: &ControlRequest) -> Result<ControlReply, Box<dyn Error>> {
    let connected = UnixStream::connect(path).await;
    let stream = connected.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            format!("no tracker runs on this data folder, which --data names: {}: {error}", path.display())
        }
        _ => format!("{}: {error}", path.display()),
    })?;
    let mut stream = BufReader::new(stream);
    stream.get_mut().write_all(format!("{}\n", serde_json::to_string(request)?).as_bytes()).await?;
    let mut line = String::new();
    stream.take(CONTROL_LINE_MAX).read_line(&mut line).await?;
    Ok(serde_json::from_str(&line)?)
}
