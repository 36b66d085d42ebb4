//! The known keys in use: the answers to the questions of the links, and the consequences of announced keys.

use commons::names::Username;

use crate::api::Event;
use crate::engine::Engine;
use crate::engine::effect::{Effect, Effects};
use crate::engine::input::{Now, Ticket};
use crate::engine::omission::Omission;
use crate::identity::known_keys::{Announcement, KeyStatus, KeyUpdate};
use crate::peer_communication::key_question::{KeyAnswer, KeyQuestion};

impl Engine {
    pub(in crate::engine) fn on_key_question(
        &mut self,
        ticket: Ticket,
        user: &Username,
        question: KeyQuestion,
        now: Now,
        effects: &mut Effects,
    ) {
        let is = |yes: bool| if yes { KeyAnswer::Yes } else { KeyAnswer::No };
        let answer = match question {
            KeyQuestion::Proven(key) => match self.keys.check(user, key) {
                KeyStatus::Known { first } => {
                    if first {
                        self.write_pins(effects);
                    }
                    KeyAnswer::Yes
                }
                KeyStatus::Unknown => KeyAnswer::Unknown,
                // Only an announced key can be accepted. By now the tracker may announce this key, or an endorsement.
                KeyStatus::Changed if self.keys.note_warning(user, key) => KeyAnswer::Warn,
                KeyStatus::Changed if self.keys.try_ask_again(user, key, now.instant) => {
                    KeyAnswer::AskTracker
                }
                KeyStatus::Changed => KeyAnswer::No,
            },
            // The user may have a key by now, or another person may have registered the name.
            KeyQuestion::IsKeyless if self.keys.try_ask_keyless(user, now.instant) => KeyAnswer::AskTracker,
            KeyQuestion::IsKeyless => is(self.keys.is_known_to_have_none(user)),
            KeyQuestion::HasKeys => is(self.keys.has_keys(user)),
            KeyQuestion::Announced(announced) => {
                self.announce_keys(user, &announced, effects);
                KeyAnswer::Yes
            }
            KeyQuestion::Refused(key) => {
                let update = KeyUpdate { new_key: Some(key), endorsed: false };
                self.on_key_update(user, update, effects);
                KeyAnswer::Yes
            }
            KeyQuestion::AcceptsAt(address) => {
                if self.keys.note_address(user, address) {
                    self.write_pins(effects);
                }
                KeyAnswer::Yes
            }
        };
        effects.push(Effect::KeyAnswer(ticket, answer));
    }

    /// Applies the keys that the tracker announces for a user.
    pub(in crate::engine) fn announce_keys(
        &mut self,
        user: &Username,
        announced: &Announcement,
        effects: &mut Effects,
    ) {
        let update = self.keys.announce(user, announced);
        self.on_key_update(user, update, effects);
    }

    /// Publishes what an announcement has changed, and holds or sends the user's messages accordingly.
    pub(in crate::engine) fn on_key_update(
        &mut self,
        user: &Username,
        KeyUpdate { new_key, endorsed }: KeyUpdate,
        effects: &mut Effects,
    ) {
        if endorsed {
            effects.push(Effect::DialNow(user.clone()));
            effects.publish([Event::KeyAccepted { peer: user.clone(), endorsed: true }]);
        }
        effects.publish(new_key.map(|fingerprint| Event::KeyChanged { peer: user.clone(), fingerprint }));
        self.apply_key_hold(user, effects);
        if endorsed {
            self.write_pins(effects);
        }
    }

    /// Holds back messages while the peer's key has changed, and continues when the key is accepted.
    pub(in crate::engine) fn apply_key_hold(&mut self, user: &Username, effects: &mut Effects) {
        let is_changed = self.keys.is_changed(user);
        let omission = if is_changed { Omission::HoldAnnounced } else { Omission::ReleaseHold };
        if self.omits(omission) {
            return;
        }
        let after = self.replication.hold(user, is_changed);
        self.ask_for_pending(user, after, effects);
    }

    /// Writes the pinned keys to the disk. No command waits for it.
    pub(in crate::engine) fn write_pins(&self, effects: &mut Effects) {
        effects.push(Effect::WritePins(None, self.keys.pins().clone()));
    }
}
