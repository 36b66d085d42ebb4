//! The task that runs the sync protocol.
//!
//! It sends HAVEs to linked peers, requests what is lacking here, and answers their WANTs. It also looks for
//! recipients of private messages who are offline.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use commons::names::Username;
use commons::protocol::provenance::StreamSpans;
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use crate::delivery::sync::SyncState;
use crate::delivery::sync_event::SyncEvent;
use crate::history::History;
use crate::history::conversation::ConversationId;
use crate::hub::Hub;
use crate::limits::{CATCH_UP_TICK, FEED_BYTES, SEEK_BACKOFF};
use crate::peer_communication::dialect::Dialect;
use crate::peer_communication::frame::Frame;
use crate::peer_communication::links::PeerPeerCommunication;
use crate::tracker_communication::PeerTrackerCommunication;

impl Hub {
    /// Sends an event to the sync task without waiting. If the queue is full, the event is dropped and the task
    /// checks everything at its next tick. Use it only for events that this check replaces.
    pub(crate) fn send_sync_event(&self, news: SyncEvent) {
        if let Some(queue) = self.news.get()
            && queue.try_send(news).is_err()
        {
            self.news_lost.store(true, Ordering::Relaxed);
        }
    }

    /// Sends an event to the sync task and waits for room in its queue. Use it for events that must not be lost.
    pub(crate) async fn send_to_exchange(&self, news: SyncEvent) {
        if let Some(queue) = self.news.get() {
            // The receiver is closed only when the program ends.
            let _ = queue.send(news).await;
        }
    }
}

/// The state of the sync task.
struct SyncTask<'a> {
    hub: &'a Hub,
    history: &'a History,
    links: &'a PeerPeerCommunication,
    catch_up: SyncState,
}

/// The search for recipients of private messages who are offline.
struct Search<'a> {
    hub: &'a Hub,
    history: &'a History,
    tracker: PeerTrackerCommunication,
    /// The next search time of each recipient, and the delay after it. The delay doubles, within `SEEK_BACKOFF`.
    sought: BTreeMap<Username, (Instant, Duration)>,
}

/// Runs the sync and the search until the event channel closes.
pub(crate) async fn run(
    hub: Arc<Hub>,
    tracker: PeerTrackerCommunication,
    mut news: mpsc::Receiver<SyncEvent>,
) {
    let (Some(history), Some(links)) = (hub.history.get(), hub.links.get()) else { return };
    let mut exchange = SyncTask { hub: &hub, history, links, catch_up: SyncState::default() };
    let mut search = Search { hub: &hub, history, tracker, sought: BTreeMap::new() };
    let exchanging = async {
        let mut tick = ticks();
        loop {
            tokio::select! {
                news = news.recv() => match news {
                    Some(news) => exchange.take(news).await,
                    None => return,
                },
                _ = tick.tick() => exchange.poll_presence().await,
            }
        }
    };
    // The search has a loop of its own, because a slow tracker must not delay the sync.
    let searching = async {
        let mut tick = ticks();
        loop {
            tick.tick().await;
            search.seek().await;
        }
    };
    tokio::select! {
        () = exchanging => {}
        () = searching => {}
    }
}

