//! The requests for private chats on their way through the engine: received messages, replies and `/accept-chat`.

use commons::names::Username;

use crate::api::error::CommandError;
use crate::engine::Engine;
use crate::engine::chat::held_back::Inbound;
use crate::engine::effect::Effects;
use crate::engine::trust_decision::TrustDecision;
use crate::peer_communication::dialect::Dialect;

impl Engine {
    /// Returns the part of received messages that may be stored. The rest waits at its author.
    pub(in crate::engine) fn screened(&mut self, inbound: Inbound, effects: &mut Effects) -> Option<Inbound> {
        if !inbound.messages.is_private() {
            return Some(inbound);
        }
        // A legacy client sends a message only once, so a refused one would be lost.
        let is_limited = self.dialect(&inbound.from) != Some(Dialect::Legacy);
        let (passed, event) = self.chat.screen(inbound, is_limited);
        effects.publish(event);
        passed
    }

    /// Accepts the private chat with a user, because this user has written in it or has accepted it by a command.
    /// Refused messages are requested at the next tick.
    pub(in crate::engine) fn take_chat(
        &mut self,
        user: &Username,
        is_by_command: bool,
        effects: &mut Effects,
    ) {
        if let Some(event) = self.chat.accept_chat(user, is_by_command) {
            self.sync.keys_added();
            effects.publish([event]);
        }
    }

    /// Accepts the chats of users who share a room by now.
    pub(in crate::engine) fn end_shared_requests(&mut self, effects: &mut Effects) {
        let ended = self.chat.end_shared_requests();
        if !ended.is_empty() {
            self.sync.keys_added();
            effects.publish(ended);
        }
    }

    /// Decides to accept the private chat for which a user asks.
    pub(in crate::engine) fn accept_chat(&self, user: Username) -> Result<TrustDecision, CommandError> {
        if self.chat.is_request(&user) {
            Ok(TrustDecision::AcceptChat(user))
        } else {
            Err(CommandError::Usage(format!("{user} does not ask for a chat: there is nothing to accept")))
        }
    }
}
