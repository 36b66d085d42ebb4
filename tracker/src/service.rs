//! The tracker service: takes a request, calls a handler, and sends the reply and the pushes.
//!
//! One lock covers the reading of a state and the queueing of the frame that shows it. A session therefore never gets
//! an older state of a room after a newer one, whichever task delivers first. A session may get the same state twice,
//! which does no harm.
//!
//! Example: bob joins and carla leaves at the same moment. Two tasks push the room to ana. Each push shows the state at
//! its own turn, so the second one shows both changes.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::Utc;
use commons::keys::PublicKey;
use commons::names::Username;
use commons::protocol::with_tracker::{
    Asked, ErrorCode, NotARequest, Pong, Reply, RequestId, Secret, Status, TrackerMessage, TrackerRequest,
};
use commons::snapshot::ChangeKind;
use serde_json::{Map, Value};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::active_connections::{ActiveConnection, ActiveConnections, Pinged};
use crate::client::{Client, SignedIn, not_an_object};
use crate::connection_id::ConnectionId;
use crate::handlers::account::AccountCommandHandler;
use crate::handlers::authenticator::Authenticator;
use crate::handlers::outcome::{Notice, Outcome, ReplyBody, RequestError};
use crate::handlers::peer::PeerCommandHandler;
use crate::handlers::room::RoomCommandHandler;
use crate::handlers::user::{Admitted, UserCommandHandler};
use crate::legacy_texts;
use crate::passwords::Passwords;
use crate::push::Push;
use crate::repositories::Repositories;
use crate::repositories::peer::PeerRepository;
use crate::send_queue::CloseReason;
use crate::subnet::LimitScope;

/// The state that all sessions share.
#[derive(Debug)]
pub(crate) struct TrackerService {
    users: UserCommandHandler,
    rooms: RoomCommandHandler,
    peers: PeerCommandHandler,
    accounts: AccountCommandHandler,
    presence: PeerRepository,
    connections: ActiveConnections,
    watched: LimitScope,
    /// The lock around reading a state and queueing it. It is never held across an await.
    turn: Mutex<()>,
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
    pub(crate) fn new(repositories: &Repositories, passwords: Passwords, watched: LimitScope) -> Self {
        let (users, rooms, peers) = (repositories.users(), repositories.rooms(), repositories.peers());
        let door = Arc::new(Authenticator::new(users.clone(), passwords, watched));
        Self {
            users: UserCommandHandler::new(users.clone(), peers.clone(), door.clone()),
            accounts: AccountCommandHandler::new(users.clone(), peers.clone(), door),
            rooms: RoomCommandHandler::new(rooms.clone(), peers.clone()),
            peers: PeerCommandHandler::new(users, rooms, peers.clone()),
            presence: peers,
            connections: ActiveConnections::default(),
            watched,
            turn: Mutex::new(()),
        }
    }

    /// Handles one request, or `None` for a frame that is not an object. Every request of a client passes through it.
    pub(crate) async fn handle(&self, client: &mut Client, object: Option<Map<String, Value>>) -> Next {
        let asked = object.map_or_else(|| Err(not_an_object()), Asked::read);
        client.recognise(
            asked.as_ref().map_or_else(|refused| refused.id.is_some(), |asked| asked.id.is_some()),
        );
        let paced = self.keep_pace(client, asked.as_ref().ok().map(|asked| &asked.request));
        let Asked { id, username, request } = match asked {
            Ok(asked) => asked,
            Err(NotARequest { id, code, msg }) => {
                client.refuse(id, paced.err().unwrap_or_else(|| RequestError::new(code, msg)), None);
                return Next::GoOn;
            }
        };
        let leaves = matches!(request, TrackerRequest::Logout | TrackerRequest::DeleteAccount { .. });
        let asked = client.legacy.then(|| request.clone());
        let served = match (&client.signed_in, paced) {
            (_, Err(too_fast)) => Err(too_fast),
            (None, Ok(())) => self.greet(client, id.clone(), request).await,
            (Some(me), Ok(())) => self.serve(client, me, id.clone(), username, request).await,
        };
        match served {
            Ok(()) if leaves => Next::Close,
            Ok(()) => Next::GoOn,
            Err(refused) => {
                client.count_guess(refused.code);
                // If leaving failed, the client has already been signed off.
                let gone = leaves && refused.code == ErrorCode::Storage;
                client.refuse(id, refused, asked.as_ref());
                if client.may_guess() && !gone { Next::GoOn } else { Next::Close }
            }
        }
    }

