//! The known keys: pinned, accepted and announced keys of every user, as in OpenSSH's known_hosts. Pure.
//!
//! A key is pinned when its user proves it on a link. From then on only pinned keys count. The tracker's announcement
//! pins nothing: it only says which key may prove itself at the first meeting. Later any other key is a change. The
//! user must accept it, unless a pinned key has endorsed it.
//!
//! Example: the tracker announces keys 1 and 2 of bob, and bob links with key 1. Key 1 is pinned, key 2 is remembered
//! as unproven. If key 2 proves itself later, it is a change that the user must accept.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use commons::endorsement::Endorsement;
use commons::keys::{PublicKey, Signature};
use commons::limits::ENDORSEMENTS_PER_USER;
use commons::names::Username;
use commons::peer::Peer;
use commons::snapshot::Member;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::limits::{ANNOUNCED_MAX, KEY_LOOKUP_PAUSE, KEY_WARNINGS_MAX, PINNED_KEYS_MAX};

/// The keys of one user, as the tracker announces them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Announcement {
    /// The announced keys.
    pub(crate) keys: Vec<PublicKey>,
    /// Endorsements of announced keys by other announced keys.
    pub(crate) endorsements: Vec<Signature>,
}

impl From<&Member> for Announcement {
    fn from(member: &Member) -> Self {
        Self { keys: member.keys.clone(), endorsements: member.endorsements.clone() }
    }
}

impl From<Peer> for Announcement {
    fn from(peer: Peer) -> Self {
        Self { keys: peer.keys, endorsements: peer.endorsements }
    }
}

/// Effect of an announcement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyUpdate {
    /// A key that is not pinned although others are, and that the user was not warned of yet.
    pub(crate) new_key: Option<PublicKey>,
    /// Whether a further key is pinned now because a pinned key has endorsed it.
    pub(crate) endorsed: bool,
}

/// The pinned keys of one user.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pin {
    /// The pinned keys. Endorsements add keys only up to [`PINNED_KEYS_MAX`] in total.
    pub(crate) keys: Vec<PublicKey>,
    /// The pinned keys whose safety number was compared.
    #[serde(default)]
    pub(crate) compared: Vec<PublicKey>,
    /// Keys that were announced when the user was met or verified, and that nobody has proven since. Such a key is no
    /// change until it is used; then the user must accept it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) unproven: Vec<PublicKey>,
    /// The address at which the user accepts links, from the last link that proved one of these keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) address: Option<SocketAddr>,
}

/// A copy of the pinned and accepted keys of one user, taken before a change.
pub(crate) struct KeyBackup {
    pin: Option<Pin>,
    accepted: Option<Vec<PublicKey>>,
}

/// Relation of a proven key to the user whose name is claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyStatus {
    /// The key is the user's. `first` says whether this meeting pinned it.
    Known {
        /// Whether the pins changed.
        first: bool,
    },
    /// Other keys are pinned, or the tracker announces only others.
    Changed,
    /// Nothing is known of the user: no key is pinned or announced.
    Unknown,
}

/// The pinned, accepted and announced keys of all users.
#[derive(Debug, Default)]
pub(crate) struct KnownKeys {
    pins: BTreeMap<Username, Pin>,
    announced: BTreeMap<Username, Vec<PublicKey>>,
    /// Announced keys that the user has accepted. Each is pinned when it is proven.
    accepted: BTreeMap<Username, Vec<PublicKey>>,
    /// The key of each contact whose safety number was shown last.
    shown: BTreeMap<Username, PublicKey>,
    /// The pinned or announced key that each contact proved last.
    proven: BTreeMap<Username, PublicKey>,
    /// Key changes that the user was warned of. Each warning is given once.
    warned: BTreeMap<Username, BTreeSet<PublicKey>>,
    /// Time at which the tracker was last asked again about an announced key that is not accepted.
    looked_up_at: BTreeMap<Username, Instant>,
    /// Time at which the tracker was last asked about a user without a key. Meanwhile another person may have
    /// registered the name.
    keyless_looked_up_at: BTreeMap<Username, Instant>,
}

impl KnownKeys {
    /// Starts with the pins of earlier runs.
    pub(crate) fn new(pins: BTreeMap<Username, Pin>) -> Self {
        Self { pins, ..Self::default() }
    }

