//! The tracker service: takes a request, calls a handler, and sends the reply and the pushes.
//!
//! The pushes come from the stream of all changes of rooms, so it makes no difference which task or process made a
//! change. One lock covers the stream, the reading of a state and the queueing of the frame that shows it. A session
//! therefore never gets an older state of a room after a newer one. A session may get the same state twice, which does
//! no harm. The order concerns only the sessions of this process, and each session belongs to one process.
//!
//! Before a reply is queued, the changes up to that moment are pushed. Example: bob joins and carla leaves at the same
//! moment, and bob's task has the lock first. It pushes both changes to ana, each with the state after both, and then
//! queues bob's reply. Carla's task finds no more changes and queues its reply.

mod accounts;
mod administration;
mod pushing;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::Utc;
use commons::names::Username;
use commons::protocol::with_tracker::{
    ErrorCode, Pong, Reply, RequestEnvelope, RequestId, RequestParseError, Status, TrackerMessage,
    TrackerRequest,
};
use commons::room::Room;
use commons::snapshot::ChangeKind;
use serde_json::{Map, Value};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::active_connections::{ActiveConnection, ActiveConnections, Pinged};
use crate::client::{Client, not_an_object};
use crate::handlers::account::AccountCommandHandler;
use crate::handlers::admin::AdminCommandHandler;
use crate::handlers::authenticator::Authenticator;
use crate::handlers::outcome::{Outcome, ReplyBody, RequestError};
use crate::handlers::peer::PeerCommandHandler;
use crate::handlers::room::RoomCommandHandler;
use crate::handlers::room_log::{LogPage, RoomLogHandler};
use crate::handlers::user::{Admitted, UserCommandHandler};
use crate::legacy_texts;
use crate::load::Load;
use crate::log_class::{CONNECTION, SECURITY};
use crate::login::SignedIn;
use crate::metrics::Metrics;
use crate::password_proofs::PasswordProofs;
use crate::passwords::Passwords;
use crate::rate_limit::LimitScope;
use crate::repositories::peer::PeerRepository;
use crate::repositories::watch::Watch;
use crate::repositories::{Repositories, StoreFigures};

/// The state that all sessions share.
#[derive(Debug)]
pub(crate) struct TrackerService {
    /// The handler of registrations and logins.
    pub(crate) users: UserCommandHandler,
    /// The handler of requests about rooms.
    pub(crate) rooms: RoomCommandHandler,
    logs: RoomLogHandler,
    peers: PeerCommandHandler,
    accounts: AccountCommandHandler,
    /// The handler of requests of admins.
    pub(crate) admin: AdminCommandHandler,
    /// The presence of all users.
    pub(crate) presence: PeerRepository,
    connections: ActiveConnections,
    watched: LimitScope,
    /// The counters of what the tracker does.
    pub(crate) metrics: Metrics,
    store: StoreFigures,
    authenticator: Arc<Authenticator>,
    /// The lock around reading a state and queueing it, with the changes of rooms that are not pushed yet. It is never
    /// held across an await.
    turn: Mutex<Watch<Room>>,
}

/// The fate of a connection after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// The connection stays open.
    GoOn,
    /// The connection is closed after its queued frames are written.
    Close,
}

impl TrackerService {
    /// Creates the service on these repositories. No user is signed in.
    /// `entry_behind_max` is the time by which an entry of a log may be behind the tracker's clock.
    pub(crate) fn new(
        repositories: &Repositories,
        passwords: Passwords,
        watched: LimitScope,
        entry_behind_max: Duration,
    ) -> Self {
        let (users, rooms, peers) = (repositories.users(), repositories.rooms(), repositories.peers());
        let (admins, bans) = (repositories.admins(), repositories.bans());
        let authenticator = Arc::new(Authenticator::new(users.clone(), passwords, watched));
        let of_admins = authenticator.clone();
        Self {
            users: UserCommandHandler::new(users.clone(), peers.clone(), admins.clone(), of_admins.clone()),
            accounts: AccountCommandHandler::new(users.clone(), peers.clone(), admins.clone(), of_admins),
            admin: AdminCommandHandler::new(users.clone(), peers.clone(), admins, bans),
            metrics: Metrics::default(),
            store: repositories.figures(),
            authenticator,
            turn: Mutex::new(rooms.watch()),
            rooms: RoomCommandHandler::new(rooms.clone(), peers.clone(), repositories.key().clone()),
            logs: RoomLogHandler::new(
                rooms.clone(),
                peers.clone(),
                repositories.key().clone(),
                entry_behind_max,
            ),
            peers: PeerCommandHandler::new(users, rooms, peers.clone()),
            presence: peers,
            connections: ActiveConnections::default(),
            watched,
        }
    }