    /// Counts a request against the client's rate limits. A frame that is no request counts too.
    fn keep_pace(&self, client: &mut Client, request: Option<&TrackerRequest>) -> Result<(), RequestError> {
        if self.watched.network(client.from.ip()).is_none() {
            return Ok(());
        }
        let paced = client.rates.ask(request, Instant::now());
        // A PONG is not a request and gets no reply, not even this one.
        paced.or_else(|wait| match request {
            Some(TrackerRequest::Pong) => Ok(()),
            _ => Err(RequestError::too_fast(wait)),
        })
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
                let admitted = self.users.register(credentials, from).await?;
                tracing::info!(username = %admitted.username, from = %client.from, "registered");
                let msg = legacy.unwrap_or_else(|| "welcome, your account is made".to_owned());
                let reply = Reply { msg, id, ..Reply::default() };
                self.sign_in(client, admitted, reply, false).await?;
            }
            TrackerRequest::Login(credentials) => {
                let admitted = self.users.login(credentials, from).await?;
                let with_rooms = id.is_some();
                let msg = legacy.unwrap_or_else(|| "welcome back".to_owned());
                let reply = Reply { msg, id, ..Reply::default() };
                self.sign_in(client, admitted, reply, with_rooms).await?;
            }
            TrackerRequest::Pong => {}
            _ => {
                return Err(RequestError::new(
                    ErrorCode::NotLoggedIn,
                    "sign in first, with LOGIN or REGISTER",
                ));
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
                return Err(RequestError::new(
                    ErrorCode::Forbidden,
                    "\"username\" must be your own, or absent",
                ));
            }
            TrackerRequest::ListPeers(page) => Outcome::showing("peers", ReplyBody::Peers(page)),
            TrackerRequest::GetPeer { peer } => self.peers.find(&peer)?,
            TrackerRequest::ListRooms(page) => Outcome::showing("rooms", ReplyBody::Rooms(page)),
            TrackerRequest::CreateRoom { room } => self.rooms.create(&me.username, &room).await?,
            TrackerRequest::JoinRoom { room } => self.rooms.join(&me.username, &room).await?,
            TrackerRequest::LeaveRoom { room } => self.rooms.leave(&me.username, &room).await?,
            TrackerRequest::DeleteRoom { room } => self.rooms.delete(&me.username, &room).await?,
            TrackerRequest::ListKeys => {
                Outcome::showing("your keys", ReplyBody::Keys(me.username.clone(), client.key))
            }
            TrackerRequest::RevokeKey { key } => self.revoke(client, me, key).await?,
            TrackerRequest::EndorseKey { key, signature } => {
                let outcome = self.accounts.endorse(&me.username, client.key, key, signature).await?;
                self.presence_changed(&me.username, ChangeKind::Online, Some(me.connection)).await;
                outcome
            }
            TrackerRequest::ChangePassword { password, new_password } => {
                self.accounts.change_password(&me.username, client.origin(), password, &new_password).await?
            }
            TrackerRequest::DeleteAccount { password } => self.delete_account(client, me, password).await?,
            TrackerRequest::Ping => Outcome::showing("", ReplyBody::Pong),
            TrackerRequest::Logout => {
                self.sign_off(me).await;
                Outcome::text("goodbye")
            }
        };
        let turn = self.turn();
        client.say(self.reply(legacy.unwrap_or(outcome.msg), outcome.shows, id, client.legacy)?);
        self.deliver(&turn, &outcome.notices, Some(me.connection));
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
            ReplyBody::Rooms(page) => {
                let (rooms, more) = self.rooms.list(&page, with_id, legacy)?;
                Reply { rooms: Some(rooms), more, ..reply }
            }
            ReplyBody::Peers(page) => {
                let (peers, more) = self.peers.list(&page, with_id)?;
                Reply { peers: Some(peers), more, ..reply }
            }
        };
        Ok(TrackerMessage::Status(Box::new(Status::Ok(reply))))
    }

    /// Pushes notices to the members that they concern, except to the session that caused them. Every push passes
    /// through it.
    fn deliver(&self, _turn: &MutexGuard<'_, ()>, notices: &[Notice], asker: Option<ConnectionId>) {
        for notice in notices {
            let deleted = notice.change.kind == ChangeKind::Deleted;
            let room = self.rooms.snapshot(&notice.room, false).ok().filter(|_| !deleted);
            let members = room.iter().flat_map(|room| &room.members).map(|member| &member.username);
            let hearers: BTreeSet<Username> = members.chain(&notice.also).cloned().collect();
            let Some(push) = Push::of(notice, room) else { continue };
            tracing::debug!(room = ?notice.room, change = ?notice.change, "pushing to the members");
            let connections = hearers.iter().filter_map(|username| self.connections.connection(username));
            for connection in connections.filter(|connection| Some(connection.id) != asker) {
                connection.push(push.line(connection.is_legacy()));
            }
        }
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
            let outbox = client.outbox.clone();
            let pinged = Pinged { observed, key: client.key, pongs: pongs.clone() };
            let connection = self.connections.register(&username, pinged, outbox);
            self.presence.connect(&username, connection, address, port);
            self.rooms.views.sign_in(&username, client.legacy);
            let rooms = with_rooms.then(|| self.rooms.snapshots_of(&username));
            client.say(Status::Ok(Reply { rooms, ..reply }));
            connection
        };
        tracing::info!(%username, from = %client.from, "signed in");
        client.signed_in = Some(SignedIn { username: username.clone(), connection, pongs });
        self.presence_changed(&username, ChangeKind::Online, Some(connection)).await;
        Ok(())
    }

    /// Revokes a key of a user. A session that has proven the key is ended, and the members of the user's rooms get the
    /// remaining keys.
    async fn revoke(&self, client: &Client, me: &SignedIn, key: PublicKey) -> Result<Outcome, RequestError> {
        let outcome = self.accounts.revoke(&me.username, client.key, key).await?;
        {
            let _turn = self.turn();
            let session = self.connections.connection(&me.username);
            session
                .filter(|session| session.pinged.key == Some(key))
                .iter()
                .for_each(|s| s.end(CloseReason::Revoked));
        }
        self.presence_changed(&me.username, ChangeKind::Online, Some(me.connection)).await;
        Ok(outcome)
    }

    /// Deletes an account: first the rooms, then the session, then the user's records. If the tracker stops in between,
    /// the user can sign in and repeat the request.
    async fn delete_account(
        &self,
        client: &Client,
        me: &SignedIn,
        password: Option<Secret>,
    ) -> Result<Outcome, RequestError> {
        self.accounts.prove(&me.username, client.origin(), password).await?;
        let departure = {
            let _turn = self.turn();
            let session = self.connections.connection(&me.username).map(|session| session.id);
            if session != Some(me.connection) {
                return Err(RequestError::new(ErrorCode::Forbidden, "a newer login replaced this session"));
            }
            self.accounts.depart(&me.username)
        };
        let (notices, vacated) = self.rooms.leave_all(&me.username).await;
        self.deliver(&self.turn(), &notices, Some(me.connection));
        vacated?;
        self.sign_off(me).await;
        self.accounts.remove(&departure).await?;
        tracing::info!(username = %me.username, "account deleted");
        Ok(Outcome::text("your account is deleted"))
    }

    /// Ends a login. Its user goes offline, unless a newer login has replaced it.
    pub(crate) async fn sign_off(&self, me: &SignedIn) {
        let SignedIn { username, connection, .. } = me;
        self.connections.unregister(username, *connection);
        if self.presence.disconnect(username, *connection) {
            self.rooms.views.sign_off(username);
            tracing::info!(%username, "signed off");
            self.presence_changed(username, ChangeKind::Offline, Some(*connection)).await;
        }
    }

    /// The sessions whose peers a sweep pings.
    pub(crate) fn sessions(&self) -> Vec<ActiveConnection> {
        self.connections.all()
    }

    /// Handles the result that the peer of a session answered a PING.
    pub(crate) async fn mark_alive(&self, session: &ActiveConnection) {
        let back = self.presence.mark_alive(&session.username, session.id, Utc::now());
        if back == Some(true) {
            tracing::info!(username = %session.username, "answers again");
        }
        match back {
            Some(true) => self.presence_changed(&session.username, ChangeKind::Online, None).await,
            Some(false) => self.save_place(&session.username).await,
            None => {}
        }
    }

    /// Handles the result that the peer of a session did not answer.
    pub(crate) async fn silent(&self, session: &ActiveConnection) {
        if self.presence.silent(&session.username, session.id) {
            tracing::info!(username = %session.username, "does not answer");
            self.presence_changed(&session.username, ChangeKind::Offline, None).await;
        }
    }

    /// Frees the seats of guests who have been offline for at least `hold`.
    pub(crate) async fn free_overdue_seats(&self, hold: Duration) {
        let presence = self.presence.clone();
        let notices = self.rooms.free_overdue(move |username| presence.offline_for(username, hold)).await;
        self.deliver(&self.turn(), &notices, None);
    }

    async fn presence_changed(&self, username: &Username, kind: ChangeKind, asker: Option<ConnectionId>) {
        self.save_place(username).await;
        match self.rooms.presence_changed(username, kind).await {
            Ok(notices) => self.deliver(&self.turn(), &notices, asker),
            Err(error) => tracing::warn!(%error, "a presence change could not be stored"),
        }
    }

    async fn save_place(&self, username: &Username) {
        if let Err(error) = self.presence.save(username).await {
            tracing::warn!(%error, "a peer's address could not be stored");
        }
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