    /// All pins, which are stored on the disk.
    pub(crate) fn pins(&self) -> &BTreeMap<Username, Pin> {
        &self.pins
    }

    /// Stores an announcement of the tracker.
    pub(crate) fn announce(&mut self, user: &Username, announcement: &Announcement) -> KeyUpdate {
        if self.announced.len() >= ANNOUNCED_MAX && !self.announced.contains_key(user) {
            self.forget_an_announcement();
        }
        self.announced.insert(user.clone(), announcement.keys.clone());
        if let Some(pin) = self.pins.get_mut(user) {
            pin.unproven.retain(|key| announcement.keys.contains(key));
        }
        let endorsed = self.pin_endorsed(user, announcement);
        let new = self.not_accepted(user).last();
        KeyUpdate { new_key: new.filter(|new| self.note_warning(user, *new)), endorsed }
    }

    /// Drops the announcement of a user who was never met, to make room. It is requested again when it is needed.
    fn forget_an_announcement(&mut self) {
        let is_met = |user: &Username| self.pins.contains_key(user) || self.accepted.contains_key(user);
        let least =
            self.announced.iter().filter(|(user, _)| !is_met(user)).min_by_key(|(_, keys)| keys.len());
        if let Some(user) = least.map(|(user, _)| user.clone()) {
            self.announced.remove(&user);
        }
    }

    /// Copies the pinned and accepted keys of a user. They are restored if a change cannot be written.
    pub(crate) fn back_up(&self, user: &Username) -> KeyBackup {
        KeyBackup { pin: self.pins.get(user).cloned(), accepted: self.accepted.get(user).cloned() }
    }

    /// Undoes the changes to a user's keys since the copy was made.
    pub(crate) fn restore(&mut self, user: &Username, KeyBackup { pin, accepted }: KeyBackup) {
        let _ = match pin {
            Some(pin) => self.pins.insert(user.clone(), pin),
            None => self.pins.remove(user),
        };
        let _ = match accepted {
            Some(accepted) => self.accepted.insert(user.clone(), accepted),
            None => self.accepted.remove(user),
        };
    }

    /// Stores the keys of the user's own account, which verify messages from the user's other devices. The first
    /// announcement is pinned; later only endorsed keys are. Returns true if the pins must be written.
    pub(crate) fn announce_own(
        &mut self,
        me: &Username,
        own: PublicKey,
        announcement: &Announcement,
    ) -> bool {
        let is_first = !self.pins.contains_key(me);
        let pin = self
            .pins
            .entry(me.clone())
            .or_insert_with(|| Pin { keys: announcement.keys.clone(), ..Pin::default() });
        let is_further = !pin.keys.contains(&own) && pin.keys.len() < PINNED_KEYS_MAX;
        if is_further {
            pin.keys.push(own);
        }
        self.pin_endorsed(me, announcement) || is_further || is_first
    }

    /// Pins the announced keys that endorsements connect to a pinned key, directly or through other keys. Returns true
    /// if there were any. Nobody has compared them: only a key of the user vouches for them.
    fn pin_endorsed(&mut self, user: &Username, announcement: &Announcement) -> bool {
        let Some(pin) = self.pins.get_mut(user) else { return false };
        let signatures = announcement.endorsements.iter().take(ENDORSEMENTS_PER_USER);
        let read: Vec<_> =
            signatures.filter_map(|it| Endorsement::read(user, &announcement.keys, it)).collect();
        let before = pin.keys.len();
        while pin.keys.len() < PINNED_KEYS_MAX {
            let leads_on = |it: &&Endorsement| pin.keys.contains(&it.by) && !pin.keys.contains(&it.key);
            let Some(next) = read.iter().find(leads_on) else { break };
            pin.keys.push(next.key);
            pin.unproven.retain(|key| *key != next.key);
        }
        pin.keys.len() > before
    }

    /// Notes a warning about this key. Returns true if the user was not warned of it yet. At most [`KEY_WARNINGS_MAX`]
    /// keys of one user are warned of.
    pub(crate) fn note_warning(&mut self, user: &Username, key: PublicKey) -> bool {
        let warned = self.warned.entry(user.clone()).or_default();
        warned.len() < KEY_WARNINGS_MAX && warned.insert(key)
    }

