//! Sets of sequence numbers, stored as ranges.
//!
//! They say which messages of a stream a peer holds. Example: the numbers 1, 2, 3 and 7 are the ranges (1, 3) and
//! (7, 7). Adding the numbers 4 to 6 leaves one range, (1, 7).

use std::collections::BTreeMap;

use crate::limits::SEQ_MAX;

/// A set of sequence numbers from 1 to `SEQ_MAX`. Ranges that touch are merged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeqRanges {
    /// The last number of each range, by its first number.
    pieces: BTreeMap<u64, u64>,
}

impl SeqRanges {
    /// Builds the set from a list of ranges. A list from another peer is refused unless it is ascending, free of
    /// overlaps, and within 1 to `SEQ_MAX`.
    pub fn read(list: &[(u64, u64)]) -> Result<Self, &'static str> {
        let mut spans = Self::default();
        let mut end = 0;
        for &(first, last) in list {
            if first <= end || last < first || last > SEQ_MAX {
                return Err("the pieces of a stream are not ascending");
            }
            end = last;
            spans.insert(first, last);
        }
        Ok(spans)
    }

    /// Returns the ranges as they are sent to other peers.
    #[must_use]
    pub fn list(&self) -> Vec<(u64, u64)> {
        self.iter().collect()
    }

    /// Iterates over the ranges, ascending.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (u64, u64)> {
        self.pieces.iter().map(|(first, last)| (*first, *last))
    }

    /// Returns the number of ranges.
    #[must_use]
    pub fn pieces(&self) -> usize {
        self.pieces.len()
    }

    /// Returns whether the set is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Returns the highest number, or 0 if the set is empty.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.pieces.last_key_value().map_or(0, |(_, last)| *last)
    }

    /// Returns whether the set contains a number.
    #[must_use]
    pub fn contains(&self, number: u64) -> bool {
        self.piece_before(number).is_some_and(|(_, last)| number <= last)
    }

    /// Returns whether the set contains any number from `first` to `last`.
    #[must_use]
    pub fn touches(&self, first: u64, last: u64) -> bool {
        self.piece_before(last).is_some_and(|(_, end)| first <= end)
    }

    /// Returns the last range that starts at or before a number.
    fn piece_before(&self, number: u64) -> Option<(u64, u64)> {
        self.pieces.range(..=number).next_back().map(|(first, last)| (*first, *last))
    }

    /// Adds the numbers from `first` to `last`.
    pub fn insert(&mut self, mut first: u64, mut last: u64) {
        // Ranges that overlap or touch the new one are merged into it.
        while let Some((start, end)) = self.piece_before(last.saturating_add(1)) {
            if end.saturating_add(1) < first {
                break;
            }
            (first, last) = (first.min(start), last.max(end));
            self.pieces.remove(&start);
        }
        self.pieces.insert(first, last);
    }

    /// Returns the numbers of this set that are not in `other`.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        let mut rest = Self::default();
        for (mut first, last) in self.iter() {
            let start = other.piece_before(first).map_or(first, |(start, _)| start);
            for (start, end) in other.pieces.range(start..=last) {
                if first < *start {
                    rest.pieces.insert(first, start - 1);
                }
                first = first.max(end.saturating_add(1));
            }
            if first <= last {
                rest.pieces.insert(first, last);
            }
        }
        rest
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn of(pieces: &[(u64, u64)]) -> SeqRanges {
        let mut spans = SeqRanges::default();
        pieces.iter().for_each(|(first, last)| spans.insert(*first, *last));
        spans
    }

    fn numbers(pieces: &[(u64, u64)]) -> BTreeSet<u64> {
        pieces.iter().flat_map(|(first, last)| *first..=*last).collect()
    }

    #[test]
    fn only_ascending_pieces_from_one_are_read() {
        assert_eq!(SeqRanges::read(&[(1, 2), (3, 3), (5, 9)]).unwrap().list(), [(1, 3), (5, 9)]);
        let hostile: [&[(u64, u64)]; 6] = [
            &[(0, 1)],
            &[(2, 1)],
            &[(1, 3), (3, 4)],
            &[(5, 6), (1, 2)],
            &[(1, u64::MAX)],
            &[(SEQ_MAX, SEQ_MAX + 1)],
        ];
        for hostile in hostile {
            assert!(SeqRanges::read(hostile).is_err(), "{hostile:?}");
        }
        assert_eq!(
            SeqRanges::read(&[(1, SEQ_MAX)]).unwrap().minus(&of(&[(2, 5)])).list(),
            [(1, 1), (6, SEQ_MAX)]
        );
    }

    fn pieces() -> impl Strategy<Value = Vec<(u64, u64)>> {
        vec((1..40_u64, 0..6_u64).prop_map(|(first, more)| (first, first + more)), 0..12)
    }

    proptest! {
        #[test]
        fn is_the_set_of_its_numbers(a in pieces(), b in pieces()) {
            let (set, other) = (numbers(&a), numbers(&b));
            let (spans, others) = (of(&a), of(&b));
            prop_assert_eq!(&numbers(&spans.list()), &set);
            prop_assert_eq!(numbers(&spans.minus(&others).list()), &set - &other);
            for number in 1..50 {
                prop_assert_eq!(spans.contains(number), set.contains(&number));
                prop_assert_eq!(spans.touches(number, number + 3), (number..=number + 3).any(|n| set.contains(&n)));
            }
            // The list can be read back: it is ascending, and no two ranges touch.
            prop_assert_eq!(SeqRanges::read(&spans.list()), Ok(spans.clone()));
            prop_assert!(spans.list().windows(2).all(|pair| pair[0].1 + 1 < pair[1].0));
        }
    }
}
