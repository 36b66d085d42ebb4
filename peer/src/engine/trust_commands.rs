//! The commands of trust in other users: `/accept`, `/verify`, `/verified`, `/block`.
//!
//! A decision takes effect once it is on the disk. If it cannot be written, it is undone.

use commons::keys::PublicKey;
use commons::names::Username;

use crate::api::Event;
use crate::api::answer::Answer;
use crate::api::error::CommandError;
use crate::api::status::Trust;
use crate::engine::Engine;
use crate::engine::effect::{Effect, Effects};
use crate::engine::input::{Now, Ticket};
use crate::engine::omission::Omission;
use crate::engine::trust_decision::TrustDecision;
use crate::identity::safety_number::safety_number;

impl Engine {
    /// Writes a decision to the disk, or answers why there is none.
    pub(in crate::engine) fn decide(
        &mut self,
        ticket: Ticket,
        effects: &mut Effects,
        decide: impl FnOnce(&mut Self) -> Result<TrustDecision, CommandError>,
    ) {
        match decide(self) {
            Ok(decision) => {
                effects.push(match &decision {
                    TrustDecision::Block(blocked) => Effect::WriteBlocked(ticket, blocked.clone()),
                    TrustDecision::AcceptChat(user) => {
                        let mut accepted = self.chat.accepted_chats().clone();
                        accepted.insert(user.clone());
                        Effect::WriteAccepted(ticket, accepted)
                    }
                    _ => Effect::WritePins(Some(ticket), self.keys.pins().clone()),
                });
                self.decisions.insert(ticket, decision);
            }
            Err(error) => effects.push(Effect::Answer(ticket, Err(error))),
        }
    }

    /// Blocks or unblocks a user's private messages.
    pub(in crate::engine) fn block(
        &self,
        user: &Username,
        is_blocked: bool,
    ) -> Result<TrustDecision, CommandError> {
        if self.chat.me() == user {
            return Err(CommandError::NotYourself);
        }
        let mut blocked = self.chat.blocked().clone();
        if is_blocked {
            blocked.insert(user.clone());
        } else {
            blocked.remove(user);
        }
        Ok(TrustDecision::Block(blocked))
    }

    /// Accepts the keys that the tracker announces for a user, or the one whose safety number was shown.
    pub(in crate::engine) fn accept_keys(&mut self, user: Username) -> Result<TrustDecision, CommandError> {
        if self.keys.is_shown_outdated(&user) {
            return Err(CommandError::Usage(format!(
                "{user} has yet another key than the one whose safety number you saw: compare again with /verify {user}"
            )));
        }
        let before = self.keys.back_up(&user);
        if !self.keys.accept(&user) {
            let message = format!("the tracker announces no new key of {user}: nothing to accept");
            return Err(CommandError::Usage(message));
        }
        Ok(TrustDecision::Accept(user, before))
    }

    /// Records that the safety number of the displayed key was compared. Keys that were not compared are no longer
    /// pinned.
    pub(in crate::engine) fn verify_keys(&mut self, user: Username) -> Result<TrustDecision, CommandError> {
        if self.keys.is_changed(&user) {
            return Err(CommandError::KeyChanged(user));
        }
        let before = self.keys.back_up(&user);
        let key = self.keys.shown(&user).or_else(|| self.key(&user));
        if !key.is_some_and(|key| self.keys.verify(&user, key)) {
            let message = format!("talk to {user} first, then compare: /verify {user}");
            return Err(CommandError::Usage(message));
        }
        Ok(TrustDecision::Verify(user, before))
    }

