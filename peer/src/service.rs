//! The peer: carries out what a face asks, and tells the faces what happens.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::Utc;
use commons::keys::{NotAKey, Seed};
use commons::limits::TEXT_MAX;
use commons::names::{RoomName, Username};
use commons::net::frame::encode;
use commons::net::plaintext::Plaintext;
use commons::net::socket::{Listener, resolve};
use commons::net::tls::Purpose;
use commons::protocol::between_peers::{Line, PeerMessage};
use commons::protocol::with_tracker::ErrorCode;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::account::Account;
use crate::api::{Answer, Command, CommandError, Conversation, Event, Status, Undeliverable};
use crate::events::Events;
use crate::home::{self, Home};
use crate::hub::{Hub, leave_frame};
use crate::key_book::KeyBook;
use crate::known_trackers::KnownTrackers;
use crate::limits::QUIT_WAIT;
use crate::peer_communication::PeerPeerCommunication;
use crate::peer_communication::switchboard::{Terms, WhoIs};
use crate::seal::SealCost;
use crate::tracker_communication::PeerTrackerCommunication;
use crate::tracker_communication::uplink::{TrackerError, TrackerReport};
use crate::untrusted::Untrusted;
use crate::user_key::{SignIn, UserKey, identity};

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
}

/// Why a peer cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The tracker's address leads nowhere.
    #[error("{0} is no address of a tracker: {1}")]
    Tracker(String, std::io::Error),
    /// What follows the tracker's address is no key.
    #[error("after # the tracker's address has its key, as `tracker fingerprint` prints it: {0}")]
    TrackerKey(NotAKey),
    /// Which trackers were met cannot be read.
    #[error("{0}")]
    KnownTrackers(std::io::Error),
    /// The port for links cannot be had.
    #[error("cannot listen on {0}: {1}; choose another address with --listen")]
    Listen(SocketAddr, std::io::Error),
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
    hub: Arc<Hub>,
    stop: CancellationToken,
    tasks: tokio::sync::Mutex<JoinSet<()>>,
}

