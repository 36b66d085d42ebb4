//! Lines on their way in by one link: groups whose end has not come, and what stands in the way of the next receipt.

use std::collections::{HashMap, HashSet};

use commons::limits::{BATCH_BYTES, BATCH_LINES};
use commons::names::Username;
use commons::protocol::provenance::Incarnation;
use uuid::Uuid;

use crate::history::conversation::ConversationId;
use crate::history::message::SignedMessage;
use crate::limits::{HELD_GROUPS, MISSED_LINES};

/// Names a stream to everybody.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct StreamName {
    pub(crate) conversation: ConversationId,
    pub(crate) author: Username,
    pub(crate) incarnation: Incarnation,
}

impl StreamName {
    /// The stream of a line.
    pub(crate) fn of(conversation: &ConversationId, line: &SignedMessage) -> Self {
        Self {
            conversation: conversation.clone(),
            author: line.author.clone(),
            incarnation: line.provenance.incarnation,
        }
    }
}

/// What one link brought.
#[derive(Debug, Default)]
pub(crate) struct BatchAssembler {
    /// Groups without their end.
    held: HashMap<StreamName, Group>,
    /// Lines that came and could not be kept: no receipt may pass them until they have come again.
    missed: HashSet<Uuid>,
    /// Whether there were more of those than are remembered: no receipt follows on this link.
    beyond: bool,
    /// The last line that came since the last receipt.
    last: Option<Uuid>,
}

/// Lines that follow each other.
#[derive(Debug, Default)]
struct Group {
    lines: Vec<SignedMessage>,
    /// What they take on the wire.
    bytes: usize,
}

/// What a line completes, and what it shows to be lost.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Assembled {
    /// A group to its end.
    pub(crate) whole: Option<Vec<SignedMessage>>,
    /// How many lines of groups were given up, whose end will not come.
    pub(crate) broken: usize,
}

impl BatchAssembler {
    /// Takes a line in.
    pub(crate) fn take(&mut self, conversation: &ConversationId, line: SignedMessage) -> Assembled {
        self.last = Some(line.id);
        if conversation.room().is_none() {
            // In private the link vouches for each line.
            return Assembled { whole: Some(vec![line]), broken: 0 };
        }
        let name = StreamName::of(conversation, &line);
        let mut group = self.held.remove(&name).unwrap_or_default();
        let begins = line.provenance.previous.is_some();
        let again = group.lines.first().is_some_and(|first| first.id == line.id);
        let follows = group.lines.last().is_some_and(|last| last.provenance.seq + 1 == line.provenance.seq);
        let mut broken = 0;
        if begins {
            broken = if again { 0 } else { self.miss(&group.lines) };
            group = Group::default();
        } else if !follows {
            broken = self.miss(&group.lines) + self.miss(std::slice::from_ref(&line));
            return Assembled { whole: None, broken };
        }
        let ends = line.provenance.signature.is_some();
        group.bytes += line.encoded_len();
        group.lines.push(line);
        if ends {
            return Assembled { whole: Some(group.lines), broken };
        }
        let is_full = group.lines.len() >= BATCH_LINES || group.bytes > BATCH_BYTES;
        if is_full || self.held.len() >= HELD_GROUPS {
            broken += self.miss(&group.lines);
        } else {
            self.held.insert(name, group);
        }
        Assembled { whole: None, broken }
    }

    /// A line came that is complete in itself.
    pub(crate) fn came(&mut self, id: Uuid) {
        self.last = Some(id);
    }

    /// These lines have to come again.
    pub(crate) fn miss(&mut self, lines: &[SignedMessage]) -> usize {
        self.miss_ids(lines.iter().map(|line| line.id));
        lines.len()
    }

    /// These lines have to come again.
    pub(crate) fn miss_ids(&mut self, ids: impl IntoIterator<Item = Uuid>) {
        for id in ids {
            self.last = Some(id);
            if self.missed.len() < MISSED_LINES {
                self.missed.insert(id);
            } else {
                self.beyond = true;
            }
        }
    }

    /// A line is kept, by whatever link it came.
    pub(crate) fn keep(&mut self, id: &Uuid) {
        if !self.missed.is_empty() {
            self.missed.remove(id);
        }
    }

    /// Drops groups without an end that came whole by another link.
    pub(crate) fn drop_known(&mut self, mut is_known: impl FnMut(&StreamName, u64) -> bool) {
        self.held.retain(|name, group| {
            !group.lines.first().is_some_and(|first| is_known(name, first.provenance.seq))
        });
    }

    /// Drops what came half of a conversation.
    pub(crate) fn forget(&mut self, conversation: &ConversationId) {
        self.held.retain(|name, _| name.conversation != *conversation);
    }

    /// The line to give a receipt for, where everything up to it is kept and none was given yet.
    pub(crate) fn receipt(&mut self) -> Option<Uuid> {
        let all_kept = self.held.is_empty() && self.missed.is_empty() && !self.beyond;
        if all_kept { self.last.take() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::testing::*;

    fn lines() -> Vec<SignedMessage> {
        say(&mut ledger(ANA), &room(), &["1", "2", "3"], &[BOB])
    }

    #[test]
    fn a_receipt_waits_for_the_end_of_the_group() {
        let lines = lines();
        let mut link = BatchAssembler::default();
        assert_eq!(link.take(&room(), lines[0].clone()), Assembled::default());
        assert_eq!(link.take(&room(), lines[1].clone()), Assembled::default());
        assert_eq!(link.receipt(), None);
        assert_eq!(link.take(&room(), lines[2].clone()).whole.as_ref(), Some(&lines));
        assert_eq!(link.receipt(), Some(lines[2].id));
        assert_eq!(link.receipt(), None, "given once");
    }

    #[test]
    fn no_receipt_passes_a_line_that_was_lost() {
        let lines = lines();
        let mut link = BatchAssembler::default();
        link.take(&room(), lines[0].clone());
        // The second is missing: the first and the third have to come again.
        assert_eq!(link.take(&room(), lines[2].clone()), Assembled { whole: None, broken: 2 });
        assert_eq!(link.receipt(), None);
        for line in &lines {
            link.take(&room(), line.clone());
        }
        assert_eq!(link.receipt(), None, "they came, and are not kept yet");
        lines.iter().for_each(|line| link.keep(&line.id));
        assert_eq!(link.receipt(), Some(lines[2].id));
    }

    #[test]
    fn a_group_that_begins_again_is_not_lost() {
        let lines = lines();
        let mut link = BatchAssembler::default();
        link.take(&room(), lines[0].clone());
        link.take(&room(), lines[1].clone());
        assert_eq!(link.take(&room(), lines[0].clone()), Assembled::default());
        link.take(&room(), lines[1].clone());
        assert_eq!(link.take(&room(), lines[2].clone()).whole, Some(lines));
    }

    #[test]
    fn what_is_held_for_a_link_is_bounded() {
        let mut line = lines().remove(0);
        let mut link = BatchAssembler::default();
        for incarnation in 0..2 * HELD_GROUPS as u64 {
            line.provenance.incarnation = Incarnation(incarnation);
            link.take(&room(), line.clone());
        }
        assert_eq!(link.held.len(), HELD_GROUPS);
        let mut link = BatchAssembler::default();
        for seq in 1..=2 * BATCH_LINES as u64 {
            line.provenance.seq = seq;
            link.take(&room(), line.clone());
            line.provenance.previous = None;
        }
        assert!(link.held.values().map(|group| group.lines.len()).sum::<usize>() < BATCH_LINES);
    }
}