    /// Whether to look up a user again because of a key that somebody has proven under this name. The tracker already
    /// announces the key, so by now it may announce an endorsement of it.
    pub(crate) fn try_look_up_again(&mut self, user: &Username, key: PublicKey, now: Instant) -> bool {
        let lately = self.looked_up_at.get(user).is_some_and(|at| now < *at + KEY_LOOKUP_PAUSE);
        let may = !lately && self.not_accepted(user).any(|announced| announced == key);
        if may {
            self.looked_up_at.insert(user.clone(), now);
        }
        may
    }

    /// Whether to ask the tracker about a user without a known key before plaintext is used.
    pub(crate) fn try_look_up_keyless(&mut self, user: &Username, now: Instant) -> bool {
        self.keyless_looked_up_at.retain(|_, at| now < *at + KEY_LOOKUP_PAUSE);
        let may = !self.has_keys(user) && !self.keyless_looked_up_at.contains_key(user);
        if may {
            self.keyless_looked_up_at.insert(user.clone(), now);
        }
        may
    }

    /// The announced keys that are a change: other keys are pinned, and these are neither accepted nor known as
    /// unproven.
    fn not_accepted(&self, user: &Username) -> impl DoubleEndedIterator<Item = PublicKey> {
        let pin = self.pins.get(user);
        let accepted = self.accepted.get(user);
        let announced = pin.and_then(|_| self.announced.get(user)).into_iter().flatten();
        announced
            .filter(move |key| pin.is_some_and(|pin| !pin.keys.contains(key) && !pin.unproven.contains(key)))
            .filter(move |key| accepted.is_none_or(|accepted| !accepted.contains(key)))
            .copied()
    }

    fn is_announced(&self, user: &Username, key: &PublicKey) -> bool {
        self.announced.get(user).is_some_and(|announced| announced.contains(key))
    }

    /// Checks a key that was proven under a user's name. The first announced key is pinned, and so is an accepted key.
    /// No other key is pinned, because nobody has proven it.
    pub(crate) fn check(&mut self, user: &Username, key: PublicKey) -> KeyStatus {
        let pinned = self.pins.get(user).map(|pin| &pin.keys);
        // Keys that anybody can make up are not remembered.
        if pinned.into_iter().chain(self.announced.get(user)).flatten().any(|known| *known == key) {
            self.proven.insert(user.clone(), key);
        }
        if self.accepted.get(user).is_some_and(|accepted| accepted.contains(&key)) {
            self.pin_accepted(user, key);
            return KeyStatus::Known { first: true };
        }
        // A pinned key that is no longer announced was given up when other keys were accepted.
        let given_up = self.accepted.contains_key(user) && !self.is_announced(user, &key);
        if let Some(pin) = self.pins.get_mut(user) {
            if pin.keys.contains(&key) && !given_up {
                return KeyStatus::Known { first: false };
            }
            pin.unproven.retain(|unproven| *unproven != key);
            return KeyStatus::Changed;
        }
        match self.announced.get(user).filter(|keys| !keys.is_empty()) {
            Some(keys) if keys.contains(&key) => {
                let unproven = keys.iter().filter(|other| **other != key).copied().collect();
                self.pins.insert(user.clone(), Pin { keys: vec![key], unproven, ..Pin::default() });
                KeyStatus::Known { first: true }
            }
            // Another key than every announced one may be a man in the middle, also at the first meeting.
            Some(_) => KeyStatus::Changed,
            None => KeyStatus::Unknown,
        }
    }

    /// Pins an accepted key. Pinned keys that are no longer announced are removed.
    fn pin_accepted(&mut self, user: &Username, key: PublicKey) {
        let announced = self.announced.get(user).cloned().unwrap_or_default();
        let pin = self.pins.entry(user.clone()).or_default();
        pin.keys.retain(|pinned| announced.contains(pinned) && *pinned != key);
        pin.keys.push(key);
        pin.compared.retain(|compared| pin.keys.contains(compared));
        pin.unproven.retain(|unproven| *unproven != key);
        if let Some(accepted) = self.accepted.get_mut(user) {
            accepted.retain(|accepted| *accepted != key);
        }
        self.accepted.retain(|_, accepted| !accepted.is_empty());
    }

