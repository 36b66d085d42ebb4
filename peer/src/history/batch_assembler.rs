//! Reassembly of signed batches from the messages of one link.
//!
//! Only a complete batch can be verified. The assembler collects the messages of a batch until the signed last
//! message arrives. It withholds the ack while a batch is incomplete or a received message could not be stored.
//!
//! Example: a batch holds messages 1, 2 and 3, but 2 is lost. When 3 arrives, 1 and 3 are marked as missed. The
//! next ack follows only after both have come again and are stored.

use std::collections::{HashMap, HashSet};

use commons::incarnation::Incarnation;
use commons::limits::{BATCH_BYTES, BATCH_LINES};
use commons::names::Username;
use uuid::Uuid;

use crate::history::conversation::ConversationId;
use crate::history::message::SignedMessage;
use crate::limits::{HELD_BATCHES, MISSED_MESSAGES};

/// The name of a stream, which is the same on every device.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct StreamName {
    pub(crate) conversation: ConversationId,
    pub(crate) author: Username,
    pub(crate) incarnation: Incarnation,
}

impl StreamName {
    /// Returns the stream of a message.
    pub(crate) fn of(conversation: &ConversationId, message: &SignedMessage) -> Self {
        Self {
            conversation: conversation.clone(),
            author: message.author.clone(),
            incarnation: message.provenance.incarnation,
        }
    }
}

/// The reassembly state of one link.
#[derive(Debug, Default)]
pub(crate) struct BatchAssembler {
    /// The incomplete batches, at most `HELD_BATCHES`.
    held: HashMap<StreamName, OpenBatch>,
    /// Messages that arrived but were not stored, at most `MISSED_MESSAGES`. No ack is sent until they have come
    /// again.
    missed: HashSet<Uuid>,
    /// Whether more messages were missed than `MISSED_MESSAGES`. If so, this link sends no more acks.
    beyond: bool,
    /// The last message that arrived since the last ack.
    last: Option<Uuid>,
}

/// Consecutive messages of one stream.
#[derive(Debug, Default)]
struct OpenBatch {
    messages: Vec<SignedMessage>,
    /// Encoded length of the messages, in bytes.
    bytes: usize,
}

/// The result of taking one message.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Assembled {
    /// A batch that this message completed.
    pub(crate) whole: Option<Vec<SignedMessage>>,
    /// The number of messages that were dropped because their batch cannot be completed.
    pub(crate) broken: usize,
}

impl BatchAssembler {
    /// Takes a message, and completes or drops a batch if the message ends it.
    pub(crate) fn take(&mut self, conversation: &ConversationId, message: SignedMessage) -> Assembled {
        self.last = Some(message.id);
        if conversation.room().is_none() {
            // In a private chat every message is a batch of its own.
            return Assembled { whole: Some(vec![message]), broken: 0 };
        }
        let name = StreamName::of(conversation, &message);
        let mut batch = self.held.remove(&name).unwrap_or_default();
        let begins = message.provenance.begins_batch();
        let again = batch.messages.first().is_some_and(|first| first.id == message.id);
        let follows =
            batch.messages.last().is_some_and(|last| last.provenance.seq + 1 == message.provenance.seq);
        let mut broken = 0;
        if begins {
            broken = if again { 0 } else { self.miss(&batch.messages) };
            batch = OpenBatch::default();
        } else if !follows {
            broken = self.miss(&batch.messages) + self.miss(std::slice::from_ref(&message));
            return Assembled { whole: None, broken };
        }
        let ends = message.provenance.ends_batch();
        batch.bytes += message.encoded_len();
        batch.messages.push(message);
        if ends {
            return Assembled { whole: Some(batch.messages), broken };
        }
        let is_full = batch.messages.len() >= BATCH_LINES || batch.bytes > BATCH_BYTES;
        if is_full || self.held.len() >= HELD_BATCHES {
            broken += self.miss(&batch.messages);
        } else {
            self.held.insert(name, batch);
        }
        Assembled { whole: None, broken }
    }

    /// Notes the arrival of a message that needs no batch.
    pub(crate) fn came(&mut self, id: Uuid) {
        self.last = Some(id);
    }

