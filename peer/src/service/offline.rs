//! A start without the tracker.
//!
//! The password alone opens the data on this device. The sign-in follows when the tracker answers.

use std::sync::Arc;

use commons::names::Username;
use commons::net::tls::Purpose;
use tracing::warn;

use crate::api::error::CommandError;
use crate::api::status::TrackerState;
use crate::chat::Chat;
use crate::hub::Hub;
use crate::identity::device_key::{DeviceKey, SignIn, identity};
use crate::identity::known_trackers::KnownTrackers;
use crate::service::PeerService;

impl Hub {
    /// Returns true if there is no session with the tracker, the user is not blocked, and the user's last address is
    /// known.
    pub(crate) fn is_found_without_tracker(&self, user: &Username) -> bool {
        let state = self.lock();
        let is_missed = state.chat.tracker() == TrackerState::Lost && !state.chat.blocked().contains(user);
        is_missed
            && self
                .links
                .get()
                .is_some_and(|links| links.known_keys().with(|book| book.address(user)).is_some())
    }
}

impl PeerService {
    /// Undoes a sign-in that the tracker accepted and that then failed on this device, so that it can be repeated.
    pub(crate) async fn sign_out_again(&self) {
        if self.hub.lock().chat.me().is_some() {
            self.tracker.logout().await;
            self.hub.lock().chat = Chat::default();
        }
    }

    /// Shows the rooms that this device knows, although the tracker has not answered.
    pub(crate) fn show_offline(&self, who: &SignIn) {
        let reason = self.tracker_failed();
        let mut state = self.hub.lock();
        let events = state.chat.offline(&who.username, reason);
        state.event_bus.publish(events);
    }

    /// Signs in by the key as soon as the tracker answers, and completes the steps of a sign-in.
    pub(crate) async fn sign_in_later(&self, who: SignIn, key: DeviceKey) -> Result<(), CommandError> {
        let identity = identity(key.seed(), Purpose::Session)?;
        let (hub, tracker, listening) = (Arc::clone(&self.hub), self.tracker.clone(), self.listening);
        let (config, cost) = (self.config.clone(), self.config.seal_cost);
        let sign_in = async move {
            // A refusal has ended the program, and was reported.
            if tracker.log_in_when_reached(&who.username, listening, identity).await.is_err() {
                return;
            }
            if let Some(proven) = tracker.tracker_key()
                && let Err(error) = KnownTrackers::of(&config.data).pin(&config.tracker, proven)
            {
                warn!(%error, "the tracker's key could not be written down");
            }
            let Some(profile) = hub.profile.get() else { return };
            if let Err(error) = key.finish_sign_in(profile, &tracker, &who, cost).await {
                warn!(?error, "the change of the password is still not settled");
            }
            hub.learn_own_keys(&tracker, &who.username).await;
        };
        self.spawn(sign_in).await;
        Ok(())
    }
}
