//! What dialer, listener and links share: the table of links, an outbox a peer, and the way to report.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use commons::keys::PublicKey;
use commons::names::Username;
use commons::net::plaintext::Plaintext;
use commons::net::tls::Identity;
use commons::protocol::between_peers::Greeting;
use commons::protocol::provenance::StreamSpans;
use futures_util::future::BoxFuture;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::history::message::SignedMessage;
use crate::identity::known_keys::{Announcement, KeyStatus, KeyUpdate, KnownKeys};
use crate::limits::REPORTS_MAX;
use crate::peer_communication::link_table::{Admit, LinkId, LinkTable, NewLink, Wish};
use crate::peer_communication::question_pace::QuestionPace;
use crate::peer_communication::send_queue::{Dialect, Full, SendQueue};

/// What keeps somebody who is there from being linked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LinkRefusal {
    /// Our own key is not accepted there.
    NotAccepted,
    /// An original program, which speaks in the clear, where this one does not.
    Plaintext,
}

/// The judgement on a key that somebody has proven, by the pinned keys and the tracker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is the user's.
    Good,
    /// Another one is pinned.
    Changed,
    /// Nobody can tell: the tracker did not say, or announces others.
    Unknown,
}

/// What the links tell the service.
pub(crate) enum LinkReport {
    /// A peer's link came up or went down: ask which.
    Changed(Username),
    /// A peer's program that keeps no provenance said something.
    Plain(Username, PlainMessage),
    /// A peer gave lines that prove themselves, by this link.
    Lines(Username, LinkId, MessageBatch),
    /// A peer tells which lines of a conversation it has, and how far that is; `None` is the private one.
    Have(Username, Option<Uuid>, Vec<StreamSpans>, Option<u64>),
    /// A peer asks for lines of a conversation.
    Want(Username, Option<Uuid>, Vec<StreamSpans>),
    /// A peer left a conversation; `None` is the private one.
    Left(Username, Option<String>),
    /// This line is stored at the peer's program.
    Received(Username, Uuid),
    /// This line was written to the peer's original program, which never says what it got.
    Written(Username, Uuid),
    /// This line is more than the peer's original program can take.
    TooLong(Username, Uuid),
    /// There is room again on a link that had none.
    Room(Username),
    /// A peer's keys were pinned, or its address is another one.
    Pinned,
    /// A further key of this peer's is pinned, because a pinned one has endorsed it.
    Endorsed(Username),
    /// Somebody who claims to be this user has proven a key that is not pinned for that name.
    KeyChanged(Username, PublicKey),
    /// There is no link to somebody who is there: told once.
    Hindered(Username, LinkRefusal),
}

/// Asks the tracker for a user's keys; `None` where it cannot be asked or knows nobody of that name.
pub(crate) type KeyLookup = Box<dyn Fn(Username) -> BoxFuture<'static, Option<Announcement>> + Send + Sync>;

/// A line as it came without provenance, its author being the link's own user.
pub(crate) struct PlainMessage {
    pub(crate) room: Option<String>,
    pub(crate) content: String,
    pub(crate) id: Option<Uuid>,
    pub(crate) sent_at: Option<DateTime<Utc>>,
}

/// Lines of a room, or of the private conversation of the two.
pub(crate) struct MessageBatch {
    pub(crate) room_id: Option<Uuid>,
    pub(crate) lines: Vec<SignedMessage>,
    /// Not as they were written, but afterwards.
    pub(crate) late: bool,
}

/// How links are spoken on.
pub(crate) struct LinkConfig {
    /// What this user proves.
    pub(crate) identity: Identity,
    /// With whom in the clear, of those who have no key.
    pub(crate) plaintext: Plaintext,
}

/// A link that has its place.
pub(crate) struct Place {
    pub(crate) user: Username,
    pub(crate) id: LinkId,
    pub(crate) outbox: Arc<SendQueue>,
    /// Cancelled when the link is to finish what it is doing and end.
    pub(crate) retire: CancellationToken,
}

pub(crate) struct LinkRegistry {
    pub(crate) me: Username,
    pub(crate) terms: LinkConfig,
    who_is: KeyLookup,
    /// When this program started, in milliseconds since 1970.
    pub(crate) instance: u64,
    /// Where it takes links.
    pub(crate) port: u16,
    /// Cancelled at the very end: links drop what they are doing.
    pub(crate) stop: CancellationToken,
    /// There may be somebody to dial.
    pub(crate) dial: Notify,
    /// A link has come up or ended.
    pub(crate) links_changed: Notify,
    state: Mutex<State>,
    reports: mpsc::Sender<LinkReport>,
    next_link: AtomicU64,
}

