//! The commands of the engine: each is carried out now, deferred until own messages are stored, or pending.
//!
//! A message may have to wait: until the tracker has answered where its recipient is, until a member has sent the
//! Lamport time of the conversation, or until a slow recipient has caught up. Each wait is bounded.

use commons::limits::TEXT_MAX;
use commons::names::Username;
use tokio::time::Instant;
use uuid::Uuid;

use crate::api::answer::Answer;
use crate::api::conversation::Conversation;
use crate::api::error::CommandError;
use crate::engine::Engine;
use crate::engine::drain::Drain;
use crate::engine::effect::{Effect, Effects};
use crate::engine::engine_command::EngineCommand;
use crate::engine::input::{Now, Ticket};
use crate::engine::omission::Omission;
use crate::engine::pending_command::{Intent, PendingCommand};
use crate::engine::timers::Timer;
use crate::history::conversation::ConversationId;
use crate::history::query::Query;
use crate::history::request::{Draft, Request};
use crate::limits::{CLOCK_WAIT, DRAIN_MAX};
use crate::peer_communication::dialect::Dialect;

impl Engine {
    /// Carries out a command. All but a message wait until every own message is stored, so that they come after it.
    /// They also wait until an earlier decision is on the disk, so that each decision starts from the one before it.
    pub(in crate::engine) fn on_command(
        &mut self,
        ticket: Ticket,
        command: EngineCommand,
        now: Now,
        effects: &mut Effects,
    ) {
        let is_message = matches!(command, EngineCommand::Say { .. });
        let is_storing = self.unstored > 0 && !self.omits(Omission::CommandsWait);
        let must_wait = is_storing || !self.decisions.is_empty() || !self.deferred.is_empty();
        if must_wait && !is_message {
            return self.deferred.push_back((ticket, command));
        }
        self.carry_out(ticket, command, now, effects);
    }

    fn carry_out(&mut self, ticket: Ticket, command: EngineCommand, now: Now, effects: &mut Effects) {
        // A page sends these by itself, so they do not show that the user is there.
        let is_by_user = !matches!(
            command,
            EngineCommand::Users(_)
                | EngineCommand::MarkAway(_)
                | EngineCommand::WaitForTurn { is_by_user: false }
        );
        if is_by_user {
            self.history_lock.touch(now.instant);
        }
        let outcome = match command {
            EngineCommand::Say { text, .. } if text.len() > TEXT_MAX => {
                Err(CommandError::TextTooLong { length: text.len(), max: TEXT_MAX })
            }
            EngineCommand::Say { to: Conversation::Room(room), .. } if self.is_split(&room) => {
                Err(CommandError::SplitView(room))
            }
            EngineCommand::Say { to, text, id } => {
                return self.begin(ticket, Intent::Say { to, text, id }, now, effects);
            }
            EngineCommand::Open(conversation) => {
                return self.begin(ticket, Intent::Open(conversation), now, effects);
            }
            EngineCommand::EndPrivate(user) => self.end_private(&user, effects).map(|()| Answer::Done),
            EngineCommand::Users(conversation) => self.users(conversation),
            EngineCommand::DescribeRoom(room) => self.describe_room(room),
            EngineCommand::MarkAway(peers) => Ok(self.online(peers)),
            EngineCommand::Blocked => {
                Ok(Answer::Blocked { users: self.chat.blocked().iter().cloned().collect() })
            }
            EngineCommand::Block(user) => return self.decide(ticket, effects, |it| it.block(&user, true)),
            EngineCommand::Unblock(user) => return self.decide(ticket, effects, |it| it.block(&user, false)),
            EngineCommand::AcceptChat(user) => {
                return self.decide(ticket, effects, |it| it.accept_chat(user));
            }
            EngineCommand::Accept(user) => return self.decide(ticket, effects, |it| it.accept_keys(user)),
            EngineCommand::Verified(user) => return self.decide(ticket, effects, |it| it.verify_keys(user)),
            EngineCommand::Verify(user) => self.safety_number(user),
            EngineCommand::Away(text) => self.set_away(&text, effects),
            EngineCommand::Back => self.come_back(effects),
            EngineCommand::WaitForTurn { .. } => Ok(Answer::Done),
            EngineCommand::Drain(of) => return self.begin_drain(ticket, of.as_ref(), now, effects),
            EngineCommand::CheckUnsent { row, room, to } => {
                match to.iter().find(|user| self.replication.has_sent(user, row, room)) {
                    Some(user) => Err(CommandError::Usage(format!(
                        "the message is on its way to {user}: wait a moment, then look at /outbox"
                    ))),
                    None => Ok(Answer::Done),
                }
            }
            EngineCommand::CheckUnlocked => self.history_lock.check(now.instant).map(|()| Answer::Done),
            EngineCommand::Unlock { is_right } => {
                self.history_lock.attempt(is_right, now.instant).map(|()| Answer::Done)
            }
            EngineCommand::RequestPassword => Err(self.history_lock.error()),
        };
        effects.push(Effect::Answer(ticket, outcome));
    }

