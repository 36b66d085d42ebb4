//! The requests of an admin to the tracker.

use std::collections::BTreeMap;

use commons::protocol::administration::{AdminRequest, ListedBan};
use commons::protocol::with_tracker::TrackerRequest;

use crate::api::administration::UserSession;
use crate::tracker_communication::PeerTrackerCommunication;
use crate::tracker_communication::tracker_report::TrackerError;

impl PeerTrackerCommunication {
    /// Sends a request of an admin.
    pub(crate) async fn administer(&self, request: AdminRequest) -> Result<(), TrackerError> {
        self.request(TrackerRequest::Admin(request)).await.map(drop)
    }

    /// All sessions of the tracker, or the first pages of them.
    pub(crate) async fn list_sessions(&self) -> Result<Vec<UserSession>, TrackerError> {
        let request = |page| TrackerRequest::Admin(AdminRequest::Sessions(page));
        self.list(request, |reply| {
            let named =
                |(username, session): (String, _)| (username.clone(), UserSession { username, session });
            Some(reply.sessions?.into_iter().map(named).collect::<BTreeMap<_, _>>())
        })
        .await
    }

    /// All bans of the tracker, or the first pages of them.
    pub(crate) async fn list_bans(&self) -> Result<Vec<ListedBan>, TrackerError> {
        self.list(|page| TrackerRequest::Admin(AdminRequest::Bans(page)), |reply| reply.bans).await
    }
}