impl std::fmt::Debug for LinkRegistry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Switchboard").field("me", &self.me).finish_non_exhaustive()
    }
}

struct State {
    book: KnownKeys,
    table: LinkTable<CancellationToken>,
    outboxes: HashMap<Username, Arc<SendQueue>>,
    /// When the tracker was asked about unknown users.
    questions: QuestionPace,
    /// Why whom was not linked, as was reported: once, until a link stands.
    hindered: BTreeSet<(Username, LinkRefusal)>,
}

impl LinkRegistry {
    pub(crate) fn new(
        me: Username,
        (instance, port): (u64, u16),
        terms: LinkConfig,
        book: KnownKeys,
        who_is: KeyLookup,
    ) -> (Arc<Self>, mpsc::Receiver<LinkReport>) {
        let (reports, receiver) = mpsc::channel(REPORTS_MAX);
        let table = LinkTable::new(me.clone());
        let state = Mutex::new(State {
            book,
            table,
            outboxes: HashMap::new(),
            questions: QuestionPace::default(),
            hindered: BTreeSet::new(),
        });
        let board = Self {
            me,
            terms,
            who_is,
            instance,
            port,
            stop: CancellationToken::new(),
            dial: Notify::new(),
            links_changed: Notify::new(),
            state,
            reports,
            next_link: AtomicU64::new(0),
        };
        (Arc::new(board), receiver)
    }

    /// Who this is, as the other side of an encrypted link is told.
    pub(crate) fn greeting(&self) -> Greeting<'_> {
        let (instance, port) = (Some(self.instance), Some(self.port));
        Greeting { username: self.me.as_str().into(), instance, catch_up: true, port }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the service; waits while it is behind. Nobody listens any more at the end of the program.
    pub(crate) async fn report(&self, report: LinkReport) {
        let _ = self.reports.send(report).await;
    }

    /// Sets who should be linked; the others' links end once their outbox is empty. Those whose link ends.
    pub(crate) fn want(&self, wishes: &BTreeMap<Username, Wish>) -> Vec<Username> {
        let dropped = self.lock().table.want(wishes, Instant::now());
        self.dial.notify_one();
        dropped
            .into_iter()
            .map(|(user, links)| {
                links.iter().for_each(CancellationToken::cancel);
                user
            })
            .collect()
    }

    /// Looks something up in the book of keys, or writes it there.
    pub(crate) fn book<R>(&self, look: impl FnOnce(&mut KnownKeys) -> R) -> R {
        look(&mut self.lock().book)
    }

    /// Judges a key that somebody who claims to be this user has proven. The tracker is asked about an unknown user, at a bounded
    /// pace: anybody can invent names, and each question counts against this user's own rate limit.
    pub(crate) async fn judge(&self, user: &Username, key: PublicKey) -> Verdict {
        let mut judgement = self.book(|book| book.judge(user, key));
        let may_ask = match judgement {
            KeyStatus::Known { .. } => false,
            KeyStatus::Changed => self.book(|book| book.may_ask_again(user, key, Instant::now())),
            KeyStatus::Unknown => self.lock().questions.may_ask(Instant::now()),
        };
        if may_ask {
            self.meet(user).await;
            judgement = self.book(|book| book.judge(user, key));
        }
        match judgement {
            KeyStatus::Known { first: false } => Verdict::Good,
            KeyStatus::Known { first: true } => {
                self.report(LinkReport::Pinned).await;
                Verdict::Good
            }
            KeyStatus::Changed => {
                if !self.book(|book| book.is_unannounced(user, key)) {
                    return Verdict::Changed;
                }
                // Only what the tracker announces can be accepted, and it may know of this key by now, or of its
                // endorsement.
                self.meet(user).await;
                let endorsed = self.book(|book| book.judge(user, key)) != KeyStatus::Changed;
                if endorsed {
                    return Verdict::Good;
                }
                self.report(LinkReport::KeyChanged(user.clone(), key)).await;
                Verdict::Changed
            }
            KeyStatus::Unknown => Verdict::Unknown,
        }
    }

