//! The link registry: state that the dialer, the listener and the links share.
//! It holds the link table, the known keys, one send queue per peer, and the channel for reports to the service.

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

/// Reason why a reachable peer is not linked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LinkRefusal {
    /// The other side does not accept this user's key.
    NotAccepted,
    /// The peer has a legacy client, which only uses plaintext, and plaintext is not allowed for its address.
    Plaintext,
}

/// Judgement on a proven key, by the known keys and the tracker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The key is the user's.
    Good,
    /// Another key is pinned.
    Changed,
    /// It cannot be judged: the tracker did not answer, or knows no key.
    Unknown,
}

/// A report of a link to the service.
pub(crate) enum LinkReport {
    /// A peer's link came up or went down. The service reads the registry for the current state.
    Changed(Username),
    /// A peer's program without a history sent an unsigned message.
    Plain(Username, PlainMessage),
    /// A peer sent signed messages on this link.
    Lines(Username, LinkId, MessageBatch),
    /// A peer says which messages of a conversation it has, and may add its highest Lamport time. `None` is the private
    /// conversation.
    Have(Username, Option<Uuid>, Vec<StreamSpans>, Option<u64>),
    /// A peer asks for messages of a conversation. `None` is the private conversation.
    Want(Username, Option<Uuid>, Vec<StreamSpans>),
    /// A peer left a conversation. `None` is the private one.
    Left(Username, Option<String>),
    /// The peer's program has stored this message.
    Received(Username, Uuid),
    /// This message was written to the peer's legacy client, which never acknowledges anything.
    Written(Username, Uuid),
    /// This message is longer than the peer's legacy client can receive.
    TooLong(Username, Uuid),
    /// The send queue of this peer has room again after it was full.
    Room(Username),
    /// A peer's key was pinned, or its address has changed.
    Pinned,
    /// A further key of this peer is pinned, because a pinned key has endorsed it.
    Endorsed(Username),
    /// A key that is not pinned for this user was proven or announced under the user's name.
    KeyChanged(Username, PublicKey),
    /// A peer is reachable but not linked, for this reason. It is reported once until a link stands.
    Hindered(Username, LinkRefusal),
}

/// Asks the tracker for a user's keys. Returns `None` if the tracker does not answer; an unknown user has no keys.
pub(crate) type KeyLookup = Box<dyn Fn(Username) -> BoxFuture<'static, Option<Announcement>> + Send + Sync>;

/// An unsigned message. Its author is the user of the link.
pub(crate) struct PlainMessage {
    pub(crate) room: Option<String>,
    pub(crate) content: String,
    pub(crate) id: Option<Uuid>,
    pub(crate) sent_at: Option<DateTime<Utc>>,
}

/// Signed messages of a room, or of the private conversation with the peer.
pub(crate) struct MessageBatch {
    pub(crate) room_id: Option<Uuid>,
    pub(crate) lines: Vec<SignedMessage>,
    /// Whether they are backlog rather than messages sent as they were written.
    pub(crate) late: bool,
}

/// Configuration of all links.
pub(crate) struct LinkConfig {
    /// The TLS identity of this user.
    pub(crate) identity: Identity,
    /// The addresses at which peers without a key may be contacted in plaintext.
    pub(crate) plaintext: Plaintext,
}

/// An admitted link of a peer.
pub(crate) struct Place {
    pub(crate) user: Username,
    pub(crate) id: LinkId,
    pub(crate) outbox: Arc<SendQueue>,
    /// Cancelled when the link must finish its current work and end.
    pub(crate) retire: CancellationToken,
}

pub(crate) struct LinkRegistry {
    pub(crate) me: Username,
    pub(crate) terms: LinkConfig,
    who_is: KeyLookup,
    /// Start time of this program in milliseconds since 1970.
    pub(crate) instance: u64,
    /// The port on which this program accepts links.
    pub(crate) port: u16,
    /// Cancelled at the very end: links drop their current work.
    pub(crate) stop: CancellationToken,
    /// Notified when a dial may be due.
    pub(crate) dial: Notify,
    /// Notified when a link has come up or ended.
    pub(crate) links_changed: Notify,
    state: Mutex<State>,
    reports: mpsc::Sender<LinkReport>,
    next_link: AtomicU64,
}

impl std::fmt::Debug for LinkRegistry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LinkRegistry").field("me", &self.me).finish_non_exhaustive()
    }
}

struct State {
    book: KnownKeys,
    table: LinkTable<CancellationToken>,
    outboxes: HashMap<Username, Arc<SendQueue>>,
    /// Times of recent questions to the tracker about unknown users.
    questions: QuestionPace,
    /// Refused peers that were reported, with the reason. An entry is removed when a link stands.
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

    /// The greeting that this peer sends on an encrypted link.
    pub(crate) fn greeting(&self) -> Greeting<'_> {
        let (instance, port) = (Some(self.instance), Some(self.port));
        Greeting { username: self.me.as_str().into(), instance, catch_up: true, port }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a report to the service and waits while its queue is full. At the end of the program nobody receives any
    /// more.
    pub(crate) async fn report(&self, report: LinkReport) {
        let _ = self.reports.send(report).await;
    }

