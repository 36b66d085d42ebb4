//! The ranges of messages that a peer holds in one conversation, as its HAVE frames name them, up to a bound.
//!
//! A peer may invent any number of streams. Each new entry costs a search in a tree and not a pass over all others, and
//! the entries that the peer named last are kept.
//!
//! Example: the bound is 3 ranges, and the peer named streams A and B with one range each. Then it names A and C with
//! one and two ranges. B is dropped, because A was named again after it.

use std::collections::BTreeMap;

use commons::incarnation::Incarnation;
use commons::protocol::provenance::StreamSpans;

use crate::limits::REMOTE_SPANS_MAX;

/// The author and the incarnation of a stream.
pub(crate) type StreamKey = (String, Incarnation);

/// The first and last sequence number of each range.
pub(crate) type Spans = Vec<(u64, u64)>;

/// Returns the key of a stream, and its ranges.
pub(crate) fn keyed(stream: StreamSpans) -> (StreamKey, Spans) {
    ((stream.username, stream.incarnation), stream.spans)
}

/// Returns the streams as a frame names them.
pub(crate) fn unkeyed<'a>(streams: impl IntoIterator<Item = (&'a StreamKey, &'a Spans)>) -> Vec<StreamSpans> {
    let stream = |((username, incarnation), spans): (&StreamKey, &Spans)| StreamSpans {
        username: username.clone(),
        incarnation: *incarnation,
        spans: spans.clone(),
    };
    streams.into_iter().map(stream).collect()
}

/// The ranges that a peer holds, at most [`REMOTE_SPANS_MAX`].
#[derive(Debug)]
pub(crate) struct RemoteHave<K = StreamKey> {
    /// The ranges of each stream, and the turn in which they were named.
    streams: BTreeMap<K, (u64, Spans)>,
    /// The stream of each turn, the oldest first.
    turns: BTreeMap<u64, K>,
    next_turn: u64,
    /// The weight of all streams.
    weight: usize,
}

impl<K> Default for RemoteHave<K> {
    fn default() -> Self {
        Self { streams: BTreeMap::new(), turns: BTreeMap::new(), next_turn: 0, weight: 0 }
    }
}

impl<K: Ord + Clone> RemoteHave<K> {
    /// Replaces the ranges of these streams.
    pub(crate) fn note(&mut self, streams: impl IntoIterator<Item = (K, Spans)>) {
        for (stream, spans) in streams {
            self.weight += weight(&spans);
            let before = self.streams.insert(stream.clone(), (self.next_turn, spans));
            self.turns.insert(self.next_turn, stream);
            self.next_turn += 1;
            if let Some((turn, spans)) = before {
                self.turns.remove(&turn);
                self.weight -= weight(&spans);
            }
        }
        while self.weight > REMOTE_SPANS_MAX {
            let oldest = self.turns.pop_first().and_then(|(_, stream)| self.streams.remove(&stream));
            self.weight -= oldest.map_or(self.weight, |(_, spans)| weight(&spans));
        }
    }

    /// Returns all streams with their ranges.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &Spans)> {
        self.streams.iter().map(|(stream, (_, spans))| (stream, spans))
    }
}

/// Returns the weight of a stream: its number of ranges. A stream without ranges counts as one.
fn weight(spans: &Spans) -> usize {
    spans.len().max(1)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::cmp::Ordering;

    use commons::limits::SPANS_MAX;

    use super::*;

    thread_local! {
        /// The number of comparisons of keys.
        static COMPARISONS: Cell<usize> = const { Cell::new(0) };
    }

    /// A stream whose comparisons are counted.
    #[derive(Debug, Clone, Copy, Eq)]
    struct Counted(usize);

    impl Ord for Counted {
        fn cmp(&self, other: &Self) -> Ordering {
            COMPARISONS.set(COMPARISONS.get() + 1);
            self.0.cmp(&other.0)
        }
    }

    impl PartialOrd for Counted {
        fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
            Some(self.cmp(other))
        }
    }

    impl PartialEq for Counted {
        fn eq(&self, other: &Self) -> bool {
            self.cmp(other) == Ordering::Equal
        }
    }

    /// Counts the comparisons that a flood of full frames costs, each with other streams than the one before.
    fn comparisons(mut note: impl FnMut(Vec<(Counted, Spans)>)) -> usize {
        COMPARISONS.set(0);
        for frame in 0..2 * REMOTE_SPANS_MAX / SPANS_MAX {
            let streams = frame * SPANS_MAX..(frame + 1) * SPANS_MAX;
            note(streams.map(|stream| (Counted(stream), vec![(1, 1)])).collect());
        }
        COMPARISONS.get()
    }

    #[test]
    fn flood_of_haves_does_not_compare_all_with_all() {
        const FLOOD: usize = 2 * REMOTE_SPANS_MAX;
        let mut have = RemoteHave::default();
        let searched = comparisons(|streams| have.note(streams));
        assert_eq!(have.iter().count(), REMOTE_SPANS_MAX);
        assert!(searched < 100 * FLOOD, "{searched}");
        // The control: a list that is searched for each new entry.
        let mut list: Vec<(Counted, Spans)> = Vec::new();
        let compared = comparisons(|streams| {
            list.retain(|(known, _)| !streams.iter().any(|(new, _)| known == new));
            list.extend(streams);
            list.drain(..list.len().saturating_sub(REMOTE_SPANS_MAX));
        });
        assert_eq!(list.len(), REMOTE_SPANS_MAX);
        assert!(compared > 100 * FLOOD, "{compared}");
    }

    #[test]
    fn streams_that_were_named_last_are_retained() {
        let full =
            |first| (1..=REMOTE_SPANS_MAX as u64 - 1).map(|n| (first + 2 * n, first + 2 * n)).collect();
        let mut have = RemoteHave::default();
        have.note([("a", vec![(1, 1)]), ("b", vec![])]);
        have.note([("a", vec![(1, 2)]), ("c", full(0))]);
        let kept: Vec<_> = have.iter().map(|(stream, spans)| (*stream, spans.len())).collect();
        assert_eq!(kept, [("a", 1), ("c", REMOTE_SPANS_MAX - 1)]);
    }
}
