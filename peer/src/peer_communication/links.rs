//! The links to other peers, as one handle that their owner and the link tasks share.
//! It holds the link table, one send queue per peer, and the channel for reports.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use commons::keys::PublicKey;
use commons::names::{RoomName, Username};
use commons::net::plaintext::Plaintext;
use commons::net::tls::Identity;
use commons::protocol::between_peers::Greeting;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::error;
use uuid::Uuid;

use crate::limits::{GOODBYE_WAIT, REPORTS_MAX};
use crate::peer_communication::dial_guard::DialRefusal;
use crate::peer_communication::dialect::Dialect;
use crate::peer_communication::frame::{Frame, FrameEncoder};
use crate::peer_communication::key_check::{KeyCheck, KeyLookup};
use crate::peer_communication::known_keys_handle::KnownKeysHandle;
use crate::peer_communication::link_report::{LinkRefusal, LinkReport};
use crate::peer_communication::link_table::{Admit, LinkId, LinkTable, NewLink, Target};
use crate::peer_communication::member_rate::{Delay, MemberRates};
use crate::peer_communication::send_queue::{Full, SendQueue};
use crate::tracker_communication::tracker_endpoint::TrackerEndpoint;

/// Configuration of all links.
pub(crate) struct LinkConfig {
    /// The user of this program.
    pub(crate) me: Username,
    /// Start time of this program in milliseconds since 1970.
    pub(crate) instance: u64,
    /// The port on which this program accepts links.
    pub(crate) port: u16,
    /// The TLS identity of this user.
    pub(crate) identity: Identity,
    /// The addresses at which peers without a key may be contacted in plaintext.
    pub(crate) plaintext: Plaintext,
    /// The live messages of one member that are read in a second; `None` is no limit.
    pub(crate) member_rate: Option<NonZeroU32>,
    /// Whether the rate holds for links over loopback too.
    pub(crate) limit_loopback: bool,
    /// The tracker, whose own address decides which addresses are dialled.
    pub(crate) tracker: Arc<TrackerEndpoint>,
}

/// State of the link that serves a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LinkState {
    /// The link to which frames for this user are written.
    pub(crate) link: LinkId,
    /// The protocol variant of the program at the other end.
    pub(crate) dialect: Dialect,
    /// The key that the other side has proven; `None` for a legacy client.
    pub(crate) key: Option<PublicKey>,
    /// Start time of the program at the other end, as it claims.
    pub(crate) started: Option<DateTime<Utc>>,
    /// Whether the link is encrypted, as all are but those to legacy clients.
    pub(crate) encrypted: bool,
}

/// An admitted link, as its task sees it.
pub(crate) struct LinkSlot {
    pub(crate) user: Username,
    pub(crate) id: LinkId,
    pub(crate) dialect: Dialect,
    pub(crate) queue: Arc<SendQueue>,
    /// Cancelled when the link must finish its current work and end.
    pub(crate) retire: CancellationToken,
    /// Whether the other side is on this computer.
    pub(crate) is_loopback: bool,
}

/// Handle to all links of this peer. A clone is cheap and stands for the same links.
#[derive(Clone)]
pub(crate) struct PeerPeerCommunication(Arc<Inner>);

struct Inner {
    config: LinkConfig,
    key_check: KeyCheck,
    encoder: Mutex<FrameEncoder>,
    /// The rates at which live messages are read; `None` is no limit.
    rates: Option<Mutex<MemberRates>>,
    /// Cancelled at the very end: links drop their current work.
    stop: CancellationToken,
    /// Notified when a dial may be due.
    dial: Notify,
    /// Notified when a link has ended.
    link_ended: Notify,
    state: Mutex<State>,
    reports: mpsc::Sender<LinkReport>,
}

impl std::fmt::Debug for PeerPeerCommunication {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PeerPeerCommunication").field("me", &self.0.config.me).finish_non_exhaustive()
    }
}

struct State {
    table: LinkTable<CancellationToken>,
    /// The send queue of each user with a link. A retired link empties its queue before it ends.
    queues: HashMap<Username, Arc<SendQueue>>,
    last_link: LinkId,
    /// Refused links that were reported. An entry is removed when a link to the user comes up.
    refused: BTreeSet<(Username, LinkRefusal)>,
}

