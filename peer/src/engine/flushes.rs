//! The waits of callers who want to leave or to quit.

use commons::names::Username;

use crate::api::Answer;
use crate::engine::Engine;
use crate::engine::effect::{Effect, Effects};
use crate::engine::flush::Flush;
use crate::engine::input::{Milestone, Now, Ticket};
use crate::engine::omission::Omission;
use crate::engine::timers::Timer;
use crate::history::conversation::ConversationId;
use crate::history::query::Query;
use crate::limits::QUIT_WAIT;

impl Engine {
    pub(in crate::engine) fn on_await(
        &mut self,
        ticket: Ticket,
        milestone: Milestone,
        now: Now,
        effects: &mut Effects,
    ) {
        let is_counting = matches!(milestone, Milestone::Delivered(_));
        let is_bounded = is_counting && !self.omits(Omission::FlushBound);
        let until = is_bounded.then(|| now.instant + QUIT_WAIT);
        if let Milestone::Delivered(of) = &milestone {
            effects.history(Query::Waiting { of: of.clone() });
        }
        self.flushes.push(Flush { ticket, milestone, is_counting, until });
        self.check_flushes(now, effects);
    }

    /// Ends the waits that are over.
    pub(in crate::engine) fn check_flushes(&mut self, now: Now, effects: &mut Effects) {
        let is_stored = self.unstored == 0;
        let is_over = |flush: &mut Flush| {
            flush.until.is_some_and(|until| until <= now.instant)
                || (flush.milestone == Milestone::Stored && is_stored)
        };
        for flush in self.flushes.extract_if(.., is_over) {
            effects.push(Effect::Answer(flush.ticket, Ok(Answer::Done)));
        }
        if let Some(until) = self.flushes.iter().filter_map(|flush| flush.until).min() {
            self.timers.set_earliest(Timer::Commands, until);
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
        let is_asked =
            |flush: &Flush| matches!(&flush.milestone, Milestone::Delivered(it) if it.as_ref() == of);
        for flush in self.flushes.iter_mut().filter(|flush| is_asked(flush)) {
            flush.is_counting = false;
            if !is_on_its_way || is_impatient {
                flush.until = Some(now.instant);
            }
        }
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
            if let Milestone::Delivered(of) = &flush.milestone
                && !std::mem::replace(&mut flush.is_counting, true)
            {
                effects.history(Query::Waiting { of: of.clone() });
            }
        }
    }

    /// Returns whether a user can receive messages now or soon, because messages are being sent or a link is being
    /// dialled.
    fn is_expected(&self, user: &Username) -> bool {
        self.replication.is_serving(user) || (self.chat.is_present(user) && !self.keys.is_changed(user))
    }
}
