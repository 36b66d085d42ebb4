//! The key check of a link: whether the other side has proven a key of the user whose name it claims.
//!
//! The known keys decide. If they do not suffice, the tracker is asked for the user's keys, at a bounded rate: anybody
//! can invent names, and each lookup counts against this user's own rate limit.
//!
//! Example: bob links with a key that is not pinned. The tracker is asked again, because by now it may announce an
//! endorsement of that key. Without one, the link is refused and the user is warned once.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use commons::keys::PublicKey;
use commons::names::Username;
use futures_util::future::BoxFuture;
use tokio::time::Instant;

use crate::identity::known_keys::Announcement;
use crate::peer_communication::key_lookup_limiter::KeyLookupLimiter;
use crate::peer_communication::key_request::{KeyReply, KeyRequest};
use crate::peer_communication::known_keys_handle::KnownKeysHandle;

/// Looks up a user's keys at the tracker. Returns `None` if the tracker does not answer; an unknown user has no keys.
pub(crate) type KeyLookup = Box<dyn Fn(Username) -> BoxFuture<'static, Option<Announcement>> + Send + Sync>;

/// Result of the check of a proven key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The key is the user's.
    Good,
    /// Another key is pinned.
    Changed,
    /// It cannot be checked: the tracker did not answer, or knows no key.
    Unknown,
}

/// The known keys, and the lookup of further keys at the tracker.
pub(crate) struct KeyCheck {
    known: KnownKeysHandle,
    lookup: KeyLookup,
    /// The rate limiter of lookups of unknown users.
    limiter: Mutex<KeyLookupLimiter>,
}

impl KeyCheck {
    pub(crate) fn new(known: KnownKeysHandle, lookup: KeyLookup) -> Self {
        Self { known, lookup, limiter: Mutex::default() }
    }

    /// Checks a key that was proven under a user's name.
    pub(crate) async fn check(&self, user: &Username, key: PublicKey) -> Verdict {
        let check = || self.known.request(user, KeyRequest::Check(key));
        let mut reply = check().await;
        let mut must_warn = reply == Some(KeyReply::LookUpAndWarn);
        let is_unknown = reply == Some(KeyReply::Unknown);
        if must_warn || reply == Some(KeyReply::LookUp) || (is_unknown && self.may_look_up()) {
            self.fetch_keys(user).await;
            reply = check().await;
            must_warn |= reply == Some(KeyReply::LookUpAndWarn);
        }
        match reply {
            Some(KeyReply::Yes) => Verdict::Good,
            Some(KeyReply::Unknown) | None => Verdict::Unknown,
            Some(KeyReply::No | KeyReply::LookUp | KeyReply::LookUpAndWarn) => {
                if must_warn {
                    self.known.request(user, KeyRequest::Warn(key)).await;
                }
                Verdict::Changed
            }
        }
    }

    /// Whether a user has keys, and is therefore never contacted in plaintext.
    pub(crate) async fn has_keys(&self, user: &Username) -> bool {
        self.known.request(user, KeyRequest::HasKeys).await != Some(KeyReply::No)
    }

    /// Whether a user never had keys, and may therefore be contacted in plaintext.
    pub(crate) async fn is_keyless(&self, user: &Username) -> bool {
        let mut reply = self.known.request(user, KeyRequest::IsKeyless).await;
        if reply == Some(KeyReply::LookUp) {
            if self.may_look_up() {
                self.fetch_keys(user).await;
            }
            reply = self.known.request(user, KeyRequest::IsKeyless).await;
        }
        reply == Some(KeyReply::Yes)
    }

    /// Stores the address at which a user with a pinned key accepts links.
    pub(crate) async fn note_address(&self, user: &Username, address: SocketAddr) {
        self.known.request(user, KeyRequest::NoteAddress(address)).await;
    }

    /// Looks up a user's keys at the tracker and stores them.
    async fn fetch_keys(&self, user: &Username) {
        if let Some(announced) = (self.lookup)(user.clone()).await {
            self.known.request(user, KeyRequest::Announce(announced)).await;
        }
    }

