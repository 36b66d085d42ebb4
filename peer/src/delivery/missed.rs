//! How much was said in a conversation while one was away: told once, however many members tell of the same lines. Pure.

use std::collections::{BTreeMap, BTreeSet};

use commons::protocol::provenance::{Incarnation, StreamSpans};

use crate::history::spans::Spans;
use crate::limits::MISSED_STREAMS;

/// What the members of one conversation told of that is not here.
#[derive(Debug, Default)]
pub(crate) struct Missed {
    /// All that was ever counted.
    known: BTreeMap<(String, Incarnation), Spans>,
    /// Whose lines were counted and not told of yet.
    people: BTreeSet<String>,
    /// How many.
    lines: u64,
}

impl Missed {
    /// A member has lines that are lacking here.
    pub(crate) fn note(&mut self, lacking: &[StreamSpans]) {
        for StreamSpans { username, incarnation, spans } in lacking {
            let Ok(spans) = Spans::read(spans) else { continue };
            if self.known.len() >= MISSED_STREAMS {
                return;
            }
            let known = self.known.entry((username.clone(), *incarnation)).or_default();
            for (first, last) in spans.minus(known).iter() {
                known.insert(first, last);
                self.people.insert(username.clone());
                self.lines += last - first + 1;
            }
        }
    }

    /// A line has come as it was said: if it was counted, it was only on its way.
    pub(crate) fn came_in_time(&mut self) {
        self.lines = self.lines.saturating_sub(1);
    }

    /// A line has come late: how many people wrote how many lines, where that was not told yet.
    pub(crate) fn tell(&mut self) -> Option<(usize, u64)> {
        let (people, lines) = (std::mem::take(&mut self.people), std::mem::take(&mut self.lines));
        (lines > 0).then_some((people.len(), lines))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lacking(author: &str, first: u64, last: u64) -> StreamSpans {
        StreamSpans { username: author.into(), incarnation: Incarnation(1), spans: vec![(first, last)] }
    }

    #[test]
    fn what_two_members_tell_of_is_counted_once() {
        let mut missed = Missed::default();
        missed.note(&[lacking("ana", 1, 3)]);
        missed.note(&[lacking("ana", 2, 4), lacking("bob", 1, 1)]);
        assert_eq!(missed.tell(), Some((2, 5)));
        missed.note(&[lacking("ana", 3, 4)]);
        assert_eq!(missed.tell(), None, "the rest of what was told of");
        missed.note(&[lacking("ana", 4, 6)]);
        assert_eq!(missed.tell(), Some((1, 2)));
    }

    #[test]
    fn what_was_on_its_way_was_not_missed() {
        let mut missed = Missed::default();
        missed.note(&[lacking("ana", 1, 2)]);
        missed.came_in_time();
        missed.came_in_time();
        missed.came_in_time();
        assert_eq!(missed.tell(), None);
    }
}
