//! The peer service: it executes the commands of a frontend, and publishes events to all frontends.
//!
//! It starts and stops the session with the tracker, the links and the history, and the task that drives the engine.

mod account_commands;
mod chosen_key;
pub(crate) mod current_user;
mod dispatch;
pub(crate) mod driver;
pub(crate) mod driver_request;
pub(crate) mod engine_handle;
mod filter_file;
mod history_commands;
mod listen_address;
mod local_data;
mod loss;
mod moved_tracker;
mod muted;
mod offline;
mod own_keys;
mod reread;
mod room_log;
pub mod service_slot;
mod sign_in;
mod sign_in_requests;
mod signed_in;
pub mod start_error;
mod status;
mod stopping;
mod subscribing;
#[cfg(test)]
mod testing;
mod tracker_error;
mod tracker_reads;
mod typed_password;
mod unread_messages;
mod word_filter;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use chrono::Utc;
use commons::keys::{PublicKey, Seed};
use commons::names::Username;
use commons::net::plaintext::Plaintext;
use commons::net::socket::Listener;
use commons::net::tls::Purpose;
use commons::tracker_address::TrackerAddress;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::api::Event;
use crate::api::error::CommandError;
use crate::api::sign_in::SignIn;
use crate::api::tracker_loss::TrackerLoss;
use crate::engine::engine_start::EngineStart;
use crate::history::history_db::{Author, Place};
use crate::identity::device_key::identity;
use crate::identity::known_trackers::KnownTrackers;
use crate::identity::profile::{self, Profile};
use crate::identity::recognised_password::RecognisedPassword;
use crate::identity::seal::SealCost;
use crate::peer_communication;
use crate::peer_communication::known_keys_handle::KnownKeysHandle;
use crate::peer_communication::links::LinkConfig;
use crate::peer_communication::links::PeerPeerCommunication;
use crate::service::current_user::CurrentUser;
use crate::service::driver_request::Resources;
use crate::service::engine_handle::EngineHandle;
use crate::service::filter_file::FilterFile;
use crate::service::listen_address::listen_address;
use crate::service::local_data::LocalData;
use crate::service::sign_in::DeviceKey;
use crate::service::start_error::StartError;
use crate::service::tracker_error::from_tracker;
use crate::tracker_communication::PeerTrackerCommunication;
use crate::tracker_communication::tracker_endpoint::TrackerEndpoint;

/// The settings with which a peer starts.
#[derive(Debug, Clone)]
pub struct PeerConfig {
    /// The tracker's address.
    pub tracker: TrackerAddress,
    /// The address on which to accept links. If absent, the peer takes a free port: on loopback if the tracker is
    /// there, else on all interfaces.
    pub listen: Option<SocketAddr>,
    /// The folder that holds one folder per user.
    pub data: PathBuf,
    /// The legacy clients with which plaintext is allowed.
    pub plaintext: Plaintext,
    /// The live messages of one member that are read in a second; `None` is no limit.
    pub member_rate: Option<NonZeroU32>,
    /// Whether the rate holds for links over loopback too.
    pub limit_loopback: bool,
    /// The cost of sealing the user's key.
    pub seal_cost: SealCost,
    /// The place where conversations are stored.
    pub keep: Keep,
}

/// The place where conversations are stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Keep {
    /// In the user's folder, encrypted with the user's key.
    #[default]
    OnDisk,
    /// In memory only, for benchmarks.
    InMemory,
}

/// A user who may use this peer.
struct Admitted {
    seed: Seed,
    /// True if the key was bound just now to an existing account.
    fresh: bool,
    local: LocalData,
    /// The key for a later sign-in, if the tracker could not be reached.
    unreached: Option<DeviceKey>,
}

/// A running peer. Dropping it ends its tasks.
#[derive(Debug)]
pub struct PeerService {
    config: PeerConfig,
    listening: SocketAddr,
    listener: Mutex<Option<Listener>>,
    tracker: PeerTrackerCommunication,
    known_trackers: KnownTrackers,
    /// The data of the user who has signed in.
    session: Arc<OnceLock<CurrentUser>>,
    engine: EngineHandle,
    /// The key of this device, if it is new beside others of the account.
    new_key: OnceLock<PublicKey>,
    /// The event of a tracker that has moved, until a frontend that began after the sign-in takes it.
    moved: Mutex<Option<Event>>,
    filter: FilterFile,
    /// Recognises a line of input that is the user's password.
    password: Mutex<Option<RecognisedPassword>>,
    stop: CancellationToken,
    tasks: tokio::sync::Mutex<JoinSet<()>>,
}