    /// Applies the outcome of a write: a decision takes effect, or is undone.
    pub(in crate::engine) fn on_written(
        &mut self,
        ticket: Option<Ticket>,
        outcome: Result<(), CommandError>,
        now: Now,
        effects: &mut Effects,
    ) {
        let decision = ticket.and_then(|ticket| Some((ticket, self.decisions.remove(&ticket)?)));
        let Some((ticket, decision)) = decision else {
            // No command waits for this write.
            effects.publish(outcome.err().map(|error| Event::error("LOCAL", error.to_string())));
            return;
        };
        match (decision, &outcome) {
            (TrustDecision::Accept(user, _), Ok(())) => {
                effects.publish([Event::KeyAccepted { peer: user.clone(), endorsed: false }]);
                effects.push(Effect::DialNow(user.clone()));
                self.apply_key_hold(&user, effects);
            }
            (TrustDecision::Verify(user, _), Ok(())) => {
                effects.publish([Event::KeyVerified { peer: user.clone() }]);
                let pinned = self.keys.pins().get(&user).map(|pin| pin.keys.clone()).unwrap_or_default();
                effects.push(Effect::EndOtherLinks(user, pinned));
            }
            (TrustDecision::Block(_), Ok(())) if self.omits(Omission::Block) => {}
            (TrustDecision::Block(blocked), Ok(())) => effects.publish(self.chat.set_blocked(blocked)),
            (TrustDecision::Accept(user, before) | TrustDecision::Verify(user, before), Err(_)) => {
                self.keys.restore(&user, before);
            }
            (TrustDecision::AcceptChat(user), Ok(())) => self.take_chat(&user, true, effects),
            (TrustDecision::Block(_) | TrustDecision::AcceptChat(_), Err(_)) => {}
        }
        effects.push(Effect::Answer(ticket, outcome.map(|()| Answer::Done)));
        self.carry_out_deferred(now, effects);
    }

    /// Returns the safety number to compare with a user.
    pub(in crate::engine) fn safety_number(&mut self, user: Username) -> Result<Answer, CommandError> {
        let Some(key) = self.key(&user) else {
            return Err(CommandError::Usage(format!(
                "there is no key of {user} to compare: talk to {user} first; original programs have none"
            )));
        };
        self.keys.note_shown(&user, key);
        let (verified, changed) = (self.keys.is_verified(&user, &key), self.keys.is_changed(&user));
        let number = safety_number((self.chat.me(), self.own_key), (&user, key));
        Ok(Answer::SafetyNumber { user, number, verified, changed })
    }

    /// Returns the key of a user: a changed key that waits for acceptance, else the key of the link, else the expected
    /// one.
    fn key(&self, user: &Username) -> Option<PublicKey> {
        let proven = self.links.get(user).and_then(|state| state.key).filter(|_| !self.keys.is_changed(user));
        proven.or_else(|| self.keys.key(user))
    }