    /// Marks messages as missed and returns their number. The sender must send them again.
    pub(crate) fn miss(&mut self, messages: &[SignedMessage]) -> usize {
        self.miss_ids(messages.iter().map(|message| message.id));
        messages.len()
    }

    /// Marks message ids as missed. The sender must send them again.
    pub(crate) fn miss_ids(&mut self, ids: impl IntoIterator<Item = Uuid>) {
        for id in ids {
            self.last = Some(id);
            if self.missed.len() < MISSED_MESSAGES {
                self.missed.insert(id);
            } else {
                self.beyond = true;
            }
        }
    }

    /// Notes that a message is stored. It may have arrived over any link.
    pub(crate) fn keep(&mut self, id: &Uuid) {
        if !self.missed.is_empty() {
            self.missed.remove(id);
        }
    }

    /// Drops incomplete batches that arrived complete over another link.
    pub(crate) fn drop_known(&mut self, mut is_known: impl FnMut(&StreamName, u64) -> bool) {
        self.held.retain(|name, batch| {
            !batch.messages.first().is_some_and(|first| is_known(name, first.provenance.seq))
        });
    }

    /// Drops the incomplete batches of a conversation.
    pub(crate) fn forget(&mut self, conversation: &ConversationId) {
        self.held.retain(|name, _| name.conversation != *conversation);
    }

    /// Returns the message to acknowledge if everything up to it is stored. Each ack is returned once.
    pub(crate) fn due_ack(&mut self) -> Option<Uuid> {
        let is_complete = self.held.is_empty() && self.missed.is_empty() && !self.beyond;
        if is_complete { self.last.take() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::testing::*;

    fn messages() -> Vec<SignedMessage> {
        say(&mut history(ANA), &room(), &["1", "2", "3"], &[BOB])
    }

    #[test]
    fn a_receipt_waits_for_the_end_of_the_group() {
        let messages = messages();
        let mut link = BatchAssembler::default();
        assert_eq!(link.take(&room(), messages[0].clone()), Assembled::default());
        assert_eq!(link.take(&room(), messages[1].clone()), Assembled::default());
        assert_eq!(link.due_ack(), None);
        assert_eq!(link.take(&room(), messages[2].clone()).whole.as_ref(), Some(&messages));
        assert_eq!(link.due_ack(), Some(messages[2].id));
        assert_eq!(link.due_ack(), None, "given once");
    }

    #[test]
    fn no_ack_passes_a_message_that_was_lost() {
        let messages = messages();
        let mut link = BatchAssembler::default();
        link.take(&room(), messages[0].clone());
        // The second message is missing, so the first and the third must come again.
        assert_eq!(link.take(&room(), messages[2].clone()), Assembled { whole: None, broken: 2 });
        assert_eq!(link.due_ack(), None);
        for message in &messages {
            link.take(&room(), message.clone());
        }
        assert_eq!(link.due_ack(), None, "they came, and are not kept yet");
        messages.iter().for_each(|message| link.keep(&message.id));
        assert_eq!(link.due_ack(), Some(messages[2].id));
    }

    #[test]
    fn a_group_that_begins_again_is_not_lost() {
        let messages = messages();
        let mut link = BatchAssembler::default();
        link.take(&room(), messages[0].clone());
        link.take(&room(), messages[1].clone());
        assert_eq!(link.take(&room(), messages[0].clone()), Assembled::default());
        link.take(&room(), messages[1].clone());
        assert_eq!(link.take(&room(), messages[2].clone()).whole, Some(messages));
    }

    #[test]
    fn incomplete_batches_of_a_link_are_bounded() {
        let mut message = messages().remove(0);
        let mut link = BatchAssembler::default();
        for incarnation in 0..2 * HELD_BATCHES as u64 {
            message.provenance.incarnation = Incarnation(incarnation);
            link.take(&room(), message.clone());
        }
        assert_eq!(link.held.len(), HELD_BATCHES);
        let mut link = BatchAssembler::default();
        for seq in 1..=2 * BATCH_LINES as u64 {
            message.provenance.seq = seq;
            link.take(&room(), message.clone());
            message.provenance.previous = None;
        }
        assert!(link.held.values().map(|batch| batch.messages.len()).sum::<usize>() < BATCH_LINES);
    }
}