    /// A user with the keys that verify the user's messages: the pinned and accepted keys, or the announced keys while
    /// nothing is pinned.
    pub(crate) fn trusted(&self, user: Username) -> (Username, Vec<PublicKey>) {
        let keys = match self.pins.get(&user) {
            Some(pin) => [pin.keys.as_slice(), self.accepted.get(&user).map_or(&[], Vec::as_slice)].concat(),
            None => self.announced.get(&user).cloned().unwrap_or_default(),
        };
        (user, keys)
    }

    /// Stores the address at which a pinned user accepts links. Returns true if it has changed.
    pub(crate) fn note_address(&mut self, user: &Username, address: SocketAddr) -> bool {
        let pin = self.pins.get_mut(user);
        pin.is_some_and(|pin| pin.address.replace(address) != Some(address))
    }

    /// The address at which a user last accepted links.
    pub(crate) fn address(&self, user: &Username) -> Option<SocketAddr> {
        self.pins.get(user)?.address
    }

    /// Whether this key is pinned for the user.
    pub(crate) fn is_pinned(&self, user: &Username, key: &PublicKey) -> bool {
        self.pins.get(user).is_some_and(|pin| pin.keys.contains(key))
    }

    /// Whether the tracker has announced this user's keys, even if there are none.
    fn was_announced(&self, user: &Username) -> bool {
        self.announced.contains_key(user)
    }

    /// Whether the user has keys, and is therefore never contacted in plaintext.
    pub(crate) fn has_keys(&self, user: &Username) -> bool {
        self.pins.contains_key(user) || self.announced.get(user).is_some_and(|keys| !keys.is_empty())
    }

    /// Whether the user is known to have no key at all, as a user of a legacy client.
    pub(crate) fn is_known_to_have_none(&self, user: &Username) -> bool {
        self.was_announced(user) && !self.has_keys(user)
    }

    /// Whether a key is announced for this user that must be accepted first.
    pub(crate) fn is_changed(&self, user: &Username) -> bool {
        self.not_accepted(user).next().is_some()
    }

    /// Whether the safety number of this key was compared. A later change, or an accepted key that is not proven yet,
    /// undoes it.
    pub(crate) fn is_verified(&self, user: &Username, key: &PublicKey) -> bool {
        let awaits_proof = self.accepted.contains_key(user);
        let is_compared = self.pins.get(user).is_some_and(|pin| pin.compared.contains(key));
        is_compared && !awaits_proof && !self.is_changed(user)
    }

    /// Whether the key whose safety number was shown last is no longer among those that can be accepted, so that other
    /// keys would be accepted than the user has compared.
    pub(crate) fn is_shown_outdated(&self, user: &Username) -> bool {
        let shown = self.shown.get(user).filter(|shown| !self.is_pinned(user, shown));
        shown.is_some_and(|shown| self.is_changed(user) && self.not_accepted(user).all(|key| key != *shown))
    }

    /// Accepts the announced keys: each is pinned when it is proven. If the safety number of one of them was shown, only
    /// that one is accepted. Returns false if there is nothing new to accept.
    pub(crate) fn accept(&mut self, user: &Username) -> bool {
        if self.pins.contains_key(user) && !self.is_changed(user) {
            return false;
        }
        let announced = self.announced.get(user).filter(|keys| !keys.is_empty());
        let Some(mut keys) = announced.cloned() else { return false };
        if let Some(pin) = self.pins.get_mut(user) {
            keys.retain(|key| !pin.keys.contains(key) && !pin.unproven.contains(key));
            if let Some(shown) = self.shown.get(user).filter(|shown| keys.contains(shown)) {
                pin.unproven.extend(keys.iter().filter(|key| *key != shown));
                keys = vec![*shown];
            }
        }
        self.accepted.insert(user.clone(), keys);
        self.warned.remove(user);
        true
    }

    /// Stores the key whose safety number was shown to the user.
    pub(crate) fn note_shown(&mut self, user: &Username, key: PublicKey) {
        self.shown.insert(user.clone(), key);
    }

    /// The key whose safety number was shown to the user last.
    pub(crate) fn shown(&self, user: &Username) -> Option<PublicKey> {
        self.shown.get(user).copied()
    }

