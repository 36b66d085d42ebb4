//! The control socket: commands of the operator to the running tracker.
//!
//! It lies in the data folder, and only the tracker's own user and root can use it. A request is one line of JSON, and
//! so is the reply. A pid file would not do: it may name another process by now, and a signal brings no reply.

use std::error::Error;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{sleep, timeout};
use tracker::backup::{Backup, BackupSource};
use tracker::limits::{
    ACCEPT_PAUSE, BACKUP_MAX, BACKUP_PAUSE_MAX, CONTROL_CONNECTIONS_MAX, CONTROL_LINE_MAX, CONTROL_TIME,
};
use tracker::operator::{Operator, OperatorCommand, OperatorReply};

use crate::reload::Reloader;

/// The number of bytes of a backup that are received at once.
const BACKUP_CHUNK: usize = 64 * 1024;

const NO_ANSWER: &str = "the tracker does not answer: look into its log";

/// A command of the operator.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "cmd", rename_all = "SCREAMING_SNAKE_CASE")]
enum ControlRequest {
    /// Read the settings file again.
    Reload,
    /// Send a backup after the reply, until the end of the connection.
    Backup,
    /// Administer the tracker.
    #[serde(untagged)]
    Operator(OperatorCommand),
}

/// The reply to a command.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "SCREAMING_SNAKE_CASE")]
enum ControlReply {
    /// The command succeeded.
    Ok {
        /// The result for the operator.
        lines: Vec<String>,
        /// The name after which a list continues.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next: Option<String>,
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
    pub(crate) async fn serve(self, reloader: Arc<Reloader>, operator: Operator, backups: BackupSource) {
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
            let (reloader, operator, backups) = (reloader.clone(), operator.clone(), backups.clone());
            tokio::spawn(async move {
                let answered = timeout(CONTROL_TIME, answer(stream, &reloader, &operator, &backups)).await;
                if let Ok(Ok(Some((stream, backup)))) = answered {
                    send_backup(stream, backup).await;
                }
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

/// Answers a request. Returns the backup to send next, if the request asks for one.
async fn answer(
    stream: UnixStream,
    reloader: &Arc<Reloader>,
    operator: &Operator,
    backups: &BackupSource,
) -> io::Result<Option<(UnixStream, Backup)>> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    (&mut stream).take(CONTROL_LINE_MAX).read_line(&mut line).await?;
    let (answered, backup) = match serde_json::from_str(&line) {
        Ok(ControlRequest::Reload) => (reloader.clone().reload_apart().await.map(OperatorReply::from), None),
        Ok(ControlRequest::Backup) => match backups.take().await {
            Ok(backup) => (Ok(OperatorReply::default()), Some(backup)),
            Err(error) => (Err(vec![error.to_string()]), None),
        },
        Ok(ControlRequest::Operator(command)) => {
            (operator.perform(command).await.map_err(|error| vec![error]), None)
        }
        Err(_) => (Err(vec!["this tracker does not know the command".to_owned()]), None),
    };
    let reply = match answered {
        Ok(OperatorReply { lines, next }) => ControlReply::Ok { lines, next },
        Err(lines) => ControlReply::Error { lines },
    };
    let reply = serde_json::to_string(&reply).map_err(io::Error::other)?;
    stream.get_mut().write_all(format!("{reply}\n").as_bytes()).await?;
    Ok(backup.map(|backup| (stream.into_inner(), backup)))
}

/// Sends a backup from a thread of its own, which a stop of the tracker does not wait for.
async fn send_backup(stream: UnixStream, backup: Backup) {
    let (done, sent) = oneshot::channel();
    let send = move || {
        let _ = done.send(write_backup(stream, &backup));
    };
    let started = thread::Builder::new().name("backup".to_owned()).spawn(send);
    match sent.await {
        Ok(Ok(())) => tracing::info!("a backup was sent to the operator"),
        Ok(Err(error)) => tracing::warn!(%error, "a backup was not sent completely"),
        Err(_) => tracing::warn!(failed = started.is_err(), "a backup was not sent"),
    }
}

fn write_backup(stream: UnixStream, backup: &Backup) -> io::Result<()> {
    let stream = stream.into_std()?;
    stream.set_nonblocking(false)?;
    stream.set_write_timeout(Some(BACKUP_PAUSE_MAX))?;
    let mut stream = BufWriter::new(stream);
    backup.write(&mut stream)?;
    stream.flush()
}

/// Makes the running tracker of a data folder read its settings again. Returns the lines for the operator.
pub(crate) async fn reload(data: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    send(data, ControlRequest::Reload).await.map(|(lines, _)| lines)
}

/// Sends a command of the operator to the running tracker of a data folder. Returns the lines for the operator, and the
/// name after which a list continues.
pub(crate) async fn operate(
    data: &Path,
    command: OperatorCommand,
) -> Result<(Vec<String>, Option<String>), Box<dyn Error>> {
    send(data, ControlRequest::Operator(command)).await
}

async fn send(data: &Path, request: ControlRequest) -> Result<(Vec<String>, Option<String>), Box<dyn Error>> {
    let reply = timeout(CONTROL_TIME, connect_and_request(&path(data), &request)).await;
    match reply.map_err(|_| NO_ANSWER)?? {
        ControlReply::Ok { lines, next } => Ok((lines, next)),
        ControlReply::Error { lines } => Err(lines.join("\ntracker: ").into()),
    }
}

/// Writes a backup of the running tracker of a data folder to a file, unchecked.
pub(crate) async fn receive_backup(data: &Path, file: &mut File) -> Result<(), Box<dyn Error>> {
    if !path(data).exists() {
        return Err("the tracker of this data folder takes no commands: stop it for the backup".into());
    }
    let mut stream = connect(&path(data)).await?;
    match timeout(CONTROL_TIME, request(&mut stream, &ControlRequest::Backup))
        .await
        .map_err(|_| NO_ANSWER)??
    {
        ControlReply::Ok { .. } => {}
        ControlReply::Error { lines } => return Err(lines.join("\ntracker: ").into()),
    }
    receive(&mut stream, file, BACKUP_MAX).await
}

/// Writes all that a stream brings, and refuses more than `max` bytes: the other end may pose as the tracker.
async fn receive(
    stream: &mut (impl AsyncRead + Unpin),
    file: &mut impl io::Write,
    max: u64,
) -> Result<(), Box<dyn Error>> {
    let (mut bytes, mut left) = (vec![0; BACKUP_CHUNK], max);
    loop {
        let read = timeout(BACKUP_PAUSE_MAX, stream.read(&mut bytes)).await.map_err(|_| NO_ANSWER)??;
        if read == 0 {
            return Ok(());
        }
        left = left.checked_sub(read as u64).ok_or_else(|| {
            format!("the backup is larger than {max} bytes, and was not kept. Does another program use the socket?")
        })?;
        file.write_all(&bytes[..read])?;
    }
}

async fn connect_and_request(path: &Path, sent: &ControlRequest) -> Result<ControlReply, Box<dyn Error>> {
    request(&mut connect(path).await?, sent).await
}

async fn connect(path: &Path) -> Result<BufReader<UnixStream>, Box<dyn Error>> {
    let connected = UnixStream::connect(path).await;
    let stream = connected.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            format!("no tracker runs on this data folder, which --data names: {}: {error}", path.display())
        }
        _ => format!("{}: {error}", path.display()),
    })?;
    Ok(BufReader::new(stream))
}

/// Sends a request and receives its reply.
async fn request(
    stream: &mut BufReader<UnixStream>,
    request: &ControlRequest,
) -> Result<ControlReply, Box<dyn Error>> {
    stream.get_mut().write_all(format!("{}\n", serde_json::to_string(request)?).as_bytes()).await?;
    let mut line = String::new();
    stream.take(CONTROL_LINE_MAX).read_line(&mut line).await?;
    Ok(serde_json::from_str(&line)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn backup_without_end_is_refused_at_a_bound() {
        let mut kept = Vec::new();
        let error = receive(&mut tokio::io::repeat(1), &mut kept, 200_000).await.unwrap_err();
        assert!(error.to_string().contains("larger than 200000 bytes"), "{error}");
        assert!(kept.len() <= 200_000, "{}", kept.len());
        // Control: as many bytes are accepted.
        let mut kept = Vec::new();
        receive(&mut tokio::io::repeat(1).take(200_000), &mut kept, 200_000).await.unwrap();
        assert_eq!(kept.len(), 200_000);
    }
}
