//! A test environment on loopback: a real tracker and real peers in this process, on ports that the system picks.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part of the world")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use commons::keys::PublicKey;
use commons::names::{RoomName, Username};
use commons::net::plaintext::Plaintext;
use commons::room_log::facts::Policy;
use commons::tracker_address::TrackerAddress;
use peer::api::answer::Answer;
use peer::api::conversation::Conversation;
use peer::api::error::CommandError;
use peer::api::sign_in::{Consent, SignIn};
use peer::api::{Command, Event};
use peer::event_bus::Events;
use peer::identity::password::Password;
use peer::identity::seal::SealCost;
use peer::limits::MEMBER_RATE;
use peer::service::{Keep, PeerConfig, PeerService};
use peer::untrusted::AsUntrusted;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracker::config::{Config, PasswordCost};
use tracker::password_reset::PasswordReset;
use tracker::server::TrackerServer;

/// Longest wait for an expected event. It is only reached on a very busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A seal that costs almost no time.
pub const CHEAP_SEAL: SealCost = SealCost { memory: 64, passes: 1 };

/// The settings of a peer on the folder of a computer.
pub fn peer_config(tracker: impl Into<TrackerAddress>, data: &Path) -> PeerConfig {
    PeerConfig {
        tracker: tracker.into(),
        listen: None,
        data: data.to_owned(),
        plaintext: Plaintext::default(),
        member_rate: NonZeroU32::new(MEMBER_RATE),
        limit_loopback: false,
        seal_cost: CHEAP_SEAL,
        keep: Keep::OnDisk,
    }
}

/// The password of the user with this name.
pub fn password_of(name: &str) -> Password {
    Password::typed(format!("password of {name}"))
}

pub fn user(name: &str) -> Username {
    Username::parse(name).unwrap()
}

pub fn room(name: &str) -> RoomName {
    RoomName::parse(name).unwrap()
}

/// The command that sends a message to a room.
pub fn say_in(name: &str, text: impl Into<String>) -> Command {
    Command::Say { conversation: Some(Conversation::Room(room(name))), text: text.into(), id: None }
}

/// A tracker that can be stopped, and restarted with its folder and port.
pub struct Tracker {
    pub address: SocketAddr,
    data: TempDir,
    config: Config,
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
}

impl Tracker {
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub async fn start_with(adjust: impl FnOnce(&mut Config)) -> Self {
        let data = tempfile::tempdir().unwrap();
        let password_cost = PasswordCost { memory: 64, passes: 1 };
        let mut config = Config { data: data.path().to_owned(), password_cost, ..Config::default() };
        adjust(&mut config);
        let mut tracker = Self {
            address: ([127, 0, 0, 1], 0).into(),
            data,
            config,
            stop: CancellationToken::new(),
            task: None,
        };
        tracker.up().await;
        tracker
    }

    /// The tracker's data folder.
    pub fn folder(&self) -> &Path {
        self.data.path()
    }

    /// Starts it, on its previous port if it had one.
    pub async fn up(&mut self) {
        self.config.listen = self.address.to_string();
        let server = TrackerServer::bind(self.config.clone()).await.unwrap();
        self.address = server.local_addr();
        self.stop = CancellationToken::new();
        let stop = self.stop.clone();
        self.task = Some(tokio::spawn(async move { server.run(stop).await.unwrap() }));
    }

    /// Stops it and starts it at another port.
    pub async fn moves(&mut self) {
        self.down().await;
        self.address.set_port(0);
        self.up().await;
    }

    /// The key that proves the tracker to peers.
    pub fn key(&self) -> PublicKey {
        tracker::server::fingerprint(self.data.path()).unwrap()
    }

    /// Stops it and waits until it has ended.
    pub async fn down(&mut self) {
        self.stop.cancel();
        if let Some(task) = self.task.take() {
            task.await.unwrap();
        }
    }

    /// Restarts it without its data but with its key, as after a new installation.
    pub async fn forgets(&mut self) {
        self.down().await;
        for file in fs::read_dir(self.folder()).unwrap().map(|entry| entry.unwrap().path()) {
            if file.file_name().unwrap().to_str().unwrap().contains("_db") {
                fs::remove_file(file).unwrap();
            }
        }
        self.up().await;
    }

