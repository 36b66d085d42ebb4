//! The service's part for admins and the operator: it applies their rules to the sessions and rooms of this moment.

use std::collections::BTreeMap;

use chrono::Utc;
use commons::names::Username;
use commons::net::frame::encode;
use commons::protocol::administration::{AdminRequest, Announcement, BanTarget, ListedSession, NewBan};
use commons::protocol::page::Page;
use commons::protocol::with_tracker::{ErrorCode, Status};

use crate::active_connections::ActiveConnection;
use crate::client::Client;
use crate::handlers::admin::{Actor, AdminCommandHandler};
use crate::handlers::outcome::{Outcome, ReplyBody, RequestError, in_utc};
use crate::handlers::page::PageBounds;
use crate::log_class::SECURITY;
use crate::login::SignedIn;
use crate::repositories::ban::{Ban, Banned};
use crate::send_queue::CloseReason;
use crate::service::TrackerService;

impl TrackerService {
    /// The admin who uses a session, or an error if the session is not one of an admin.
    pub(crate) fn admin_of(&self, client: &Client, me: &SignedIn) -> Result<Actor, RequestError> {
        if !self.admin.is_admin(&me.username, client.key, Utc::now()) {
            return Err(RequestError::new(ErrorCode::NotAdmin, "only an admin of the tracker can do this"));
        }
        let (username, connection) = (me.username.clone(), me.connection);
        Ok(Actor::Admin { username, connection, address: client.from.ip() })
    }

    /// Carries out a request of an admin or a command of the operator. Both pass through it.
    pub(crate) async fn administer(
        &self,
        actor: &Actor,
        request: AdminRequest,
    ) -> Result<Outcome, RequestError> {
        match request {
            AdminRequest::Sessions(page) => Ok(Outcome::showing("sessions", ReplyBody::Sessions(page))),
            AdminRequest::Bans(page) => Ok(Outcome::showing("bans", ReplyBody::Bans(page))),
            AdminRequest::Kick { user } => self.kick(actor, &user),
            AdminRequest::Ban(ban) => self.ban(actor, &ban).await,
            AdminRequest::Unban(target) => self.unban(actor, &target).await,
            AdminRequest::Announce { text } => self.announce(actor, &text),
            AdminRequest::AdminDeleteRoom { room } => {
                let name = self.rooms.remove(&room, actor.connection()).await?;
                tracing::info!(class = SECURITY, %actor, room = %name, "an admin deleted a room");
                Ok(Outcome::text(format!("{name} is deleted")))
            }
            AdminRequest::RemoveUser { user } => self.remove_user(actor, &user).await,
        }
    }

    fn kick(&self, actor: &Actor, user: &str) -> Result<Outcome, RequestError> {
        let username = self.admin.user(user)?;
        actor.may_act_on(&username)?;
        match self.connections.end(&username, CloseReason::Kicked) {
            Some(_) => {
                tracing::info!(class = SECURITY, %actor, %username, "an admin ended a session");
                Ok(Outcome::text(format!("the session of {username} is ended")))
            }
            None => Err(RequestError::new(ErrorCode::PeerNotFound, format!("{username} is not signed in"))),
        }
    }

    async fn ban(&self, actor: &Actor, ban: &NewBan) -> Result<Outcome, RequestError> {
        let (banned, Ban { until, keys, .. }) = self.admin.ban(actor, ban, Utc::now()).await?;
        let is_concerned = |session: &ActiveConnection| match &banned {
            // The same device may be signed in under another name.
            Banned::User(username) => {
                session.username == *username || session.pinged.key.is_some_and(|key| keys.contains(&key))
            }
            Banned::Address(range) => range.contains(session.pinged.observed.ip()),
        };
        {
            // The login takes the same lock, so its session is either ended here or finds the ban.
            let _turn = self.turn();
            for session in self.connections.all().into_iter().filter(is_concerned) {
                self.connections.end(&session.username, CloseReason::Banned(until));
            }
        }
        let until = until.map_or_else(|| "for good".to_owned(), |until| format!("until {}", in_utc(until)));
        tracing::info!(class = SECURITY, %actor, %banned, until, "an admin banned");
        let has_account = !matches!(&banned, Banned::User(user) if self.admin.user(user.as_str()).is_err());
        let note = if has_account { "" } else { ", which has no account" };
        Ok(Outcome::text(format!("banned {until}: {banned}{note}")))
    }

    async fn unban(&self, actor: &Actor, target: &BanTarget) -> Result<Outcome, RequestError> {
        let banned = self.admin.unban(target, Utc::now()).await?;
        tracing::info!(class = SECURITY, %actor, %banned, "an admin lifted a ban");
        Ok(Outcome::text(format!("not banned any more: {banned}")))
    }

    /// Sends a text to all encrypted sessions. A plaintext client could not tell it from a reply.
    fn announce(&self, actor: &Actor, text: &str) -> Result<Outcome, RequestError> {
        AdminCommandHandler::check_announcement(text)?;
        let from = actor.username().map(|username| username.as_str().to_owned());
        let push = Status::Announcement(Announcement { from, text: text.to_owned() });
        let frame = encode(&push)
            .map_err(|_| RequestError::new(ErrorCode::Malformed, "the announcement is too long"))?;
        let mut reached = 0;
        for session in self.connections.all().into_iter().filter(|session| session.takes_announcements()) {
            session.push(frame.clone());
            reached += 1;
        }
        tracing::info!(class = SECURITY, %actor, bytes = text.len(), reached, "an announcement");
        Ok(Outcome::text(format!("announced to sessions: {reached}")))
    }

    /// A page of the sessions, and whether more follow.
    pub(crate) fn list_sessions(
        &self,
        page: &Page,
    ) -> Result<(BTreeMap<String, ListedSession>, bool), RequestError> {
        let bounds = PageBounds::of(page, true)?;
        let (prefix, after) =
            (page.prefix.as_deref().unwrap_or_default(), page.after.as_deref().unwrap_or_default());
        let wanted = |username: &Username| username.as_str().starts_with(prefix) && username.as_str() > after;
        let mut sessions = self.connections.all();
        sessions.retain(|session| wanted(&session.username));
        sessions.sort_unstable_by(|one, other| one.username.cmp(&other.username));
        Ok(bounds.fill(sessions.into_iter().map(|session| {
            let traffic = &session.traffic;
            let listed = ListedSession {
                since: Some(session.since),
                address: session.pinged.observed.ip(),
                encrypted: session.pinged.key.is_some(),
                bytes_in: traffic.bytes_in(),
                bytes_out: traffic.bytes_out(),
                requests: traffic.requests(),
            };
            (session.username.as_str().to_owned(), listed)
        })))
    }
}