impl PeerPeerCommunication {
    /// Creates the handle. Reports arrive at the returned receiver. Links are made while
    /// [`run`](crate::peer_communication::run) runs.
    pub(crate) fn new(
        config: LinkConfig,
        known_keys: KnownKeysHandle,
        lookup: KeyLookup,
    ) -> (Self, mpsc::Receiver<LinkReport>) {
        let (reports, receiver) = mpsc::channel(REPORTS_MAX);
        let state = State {
            table: LinkTable::new(config.me.clone()),
            queues: HashMap::new(),
            last_link: LinkId(0),
            refused: BTreeSet::new(),
        };
        let inner = Inner {
            rates: config.member_rate.map(|rate| Mutex::new(MemberRates::new(rate))),
            config,
            key_check: KeyCheck::new(known_keys, lookup),
            encoder: Mutex::default(),
            stop: CancellationToken::new(),
            dial: Notify::new(),
            link_ended: Notify::new(),
            state: Mutex::new(state),
            reports,
        };
        (Self(Arc::new(inner)), receiver)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets which peers should be linked from now on. Links to others end once their send queue is empty.
    pub(crate) fn set_targets(&self, targets: &BTreeMap<Username, Target>) {
        let dropped = self.lock().table.set_targets(targets, Instant::now());
        self.0.dial.notify_one();
        dropped.iter().flat_map(|(_, links)| links).for_each(CancellationToken::cancel);
    }

    /// State of the link that serves this user. `None` if there is none, or if it is retired: then its queued frames are
    /// still written, but for the user the link is down.
    pub(crate) fn link_state(&self, user: &Username) -> Option<LinkState> {
        let (link, NewLink { instance, key, dialect, .. }) = self.lock().table.serving(user)?;
        let started =
            instance.and_then(|millis| DateTime::from_timestamp_millis(i64::try_from(millis).ok()?));
        Some(LinkState { link, dialect, key, started, encrypted: dialect != Dialect::Legacy })
    }

    /// Queues a frame for a linked peer. It is dropped if there is no link, or if the other program has no such frame. A
    /// retired link is written until it ends.
    pub(crate) fn send(&self, to: &Username, frame: &Frame) -> Result<(), Full> {
        let Some((queue, (link, dialect))) = self.writer(to) else { return Ok(()) };
        self.encode(frame, dialect).map_or(Ok(()), |bytes| queue.push(link, bytes))
    }

    /// Queues a frame with own messages for this link of a peer. After one was refused, every later one is refused until
    /// [`Self::resume`], so that none overtakes it.
    pub(crate) fn feed(&self, to: &Username, link: LinkId, frame: &Frame) -> Result<(), Full> {
        let Some((queue, (_, dialect))) = self.writer(to).filter(|(_, (writer, _))| *writer == link) else {
            return Err(Full);
        };
        let encoded = self.encode(frame, dialect);
        encoded.map_or(Ok(()), |bytes| queue.push_in_order(link, frame.message_id(), bytes))
    }

    /// Takes own messages for a peer again, after [`LinkReport::Writable`].
    pub(crate) fn resume(&self, to: &Username) {
        if let Some(queue) = self.queue(to) {
            queue.resume();
        }
    }

    fn encode(&self, frame: &Frame, dialect: Dialect) -> Option<Bytes> {
        let encoded = self.0.encoder.lock().unwrap_or_else(PoisonError::into_inner).encode(frame, dialect);
        // All lengths are checked when a message is written, so this is an error of this program.
        encoded
            .inspect_err(|error| error!(%error, "a frame cannot be encoded and is not sent"))
            .ok()
            .flatten()
    }

    fn writer(&self, user: &Username) -> Option<(Arc<SendQueue>, (LinkId, Dialect))> {
        let queue = self.queue(user)?;
        let writer = queue.writer()?;
        Some((queue, writer))
    }

    /// Acknowledges a message of a program without a history, and all earlier ones on the same link. Other programs have
    /// no such frame, or acknowledge with HAVE.
    pub(crate) fn ack(&self, to: &Username, id: Uuid) {
        if let Some((queue, (_, Dialect::Basic))) = self.writer(to) {
            queue.control(|control| control.received = Some(id));
        }
    }

    /// Queues a LEAVE. A legacy client ends the whole link on any LEAVE, so it gets one only if the link ends anyway.
    pub(crate) fn leave(&self, to: &Username, room: Option<RoomName>, still_used: bool) {
        let is_legacy = self.link_state(to).is_some_and(|link| link.dialect == Dialect::Legacy);
        if !(still_used && is_legacy) {
            // A full send queue drops the notice. The tracker announces the departure as well.
            let _ = self.send(to, &Frame::Leave { room });
        }
    }

    fn queue(&self, user: &Username) -> Option<Arc<SendQueue>> {
        self.lock().queues.get(user).cloned()
    }

    /// Ends the links to a user that proved another key than these.
    pub(crate) fn end_links_by_others(&self, user: &Username, pinned: &[PublicKey]) {
        let others = self.lock().table.links_by_others(user, pinned);
        others.iter().for_each(CancellationToken::cancel);
    }

    /// Dials a user at once, regardless of earlier failures.
    pub(crate) fn dial_now(&self, user: &Username) {
        self.lock().table.dial_now(user, Instant::now());
        self.0.dial.notify_one();
    }

    /// Ends every link after its queued frames, and waits for the end. A second call returns at once.
    pub(crate) async fn stop(&self) {
        if self.0.stop.is_cancelled() {
            return;
        }
        self.lock().table.handles().iter().for_each(CancellationToken::cancel);
        let all_ended = async {
            loop {
                let ended = self.0.link_ended.notified();
                if self.lock().queues.is_empty() {
                    break;
                }
                ended.await;
            }
        };
        let _ = timeout(GOODBYE_WAIT, all_ended).await;
        self.0.stop.cancel();
    }

    /// The configuration of all links.
    pub(crate) fn config(&self) -> &LinkConfig {
        &self.0.config
    }

    /// Counts a live message of a link. Returns for how long the link is not read after it.
    pub(crate) fn count_message(&self, slot: &LinkSlot) -> Delay {
        let is_exempt = slot.is_loopback && !self.0.config.limit_loopback;
        match self.0.rates.as_ref().filter(|_| !is_exempt) {
            None => Delay { wait: Duration::ZERO, must_note: false },
            Some(rates) => {
                rates.lock().unwrap_or_else(PoisonError::into_inner).count(&slot.user, Instant::now())
            }
        }
    }

    /// The check of the keys that other peers prove.
    pub(crate) fn key_check(&self) -> &KeyCheck {
        &self.0.key_check
    }

    /// The greeting that this peer sends on an encrypted link.
    pub(crate) fn greeting(&self) -> Greeting<'_> {
        let LinkConfig { me, instance, port, .. } = &self.0.config;
        Greeting {
            username: me.as_str().into(),
            instance: Some(*instance),
            catch_up: true,
            port: Some(*port),
        }
    }

