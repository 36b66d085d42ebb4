//! The tracker server.
//! It binds the address, accepts connections, runs a task per session and one for the liveness sweep, and shuts down in
//! order.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::{io, panic};

use chrono::Utc;
use commons::keys::PublicKey;
use commons::net::socket::{Listener, Socket};
use commons::net::tls::{Identity, Purpose};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinError, JoinSet, spawn_blocking};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::admission::{Admission, Admitted};
use crate::backup::BackupSource;
use crate::config::Config;
use crate::handlers::outcome::RequestError;
use crate::limits::{ACCEPT_PAUSE, REFUSALS_MAX, STOP_TIME};
use crate::liveness::PingSweep;
use crate::log_class::CONNECTION;
use crate::operator::Operator;
use crate::passwords::Passwords;
use crate::policy::{Policy, PolicyError};
use crate::rate_limit::LimitScope;
use crate::repositories::Repositories;
use crate::repositories::data_files::DataFiles;
use crate::repositories::data_folder::OpenError;
use crate::repositories::tracker_key;
use crate::service::TrackerService;
use crate::session::{self, AcceptConfig};
use crate::status::StatusListener;
use crate::status::reading::Source;

/// The reason why a tracker does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The tracker cannot listen on the address.
    #[error("cannot listen on {address}: {source}{}", hint(source, "--listen"))]
    Listen {
        /// The address as the operator gave it.
        address: String,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The tracker cannot serve its status page on the address.
    #[error("cannot serve the status page on {address}: {source}{}", hint(source, "--status"))]
    Status {
        /// The address as the operator gave it.
        address: String,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The data folder cannot be opened.
    #[error(transparent)]
    Data(#[from] OpenError),
    /// The tracker's key cannot be used for TLS.
    #[error("the tracker's key cannot be used: {0}")]
    Key(io::Error),
    /// The settings for registration cannot be used.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// Passwords cannot be hashed at the configured cost.
    #[error("passwords cannot be hashed at this cost")]
    PasswordCost,
}

/// The public key by which peers recognise the tracker of this data folder.
pub fn fingerprint(data: &Path) -> Result<PublicKey, StartError> {
    let found = tracker_key::read(DataFiles::InFolder(data))?;
    Ok(found.ok_or_else(|| OpenError::NoTracker(data.to_owned()))?.seed.public_key())
}

/// Returns what to do if an address cannot be bound that came with this flag.
fn hint(error: &io::Error, flag: &str) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!(": stop the program that uses it, or choose another port with {flag}")
        }
        io::ErrorKind::AddrNotAvailable => format!(": choose an address of this computer with {flag}"),
        io::ErrorKind::PermissionDenied => format!(": choose a port above 1023 with {flag}"),
        _ => String::new(),
    }
}

/// The reason why a running tracker stopped with an error.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A task of the tracker failed because of a defect.
    #[error("an internal error stopped the tracker. Every change that it confirmed is on the disk")]
    Defect,
    /// The last compaction of a journal failed. The journals are complete, and the next start compacts them.
    #[error(
        "the journals could not be compacted, and the disk may be full. Nothing is lost: the next start compacts them"
    )]
    NotFolded,
}

/// A tracker that has opened its data folder and bound its address.
#[derive(Debug)]
pub struct TrackerServer {
    listener: Listener,
    local_addr: SocketAddr,
    repositories: Repositories,
    service: Arc<TrackerService>,
    accept_config: AcceptConfig,
    /// The TLS identity that the tracker proves when it pings a peer.
    link_identity: Identity,
    /// The settings in force. A reload changes some of them while the tracker runs.
    settings: watch::Sender<Config>,
    admission: Admission,
    refusals: Arc<Semaphore>,
    status: Option<StatusListener>,
}

impl TrackerServer {
    /// Opens the data folder and binds the address. Connections wait until [`run`](Self::run).
    pub async fn bind(config: Config) -> Result<Self, StartError> {
        let failed = |source| StartError::Listen { address: config.listen.clone(), source };
        let listener = Listener::bind(&config.listen).await.map_err(failed)?;
        Self::on(listener, config).await
    }