    /// The records that grow with users, and their sizes.
    #[cfg(test)]
    pub(crate) fn remembered(&self) -> Vec<(&'static str, usize)> {
        let mut remembered = vec![
            ("accounts", self.store.users()),
            ("rooms", self.store.rooms()),
            ("peers", self.store.peers()),
            ("presence", self.presence.presence_len()),
            ("sessions", self.connections.load().0),
            ("views", self.rooms.views.len()),
        ];
        remembered.extend(self.authenticator.remembered());
        remembered
    }

    /// Handles one request, or `None` for a frame that is not an object. Every request of a client passes through it.
    pub(crate) async fn handle(&self, client: &mut Client, object: Option<Map<String, Value>>) -> Next {
        let begin = Instant::now();
        let command =
            object.as_ref().and_then(|object| object.get("cmd")).and_then(Value::as_str).map(str::to_owned);
        let envelope = object.map_or_else(|| Err(not_an_object()), RequestEnvelope::read);
        client.recognise(
            envelope.as_ref().map_or_else(|error| error.id.is_some(), |envelope| envelope.id.is_some()),
        );
        let permitted =
            client.check_rate(self.watched, envelope.as_ref().ok().map(|envelope| &envelope.request));
        let RequestEnvelope { id, username, request } = match envelope {
            Ok(envelope) => envelope,
            Err(RequestParseError { id, code, msg }) => {
                let refused = permitted.err().unwrap_or_else(|| RequestError::new(code, msg));
                self.metrics.request(None, Some(refused.code), begin.elapsed());
                client.refuse(id, refused, None);
                return Next::GoOn;
            }
        };
        let is_pong = matches!(request, TrackerRequest::Pong);
        let leaves = matches!(request, TrackerRequest::Logout | TrackerRequest::DeleteAccount { .. });
        let legacy_request = client.legacy.then(|| request.clone());
        let claimed = self.users.claimed(&request);
        let served = match (&client.signed_in, permitted) {
            (_, Err(too_fast)) => Err(too_fast),
            (None, Ok(())) => self.greet(client, id.clone(), request).await,
            (Some(me), Ok(())) => self.serve(client, me, id.clone(), username, request).await,
        };
        let code = served.as_ref().err().map(|refused| refused.code);
        // A PONG is no request: it answers the sweep.
        if !is_pong {
            self.metrics.request(command.as_deref(), code, begin.elapsed());
        }
        match served {
            Ok(()) if leaves => Next::Close,
            Ok(()) => Next::GoOn,
            Err(refused) => {
                client.note_refusal(claimed.as_ref(), refused.code);
                // If leaving failed at the disk, the client may have been signed off already.
                let is_signed_off = leaves && refused.code == ErrorCode::Storage;
                client.refuse(id, refused, legacy_request.as_ref());
                if client.may_guess() && !is_signed_off { Next::GoOn } else { Next::Close }
            }
        }
    }

    /// Handles a request of an unauthenticated client. Only registration and login are permitted.
    async fn greet(
        &self,
        client: &mut Client,
        id: Option<RequestId>,
        request: TrackerRequest,
    ) -> Result<(), RequestError> {
        let from = client.origin();
        let legacy = client.legacy.then(|| legacy_texts::done(&request, ""));
        match request {
            TrackerRequest::Register(credentials) => {
                self.admin.check_new_account(&credentials.username, from.key, from.ip, Utc::now())?;
                self.logs.check_new_account(&credentials.username, from.key)?;
                let admitted = self.users.register(credentials, from).await?;
                tracing::info!(class = SECURITY, username = %admitted.username, from = %client.from, "registered");
                let is_admin = self.users.policy().first_user_is_admin
                    && self.admin.add_first(&admitted.username, client.key, Utc::now()).await?;
                let mut msg = legacy.unwrap_or_else(|| "welcome, your account is made".to_owned());
                if is_admin {
                    tracing::info!(class = SECURITY, username = %admitted.username, "the first user becomes an admin");
                    msg.push_str(". You are the first user, so you are the tracker's admin");
                }
                let reply = Reply { msg, id, ..Reply::default() };
                self.sign_in(client, admitted, reply, false).await?;
            }
            TrackerRequest::Login(credentials) => {
                let admitted = {
                    let is_permitted =
                        |user: &Username| self.admin.check_ban(user, from.key, from.ip, Utc::now());
                    self.users.login(credentials, from, is_permitted).await?
                };
                let with_rooms = id.is_some();
                let msg = legacy.unwrap_or_else(|| "welcome back".to_owned());
                let reply = Reply { msg, id, ..Reply::default() };
                self.sign_in(client, admitted, reply, with_rooms).await?;
            }
            TrackerRequest::Pong => {}
            _ => {
                let msg = "sign in first, with LOGIN or REGISTER";
                return Err(RequestError::new(ErrorCode::NotLoggedIn, msg));
            }
        }
        Ok(())
    }