    /// Marks this key as compared and unpins all keys that were not compared. Returns false if the key is neither
    /// pinned nor accepted, or if a change must be accepted first.
    pub(crate) fn verify(&mut self, user: &Username, key: PublicKey) -> bool {
        let is_accepted = self.accepted.get(user).is_some_and(|accepted| accepted.contains(&key));
        if self.is_changed(user) || !(is_accepted || self.is_pinned(user, &key)) {
            return false;
        }
        self.accepted.remove(user);
        let announced = self.announced.get(user).cloned().unwrap_or_default();
        let pin = self.pins.entry(user.clone()).or_default();
        if !pin.compared.contains(&key) {
            pin.compared.push(key);
        }
        pin.keys.clone_from(&pin.compared);
        pin.unproven = announced;
        pin.unproven.retain(|unproven| !pin.keys.contains(unproven));
        true
    }

    /// The key for the safety number while no link stands. If there is a change, it is a new key, so that it can be
    /// compared before it is accepted. Of several keys, it is the one proven last, else the one bound last.
    pub(crate) fn key(&self, user: &Username) -> Option<PublicKey> {
        let changed: Vec<_> = self.not_accepted(user).collect();
        let pinned = self.pins.get(user).map(|pin| &pin.keys);
        let known = pinned.or_else(|| self.announced.get(user)).map(Vec::as_slice).unwrap_or_default();
        let known = self.accepted.get(user).map_or(known, Vec::as_slice);
        let choice = if changed.is_empty() { known } else { &changed };
        self.proven.get(user).filter(|key| choice.contains(key)).or_else(|| choice.last()).copied()
    }
}

#[cfg(test)]
mod tests {
    use commons::keys::Seed;

    use super::*;

    fn bob() -> Username {
        Username::parse("bob").unwrap()
    }

    fn key(n: u8) -> PublicKey {
        PublicKey::new([n; 32])
    }

    fn announcement(keys: &[PublicKey]) -> Announcement {
        Announcement { keys: keys.to_vec(), endorsements: Vec::new() }
    }

    /// A device of bob's.
    fn device(n: u8) -> Seed {
        Seed::new([n; 32])
    }

    /// The tracker's announcement of bob: the keys of these devices, and pairs of endorsing and endorsed devices.
    fn endorsed(devices: &[u8], pairs: &[(u8, u8)]) -> Announcement {
        let key = |n: u8| device(n).public_key();
        let sign = |(by, of): &(u8, u8)| Endorsement::sign(&bob(), &device(*by), key(*of));
        Announcement {
            keys: devices.iter().map(|n| key(*n)).collect(),
            endorsements: pairs.iter().map(sign).collect(),
        }
    }

    /// Known keys in which bob's first device is pinned.
    fn met() -> KnownKeys {
        let mut known_keys = KnownKeys::default();
        known_keys.announce(&bob(), &endorsed(&[1], &[]));
        assert_eq!(known_keys.check(&bob(), device(1).public_key()), KeyStatus::Known { first: true });
        known_keys
    }

    #[test]
    fn a_further_device_that_a_pinned_one_endorsed_is_no_change() {
        let mut known_keys = met();
        assert!(known_keys.verify(&bob(), device(1).public_key()));
        let took = known_keys.announce(&bob(), &endorsed(&[1, 2], &[(1, 2)]));
        assert_eq!(took, KeyUpdate { new_key: None, endorsed: true });
        assert_eq!(known_keys.check(&bob(), device(2).public_key()), KeyStatus::Known { first: false });
        assert!(!known_keys.is_verified(&bob(), &device(2).public_key()), "the number is of the other key");
        let again = known_keys.announce(&bob(), &endorsed(&[1, 2], &[(1, 2)]));
        assert_eq!(again, KeyUpdate { new_key: None, endorsed: false });
        // The pinned keys stay, also after a restart.
        let mut known_keys = KnownKeys::new(known_keys.pins().clone());
        assert_eq!(known_keys.announce(&bob(), &endorsed(&[2], &[])).new_key, None);
        // The control: without the endorsement it is a change.
        let key = device(2).public_key();
        assert_eq!(
            met().announce(&bob(), &endorsed(&[1, 2], &[])),
            KeyUpdate { new_key: Some(key), endorsed: false }
        );
    }