    /// Opens the data folder for a listener that is bound already. The address in the settings has no effect.
    pub async fn on(listener: Listener, config: Config) -> Result<Self, StartError> {
        let failed = |source| StartError::Listen { address: config.listen.clone(), source };
        let local_addr = listener.local_addr().map_err(failed)?;
        let status = match &config.status {
            None => None,
            Some(address) => {
                let failed = |source| StartError::Status { address: address.clone(), source };
                Some(StatusListener::bind(address).await.map_err(failed)?)
            }
        };
        let (data, cost) = (config.data.clone(), config.password_cost);
        let opened = spawn_blocking(move || -> Result<_, StartError> {
            let repositories = Repositories::open(&data)?;
            let passwords = Passwords::new(cost, repositories.key().public_key())
                .map_err(|_| StartError::PasswordCost)?;
            Ok((repositories, passwords))
        });
        let (repositories, passwords) = match opened.await {
            Ok(opened) => opened?,
            Err(error) => panic::resume_unwind(error.into_panic()),
        };
        let watched = LimitScope { loopback: config.limit_loopback };
        let service =
            Arc::new(TrackerService::new(&repositories, passwords, watched, config.entry_behind_max));
        let policy = Policy::read(&config)?;
        let first_user_is_admin = config.first_user_is_admin && local_addr.ip().is_loopback();
        service.users.set_policy(Policy { first_user_is_admin, ..policy });
        let admission = Admission::new(config.connections, watched);
        let identity = |purpose| Identity::new(repositories.key(), purpose).map_err(StartError::Key);
        let accept_config =
            AcceptConfig { plaintext: config.plaintext, identity: identity(Purpose::Session)? };
        let link_identity = identity(Purpose::Link)?;
        Ok(Self {
            listener,
            local_addr,
            repositories,
            service,
            accept_config,
            link_identity,
            settings: watch::Sender::new(config),
            admission,
            refusals: Arc::new(Semaphore::new(REFUSALS_MAX)),
            status,
        })
    }

    /// The address to which the server is bound.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The state that all sessions share.
    #[cfg(test)]
    pub(crate) fn service(&self) -> Arc<TrackerService> {
        self.service.clone()
    }

    /// The address of the status page, if there is one.
    #[must_use]
    pub fn status_addr(&self) -> Option<SocketAddr> {
        self.status.as_ref().map(StatusListener::address)
    }

    /// The public key by which peers recognise this tracker.
    #[must_use]
    pub fn fingerprint(&self) -> PublicKey {
        self.accept_config.identity.key()
    }

    /// The commands of the operator.
    #[must_use]
    pub fn operator(&self) -> Operator {
        Operator::new(self.service.clone())
    }

    /// The settings of this tracker. A running tracker takes over changes of those in [`RELOADABLE`], but those of the
    /// policy by [`Operator::set_policy`]: their file may hang.
    ///
    /// [`RELOADABLE`]: crate::config::RELOADABLE
    #[must_use]
    pub fn settings(&self) -> watch::Sender<Config> {
        self.settings.clone()
    }

    /// The source of the figures of this tracker.
    pub(crate) fn source(&self) -> Source {
        Source::new(self.service.clone(), self.admission.clone())
    }

    /// The source of backups of this tracker.
    #[must_use]
    pub fn backups(&self) -> BackupSource {
        BackupSource::new(self.repositories.snapshots())
    }

    /// Serves until `stop` is cancelled. Then closes the sessions and compacts the journals.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), RunError> {
        let mut tasks = JoinSet::new();
        let mut own = JoinSet::new();
        own.spawn(self.service.clone().push_changes());
        let mut changed = self.settings.subscribe();
        own.spawn(PingSweep::new(self.service.clone(), self.link_identity.clone(), changed.clone()).run());
        if let Some(status) = self.status.take() {
            own.spawn(status.run(self.source()));
        }
        let served = loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break Ok(()),
                () = self.repositories.failed() => break Err(RunError::Defect),
                // Before the next connection, so that a reload holds for it.
                Ok(()) = changed.changed() => self.take_over(&changed.borrow_and_update()),
                Some(ended) = own.join_next() => check(&ended)?,
                Some(ended) = tasks.join_next() => check(&ended)?,
                accepted = self.listener.accept() => match accepted {
                    Ok((socket, from)) => self.receive(socket, from, &stop, &mut tasks),
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        };
        served?;
        drop((self.listener, own));
        tracing::info!(sessions = tasks.len(), "stopping");
        let all_ended = async { while tasks.join_next().await.is_some() {} };
        let _ = timeout(STOP_TIME, all_ended).await;
        drop(tasks);
        self.repositories.close().await.map_err(|_| RunError::NotFolded)
    }

    fn take_over(&mut self, config: &Config) {
        self.admission.set_limits(config.connections);
        self.accept_config.plaintext = config.plaintext;
    }

    /// Starts a session task for a connection, or reports to the client that there is no room.
    fn receive(&self, socket: Socket, from: SocketAddr, stop: &CancellationToken, tasks: &mut JoinSet<()>) {
        if let Err(banned) = self.service.admin.check_address(from.ip(), Utc::now()) {
            return self.refuse(socket, banned, tasks);
        }
        match self.admission.admit(from) {
            Ok(Admitted { session: slot, preauth }) => {
                tracing::info!(class = CONNECTION, %from, "new connection");
                let (accept_config, service, stop) =
                    (self.accept_config.clone(), self.service.clone(), stop.clone());
                tasks.spawn(async move {
                    session::serve(socket, from, accept_config, service, stop, preauth).await;
                    drop(slot);
                });
            }
            Err(full) => self.refuse(socket, session::no_room(full), tasks),
        }
    }

    /// Sends a client the reason why its connection is refused, unless too many clients get one at this moment.
    fn refuse(&self, socket: Socket, refused: RequestError, tasks: &mut JoinSet<()>) {
        self.service.metrics.refused();
        if let Ok(refusal) = self.refusals.clone().try_acquire_owned() {
            tasks.spawn(async move {
                session::turn_away(socket, refused).await;
                drop(refusal);
            });
        }
    }
}