    /// Begins a command. The partner of a private chat is looked up first, if necessary.
    fn begin(&mut self, ticket: Ticket, intent: Intent, now: Now, effects: &mut Effects) {
        let mut looked_up = None;
        if let Conversation::Private(user) = intent.conversation() {
            if user == self.chat.me() {
                return effects.push(Effect::Answer(ticket, Err(CommandError::NotYourself)));
            }
            if !self.links.contains_key(user) {
                effects.push(Effect::RetryDials(Some(user.clone())));
            }
            // A known key may have endorsed the other since the change was noticed.
            let must_look_up = !self.links.contains_key(user) && self.try_look_up(user, now);
            if self.keys.is_changed(user) || must_look_up {
                self.lookups.look_up(user, effects);
                looked_up = Some(user.clone());
            } else {
                self.begin_private(&user.clone(), effects);
            }
        }
        let command = PendingCommand { ticket, intent, looked_up, clock_until: None, slow_since: None };
        self.go_on(command, now, effects);
    }

    /// Returns whether to ask the tracker about a user now. Messages to an absent user wait anyway, so the tracker is asked
    /// about that user only once in a while.
    fn try_look_up(&mut self, user: &Username, now: Now) -> bool {
        !self.chat.away().contains(user)
            || self.lookups.limiter.try_acquire(user, now.instant)
            || self.omits(Omission::LookupLimiter)
    }

    /// Goes on with the commands that waited for the answer about a user.
    pub(in crate::engine) fn on_looked_up(
        &mut self,
        user: &Username,
        outcome: &Result<(), CommandError>,
        now: Now,
        effects: &mut Effects,
    ) {
        if self.omits(Omission::LookupAnswered) {
            return;
        }
        for mut command in std::mem::take(&mut self.pending) {
            if command.looked_up.as_ref() != Some(user) {
                self.pending.push(command);
            } else if let Err(error) = outcome {
                effects.push(Effect::Answer(command.ticket, Err(error.clone())));
            } else {
                command.looked_up = None;
                self.go_on(command, now, effects);
            }
        }
    }

    /// Tries the waiting commands again, because something changed that they may wait for.
    pub(in crate::engine) fn retry_commands(&mut self, now: Now, effects: &mut Effects) {
        for command in std::mem::take(&mut self.pending) {
            self.go_on(command, now, effects);
        }
        self.end_due_drains(now, effects);
    }

    /// Carries out a command, or keeps it if it must wait.
    fn go_on(&mut self, mut command: PendingCommand, now: Now, effects: &mut Effects) {
        if command.looked_up.is_some() {
            return self.pending.push(command);
        }
        let outcome = match &command.intent {
            Intent::Open(conversation) => self.chat.stands(conversation),
            Intent::Say { to, .. } => {
                match self.must_wait(to, &mut command.clock_until, &mut command.slow_since, now) {
                    Ok(Some(until)) => {
                        self.timers.set_earliest(Timer::Commands, until);
                        return self.pending.push(command);
                    }
                    Ok(None) => Ok(()),
                    Err(error) => Err(error),
                }
            }
        };
        let outcome = match (outcome, command.intent) {
            (Ok(()), Intent::Say { to, text, id }) => self.say(to, text, id, now, effects),
            (outcome, _) => outcome,
        };
        effects.push(Effect::Answer(command.ticket, outcome.map(|()| Answer::Done)));
    }

    /// Returns until when a message to a conversation waits, at most; `None` if it need not wait.
    fn must_wait(
        &mut self,
        to: &Conversation,
        clock_until: &mut Option<Instant>,
        slow_since: &mut Option<Instant>,
        now: Now,
    ) -> Result<Option<Instant>, CommandError> {
        let conversation = self.chat.resolve(to)?;
        let recipients = self.chat.recipients(to)?;
        if self.awaits_lamport_time(&conversation, &recipients) {
            let until = *clock_until.get_or_insert(now.instant + CLOCK_WAIT);
            if now.instant < until {
                return Ok(Some(until));
            }
            self.timed.insert(conversation);
        }
        let is_serving = |user: &Username| self.replication.is_serving(user);
        Ok(self.backpressure.must_wait(slow_since, &recipients, is_serving, now.instant))
    }