    #[test]
    fn endorsements_lead_on_in_any_order() {
        for chain in [[(1, 2), (2, 3), (3, 4)], [(3, 4), (2, 3), (1, 2)], [(2, 3), (3, 4), (1, 2)]] {
            let mut known_keys = met();
            let took = known_keys.announce(&bob(), &endorsed(&[4, 2, 1, 3], &chain));
            assert_eq!(took, KeyUpdate { new_key: None, endorsed: true }, "{chain:?}");
            assert_eq!(known_keys.pins()[&bob()].keys.len(), 4);
        }
        // If one endorsement is missing, the keys behind it are a change.
        let mut known_keys = met();
        let took = known_keys.announce(&bob(), &endorsed(&[1, 2, 3, 4], &[(1, 2), (3, 4)]));
        assert_eq!(took, KeyUpdate { new_key: Some(device(4).public_key()), endorsed: true });
        assert_eq!(known_keys.check(&bob(), device(2).public_key()), KeyStatus::Known { first: false });
        assert_eq!(known_keys.check(&bob(), device(3).public_key()), KeyStatus::Changed);
    }

    #[test]
    fn keys_that_a_tracker_makes_up_vouch_for_each_other_in_vain() {
        let mut known_keys = met();
        let made_up = endorsed(&[1, 8, 9], &[(8, 9), (9, 8)]);
        assert_eq!(
            known_keys.announce(&bob(), &made_up),
            KeyUpdate { new_key: Some(made_up.keys[2]), endorsed: false }
        );
        for signature in [
            Signature([7; 64]),
            Endorsement::sign(&Username::parse("eve").unwrap(), &device(1), device(9).public_key()),
            device(1).sign(device(9).public_key().as_bytes()),
            Endorsement::sign(&bob(), &device(1), device(5).public_key()),
        ] {
            let bad = Announcement { endorsements: vec![signature], ..made_up.clone() };
            assert!(!known_keys.announce(&bob(), &bad).endorsed, "{signature:?}");
        }
        assert_eq!(known_keys.check(&bob(), device(9).public_key()), KeyStatus::Changed);
        // The control: an honest endorsement is followed.
        assert!(known_keys.announce(&bob(), &endorsed(&[1, 8, 9], &[(1, 9)])).endorsed);
        assert_eq!(known_keys.check(&bob(), device(9).public_key()), KeyStatus::Known { first: false });
    }

    #[test]
    fn no_more_keys_are_pinned_by_endorsement_than_a_user_can_need() {
        let mut known_keys = met();
        let took = (2..100)
            .filter(|n| known_keys.announce(&bob(), &endorsed(&[1, *n], &[(1, *n)])).endorsed)
            .count();
        assert_eq!(took, PINNED_KEYS_MAX - 1);
        let last = device(99).public_key();
        assert_eq!(known_keys.check(&bob(), last), KeyStatus::Changed);
        assert!(known_keys.accept(&bob()));
        assert_eq!(known_keys.check(&bob(), last), KeyStatus::Known { first: true });
    }

    #[tokio::test]
    async fn tracker_is_asked_again_about_an_announced_key_after_a_pause() {
        let (mut known_keys, now) = (met(), Instant::now());
        known_keys.announce(&bob(), &endorsed(&[1, 2], &[]));
        assert!(
            !known_keys.try_look_up_again(&bob(), device(3).public_key(), now),
            "anybody can make up a key"
        );
        assert!(known_keys.try_look_up_again(&bob(), device(2).public_key(), now));
        assert!(!known_keys.try_look_up_again(&bob(), device(2).public_key(), now));
        assert!(known_keys.try_look_up_again(&bob(), device(2).public_key(), now + KEY_LOOKUP_PAUSE));
    }

    #[test]
    fn the_first_meeting_pins_and_then_only_the_pin_counts() {
        let mut known_keys = KnownKeys::default();
        assert_eq!(known_keys.check(&bob(), key(1)), KeyStatus::Unknown);
        assert_eq!(known_keys.announce(&bob(), &announcement(&[key(1)])).new_key, None);
        assert_eq!(known_keys.check(&bob(), key(2)), KeyStatus::Changed, "the tracker says otherwise");
        assert_eq!(known_keys.check(&bob(), key(1)), KeyStatus::Known { first: true });
        // The tracker announces another key now, which is not trusted.
        assert_eq!(known_keys.announce(&bob(), &announcement(&[key(2)])).new_key, Some(key(2)));
        assert_eq!(known_keys.announce(&bob(), &announcement(&[key(2)])).new_key, None, "warned of once");
        assert!(known_keys.is_changed(&bob()));
        assert_eq!(known_keys.check(&bob(), key(2)), KeyStatus::Changed);
        assert_eq!(known_keys.check(&bob(), key(1)), KeyStatus::Known { first: false });
        assert!(known_keys.accept(&bob()));
        assert!(!known_keys.is_changed(&bob()));
        assert_eq!(known_keys.check(&bob(), key(1)), KeyStatus::Changed, "it is not announced any more");
        assert_eq!(known_keys.check(&bob(), key(2)), KeyStatus::Known { first: true });
        assert_eq!(known_keys.pins()[&bob()].keys, [key(2)]);
    }