    /// Sets which peers should be linked. Links to others end once their send queue is empty. Returns the users whose
    /// links end.
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

    /// Reads or changes the known keys under the lock.
    pub(crate) fn book<R>(&self, look: impl FnOnce(&mut KnownKeys) -> R) -> R {
        look(&mut self.lock().book)
    }

    /// Judges a key that was proven under a user's name. For an unknown user it asks the tracker, at a bounded rate.
    /// Anybody can invent names, and each question counts against this user's own rate limit.
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
                // Only an announced key can be accepted. By now the tracker may announce this key, or an endorsement of
                // it.
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

    /// Whether a user never had keys, and may therefore be contacted in plaintext.
    pub(crate) async fn speaks_in_the_clear(&self, user: &Username) -> bool {
        // The user may have a key by now, or another person may have registered the name.
        let may_ask = {
            let (mut state, now) = (self.lock(), Instant::now());
            state.book.may_ask_keyless(user, now) && state.questions.may_ask(now)
        };
        if may_ask {
            self.meet(user).await;
        }
        self.book(|book| book.is_known_to_have_none(user))
    }

    /// Stores the address at which a user with a pinned key accepts links.
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

    /// Dials a user at once, regardless of earlier failures.
    pub(crate) fn dial_now(&self, user: &Username) {
        self.lock().table.dial_now(user, Instant::now());
        self.dial.notify_one();
    }

    /// Queues a frame for a linked peer. Without a link the frame is dropped, and the next link sends all messages that
    /// the peer has not stored.
    pub(crate) fn send(&self, to: &Username, frame: Bytes) -> Result<(), Full> {
        self.outbox(to).map_or(Ok(()), |outbox| outbox.push(frame))
    }

    /// Queues a frame for this link of a peer. `line` is the id of its message if the outcome of the write must be
    /// reported.
    pub(crate) fn feed(
        &self,
        to: &Username,
        link: LinkId,
        line: Option<Uuid>,
        frame: Bytes,
    ) -> Result<(), Full> {
        self.outbox(to).map_or(Err(Full), |outbox| outbox.push_by(link, line, frame))
    }

    /// The link and dialect that the peer's frames are written with; `None` without a link.
    pub(crate) fn writer(&self, user: &Username) -> Option<(LinkId, Dialect)> {
        self.outbox(user)?.writer()
    }

    /// Acknowledges a message of a peer.
    pub(crate) fn receipt(&self, to: &Username, id: Uuid) {
        if let Some(outbox) = self.outbox(to) {
            outbox.control(|control| control.received = Some(id));
        }
    }

    fn outbox(&self, user: &Username) -> Option<Arc<SendQueue>> {
        self.lock().outboxes.get(user).cloned()
    }

    /// Admits a link that has come up, or returns `None` if it is refused.
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

    /// Removes a link that has ended.
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

    /// Takes the peers whose dial is due now.
    pub(crate) fn take_due(&self) -> Vec<(Username, SocketAddr)> {
        self.lock().table.take_due(Instant::now())
    }

    /// Notes that a reachable peer is not linked, for this reason, and reports it once.
    pub(crate) async fn hindered(&self, user: &Username, why: LinkRefusal) {
        let news = self.lock().hindered.insert((user.clone(), why));
        if news {
            self.report(LinkReport::Hindered(user.clone(), why)).await;
        }
    }

    /// Notes that a dial has failed.
    pub(crate) fn dial_failed(&self, user: &Username) {
        self.lock().table.dial_failed(user, Instant::now());
        self.dial.notify_one();
    }

    /// Time at which [`Self::take_due`] has the next peer.
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

    /// Ends the links to a user that proved a key which is no longer pinned.
    pub(crate) fn end_links_by_others(&self, user: &Username) {
        let state = self.lock();
        let is_pinned = |key: &PublicKey| state.book.is_pinned(user, key);
        state.table.links_by_others(user, is_pinned).iter().for_each(CancellationToken::cancel);
    }

    /// Start time that a peer's program claims, in milliseconds since 1970.
    pub(crate) fn instance(&self, user: &Username) -> Option<u64> {
        self.lock().table.instance(user)
    }

    /// Lets every link end once its send queue is empty.
    pub(crate) fn retire_all(&self) {
        self.lock().table.handles().iter().for_each(CancellationToken::cancel);
    }
}

/// Applies the decision of the link table.
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

    /// A fake tracker that announces `says` and counts the questions.
    #[derive(Default)]
    struct Tracker {
        says: Mutex<Announcement>,
        asked: AtomicUsize,
    }

    /// Ana's link registry. She has met bob's first device.
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
    async fn key_endorsed_after_the_warning_is_accepted_on_retry() {
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
    async fn another_key_than_the_announced_one_raises_an_alarm() {
        let tracker = Arc::new(Tracker::default());
        let (board, mut reports) = ana(&tracker);
        *tracker.says.lock().unwrap() =
            Announcement { keys: vec![device(4).public_key()], endorsements: Vec::new() };
        assert_eq!(board.judge(&user("dora"), device(5).public_key()).await, Verdict::Changed);
        assert!(
            matches!(reports.try_recv(), Ok(LinkReport::KeyChanged(..))),
            "it may be a man in the middle"
        );
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
