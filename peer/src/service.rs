//! The peer: carries out what a face asks, and tells the faces what happens.
//!
//! The chat's state changes under one lock, and what that changes is told under the same lock, so that all faces see
//! one order. The lock is never held across an await.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use chrono::Utc;
use commons::limits::TEXT_MAX;
use commons::names::{RoomName, Username};
use commons::net::frame::encode;
use commons::net::socket::{Listener, resolve};
use commons::protocol::between_peers::{Line, PeerMessage};
use commons::protocol::with_tracker::ErrorCode;
use commons::user::PasswordDigest;
use tokio::sync::{OnceCell, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::api::{Answer, Command, CommandError, Conversation, Event, Status, TrackerState, Undeliverable};
use crate::chat::{Chat, Heard};
use crate::events::{Events, Faces};
use crate::home::{self, Home, HomeError};
use crate::limits::QUIT_WAIT;
use crate::peer_communication::PeerPeerCommunication;
use crate::peer_communication::link_table::Wish;
use crate::peer_communication::switchboard::LinkReport;
use crate::tracker_communication::PeerTrackerCommunication;
use crate::tracker_communication::uplink::{Ending, TrackerError, TrackerReport};

/// What a peer needs to know to start.
#[derive(Debug, Clone)]
pub struct PeerConfig {
    /// The tracker's address, `host:port`.
    pub tracker: String,
    /// Where to take links; where absent, on loopback if the tracker is there, else on all addresses, at a free port.
    pub listen: Option<SocketAddr>,
    /// The folder in which each user has one.
    pub data: PathBuf,
}

/// Who signs in.
#[derive(Debug, Clone)]
pub struct SignIn {
    /// The user.
    pub username: Username,
    /// What proves it.
    pub password: PasswordDigest,
    /// Make the account first.
    pub register: bool,
}

/// Why a peer cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The tracker's address leads nowhere.
    #[error("{0} is no address of a tracker: {1}")]
    Tracker(String, std::io::Error),
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
    signed_in: OnceCell<SignedIn>,
    state: Mutex<State>,
    stop: CancellationToken,
    tasks: tokio::sync::Mutex<JoinSet<()>>,
}

/// What there is once somebody has signed in.
#[derive(Debug)]
struct SignedIn {
    home: Home,
    links: PeerPeerCommunication,
}

#[derive(Default)]
struct State {
    chat: Chat,
    faces: Faces,
    failure: Option<String>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("failure", &self.failure).finish_non_exhaustive()
    }
}