    /// Restarts it with the key of another tracker.
    pub async fn takes_the_key_of(&mut self, other: &Self) {
        self.down().await;
        fs::copy(other.folder().join("tracker.key"), self.folder().join("tracker.key")).unwrap();
        self.up().await;
    }

    /// Resets a user's password and revokes all keys, as the operator does.
    pub async fn resets(&mut self, name: &str, password: &Password) {
        self.down().await;
        let reset = PasswordReset::begin(self.folder(), user(name)).unwrap();
        reset.finish(String::from(password.clone()), self.config.password_cost).await.unwrap();
        self.up().await;
    }

    pub async fn peer(&self, name: &str) -> Peer {
        Peer::register(self.address, name).await
    }
}

/// The data of one of a user's computers.
#[derive(Clone)]
pub struct Computer {
    data: Arc<TempDir>,
    keep: Keep,
}

impl Computer {
    pub fn new(keep: Keep) -> Self {
        Self { data: Arc::new(tempfile::tempdir().unwrap()), keep }
    }
}

/// A signed-in peer, and its events that no test has looked at yet.
pub struct Peer {
    pub name: Username,
    pub service: Arc<PeerService>,
    events: Events,
    passed: Vec<Event>,
    /// The conversation that this frontend opened last.
    open: Mutex<Option<Conversation>>,
    computer: Computer,
    tracker: SocketAddr,
}

impl Peer {
    pub async fn register(tracker: SocketAddr, name: &str) -> Self {
        Self::register_on(Computer::new(Keep::OnDisk), tracker, name).await
    }

    pub async fn register_on(computer: Computer, tracker: SocketAddr, name: &str) -> Self {
        Self::sign_in(tracker, name, computer, true).await
    }

    async fn sign_in(tracker: SocketAddr, name: &str, computer: Computer, register: bool) -> Self {
        Self::try_sign_in(tracker, name, computer, register).await.unwrap()
    }

    async fn try_sign_in(
        tracker: SocketAddr,
        name: &str,
        computer: Computer,
        register: bool,
    ) -> Result<Self, CommandError> {
        let password = password_of(name);
        let sign_in = SignIn {
            username: user(name),
            password,
            register,
            changed_to: None,
            code: None,
            consent: Consent::default(),
        };
        Self::try_as(tracker.into(), sign_in, computer).await
    }

    /// Signs in with these credentials. `tracker` may include the key.
    async fn try_as(
        tracker: TrackerAddress,
        sign_in: SignIn,
        computer: Computer,
    ) -> Result<Self, CommandError> {
        let config = PeerConfig { keep: computer.keep, ..peer_config(tracker.clone(), computer.data.path()) };
        let service = PeerService::start(config).await.unwrap();
        let events = service.subscribe().await.events;
        let address = tracker.address.parse().unwrap();
        let name = sign_in.username.clone();
        service.sign_in(sign_in).await?;
        let open = Mutex::default();
        Ok(Self { name, service, events, passed: Vec::new(), open, computer, tracker: address })
    }

    /// Signs in again, as after a restart of the program on the same computer.
    pub async fn again(&self) -> Self {
        Self::sign_in(self.tracker, self.name.as_str(), self.computer.clone(), false).await
    }

    /// As [`Self::again`], but returns the error.
    pub async fn try_again(&self) -> Result<Self, CommandError> {
        Self::try_sign_in(self.tracker, self.name.as_str(), self.computer.clone(), false).await
    }

    /// As [`Self::try_again`], with a tracker at another address.
    pub async fn try_again_at(&self, tracker: SocketAddr) -> Result<Self, CommandError> {
        Self::try_sign_in(tracker, self.name.as_str(), self.computer.clone(), false).await
    }

    /// As [`Self::try_again`], with another password.
    pub async fn try_again_with(&self, password: &Password) -> Result<Self, CommandError> {
        self.try_again_as(|sign_in| sign_in.password = password.clone()).await
    }

    /// As [`Self::try_again`], with adjusted credentials.
    pub async fn try_again_as(&self, adjust: impl FnOnce(&mut SignIn)) -> Result<Self, CommandError> {
        self.try_again_at_as(self.tracker.into(), adjust).await
    }

