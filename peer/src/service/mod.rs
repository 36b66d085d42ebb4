//! The peer: carries out what a face asks, and tells the faces what happens.

mod account;
mod commands;
mod history_commands;
mod listen_address;
mod loss;
mod moved_tracker;
mod offline;
mod trust;
mod typed_password;
mod writing_pace;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::{io, path::PathBuf};

use chrono::Utc;
use commons::keys::{NotAKey, Seed};
use commons::names::Username;
use commons::net::plaintext::Plaintext;
use commons::net::socket::Listener;
use commons::net::tls::Purpose;
use commons::protocol::with_tracker::ErrorCode;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::api::error::CommandError;
use crate::api::status::Status;
use crate::api::tracker_loss::TrackerLoss;
use crate::delivery::sync_task;
use crate::event_bus::Events;
use crate::history::History;
use crate::history::history_db::{Author, Opened, Place};
use crate::history::report::Report;
use crate::hub::Hub;
use crate::identity::contacts::Contacts;
use crate::identity::device_key::{DeviceKey, SignIn, identity};
use crate::identity::known_keys::KnownKeys;
use crate::identity::known_trackers::KnownTrackers;
use crate::identity::seal::SealCost;
use crate::limits::CATCH_UP_NEWS;
use crate::peer_communication::PeerPeerCommunication;
use crate::peer_communication::link_registry::{LinkConfig, LinkReport};
use crate::profile::{self, Profile};
use crate::service::listen_address::listen_address;
use crate::tracker_communication::PeerTrackerCommunication;
use crate::tracker_communication::tracker_endpoint::TrackerEndpoint;
use crate::tracker_communication::tracker_report::TrackerReport;

/// What a peer needs to know to start.
#[derive(Debug, Clone)]
pub struct PeerConfig {
    /// The tracker's address, `host:port`, or `host:port#key` where its key is known.
    pub tracker: String,
    /// Where to take links; where absent, on loopback if the tracker is there, else on all addresses, at a free port.
    pub listen: Option<SocketAddr>,
    /// The folder in which each user has one.
    pub data: PathBuf,
    /// With whom to speak in the clear, of those who have no key.
    pub plaintext: Plaintext,
    /// What sealing the user's key is to cost.
    pub seal_cost: SealCost,
    /// Where conversations are kept.
    pub keep: Keep,
}

/// Where conversations are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Keep {
    /// In the user's folder, under the user's key.
    #[default]
    OnDisk,
    /// Nowhere that outlives the program: for measuring.
    InMemory,
}

/// The history with what it reports, and what it held when it was opened.
type Kept = (History, mpsc::Receiver<Report>, Opened);

/// What this computer keeps under the user's key.
struct Local {
    people: Contacts,
    blocked: BTreeSet<Username>,
    book: KnownKeys,
    history: Kept,
}

/// Somebody who may use this peer.
struct Admitted {
    seed: Seed,
    /// Whether the key was bound just now to an account that was there before.
    fresh: bool,
    local: Local,
    /// The key by which to sign in later, where the tracker could not be reached.
    unreached: Option<DeviceKey>,
}

/// Why a peer cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The tracker's address leads nowhere.
    #[error("{0} is no address of a tracker: {1}")]
    Tracker(String, io::Error),
    /// What follows the tracker's address is no key.
    #[error("after # the tracker's address has its key, as `tracker fingerprint` prints it: {0}")]
    TrackerKey(NotAKey),
    /// Which trackers were met cannot be read.
    #[error("{0}")]
    KnownTrackers(io::Error),
    /// The port for links cannot be had.
    #[error("cannot listen on {0}: {1}; choose another address with --listen")]
    Listen(SocketAddr, io::Error),
}