    /// Whether a user is one who never had keys, and may therefore be talked to in the clear.
    pub(crate) async fn speaks_in_the_clear(&self, user: &Username) -> bool {
        // A user who had no key may have one by now, or somebody else may have registered the name.
        let may_ask = {
            let (mut state, now) = (self.lock(), Instant::now());
            state.book.may_ask_keyless(user, now) && state.questions.may_ask(now)
        };
        if may_ask {
            self.meet(user).await;
        }
        self.book(|book| book.is_known_to_have_none(user))
    }

    /// Remembers where a user who has proven a pinned key takes links.
    pub(crate) async fn note_address(&self, user: &Username, address: SocketAddr) {
        if self.book(|book| book.note_address(user, address)) {
            self.report(LinkReport::Pinned).await;
        }
    }

    async fn meet(&self, user: &Username) {
        let Some(said) = (self.who_is)(user.clone()).await else { return };
        let KeyUpdate { news, endorsed } = self.book(|book| book.announce(user, &said));
        if endorsed {
            self.report(LinkReport::Endorsed(user.clone())).await;
        }
        if let Some(new) = news {
            self.report(LinkReport::KeyChanged(user.clone(), new)).await;
        }
    }

    /// Dials a user at once.
    pub(crate) fn dial_now(&self, user: &Username) {
        self.lock().table.dial_now(user, Instant::now());
        self.dial.notify_one();
    }

    /// Puts a frame on its way to a peer that is linked; of one that is not, the next link begins with what was not stored.
    pub(crate) fn send(&self, to: &Username, frame: Bytes) -> Result<(), Full> {
        self.outbox(to).map_or(Ok(()), |outbox| outbox.push(frame))
    }

    /// Puts a frame on its way by this link to a peer. `line` names the line in it where its fate is to be told.
    pub(crate) fn feed(
        &self,
        to: &Username,
        link: LinkId,
        line: Option<Uuid>,
        frame: Bytes,
    ) -> Result<(), Full> {
        self.outbox(to).map_or(Err(Full), |outbox| outbox.push_by(link, line, frame))
    }

    /// By which link one speaks to a peer, and how; `None` without one.
    pub(crate) fn writer(&self, user: &Username) -> Option<(LinkId, Dialect)> {
        self.outbox(user)?.writer()
    }

    /// Receipts a line of a peer.
    pub(crate) fn receipt(&self, to: &Username, id: Uuid) {
        if let Some(outbox) = self.outbox(to) {
            outbox.control(|control| control.received = Some(id));
        }
    }

    fn outbox(&self, user: &Username) -> Option<Arc<SendQueue>> {
        self.lock().outboxes.get(user).cloned()
    }

    /// Finds a place for a link that has come up.
    pub(crate) async fn place(&self, user: &Username, offer: NewLink, dialect: Dialect) -> Option<Place> {
        let id = LinkId(self.next_link.fetch_add(1, Ordering::Relaxed));
        let retire = CancellationToken::new();
        let outbox = {
            let mut state = self.lock();
            let placed = state.table.offer(user, id, offer, retire.clone(), Instant::now());
            if matches!(placed, Admit::Refused) {
                return None;
            }
            let outbox = Arc::clone(state.outboxes.entry(user.clone()).or_default());
            state.hindered.retain(|(hindered, _)| hindered != user);
            apply(placed, &outbox, id, dialect);
            outbox
        };
        self.links_changed.notify_waiters();
        self.report(LinkReport::Changed(user.clone())).await;
        Some(Place { user: user.clone(), id, outbox, retire })
    }

    /// A link has ended.
    pub(crate) async fn lost(&self, place: &Place) {
        place.outbox.detach(place.id);
        {
            let mut state = self.lock();
            if let Some(rest) = state.table.lost(&place.user, place.id, Instant::now()) {
                rest.iter().for_each(CancellationToken::cancel);
            }
            if !state.table.is_linked(&place.user) {
                state.outboxes.remove(&place.user);
            }
        }
        self.dial.notify_one();
        self.links_changed.notify_waiters();
        self.report(LinkReport::Changed(place.user.clone())).await;
    }

    /// Who is to be dialled now.
    pub(crate) fn take_due(&self) -> Vec<(Username, SocketAddr)> {
        self.lock().table.take_due(Instant::now())
    }

