//! A start without the tracker.
//!
//! The password alone opens the data on this device. The sign-in follows when the tracker answers.

use std::sync::Arc;

use commons::net::tls::Purpose;
use tracing::warn;

use crate::api::error::CommandError;
use crate::api::sign_in::SignIn;
use crate::identity::device_key::identity;
use crate::identity::known_trackers::KnownTrackers;
use crate::service::PeerService;
use crate::service::current_user::CurrentUser;
use crate::service::own_keys::learn_own_keys;
use crate::service::sign_in::DeviceKey;

impl PeerService {
    /// Undoes a sign-in that the tracker accepted and that then failed on this device, so that it can be repeated.
    pub(crate) async fn sign_out_again(&self) {
        if self.engine.forget_sign_in().await {
            self.tracker.logout().await;
        }
    }

    /// Signs in by the key as soon as the tracker answers, and completes the steps of a sign-in.
    pub(crate) async fn sign_in_later(&self, sign_in: SignIn, key: DeviceKey) -> Result<(), CommandError> {
        let identity = identity(key.seed(), Purpose::Session)?;
        let (session, engine) = (Arc::clone(&self.session), self.engine.clone());
        let (tracker, listening) = (self.tracker.clone(), self.listening);
        let (config, cost) = (self.config.clone(), self.config.seal_cost);
        let sign_in = async move {
            // A refusal has ended the program, and was reported.
            if tracker.log_in_when_reached(&sign_in.username, listening, identity).await.is_err() {
                return;
            }
            if let Some(proven) = tracker.tracker_key()
                && let Err(error) = KnownTrackers::of(&config.data).pin(&config.tracker.address, proven)
            {
                warn!(%error, "the tracker's key could not be written down");
            }
            let Some(CurrentUser { profile, .. }) = session.get() else { return };
            if let Err(error) = key.finish_sign_in(profile, &tracker, &sign_in, cost).await {
                warn!(?error, "the change of the password is still not settled");
            }
            learn_own_keys(&engine, &tracker, &sign_in.username).await;
        };
        self.spawn(sign_in).await;
        Ok(())
    }
}