impl PeerService {
    /// Binds the port for links; the tracker is first contacted at [`Self::sign_in`] or [`Self::probe`].
    pub async fn start(config: PeerConfig) -> Result<Arc<Self>, StartError> {
        let known_trackers = KnownTrackers::of(&config.data);
        let TrackerAddress { address: tracker, key: given } = config.tracker.clone();
        let key = match given {
            Some(key) => Some(key),
            None => known_trackers.key(&tracker).map_err(StartError::KnownTrackers)?,
        };
        let address = match config.listen {
            Some(address) => address,
            None => listen_address(&tracker, &config.data)
                .await
                .map_err(|error| StartError::Tracker(tracker.clone(), error))?,
        };
        let listen_error = |error| StartError::Listen(address, error);
        let listener = Listener::bind(address).await.map_err(listen_error)?;
        let listening = listener.local_addr().map_err(listen_error)?;
        let (tracker, reports) =
            PeerTrackerCommunication::start(TrackerEndpoint::new(tracker, key, given.is_some()));
        let (engine, driver) = EngineHandle::new(tracker.clone(), reports);
        let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
        tasks.spawn(driver.run(stop.clone()));
        Ok(Arc::new(Self {
            filter: FilterFile::of(&config.data),
            config,
            listening,
            listener: Mutex::new(Some(listener)),
            tracker,
            known_trackers,
            session: Arc::default(),
            engine,
            new_key: OnceLock::new(),
            moved: Mutex::default(),
            password: Mutex::default(),
            stop,
            tasks: tasks.into(),
        }))
    }

    /// Returns true if the user gave the tracker's key. It takes precedence over a pinned one.
    fn is_key_given(&self) -> bool {
        self.config.tracker.key.is_some()
    }