    /// There is no link to a peer who is there, for this reason.
    pub(crate) async fn hindered(&self, user: &Username, why: LinkRefusal) {
        let news = self.lock().hindered.insert((user.clone(), why));
        if news {
            self.report(LinkReport::Hindered(user.clone(), why)).await;
        }
    }

    /// A dial came to nothing.
    pub(crate) fn dial_failed(&self, user: &Username) {
        self.lock().table.dial_failed(user, Instant::now());
        self.dial.notify_one();
    }

    /// When [`Self::take_due`] has somebody next.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.lock().table.next_due()
    }

    pub(crate) fn is_linked(&self, user: &Username) -> bool {
        self.lock().table.is_linked(user)
    }

    pub(crate) fn any_linked(&self) -> bool {
        !self.lock().table.handles().is_empty()
    }

    pub(crate) fn is_original(&self, user: &Username) -> bool {
        self.lock().table.is_original(user)
    }

    /// The key that the standing link to a peer has proven.
    pub(crate) fn link_key(&self, user: &Username) -> Option<PublicKey> {
        self.lock().table.key(user)
    }

    /// Ends the links to a user by keys that are pinned no more.
    pub(crate) fn end_links_by_others(&self, user: &Username) {
        let state = self.lock();
        let is_pinned = |key: &PublicKey| state.book.is_pinned(user, key);
        state.table.links_by_others(user, is_pinned).iter().for_each(CancellationToken::cancel);
    }

    /// When a peer's program was started, as it says.
    pub(crate) fn instance(&self, user: &Username) -> Option<u64> {
        self.lock().table.instance(user)
    }

    /// Lets every link end once its outbox is empty.
    pub(crate) fn retire_all(&self) {
        self.lock().table.handles().iter().for_each(CancellationToken::cancel);
    }
}