    /// Returns whether the first message in a conversation should wait for the Lamport time of a connected member. It
    /// then sorts after the existing ones. The link that would carry the message carries that time first.
    fn awaits_lamport_time(&self, conversation: &ConversationId, recipients: &[Username]) -> bool {
        !self.timed.contains(conversation)
            && recipients.iter().any(|user| self.may_send_have(user))
            && !self.omits(Omission::LamportWait)
    }

    /// Returns whether an online user may still send the Lamport time of a conversation. A legacy client never does.
    fn may_send_have(&self, user: &Username) -> bool {
        let is_silent = self.dialect(user).is_some_and(|dialect| dialect != Dialect::Full);
        self.chat.is_present(user) && !is_silent && !self.keys.is_changed(user)
    }

    /// Gives a message to the history, from which it is delivered.
    fn say(
        &mut self,
        conversation: Conversation,
        text: String,
        id: Uuid,
        now: Now,
        effects: &mut Effects,
    ) -> Result<(), CommandError> {
        let to = self.chat.resolve(&conversation)?;
        let (revision, head) = self.chat.room_state(&conversation);
        let audience = self.chat.recipients(&conversation)?;
        let room = match conversation {
            Conversation::Room(room) => Some(room),
            Conversation::Private(user) => {
                // A reply accepts the chat.
                self.take_chat(&user, false, effects);
                None
            }
        };
        self.end_away(effects);
        self.unstored += 1;
        let bytes = text.len();
        let sent_at = now.utc;
        effects.history(Request::Append(Draft { id, to, room, text, audience, revision, head, sent_at }));
        if self.backpressure.note_written(bytes) {
            effects.history(Query::Waiting { of: None });
        }
        Ok(())
    }

    /// Goes on with the commands that waited until every own message was stored and every decision was written.
    pub(in crate::engine) fn carry_out_deferred(&mut self, now: Now, effects: &mut Effects) {
        if self.omits(Omission::AllStored) {
            return;
        }
        while self.unstored == 0 && self.decisions.is_empty() {
            let Some((ticket, command)) = self.deferred.pop_front() else { return };
            self.carry_out(ticket, command, now, effects);
        }
    }

    fn end_private(&mut self, user: &Username, effects: &mut Effects) -> Result<(), CommandError> {
        effects.publish([self.chat.end_private(user)?]);
        effects.push(Effect::SendLeave(user.clone(), None, self.chat.shares_conversation_with(user)));
        self.update_link_targets(effects);
        Ok(())
    }

    /// Waits until no message of a conversation, or of all, is on its way to a recipient that is connected.
    pub(in crate::engine) fn begin_drain(
        &mut self,
        ticket: Ticket,
        conversation: Option<&Conversation>,
        now: Now,
        effects: &mut Effects,
    ) {
        let Ok(of) = conversation.map(|conversation| self.chat.resolve(conversation)).transpose() else {
            // There is no such conversation, so nothing is on its way.
            return effects.push(Effect::Answer(ticket, Ok(Answer::Done)));
        };
        effects.history(Query::Waiting { of: of.clone() });
        self.drains.push(Drain {
            ticket,
            conversation: of,
            is_counting: true,
            until: now.instant + DRAIN_MAX,
        });
        self.end_due_drains(now, effects);
    }

    /// Ends the waits that have lasted too long.
    pub(in crate::engine) fn end_due_drains(&mut self, now: Now, effects: &mut Effects) {
        if !self.omits(Omission::DrainBound) {
            self.end_drains(|drain| drain.until <= now.instant, effects);
        }
        if let Some(until) = self.drains.iter().map(|drain| drain.until).filter(|it| *it > now.instant).min()
        {
            self.timers.set_earliest(Timer::Commands, until);
        }
    }

    pub(in crate::engine) fn end_drains(&mut self, is_over: impl Fn(&Drain) -> bool, effects: &mut Effects) {
        for drain in self.drains.extract_if(.., |drain| is_over(drain)) {
            effects.push(Effect::Answer(drain.ticket, Ok(Answer::Done)));
        }
    }
}