    /// Returns the trust in a user's name.
    pub(in crate::engine) fn trust(&self, user: &Username) -> Trust {
        let link = self.links.get(user);
        let key = link.and_then(|state| state.key).or_else(|| self.keys.key(user));
        if user == self.chat.me() {
            Trust::Verified
        } else if self.keys.is_changed(user) {
            Trust::Changed
        } else if key.is_some_and(|key| self.keys.is_verified(user, &key)) {
            Trust::Verified
        } else if link.is_some_and(|state| !state.encrypted) || self.keys.is_known_to_have_none(user) {
            Trust::Unencrypted
        } else {
            Trust::Unverified
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use uuid::Uuid;

    use super::*;
    use crate::engine::engine_command::EngineCommand;
    use crate::engine::input::Input;
    use crate::engine::testing::{ana, feed};
    use crate::history::report::Report;
    use crate::history::testing::{BOB, CARLA, device, user};
    use crate::identity::known_keys::{Announcement, KeyStatus, KnownKeys};

    /// The known keys of a user who has met bob, before the tracker announces another key of bob.
    fn met_bob() -> KnownKeys {
        let mut keys = KnownKeys::default();
        let announced = vec![device(BOB)];
        keys.announce(&user(BOB), &Announcement { keys: announced, endorsements: Vec::new() });
        assert_eq!(keys.check(&user(BOB), device(BOB)), KeyStatus::Known { first: true });
        keys
    }

    /// Gives a command that needs a write, and returns whether the command succeeded.
    fn decide(engine: &mut Engine, command: EngineCommand, written: Result<(), CommandError>) -> bool {
        let effects = feed(engine, Input::Command(Ticket(1), command));
        let asked = effects.iter().filter(|effect| {
            matches!(effect, Effect::WritePins(Some(Ticket(1)), _) | Effect::WriteBlocked(Ticket(1), _))
        });
        assert_eq!(asked.count(), 1, "{effects:?}");
        assert!(
            !effects.iter().any(|effect| matches!(effect, Effect::Answer(..))),
            "answered before the write"
        );
        let effects = feed(engine, Input::FileWritten(Some(Ticket(1)), written));
        let answer = effects.iter().find_map(|effect| match effect {
            Effect::Answer(Ticket(1), outcome) => Some(outcome.is_ok()),
            _ => None,
        });
        answer.unwrap()
    }

    #[tokio::test]
    async fn decision_that_cannot_be_written_is_undone() {
        let mut engine = ana(met_bob());
        let failed = || Err(CommandError::Local("the disk is full".to_owned()));
        let bob = || user(BOB);
        let is_verified = |engine: &Engine| engine.keys.is_verified(&user(BOB), &device(BOB));
        let is_blocked = |engine: &Engine| engine.chat.blocked().contains(&user(BOB));
        assert!(!decide(&mut engine, EngineCommand::Verified(bob()), failed()) && !is_verified(&engine));
        assert!(decide(&mut engine, EngineCommand::Verified(bob()), Ok(())) && is_verified(&engine));
        assert!(!decide(&mut engine, EngineCommand::Block(bob()), failed()) && !is_blocked(&engine));
        assert!(decide(&mut engine, EngineCommand::Block(bob()), Ok(())) && is_blocked(&engine));
        assert!(!decide(&mut engine, EngineCommand::Unblock(bob()), failed()) && is_blocked(&engine));
        let another = vec![device("bob.2")];
        engine.keys.announce(&bob(), &Announcement { keys: another, endorsements: Vec::new() });
        let is_changed = |engine: &Engine| engine.keys.is_changed(&user(BOB));
        assert!(!decide(&mut engine, EngineCommand::Accept(bob()), failed()) && is_changed(&engine));
        assert!(decide(&mut engine, EngineCommand::Accept(bob()), Ok(())) && !is_changed(&engine));
    }

    /// Carries out effects as the driver does: all effects of an input come before the next input. Returns the blocked
    /// users on the disk, and the number of commands that succeeded.
    fn write_all(engine: &mut Engine, mut effects: Vec<Effect>) -> (BTreeSet<Username>, usize) {
        let (mut on_disk, mut succeeded) = (BTreeSet::new(), 0);
        loop {
            let mut written = Vec::new();
            for effect in effects {
                match effect {
                    Effect::WriteBlocked(ticket, blocked) => {
                        on_disk = blocked;
                        written.push(Input::FileWritten(Some(ticket), Ok(())));
                    }
                    Effect::Answer(_, outcome) => succeeded += usize::from(outcome.is_ok()),
                    _ => {}
                }
            }
            if written.is_empty() {
                return (on_disk, succeeded);
            }
            effects = written.into_iter().flat_map(|input| feed(engine, input)).collect();
        }
    }

    #[tokio::test]
    async fn decisions_given_at_once_all_take_effect() {
        let mut engine = ana(KnownKeys::default());
        // A message is being stored, so both commands wait.
        engine.unstored = 1;
        for (ticket, name) in [(1, BOB), (2, CARLA)] {
            let command = Input::Command(Ticket(ticket), EngineCommand::Block(user(name)));
            assert!(feed(&mut engine, command).is_empty());
        }
        let stored = Report::NotStored { ids: vec![Uuid::nil()], why: String::new() };
        let effects = feed(&mut engine, Input::History(stored));
        let (on_disk, succeeded) = write_all(&mut engine, effects);
        let both = BTreeSet::from([user(BOB), user(CARLA)]);
        assert_eq!((&on_disk, engine.chat.blocked(), succeeded), (&both, &both, 2));
    }
}