/// Carries out what the table decided.
fn apply(placed: Admit<CancellationToken>, outbox: &SendQueue, id: LinkId, dialect: Dialect) {
    let Admit::Kept { writes, retired } = placed else { return };
    if writes {
        outbox.attach(id, dialect);
    }
    retired.iter().for_each(CancellationToken::cancel);
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use commons::endorsement::Endorsement;
    use commons::keys::Seed;
    use commons::net::tls::Purpose;
    use tokio::time::advance;

    use super::*;
    use crate::limits::{ASK_AGAIN_PAUSE, LINKS_MAX, QUESTIONS_MAX};

    fn user(name: &str) -> Username {
        Username::parse(name).unwrap()
    }

    fn device(n: u8) -> Seed {
        Seed::new([n; 32])
    }

    /// A tracker that says what it is told to, and counts how often it was asked.
    #[derive(Default)]
    struct Tracker {
        says: Mutex<Announcement>,
        asked: AtomicUsize,
    }

    /// Ana's switchboard, who has met bob's first device.
    fn ana(tracker: &Arc<Tracker>) -> (Arc<LinkRegistry>, mpsc::Receiver<LinkReport>) {
        let mut book = KnownKeys::default();
        let keys = vec![device(1).public_key()];
        book.announce(&user("bob"), &Announcement { keys, endorsements: Vec::new() });
        book.judge(&user("bob"), device(1).public_key());
        let identity = Identity::new(&device(0), Purpose::Link).unwrap();
        let tracker = Arc::clone(tracker);
        let who_is: KeyLookup = Box::new(move |_| {
            tracker.asked.fetch_add(1, Ordering::Relaxed);
            let said = tracker.says.lock().unwrap().clone();
            Box::pin(async move { Some(said) })
        });
        let terms = LinkConfig { identity, plaintext: Plaintext::default() };
        LinkRegistry::new(user("ana"), (1, 1024), terms, book, who_is)
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_is_endorsed_after_the_warning_is_taken_when_it_comes_again() {
        let tracker = Arc::new(Tracker::default());
        let (board, mut reports) = ana(&tracker);
        let (bob, second) = (user("bob"), device(2).public_key());
        let keys = vec![device(1).public_key(), second];
        *tracker.says.lock().unwrap() = Announcement { keys: keys.clone(), endorsements: Vec::new() };
        for _ in 0..20 {
            assert_eq!(board.judge(&bob, second).await, Verdict::Changed);
        }
        assert!(matches!(reports.try_recv(), Ok(LinkReport::KeyChanged(_, key)) if key == second));
        assert!(reports.try_recv().is_err(), "warned once");
        assert_eq!(tracker.asked.load(Ordering::Relaxed), 2, "and the tracker is not made busy");

        let endorsements = vec![Endorsement::sign(&bob, &device(1), second)];
        *tracker.says.lock().unwrap() = Announcement { keys, endorsements };
        advance(ASK_AGAIN_PAUSE).await;
        assert_eq!(board.judge(&bob, second).await, Verdict::Good);
        assert!(matches!(reports.try_recv(), Ok(LinkReport::Endorsed(user)) if user == bob));
    }

    #[tokio::test(start_paused = true)]
    async fn a_further_key_that_is_endorsed_before_it_comes_is_no_news() {
        let tracker = Arc::new(Tracker::default());
        let (board, mut reports) = ana(&tracker);
        let (bob, second) = (user("bob"), device(2).public_key());
        let keys = vec![device(1).public_key(), second];
        let endorsements = vec![Endorsement::sign(&bob, &device(1), second)];
        *tracker.says.lock().unwrap() = Announcement { keys, endorsements };
        assert_eq!(board.judge(&bob, second).await, Verdict::Good);
        assert!(matches!(reports.try_recv(), Ok(LinkReport::Endorsed(_))));
        assert!(reports.try_recv().is_err());
        // The control: a key that only its owner vouches for.
        assert_eq!(board.judge(&bob, device(3).public_key()).await, Verdict::Changed);
        assert!(matches!(reports.try_recv(), Ok(LinkReport::KeyChanged(..))));
    }

    #[tokio::test(start_paused = true)]
    async fn later_registrant_of_a_name_is_not_taken_for_a_legacy_client() {
        let tracker = Arc::new(Tracker::default());
        let (board, _reports) = ana(&tracker);
        let dora = user("dora");
        assert!(board.speaks_in_the_clear(&dora).await);
        *tracker.says.lock().unwrap() =
            Announcement { keys: vec![device(4).public_key()], endorsements: Vec::new() };
        advance(ASK_AGAIN_PAUSE).await;
        assert!(!board.speaks_in_the_clear(&dora).await, "the name has a key by now");
    }

    #[tokio::test(start_paused = true)]
    async fn refused_link_leaves_nothing_behind() {
        let (board, mut reports) = ana(&Arc::new(Tracker::default()));
        let offer = |instance| NewLink { instance: Some(instance), dialled: false, key: None };
        for n in 0..LINKS_MAX {
            assert!(board.place(&user(&format!("user{n}")), offer(1), Dialect::Full).await.is_some());
        }
        let carla = user("carla");
        board.hindered(&carla, LinkRefusal::NotAccepted).await;
        assert!(board.place(&carla, offer(1), Dialect::Full).await.is_none(), "there are too many");
        assert!(!board.lock().outboxes.contains_key(&carla));
        while reports.try_recv().is_ok() {}
        board.hindered(&carla, LinkRefusal::NotAccepted).await;
        assert!(reports.try_recv().is_err(), "it was told before, and no link has stood since");
    }

    #[tokio::test(start_paused = true)]
    async fn unknown_user_with_another_key_raises_no_alarm() {
        let tracker = Arc::new(Tracker::default());
        let (board, mut reports) = ana(&tracker);
        *tracker.says.lock().unwrap() =
            Announcement { keys: vec![device(4).public_key()], endorsements: Vec::new() };
        assert_eq!(board.judge(&user("dora"), device(5).public_key()).await, Verdict::Unknown);
        assert!(reports.try_recv().is_err(), "nobody knew a key of dora");
    }

    #[tokio::test(start_paused = true)]
    async fn invented_names_ask_the_tracker_at_a_bounded_pace() {
        let tracker = Arc::new(Tracker::default());
        let (board, _reports) = ana(&tracker);
        for n in 0..4 * QUESTIONS_MAX {
            let invented = user(&format!("invented{n}"));
            assert_eq!(board.judge(&invented, device(5).public_key()).await, Verdict::Unknown);
            assert!(!board.speaks_in_the_clear(&user(&format!("original{n}"))).await || n < QUESTIONS_MAX);
        }
        assert_eq!(tracker.asked.load(Ordering::Relaxed), QUESTIONS_MAX);
    }
}
