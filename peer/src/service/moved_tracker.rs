//! The move of a user's folder after the tracker's address changed.
//!
//! The tracker is recognised by its key, which was pinned at the old address.

use std::io;
use std::sync::PoisonError;

use commons::names::Username;

use crate::api::Event;
use crate::api::error::CommandError;
use crate::identity::profile;
use crate::service::PeerService;
use crate::service::tracker_error::from_tracker;

impl PeerService {
    /// Moves the user's folder from an address where the tracker's key was met before, if the tracker proves that key
    /// now.
    pub(crate) async fn migrate_from(&self, user: &Username) -> Result<(), CommandError> {
        let (data, here) = (&self.config.data, self.tracker_address());
        if profile::exists(data, here, user) {
            return Ok(());
        }
        let local = |error: io::Error| CommandError::Local(error.to_string());
        let mut elsewhere = self.known_trackers.elsewhere(here).map_err(local)?;
        elsewhere.retain(|address, _| profile::users(data, address).contains(user));
        if elsewhere.is_empty() {
            return Ok(());
        }
        let proven = self.tracker.probe().await.map_err(|error| from_tracker(error, here))?;
        let Some((from, key)) = elsewhere.into_iter().find(|(_, key)| *key == proven.tracker) else {
            return Ok(());
        };
        // The key is pinned first: even after a crash, a folder at this address implies that the key is required here.
        self.known_trackers.pin(here, key).map_err(local)?;
        if profile::migrate_from(data, user, &from, here)? {
            let event = Event::TrackerMoved { from, to: here.to_owned() };
            *self.moved.lock().unwrap_or_else(PoisonError::into_inner) = Some(event.clone());
            self.engine.publish([event]).await;
        }
        Ok(())
    }

    /// Takes the event `tracker_moved` of this sign-in, for a frontend that could not subscribe before it.
    #[must_use]
    pub fn take_moved(&self) -> Option<Event> {
        self.moved.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
