//! The dispatch of commands: each goes to the part of the peer that carries it out.
//!
//! The engine carries out a command that concerns the conversations. Others become a request to the tracker, a question
//! to the history, or a change of the account.

use commons::names::{RoomName, Username};
use tokio::time::{Instant, timeout, timeout_at};
use uuid::Uuid;

use crate::api::account::AccountCommand;
use crate::api::answer::Answer;
use crate::api::conversation::Conversation;
use crate::api::error::CommandError;
use crate::api::missing_conversation::MissingConversation;
use crate::api::undeliverable::Undeliverable;
use crate::api::{Command, Event};
use crate::engine::engine_command::EngineCommand;
use crate::engine::not_signed_in;
use crate::engine::room_intent::RoomIntent;
use crate::identity::device_key::is_password;
use crate::identity::password::Password;
use crate::limits::{DRAIN_ANSWER_MAX, QUIT_MAX};
use crate::service::account_commands::{Account, administer};
use crate::service::current_user::CurrentUser;
use crate::service::{PeerConfig, PeerService};

impl PeerService {
    /// Executes a command. A command that fails changes nothing. A message is durable only after its [`Event::Sent`];
    /// later commands wait for that.
    pub async fn execute(&self, command: Command) -> Result<Answer, CommandError> {
        let Some(session) = self.session.get() else { return Err(not_signed_in()) };
        self.wait_for_turn(&command).await?;
        let (engine, tracker, history) = (&self.engine, &self.tracker, &session.history);
        match command {
            Command::Say { conversation, text, id } => {
                self.filter.check(&text)?;
                let id = id.unwrap_or_else(Uuid::now_v7);
                return engine.command(EngineCommand::Say { to: named(conversation)?, text, id }).await;
            }
            Command::Open { conversation } => return engine.command(EngineCommand::Open(conversation)).await,
            Command::Users { conversation } => {
                return engine.command(EngineCommand::Users(named(conversation)?)).await;
            }
            Command::Away { text } => {
                return engine.command(EngineCommand::Away(text.unwrap_or_default())).await;
            }
            // Only the frontend keeps it.
            Command::Read { .. } => return Ok(Answer::Done),
            Command::Back => return engine.command(EngineCommand::Back).await,
            Command::Block { user: None } => return engine.command(EngineCommand::Blocked).await,
            Command::Block { user: Some(user) } => return engine.command(EngineCommand::Block(user)).await,
            Command::Unblock { user } => return engine.command(EngineCommand::Unblock(user)).await,
            Command::Mute { user: None } => return Ok(Answer::Muted { users: session.muted.users() }),
            Command::Mute { user: Some(user) } => return self.mute(user, true).await,
            Command::Unmute { user } => return self.mute(user, false).await,
            Command::AcceptChat { user } => return engine.command(EngineCommand::AcceptChat(user)).await,
            Command::Accept { user } => return engine.command(EngineCommand::Accept(user)).await,
            Command::Verify { user } => return engine.command(EngineCommand::Verify(user)).await,
            Command::Verified { user } => return engine.command(EngineCommand::Verified(user)).await,
            Command::Peers => {
                let peers = tracker.list_peers().await?;
                return engine.command(EngineCommand::MarkAway(peers)).await;
            }
            Command::Rooms => return Ok(Answer::Rooms { rooms: tracker.list_rooms().await? }),
            Command::Create { room, policy } => self.create_room(session, room, policy).await?,
            Command::Join { room } => {
                self.join_room(session, &room).await?;
                return engine.command(EngineCommand::Open(Conversation::Room(room))).await;
            }
            Command::Leave { conversation } => match named(conversation)? {
                Conversation::Room(room) => self.leave_room(session, &room).await?,
                Conversation::Private(user) => return engine.command(EngineCommand::EndPrivate(user)).await,
            },
            Command::Delete { room } => {
                let room = room.ok_or(MissingConversation::NoneOpen)?;
                if !self.change_room(session, &room, RoomIntent::Delete).await? {
                    tracker.delete_room(&room).await?;
                }
            }
            Command::Conversations => return self.conversations(history).await,
            Command::WhoAmI => return Ok(Answer::WhoAmI { status: self.status().await }),
            Command::History { lines, conversation, after: Some(after), .. } => {
                return self.following(history, lines, conversation, after).await;
            }
            Command::History { lines, conversation, before, after: None } => {
                return self.recent(history, lines, conversation, before).await;
            }
            Command::Search { words, before } => return self.search(history, &words, before).await,
            Command::Unlock { password } => self.unlock(session, password).await?,
            Command::Export { file, conversation } => return self.export(history, file, conversation).await,
            Command::Forget { conversation } => return self.forget(history, conversation).await,
            Command::Receipts { conversation } => return self.receipts(history, conversation).await,
            Command::Outbox => return self.outbox(history).await,
            Command::Filter => return Ok(self.filter.answer()),
            // The frontend has the message. It shows more of it only while the history is unlocked.
            Command::Show { .. } => self.look().await?,
            Command::Withdraw { id } => return self.withdraw(history, &id).await,
            Command::Admin(command) => return administer(tracker, command).await,
            Command::Room(command) => return self.govern_room(session, command).await,
            Command::Account(command) => return self.change_account(session, command).await,
            Command::SignIn(_) => return Err(CommandError::already_signed_in()),
            Command::Quit | Command::SignOut => return Ok(self.quit(session).await),
        }
        Ok(Answer::Done)
    }

