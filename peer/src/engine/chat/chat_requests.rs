//! The open requests for private chats, and the users who need none. Pure.

use std::collections::{BTreeMap, BTreeSet};

use commons::names::Username;
use uuid::Uuid;

use crate::history::message::SignedMessage;
use crate::limits::REQUEST_MESSAGES;

/// The users who ask for a private chat, and those who need not ask.
#[derive(Debug, Default)]
pub(crate) struct ChatRequests {
    /// The users whose chats were accepted by a command, on this device.
    pub(in crate::engine::chat) accepted: BTreeSet<Username>,
    /// The users to whom this user has written in private.
    pub(in crate::engine::chat) answered: BTreeSet<Username>,
    pub(in crate::engine::chat) open: BTreeMap<Username, Requester>,
}

/// A user who asks for a private chat.
#[derive(Debug, Default)]
pub(in crate::engine::chat) struct Requester {
    /// The ids of the messages that were admitted.
    pub(in crate::engine::chat) ids: BTreeSet<Uuid>,
    /// Whether a message was refused. All later ones are refused too, so that none leaves a gap before it.
    pub(in crate::engine::chat) is_full: bool,
}

impl Requester {
    /// Notes a message, unless there are too many.
    pub(in crate::engine::chat) fn note(&mut self, id: Uuid) -> bool {
        let has_room = !self.is_full && self.ids.len() < REQUEST_MESSAGES;
        let is_admitted = self.ids.contains(&id) || (has_room && self.ids.insert(id));
        self.is_full |= !is_admitted;
        is_admitted
    }

    /// Returns the number of messages that are admitted. A cut is made only behind a complete signed batch.
    pub(in crate::engine::chat) fn admitted(&mut self, messages: &[SignedMessage]) -> usize {
        let (mut noted, mut complete) = (Vec::new(), 0);
        for (at, message) in messages.iter().enumerate() {
            let is_new = !self.ids.contains(&message.id);
            if !self.note(message.id) {
                for id in noted.drain(..) {
                    self.ids.remove(&id);
                }
                return complete;
            }
            if is_new {
                noted.push(message.id);
            }
            if message.provenance.ends_batch() {
                (noted, complete) = (Vec::new(), at + 1);
            }
        }
        messages.len()
    }
}