    /// Waits for the very end, when links drop their current work.
    pub(crate) async fn stopped(&self) {
        self.0.stop.cancelled().await;
    }

    /// Sends a report and waits while the queue of reports is full. At the end of the program nobody receives it.
    pub(crate) async fn report(&self, report: LinkReport) {
        let _ = self.0.reports.send(report).await;
    }

    /// Admits a link that has come up, or returns `None` if it is refused.
    pub(crate) async fn admit(&self, user: &Username, new: NewLink) -> Option<LinkSlot> {
        let retire = CancellationToken::new();
        let (id, queue) = {
            let state = &mut *self.lock();
            state.last_link.0 += 1;
            let id = state.last_link;
            let admitted = state.table.admit(user, id, new, retire.clone(), Instant::now());
            let Admit::Accepted { writes, retired } = admitted else { return None };
            let queue = Arc::clone(state.queues.entry(user.clone()).or_default());
            if writes {
                queue.attach(id, new.dialect);
            }
            retired.iter().for_each(CancellationToken::cancel);
            state.refused.retain(|(refused, _)| refused != user);
            (id, queue)
        };
        self.report(LinkReport::Changed { user: user.clone() }).await;
        Some(LinkSlot { user: user.clone(), id, dialect: new.dialect, queue, retire, is_loopback: false })
    }

    /// Removes a link that has ended.
    pub(crate) async fn remove(&self, slot: &LinkSlot) {
        {
            let mut state = self.lock();
            slot.queue.detach(slot.id);
            if let Some(rest) = state.table.remove(&slot.user, slot.id, Instant::now()) {
                rest.iter().for_each(CancellationToken::cancel);
            }
            if state.table.serving(&slot.user).is_none() {
                state.queues.remove(&slot.user);
            }
        }
        self.0.dial.notify_one();
        self.0.link_ended.notify_waiters();
        self.report(LinkReport::Changed { user: slot.user.clone() }).await;
    }