    /// As [`Self::try_again_as`], with a tracker address that may include the key.
    pub async fn try_again_at_as(
        &self,
        tracker: TrackerAddress,
        adjust: impl FnOnce(&mut SignIn),
    ) -> Result<Self, CommandError> {
        let (username, password) = (self.name.clone(), password_of(self.name.as_str()));
        let mut sign_in = SignIn {
            username,
            password,
            register: false,
            changed_to: None,
            code: None,
            consent: Consent::default(),
        };
        adjust(&mut sign_in);
        Self::try_as(tracker, sign_in, self.computer.clone()).await
    }

    /// Signs in a user whom this computer does not know yet, with this password.
    pub async fn try_first(
        tracker: SocketAddr,
        name: &str,
        password: &Password,
    ) -> Result<Self, CommandError> {
        let sign_in = SignIn {
            username: user(name),
            password: password.clone(),
            register: false,
            changed_to: None,
            code: None,
            consent: Consent::default(),
        };
        Self::try_as(tracker.into(), sign_in, Computer::new(Keep::OnDisk)).await
    }

    /// As [`Self::try_elsewhere`], with another password.
    pub async fn try_elsewhere_with(&self, password: &Password) -> Result<Self, CommandError> {
        let computer = Computer::new(Keep::OnDisk);
        let username = self.name.clone();
        let sign_in = SignIn {
            username,
            password: password.clone(),
            register: false,
            changed_to: None,
            code: None,
            consent: Consent::default(),
        };
        Self::try_as(self.tracker.into(), sign_in, computer).await
    }

    /// Stops the program as in a crash and starts it again.
    pub async fn again_after_death(self) -> Self {
        self.service.stop().await;
        self.again().await
    }

    /// Signs in the same user on another computer.
    pub async fn elsewhere(&self) -> Self {
        self.try_elsewhere().await.unwrap()
    }

    /// Signs in the same user on a computer with this data folder.
    pub async fn at_home_in(&self, data: TempDir) -> Self {
        Self::sign_in(
            self.tracker,
            self.name.as_str(),
            Computer { data: Arc::new(data), keep: Keep::OnDisk },
            false,
        )
        .await
    }

    /// As [`Self::elsewhere`], but returns the error.
    pub async fn try_elsewhere(&self) -> Result<Self, CommandError> {
        let computer = Computer::new(Keep::OnDisk);
        Self::try_sign_in(self.tracker, self.name.as_str(), computer, false).await
    }

    /// The data folder of this computer.
    pub fn folder(&self) -> &Path {
        self.computer.data.path()
    }

    /// Executes a command. If it names no conversation, it is for the open one.
    pub async fn run(&self, mut command: Command) -> Result<Answer, CommandError> {
        match &mut command {
            Command::Say { conversation, .. }
            | Command::Leave { conversation }
            | Command::Users { conversation }
            | Command::History { conversation, .. }
            | Command::Export { conversation, .. }
            | Command::Receipts { conversation }
                if conversation.is_none() =>
            {
                *conversation = self.opened().await;
            }
            Command::Delete { room: room @ None } => {
                *room = self.opened().await.and_then(|open| match open {
                    Conversation::Room(room) => Some(room),
                    Conversation::Private(_) => None,
                });
            }
            _ => {}
        }
        let opens = match &command {
            Command::Create { room, .. } | Command::Join { room } => Some(Conversation::Room(room.clone())),
            Command::Open { conversation } => Some(conversation.clone()),
            _ => None,
        };
        let execution = self.service.execute(command);
        let answer = timeout(PATIENCE, execution).await.expect("a command takes too long");
        if let Some(conversation) = opens.filter(|_| answer.is_ok()) {
            *self.open.lock().unwrap() = Some(conversation);
        }
        answer
    }

    /// The open conversation: the one that was opened last, or else the last room.
    pub async fn opened(&self) -> Option<Conversation> {
        let open = self.open.lock().unwrap().clone();
        let conversations = self.service.status().await.conversations;
        let all: Vec<_> = conversations.into_iter().map(|(conversation, _)| conversation).collect();
        match open {
            Some(open) if matches!(open, Conversation::Private(_)) || all.contains(&open) => Some(open),
            _ => all.into_iter().rfind(|it| matches!(it, Conversation::Room(_))),
        }
    }

    pub async fn create(&mut self, name: &str) {
        self.run(Command::Create { room: room(name), policy: Policy::Open }).await.unwrap();
        self.until(|event| matches!(event, Event::RoomEntered { room } if room.name.as_str() == name)).await;
    }

