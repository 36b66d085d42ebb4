//! What dialer, listener and links share: the table of links, an outbox a peer, and the way to report.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use commons::keys::PublicKey;
use commons::names::Username;
use commons::net::plaintext::Plaintext;
use commons::net::tls::Identity;
use futures_util::future::BoxFuture;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::api::Undeliverable;
use crate::key_book::{Judgement, KeyBook};
use crate::limits::{LAST_RECEIPTS, LINK_WAIT, REPORTS_MAX};
use crate::peer_communication::link_table::{LinkId, LinkTable, Offer, Placed, Wish};
use crate::peer_communication::outbox::{Full, Manners, Outbox};

/// What the links tell the service.
pub(crate) enum LinkReport {
    /// A peer's link came up or went down: ask which.
    Changed(Username),
    /// A peer said something.
    Line(Username, HeardLine),
    /// A peer left a conversation; `None` is the private one.
    Left(Username, Option<String>),
    /// These lines arrived.
    Delivered(Username, Vec<Uuid>),
    /// These lines did not and will not.
    Undelivered(Username, Vec<Uuid>, Undeliverable),
    /// A peer's keys were pinned.
    Pinned,
    /// Somebody who claims to be this user has proven a key that is not pinned for that name.
    KeyChanged(Username, PublicKey),
    /// This user does not take our own key for ours yet.
    NotAccepted(Username),
}

/// Asks the tracker for a user's keys; `None` where it cannot be asked or knows nobody of that name.
pub(crate) type WhoIs = Box<dyn Fn(Username) -> BoxFuture<'static, Option<Vec<PublicKey>>> + Send + Sync>;

/// A line as it came, its author being the link's own user.
pub(crate) struct HeardLine {
    pub(crate) room: Option<String>,
    pub(crate) content: String,
    pub(crate) id: Option<Uuid>,
    pub(crate) sent_at: Option<DateTime<Utc>>,
}

/// How links are spoken on.
pub(crate) struct Terms {
    /// What this user proves.
    pub(crate) identity: Identity,
    /// With whom in the clear, of those who have no key.
    pub(crate) plaintext: Plaintext,
}

/// A link that has its place.
pub(crate) struct Place {
    pub(crate) user: Username,
    pub(crate) id: LinkId,
    pub(crate) outbox: Arc<Outbox>,
    /// Cancelled when the link is to finish what it is doing and end.
    pub(crate) retire: CancellationToken,
}

pub(crate) struct Switchboard {
    pub(crate) me: Username,
    pub(crate) terms: Terms,
    who_is: WhoIs,
    /// When this program started, in milliseconds since 1970.
    pub(crate) instance: u64,
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

impl std::fmt::Debug for Switchboard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Switchboard").field("me", &self.me).finish_non_exhaustive()
    }
}

struct State {
    book: KeyBook,
    table: LinkTable<CancellationToken>,
    outboxes: HashMap<Username, Arc<Outbox>>,
    /// Who does not accept our key, as was reported: once, until a link stands.
    not_accepted_by: BTreeSet<Username>,
}