fn ticks() -> Interval {
    let mut tick = interval(CATCH_UP_TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick
}

impl SyncTask<'_> {
    async fn take(&mut self, news: SyncEvent) {
        match news {
            SyncEvent::Up(user) => {
                if self.links.link_state(&user).is_some_and(|link| link.dialect == Dialect::Full) {
                    self.catch_up.up(&user);
                    self.send_have(&user).await;
                }
                // The HAVE is sent before the pending messages, so that the peer can count what it missed.
                if self.hub.begin_feed(&user) {
                    self.history.pending(user, 0, FEED_BYTES).await;
                }
            }
            SyncEvent::Down(user) => self.catch_up.down(&user),
            SyncEvent::Seats => {
                self.catch_up.membership_changed();
                self.poll_presence().await;
            }
            SyncEvent::OwnKeys => {
                self.catch_up.believe_more();
                self.poll_presence().await;
            }
            SyncEvent::Have(user, conversation, theirs) => {
                self.catch_up.on_have(&user, &conversation, theirs);
                self.ask(&user).await;
            }
            SyncEvent::Given(user, conversation) => {
                self.catch_up.given(&user, &conversation);
                self.ask(&user).await;
            }
            SyncEvent::Want(user, conversation, wanted) => self.give(&user, conversation, wanted).await,
            SyncEvent::Stored(user, conversation) => self.catch_up.stored(&conversation, Some(&user)),
            SyncEvent::Grown(conversation) => self.catch_up.stored(&conversation, None),
        }
    }

    /// Sends what is due to every peer. It runs at each tick and after changes of members or keys.
    async fn poll_presence(&mut self) {
        if self.hub.news_lost.swap(false, Ordering::Relaxed) {
            self.catch_up.membership_changed();
        }
        for user in self.catch_up.partners() {
            self.send_have(&user).await;
            self.ask(&user).await;
        }
    }

    fn shared_with(&self, user: &Username) -> Vec<ConversationId> {
        self.hub.lock().chat.shared_with(user)
    }

    /// Sends the due HAVEs to a peer.
    async fn send_have(&mut self, user: &Username) {
        for conversation in self.catch_up.due_have(user, &self.shared_with(user), Instant::now()) {
            let since = self.hub.lock().chat.since(&conversation, user).unwrap_or(u64::MAX);
            let device = self.links.link_state(user).and_then(|link| link.key);
            let (streams, lamport) =
                self.history.holdings_for(conversation.clone(), user.clone(), device, since).await;
            if self.send(user, &Frame::Have { room_id: conversation.room(), streams, lamport }) {
                self.catch_up.have_sent(user, &conversation, Instant::now());
            }
        }
    }

    /// Sends the due WANT to a peer.
    async fn ask(&mut self, user: &Username) {
        let shared = self.shared_with(user);
        while let Some((conversation, theirs)) = self.catch_up.next_to_look_at(user, &shared, Instant::now())
        {
            let Some(lacking) = self.history.lacking(conversation.clone(), theirs).await else {
                // The disk fails. The next tick tries again.
                return self.catch_up.given(user, &conversation);
            };
            let streams = self.catch_up.ask(user, &conversation, lacking, Instant::now());
            if !streams.is_empty() {
                self.send(user, &Frame::Want { room_id: conversation.room(), streams });
            }
        }
    }

    /// Answers a WANT. A member of a room receives messages from the revision of joining on, a private partner
    /// those of either side.
    async fn give(&mut self, user: &Username, conversation: ConversationId, wanted: Vec<StreamSpans>) {
        let Some(since) = self.hub.lock().chat.since(&conversation, user) else { return };
        if self.links.known_keys().with(|book| book.is_changed(user)) {
            return;
        }
        let given = self.history.hand_over(conversation.clone(), user.clone(), wanted, since).await;
        // An empty answer is sent too. It says that nothing more can be sent.
        self.send(user, &Frame::Lines { room_id: conversation.room(), lines: given });
    }

    /// Sends a frame and returns whether it fits. Frames that do not fit are repeated later.
    fn send(&self, to: &Username, frame: &Frame) -> bool {
        self.links.send(to, frame).is_ok()
    }
}

impl Search<'_> {
    /// Asks the tracker for the addresses of offline users with pending private messages.
    async fn seek(&mut self) {
        let away = self.hub.lock().chat.away();
        if away.is_empty() {
            self.sought.clear();
            return;
        }
        let mut waiting = self.history.waiting().await.unwrap_or_default();
        waiting.retain(|(user, _)| away.contains(user));
        self.sought.retain(|user, _| waiting.iter().any(|(waiting, _)| waiting == user));
        let now = Instant::now();
        for (user, _) in waiting {
            let (first, most) = SEEK_BACKOFF;
            let (due, wait) = self.sought.entry(user.clone()).or_insert((now, first));
            if *due <= now {
                (*due, *wait) = (now + *wait, most.min(*wait * 2));
                if let Ok(found) = self.tracker.peer(&user).await {
                    // If the user's key has changed, `found` reports it. The messages keep waiting.
                    let _ = self.hub.found(&user, found.map(|found| found.peer));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn news_of_a_link_waits_for_room_and_other_news_is_made_up_for() {
        let hub = Arc::new(Hub::default());
        let (queue, mut news) = mpsc::channel(1);
        hub.news.set(queue).unwrap();
        hub.send_sync_event(SyncEvent::Seats);
        assert!(!hub.news_lost.load(Ordering::Relaxed));
        hub.send_sync_event(SyncEvent::Seats);
        assert!(hub.news_lost.load(Ordering::Relaxed), "there was no room");
        let (user, handing) = (Username::parse("bob").unwrap(), Arc::clone(&hub));
        let handed = tokio::spawn(async move { handing.send_to_exchange(SyncEvent::Up(user)).await });
        assert!(matches!(news.recv().await, Some(SyncEvent::Seats)));
        assert!(matches!(news.recv().await, Some(SyncEvent::Up(_))));
        handed.await.unwrap();
    }
}