    /// Handles a request of an authenticated client.
    async fn serve(
        &self,
        client: &Client,
        me: &SignedIn,
        id: Option<RequestId>,
        username: Option<String>,
        request: TrackerRequest,
    ) -> Result<(), RequestError> {
        let legacy = client.legacy.then(|| legacy_texts::done(&request, me.username.as_str()));
        let viewer = client.key.map(|_| &me.username);
        let outcome = match request {
            TrackerRequest::Pong => {
                me.pongs.iter().for_each(|pongs| pongs.send_modify(|()| ()));
                return Ok(());
            }
            TrackerRequest::Register(_) | TrackerRequest::Login(_) => {
                let msg = format!("this session is signed in as {}: open another one", me.username);
                return Err(RequestError::new(ErrorCode::AlreadyLoggedIn, msg));
            }
            _ if username.is_some_and(|name| name != me.username.as_str()) => {
                let msg = "\"username\" must be your own, or absent";
                return Err(RequestError::new(ErrorCode::Forbidden, msg));
            }
            TrackerRequest::ListPeers(page) => Outcome::showing("peers", ReplyBody::Peers(page)),
            TrackerRequest::GetPeer { peer } => self.peers.find(&peer)?,
            TrackerRequest::ListRooms(page) => {
                Outcome::showing("rooms", ReplyBody::Rooms(page, viewer.cloned()))
            }
            TrackerRequest::CreateRoom { room } => self.rooms.create(me, &room).await?,
            TrackerRequest::JoinRoom { room } => self.rooms.join(me, &room).await?,
            TrackerRequest::LeaveRoom { room } => self.rooms.leave(me, &room).await?,
            TrackerRequest::DeleteRoom { room } => self.rooms.delete(me, &room).await?,
            TrackerRequest::ChangeRoom { entry } => self.logs.change(me, client.key, *entry).await?,
            TrackerRequest::RoomLog { room, after } => self.logs.read(&room, viewer, after)?,
            TrackerRequest::ListKeys => {
                Outcome::showing("your keys", ReplyBody::Keys(me.username.clone(), client.key))
            }
            TrackerRequest::RevokeKey { key } => self.revoke(client, me, key).await?,
            TrackerRequest::EndorseKey { key, signature } => {
                let outcome = self.accounts.endorse(&me.username, client.key, key, signature).await?;
                self.presence_changed(&me.username, ChangeKind::Online, Some(me.connection)).await;
                outcome
            }
            TrackerRequest::ChangePassword { password, login_key, new_password, new_login_key } => {
                let present = PasswordProofs { digest: password, login_key };
                let new = PasswordProofs { digest: new_password, login_key: new_login_key };
                self.accounts.change_password(&me.username, client.origin(), present, &new).await?
            }
            TrackerRequest::DeleteAccount { password, login_key, rooms } => {
                let offered = PasswordProofs { digest: password, login_key };
                self.delete_account(client, me, offered, rooms).await?
            }
            TrackerRequest::Admin(request) => {
                let actor = self.admin_of(client, me)?;
                self.administer(&actor, request).await?
            }
            TrackerRequest::Ping => Outcome::showing("", ReplyBody::Pong),
            TrackerRequest::Logout => {
                self.sign_off(me).await;
                Outcome::text("goodbye")
            }
        };
        let _turn = self.turn();
        client.reply(self.reply(legacy.unwrap_or(outcome.msg), outcome.shows, id, client.legacy)?);
        Ok(())
    }