/// A running peer. Dropping it ends its tasks.
#[derive(Debug)]
pub struct PeerService {
    config: PeerConfig,
    listening: SocketAddr,
    listener: Mutex<Option<Listener>>,
    tracker: PeerTrackerCommunication,
    tracker_reports: Mutex<Option<mpsc::Receiver<TrackerReport>>>,
    known_trackers: KnownTrackers,
    /// The private key of this computer, once somebody has signed in.
    seed: OnceLock<Seed>,
    /// Whether the tracker's key stands behind its address, and so counts more than what was known.
    key_given: bool,
    hub: Arc<Hub>,
    stop: CancellationToken,
    tasks: tokio::sync::Mutex<JoinSet<()>>,
}

impl PeerService {
    /// Binds the port for links; the tracker is first asked at [`Self::sign_in`].
    pub async fn start(mut config: PeerConfig) -> Result<Arc<Self>, StartError> {
        let known_trackers = KnownTrackers::of(&config.data);
        let known = |address: &str| known_trackers.key(address).map_err(StartError::KnownTrackers);
        let (address, key, given) = match config.tracker.split_once('#') {
            None => (config.tracker.clone(), known(&config.tracker)?, false),
            Some((address, key)) => {
                (address.to_owned(), Some(key.parse().map_err(StartError::TrackerKey)?), true)
            }
        };
        config.tracker = address;
        let address = match config.listen {
            Some(address) => address,
            None => listen_address(&config.tracker, &config.data)
                .await
                .map_err(|error| StartError::Tracker(config.tracker.clone(), error))?,
        };
        let listen_error = |error| StartError::Listen(address, error);
        let listener = Listener::bind(address).await.map_err(listen_error)?;
        let listening = listener.local_addr().map_err(listen_error)?;
        let (tracker, reports) =
            PeerTrackerCommunication::start(TrackerEndpoint::new(config.tracker.clone(), key, given));
        Ok(Arc::new(Self {
            config,
            listening,
            listener: Mutex::new(Some(listener)),
            tracker,
            tracker_reports: Mutex::new(Some(reports)),
            known_trackers,
            seed: OnceLock::new(),
            key_given: given,
            hub: Arc::default(),
            stop: CancellationToken::new(),
            tasks: tokio::sync::Mutex::default(),
        }))
    }

