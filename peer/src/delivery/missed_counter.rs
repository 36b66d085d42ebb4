//! How many messages were written in a conversation while one was away: each is told of once, however many members tell of it.
//! Pure.

use std::collections::{BTreeMap, BTreeSet};

use commons::names::Username;
use commons::protocol::provenance::{Incarnation, StreamSpans};

use crate::history::seq_ranges::SeqRanges;
use crate::limits::{MISSED_COUNT, MISSED_STREAMS};

/// Numbers of messages, by stream.
type Numbers = BTreeMap<(String, Incarnation), SeqRanges>;

/// What the members of one conversation told of that is not here.
#[derive(Debug, Default)]
pub(crate) struct MissedCounter {
    /// All that was ever counted.
    known: Numbers,
    /// What was counted and not told of yet.
    untold: Numbers,
}

/// What is told at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Told {
    /// How many people wrote; 0 for oneself, on another computer.
    pub(crate) people: usize,
    /// How many messages, at most [`MISSED_COUNT`].
    pub(crate) lines: u64,
}

impl MissedCounter {
    /// A member has messages that are lacking here.
    pub(crate) fn note(&mut self, lacking: &[StreamSpans]) {
        for StreamSpans { username, incarnation, spans } in lacking {
            let Ok(spans) = SeqRanges::read(spans) else { continue };
            let stream = (username.clone(), *incarnation);
            if self.known.len() >= MISSED_STREAMS && !self.known.contains_key(&stream) {
                continue;
            }
            let known = self.known.entry(stream.clone()).or_default();
            for (first, last) in spans.minus(known).iter() {
                known.insert(first, last);
                self.untold.entry(stream.clone()).or_default().insert(first, last);
            }
        }
    }

    /// A message has come as it was written: if it was counted, it was only on its way.
    pub(crate) fn arrived_live(&mut self, author: &Username, (incarnation, seq): (Incarnation, u64)) {
        let stream = (author.as_str().to_owned(), incarnation);
        if let Some(untold) = self.untold.get_mut(&stream) {
            let mut came = SeqRanges::default();
            came.insert(seq, seq);
            *untold = untold.minus(&came);
        }
    }

    /// A message has come late: what is to be told before it, of others and of oneself, where that was not told yet.
    pub(crate) fn tell(&mut self, me: Option<&Username>) -> Vec<Told> {
        let (mut people, mut others, mut own) = (BTreeSet::new(), 0, 0);
        for ((author, _), numbers) in std::mem::take(&mut self.untold) {
            let count =
                |sum: u64, (first, last): (u64, u64)| sum.saturating_add(last - first + 1).min(MISSED_COUNT);
            let lines = numbers.iter().fold(0, count);
            if me.is_some_and(|me| me.as_str() == author) {
                own = MISSED_COUNT.min(own + lines);
            } else if lines > 0 {
                others = MISSED_COUNT.min(others + lines);
                people.insert(author);
            }
        }
        let told = [Told { people: people.len(), lines: others }, Told { people: 0, lines: own }];
        told.into_iter().filter(|told| told.lines > 0).collect()
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

    fn told(missed: &mut MissedCounter) -> Vec<(usize, u64)> {
        missed.tell(Some(&user("me"))).into_iter().map(|told| (told.people, told.lines)).collect()
    }

    #[test]
    fn what_two_members_tell_of_is_counted_once() {
        let mut missed = MissedCounter::default();
        missed.note(&[lacking("ana", 1, 3)]);
        missed.note(&[lacking("ana", 2, 4), lacking("bob", 1, 1)]);
        assert_eq!(told(&mut missed), [(2, 5)]);
        missed.note(&[lacking("ana", 3, 4)]);
        assert_eq!(told(&mut missed), [], "the rest of what was told of");
        missed.note(&[lacking("ana", 4, 6)]);
        assert_eq!(told(&mut missed), [(1, 2)]);
    }

    #[test]
    fn a_claim_of_endless_messages_is_counted_to_the_limit() {
        let mut missed = MissedCounter::default();
        for incarnation in 1..=4 {
            let incarnation = Incarnation(incarnation);
            missed.note(&[StreamSpans { username: "ana".into(), incarnation, spans: vec![(1, SEQ_MAX)] }]);
        }
        assert_eq!(told(&mut missed), [(1, MISSED_COUNT)]);
    }

    #[test]
    fn only_a_message_that_was_counted_is_taken_off_the_count() {
        let mut missed = MissedCounter::default();
        missed.note(&[lacking("ana", 1, 3)]);
        // Written after the count: it takes nothing off.
        missed.arrived_live(&user("ana"), (Incarnation(1), 4));
        missed.arrived_live(&user("bob"), (Incarnation(1), 1));
        missed.arrived_live(&user("ana"), (Incarnation(1), 2));
        missed.arrived_live(&user("ana"), (Incarnation(1), 2));
        assert_eq!(told(&mut missed), [(1, 2)]);
        missed.note(&[lacking("bob", 1, 1)]);
        missed.arrived_live(&user("bob"), (Incarnation(1), 1));
        assert_eq!(told(&mut missed), [], "all was on its way");
    }

    #[test]
    fn own_messages_of_another_computer_are_told_apart() {
        let mut missed = MissedCounter::default();
        missed.note(&[lacking("ana", 1, 3), lacking("me", 1, 2)]);
        assert_eq!(told(&mut missed), [(1, 3), (0, 2)]);
    }
}