    /// Builds a reply from the current state.
    fn reply(
        &self,
        msg: String,
        shows: ReplyBody,
        id: Option<RequestId>,
        legacy: bool,
    ) -> Result<TrackerMessage, RequestError> {
        let (with_id, reply) = (id.is_some(), Reply { msg, id, ..Reply::default() });
        let reply = match shows {
            ReplyBody::Nothing => reply,
            ReplyBody::Pong => return Ok(TrackerMessage::Pong(Pong::to(reply.id))),
            ReplyBody::Room(name) => Reply { room: Some(self.rooms.snapshot(&name, legacy)?), ..reply },
            ReplyBody::Keys(username, own) => {
                Reply { keys: Some(self.accounts.keys(&username, own)), ..reply }
            }
            ReplyBody::Peer(username) => Reply { peer: Some(Box::new(self.peers.show(&username))), ..reply },
            ReplyBody::Sessions(page) => {
                let (sessions, more) = self.list_sessions(&page)?;
                Reply { sessions: Some(sessions), more, ..reply }
            }
            ReplyBody::Bans(page) => {
                let (bans, more) = self.admin.bans(&page, Utc::now())?;
                Reply { bans: Some(bans), more, ..reply }
            }
            ReplyBody::Rooms(page, viewer) => {
                let (rooms, more) = self.rooms.list(&page, viewer.as_ref(), with_id, legacy)?;
                Reply { rooms: Some(rooms), more, ..reply }
            }
            ReplyBody::Log(name, after) => {
                let LogPage { entries, head, more } = self.logs.page(&name, after)?;
                Reply { entries: Some(entries), head: head.map(Box::new), more, ..reply }
            }
            ReplyBody::Peers(page) => {
                let (peers, more) = self.peers.list(&page, with_id)?;
                Reply { peers: Some(peers), more, ..reply }
            }
        };
        Ok(TrackerMessage::Status(Box::new(Status::Ok(reply))))
    }

    /// Signs a user in: this session replaces any older session of the user. The reply is the first frame that it gets.
    async fn sign_in(
        &self,
        client: &mut Client,
        admitted: Admitted,
        reply: Reply,
        with_rooms: bool,
    ) -> Result<(), RequestError> {
        let Admitted { username, address, port } = admitted;
        let pongs = reply.id.is_some().then(|| watch::Sender::new(()));
        let observed = SocketAddr::new(client.from.ip(), port);
        let connection = {
            let _turn = self.turn();
            self.accounts.still_admits(&username, client.key)?;
            self.admin.check_ban(&username, client.key, client.from.ip(), Utc::now())?;
            let send_queue = client.send_queue.clone();
            let pinged = Pinged { observed, key: client.key, pongs: pongs.clone() };
            let connection = self.connections.register(&username, pinged, send_queue, client.traffic.clone());
            self.presence.connect(&username, connection, address, port);
            self.rooms.views.sign_in(&username, client.legacy);
            let rooms = with_rooms.then(|| self.rooms.snapshots_of(&username));
            let motd = self.users.policy().motd.filter(|_| pongs.is_some());
            let admin = self.admin.is_admin(&username, client.key, Utc::now());
            client.reply(Status::Ok(Reply { rooms, motd, admin, ..reply }));
            connection
        };
        tracing::info!(class = CONNECTION, %username, from = %client.from, "signed in");
        client.signed_in = Some(SignedIn { username: username.clone(), connection, pongs });
        self.presence_changed(&username, ChangeKind::Online, Some(connection)).await;
        Ok(())
    }

    /// Ends a login. Its user goes offline, unless a newer login has replaced it.
    pub(crate) async fn sign_off(&self, me: &SignedIn) {
        let SignedIn { username, connection, .. } = me;
        self.connections.unregister(username, *connection);
        if self.presence.disconnect(username, *connection) {
            self.rooms.views.sign_off(username);
            tracing::info!(class = CONNECTION, %username, "signed off");
            self.presence_changed(username, ChangeKind::Offline, Some(*connection)).await;
        }
    }

    /// The figures of this moment.
    pub(crate) fn load(&self) -> Load {
        Load::of(&self.connections, &self.store, &self.authenticator)
    }

    /// The sessions whose peers a sweep pings.
    pub(crate) fn sessions(&self) -> Vec<ActiveConnection> {
        self.connections.all()
    }

    /// Takes the lock, and pushes the changes that were made until now.
    fn turn(&self) -> MutexGuard<'_, Watch<Room>> {
        let mut turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(change) = turn.try_next() {
            self.push(&change);
        }
        turn
    }
}

