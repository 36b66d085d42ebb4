//! The replies to the key checks of the links, from the known keys.

use commons::names::Username;

use crate::engine::Engine;
use crate::engine::effect::{Effect, Effects};
use crate::engine::input::{Now, Ticket};
use crate::identity::known_keys::{KeyStatus, KeyUpdate};
use crate::peer_communication::key_request::{KeyReply, KeyRequest};

impl Engine {
    pub(in crate::engine) fn on_key_request(
        &mut self,
        ticket: Ticket,
        user: &Username,
        request: KeyRequest,
        now: Now,
        effects: &mut Effects,
    ) {
        let is = |yes: bool| if yes { KeyReply::Yes } else { KeyReply::No };
        let reply = match request {
            KeyRequest::Check(key) => match self.keys.check(user, key) {
                KeyStatus::Known { first } => {
                    if first {
                        self.write_pins(effects);
                    }
                    KeyReply::Yes
                }
                KeyStatus::Unknown => KeyReply::Unknown,
                // Only an announced key can be accepted. By now the tracker may announce this key, or an endorsement.
                KeyStatus::Changed if self.keys.note_warning(user, key) => KeyReply::LookUpAndWarn,
                KeyStatus::Changed if self.keys.try_look_up_again(user, key, now.instant) => KeyReply::LookUp,
                KeyStatus::Changed => KeyReply::No,
            },
            // The user may have a key by now, or another person may have registered the name.
            KeyRequest::IsKeyless if self.keys.try_look_up_keyless(user, now.instant) => KeyReply::LookUp,
            KeyRequest::IsKeyless => is(self.keys.is_known_to_have_none(user)),
            KeyRequest::HasKeys => is(self.keys.has_keys(user)),
            KeyRequest::Announce(announced) => {
                self.announce_keys(user, &announced, effects);
                KeyReply::Yes
            }
            KeyRequest::Warn(key) => {
                let update = KeyUpdate { new_key: Some(key), endorsed: false };
                self.on_key_update(user, update, effects);
                KeyReply::Yes
            }
            KeyRequest::NoteAddress(address) => {
                if self.keys.note_address(user, address) {
                    self.write_pins(effects);
                }
                KeyReply::Yes
            }
        };
        effects.push(Effect::KeyReply(ticket, reply));
    }
}