impl PeerService {
    /// Binds the port for links; the tracker is first asked at [`Self::sign_in`].
    pub async fn start(config: PeerConfig) -> Result<Arc<Self>, StartError> {
        let tracker = resolve(&config.tracker).await;
        let tracker = tracker.map_err(|error| StartError::Tracker(config.tracker.clone(), error))?;
        let address = config.listen.unwrap_or_else(|| default_listen(tracker.ip()));
        let listen_error = |error| StartError::Listen(address, error);
        let listener = Listener::bind(address).await.map_err(listen_error)?;
        let listening = listener.local_addr().map_err(listen_error)?;
        let (tracker, reports) = PeerTrackerCommunication::start(config.tracker.clone());
        Ok(Arc::new(Self {
            config,
            listening,
            listener: Mutex::new(Some(listener)),
            tracker,
            tracker_reports: Mutex::new(Some(reports)),
            signed_in: OnceCell::new(),
            state: Mutex::default(),
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
        self.lock().faces.add()
    }

    /// Whether this computer has been this user at this tracker.
    #[must_use]
    pub fn knows(&self, user: &Username) -> bool {
        home::exists(&self.config.data, &self.config.tracker, user)
    }

    /// Why the service ended by itself, if it did.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.lock().failure.clone()
    }

    /// How things stand.
    #[must_use]
    pub fn status(&self) -> Status {
        let state = self.lock();
        let chat = &state.chat;
        Status {
            username: chat.me().cloned(),
            open: chat.opened().ok(),
            conversations: chat.conversations(),
            tracker: chat.tracker(),
            tracker_address: self.config.tracker.clone(),
            listening: self.listening.to_string(),
            known_users: chat.known_users(),
            known_rooms: chat.known_rooms(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Signs in; rooms in which a seat is held are entered again. May be tried again after a refusal.
    pub async fn sign_in(self: &Arc<Self>, who: SignIn) -> Result<(), CommandError> {
        if self.signed_in.initialized() {
            let msg = "you are signed in already".to_owned();
            return Err(CommandError::Refused { code: ErrorCode::AlreadyLoggedIn, msg });
        }
        let SignIn { username, password, register } = who;
        let home = Home::open(&self.config.data, &self.config.tracker, &username)?;
        self.lock().chat.set_blocked(home.blocked()?);
        let reports = self.tracker_reports.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(reports) = reports {
            self.spawn(Self::hear_tracker, reports).await;
        }
        let claimed = Some(self.listening.ip()).filter(|ip| !ip.is_unspecified());
        let signed_in =
            self.tracker.sign_in(register, &username, &password, claimed, self.listening.port()).await;
        if let Err(error) = signed_in {
            home.abandon();
            return Err(error.into());
        }
        let listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(listener) = listener else { return Err(CommandError::TrackerLost) };
        let instance = u64::try_from(Utc::now().timestamp_millis()).unwrap_or_default();
        let (links, reports) = PeerPeerCommunication::start(username, instance, listener);
        // Only one sign-in got the listener, so the cell is empty.
        let _ = self.signed_in.set(SignedIn { home, links });
        self.spawn(Self::hear_links, reports).await;
        self.relink();
        Ok(())
    }

    /// Runs a task until the service stops.
    async fn spawn<T, F>(self: &Arc<Self>, task: impl FnOnce(Arc<Self>, T) -> F, input: T)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let running = task(Arc::clone(self), input);
        let stop = self.stop.clone();
        self.tasks
            .lock()
            .await
            .spawn(async move { stop.run_until_cancelled(running).await.unwrap_or_default() });
    }

    /// Carries a command out. Where it fails nothing changed.
    pub async fn execute(&self, command: Command) -> Result<Answer, CommandError> {
        let SignedIn { home, links } = self.signed_in.get().ok_or_else(not_signed_in)?;
        match command {
            Command::Say { text } => {
                let open = self.lock().chat.opened()?;
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
                self.lock().chat.switch(conversation)?;
            }
            Command::Peers => return Ok(Answer::Peers { peers: self.tracker.list_peers().await? }),
            Command::Rooms => return Ok(Answer::Rooms { rooms: self.tracker.list_rooms().await? }),
            Command::Create { room } => self.tracker.create_room(&room).await?,
            Command::Join { room } => {
                self.tracker.join_room(&room).await?;
                self.lock().chat.switch(Conversation::Room(room))?;
            }
            Command::Leave { conversation } => {
                let conversation = conversation.map_or_else(|| self.lock().chat.opened(), Ok)?;
                match conversation {
                    Conversation::Room(room) => self.tracker.leave_room(&room).await?,
                    Conversation::Private(user) => self.end_private(links, &user)?,
                }
            }
            Command::Delete { room } => {
                let room = room.map_or_else(|| self.open_room(), Ok)?;
                self.tracker.delete_room(&room).await?;
            }
            Command::Users => {
                let (conversation, members) = self.lock().chat.users()?;
                return Ok(Answer::Users { conversation, members });
            }
            Command::WhoAmI => return Ok(Answer::WhoAmI { status: self.status() }),
            Command::Block { user: None } => {
                return Ok(Answer::Blocked { users: self.lock().chat.blocked().iter().cloned().collect() });
            }
            Command::Block { user: Some(user) } => self.block(home, &user, true)?,
            Command::Unblock { user } => self.block(home, &user, false)?,
            Command::Quit => return Ok(self.quit(links).await),
        }
        Ok(Answer::Done)
    }

    fn open_room(&self) -> Result<RoomName, CommandError> {
        match self.lock().chat.opened()? {
            Conversation::Room(room) => Ok(room),
            Conversation::Private(_) => Err(CommandError::NoConversation),
        }
    }

    /// Makes sure that a private line to this user has somewhere to go: a link, or an address to dial.
    async fn reach(&self, links: &PeerPeerCommunication, user: &Username) -> Result<(), CommandError> {
        if self.lock().chat.me() == Some(user) {
            return Err(CommandError::NotYourself);
        }
        let address = if links.is_linked(user) {
            None
        } else {
            match self.tracker.peer(user).await {
                Ok(found) => {
                    let peer = found.map(|found| found.peer).filter(|peer| peer.connected);
                    let address = peer.and_then(|peer| peer.socket_addr());
                    Some(address.ok_or_else(|| CommandError::Unreachable(user.clone()))?)
                }
                // Somebody met before may still be where they were.
                Err(TrackerError::Lost) if self.lock().chat.address_of(user).is_some() => None,
                Err(error) => return Err(error.into()),
            }
        };
        self.lock().chat.begin_private(user.clone(), address);
        self.relink();
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
        let listeners = self.lock().chat.listeners(&to)?;
        links.keep_pace(&listeners).await;
        let mut state = self.lock();
        let Some(me) = state.chat.me().cloned() else { return Err(not_signed_in()) };
        let room = match &to {
            Conversation::Room(room) => Some(room.as_str().into()),
            Conversation::Private(_) => None,
        };
        let (id, sent_at) = (Uuid::now_v7(), Some(Utc::now()));
        let line = Line { room, username: me.as_str().into(), content: text.into(), id: Some(id), sent_at };
        let frame =
            encode(&PeerMessage::Message(line)).map_err(|error| CommandError::Local(error.to_string()))?;
        state.faces.tell([Event::Sent { id, conversation: to, content: text.to_owned() }]);
        for to in listeners {
            if let Err(reason) = links.send(&to, id, frame.clone()) {
                state.faces.tell([Event::Undelivered { id, to, reason }]);
            }
        }
        Ok(())
    }

    fn end_private(&self, links: &PeerPeerCommunication, user: &Username) -> Result<(), CommandError> {
        let still_used = {
            let mut state = self.lock();
            state.chat.end_private(user)?;
            state.chat.talks_with(user)
        };
        if let Some(frame) = leave_frame(None) {
            links.leave(user, frame, still_used);
        }
        self.relink();
        Ok(())
    }

    fn block(&self, home: &Home, user: &Username, shut_out: bool) -> Result<(), CommandError> {
        let mut state = self.lock();
        if state.chat.me() == Some(user) {
            return Err(CommandError::NotYourself);
        }
        Ok(home.keep_blocked(state.chat.block(user, shut_out))?)
    }

    /// Waits for lines on their way, signs out, closes the links.
    async fn quit(&self, links: &PeerPeerCommunication) -> Answer {
        let undelivered = links.drained(Instant::now() + QUIT_WAIT).await;
        let counts = undelivered.iter().map(|(user, lines)| (user.clone(), lines.len())).collect();
        for (user, lines) in undelivered {
            self.tell_undelivered(&user, lines, Undeliverable::Unreachable);
        }
        self.tracker.logout().await;
        self.stop().await;
        Answer::Quit { undelivered: counts }
    }

    /// Ends everything. The faces read what is left to read and are done.
    pub async fn stop(&self) {
        self.stop.cancel();
        if let Some(SignedIn { links, .. }) = self.signed_in.get() {
            links.stop().await;
        }
        self.tracker.abort();
        self.lock().faces.end();
        let mut tasks = self.tasks.lock().await;
        while tasks.join_next().await.is_some() {}
    }

    /// Brings the links into line with the conversations.
    fn relink(&self) {
        let Some(SignedIn { links, .. }) = self.signed_in.get() else { return };
        let mut state = self.lock();
        let wanted = state.chat.wanted().into_iter();
        let wishes: BTreeMap<_, _> =
            wanted.map(|(user, want)| (user, Wish { address: want.address, eager: want.private })).collect();
        for user in links.want(&wishes) {
            let event = state.chat.link_is(&user, false);
            state.faces.tell(event);
        }
    }

    /// Hears the tracker until it is over.
    async fn hear_tracker(self: Arc<Self>, mut reports: mpsc::Receiver<TrackerReport>) {
        while let Some(report) = reports.recv().await {
            match report {
                TrackerReport::Answered(request, outcome, reply) => {
                    if let Ok(answer) = &outcome {
                        let mut state = self.lock();
                        let left = state.chat.leaves(&request);
                        let events = state.chat.answered(&request, answer, Instant::now());
                        state.faces.tell(events);
                        if let Some((room, listeners)) = left {
                            self.say_goodbye(&state.chat, &room, &listeners);
                        }
                    }
                    self.relink();
                    if let Some(reply) = reply {
                        // Whoever asked may have given up waiting.
                        let _ = reply.send(outcome);
                    }
                }
                TrackerReport::Update(update) => {
                    let mut state = self.lock();
                    let events = state.chat.updated(*update, Instant::now());
                    state.faces.tell(events);
                    drop(state);
                    self.relink();
                }
                TrackerReport::Lost => {
                    let mut state = self.lock();
                    let events = state.chat.tracker_is(TrackerState::Lost);
                    state.faces.tell(events);
                }
                TrackerReport::Ended(ending) => self.fail(&ending),
            }
        }
    }

    fn say_goodbye(&self, chat: &Chat, room: &RoomName, listeners: &[Username]) {
        let (Some(SignedIn { links, .. }), Some(frame)) = (self.signed_in.get(), leave_frame(Some(room)))
        else {
            return;
        };
        for user in listeners {
            links.leave(user, frame.clone(), chat.talks_with(user));
        }
    }

    /// The service cannot go on: the faces are told and have to end.
    fn fail(&self, ending: &Ending) {
        let (code, message) = match ending {
            Ending::Superseded => {
                ("SUPERSEDED".to_owned(), "signed in elsewhere under this name: this program ends".to_owned())
            }
            Ending::Refused(refusal) => {
                let error = CommandError::from(TrackerError::Refused(refusal.clone()));
                (error.code(), format!("the tracker does not take this user any more: {}", refusal.msg))
            }
        };
        let mut state = self.lock();
        state.failure = Some(message.clone());
        state.faces.tell([Event::Error { code, message }]);
        state.faces.end();
    }

    /// Hears the links until it is over, as fast as the slowest face reads.
    async fn hear_links(self: Arc<Self>, mut reports: mpsc::Receiver<LinkReport>) {
        while let Some(report) = reports.recv().await {
            let behind = self.lock().faces.behind();
            for face in behind {
                face.caught_up().await;
            }
            match report {
                LinkReport::Line(from, line) => {
                    let heard = Heard {
                        from,
                        room: line.room,
                        content: line.content,
                        id: line.id.unwrap_or_else(Uuid::now_v7),
                        sent_at: line.sent_at.unwrap_or_else(Utc::now),
                    };
                    let private = heard.room.is_none();
                    let mut state = self.lock();
                    let event = state.chat.heard(heard, Instant::now());
                    state.faces.tell(event);
                    drop(state);
                    if private {
                        self.relink();
                    }
                }
                LinkReport::Changed(user) => {
                    let Some(SignedIn { links, .. }) = self.signed_in.get() else { continue };
                    let mut state = self.lock();
                    let event = state.chat.link_is(&user, links.is_linked(&user));
                    state.faces.tell(event);
                }
                LinkReport::Left(user, None) => {
                    self.lock().chat.left_private(&user);
                    self.relink();
                }
                // The tracker says who leaves a room.
                LinkReport::Left(_, Some(_)) => {}
                LinkReport::Delivered(to, ids) => {
                    let delivered = ids.into_iter().map(|id| Event::Delivered { id, to: to.clone() });
                    self.lock().faces.tell(delivered);
                }
                LinkReport::Undelivered(to, ids, reason) => self.tell_undelivered(&to, ids, reason),
            }
        }
    }

    fn tell_undelivered(&self, to: &Username, ids: Vec<Uuid>, reason: Undeliverable) {
        let events = ids.into_iter().map(|id| Event::Undelivered { id, to: to.clone(), reason });
        self.lock().faces.tell(events);
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

fn leave_frame(room: Option<&RoomName>) -> Option<Bytes> {
    encode(&PeerMessage::Leave { room: room.map(|room| room.as_str().into()) }).ok()
}

fn not_signed_in() -> CommandError {
    CommandError::Refused { code: ErrorCode::NotLoggedIn, msg: "sign in first".to_owned() }
}

impl From<TrackerError> for CommandError {
    fn from(error: TrackerError) -> Self {
        match error {
            TrackerError::Lost => Self::TrackerLost,
            TrackerError::Refused(refusal) => Self::Refused { code: refusal.code, msg: refusal.msg },
        }
    }
}

impl From<HomeError> for CommandError {
    fn from(error: HomeError) -> Self {
        Self::Local(error.to_string())
    }
}