/// Reports a task that panicked as a defect. Its state is unknown, so the tracker stops instead of running with a
/// broken part.
fn check(ended: &Result<(), JoinError>) -> Result<(), RunError> {
    match ended {
        Ok(()) => Ok(()),
        Err(_) => Err(RunError::Defect),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
    use tokio::net::TcpStream;

    use super::*;
    use crate::config::PasswordCost;

    /// A connection that answers PING and drops pushes.
    struct Client(BufReader<TcpStream>);

    impl Client {
        async fn connect(address: SocketAddr) -> Self {
            Self(BufReader::new(TcpStream::connect(address).await.unwrap()))
        }

        /// Sends a request, which must succeed.
        async fn ok(&mut self, mut request: Value) {
            request["id"] = json!(1);
            self.0.get_mut().write_all(format!("{request}\n").as_bytes()).await.unwrap();
            loop {
                let mut line = String::new();
                assert!(self.0.read_line(&mut line).await.unwrap() > 0, "closed at {request}");
                let reply: Value = serde_json::from_str(&line).unwrap();
                if reply["id"] == 1 {
                    return assert_eq!(reply["status"], "OK", "{request}: {reply}");
                }
            }
        }
    }

    fn sign_in(cmd: &str, name: &str) -> Value {
        json!({"cmd": cmd, "username": name, "password": "a".repeat(64), "address": "localhost", "port": 5000})
    }

    /// The names of the records that are not empty.
    fn not_empty(service: &TrackerService) -> Vec<&'static str> {
        service.remembered().into_iter().filter(|(_, size)| *size > 0).map(|(name, _)| name).collect()
    }

    #[tokio::test]
    async fn deleted_users_leave_nothing_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config {
            listen: "127.0.0.1:0".to_owned(),
            data: folder.path().to_owned(),
            password_cost: PasswordCost { memory: 8, passes: 1 },
            ..Config::default()
        };
        let server = TrackerServer::bind(config).await.unwrap();
        let (address, service, stop) = (server.local_addr(), server.service(), CancellationToken::new());
        let running = tokio::spawn(server.run(stop.clone()));
        let room = |cmd: &str| json!({"cmd": cmd, "room": "sala"});
        for round in 0..20 {
            let names = [format!("ana{round}"), format!("bob{round}")];
            let [mut ana, mut bob] = [Client::connect(address).await, Client::connect(address).await];
            ana.ok(sign_in("REGISTER", &names[0])).await;
            bob.ok(sign_in("REGISTER", &names[1])).await;
            ana.ok(room("CREATE_ROOM")).await;
            bob.ok(room("JOIN_ROOM")).await;
            drop(bob);
            let mut bob = Client::connect(address).await;
            bob.ok(sign_in("LOGIN", &names[1])).await;
            // Control: while the users are there, the records hold them.
            let there = ["accounts", "rooms", "peers", "presence", "sessions", "known networks"];
            assert!(
                there.iter().all(|name| not_empty(&service).contains(name)),
                "{:?}",
                service.remembered()
            );
            bob.ok(room("LEAVE_ROOM")).await;
            ana.ok(room("DELETE_ROOM")).await;
            for user in [&mut ana, &mut bob] {
                user.ok(json!({"cmd": "DELETE_ACCOUNT", "password": "a".repeat(64)})).await;
            }
        }
        // A session ends a moment after its last reply.
        while service.remembered().iter().any(|(name, size)| *name == "sessions" && *size > 0) {
            tokio::task::yield_now().await;
        }
        assert_eq!(not_empty(&service), Vec::<&str>::new(), "{:?}", service.remembered());
        stop.cancel();
        running.await.unwrap().unwrap();
    }
}
