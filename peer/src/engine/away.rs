//! The presence of people: the user's own away text goes to linked users, and theirs to the frontends.
//!
//! An own text ends with the next message, and goes to each user whose link comes up. A text of another user ends with
//! the link.

use commons::names::Username;

use crate::api::Event;
use crate::api::answer::Answer;
use crate::api::error::CommandError;
use crate::engine::Engine;
use crate::engine::away_texts::Due;
use crate::engine::effect::{Effect, Effects};
use crate::engine::input::{Now, RefusedFrame};
use crate::engine::timers::Timer;
use crate::limits::AWAY_CHARS;
use crate::peer_communication::dialect::Dialect;
use crate::peer_communication::frame::Frame;
use crate::untrusted::UntrustedText;

impl Engine {
    /// Sets the user's own text, and sends it to all linked users.
    pub(in crate::engine) fn set_away(
        &mut self,
        text: &str,
        effects: &mut Effects,
    ) -> Result<Answer, CommandError> {
        let text = one_line(text);
        if text.chars().count() > AWAY_CHARS {
            let error = format!("An away text has at most {AWAY_CHARS} characters. Shorten it.");
            return Err(CommandError::Usage(error));
        }
        self.change_own(Some(text.into()), effects);
        Ok(Answer::Done)
    }

    /// Ends the user's own text by a command.
    pub(in crate::engine) fn come_back(&mut self, effects: &mut Effects) -> Result<Answer, CommandError> {
        if self.away.own.is_none() {
            return Err(CommandError::usage("You are not away. Type /away first."));
        }
        self.end_away(effects);
        Ok(Answer::Done)
    }

    /// Ends the user's own text, if there is one: the user writes again.
    pub(in crate::engine) fn end_away(&mut self, effects: &mut Effects) {
        if self.away.own.is_some() {
            self.change_own(None, effects);
        }
    }

    fn change_own(&mut self, away: Option<UntrustedText>, effects: &mut Effects) {
        self.away.own.clone_from(&away);
        effects.publish([Event::Presence { user: self.chat.me().clone(), away }]);
        self.links.keys().for_each(|user| self.send_away(user, effects));
    }

    /// Sends the user's own text to a linked user. Nothing goes to a legacy client, or by a key that is not accepted.
    pub(in crate::engine) fn send_away(&self, user: &Username, effects: &mut Effects) {
        if self.dialect(user) == Some(Dialect::Full) && !self.keys.is_changed(user) {
            let frame = Frame::Presence { away: self.away.own.clone() };
            effects.push(Effect::Send(user.clone(), frame, RefusedFrame::Presence));
        }
    }

    /// Handles a link that came up. Users who are there already need no frame.
    pub(in crate::engine) fn away_at_link(&mut self, user: &Username, now: Now, effects: &mut Effects) {
        let due = self.away.link_began(user, now.instant);
        self.apply_away(user, due, effects);
        if self.away.own.is_some() {
            self.send_away(user, effects);
        }
    }

    pub(in crate::engine) fn away_link_ended(&mut self, user: &Username, effects: &mut Effects) {
        effects.publish(self.away.link_ended(user));
    }

    /// Handles the text that a linked user has sent: a claim of any length, which is cut.
    pub(in crate::engine) fn on_away(
        &mut self,
        from: &Username,
        away: Option<&str>,
        now: Now,
        effects: &mut Effects,
    ) {
        if !self.links.contains_key(from) || self.keys.is_changed(from) {
            return;
        }
        let text =
            away.map(|text| UntrustedText::from(one_line(text).chars().take(AWAY_CHARS).collect::<String>()));
        let due = self.away.received(from, text, now.instant);
        self.apply_away(from, due, effects);
    }

    pub(in crate::engine) fn on_away_pause_over(&mut self, user: &Username, now: Now, effects: &mut Effects) {
        let due = self.away.publish(user, now.instant);
        self.apply_away(user, due, effects);
    }

    fn apply_away(&mut self, user: &Username, due: Due, effects: &mut Effects) {
        match due {
            Due::Nothing => {}
            Due::Now(event) => effects.publish([event]),
            Due::At(time) => self.timers.set(Timer::ShowAway(user.clone()), time),
        }
    }
}

/// Returns a text as one line, without blanks at its ends.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::ana;
    use crate::identity::known_keys::KnownKeys;

    #[test]
    fn overlong_text_is_refused_and_lines_are_joined() {
        let mut engine = ana(KnownKeys::default());
        let mut set = |text: &str| engine.set_away(text, &mut Effects::default());
        assert!(set(&"é".repeat(AWAY_CHARS)).is_ok(), "the control");
        assert!(matches!(set(&"é".repeat(AWAY_CHARS + 1)), Err(CommandError::Usage(_))));
        assert!(set(" at\n the\tdentist ").is_ok());
        assert!(engine.away.own().is_some_and(|text| *text == *"at the dentist"));
        assert!(engine.come_back(&mut Effects::default()).is_ok());
        assert!(engine.come_back(&mut Effects::default()).is_err(), "ana is there");
    }
}
