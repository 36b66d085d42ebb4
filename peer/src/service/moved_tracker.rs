//! A tracker that has moved to another address, with the user's folder that belongs to it.

use std::io;

use commons::names::Username;

use crate::api::Event;
use crate::api::error::CommandError;
use crate::profile;
use crate::service::{PeerConfig, PeerService};

impl PeerService {
    /// Brings the user's folder along where the tracker has moved: from an address at which the key was met that the
    /// tracker proves now.
    pub(crate) async fn migrate_from(&self, user: &Username) -> Result<(), CommandError> {
        let PeerConfig { data, tracker: here, .. } = &self.config;
        if profile::exists(data, here, user) {
            return Ok(());
        }
        let local = |error: io::Error| CommandError::Local(error.to_string());
        let mut elsewhere = self.known_trackers.elsewhere(here).map_err(local)?;
        elsewhere.retain(|address, _| profile::users(data, address).contains(user));
        if elsewhere.is_empty() {
            return Ok(());
        }
        let proven = self.tracker.probe().await.map_err(|error| CommandError::from_tracker(error, here))?;
        let Some((from, key)) = elsewhere.into_iter().find(|(_, key)| *key == proven.tracker) else {
            return Ok(());
        };
        // Pinned first: whoever finds the folder here, also after a crash, demands the key here.
        self.known_trackers.pin(here, key).map_err(local)?;
        if profile::migrate_from(data, user, &from, here)? {
            let to = here.clone();
            self.hub.lock().event_bus.publish([Event::TrackerMoved { from, to }]);
        }
        Ok(())
    }
}
