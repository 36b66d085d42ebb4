//! A map with a bounded number of keys.
//! When it is full, it forgets the least recently used key, so unauthenticated clients cannot make it grow.
//!
//! Example with at most 3 keys: after uses of 1, 2, 3, 1 and 4, it holds 3, 1 and 4.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// A map of at most `most` keys, ordered by their last use.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    most: usize,
    values: HashMap<K, (u64, V)>,
    /// The keys by their last turn, the oldest first.
    turns: BTreeMap<u64, K>,
    last_turn: u64,
}

impl<K: Clone + Eq + Hash, V: Default> Recent<K, V> {
    /// Creates an empty map of at most `most` keys.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, values: HashMap::new(), turns: BTreeMap::new(), last_turn: 0 }
    }

    /// The value of a key, if the key is remembered. The access does not count as a use.
    pub(crate) fn known(&mut self, key: &K) -> Option<&mut V> {
        self.values.get_mut(key).map(|(_, value)| value)
    }

    /// The value of a key, created with the default if needed. The access counts as a use of the key.
    pub(crate) fn turn_of(&mut self, key: &K) -> &mut V {
        self.last_turn += 1;
        if !self.values.contains_key(key)
            && self.values.len() >= self.most
            && let Some((_, oldest)) = self.turns.pop_first()
        {
            self.values.remove(&oldest);
        }
        let (turn, value) = self.values.entry(key.clone()).or_default();
        self.turns.remove(turn);
        *turn = self.last_turn;
        self.turns.insert(*turn, key.clone());
        value
    }

    /// Removes a key from the map.
    pub(crate) fn forget(&mut self, key: &K) {
        if let Some((turn, _)) = self.values.remove(key) {
            self.turns.remove(&turn);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgets_whose_turn_was_longest_ago() {
        let mut recent = Recent::new(3);
        for key in [1, 2, 3] {
            *recent.turn_of(&key) = key * 10;
        }
        assert_eq!(*recent.turn_of(&1), 10);
        recent.known(&2);
        *recent.turn_of(&4) = 40;
        assert_eq!([1, 2, 3, 4].map(|key| recent.known(&key).copied()), [Some(10), None, Some(30), Some(40)]);
        recent.forget(&3);
        recent.turn_of(&5);
        assert_eq!((recent.values.len(), recent.turns.len()), (3, 3));
        assert_eq!(recent.known(&1), Some(&mut 10), "what was forgotten has made room");
    }
}
