//! The count of messages that a user missed while away, and the rule that says which messages are late.
//!
//! A message is late if it was announced as missed. So the two always agree:
//!
//! - The first HAVE of each member on a new link counts the messages that are lacking here.
//! - The count is announced before the first message of a backlog is shown. A message of the backlog that is not counted yet
//!   is added to it.
//! - A message that arrives live is taken off the count if it is not announced yet. It was only on its way, so it is not
//!   late.
//!
//! Several members report overlapping ranges of messages, but each message is counted and announced only once.
//! Example: Bob reports that Ana's messages 1 to 3 are lacking here, and Carla reports 2 to 4. The count is 4. The
//! counter does no I/O.

use std::collections::{BTreeMap, BTreeSet};

use commons::incarnation::Incarnation;
use commons::names::Username;
use commons::protocol::provenance::StreamSpans;

use crate::history::seq_ranges::SeqRanges;
use crate::limits::{MISSED_COUNT, MISSED_PIECES, MISSED_STREAMS};

/// Sequence numbers of messages, by author and incarnation.
type Numbers = BTreeMap<(String, Incarnation), SeqRanges>;

/// The missed messages of one conversation, as its members reported them.
#[derive(Debug, Default)]
pub(crate) struct AbsenceCounter {
    /// All messages that were ever counted, in at most [`MISSED_STREAMS`] streams of [`MISSED_PIECES`] ranges.
    known: Numbers,
    /// The messages that were counted but not announced yet.
    unannounced: Numbers,
}

/// An announcement of missed messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AbsenceCount {
    /// The number of authors; 0 for the user's own messages from another device.
    pub(crate) people: usize,
    /// The number of messages, at most [`MISSED_COUNT`].
    pub(crate) messages: u64,
}

impl AbsenceCounter {
    /// Counts messages that a member holds and this peer lacks.
    pub(crate) fn note(&mut self, lacking: &[StreamSpans]) {
        for StreamSpans { username, incarnation, spans } in lacking {
            let Ok(spans) = SeqRanges::read(spans) else { continue };
            let stream = (username.clone(), *incarnation);
            if self.known.len() >= MISSED_STREAMS && !self.known.contains_key(&stream) {
                continue;
            }
            let known = self.known.entry(stream.clone()).or_default();
            if known.pieces() + spans.pieces() > MISSED_PIECES {
                continue;
            }
            for (first, last) in spans.minus(known).iter() {
                known.insert(first, last);
                self.unannounced.entry(stream.clone()).or_default().insert(first, last);
            }
        }
    }

    /// Notes the arrival of a message of the backlog. It is counted, if it was not before.
    pub(crate) fn arrived_as_backlog(&mut self, author: &Username, (incarnation, seq): (Incarnation, u64)) {
        let stream = (author.as_str().to_owned(), incarnation);
        if self.known.get(&stream).is_none_or(|known| !known.contains(seq)) {
            self.unannounced.entry(stream).or_default().insert(seq, seq);
        }
    }

    /// Notes the arrival of a live message, and returns whether it is late. If it is not announced yet, it was only on
    /// its way, and is taken off the count.
    pub(crate) fn arrived_live(&mut self, author: &Username, (incarnation, seq): (Incarnation, u64)) -> bool {
        let stream = (author.as_str().to_owned(), incarnation);
        if !self.known.get(&stream).is_some_and(|known| known.contains(seq)) {
            return false;
        }
        let Some(unannounced) = self.unannounced.get_mut(&stream).filter(|it| it.contains(seq)) else {
            return true;
        };
        let mut arrived = SeqRanges::default();
        arrived.insert(seq, seq);
        *unannounced = unannounced.minus(&arrived);
        false
    }

