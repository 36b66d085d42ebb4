//! The key check of a link: whether the other side has proven a key of the user whose name it claims.
//!
//! The known keys decide. If they do not suffice, the tracker is asked for the user's keys, at a bounded rate: anybody
//! can invent names, and each question counts against this user's own rate limit.
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
use crate::peer_communication::key_question::{KeyAnswer, KeyQuestion};
use crate::peer_communication::known_keys_handle::KnownKeysHandle;
use crate::peer_communication::question_limiter::QuestionLimiter;

/// Asks the tracker for a user's keys. Returns `None` if the tracker does not answer; an unknown user has no keys.
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

/// The known keys, with the means to learn more from the tracker.
pub(crate) struct KeyCheck {
    known: KnownKeysHandle,
    lookup: KeyLookup,
    /// Times of recent questions to the tracker about unknown users.
    questions: Mutex<QuestionLimiter>,
}

impl KeyCheck {
    pub(crate) fn new(known: KnownKeysHandle, lookup: KeyLookup) -> Self {
        Self { known, lookup, questions: Mutex::default() }
    }

    /// Checks a key that was proven under a user's name.
    pub(crate) async fn check(&self, user: &Username, key: PublicKey) -> Verdict {
        let proven = || self.known.ask(user, KeyQuestion::Proven(key));
        let mut answer = proven().await;
        let mut must_warn = answer == Some(KeyAnswer::Warn);
        let is_unknown = answer == Some(KeyAnswer::Unknown);
        if must_warn || answer == Some(KeyAnswer::AskTracker) || (is_unknown && self.try_ask()) {
            self.fetch_keys(user).await;
            answer = proven().await;
            must_warn |= answer == Some(KeyAnswer::Warn);
        }
        match answer {
            Some(KeyAnswer::Yes) => Verdict::Good,
            Some(KeyAnswer::Unknown) | None => Verdict::Unknown,
            Some(KeyAnswer::No | KeyAnswer::AskTracker | KeyAnswer::Warn) => {
                if must_warn {
                    self.known.ask(user, KeyQuestion::Refused(key)).await;
                }
                Verdict::Changed
            }
        }
    }

    /// Whether a user has keys, and is therefore never contacted in plaintext.
    pub(crate) async fn has_keys(&self, user: &Username) -> bool {
        self.known.ask(user, KeyQuestion::HasKeys).await != Some(KeyAnswer::No)
    }

    /// Whether a user never had keys, and may therefore be contacted in plaintext.
    pub(crate) async fn is_keyless(&self, user: &Username) -> bool {
        let mut answer = self.known.ask(user, KeyQuestion::IsKeyless).await;
        if answer == Some(KeyAnswer::AskTracker) {
            if self.try_ask() {
                self.fetch_keys(user).await;
            }
            answer = self.known.ask(user, KeyQuestion::IsKeyless).await;
        }
        answer == Some(KeyAnswer::Yes)
    }

    /// Stores the address at which a user with a pinned key accepts links.
    pub(crate) async fn note_address(&self, user: &Username, address: SocketAddr) {
        self.known.ask(user, KeyQuestion::AcceptsAt(address)).await;
    }

    /// Asks the tracker for a user's keys and stores them.
    async fn fetch_keys(&self, user: &Username) {
        if let Some(announced) = (self.lookup)(user.clone()).await {
            self.known.ask(user, KeyQuestion::Announced(announced)).await;
        }
    }

    fn try_ask(&self) -> bool {
        self.questions.lock().unwrap_or_else(PoisonError::into_inner).try_acquire(Instant::now())
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
    use crate::limits::{ASK_AGAIN_PAUSE, QUESTIONS_MAX};

    fn user(name: &str) -> Username {
        Username::parse(name).unwrap()
    }

    fn device(n: u8) -> Seed {
        Seed::new([n; 32])
    }

    /// A fake tracker that announces `keys` and counts the questions.
    #[derive(Default)]
    struct Tracker {
        keys: Mutex<Announcement>,
        asked: AtomicUsize,
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
            tracker.asked.fetch_add(1, Ordering::Relaxed);
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
        assert_eq!(tracker.asked.load(Ordering::Relaxed), 1, "and the tracker is not made busy");

        tracker.announces(both, vec![Endorsement::sign(&bob, &device(1), second)]);
        advance(ASK_AGAIN_PAUSE).await;
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
        advance(ASK_AGAIN_PAUSE).await;
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
    async fn invented_names_ask_the_tracker_at_a_bounded_pace() {
        let tracker = Arc::new(Tracker::default());
        let (keys, _events) = ana(&tracker);
        for n in 0..4 * QUESTIONS_MAX {
            let invented = user(&format!("invented{n}"));
            assert_eq!(keys.check(&invented, device(5).public_key()).await, Verdict::Unknown);
            assert!(!keys.is_keyless(&user(&format!("legacy{n}"))).await || n < QUESTIONS_MAX);
        }
        assert_eq!(tracker.asked.load(Ordering::Relaxed), QUESTIONS_MAX);
    }
}