impl PeerService {
    /// Binds the port for links; the tracker is first asked at [`Self::sign_in`].
    pub async fn start(mut config: PeerConfig) -> Result<Arc<Self>, StartError> {
        let known_trackers = KnownTrackers::of(&config.data);
        let known = |address: &str| known_trackers.key(address).map_err(StartError::KnownTrackers);
        let (address, key) = match config.tracker.split_once('#') {
            None => (config.tracker.clone(), known(&config.tracker)?),
            Some((address, key)) => (address.to_owned(), Some(key.parse().map_err(StartError::TrackerKey)?)),
        };
        config.tracker = address;
        let tracker = resolve(&config.tracker).await;
        let tracker = tracker.map_err(|error| StartError::Tracker(config.tracker.clone(), error))?;
        let address = config.listen.unwrap_or_else(|| default_listen(tracker.ip()));
        let listen_error = |error| StartError::Listen(address, error);
        let listener = Listener::bind(address).await.map_err(listen_error)?;
        let listening = listener.local_addr().map_err(listen_error)?;
        let (tracker, reports) = PeerTrackerCommunication::start(config.tracker.clone(), key);
        Ok(Arc::new(Self {
            config,
            listening,
            listener: Mutex::new(Some(listener)),
            tracker,
            tracker_reports: Mutex::new(Some(reports)),
            known_trackers,
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
        self.hub.lock().faces.add()
    }

    /// Whether this computer has been this user at this tracker.
    #[must_use]
    pub fn knows(&self, user: &Username) -> bool {
        home::exists(&self.config.data, &self.config.tracker, user)
    }

    /// Why the service ended by itself, if it did.
    #[must_use]
    pub fn failure(&self) -> Option<Untrusted> {
        self.hub.lock().failure.clone()
    }

    /// How things stand.
    #[must_use]
    pub fn status(&self) -> Status {
        self.hub.status(&self.config.tracker, self.listening)
    }

    /// Whether the tracker answers, and is the one that was met before: nobody should type a password to another.
    pub async fn knock(&self) -> Result<(), CommandError> {
        let knocked = self.tracker.knock().await;
        knocked.map_err(|error| CommandError::from_tracker(error, &self.config.tracker))
    }

    /// Signs in; rooms in which a seat is held are entered again. May be tried again after a refusal.
    pub async fn sign_in(&self, who: SignIn) -> Result<(), CommandError> {
        if self.hub.home.get().is_some() {
            let msg = "you are signed in already".into();
            return Err(CommandError::Refused { code: ErrorCode::AlreadyLoggedIn, msg });
        }
        let home = Home::open(&self.config.data, &self.config.tracker, &who.username)?;
        self.hub.lock().chat.set_blocked(home.blocked()?);
        let reports = self.tracker_reports.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(reports) = reports {
            self.spawn(Arc::clone(&self.hub).hear_tracker(self.config.tracker.clone(), reports)).await;
        }
        let seed = match self.admitted(&home, &who).await {
            Ok(seed) => seed,
            Err(error) => {
                home.abandon();
                return Err(error);
            }
        };
        let listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(listener) = listener else { return Err(CommandError::TrackerLost) };
        let book = KeyBook::new(home.pins()?);
        let terms = Terms { identity: identity(&seed, Purpose::Link)?, plaintext: self.config.plaintext };
        let (links, reports) =
            PeerPeerCommunication::start(who.username, terms, book, self.who_is(), listener);
        // Only one sign-in got the listener, so both are empty.
        let _ = self.hub.links.set(links);
        let _ = self.hub.home.set(home);
        self.spawn(Arc::clone(&self.hub).hear_links(reports)).await;
        self.hub.relink();
        Ok(())
    }

    async fn admitted(&self, home: &Home, who: &SignIn) -> Result<Seed, CommandError> {
        let key = UserKey::of(home, who, self.config.seal_cost).await?;
        let signed_in = key.sign_in(&self.tracker, who, self.listening).await;
        signed_in.map_err(|error| CommandError::from_tracker(error, &self.config.tracker))?;
        if let Some(tracker) = self.tracker.tracker_key() {
            let pinned = self.known_trackers.pin(&self.config.tracker, tracker);
            pinned.map_err(|error| CommandError::Local(error.to_string()))?;
        }
        key.keep(home, &self.tracker, &who.password).await
    }

    /// How the links learn of a stranger's keys.
    fn who_is(&self) -> WhoIs {
        let tracker = self.tracker.clone();
        Box::new(move |user| {
            let tracker = tracker.clone();
            Box::pin(async move { tracker.keys_of(&user).await })
        })
    }

    /// Runs a task until the service stops.
    async fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks
            .lock()
            .await
            .spawn(async move { stop.run_until_cancelled(task).await.unwrap_or_default() });
    }

    /// Carries a command out. Where it fails nothing changed.
    pub async fn execute(&self, command: Command) -> Result<Answer, CommandError> {
        let (Some(home), Some(links)) = (self.hub.home.get(), self.hub.links.get()) else {
            return Err(not_signed_in());
        };
        match command {
            Command::Say { text } => {
                let open = self.hub.lock().chat.opened()?;
                if let Conversation::Private(user) = &open {
                    self.reach(links, user).await?;
                }
                self.say(links, open, &text).await?;
            }
            Command::Tell { to, text } => {
                check_length(&text)?;
                self.reach(links, &to).await?;
                self.say(links, Conversation::Private(to), &text).await?;
            }
            Command::Open { conversation } => {
                if let Conversation::Private(user) = &conversation {
                    self.reach(links, user).await?;
                    if !links.linked(user).await {
                        return Err(CommandError::Unreachable(user.clone()));
                    }
                }
                self.hub.lock().chat.switch(conversation)?;
            }
            Command::Peers => return Ok(Answer::Peers { peers: self.tracker.list_peers().await? }),
            Command::Rooms => return Ok(Answer::Rooms { rooms: self.tracker.list_rooms().await? }),
            Command::Create { room } => self.tracker.create_room(&room).await?,
            Command::Join { room } => {
                self.tracker.join_room(&room).await?;
                self.hub.lock().chat.switch(Conversation::Room(room))?;
            }
            Command::Leave { conversation } => {
                let conversation = conversation.map_or_else(|| self.hub.lock().chat.opened(), Ok)?;
                match conversation {
                    Conversation::Room(room) => self.tracker.leave_room(&room).await?,
                    Conversation::Private(user) => self.end_private(links, &user)?,
                }
            }
            Command::Delete { room } => {
                let room = room.map_or_else(|| self.open_room(), Ok)?;
                self.tracker.delete_room(&room).await?;
            }
            Command::Users => return self.hub.users(),
            Command::WhoAmI => return Ok(Answer::WhoAmI { status: self.status() }),
            Command::Block { user: None } => {
                return Ok(Answer::Blocked {
                    users: self.hub.lock().chat.blocked().iter().cloned().collect(),
                });
            }
            Command::Block { user: Some(user) } => self.hub.block(home, &user, true)?,
            Command::Unblock { user } => self.hub.block(home, &user, false)?,
            Command::Accept { user } => self.hub.accept_keys(&user)?,
            Command::Verify { user } => return self.hub.safety_number(user),
            Command::Verified { user } => self.hub.verify_keys(&user)?,
            Command::Account(wish) => {
                let account = Account { tracker: &self.tracker, home, seal_cost: self.config.seal_cost };
                let answer = account.execute(wish).await?;
                if answer == Answer::AccountDeleted {
                    self.stop().await;
                    home.remove()?;
                }
                return Ok(answer);
            }
            Command::Quit => return Ok(self.quit(links).await),
        }
        Ok(Answer::Done)
    }

    fn open_room(&self) -> Result<RoomName, CommandError> {
        match self.hub.lock().chat.opened()? {
            Conversation::Room(room) => Ok(room),
            Conversation::Private(_) => Err(CommandError::NoConversation),
        }
    }

    /// Makes sure that a private line to this user has somewhere to go: a link, or an address to dial.
    async fn reach(&self, links: &PeerPeerCommunication, user: &Username) -> Result<(), CommandError> {
        if self.hub.lock().chat.me() == Some(user) {
            return Err(CommandError::NotYourself);
        }
        if links.book(|book| book.is_changed(user)) {
            return Err(CommandError::KeyChanged(user.clone()));
        }
        let address = if links.is_linked(user) {
            None
        } else {
            match self.tracker.peer(user).await {
                Ok(found) => {
                    let peer = found.map(|found| found.peer).filter(|peer| peer.connected);
                    let peer = peer.ok_or_else(|| CommandError::Unreachable(user.clone()))?;
                    if let Some(fingerprint) = links.book(|book| book.announce(user, &peer.keys)) {
                        self.hub.lock().faces.tell([Event::KeyChanged { peer: user.clone(), fingerprint }]);
                        return Err(CommandError::KeyChanged(user.clone()));
                    }
                    peer.socket_addr()
                }
                // Somebody met before may still be where they were.
                Err(TrackerError::Lost) if self.hub.lock().chat.address_of(user).is_some() => None,
                Err(error) => return Err(error.into()),
            }
        };
        self.hub.lock().chat.begin_private(user.clone(), address);
        self.hub.relink();
        Ok(())
    }

    /// Queues a line for everybody who hears it. Identities are given and lines queued under one lock, so that every
    /// listener gets a user's lines in the order in which they were written.
    async fn say(
        &self,
        links: &PeerPeerCommunication,
        to: Conversation,
        text: &str,
    ) -> Result<(), CommandError> {
        check_length(text)?;
        let listeners = self.hub.lock().chat.listeners(&to)?;
        links.keep_pace(&listeners).await;
        let mut state = self.hub.lock();
        let Some(me) = state.chat.me().cloned() else { return Err(not_signed_in()) };
        let room = match &to {
            Conversation::Room(room) => Some(room.as_str().into()),
            Conversation::Private(_) => None,
        };
        let (id, sent_at) = (Uuid::now_v7(), Some(Utc::now()));
        let line = Line { room, username: me.as_str().into(), content: text.into(), id: Some(id), sent_at };
        let frame =
            encode(&PeerMessage::Message(line)).map_err(|error| CommandError::Local(error.to_string()))?;
        state.faces.tell([Event::Sent { id, conversation: to, content: text.into() }]);
        for to in listeners {
            if let Err(reason) = links.send(&to, id, frame.clone()) {
                state.faces.tell([Event::Undelivered { id, to, reason }]);
            }
        }
        Ok(())
    }

    fn end_private(&self, links: &PeerPeerCommunication, user: &Username) -> Result<(), CommandError> {
        let still_used = {
            let mut state = self.hub.lock();
            state.chat.end_private(user)?;
            state.chat.talks_with(user)
        };
        if let Some(frame) = leave_frame(None) {
            links.leave(user, frame, still_used);
        }
        self.hub.relink();
        Ok(())
    }

    /// Waits for lines on their way, signs out, closes the links.
    async fn quit(&self, links: &PeerPeerCommunication) -> Answer {
        let undelivered = links.drained(Instant::now() + QUIT_WAIT).await;
        let counts = undelivered.iter().map(|(user, lines)| (user.clone(), lines.len())).collect();
        for (user, lines) in undelivered {
            self.hub.tell_undelivered(&user, lines, Undeliverable::Unreachable);
        }
        self.tracker.logout().await;
        self.stop().await;
        Answer::Quit { undelivered: counts }
    }

    /// Ends everything. The faces read what is left to read and are done.
    pub async fn stop(&self) {
        self.stop.cancel();
        if let Some(links) = self.hub.links.get() {
            links.stop().await;
        }
        self.tracker.abort();
        self.hub.lock().faces.end();
        let mut tasks = self.tasks.lock().await;
        while tasks.join_next().await.is_some() {}
        if let Some(home) = self.hub.home.get() {
            home.release();
        }
    }
}

/// Where the tracker is on this computer, so are the others; else they may be anywhere.
fn default_listen(tracker: IpAddr) -> SocketAddr {
    let ip = match tracker {
        ip if ip.is_loopback() => ip,
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    SocketAddr::new(ip, 0)
}

fn check_length(text: &str) -> Result<(), CommandError> {
    let length = text.len();
    if length > TEXT_MAX { Err(CommandError::TextTooLong { length, max: TEXT_MAX }) } else { Ok(()) }
}

fn not_signed_in() -> CommandError {
    CommandError::Refused { code: ErrorCode::NotLoggedIn, msg: "sign in first".into() }
}