    #[test]
    fn a_change_undoes_the_verification() {
        let mut known_keys = KnownKeys::default();
        assert!(!known_keys.verify(&bob(), key(1)));
        known_keys.announce(&bob(), &announcement(&[key(1)]));
        assert!(!known_keys.verify(&bob(), key(1)), "nobody has proven it");
        known_keys.check(&bob(), key(1));
        assert!(known_keys.verify(&bob(), key(1)) && known_keys.is_verified(&bob(), &key(1)));
        known_keys.announce(&bob(), &announcement(&[key(1), key(2)]));
        assert!(!known_keys.is_verified(&bob(), &key(1)));
        known_keys.accept(&bob());
        known_keys.check(&bob(), key(2));
        assert!(!known_keys.is_verified(&bob(), &key(2)));
        assert!(known_keys.is_verified(&bob(), &key(1)), "that one was compared");
    }

    #[test]
    fn an_announcement_alone_pins_nothing() {
        let mut known_keys = KnownKeys::default();
        known_keys.announce(&bob(), &announcement(&[key(1), key(2)]));
        assert!(known_keys.pins().is_empty());
        // The proven key is pinned. The other is no change until it is used.
        assert_eq!(known_keys.check(&bob(), key(1)), KeyStatus::Known { first: true });
        assert_eq!(known_keys.pins()[&bob()].keys, [key(1)]);
        assert!(!known_keys.is_changed(&bob()));
        assert_eq!(known_keys.announce(&bob(), &announcement(&[key(1), key(2)])).new_key, None);
        assert_eq!(known_keys.trusted(bob()).1, [key(1)]);
        // The same holds after a restart.
        let mut known_keys = KnownKeys::new(known_keys.pins().clone());
        assert_eq!(known_keys.announce(&bob(), &announcement(&[key(1), key(2)])).new_key, None);
        assert_eq!(known_keys.check(&bob(), key(2)), KeyStatus::Changed);
        assert!(known_keys.is_changed(&bob()));
        assert_eq!(known_keys.announce(&bob(), &announcement(&[key(1), key(2)])).new_key, Some(key(2)));
        // An accepted key waits for its proof.
        assert!(known_keys.accept(&bob()));
        assert_eq!(known_keys.pins()[&bob()].keys, [key(1)]);
        assert_eq!(known_keys.check(&bob(), key(2)), KeyStatus::Known { first: true });
        assert_eq!(known_keys.pins()[&bob()].keys, [key(1), key(2)]);
    }

    #[test]
    fn verifying_a_key_drops_keys_that_were_not_compared() {
        // An earlier version pinned all announced keys.
        let keys = vec![key(1), key(2)];
        let mut known_keys = KnownKeys::new(BTreeMap::from([(bob(), Pin { keys, ..Pin::default() })]));
        known_keys.announce(&bob(), &announcement(&[key(1), key(2)]));
        assert_eq!(known_keys.check(&bob(), key(2)), KeyStatus::Known { first: false });
        assert!(known_keys.verify(&bob(), key(1)));
        assert_eq!(known_keys.pins()[&bob()].keys, [key(1)]);
        assert!(known_keys.is_verified(&bob(), &key(1)) && !known_keys.is_verified(&bob(), &key(2)));
        assert!(!known_keys.is_changed(&bob()), "nobody uses the other one");
        assert_eq!(known_keys.check(&bob(), key(2)), KeyStatus::Changed);
        // If both are compared, both stay.
        assert!(known_keys.accept(&bob()) && known_keys.verify(&bob(), key(2)));
        assert_eq!(known_keys.pins()[&bob()].keys, [key(1), key(2)]);
        // A key that is not announced changes nothing.
        known_keys.check(&bob(), key(9));
        assert!(known_keys.is_verified(&bob(), &key(1)) && known_keys.is_verified(&bob(), &key(2)));
    }