    fn may_look_up(&self) -> bool {
        self.limiter.lock().unwrap_or_else(PoisonError::into_inner).try_acquire(Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use commons::endorsement::Endorsement;
    use commons::keys::Seed;
    use tokio::sync::mpsc;
    use tokio::time::advance;

    use super::*;
    use crate::api::Event;
    use crate::engine::testing::owner_of;
    use crate::identity::known_keys::KnownKeys;
    use crate::limits::{KEY_LOOKUP_PAUSE, KEY_LOOKUPS_MAX};

    fn user(name: &str) -> Username {
        Username::parse(name).unwrap()
    }

    fn device(n: u8) -> Seed {
        Seed::new([n; 32])
    }

    /// A fake tracker that announces `keys` and counts the lookups.
    #[derive(Default)]
    struct Tracker {
        keys: Mutex<Announcement>,
        lookups: AtomicUsize,
    }

    impl Tracker {
        fn announces(&self, keys: Vec<PublicKey>, endorsements: Vec<commons::keys::Signature>) {
            *self.keys.lock().unwrap() = Announcement { keys, endorsements };
        }
    }

    /// Ana's key check. She has met bob's first device.
    fn ana(tracker: &Arc<Tracker>) -> (KeyCheck, mpsc::Receiver<Event>) {
        let mut known = KnownKeys::default();
        let keys = vec![device(1).public_key()];
        known.announce(&user("bob"), &Announcement { keys, endorsements: Vec::new() });
        known.check(&user("bob"), device(1).public_key());
        let tracker = Arc::clone(tracker);
        let lookup: KeyLookup = Box::new(move |_| {
            tracker.lookups.fetch_add(1, Ordering::Relaxed);
            let announced = tracker.keys.lock().unwrap().clone();
            Box::pin(async move { Some(announced) })
        });
        let (known, events) = owner_of(known);
        (KeyCheck::new(known, lookup), events)
    }

    #[tokio::test(start_paused = true)]
    async fn key_endorsed_after_the_warning_is_accepted_on_retry() {
        let tracker = Arc::new(Tracker::default());
        let (keys, mut events) = ana(&tracker);
        let (bob, second) = (user("bob"), device(2).public_key());
        let both = vec![device(1).public_key(), second];
        tracker.announces(both.clone(), Vec::new());
        for _ in 0..20 {
            assert_eq!(keys.check(&bob, second).await, Verdict::Changed);
        }
        assert!(
            matches!(events.try_recv(), Ok(Event::KeyChanged { fingerprint, .. }) if fingerprint == second)
        );
        assert!(events.try_recv().is_err(), "warned once");
        assert_eq!(tracker.lookups.load(Ordering::Relaxed), 1, "and the tracker is not made busy");

        tracker.announces(both, vec![Endorsement::sign(&bob, &device(1), second)]);
        advance(KEY_LOOKUP_PAUSE).await;
        assert_eq!(keys.check(&bob, second).await, Verdict::Good);
        assert!(matches!(events.try_recv(), Ok(Event::KeyAccepted { peer, endorsed: true }) if peer == bob));
    }

    #[tokio::test(start_paused = true)]
    async fn key_endorsed_before_it_is_used_raises_no_warning() {
        let tracker = Arc::new(Tracker::default());
        let (keys, mut events) = ana(&tracker);
        let (bob, second) = (user("bob"), device(2).public_key());
        let both = vec![device(1).public_key(), second];
        tracker.announces(both, vec![Endorsement::sign(&bob, &device(1), second)]);
        assert_eq!(keys.check(&bob, second).await, Verdict::Good);
        assert!(matches!(events.try_recv(), Ok(Event::KeyAccepted { endorsed: true, .. })));
        assert!(events.try_recv().is_err());
        // The control: a key that only its owner vouches for.
        assert_eq!(keys.check(&bob, device(3).public_key()).await, Verdict::Changed);
        assert!(matches!(events.try_recv(), Ok(Event::KeyChanged { .. })));
    }

    #[tokio::test(start_paused = true)]
    async fn later_registrant_of_a_name_is_not_taken_for_a_legacy_client() {
        let tracker = Arc::new(Tracker::default());
        let (keys, _events) = ana(&tracker);
        let dora = user("dora");
        assert!(keys.is_keyless(&dora).await);
        tracker.announces(vec![device(4).public_key()], Vec::new());
        advance(KEY_LOOKUP_PAUSE).await;
        assert!(!keys.is_keyless(&dora).await, "the name has a key by now");
    }

    #[tokio::test(start_paused = true)]
    async fn another_key_than_the_announced_one_raises_an_alarm() {
        let tracker = Arc::new(Tracker::default());
        let (keys, mut events) = ana(&tracker);
        tracker.announces(vec![device(4).public_key()], Vec::new());
        assert_eq!(keys.check(&user("dora"), device(5).public_key()).await, Verdict::Changed);
        assert!(matches!(events.try_recv(), Ok(Event::KeyChanged { .. })), "it may be a man in the middle");
    }

    #[tokio::test(start_paused = true)]
    async fn invented_names_are_looked_up_at_a_bounded_rate() {
        let tracker = Arc::new(Tracker::default());
        let (keys, _events) = ana(&tracker);
        for n in 0..4 * KEY_LOOKUPS_MAX {
            let invented = user(&format!("invented{n}"));
            assert_eq!(keys.check(&invented, device(5).public_key()).await, Verdict::Unknown);
            assert!(!keys.is_keyless(&user(&format!("legacy{n}"))).await || n < KEY_LOOKUPS_MAX);
        }
        assert_eq!(tracker.lookups.load(Ordering::Relaxed), KEY_LOOKUPS_MAX);
    }
}