    pub async fn join(&mut self, name: &str) {
        self.run(Command::Join { room: room(name) }).await.unwrap();
        self.until(|event| matches!(event, Event::RoomEntered { room } if room.name.as_str() == name)).await;
    }

    pub async fn say(&self, text: &str) {
        self.run(Command::say(text)).await.unwrap();
    }

    pub async fn tell(&self, to: &str, text: &str) -> Result<Answer, CommandError> {
        self.run(Command::send_private(user(to), text)).await
    }

    pub async fn open(&self, conversation: Conversation) -> Result<Answer, CommandError> {
        self.run(Command::Open { conversation }).await
    }

    /// Waits for an event. Earlier events are kept for later calls.
    pub async fn until(&mut self, wanted: impl Fn(&Event) -> bool) -> Event {
        if let Some(at) = self.passed.iter().position(&wanted) {
            return self.passed.remove(at);
        }
        loop {
            let event = match timeout(PATIENCE, self.events.recv()).await {
                Err(_) => panic!("{} waits in vain; it saw {:?}", self.name, self.latest()),
                Ok(None) => panic!("{} has ended; it saw {:?}", self.name, self.latest()),
                Ok(Some(event)) => event,
            };
            if wanted(&event) {
                return event;
            }
            self.passed.push(event);
        }
    }

    /// The latest events, for the message of a failure.
    fn latest(&self) -> &[Event] {
        &self.passed[self.passed.len().saturating_sub(12)..]
    }

    /// Waits for a message with this text and returns its author.
    pub async fn receives(&mut self, text: &str) -> Username {
        match self.until(|event| matches!(event, Event::Message { content, .. } if content == text)).await {
            Event::Message { from, .. } => from,
            _ => unreachable!(),
        }
    }

    /// Waits until a link to this peer is up.
    pub async fn linked(&mut self, to: &str) {
        let to = user(to);
        self.until(
            |event| matches!(event, Event::Link { peer, state: peer::api::status::LinkState::Up, .. } if *peer == to),
        )
        .await;
    }

    /// The texts of the next messages in order of arrival.
    pub async fn next_messages(&mut self, count: usize) -> Vec<String> {
        let mut lines = Vec::new();
        while lines.len() < count {
            if let Event::Message { content, .. } = self.until(|e| matches!(e, Event::Message { .. })).await {
                lines.push(content.expose().to_owned());
            }
        }
        lines
    }

    /// The number of such events that have arrived by now.
    pub fn count(&mut self, wanted: impl Fn(&Event) -> bool) -> usize {
        while let Some(event) = self.events.try_recv() {
            self.passed.push(event);
        }
        self.passed.iter().filter(|event| wanted(event)).count()
    }

    /// Whether an event has arrived by now.
    pub fn saw(&mut self, wanted: impl Fn(&Event) -> bool) -> bool {
        while let Some(event) = self.events.try_recv() {
            self.passed.push(event);
        }
        self.passed.iter().any(wanted)
    }

    /// The service and its further events.
    pub fn into_parts(self) -> (Arc<PeerService>, Events) {
        (self.service, self.events)
    }

    /// Stops without signing out, as a crashed program does.
    pub async fn dies(self) {
        self.service.stop().await;
    }
}

/// Three peers in one room, linked to each other.
pub async fn three_in(tracker: &Tracker, name: &str) -> [Peer; 3] {
    three_keeping(Keep::OnDisk, tracker, name).await
}

/// As [`three_in`], with a choice of where the history is kept.
pub async fn three_keeping(keep: Keep, tracker: &Tracker, name: &str) -> [Peer; 3] {
    let register = |sign_in| Peer::register_on(Computer::new(keep), tracker.address, sign_in);
    let mut ana = register("ana").await;
    let mut bob = register("bob").await;
    let mut carla = register("carla").await;
    ana.create(name).await;
    bob.join(name).await;
    carla.join(name).await;
    for (one, others) in
        [(&mut ana, ["bob", "carla"]), (&mut bob, ["ana", "carla"]), (&mut carla, ["ana", "bob"])]
    {
        for other in others {
            one.linked(other).await;
        }
    }
    [ana, bob, carla]
}
