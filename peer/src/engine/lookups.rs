//! The lookups of users at the tracker: their addresses and their keys.
//!
//! A command looks up the recipient of a private message. Besides, absent recipients of waiting messages are looked up
//! again and again, at growing intervals.

use commons::names::Username;
use commons::peer::Peer;
use commons::protocol::listed_peer::FoundPeer;
use commons::protocol::with_tracker::ErrorCode;

use crate::api::error::CommandError;
use crate::engine::Engine;
use crate::engine::effect::Effects;
use crate::engine::input::Now;
use crate::engine::omission::Omission;
use crate::history::query::Query;
use crate::tracker_communication::tracker_report::TrackerError;

impl Engine {
    /// Queries the waiting messages of each recipient, if a partner of a private chat is absent.
    pub(in crate::engine) fn look_for_absent(&mut self, effects: &mut Effects) {
        if self.chat.away().is_empty() {
            self.lookups.due.clear();
        } else if !std::mem::replace(&mut self.lookups.is_counting, true) {
            effects.history(Query::Waiting { of: None });
        }
    }

    /// Looks up the absent partners of private chats who have waiting messages.
    pub(in crate::engine) fn look_for(
        &mut self,
        waiting: &[(Username, usize)],
        now: Now,
        effects: &mut Effects,
    ) {
        if !std::mem::take(&mut self.lookups.is_counting) {
            return;
        }
        let away = self.chat.away();
        let waiting = waiting.iter().map(|(user, _)| user).filter(|user| away.contains(*user)).collect();
        for user in self.lookups.take_due(&waiting, now.instant) {
            self.lookups.look_up(&user, effects);
        }
    }

    pub(in crate::engine) fn on_found(
        &mut self,
        user: &Username,
        outcome: Result<Option<Box<FoundPeer>>, TrackerError>,
        now: Now,
        effects: &mut Effects,
    ) {
        self.lookups.under_way.remove(user);
        // The user may have ended the chat since the tracker was asked. Its answer must not begin the chat again.
        let is_awaited = self.pending.iter().any(|command| command.looked_up.as_ref() == Some(user));
        if !is_awaited && !self.chat.has_private(user) {
            return;
        }
        let reached = match outcome {
            Ok(found) => {
                // If the user's key has changed, the event says so. The messages keep waiting.
                let reached = self.reach(user, found.map(|found| found.peer), effects);
                reached.inspect_err(|_| self.lookups.limiter.forget(user))
            }
            Err(TrackerError::Lost) if self.keys.is_changed(user) => {
                Err(CommandError::KeyChanged(user.clone()))
            }
            // Messages to a known user wait in the outbox until the user can be reached.
            Err(error) if !is_unknown(&error) && self.is_met(user) => {
                self.begin_private(user, effects);
                Ok(())
            }
            Err(error) => {
                self.lookups.limiter.forget(user);
                Err(error.into())
            }
        };
        self.on_looked_up(user, &reached, now, effects);
    }

    /// Begins a private chat without a new address.
    pub(in crate::engine) fn begin_private(&mut self, user: &Username, effects: &mut Effects) {
        effects.publish(self.chat.begin_private(user.clone(), None));
        self.update_link_targets(effects);
    }

    /// Returns whether this device met the user before, in this run or an earlier one.
    fn is_met(&self, user: &Username) -> bool {
        self.keys.has_keys(user)
            || self.chat.shares_conversation_with(user)
            || self.omits(Omission::RefuseUnknown)
    }

    /// Starts a private chat with a user whom the tracker has found.
    fn reach(
        &mut self,
        user: &Username,
        peer: Option<Peer>,
        effects: &mut Effects,
    ) -> Result<(), CommandError> {
        let peer = peer.ok_or_else(|| CommandError::Unreachable(user.clone()))?;
        let address = Some(&peer).filter(|peer| peer.connected).and_then(Peer::socket_addr);
        self.announce_keys(user, &peer.into(), effects);
        if self.keys.is_changed(user) {
            return Err(CommandError::KeyChanged(user.clone()));
        }
        effects.publish(self.chat.begin_private(user.clone(), address));
        self.update_link_targets(effects);
        Ok(())
    }
}

/// Returns whether the tracker answered that it has no such user.
fn is_unknown(error: &TrackerError) -> bool {
    matches!(error, TrackerError::Refused(refusal) if refusal.code == ErrorCode::PeerNotFound)
}

#[cfg(test)]
mod tests {
    use commons::keys::PublicKey;

    use super::*;
    use crate::api::Event;
    use crate::api::conversation::Conversation;
    use crate::engine::effect::Effect;
    use crate::engine::engine_command::EngineCommand;
    use crate::engine::input::{Input, Ticket};
    use crate::engine::testing::{ana, feed};
    use crate::history::testing::{BOB, device, user};
    use crate::identity::known_keys::KnownKeys;

    fn found(keys: Vec<PublicKey>) -> Input {
        let peer = Peer { keys, connected: true, ..Peer::never_seen(user(BOB)) };
        Input::Found(user(BOB), Ok(Some(Box::new(FoundPeer { peer, room: None }))))
    }

    fn starts_chat(effects: &[Effect]) -> bool {
        effects.iter().any(|effect| matches!(effect, Effect::Publish(Event::ConversationStarted { .. })))
    }

    #[tokio::test]
    async fn late_answer_about_a_user_begins_no_chat_that_was_ended() {
        let mut engine = ana(KnownKeys::default());
        let open = || Input::Command(Ticket(1), EngineCommand::Open(Conversation::Private(user(BOB))));
        let asked = feed(&mut engine, open());
        assert!(asked.iter().any(|effect| matches!(effect, Effect::LookUp(it) if *it == user(BOB))));
        // The control: the answer to a command begins the chat.
        assert!(starts_chat(&feed(&mut engine, found(vec![device(BOB)]))));
        feed(&mut engine, Input::Command(Ticket(2), EngineCommand::EndPrivate(user(BOB))));
        assert!(!starts_chat(&feed(&mut engine, found(vec![device(BOB)]))));
    }
}