    /// Lets a command that is not the engine's own come after all own messages. Notes that the user is there.
    async fn wait_for_turn(&self, command: &Command) -> Result<(), CommandError> {
        let is_by_user = match command {
            // The engine makes its own commands wait, and the end waits no longer than it must.
            Command::Say { .. }
            | Command::Open { .. }
            | Command::Read { .. }
            | Command::Users { .. }
            | Command::Away { .. }
            | Command::Back
            | Command::Block { .. }
            | Command::Unblock { .. }
            | Command::Accept { .. }
            | Command::AcceptChat { .. }
            | Command::Verify { .. }
            | Command::Verified { .. }
            | Command::Leave { .. }
            | Command::SignIn(_)
            | Command::Quit
            | Command::SignOut => return Ok(()),
            // A page sends these by itself, so they do not show that the user is there.
            Command::Peers | Command::Rooms | Command::Receipts { .. } => false,
            _ => true,
        };
        self.engine.command(EngineCommand::WaitForTurn { is_by_user }).await.map(drop)
    }

    /// Carries out a command about the user's own account.
    async fn change_account(
        &self,
        session: &CurrentUser,
        command: AccountCommand,
    ) -> Result<Answer, CommandError> {
        match &command {
            AccountCommand::Delete { name, password, rooms } => {
                self.may_delete(session, name.as_ref(), password.clone()).await?;
                self.give_up_rooms(session, *rooms).await?;
            }
            AccountCommand::ExportIdentity { password } => self.unlock(session, password.clone()).await?,
            AccountCommand::ChangePassword { old, new } if !new.is_too_short() => {
                self.may_change(session, old.clone()).await?;
            }
            _ => {}
        }
        let new = match &command {
            AccountCommand::ChangePassword { new, .. } => Some(new.clone()),
            _ => None,
        };
        let CurrentUser { profile, user, seed, .. } = session;
        let PeerConfig { data, seal_cost, .. } = &self.config;
        let account = Account { tracker: &self.tracker, profile, user, seed, seal_cost: *seal_cost, data };
        let endorsed = match &command {
            AccountCommand::Endorse { key } => Some(account.endorsable(key).await?),
            _ => None,
        };
        let answer = account.execute(command).await?;
        if let Some(key) = endorsed {
            self.add_device(session, key).await?;
        }
        if let Some(new) = new {
            self.recognise(&new);
        }
        if answer == Answer::AccountDeleted {
            self.stop().await;
            profile.remove()?;
        }
        Ok(answer)
    }

    /// Gives up the membership of a room, after its last messages had time to arrive. The room is not left while they
    /// cannot be stored.
    async fn leave_room(&self, session: &CurrentUser, room: &RoomName) -> Result<(), CommandError> {
        let drain = self.engine.command(EngineCommand::Drain(Some(Conversation::Room(room.clone()))));
        match timeout(DRAIN_ANSWER_MAX, drain).await {
            Ok(drained) => drained.map(drop)?,
            Err(_) => {
                let message =
                    format!("the disk does not respond, so you did not leave {room}. Try again later");
                return Err(CommandError::Local(message));
            }
        }
        if self.change_room(session, room, RoomIntent::Leave).await? {
            return Ok(());
        }
        Ok(self.tracker.leave_room(room).await?)
    }

    /// Unlocks the history if the password is right; ends the program after too many wrong ones.
    async fn unlock(&self, session: &CurrentUser, password: Password) -> Result<(), CommandError> {
        let is_right = is_password(&session.profile, password).await?;
        let Err(error) = self.engine.command(EngineCommand::Unlock { is_right }).await else { return Ok(()) };
        if !matches!(error, CommandError::PasswordWanted { .. }) {
            self.engine.end(error.clone()).await;
        }
        Err(error)
    }

    /// Checks that the account may be deleted: by the password, and by the name if it was given.
    async fn may_delete(
        &self,
        session: &CurrentUser,
        name: Option<&Username>,
        password: Option<Password>,
    ) -> Result<(), CommandError> {
        if let Some(name) = name.filter(|name| !session.profile.is_of(name)) {
            return Err(CommandError::Usage(format!("{name} is not your name: nothing was deleted")));
        }
        match password {
            Some(password) => self.unlock(session, password).await,
            None => self.engine.command(EngineCommand::RequestPassword).await.map(drop),
        }
    }

    /// Checks that the old password permits a change. A wrong one counts among the tries. Until these are used up it
    /// passes here, because the seal reports it afterwards.
    async fn may_change(&self, session: &CurrentUser, old: Password) -> Result<(), CommandError> {
        match self.unlock(session, old).await {
            Err(CommandError::PasswordWanted { .. }) => Ok(()),
            other => other,
        }
    }

