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
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::identity::known_keys::{Announcement, KeyStatus, KeyUpdate, KnownKeys};
use crate::peer_communication::known_keys_handle::KnownKeysHandle;
use crate::peer_communication::link_report::LinkReport;
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

/// The known keys, with the means to learn more from the tracker and to report changes.
pub(crate) struct KeyCheck {
    known: KnownKeysHandle,
    lookup: KeyLookup,
    /// Times of recent questions to the tracker about unknown users.
    questions: Mutex<QuestionLimiter>,
    reports: mpsc::Sender<LinkReport>,
}

impl KeyCheck {
    pub(crate) fn new(known: KnownKeysHandle, lookup: KeyLookup, reports: mpsc::Sender<LinkReport>) -> Self {
        Self { known, lookup, questions: Mutex::default(), reports }
    }

    /// Checks a key that was proven under a user's name.
    pub(crate) async fn check(&self, user: &Username, key: PublicKey) -> Verdict {
        let now = Instant::now();
        let check = move |known: &mut KnownKeys, user: &Username| known.check(user, key);
        let checked = self.ask(user, move |known, user| {
            let status = check(known, user);
            (status, status == KeyStatus::Changed && known.try_ask_again(user, key, now))
        });
        let Some((mut status, may_ask)) = checked.await else { return Verdict::Unknown };
        if may_ask || (status == KeyStatus::Unknown && self.try_ask(now)) {
            self.fetch_keys(user).await;
            status = self.ask(user, check).await.unwrap_or(KeyStatus::Unknown);
        }
        match status {
            KeyStatus::Known { first: false } => Verdict::Good,
            KeyStatus::Known { first: true } => {
                self.report(LinkReport::PinsChanged).await;
                Verdict::Good
            }
            KeyStatus::Changed => {
                let is_first_warning = self.ask(user, move |known, user| known.note_warning(user, key));
                if !is_first_warning.await.unwrap_or(false) {
                    return Verdict::Changed;
                }
                // Only an announced key can be accepted. By now the tracker may announce this key, or an endorsement of
                // it.
                self.fetch_keys(user).await;
                if self.ask(user, check).await.is_some_and(|status| status != KeyStatus::Changed) {
                    return Verdict::Good;
                }
                self.report(LinkReport::KeyChanged { user: user.clone(), key }).await;
                Verdict::Changed
            }
            KeyStatus::Unknown => Verdict::Unknown,
        }
    }

    /// Whether a user has keys, and is therefore never contacted in plaintext.
    pub(crate) async fn has_keys(&self, user: &Username) -> bool {
        self.ask(user, |known, user| known.has_keys(user)).await.unwrap_or(true)
    }

    /// Whether a user never had keys, and may therefore be contacted in plaintext.
    pub(crate) async fn is_keyless(&self, user: &Username) -> bool {
        // The user may have a key by now, or another person may have registered the name.
        let now = Instant::now();
        let may_ask = self.ask(user, move |known, user| known.try_ask_keyless(user, now)).await;
        if may_ask == Some(true) && self.try_ask(now) {
            self.fetch_keys(user).await;
        }
        self.ask(user, |known, user| known.is_known_to_have_none(user)).await.unwrap_or(false)
    }

    /// Stores the address at which a user with a pinned key accepts links.
    pub(crate) async fn note_address(&self, user: &Username, address: SocketAddr) {
        if self.ask(user, move |known, user| known.note_address(user, address)).await == Some(true) {
            self.report(LinkReport::PinsChanged).await;
        }
    }

    /// Asks the tracker for a user's keys and reports what has changed.
    async fn fetch_keys(&self, user: &Username) {
        let Some(announced) = (self.lookup)(user.clone()).await else { return };
        let update = self.ask(user, move |known, user| known.announce(user, &announced)).await;
        let Some(KeyUpdate { new_key, endorsed }) = update else { return };
        if endorsed {
            self.report(LinkReport::KeyEndorsed { user: user.clone() }).await;
        }
        if let Some(key) = new_key {
            self.report(LinkReport::KeyChanged { user: user.clone(), key }).await;
        }
    }