impl Switchboard {
    pub(crate) fn new(
        me: Username,
        instance: u64,
        terms: Terms,
        book: KeyBook,
        who_is: WhoIs,
    ) -> (Arc<Self>, mpsc::Receiver<LinkReport>) {
        let (reports, receiver) = mpsc::channel(REPORTS_MAX);
        let table = LinkTable::new(me.clone());
        let state =
            Mutex::new(State { book, table, outboxes: HashMap::new(), not_accepted_by: BTreeSet::new() });
        let board = Self {
            me,
            terms,
            who_is,
            instance,
            stop: CancellationToken::new(),
            dial: Notify::new(),
            links_changed: Notify::new(),
            state,
            reports,
            next_link: AtomicU64::new(0),
        };
        (Arc::new(board), receiver)
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
    pub(crate) fn book<R>(&self, look: impl FnOnce(&mut KeyBook) -> R) -> R {
        look(&mut self.lock().book)
    }

    /// Judges a key that somebody who claims to be this user has proven, asking the tracker about a stranger.
    pub(crate) async fn judge(&self, user: &Username, key: PublicKey) -> bool {
        let mut judgement = self.book(|book| book.judge(user, key));
        if judgement == Judgement::Unknown {
            self.meet(user).await;
            judgement = self.book(|book| book.judge(user, key));
        }
        match judgement {
            Judgement::Known { first: false } => true,
            Judgement::Known { first: true } => {
                self.report(LinkReport::Pinned).await;
                true
            }
            Judgement::Changed => {
                if self.book(|book| book.is_news(user, key)) {
                    // Only what the tracker announces can be accepted, and it may know of this key by now.
                    self.meet(user).await;
                    self.report(LinkReport::KeyChanged(user.clone(), key)).await;
                }
                false
            }
            Judgement::Unknown => false,
        }
    }

    /// Whether a user is one who never had keys, and may therefore be talked to in the clear.
    pub(crate) async fn speaks_in_the_clear(&self, user: &Username) -> bool {
        if !self.book(|book| book.was_announced(user)) {
            self.meet(user).await;
        }
        self.book(|book| book.is_known_to_have_none(user))
    }

    async fn meet(&self, user: &Username) {
        if let Some(keys) = (self.who_is)(user.clone()).await
            && let Some(new) = self.book(|book| book.announce(user, &keys))
        {
            self.report(LinkReport::KeyChanged(user.clone(), new)).await;
        }
    }

    /// Dials a user at once.
    pub(crate) fn hurry(&self, user: &Username) {
        self.lock().table.hurry(user, Instant::now());
        self.dial.notify_one();
    }

    /// Puts a line into a peer's outbox.
    pub(crate) fn send(&self, to: &Username, id: Uuid, frame: Bytes) -> Result<(), Undeliverable> {
        if self.book(|book| book.is_changed(to)) {
            return Err(Undeliverable::KeyChanged);
        }
        let outbox = self.reachable_outbox(to).ok_or(Undeliverable::Unreachable)?;
        outbox.push(id, frame, Instant::now()).map_err(|Full| Undeliverable::QueueFull)
    }

    /// Puts a frame into a peer's outbox that may be lost with the link.
    pub(crate) fn notify(&self, to: &Username, frame: Bytes) {
        if self.is_linked(to)
            && let Some(outbox) = self.reachable_outbox(to)
        {
            // A full outbox loses the notice: the tracker tells the same.
            let _ = outbox.push_notice(frame, Instant::now());
        }
    }

    fn reachable_outbox(&self, user: &Username) -> Option<Arc<Outbox>> {
        let mut state = self.lock();
        if !state.table.is_reachable(user) {
            return None;
        }
        if !state.outboxes.contains_key(user) {
            // Should no link come up, the dialer gives the lines up in time.
            self.dial.notify_one();
        }
        Some(Arc::clone(state.outboxes.entry(user.clone()).or_default()))
    }

    /// Finds a place for a link that has come up.
    pub(crate) async fn place(&self, user: &Username, offer: Offer) -> Option<Place> {
        let id = LinkId(self.next_link.fetch_add(1, Ordering::Relaxed));
        let retire = CancellationToken::new();
        let outbox = {
            let mut state = self.lock();
            let placed = state.table.offer(user, id, offer, retire.clone(), Instant::now());
            let outbox = Arc::clone(state.outboxes.entry(user.clone()).or_default());
            state.not_accepted_by.remove(user);
            let manners = if offer.instance.is_some() { Manners::Ours } else { Manners::Original };
            settle(placed, &outbox, id, manners).then_some(outbox)
        }?;
        self.links_changed.notify_waiters();
        self.report(LinkReport::Changed(user.clone())).await;
        Some(Place { user: user.clone(), id, outbox, retire })
    }

    /// A link has ended.
    pub(crate) async fn lost(&self, place: &Place) {
        place.outbox.detach(place.id);
        if let Some(rest) = self.lock().table.lost(&place.user, place.id, Instant::now()) {
            rest.iter().for_each(CancellationToken::cancel);
        }
        self.dial.notify_one();
        self.links_changed.notify_waiters();
        self.report(LinkReport::Changed(place.user.clone())).await;
    }

    /// Who is to be dialled now.
    pub(crate) fn take_due(&self) -> Vec<(Username, SocketAddr)> {
        self.lock().table.take_due(Instant::now())
    }

    /// Our own key is refused.
    pub(crate) async fn not_accepted(&self, by: &Username) {
        let news = self.lock().not_accepted_by.insert(by.clone());
        if news {
            self.report(LinkReport::NotAccepted(by.clone())).await;
        }
    }

    /// A dial came to nothing.
    pub(crate) fn dial_failed(&self, user: &Username) {
        self.lock().table.dial_failed(user, Instant::now());
        self.dial.notify_one();
    }

    /// Gives up the lines that waited too long for a link, or wait for one that will not come.
    pub(crate) async fn give_up_overdue(&self) {
        let now = Instant::now();
        let overdue: Vec<_> = {
            let mut state = self.lock();
            let State { table, outboxes, .. } = &mut *state;
            let hopeless = |user: &Username, since: Instant| since + patience(table, user) <= now;
            let unlinked = outboxes.iter().filter(|(user, _)| !table.is_linked(user));
            let overdue = unlinked
                .filter(|(user, outbox)| outbox.oldest().is_some_and(|since| hopeless(user, since)))
                .map(|(user, outbox)| (user.clone(), outbox.give_up()))
                .collect();
            outboxes.retain(|user, outbox| table.is_reachable(user) || outbox.oldest().is_some());
            overdue
        };
        for (user, lines) in overdue {
            self.report(LinkReport::Undelivered(user, lines, Undeliverable::Unreachable)).await;
        }
    }

    /// When [`Self::take_due`] or [`Self::give_up_overdue`] has something to do next.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let state = self.lock();
        let unlinked = state.outboxes.iter().filter(|(user, _)| !state.table.is_linked(user));
        let waiting =
            unlinked.filter_map(|(user, outbox)| Some(outbox.oldest()? + patience(&state.table, user)));
        waiting.chain(state.table.next_due()).min()
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

    /// Every outbox with its owner.
    pub(crate) fn outboxes(&self) -> Vec<(Username, Arc<Outbox>)> {
        self.lock().outboxes.iter().map(|(user, outbox)| (user.clone(), Arc::clone(outbox))).collect()
    }

    /// Lets every link end once its outbox is empty.
    pub(crate) fn retire_all(&self) {
        self.lock().table.handles().iter().for_each(CancellationToken::cancel);
    }
}

/// How long a line waits for a user without a link: where none will come, for the receipt on the one that ends.
fn patience(table: &LinkTable<CancellationToken>, user: &Username) -> Duration {
    if table.is_reachable(user) { LINK_WAIT } else { LAST_RECEIPTS }
}

/// Carries out what the table decided; whether the link stays.
fn settle(placed: Placed<CancellationToken>, outbox: &Outbox, id: LinkId, manners: Manners) -> bool {
    let Placed::Kept { writes, retired, .. } = placed else { return false };
    if writes {
        outbox.attach(id, manners);
    }
    retired.iter().for_each(CancellationToken::cancel);
    true
}
