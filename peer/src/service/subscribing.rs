//! The way of a frontend to the state and the events of a peer.

use crate::api::snapshot::Snapshot;
use crate::api::status::TrackerState;
use crate::event_bus::{Events, Subscription};
use crate::service::PeerService;

impl PeerService {
    /// Subscribes to the state of the peer and all later events. After the end of the service there are none.
    pub async fn subscribe(&self) -> Subscription {
        let signed_out = self.signed_out();
        let subscribed = self.engine.subscribe(signed_out.clone()).await;
        let mut subscription =
            subscribed.unwrap_or_else(|| Subscription { snapshot: signed_out, events: Events::default() });
        let snapshot = &mut subscription.snapshot;
        if snapshot.tracker == TrackerState::Lost {
            snapshot.tracker_reason = self.tracker_failed();
        }
        subscription
    }

    /// Returns the snapshot before the sign-in.
    fn signed_out(&self) -> Snapshot {
        Snapshot::signed_out(
            self.config.tracker.clone(),
            self.tracker.tracker_key(),
            self.listening.to_string(),
        )
    }
}