    /// Returns the address on which this peer accepts links.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.listening
    }

    /// Returns the users that have an account on this device at this tracker. If the tracker's key is known, accounts
    /// at its earlier addresses count too.
    #[must_use]
    pub fn accounts(&self) -> BTreeSet<Username> {
        let (data, here) = (&self.config.data, self.tracker_address());
        // A file that cannot be read was reported at the start.
        let elsewhere = self.known_trackers.elsewhere(here).unwrap_or_default();
        let same = elsewhere.iter().filter(|(_, key)| Some(**key) == self.tracker.tracker_key());
        let addresses = std::iter::once(here).chain(same.map(|(address, _)| address.as_str()));
        addresses.flat_map(|address| profile::users(data, address)).collect()
    }

    /// Returns true if this device has a key of this user at this tracker.
    #[must_use]
    pub fn knows(&self, user: &Username) -> bool {
        profile::exists(&self.config.data, self.tracker_address(), user) || self.accounts().contains(user)
    }

    /// Returns the reason why the service ended by itself, if it did.
    #[must_use]
    pub fn failure(&self) -> Option<CommandError> {
        self.engine.failure()
    }

    /// Returns the reason of the last failed attempt to reach the tracker.
    #[must_use]
    pub fn tracker_failed(&self) -> Option<TrackerLoss> {
        self.tracker.failed()
    }

    /// Returns the number of commits for which the history waited on the disk.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.session.get().map_or(0, |session| session.history.commits())
    }

    /// Checks that the tracker answers with the key that was pinned: a user must not type a password for another one.
    pub async fn probe(&self) -> Result<(), CommandError> {
        let probed = self.tracker.probe().await;
        probed.map_err(|error| from_tracker(error, self.tracker_address()))?;
        if self.is_key_given() { self.remember_tracker() } else { Ok(()) }
    }

    /// Signs in, and enters the user's rooms again. May be called again after a refusal.
    pub async fn sign_in(&self, sign_in: SignIn) -> Result<(), CommandError> {
        if self.session.get().is_some() {
            return Err(CommandError::already_signed_in());
        }
        if !sign_in.register {
            self.migrate_from(&sign_in.username).await?;
        }
        let profile = Profile::open(&self.config.data, self.tracker_address(), &sign_in.username)?;
        let Admitted { seed, fresh, local, unreached } = match self.admitted(&profile, &sign_in).await {
            Ok(admitted) => admitted,
            Err(error) => {
                profile.remove_if_new();
                self.sign_out_again().await;
                return Err(error);
            }
        };
        let LocalData { contacts, blocked, muted, accepted, mut known_keys, history } = local;
        let learned =
            self.learn_own_keys(unreached.is_none(), (&sign_in.username, &seed), &contacts, &mut known_keys);
        let proof = learned.await.and_then(|()| Ok(identity(&seed, Purpose::Link)?));
        let proof = match proof {
            Ok(proof) => proof,
            Err(error) => {
                history.0.close().await;
                self.sign_out_again().await;
                return Err(error);
            }
        };
        let listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(listener) = listener else {
            // Another sign-in took it meanwhile. The session with the tracker is of that one, so it stays.
            history.0.close().await;
            return Err(CommandError::already_signed_in());
        };
        self.recognise(sign_in.changed_to.as_ref().unwrap_or(&sign_in.password));
        let now = u64::try_from(Utc::now().timestamp_millis()).unwrap_or_default();
        let instance = profile.next_instance(now);
        let (history, history_reports, opened) = history;
        let config = LinkConfig {
            me: sign_in.username.clone(),
            instance,
            port: self.listening.port(),
            identity: proof,
            plaintext: self.config.plaintext,
            member_rate: self.config.member_rate,
            limit_loopback: self.config.limit_loopback,
            tracker: self.tracker.endpoint(),
        };
        let (keys_handle, key_requests) = KnownKeysHandle::new();
        let (links, link_reports) = PeerPeerCommunication::new(config, keys_handle, self.key_lookup());
        // The links say goodbye before they end, so `stop` does not cut this task short.
        self.tasks.lock().await.spawn(peer_communication::run(links.clone(), listener));
        let start = EngineStart {
            me: sign_in.username.clone(),
            own_key: seed.public_key(),
            keys: known_keys,
            blocked,
            accepted,
            login: Err(self.tracker_failed()),
            is_tracker_local: self.tracker.is_on_loopback(),
            #[cfg(test)]
            omission: None,
        };
        let resources = Resources {
            history: history.clone(),
            history_reports,
            links: links.clone(),
            link_reports,
            key_requests,
            contacts,
        };
        let session = CurrentUser { user: sign_in.username.clone(), seed, profile, history, links, muted };
        // Only one sign-in can take the listener, so the cell is empty.
        let _ = self.session.set(session);
        self.engine.start(start, opened, resources).await;
        if let Some(key) = unreached {
            self.sign_in_later(sign_in, key).await?;
        }
        if fresh {
            self.publish_new_key().await;
        }
        Ok(())
    }

    /// Opens the data that this device stores under the user's key.
    async fn open_local(
        &self,
        profile: &Profile,
        user: &Username,
        seed: &Seed,
    ) -> Result<LocalData, CommandError> {
        let place = match self.config.keep {
            Keep::OnDisk => Place::File(profile.folder().to_owned()),
            Keep::InMemory => Place::Memory,
        };
        LocalData::open(profile.folder(), Author { username: user.clone(), seed: seed.clone() }, place).await
    }

    /// Signs in. If the tracker cannot be reached, the local data is opened without it.
    async fn admitted(&self, profile: &Profile, sign_in: &SignIn) -> Result<Admitted, CommandError> {
        let (tracker, cost) = (&self.tracker, self.config.seal_cost);
        let key = DeviceKey::of(profile, sign_in, tracker, cost).await?;
        // This comes before the request to the tracker: its reply is compared with the known keys. A new key has no
        // such data.
        let known = if key.is_new() {
            None
        } else {
            Some(self.open_local(profile, &sign_in.username, key.seed()).await?)
        };
        match (self.sign_in_at_tracker(profile, sign_in, key.clone()).await, known) {
            (Ok((seed, fresh)), Some(local)) => Ok(Admitted { seed, fresh, local, unreached: None }),
            (Ok((seed, fresh)), None) => {
                let local = self.open_local(profile, &sign_in.username, &seed).await?;
                Ok(Admitted { seed, fresh, local, unreached: None })
            }
            (Err(CommandError::TrackerLost), Some(local)) if sign_in.changed_to.is_none() => {
                let seed = key.seed().clone();
                Ok(Admitted { seed, fresh: false, local, unreached: Some(key) })
            }
            (Err(error), known) => {
                if let Some(LocalData { history: (history, ..), .. }) = known {
                    history.close().await;
                }
                Err(error)
            }
        }
    }

    /// Signs in at the tracker. Returns the key's seed, and true if the key was bound just now to an existing account.
    async fn sign_in_at_tracker(
        &self,
        profile: &Profile,
        sign_in: &SignIn,
        key: DeviceKey,
    ) -> Result<(Seed, bool), CommandError> {
        let (tracker, cost) = (&self.tracker, self.config.seal_cost);
        let outcome = key.sign_in(profile, tracker, sign_in, self.listening).await;
        let proven = match &outcome {
            Ok(()) => true,
            Err(error) => self.is_key_given() && error.is_of_a_tracker(),
        };
        if proven {
            self.remember_tracker()?;
        }
        outcome?;
        let fresh = key.is_new() && !sign_in.register;
        Ok((key.finish_sign_in(profile, tracker, sign_in, cost).await?, fresh))
    }

    /// Pins the tracker's key: after a sign-in, or as soon as the tracker has proven a key that the user gave.
    fn remember_tracker(&self) -> Result<(), CommandError> {
        let Some(key) = self.tracker.tracker_key() else { return Ok(()) };
        let pinned = self.known_trackers.pin(self.tracker_address(), key);
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
}