    #[test]
    fn a_changed_key_is_compared_before_it_is_accepted() {
        let mut known_keys = KnownKeys::default();
        known_keys.announce(&bob(), &announcement(&[key(1)]));
        known_keys.check(&bob(), key(1));
        assert!(known_keys.verify(&bob(), key(1)));
        assert!(!known_keys.accept(&bob()), "nothing has changed");
        assert!(known_keys.is_verified(&bob(), &key(1)));
        known_keys.announce(&bob(), &announcement(&[key(1), key(2)]));
        assert_eq!(known_keys.key(&bob()), Some(key(2)));
        assert!(!known_keys.verify(&bob(), key(2)), "accepted first");
        // A key that the tracker does not announce cannot be accepted, so it is not offered for comparison.
        assert_eq!(known_keys.check(&bob(), key(3)), KeyStatus::Changed);
        assert_eq!(known_keys.key(&bob()), Some(key(2)));
        assert!(
            known_keys.accept(&bob())
                && known_keys.verify(&bob(), key(2))
                && known_keys.is_verified(&bob(), &key(2))
        );
    }

    #[test]
    fn only_the_compared_key_is_accepted() {
        let compared = |later: &[PublicKey]| {
            let mut known_keys = KnownKeys::default();
            known_keys.announce(&bob(), &announcement(&[key(1)]));
            known_keys.check(&bob(), key(1));
            known_keys.announce(&bob(), &announcement(&[key(1), key(2)]));
            known_keys.note_shown(&bob(), key(2));
            known_keys.announce(&bob(), &announcement(later));
            known_keys
        };
        // Another key joins while the number is compared: it is not accepted with the compared one.
        let mut joined = compared(&[key(1), key(2), key(3)]);
        assert!(!joined.is_shown_outdated(&bob()) && joined.accept(&bob()));
        assert!(joined.verify(&bob(), key(2)) && joined.is_verified(&bob(), &key(2)));
        assert_eq!(joined.check(&bob(), key(3)), KeyStatus::Changed);
        // Another key takes the place of the compared one: nothing is accepted.
        let mut replaced = compared(&[key(3)]);
        assert!(replaced.is_shown_outdated(&bob()));
        // Control: once the number of the new key was shown, it can be accepted.
        replaced.note_shown(&bob(), key(3));
        assert!(!replaced.is_shown_outdated(&bob()) && replaced.accept(&bob()));
        assert_eq!(replaced.check(&bob(), key(3)), KeyStatus::Known { first: true });
    }

    #[test]
    fn key_change_warns_once_and_many_keys_up_to_a_limit() {
        let mut known_keys = KnownKeys::default();
        known_keys.announce(&bob(), &announcement(&[key(1)]));
        known_keys.check(&bob(), key(1));
        assert_eq!(known_keys.announce(&bob(), &announcement(&[key(1), key(2)])).new_key, Some(key(2)));
        assert!(!known_keys.note_warning(&bob(), key(2)));
        let warned = (3..100).filter(|n| known_keys.note_warning(&bob(), key(*n))).count();
        assert_eq!(warned, KEY_WARNINGS_MAX - 1);
    }

    #[test]
    fn user_who_had_keys_is_never_keyless_again() {
        let mut known_keys = KnownKeys::default();
        assert!(!known_keys.has_keys(&bob()));
        known_keys.announce(&bob(), &announcement(&[key(1)]));
        known_keys.check(&bob(), key(1));
        known_keys.announce(&bob(), &announcement(&[]));
        assert!(known_keys.has_keys(&bob()));
    }

    #[test]
    fn announcements_of_invented_names_take_bounded_memory() {
        let mut known_keys = met();
        for n in 0..2 * ANNOUNCED_MAX {
            known_keys.announce(&Username::parse(&format!("invented{n}")).unwrap(), &announcement(&[]));
        }
        assert_eq!(known_keys.announced.len(), ANNOUNCED_MAX);
        assert!(known_keys.was_announced(&bob()), "bob was met");
    }
}
