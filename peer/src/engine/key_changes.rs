//! The consequences of changed keys: events, held messages and the file of pinned keys.

use commons::names::Username;

use crate::api::Event;
use crate::engine::Engine;
use crate::engine::effect::{Effect, Effects};
use crate::engine::omission::Omission;
use crate::identity::known_keys::{Announcement, KeyUpdate};

impl Engine {
    /// Applies the keys that the tracker announces for a user.
    pub(in crate::engine) fn announce_keys(
        &mut self,
        user: &Username,
        announced: &Announcement,
        effects: &mut Effects,
    ) {
        // At a first meeting the key is pinned. The tracker could slip in one of its own for a member of a room with a log.
        let is_met = self.keys.pins().contains_key(user);
        let proven = (!is_met).then(|| self.room_logs.announcement(self.chat.rooms(), user, announced));
        let update = self.keys.announce(user, proven.as_ref().unwrap_or(announced));
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
        self.query_pending(user, after, effects);
    }

    /// Writes the pinned keys to the disk. No command waits for it.
    pub(in crate::engine) fn write_pins(&self, effects: &mut Effects) {
        effects.push(Effect::WritePins(None, self.keys.pins().clone()));
    }
}