    /// Where this peer takes links.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.listening
    }

    /// Everything that happens from now on.
    pub fn subscribe(&self) -> Events {
        self.hub.lock().event_bus.add()
    }

    /// Who has an account on this computer at this tracker, as far as its key is known also where it was before.
    #[must_use]
    pub fn accounts(&self) -> BTreeSet<Username> {
        let PeerConfig { data, tracker: here, .. } = &self.config;
        // A file that cannot be read is told at the start.
        let elsewhere = self.known_trackers.elsewhere(here).unwrap_or_default();
        let same = elsewhere.iter().filter(|(_, key)| Some(**key) == self.tracker.tracker_key());
        let addresses = std::iter::once(here).chain(same.map(|(address, _)| address));
        addresses.flat_map(|address| profile::users(data, address)).collect()
    }

    /// Whether this computer has been this user at this tracker.
    #[must_use]
    pub fn knows(&self, user: &Username) -> bool {
        profile::exists(&self.config.data, &self.config.tracker, user) || self.accounts().contains(user)
    }

    /// Why the service ended by itself, if it did.
    #[must_use]
    pub fn failure(&self) -> Option<CommandError> {
        self.hub.lock().failure.clone()
    }

    /// Why the tracker could not be reached at the last try that failed.
    #[must_use]
    pub fn tracker_failed(&self) -> Option<TrackerLoss> {
        self.tracker.failed()
    }

    /// How often the history has waited for the disk.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.hub.history.get().map_or(0, History::commits)
    }

    /// How things stand.
    #[must_use]
    pub fn status(&self) -> Status {
        self.hub.status(&self.config.tracker, self.tracker.tracker_key(), self.listening)
    }

    /// Whether the tracker answers, and is the one that was met before: nobody should type a password to another.
    pub async fn probe(&self) -> Result<(), CommandError> {
        let knocked = self.tracker.probe().await;
        knocked.map_err(|error| CommandError::from_tracker(error, &self.config.tracker))?;
        if self.key_given { self.remember_tracker() } else { Ok(()) }
    }

    /// Signs in; rooms in which a seat is held are entered again. May be tried again after a refusal.
    pub async fn sign_in(&self, who: SignIn) -> Result<(), CommandError> {
        if self.hub.profile.get().is_some() {
            let msg = "you are signed in already".into();
            return Err(CommandError::Refused { code: ErrorCode::AlreadyLoggedIn, msg });
        }
        if !who.register {
            self.migrate_from(&who.username).await?;
        }
        let profile = Profile::open(&self.config.data, &self.config.tracker, &who.username)?;
        let reports = self.tracker_reports.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(reports) = reports {
            self.spawn(Arc::clone(&self.hub).on_tracker_reports(self.config.tracker.clone(), reports)).await;
        }
        let Admitted { seed, fresh, local, unreached } = match self.admitted(&profile, &who).await {
            Ok(admitted) => admitted,
            Err(error) => {
                profile.remove_if_new();
                self.sign_out_again().await;
                return Err(error);
            }
        };
        let Local { people, blocked, mut book, history } = local;
        let learned = self.learn_own_keys(unreached.is_none(), (&who.username, &seed), &people, &mut book);
        let proof = learned.await.and_then(|()| identity(&seed, Purpose::Link));
        let proof = match proof {
            Ok(proof) => proof,
            Err(error) => {
                history.0.close().await;
                self.sign_out_again().await;
                return Err(error);
            }
        };
        self.hub.lock().chat.set_blocked(blocked);
        self.recognise(who.changed_to.as_ref().unwrap_or(&who.password));
        let listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(listener) = listener else { return Err(CommandError::TrackerLost) };
        let terms = LinkConfig { identity: proof, plaintext: self.config.plaintext };
        let now = u64::try_from(Utc::now().timestamp_millis()).unwrap_or_default();
        let instance = profile.next_instance(now);
        let (links, reports) = PeerPeerCommunication::start(
            who.username.clone(),
            instance,
            terms,
            book,
            self.who_is(),
            listener,
        );
        // Only one sign-in got the listener, so all are empty.
        let _ = self.hub.links.set(links);
        let _ = self.hub.people.set(people);
        let _ = self.hub.profile.set(profile);
        let _ = self.seed.set(seed);
        if unreached.is_some() {
            self.show_offline(&who);
        }
        self.begin(history, reports).await;
        if let Some(key) = unreached {
            self.sign_in_later(who, key).await?;
        }
        if fresh {
            self.publish_new_key().await;
        }
        Ok(())
    }

    /// Opens what this computer keeps under the user's key.
    async fn open_local(
        &self,
        profile: &Profile,
        user: &Username,
        seed: &Seed,
    ) -> Result<Local, CommandError> {
        let people = Contacts::of(profile.folder(), seed);
        let (blocked, book) = (people.blocked()?, KnownKeys::new(people.pins()?));
        let history = self.history(profile, user, seed).await?;
        Ok(Local { people, blocked, book, history })
    }

    /// Opens what this computer keeps of the user's conversations.
    async fn history(&self, profile: &Profile, user: &Username, seed: &Seed) -> Result<Kept, CommandError> {
        let place = match self.config.keep {
            Keep::OnDisk => Place::File(profile.folder().to_owned()),
            Keep::InMemory => Place::Memory,
        };
        let author = Author { username: user.clone(), seed: seed.clone() };
        let opened = tokio::task::spawn_blocking(move || History::open(&place, &author)).await;
        let opened = opened.map_err(|error| CommandError::Local(error.to_string()))?;
        opened.map_err(|error| CommandError::Local(error.to_string()))
    }

    /// Begins to hear, to tell and to catch up.
    async fn begin(&self, (history, kept, opened): Kept, reports: mpsc::Receiver<LinkReport>) {
        let hub = &self.hub;
        let (news, told) = mpsc::channel(CATCH_UP_NEWS);
        let _ = hub.history.set(history);
        let _ = hub.news.set(news);
        hub.resume(opened);
        self.spawn(Arc::clone(hub).note_what_is_shown()).await;
        self.spawn(Arc::clone(hub).on_history_reports(kept)).await;
        self.spawn(sync_task::run(Arc::clone(hub), self.tracker.clone(), told)).await;
        hub.update_membership().await;
        self.spawn(Arc::clone(hub).on_link_reports(reports)).await;
    }

    /// Signs in. Where the tracker cannot be reached, what is here is opened all the same.
    async fn admitted(&self, profile: &Profile, who: &SignIn) -> Result<Admitted, CommandError> {
        let (tracker, cost) = (&self.tracker, self.config.seal_cost);
        let key = DeviceKey::of(profile, who, tracker, cost).await?;
        // Before the tracker is asked: its reply is held against what is known here. Under a new key nothing is.
        let known = if key.is_new() {
            None
        } else {
            Some(self.open_local(profile, &who.username, key.seed()).await?)
        };
        let rooms = known.as_ref().map(|local| local.history.2.rooms.clone());
        self.hub.lock().chat.remember(rooms.unwrap_or_default());
        match (self.judged(profile, who, key.clone()).await, known) {
            (Ok((seed, fresh)), Some(local)) => Ok(Admitted { seed, fresh, local, unreached: None }),
            (Ok((seed, fresh)), None) => {
                let local = self.open_local(profile, &who.username, &seed).await?;
                Ok(Admitted { seed, fresh, local, unreached: None })
            }
            (Err(CommandError::TrackerLost), Some(local)) if who.changed_to.is_none() => {
                let seed = key.seed().clone();
                Ok(Admitted { seed, fresh: false, local, unreached: Some(key) })
            }
            (Err(error), known) => {
                if let Some(Local { history: (history, ..), .. }) = known {
                    history.close().await;
                }
                Err(error)
            }
        }
    }

    /// Asks the tracker in.
    async fn judged(
        &self,
        profile: &Profile,
        who: &SignIn,
        key: DeviceKey,
    ) -> Result<(Seed, bool), CommandError> {
        let (tracker, cost) = (&self.tracker, self.config.seal_cost);
        let judged = key.sign_in(profile, tracker, who, self.listening).await;
        let proven = match &judged {
            Ok(()) => true,
            Err(error) => self.key_given && error.is_of_a_tracker(),
        };
        if proven {
            self.remember_tracker()?;
        }
        judged?;
        let fresh = key.is_new() && !who.register;
        Ok((key.finish_sign_in(profile, tracker, who, cost).await?, fresh))
    }

    /// Remembers the tracker's key: once somebody is signed in, or as soon as the tracker has proven one that was given.
    fn remember_tracker(&self) -> Result<(), CommandError> {
        let Some(key) = self.tracker.tracker_key() else { return Ok(()) };
        let pinned = self.known_trackers.pin(&self.config.tracker, key);
        pinned.map_err(|error| CommandError::Local(error.to_string()))
    }

    /// Runs a task until the service stops.
    async fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks
            .lock()
            .await
            .spawn(async move { stop.run_until_cancelled(task).await.unwrap_or_default() });
    }

    /// Ends everything. The faces read what is left to read and are done.
    pub async fn stop(&self) {
        self.stop.cancel();
        if let Some(links) = self.hub.links.get() {
            links.stop().await;
        }
        self.tracker.abort();
        self.hub.note_shown();
        self.hub.lock().event_bus.end();
        let mut tasks = self.tasks.lock().await;
        while tasks.join_next().await.is_some() {}
        if let Some(history) = self.hub.history.get() {
            history.close().await;
        }
        if let Some(profile) = self.hub.profile.get() {
            profile.release();
        }
    }
}
