//! TrackerServer: binds, accepts, starts a task for each session and one for the sweep, stops in good order.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::{io, panic};

use commons::keys::PublicKey;
use commons::net::socket::{Listener, Socket};
use commons::net::tls::{Identity, Purpose};
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet, spawn_blocking};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::admission::{Admission, Admitted};
use crate::config::Config;
use crate::limits::{ACCEPT_PAUSE, REFUSALS_MAX, STOP_TIME};
use crate::liveness::PingSweep;
use crate::passwords::Passwords;
use crate::repositories::Repositories;
use crate::repositories::data_folder::OpenError;
use crate::repositories::tracker_key;
use crate::service::TrackerService;
use crate::session::{self, AcceptConfig};
use crate::subnet::LimitScope;

/// Why a tracker does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}{}", hint(source))]
    Listen {
        /// The address as it was given.
        address: String,
        /// Why not.
        source: io::Error,
    },
    /// The state cannot be read.
    #[error(transparent)]
    Data(#[from] OpenError),
    /// The tracker's key cannot be used.
    #[error("the tracker's key cannot be used: {0}")]
    Key(io::Error),
    /// Passwords cannot be hashed at the cost that is asked for.
    #[error("passwords cannot be hashed at this cost")]
    PasswordCost,
}

/// The key by which peers know the tracker of this folder.
pub fn fingerprint(data: &Path) -> Result<PublicKey, StartError> {
    let path = tracker_key::path(data);
    let found = tracker_key::read(data)?;
    let missing = || OpenError::at(&path)(io::ErrorKind::NotFound.into());
    Ok(found.ok_or_else(missing)?.seed.public_key())
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => ": stop the program that does, or choose another port with --listen",
        io::ErrorKind::PermissionDenied => ": choose a port above 1023 with --listen",
        _ => "",
    }
}

/// Why a tracker stopped that was not asked to, or not in good order.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A part of the program failed by a defect of it.
    #[error("an internal error ended the tracker; what it answered with OK is on the disk")]
    Defect,
    /// The last folding of the journals failed. They are complete, and are folded at the next start.
    #[error("the journals could not be folded: is the disk full? Nothing is lost, the next start folds them")]
    NotFolded,
}

/// A tracker that is bound and has read its state.
#[derive(Debug)]
pub struct TrackerServer {
    listener: Listener,
    local_addr: SocketAddr,
    repositories: Repositories,
    service: Arc<TrackerService>,
    door: AcceptConfig,
    /// What the tracker proves itself by where it asks a peer for a sign of life.
    asking: Identity,
    config: Config,
    admission: Admission,
    refusals: Arc<Semaphore>,
}

impl TrackerServer {
    /// Reads the state and binds the address. Connections wait until [`run`](Self::run).
    pub async fn bind(config: Config) -> Result<Self, StartError> {
        let failed = |source| StartError::Listen { address: config.listen.clone(), source };
        let listener = Listener::bind(&config.listen).await.map_err(failed)?;
        let local_addr = listener.local_addr().map_err(failed)?;
        let (data, cost) = (config.data.clone(), config.password_cost);
        let opened = spawn_blocking(move || -> Result<_, StartError> {
            let repositories = Repositories::open(&data)?;
            let passwords = Passwords::new(cost).map_err(|_| StartError::PasswordCost)?;
            Ok((repositories, passwords))
        });
        let (repositories, passwords) = match opened.await {
            Ok(opened) => opened?,
            Err(error) => panic::resume_unwind(error.into_panic()),
        };
        let watched = LimitScope { loopback: config.limit_loopback };
        let service = Arc::new(TrackerService::new(&repositories, passwords, watched));
        let admission = Admission::new(config.connections, watched);
        let identity = |purpose| Identity::new(repositories.key(), purpose).map_err(StartError::Key);
        let door = AcceptConfig { plaintext: config.plaintext, identity: identity(Purpose::Session)? };
        let asking = identity(Purpose::Link)?;
        Ok(Self {
            listener,
            local_addr,
            repositories,
            service,
            door,
            asking,
            config,
            admission,
            refusals: Arc::new(Semaphore::new(REFUSALS_MAX)),
        })
    }

    /// The address that was bound.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The key by which peers know this tracker.
    #[must_use]
    pub fn fingerprint(&self) -> PublicKey {
        self.door.identity.key()
    }

    /// Serves until `stop`, then says goodbye to the sessions and folds the journals.
    pub async fn run(self, stop: CancellationToken) -> Result<(), RunError> {
        let mut tasks = JoinSet::new();
        let mut sweep = JoinSet::new();
        sweep.spawn(PingSweep::new(self.service.clone(), self.asking.clone(), &self.config).run());
        let served = loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break Ok(()),
                () = self.repositories.failed() => break Err(RunError::Defect),
                Some(ended) = sweep.join_next() => check(&ended)?,
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
        drop((self.listener, sweep));
        tracing::info!(sessions = tasks.len(), "stopping");
        let all_ended = async { while tasks.join_next().await.is_some() {} };
        let _ = timeout(STOP_TIME, all_ended).await;
        drop(tasks);
        self.repositories.close().await.map_err(|_| RunError::NotFolded)
    }

    /// Starts a session for a connection, or tells it that there is no room.
    fn receive(&self, socket: Socket, from: SocketAddr, stop: &CancellationToken, tasks: &mut JoinSet<()>) {
        match self.admission.admit(from) {
            Ok(Admitted { session: place, stranger }) => {
                tracing::info!(%from, "new connection");
                let (door, service, stop) = (self.door.clone(), self.service.clone(), stop.clone());
                tasks.spawn(async move {
                    session::serve(socket, from, door, service, stop, stranger).await;
                    drop(place);
                });
            }
            Err(full) => {
                if let Ok(refusal) = self.refusals.clone().try_acquire_owned() {
                    tasks.spawn(async move {
                        session::turn_away_busy(socket, full).await;
                        drop(refusal);
                    });
                }
            }
        }
    }
}

/// A task that panicked has left nobody knows what: better a loud end than a tracker that half works.
fn check(ended: &Result<(), JoinError>) -> Result<(), RunError> {
    match ended {
        Ok(()) => Ok(()),
        Err(_) => Err(RunError::Defect),
    }
}