    async fn ask<T: Send + 'static>(
        &self,
        user: &Username,
        question: impl FnOnce(&mut KnownKeys, &Username) -> T + Send + 'static,
    ) -> Option<T> {
        let user = user.clone();
        self.known.ask(move |known| question(known, &user)).await
    }

    fn try_ask(&self, now: Instant) -> bool {
        self.questions.lock().unwrap_or_else(PoisonError::into_inner).try_acquire(now)
    }

    /// Sends a report. At the end of the program nobody receives it.
    async fn report(&self, report: LinkReport) {
        let _ = self.reports.send(report).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use commons::endorsement::Endorsement;
    use commons::keys::Seed;
    use tokio::time::advance;

    use super::*;
    use crate::limits::{ASK_AGAIN_PAUSE, QUESTIONS_MAX, REPORTS_MAX};
    use crate::peer_communication::known_keys_handle::owner_of;

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
    fn ana(tracker: &Arc<Tracker>) -> (KeyCheck, mpsc::Receiver<LinkReport>) {
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
        let (reports, receiver) = mpsc::channel(REPORTS_MAX);
        (KeyCheck::new(owner_of(known), lookup, reports), receiver)
    }

    #[tokio::test(start_paused = true)]
    async fn key_endorsed_after_the_warning_is_accepted_on_retry() {
        let tracker = Arc::new(Tracker::default());
        let (keys, mut reports) = ana(&tracker);
        let (bob, second) = (user("bob"), device(2).public_key());
        let both = vec![device(1).public_key(), second];
        tracker.announces(both.clone(), Vec::new());
        for _ in 0..20 {
            assert_eq!(keys.check(&bob, second).await, Verdict::Changed);
        }
        assert!(matches!(reports.try_recv(), Ok(LinkReport::KeyChanged { key, .. }) if key == second));
        assert!(reports.try_recv().is_err(), "warned once");
        assert_eq!(tracker.asked.load(Ordering::Relaxed), 2, "and the tracker is not made busy");

        tracker.announces(both, vec![Endorsement::sign(&bob, &device(1), second)]);
        advance(ASK_AGAIN_PAUSE).await;
        assert_eq!(keys.check(&bob, second).await, Verdict::Good);
        assert!(matches!(reports.try_recv(), Ok(LinkReport::KeyEndorsed { user }) if user == bob));
    }

    #[tokio::test(start_paused = true)]
    async fn key_endorsed_before_it_is_used_raises_no_warning() {
        let tracker = Arc::new(Tracker::default());
        let (keys, mut reports) = ana(&tracker);
        let (bob, second) = (user("bob"), device(2).public_key());
        let both = vec![device(1).public_key(), second];
        tracker.announces(both, vec![Endorsement::sign(&bob, &device(1), second)]);
        assert_eq!(keys.check(&bob, second).await, Verdict::Good);
        assert!(matches!(reports.try_recv(), Ok(LinkReport::KeyEndorsed { .. })));
        assert!(reports.try_recv().is_err());
        // The control: a key that only its owner vouches for.
        assert_eq!(keys.check(&bob, device(3).public_key()).await, Verdict::Changed);
        assert!(matches!(reports.try_recv(), Ok(LinkReport::KeyChanged { .. })));
    }

    #[tokio::test(start_paused = true)]
    async fn later_registrant_of_a_name_is_not_taken_for_a_legacy_client() {
        let tracker = Arc::new(Tracker::default());
        let (keys, _reports) = ana(&tracker);
        let dora = user("dora");
        assert!(keys.is_keyless(&dora).await);
        tracker.announces(vec![device(4).public_key()], Vec::new());
        advance(ASK_AGAIN_PAUSE).await;
        assert!(!keys.is_keyless(&dora).await, "the name has a key by now");
    }

    #[tokio::test(start_paused = true)]
    async fn another_key_than_the_announced_one_raises_an_alarm() {
        let tracker = Arc::new(Tracker::default());
        let (keys, mut reports) = ana(&tracker);
        tracker.announces(vec![device(4).public_key()], Vec::new());
        assert_eq!(keys.check(&user("dora"), device(5).public_key()).await, Verdict::Changed);
        assert!(
            matches!(reports.try_recv(), Ok(LinkReport::KeyChanged { .. })),
            "it may be a man in the middle"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn invented_names_ask_the_tracker_at_a_bounded_pace() {
        let tracker = Arc::new(Tracker::default());
        let (keys, _reports) = ana(&tracker);
        for n in 0..4 * QUESTIONS_MAX {
            let invented = user(&format!("invented{n}"));
            assert_eq!(keys.check(&invented, device(5).public_key()).await, Verdict::Unknown);
            assert!(!keys.is_keyless(&user(&format!("legacy{n}"))).await || n < QUESTIONS_MAX);
        }
        assert_eq!(tracker.asked.load(Ordering::Relaxed), QUESTIONS_MAX);
    }
}
