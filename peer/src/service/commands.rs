//! The execution of commands.
//!
//! A command becomes a request to the tracker, a message in the history, or a change of this peer's state.

use chrono::Utc;
use commons::limits::TEXT_MAX;
use commons::names::{RoomName, Username};
use commons::protocol::with_tracker::ErrorCode;
use tokio::time::{Instant, timeout, timeout_at};
use uuid::Uuid;

use crate::api::account::AccountCommand;
use crate::api::conversation::Conversation;
use crate::api::error::CommandError;
use crate::api::missing_conversation::MissingConversation;
use crate::api::{Answer, Command, Event, Undeliverable};
use crate::history::History;
use crate::history::command::Draft;
use crate::history::conversation::ConversationId;
use crate::identity::device_key::is_password;
use crate::identity::password::Password;
use crate::limits::{CLOCK_WAIT, QUIT_WAIT};
use crate::peer_communication::links::PeerPeerCommunication;
use crate::profile::Profile;
use crate::service::PeerService;
use crate::service::account::Account;
use crate::tracker_communication::tracker_report::TrackerError;

impl PeerService {
    /// Executes a command. A command that fails changes nothing. A message is durable only after its [`Event::Sent`];
    /// later commands wait for that.
    pub async fn execute(&self, command: Command) -> Result<Answer, CommandError> {
        let hub = &self.hub;
        let (Some(profile), Some(links), Some(history)) =
            (hub.profile.get(), hub.links.get(), hub.history.get())
        else {
            return Err(not_signed_in());
        };
        match command {
            Command::Say { .. } => {}
            // A disk that does not respond must not block the end of the program.
            Command::Quit => drop(timeout(QUIT_WAIT, hub.all_committed()).await),
            _ => hub.all_committed().await,
        }
        hub.lock().history_lock.touch(Instant::now());
        // No command is executed after the one that ended the service: after too many wrong passwords, the next input
        // may be a password.
        if let Some(error) = self.failure().filter(|_| command != Command::Quit) {
            return Err(error);
        }
        match command {
            Command::Say { conversation, text, id } => {
                check_length(&text)?;
                let to = conversation.map_or_else(|| hub.lock().chat.opened(), Ok)?;
                if let Conversation::Private(user) = &to {
                    self.reach(links, user).await?;
                }
                self.say(history, to, text, id.unwrap_or_else(Uuid::now_v7)).await?;
            }
            Command::Open { conversation } => {
                if let Conversation::Private(user) = &conversation {
                    self.reach(links, user).await?;
                }
                hub.lock().chat.switch(conversation)?;
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
                    Conversation::Room(room) => {
                        let place = hub.lock().chat.place(&Conversation::Room(room.clone()));
                        if let Ok((place, _)) = place {
                            self.flush_outgoing(history, Some(&place)).await;
                        }
                        self.tracker.leave_room(&room).await?;
                    }
                    Conversation::Private(user) => self.end_private(links, &user)?,
                }
            }
            Command::Delete { room } => {
                let room = room.map_or_else(|| self.open_room(), Ok)?;
                self.tracker.delete_room(&room).await?;
            }
            Command::Users { conversation } => return hub.users(conversation),
            Command::Conversations => return hub.conversations(history).await,
            Command::WhoAmI => return Ok(Answer::WhoAmI { status: self.status() }),
            Command::Block { user: None } => {
                return Ok(Answer::Blocked {
                    users: self.hub.lock().chat.blocked().iter().cloned().collect(),
                });
            }
            Command::Block { user: Some(user) } => self.hub.block(&user, true)?,
            Command::Unblock { user } => self.hub.block(&user, false)?,
            Command::Accept { user } => self.hub.accept_keys(&user)?,
            Command::Verify { user } => return self.hub.safety_number(user),
            Command::Verified { user } => self.hub.verify_keys(&user)?,
            Command::History { lines, conversation, before } => {
                return hub.recent(history, lines, conversation, before).await;
            }
            Command::Search { words, before } => return hub.search(history, &words, before).await,
            Command::Unlock { password } => self.unlock(profile, password).await?,
            Command::Export { file, conversation } => {
                return hub.export(history, file, conversation).await;
            }
            Command::Forget { conversation } => return hub.forget(history, conversation).await,
            Command::Receipts { conversation } => return hub.receipts(history, conversation).await,
            Command::Outbox => return hub.outbox(history).await,
            Command::Withdraw { id } => return hub.withdraw(history, &id).await,
            Command::Account(wish) => {
                let (Some(user), Some(seed)) = (hub.lock().chat.me().cloned(), self.seed.get()) else {
                    return Err(not_signed_in());
                };
                if let AccountCommand::Delete { name, password } = &wish {
                    self.may_delete(profile, name.as_ref(), password.clone()).await?;
                }
                if let AccountCommand::ChangePassword { old, new } = &wish
                    && !new.is_too_short()
                {
                    self.may_change(profile, old.clone()).await?;
                }
                let new = match &wish {
                    AccountCommand::ChangePassword { new, .. } => Some(new.clone()),
                    _ => None,
                };
                let (tracker, seal_cost) = (&self.tracker, self.config.seal_cost);
                let account = Account { tracker, profile, user: &user, seed, seal_cost };
                let answer = account.execute(wish).await?;
                if let Some(new) = new {
                    self.recognise(&new);
                }
                if answer == Answer::AccountDeleted {
                    self.stop().await;
                    profile.remove()?;
                }
                return Ok(answer);
            }
            Command::Quit => return Ok(self.quit(history).await),
        }
        Ok(Answer::Done)
    }

    /// Unlocks the history if the password is right; ends the program after too many wrong ones.
    async fn unlock(&self, profile: &Profile, password: Password) -> Result<(), CommandError> {
        let right = is_password(profile, password).await?;
        let tried = self.hub.lock().history_lock.attempt(right, Instant::now());
        tried.map_err(|shut| {
            let error = CommandError::from(shut);
            if shut.tries_left == 0 {
                self.hub.end(error.clone());
            }
            error
        })
    }

    /// Checks that the account may be deleted: by the password, and by the name if it was given.
    async fn may_delete(
        &self,
        profile: &Profile,
        name: Option<&Username>,
        password: Option<Password>,
    ) -> Result<(), CommandError> {
        if let Some(name) = name.filter(|name| !profile.is_of(name)) {
            return Err(CommandError::Usage(format!("{name} is not your name: nothing was deleted")));
        }
        match password {
            Some(password) => self.unlock(profile, password).await,
            None => Err(self.hub.lock().history_lock.shut().into()),
        }
    }

    /// Checks that the old password permits a change. A wrong one counts among the tries. Until these are used up it
    /// passes here, because the seal reports it afterwards.
    async fn may_change(&self, profile: &Profile, old: Password) -> Result<(), CommandError> {
        match self.unlock(profile, old).await {
            Err(CommandError::PasswordWanted { .. }) => Ok(()),
            judged => judged,
        }
    }

    fn open_room(&self) -> Result<RoomName, CommandError> {
        match self.hub.lock().chat.opened()? {
            Conversation::Room(room) => Ok(room),
            Conversation::Private(_) => Err(MissingConversation::NotARoom.into()),
        }
    }

    /// Begins a private chat with a user whom the tracker knows, or who was met before. Asks the tracker for the user's
    /// address if necessary.
    async fn reach(&self, links: &PeerPeerCommunication, user: &Username) -> Result<(), CommandError> {
        if self.hub.lock().chat.me() == Some(user) {
            return Err(CommandError::NotYourself);
        }
        // A known key may have endorsed the other since the change was noticed.
        let changed = links.known_keys().with(|book| book.is_changed(user));
        let is_away = links.link_state(user).is_none() && !self.was_sought(user);
        if changed || is_away {
            match self.tracker.peer(user).await {
                Ok(found) => {
                    let found = self.hub.found(user, found.map(|found| found.peer));
                    return found.inspect_err(|_| self.hub.lock().seeks.forget(user));
                }
                Err(TrackerError::Lost) if changed => return Err(CommandError::KeyChanged(user.clone())),
                // Messages to a known user wait in the outbox until the user can be reached.
                Err(error) if !is_unknown(&error) && self.is_met(links, user) => {}
                Err(error) => {
                    self.hub.lock().seeks.forget(user);
                    return Err(error.into());
                }
            }
        }
        self.hub.lock().chat.begin_private(user.clone(), None);
        self.hub.update_link_targets();
        Ok(())
    }

    /// Returns true if the tracker was asked a moment ago about the absent user: messages to that user wait.
    fn was_sought(&self, user: &Username) -> bool {
        let mut state = self.hub.lock();
        state.chat.away().contains(user) && !state.seeks.may_seek(user, Instant::now())
    }

    /// Returns true if this device met the user before, in this run or an earlier one.
    fn is_met(&self, links: &PeerPeerCommunication, user: &Username) -> bool {
        links.known_keys().with(|book| book.has_keys(user)) || self.hub.lock().chat.talks_with(user)
    }

    /// Sends a message to all members of a conversation: it is appended to the history, and delivered from there.
    async fn say(
        &self,
        history: &History,
        to: Conversation,
        text: String,
        id: Uuid,
    ) -> Result<(), CommandError> {
        self.learn_time(&to).await?;
        let (place, _) = self.hub.lock().chat.place(&to)?;
        self.hub.keep_pace(history, &place, &to).await;
        let Some(queue) = history.place().await else { return Err(not_signed_in()) };
        // This must come after the waits, during which members may have joined or left.
        let mut state = self.hub.lock();
        let (place, revision) = state.chat.place(&to)?;
        let audience = state.chat.listeners(&to)?;
        let room = match to {
            Conversation::Room(room) => Some(room),
            Conversation::Private(_) => None,
        };
        state.saying += 1;
        queue.append(Draft { id, to: place, room, text, audience, revision, sent_at: Utc::now() });
        Ok(())
    }

    /// Before the first message in a conversation, waits briefly for the Lamport time of a connected member. The new
    /// message then sorts after the existing ones. The link that would carry the message carries that time first.
    async fn learn_time(&self, to: &Conversation) -> Result<(), CommandError> {
        let deadline = Instant::now() + CLOCK_WAIT;
        loop {
            let told = self.hub.told_time.notified();
            let place = {
                let state = self.hub.lock();
                let (place, _) = state.chat.place(to)?;
                let mut listeners = state.chat.listeners(to)?.into_iter();
                if state.timed.contains(&place)
                    || !listeners.any(|user| self.hub.may_send_have(&state, &user))
                {
                    return Ok(());
                }
                place
            };
            if timeout_at(deadline, told).await.is_err() {
                self.hub.lock().timed.insert(place);
                return Ok(());
            }
        }
    }

    /// Waits up to [`QUIT_WAIT`] for outbox messages to connected members: all, or those of one conversation.
    async fn flush_outgoing(&self, history: &History, of: Option<&ConversationId>) {
        let deadline = Instant::now() + QUIT_WAIT;
        loop {
            let moved = self.hub.moved.notified();
            let waiting = match of {
                None => history.waiting().await,
                Some(of) => history.waiting_in(of.clone()).await,
            };
            // If the disk has failed, nothing is known and nothing can be sent.
            let waiting = waiting.unwrap_or_default();
            let on_its_way = waiting.iter().any(|(user, _)| self.hub.is_expected(user));
            if !on_its_way || timeout_at(deadline, moved).await.is_err() {
                return;
            }
        }
    }

    fn end_private(&self, links: &PeerPeerCommunication, user: &Username) -> Result<(), CommandError> {
        let still_used = {
            let mut state = self.hub.lock();
            state.chat.end_private(user)?;
            state.chat.talks_with(user)
        };
        links.leave(user, None, still_used);
        self.hub.update_link_targets();
        Ok(())
    }

    /// Waits for messages to linked members, signs out and closes the links. Messages for other members go out at the
    /// next start.
    async fn quit(&self, history: &History) -> Answer {
        self.flush_outgoing(history, None).await;
        let outbox = history.outbox().await;
        if let Err(error) = &outbox {
            // Without this event the program would end as if no message waited.
            self.hub.lock().event_bus.publish([Event::error("STORAGE", error.to_string())]);
        }
        for waiting in outbox.unwrap_or_default() {
            for user in waiting.waits {
                self.hub.publish_undelivered(&user, vec![waiting.id], Undeliverable::Waiting);
            }
        }
        let undelivered = history.waiting().await.unwrap_or_default();
        self.tracker.logout().await;
        self.stop().await;
        Answer::Quit { undelivered }
    }
}

/// Returns true if the tracker answered that it has no such user.
fn is_unknown(error: &TrackerError) -> bool {
    matches!(error, TrackerError::Refused(refusal) if refusal.code == ErrorCode::PeerNotFound)
}

fn check_length(text: &str) -> Result<(), CommandError> {
    let length = text.len();
    if length > TEXT_MAX { Err(CommandError::TextTooLong { length, max: TEXT_MAX }) } else { Ok(()) }
}

fn not_signed_in() -> CommandError {
    CommandError::refused(ErrorCode::NotLoggedIn, "sign in first")
}
