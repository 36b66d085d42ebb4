//! The way of a frontend to the state and the events of a peer.

use crate::api::snapshot::{Position, Snapshot};
use crate::api::status::TrackerState;
use crate::event_bus::{Events, SubscribeFrom, Subscription};
use crate::service::PeerService;

impl PeerService {
    /// Subscribes to the state of the peer and all later events. After the end of the service there are none.
    pub async fn subscribe(&self) -> Subscription {
        self.subscribe_from(SubscribeFrom::Now).await
    }

    /// As [`Self::subscribe`], but the first events are the messages that no frontend has shown yet. It is for a frontend
    /// that could not subscribe before the sign-in.
    pub async fn subscribe_to_unshown(&self) -> Subscription {
        self.subscribe_from(SubscribeFrom::Unshown).await
    }

    /// Subscribes again after [`Event::Lagged`](crate::api::Event::Lagged), from the position of the events that ended.
    /// The first events are the messages after it, which are read from the history as they are received.
    pub async fn subscribe_after(&self, position: Position) -> Subscription {
        self.subscribe_from(SubscribeFrom::After(position)).await
    }

    async fn subscribe_from(&self, from: SubscribeFrom) -> Subscription {
        let signed_out = self.signed_out();
        let subscribed = self.engine.subscribe(signed_out.clone(), from).await;
        let mut subscription =
            subscribed.unwrap_or_else(|| Subscription { snapshot: signed_out, events: Events::default() });
        let snapshot = &mut subscription.snapshot;
        if snapshot.tracker == TrackerState::Lost {
            snapshot.tracker_reason = self.tracker_failed();
        }
        subscription
    }

    /// Returns the state at the begin of this run, for a frontend that subscribed before the sign-in: with the messages that
    /// earlier runs left unread. Those that no run has shown follow as events.
    pub(crate) async fn begun(&self) -> Option<Snapshot> {
        self.engine.snapshot(self.signed_out()).await.ok()
    }

    /// Returns what the service itself knows of the snapshot.
    pub(crate) fn signed_out(&self) -> Snapshot {
        let signed_out = Snapshot::signed_out(
            self.tracker_address().to_owned(),
            self.tracker.tracker_key(),
            self.listening.to_string(),
        );
        let muted = self.session.get().map(|session| session.muted.users()).unwrap_or_default();
        Snapshot { muted, ..signed_out }
    }
}