    /// Waits for messages to linked members, signs out and closes the links. Messages for other members go out at the
    /// next start.
    async fn quit(&self, session: &CurrentUser) -> Answer {
        // A disk that does not respond must not block the end of the program. After the end of the driver nothing can be
        // on its way.
        let _ = timeout(DRAIN_ANSWER_MAX, self.engine.command(EngineCommand::Drain(None))).await;
        let until = Instant::now() + QUIT_MAX;
        let outbox =
            session.history.transaction(|tables| Ok((tables.undelivered()?, tables.waiting_counts(None)?)));
        let outbox = match timeout_at(until, outbox).await {
            Ok(outbox) => outbox.map_err(|error| error.to_string()),
            Err(_) => {
                let message = "The disk does not respond. Messages that are not shown as sent may be lost, and the others \
                               are sent at the next start.";
                Err(message.to_owned())
            }
        };
        // Without this event the program would end as if no message waited.
        let error = outbox.as_ref().err().map(|error| Event::error("STORAGE", error.clone()));
        let (outbox, undelivered) = outbox.unwrap_or_default();
        let farewell = async {
            self.engine.publish(error).await;
            let reason = Undeliverable::Waiting;
            for receipt in outbox {
                let id = receipt.message.id;
                let undelivered = receipt.waits.into_iter().map(|to| Event::Undelivered { id, to, reason });
                self.engine.publish(undelivered).await;
            }
            self.tracker.logout().await;
        };
        // The driver may wait for the same disk. The tracker notices the end of the connection too.
        let _ = timeout_at(until, farewell).await;
        self.stop_by(until).await;
        Answer::Quit { undelivered }
    }
}

/// Returns the conversation of a command. The open one belongs to each frontend, which names it.
pub(crate) fn named(conversation: Option<Conversation>) -> Result<Conversation, CommandError> {
    conversation.ok_or_else(|| MissingConversation::NoneOpen.into())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, mpsc};
    use std::time::Duration;

    use commons::keys::Seed;
    use commons::net::plaintext::Plaintext;
    use commons::net::tls::Purpose;

    use super::*;
    use crate::history::History;
    use crate::history::history_db::Place;
    use crate::history::testing::{ANA, author, user};
    use crate::identity::contacts::Contacts;
    use crate::identity::device_key::identity;
    use crate::identity::profile::Profile;
    use crate::peer_communication::known_keys_handle::KnownKeysHandle;
    use crate::peer_communication::links::{LinkConfig, PeerPeerCommunication};
    use crate::service::muted::Muted;
    use crate::service::testing::config;

    /// Starts a service whose user is signed in without a tracker.
    async fn service(data: &tempfile::TempDir) -> Arc<PeerService> {
        let service = PeerService::start(config(data.path())).await.unwrap();
        let seed = Seed::new([7; 32]);
        let config = LinkConfig {
            me: user(ANA),
            instance: 1,
            port: 1,
            identity: identity(&seed, Purpose::Link).unwrap(),
            plaintext: Plaintext::Never,
            member_rate: None,
            limit_loopback: false,
            tracker: service.tracker.endpoint(),
        };
        let (keys, _) = KnownKeysHandle::new();
        let (links, _) = PeerPeerCommunication::new(config, keys, service.key_lookup());
        let (history, ..) = History::open(&Place::Memory, &author(ANA)).unwrap();
        let profile = Profile::open(data.path(), service.tracker_address(), &user(ANA)).unwrap();
        let muted = Muted::open(Contacts::of(data.path(), &seed)).unwrap();
        let session = CurrentUser { user: user(ANA), seed, profile, history, links, muted };
        service.session.set(session).unwrap();
        service
    }

    #[tokio::test(start_paused = true)]
    async fn quit_ends_although_the_disk_does_not_respond() {
        let data = tempfile::tempdir().unwrap();
        let service = service(&data).await;
        let session = service.session.get().unwrap();
        let mut events = service.subscribe().await.events;
        let (go_on, gate) = mpsc::channel::<()>();
        let history = session.history.clone();
        let blocked = tokio::spawn(async move {
            let wait = move |_: &mut _| {
                let _ = gate.recv();
                Ok(())
            };
            history.transaction(wait).await
        });
        tokio::task::yield_now().await;
        let quit = timeout(Duration::from_secs(600), service.quit(session)).await;
        assert_eq!(quit.unwrap(), Answer::Quit { undelivered: Vec::new() });
        let mut reported = false;
        while let Some(event) = events.recv().await {
            reported |= matches!(event, Event::Error { code, .. } if code == "STORAGE");
        }
        assert!(reported, "the user learns that something may be lost");
        drop(go_on);
        blocked.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn quit_on_a_working_disk_reports_no_loss() {
        let data = tempfile::tempdir().unwrap();
        let service = service(&data).await;
        let mut events = service.subscribe().await.events;
        service.quit(service.session.get().unwrap()).await;
        while let Some(event) = events.recv().await {
            assert!(!matches!(event, Event::Error { .. }), "{event:?}");
        }
    }
}
