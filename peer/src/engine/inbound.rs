//! Received messages on their way into the history.

use std::collections::BTreeSet;

use commons::names::RoomName;

use crate::engine::Engine;
use crate::engine::chat::held_back::{Inbound, InboundMessages};
use crate::engine::effect::Effects;
use crate::engine::input::Now;
use crate::engine::omission::Omission;
use crate::history::conversation::ConversationId;
use crate::history::request::{InboundBatch, Request, UnsignedMessage};

impl Engine {
    /// Passes received messages to the history if their sender is a confirmed member. Otherwise the chat may hold them
    /// back.
    pub(in crate::engine) fn receive(&mut self, inbound: Inbound, now: Now, effects: &mut Effects) {
        let Some(inbound) = self.screened(inbound, effects) else { return };
        if let Some(room) = self.chat.room_of_later_epoch(&inbound) {
            // The sender has the entries, so it can supply them even if the tracker withholds them.
            self.read_entries(&inbound.from, room, now, effects);
        }
        if let Some((conversation, room, inbound)) = self.chat.admit(inbound, now.instant) {
            self.keep(conversation, room, inbound, now, effects);
        }
    }

    /// Passes on the messages that were held back until their membership was confirmed, in order.
    pub(in crate::engine) fn release_held_back(&mut self, now: Now, effects: &mut Effects) {
        if self.omits(Omission::Release) {
            return;
        }
        for (conversation, room, inbound) in self.chat.admit_held_back(now.instant) {
            self.keep(conversation, room, inbound, now, effects);
        }
    }

    fn keep(
        &mut self,
        conversation: ConversationId,
        room: Option<RoomName>,
        Inbound { from, messages }: Inbound,
        now: Now,
        effects: &mut Effects,
    ) {
        match messages {
            InboundMessages::Unsigned(message) => {
                let (id, sent_at) = (message.id, message.sent_at.unwrap_or(now.utc));
                let text = message.content;
                let message = UnsignedMessage { conversation, room, from, id, sent_at, text };
                effects.history(Request::IngestUnsigned(message));
            }
            InboundMessages::Signed(batch) => {
                let (messages, late) = (batch.messages, batch.late);
                let authors: BTreeSet<_> = messages.iter().map(|message| &message.author).collect();
                let trusted = authors.into_iter().map(|author| self.keys.trusted(author.clone())).collect();
                let (user, of) = (from.clone(), conversation.clone());
                effects.history(Request::Ingest(InboundBatch {
                    from,
                    conversation,
                    room,
                    messages,
                    late,
                    trusted,
                }));
                if late {
                    self.sync.lines_arrived(&user, &of);
                    self.compare(&user, now, effects);
                }
            }
        }
    }
}
