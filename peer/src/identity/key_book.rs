//! Whose key is whose, as this peer knows it. Pure.
//!
//! A user's keys are pinned when that user is met first, and then only what is pinned counts. What the tracker announces
//! is believed while nothing is pinned; later any other key is a change, which the user has to accept.

use std::collections::{BTreeMap, BTreeSet};

use commons::keys::PublicKey;
use commons::names::Username;
use serde::{Deserialize, Serialize};

use crate::limits::NEW_KEYS_TOLD;

/// What is pinned for one user.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pin {
    /// The user's keys.
    pub(crate) keys: Vec<PublicKey>,
    /// Those of which both have compared the safety number.
    #[serde(default)]
    pub(crate) compared: Vec<PublicKey>,
}

/// How a proven key relates to the user that it is claimed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// It is the user's; `first` tells that it is pinned by this meeting.
    Known {
        /// Whether the pins changed.
        first: bool,
    },
    /// Other keys are pinned.
    Changed,
    /// Nothing is known of that user.
    Unknown,
}

/// Pinned and announced keys.
#[derive(Debug, Default)]
pub(crate) struct KeyBook {
    pins: BTreeMap<Username, Pin>,
    announced: BTreeMap<Username, Vec<PublicKey>>,
    /// Which of the pinned and announced keys each user proved last.
    proven: BTreeMap<Username, PublicKey>,
    /// Changes that the user was told of: once is loud enough.
    told: BTreeMap<Username, BTreeSet<PublicKey>>,
}

impl KeyBook {
    /// With the pins of earlier runs.
    pub(crate) fn new(pins: BTreeMap<Username, Pin>) -> Self {
        Self { pins, ..Self::default() }
    }

    /// Everything that is to be kept.
    pub(crate) fn pins(&self) -> &BTreeMap<Username, Pin> {
        &self.pins
    }

    /// Notes what the tracker says; a key that is no pinned one, where others are, and that the user was not told of.
    pub(crate) fn announce(&mut self, user: &Username, keys: &[PublicKey]) -> Option<PublicKey> {
        self.announced.insert(user.clone(), keys.to_vec());
        let new = self.not_accepted(user).last()?;
        self.is_news(user, new).then_some(new)
    }

    /// Whether the user was not told yet that this key is not the pinned one. A crowd of keys is told of up to a limit.
    pub(crate) fn is_news(&mut self, user: &Username, key: PublicKey) -> bool {
        let told = self.told.entry(user.clone()).or_default();
        told.len() < NEW_KEYS_TOLD && told.insert(key)
    }

    /// The announced keys that are no pinned ones, where others are.
    fn not_accepted(&self, user: &Username) -> impl DoubleEndedIterator<Item = PublicKey> {
        let pinned = self.pins.get(user).map(|pin| &pin.keys);
        let announced = pinned.and_then(|_| self.announced.get(user)).into_iter().flatten();
        announced.filter(move |key| pinned.is_some_and(|pinned| !pinned.contains(key))).copied()
    }

    /// Judges a key that somebody who claims to be this user has proven. The first one that fits what is announced is
    /// pinned, with the others that are announced.
    pub(crate) fn judge(&mut self, user: &Username, key: PublicKey) -> Judgement {
        let pinned = self.pins.get(user).map(|pin| &pin.keys);
        // What anybody can make up is not remembered.
        if pinned.into_iter().chain(self.announced.get(user)).flatten().any(|known| *known == key) {
            self.proven.insert(user.clone(), key);
        }
        if let Some(pin) = self.pins.get(user) {
            return if pin.keys.contains(&key) {
                Judgement::Known { first: false }
            } else {
                Judgement::Changed
            };
        }
        match self.announced.get(user).filter(|keys| !keys.is_empty()) {
            Some(keys) if keys.contains(&key) => {
                self.pins.insert(user.clone(), Pin { keys: keys.clone(), compared: Vec::new() });
                Judgement::Known { first: true }
            }
            Some(_) => Judgement::Changed,
            None => Judgement::Unknown,
        }
    }

    /// A user with the keys by which its lines are believed: the pinned ones, or those announced while nothing is pinned.
    pub(crate) fn trusted(&self, user: Username) -> (Username, Vec<PublicKey>) {
        let pinned = self.pins.get(&user).map(|pin| &pin.keys);
        let keys = pinned.or_else(|| self.announced.get(&user)).cloned().unwrap_or_default();
        (user, keys)
    }

    /// Whether the tracker has said something about this user's keys, if only that there are none.
    pub(crate) fn was_announced(&self, user: &Username) -> bool {
        self.announced.contains_key(user)
    }

    /// Whether this user has keys, and is therefore never talked to in the clear.
    pub(crate) fn has_keys(&self, user: &Username) -> bool {
        self.pins.contains_key(user) || self.announced.get(user).is_some_and(|keys| !keys.is_empty())
    }

    /// Whether this user is known to have no key at all: an original program's.
    pub(crate) fn is_known_to_have_none(&self, user: &Username) -> bool {
        self.was_announced(user) && !self.has_keys(user)
    }

    /// Whether a key is announced for this user that has to be accepted first.
    pub(crate) fn is_changed(&self, user: &Username) -> bool {
        self.not_accepted(user).next().is_some()
    }

    /// Whether both have compared the safety number of the key that this user speaks with, and nothing has changed since.
    pub(crate) fn is_verified(&self, user: &Username) -> bool {
        let compared = self.pins.get(user).map(|pin| pin.compared.as_slice()).unwrap_or_default();
        !self.is_changed(user) && self.key(user).is_some_and(|key| compared.contains(&key))
    }

