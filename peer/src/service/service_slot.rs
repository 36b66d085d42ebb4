//! The slot of the peer service: empty while nobody is signed in.
//!
//! A frontend that signs in by a command names the tracker in it, so the service starts only then. All frontends of the
//! program share the slot: a sign-in by one of them is a sign-in of all.

use std::sync::Arc;

use commons::names::Username;
use commons::net::socket::host_and_port;
use commons::tracker_address::TrackerAddress;
use tokio::sync::{Mutex, watch};

use crate::api::answer::Answer;
use crate::api::error::CommandError;
use crate::api::sign_in::{SignIn, SignInCommand, TrackerChoice};
use crate::api::snapshot::Snapshot;
use crate::identity::identity_export;
use crate::identity::profile;
use crate::service::{PeerConfig, PeerService};
use crate::usual_tracker::UsualTracker;

/// The service of the user who is signed in, if there is one.
#[derive(Debug)]
pub struct ServiceSlot {
    /// The settings of each service, but for the tracker.
    config: PeerConfig,
    /// The name that was given at the start of the program.
    given_name: Option<Username>,
    service: watch::Sender<Option<Arc<PeerService>>>,
    /// Held during a sign-in: two at once would start two services.
    turn: Mutex<()>,
}

impl ServiceSlot {
    /// Creates an empty slot. The tracker of `config` is the one of a sign-in that names none.
    #[must_use]
    pub fn new(config: PeerConfig) -> Self {
        Self { config, given_name: None, service: watch::Sender::new(None), turn: Mutex::default() }
    }

    /// Sets the name that was given at the start of the program, which a page offers.
    #[must_use]
    pub fn with_name(self, given_name: Option<Username>) -> Self {
        Self { given_name, ..self }
    }

    /// Fills an empty slot with the service of a user who has signed in. Returns false if the slot holds another service
    /// already: the terminal and a page may sign in at the same time. The caller then stops its own service.
    #[must_use]
    pub fn fill(&self, service: &Arc<PeerService>) -> bool {
        self.service.send_if_modified(|current| {
            let is_empty = current.is_none();
            current.get_or_insert_with(|| Arc::clone(service));
            is_empty
        })
    }

    /// Returns the service, if a user is signed in.
    #[must_use]
    pub fn current(&self) -> Option<Arc<PeerService>> {
        self.service.borrow().clone()
    }

    /// Waits until a user is signed in, and returns the service. Cancel safe.
    pub async fn filled(&self) -> Arc<PeerService> {
        let mut services = self.service.subscribe();
        loop {
            if let Some(service) = services.borrow_and_update().clone() {
                return service;
            }
            // The slot itself holds the sender, so the wait ends with a change only.
            let _ = services.changed().await;
        }
    }

    /// Stops a service that has ended, and empties the slot if it holds that service.
    pub async fn clear(&self, ended: &Arc<PeerService>) {
        ended.stop().await;
        self.service
            .send_if_modified(|service| service.take_if(|service| Arc::ptr_eq(service, ended)).is_some());
    }

    /// Returns the snapshot of a program in which nobody is signed in.
    #[must_use]
    pub fn signed_out(&self) -> Snapshot {
        let TrackerAddress { address, key } = self.config.tracker.clone();
        Snapshot {
            accounts: profile::users(&self.config.data, &address).into_iter().collect(),
            given_name: self.given_name.clone(),
            ..Snapshot::signed_out(address, key, String::new())
        }
    }

    /// Carries out a command of a user who is not signed in.
    pub async fn execute(&self, command: SignInCommand) -> Result<Answer, CommandError> {
        match command {
            SignInCommand::SignIn { tracker, username, password, changed_to, consent } => {
                let sign_in = SignIn { username, password, register: false, changed_to, code: None, consent };
                self.sign_in(tracker, sign_in).await
            }
            SignInCommand::Register { tracker, username, password, code, consent } => {
                let sign_in = SignIn { username, password, register: true, changed_to: None, code, consent };
                self.sign_in(tracker, sign_in).await
            }
            SignInCommand::ImportIdentity { content, password, tracker } => {
                let PeerConfig { data, seal_cost, .. } = &self.config;
                let tracker = tracker.map(|text| text.parse().map_err(not_an_address)).transpose()?;
                let location =
                    identity_export::import_text(data, tracker.as_ref(), &password, *seal_cost, &content);
                let location = location.await?;
                Ok(Answer::IdentityImported { username: location.username, tracker: location.tracker })
            }
        }
    }

    async fn sign_in(&self, tracker: TrackerChoice, sign_in: SignIn) -> Result<Answer, CommandError> {
        let _turn = self.turn.lock().await;
        if self.service.borrow().is_some() {
            return Err(CommandError::already_signed_in());
        }
        let username = sign_in.username.clone();
        let config = self.config_for(tracker)?;
        let service =
            PeerService::start(config).await.map_err(|error| CommandError::Local(error.to_string()))?;
        if let Err(error) = service.sign_in(sign_in).await {
            let error = match (error, service.tracker_failed()) {
                (CommandError::TrackerLost, reason) => {
                    CommandError::NoTracker { address: service.tracker_address().to_owned(), reason }
                }
                (error, _) => error,
            };
            service.stop().await;
            return Err(error);
        }
        // The password was given just now.
        service.unlock_history().await;
        if !self.fill(&service) {
            service.stop().await;
            return Err(CommandError::already_signed_in());
        }
        self.remember(service.tracker_address());
        Ok(Answer::LoggedIn { username })
    }

    /// Returns the settings for a service at this tracker.
    fn config_for(&self, TrackerChoice { address, key }: TrackerChoice) -> Result<PeerConfig, CommandError> {
        let mut config = self.config.clone();
        let usual = &mut config.tracker;
        let address = match address {
            Some(address) => host_and_port(&address).map_err(not_an_address)?,
            None => usual.address.clone(),
        };
        // A key that was given with the usual address stays.
        if key.is_some() || address != usual.address {
            *usual = TrackerAddress { address, key };
        }
        Ok(config)
    }

    /// Keeps the tracker's address for the next start of the program.
    fn remember(&self, address: &str) {
        if self.config.tracker.address != address
            && let Err(error) = UsualTracker::of(&self.config.data).remember(address)
        {
            tracing::warn!(%error, "the tracker's address could not be written down");
        }
    }
}

fn not_an_address(why: &'static str) -> CommandError {
    CommandError::usage(&format!("this is no tracker's address: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::testing::config;

    #[tokio::test]
    async fn second_service_does_not_replace_the_first_one() {
        let data = tempfile::tempdir().unwrap();
        let slot = ServiceSlot::new(config(data.path()));
        let first = PeerService::start(config(data.path())).await.unwrap();
        let second = PeerService::start(config(data.path())).await.unwrap();
        assert!(slot.fill(&first));
        assert!(!slot.fill(&second), "its caller must stop it");
        assert!(Arc::ptr_eq(&slot.current().unwrap(), &first));
    }
}