    /// Notes that a reachable peer is not linked, for this reason, and reports it once.
    pub(crate) async fn refuse(&self, user: &Username, reason: LinkRefusal) {
        if self.lock().refused.insert((user.clone(), reason)) {
            self.report(LinkReport::LinkRefused { user: user.clone(), reason }).await;
        }
    }

    /// Returns the peers whose dial is due now, and marks them as being dialled. The time is that of the next dial.
    pub(crate) fn next_dials(&self) -> (Vec<(Username, SocketAddr, bool)>, Option<Instant>) {
        let mut state = self.lock();
        (state.table.next_dials(Instant::now()), state.table.next_due())
    }

    /// Waits until another dial may be due than before.
    pub(crate) async fn dials_changed(&self) {
        self.0.dial.notified().await;
    }

    /// Notes that the announced address of a user was not dialled, and reports it if the user has not dialled meanwhile.
    pub(crate) async fn dial_refused(&self, user: &Username, refusal: DialRefusal) {
        let is_given_up = self.lock().table.dial_refused(user, Instant::now());
        self.0.dial.notify_one();
        if is_given_up {
            self.refuse(user, LinkRefusal::Address(refusal)).await;
        }
    }

    /// Dials the users again that were given up: this one, or all.
    pub(crate) fn retry_given_up(&self, user: Option<&Username>) {
        self.lock().table.retry_given_up(user, Instant::now());
        self.0.dial.notify_one();
    }

    /// Notes that a dial has failed.
    pub(crate) fn dial_failed(&self, user: &Username) {
        self.lock().table.dial_failed(user, Instant::now());
        self.0.dial.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::testing::owner_of;
    use crate::identity::known_keys::KnownKeys;
    use crate::limits::LINKS_MAX;
    use crate::peer_communication::testing::link_config;

    fn user(name: &str) -> Username {
        Username::parse(name).unwrap()
    }

    fn ana() -> (PeerPeerCommunication, mpsc::Receiver<LinkReport>) {
        let config = link_config();
        let lookup: KeyLookup = Box::new(|_| Box::pin(async { None }));
        PeerPeerCommunication::new(config, owner_of(KnownKeys::default()).0, lookup)
    }

    fn new_link(instance: u64) -> NewLink {
        NewLink { instance: Some(instance), dialled: false, key: None, dialect: Dialect::Full }
    }

    #[tokio::test(start_paused = true)]
    async fn refused_link_leaves_nothing_behind() {
        let (links, mut reports) = ana();
        for n in 0..LINKS_MAX {
            assert!(links.admit(&user(&format!("user{n}")), new_link(1)).await.is_some());
        }
        let carla = user("carla");
        links.refuse(&carla, LinkRefusal::NotAccepted).await;
        assert!(links.admit(&carla, new_link(1)).await.is_none(), "there are too many");
        assert!(!links.lock().queues.contains_key(&carla));
        while reports.try_recv().is_ok() {}
        links.refuse(&carla, LinkRefusal::NotAccepted).await;
        assert!(reports.try_recv().is_err(), "it was reported before, and no link came up since");
    }

    #[tokio::test(start_paused = true)]
    async fn retired_link_is_down_but_still_written() {
        let (links, _reports) = ana();
        let bob = user("bob");
        let target = Target { address: None, eager: false, is_proven: false };
        links.set_targets(&BTreeMap::from([(bob.clone(), target)]));
        let slot = links.admit(&bob, new_link(7)).await.unwrap();
        let state = links.link_state(&bob).unwrap();
        assert_eq!((state.link, state.dialect, state.encrypted), (slot.id, Dialect::Full, true));
        assert_eq!(state.started.unwrap().timestamp_millis(), 7);
        links.set_targets(&BTreeMap::new());
        assert!(links.link_state(&bob).is_none() && slot.retire.is_cancelled());
        links.send(&bob, &Frame::Leave { room: None }).unwrap();
        let mut written = Vec::new();
        slot.queue.next(slot.id, &mut written, |_, _| ());
        assert_eq!(written, b"{\"cmd\":\"LEAVE\",\"room\":null}\n");
        links.remove(&slot).await;
        assert!(links.lock().queues.is_empty());
    }
}
