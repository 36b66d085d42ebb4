//! The waits of callers who want to leave or to quit.

use commons::names::Username;

use crate::api::answer::Answer;
use crate::api::conversation::Conversation;
use crate::engine::Engine;
use crate::engine::effect::{Effect, Effects};
use crate::engine::flush::Flush;
use crate::engine::input::{Now, Ticket};
use crate::engine::omission::Omission;
use crate::engine::timers::Timer;
use crate::history::conversation::ConversationId;
use crate::history::query::Query;
use crate::limits::QUIT_WAIT;

impl Engine {
    /// Waits until no message of a conversation, or of all, is on its way to a recipient that is connected.
    pub(in crate::engine) fn begin_flush(
        &mut self,
        ticket: Ticket,
        conversation: Option<&Conversation>,
        now: Now,
        effects: &mut Effects,
    ) {
        let of = match conversation.map(|conversation| self.chat.resolve(conversation)).transpose() {
            Ok(resolved) => resolved.map(|(id, _)| id),
            // There is no such conversation, so nothing is on its way.
            Err(_) => return effects.push(Effect::Answer(ticket, Ok(Answer::Done))),
        };
        effects.history(Query::Waiting { of: of.clone() });
        self.flushes.push(Flush { ticket, of, is_counting: true, until: now.instant + QUIT_WAIT });
        self.end_due_flushes(now, effects);
    }

    /// Ends the waits that have lasted too long.
    pub(in crate::engine) fn end_due_flushes(&mut self, now: Now, effects: &mut Effects) {
        if !self.omits(Omission::FlushBound) {
            self.end_flushes(|flush| flush.until <= now.instant, effects);
        }
        if let Some(until) = self.flushes.iter().map(|flush| flush.until).filter(|it| *it > now.instant).min()
        {
            self.timers.set_earliest(Timer::Commands, until);
        }
    }

    fn end_flushes(&mut self, is_over: impl Fn(&Flush) -> bool, effects: &mut Effects) {
        for flush in self.flushes.extract_if(.., |flush| is_over(flush)) {
            effects.push(Effect::Answer(flush.ticket, Ok(Answer::Done)));
        }
    }

    /// Applies the number of messages that wait for each recipient: in one conversation, or in all.
    pub(in crate::engine) fn on_waiting(
        &mut self,
        of: Option<&ConversationId>,
        waiting: &[(Username, usize)],
        now: Now,
        effects: &mut Effects,
    ) {
        let is_impatient = self.omits(Omission::FlushWaits);
        let is_on_its_way = waiting.iter().any(|(user, _)| self.is_expected(user));
        let is_asked = |flush: &Flush| flush.of.as_ref() == of;
        if !is_on_its_way || is_impatient {
            self.end_flushes(is_asked, effects);
        }
        self.flushes.iter_mut().filter(|flush| is_asked(flush)).for_each(|flush| flush.is_counting = false);
        if of.is_none() {
            self.backpressure.checked(waiting);
            self.look_for(waiting, now, effects);
        }
        self.retry_commands(now, effects);
    }

    /// Notes that a recipient took messages.
    pub(in crate::engine) fn on_delivery(&mut self, to: &Username, now: Now, effects: &mut Effects) {
        if self.backpressure.on_delivery(to, now.instant) {
            effects.history(Query::Waiting { of: None });
        }
        for flush in &mut self.flushes {
            if !std::mem::replace(&mut flush.is_counting, true) {
                effects.history(Query::Waiting { of: flush.of.clone() });
            }
        }
    }

    /// Returns whether a user can receive messages now or soon, because messages are being sent or a link is being
    /// dialled.
    fn is_expected(&self, user: &Username) -> bool {
        self.replication.is_serving(user) || (self.chat.is_present(user) && !self.keys.is_changed(user))
    }
}