    /// Takes what is announced for what is right; `false` where that is nothing new.
    pub(crate) fn accept(&mut self, user: &Username) -> bool {
        if self.pins.contains_key(user) && !self.is_changed(user) {
            return false;
        }
        let announced = self.announced.get(user).filter(|keys| !keys.is_empty());
        let Some(keys) = announced.cloned() else { return false };
        self.pins.insert(user.clone(), Pin { keys, compared: Vec::new() });
        self.told.remove(user);
        true
    }

    /// Remembers that the safety number was compared; `false` where no key is pinned that it can be of, or a change has
    /// to be accepted first.
    pub(crate) fn verify(&mut self, user: &Username) -> bool {
        let Some(key) = self.key(user).filter(|_| !self.is_changed(user)) else { return false };
        let Some(pin) = self.pins.get_mut(user) else { return false };
        if !pin.compared.contains(&key) {
            pin.compared.push(key);
        }
        true
    }

    /// The one key that the safety number is of: where there is a change, a new one, so that it can be compared before
    /// it is accepted. Of several it is the one that the user proved last, and the one bound last before that.
    pub(crate) fn key(&self, user: &Username) -> Option<PublicKey> {
        let changed: Vec<_> = self.not_accepted(user).collect();
        let pinned = self.pins.get(user).map(|pin| &pin.keys);
        let known = pinned.or_else(|| self.announced.get(user)).map(Vec::as_slice).unwrap_or_default();
        let choice = if changed.is_empty() { known } else { &changed };
        self.proven.get(user).filter(|key| choice.contains(key)).or_else(|| choice.last()).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bob() -> Username {
        Username::parse("bob").unwrap()
    }

    fn key(n: u8) -> PublicKey {
        PublicKey::new([n; 32])
    }

    #[test]
    fn the_first_meeting_pins_and_then_only_the_pin_counts() {
        let mut book = KeyBook::default();
        assert_eq!(book.judge(&bob(), key(1)), Judgement::Unknown);
        assert_eq!(book.announce(&bob(), &[key(1)]), None);
        assert_eq!(book.judge(&bob(), key(2)), Judgement::Changed, "the tracker says otherwise");
        assert_eq!(book.judge(&bob(), key(1)), Judgement::Known { first: true });
        // A tracker that hands out another key now is not believed.
        assert_eq!(book.announce(&bob(), &[key(2)]), Some(key(2)));
        assert_eq!(book.announce(&bob(), &[key(2)]), None, "told once");
        assert!(book.is_changed(&bob()));
        assert_eq!(book.judge(&bob(), key(2)), Judgement::Changed);
        assert_eq!(book.judge(&bob(), key(1)), Judgement::Known { first: false });
        assert!(book.accept(&bob()));
        assert_eq!(book.judge(&bob(), key(2)), Judgement::Known { first: false });
        assert!(!book.is_changed(&bob()));
    }

    #[test]
    fn a_change_undoes_the_verification() {
        let mut book = KeyBook::default();
        assert!(!book.verify(&bob()));
        book.announce(&bob(), &[key(1)]);
        book.judge(&bob(), key(1));
        assert!(book.verify(&bob()) && book.is_verified(&bob()));
        book.announce(&bob(), &[key(1), key(2)]);
        assert!(!book.is_verified(&bob()));
        book.accept(&bob());
        assert!(!book.is_verified(&bob()));
    }

    #[test]
    fn the_number_is_of_the_key_that_is_spoken_with_and_verifying_it_verifies_no_other() {
        let mut book = KeyBook::default();
        book.announce(&bob(), &[key(1), key(2)]);
        book.judge(&bob(), key(1));
        assert_eq!(book.key(&bob()), Some(key(1)));
        assert!(book.verify(&bob()) && book.is_verified(&bob()));
        // Another device, or another key that the tracker slipped in.
        book.judge(&bob(), key(2));
        assert_eq!(book.key(&bob()), Some(key(2)));
        assert!(!book.is_verified(&bob()));
        // A key out of nowhere changes nothing.
        book.judge(&bob(), key(1));
        book.judge(&bob(), key(9));
        assert!(book.is_verified(&bob()));
    }

    #[test]
    fn a_changed_key_is_compared_before_it_is_accepted() {
        let mut book = KeyBook::default();
        book.announce(&bob(), &[key(1)]);
        book.judge(&bob(), key(1));
        assert!(book.verify(&bob()));
        assert!(!book.accept(&bob()), "nothing has changed");
        assert!(book.is_verified(&bob()));
        book.announce(&bob(), &[key(1), key(2)]);
        assert_eq!(book.key(&bob()), Some(key(2)));
        assert!(!book.verify(&bob()), "accepted first");
        // A key that the tracker does not announce cannot be accepted, so it is none to compare.
        assert_eq!(book.judge(&bob(), key(3)), Judgement::Changed);
        assert_eq!(book.key(&bob()), Some(key(2)));
        assert!(book.accept(&bob()) && book.verify(&bob()) && book.is_verified(&bob()));
    }

    #[test]
    fn a_change_is_told_once_and_a_crowd_of_keys_up_to_a_limit() {
        let mut book = KeyBook::default();
        book.announce(&bob(), &[key(1)]);
        book.judge(&bob(), key(1));
        assert_eq!(book.announce(&bob(), &[key(1), key(2)]), Some(key(2)));
        assert!(!book.is_news(&bob(), key(2)));
        let told = (3..100).filter(|n| book.is_news(&bob(), key(*n))).count();
        assert_eq!(told, NEW_KEYS_TOLD - 1);
    }

    #[test]
    fn who_ever_had_keys_is_known_to_have_them() {
        let mut book = KeyBook::default();
        assert!(!book.has_keys(&bob()));
        book.announce(&bob(), &[key(1)]);
        book.judge(&bob(), key(1));
        book.announce(&bob(), &[]);
        assert!(book.has_keys(&bob()));
    }
}