#[cfg(test)]
mod tests {
    use chrono::Utc;
    use commons::names::RoomName;
    use serde_json::json;
    use tokio::sync::mpsc::UnboundedReceiver;
    use tokio::time::timeout;

    use super::*;
    use crate::config::PasswordCost;
    use crate::limits::ENTRY_BEHIND_MAX;
    use crate::login::ConnectionId;
    use crate::send_queue::{QueuedFrame, SendQueue};

    /// A time limit longer than any step takes on a slow machine.
    const PATIENCE: Duration = Duration::from_secs(60);

    /// A session without a connection: its requests and its send queue.
    struct TestSession {
        client: Client,
        frames: UnboundedReceiver<Box<QueuedFrame>>,
    }

    impl TestSession {
        async fn register(service: &TrackerService, name: &str) -> Self {
            let (send_queue, frames) = SendQueue::new();
            let client = Client::new(([127, 0, 0, 1], 5000).into(), None, send_queue);
            let mut session = Self { client, frames };
            let password = "0".repeat(64);
            let register = json!({"cmd": "REGISTER", "username": name, "password": password, "port": 5000});
            session.ok(service, register).await;
            session
        }

        async fn ok(&mut self, service: &TrackerService, mut request: Value) -> Value {
            request["id"] = json!(1);
            service.handle(&mut self.client, request.as_object().cloned()).await;
            let reply = self.next().await;
            assert_eq!(reply["status"], "OK", "{reply}");
            reply
        }

        async fn next(&mut self) -> Value {
            let frame = timeout(PATIENCE, self.frames.recv()).await.unwrap().unwrap();
            serde_json::from_slice(&frame.bytes).unwrap()
        }

        /// The kind and the user of the next push, and the names of the room's members.
        async fn push(&mut self) -> (String, String, Vec<String>) {
            let push = self.next().await;
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let members = push["room"]["members"].as_array().into_iter().flatten();
            let members = members.map(|member| text(&member["username"])).collect();
            (text(&push["change"]["kind"]), text(&push["change"]["username"]), members)
        }
    }

    #[tokio::test]
    async fn change_by_another_process_is_pushed() {
        let folder = tempfile::tempdir().unwrap();
        let repositories = Repositories::open(folder.path()).unwrap();
        let passwords =
            Passwords::new(PasswordCost { memory: 8, passes: 1 }, repositories.key().public_key()).unwrap();
        let service =
            TrackerService::new(&repositories, passwords, LimitScope { loopback: false }, ENTRY_BEHIND_MAX);
        let service = Arc::new(service);
        let [mut ana, mut bob] =
            [TestSession::register(&service, "ana").await, TestSession::register(&service, "bob").await];
        ana.ok(&service, json!({"cmd": "CREATE_ROOM", "room": "sala"})).await;

        // A second view of the same collection stands for another process. Its sessions are unknown here.
        let other = repositories.rooms();
        let (sala, elsewhere) = (RoomName::parse("sala").unwrap(), Some(ConnectionId::new()));
        let [carla, of_bob] = ["carla", "bob"].map(|name| Username::parse(name).unwrap());
        other.join(&sala, &carla, elsewhere, Utc::now()).await.unwrap();
        assert!(ana.frames.try_recv().is_err(), "control: nobody pushes yet");
        let pushing = tokio::spawn(service.clone().push_changes());
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let change = |kind: &str, user: &str, names| (kind.to_owned(), user.to_owned(), owned(names));
        assert_eq!(ana.push().await, change("joined", "carla", &["ana", "carla"]));

        other.join(&sala, &of_bob, elsewhere, Utc::now()).await.unwrap();
        assert_eq!(ana.push().await, change("joined", "bob", &["ana", "carla", "bob"]));
        assert_eq!(bob.push().await, change("joined", "bob", &["ana", "carla", "bob"]));
        other.note_presence(&sala, &carla, ChangeKind::Offline, None).await.unwrap();
        assert_eq!(bob.push().await.0, "offline");
        other.leave(&sala, &of_bob, elsewhere).await.unwrap();
        assert_eq!(bob.push().await, change("left", "bob", &["ana", "carla"]));
        let ana_user = Username::parse("ana").unwrap();
        other.delete(&sala, &ana_user, elsewhere).await.unwrap();
        for kind in ["offline", "left", "deleted"] {
            assert_eq!(ana.push().await.0, kind);
        }
        assert!(bob.frames.try_recv().is_err() && ana.frames.try_recv().is_err());
        pushing.abort();
    }
}
