//! Whose key is whose, as this peer knows it. Pure.
//!
//! A user's keys are pinned when that user is met first, and then only what is pinned counts. What the tracker announces
//! is believed while nothing is pinned; later any other key is a change, which the user has to accept.

use std::collections::BTreeMap;

use commons::keys::PublicKey;
use commons::names::Username;
use serde::{Deserialize, Serialize};

/// What is pinned for one user.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pin {
    /// The user's keys.
    pub(crate) keys: Vec<PublicKey>,
    /// Whether both have compared the safety number.
    pub(crate) verified: bool,
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
}

impl KeyBook {
    /// With the pins of earlier runs.
    pub(crate) fn new(pins: BTreeMap<Username, Pin>) -> Self {
        Self { pins, announced: BTreeMap::new() }
    }

    /// Everything that is to be kept.
    pub(crate) fn pins(&self) -> &BTreeMap<Username, Pin> {
        &self.pins
    }

    /// Notes what the tracker says; a key that was not announced before and is no pinned one, where others are.
    pub(crate) fn announce(&mut self, user: &Username, keys: &[PublicKey]) -> Option<PublicKey> {
        let before = self.announced.insert(user.clone(), keys.to_vec()).unwrap_or_default();
        let pinned = &self.pins.get(user).filter(|pin| !pin.keys.is_empty())?.keys;
        keys.iter().find(|key| !pinned.contains(key) && !before.contains(key)).copied()
    }

    /// Judges a key that somebody who claims to be this user has proven. The first one that fits what is announced is
    /// pinned, with the others that are announced.
    pub(crate) fn judge(&mut self, user: &Username, key: PublicKey) -> Judgement {
        if let Some(pin) = self.pins.get(user) {
            return if pin.keys.contains(&key) {
                Judgement::Known { first: false }
            } else {
                Judgement::Changed
            };
        }
        match self.announced.get(user).filter(|keys| !keys.is_empty()) {
            Some(keys) if keys.contains(&key) => {
                self.pins.insert(user.clone(), Pin { keys: keys.clone(), verified: false });
                Judgement::Known { first: true }
            }
            Some(_) => Judgement::Changed,
            None => Judgement::Unknown,
        }
    }

    /// Whether the tracker has said something about this user's keys, if only that there are none.
    pub(crate) fn was_announced(&self, user: &Username) -> bool {
        self.announced.contains_key(user)
    }

    /// Whether this user has keys, and is therefore never talked to in the clear.
    pub(crate) fn has_keys(&self, user: &Username) -> bool {
        self.pins.contains_key(user) || self.announced.get(user).is_some_and(|keys| !keys.is_empty())
    }

    /// Whether a key is announced for this user that has to be accepted first.
    pub(crate) fn is_changed(&self, user: &Username) -> bool {
        let Some(pin) = self.pins.get(user) else { return false };
        self.announced.get(user).is_some_and(|keys| keys.iter().any(|key| !pin.keys.contains(key)))
    }

    /// Whether both have compared the safety number, and nothing has changed since.
    pub(crate) fn is_verified(&self, user: &Username) -> bool {
        self.pins.get(user).is_some_and(|pin| pin.verified) && !self.is_changed(user)
    }

    /// Takes what is announced for what is right; `false` where there is nothing to take.
    pub(crate) fn accept(&mut self, user: &Username) -> bool {
        let announced = self.announced.get(user).filter(|keys| !keys.is_empty());
        let Some(keys) = announced.cloned() else { return false };
        self.pins.insert(user.clone(), Pin { keys, verified: false });
        true
    }

    /// Remembers that the safety number was compared; `false` where nothing is pinned.
    pub(crate) fn verify(&mut self, user: &Username) -> bool {
        let pin = self.pins.get_mut(user);
        pin.map(|pin| pin.verified = true).is_some()
    }

    /// The keys that count for this user: the pinned ones, else the announced.
    pub(crate) fn keys(&self, user: &Username) -> &[PublicKey] {
        let pinned = self.pins.get(user).map(|pin| &pin.keys);
        pinned.or_else(|| self.announced.get(user)).map(Vec::as_slice).unwrap_or_default()
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
    fn who_ever_had_keys_is_known_to_have_them() {
        let mut book = KeyBook::default();
        assert!(!book.has_keys(&bob()));
        book.announce(&bob(), &[key(1)]);
        book.judge(&bob(), key(1));
        book.announce(&bob(), &[]);
        assert!(book.has_keys(&bob()));
    }
}