    /// Returns the announcements to publish before a message from the backlog: one for others, one for the user's
    /// own messages. Each is returned only once.
    pub(crate) fn take_counts(&mut self, me: &Username) -> Vec<AbsenceCount> {
        let (mut people, mut others, mut own) = (BTreeSet::new(), 0, 0);
        for ((author, _), numbers) in std::mem::take(&mut self.unannounced) {
            let count =
                |sum: u64, (first, last): (u64, u64)| sum.saturating_add(last - first + 1).min(MISSED_COUNT);
            let messages = numbers.iter().fold(0, count);
            if me.as_str() == author {
                own = MISSED_COUNT.min(own + messages);
            } else if messages > 0 {
                others = MISSED_COUNT.min(others + messages);
                people.insert(author);
            }
        }
        let counts = [
            AbsenceCount { people: people.len(), messages: others },
            AbsenceCount { people: 0, messages: own },
        ];
        counts.into_iter().filter(|count| count.messages > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::SEQ_MAX;

    fn lacking(author: &str, first: u64, last: u64) -> StreamSpans {
        StreamSpans { username: author.into(), incarnation: Incarnation(1), spans: vec![(first, last)] }
    }

    fn user(name: &str) -> Username {
        Username::parse(name).unwrap()
    }

    fn counts(counter: &mut AbsenceCounter) -> Vec<(usize, u64)> {
        counter.take_counts(&user("me")).into_iter().map(|count| (count.people, count.messages)).collect()
    }

    #[test]
    fn invented_ranges_take_bounded_memory() {
        let mut counter = AbsenceCounter::default();
        for n in 0..2 * MISSED_PIECES as u64 {
            counter.note(&[lacking("ana", 2 * n + 1, 2 * n + 1)]);
        }
        assert_eq!(counts(&mut counter), [(1, MISSED_PIECES as u64)]);
        counter.note(&[lacking("bob", 1, 1)]);
        assert_eq!(counts(&mut counter), [(1, 1)], "control: other streams are still counted");
    }

    #[test]
    fn message_that_two_members_report_counts_once() {
        let mut counter = AbsenceCounter::default();
        counter.note(&[lacking("ana", 1, 3)]);
        counter.note(&[lacking("ana", 2, 4), lacking("bob", 1, 1)]);
        assert_eq!(counts(&mut counter), [(2, 5)]);
        counter.note(&[lacking("ana", 3, 4)]);
        assert_eq!(counts(&mut counter), [], "the rest was announced");
        counter.note(&[lacking("ana", 4, 6)]);
        assert_eq!(counts(&mut counter), [(1, 2)]);
    }

    #[test]
    fn a_claim_of_endless_messages_is_counted_to_the_limit() {
        let mut counter = AbsenceCounter::default();
        for incarnation in 1..=4 {
            let incarnation = Incarnation(incarnation);
            counter.note(&[StreamSpans { username: "ana".into(), incarnation, spans: vec![(1, SEQ_MAX)] }]);
        }
        assert_eq!(counts(&mut counter), [(1, MISSED_COUNT)]);
    }

    #[test]
    fn only_a_message_that_was_counted_is_taken_off_the_count() {
        let mut counter = AbsenceCounter::default();
        counter.note(&[lacking("ana", 1, 3)]);
        // This message was written after the count, so it removes nothing.
        counter.arrived_live(&user("ana"), (Incarnation(1), 4));
        counter.arrived_live(&user("bob"), (Incarnation(1), 1));
        counter.arrived_live(&user("ana"), (Incarnation(1), 2));
        assert_eq!(counts(&mut counter), [(1, 2)]);
        counter.note(&[lacking("bob", 1, 1)]);
        counter.arrived_live(&user("bob"), (Incarnation(1), 1));
        assert_eq!(counts(&mut counter), [], "all was on its way");
    }

    #[test]
    fn live_message_is_late_only_if_it_was_announced() {
        let (mut counter, ana) = (AbsenceCounter::default(), user("ana"));
        counter.note(&[lacking("ana", 1, 3)]);
        assert!(!counter.arrived_live(&ana, (Incarnation(1), 1)), "it was on its way");
        counter.arrived_as_backlog(&ana, (Incarnation(1), 2));
        assert_eq!(counts(&mut counter), [(1, 2)]);
        assert!(counter.arrived_live(&ana, (Incarnation(1), 3)), "it was announced");
        assert!(!counter.arrived_live(&ana, (Incarnation(1), 4)), "it was written later");
    }

    #[test]
    fn uncounted_message_of_the_backlog_is_counted() {
        let (mut counter, ana) = (AbsenceCounter::default(), user("ana"));
        (1..=2).for_each(|seq| counter.arrived_as_backlog(&ana, (Incarnation(1), seq)));
        assert_eq!(counts(&mut counter), [(1, 2)]);
        counter.note(&[lacking("ana", 3, 4)]);
        assert_eq!(counts(&mut counter), [(1, 2)]);
        counter.arrived_as_backlog(&ana, (Incarnation(1), 3));
        assert_eq!(counts(&mut counter), [], "a message counts once");
    }

    #[test]
    fn own_messages_of_another_computer_count_apart() {
        let mut counter = AbsenceCounter::default();
        counter.note(&[lacking("ana", 1, 3), lacking("me", 1, 2)]);
        assert_eq!(counts(&mut counter), [(1, 3), (0, 2)]);
    }
}
