//! The keys of the user's own account: those of other devices, which authenticate own messages.

use crate::api::administration::AdminEvent;
use commons::keys::Seed;
use commons::names::Username;
use tokio::time::sleep;

use crate::api::Event;
use crate::api::error::CommandError;
use crate::identity::contacts::Contacts;
use crate::identity::known_keys::KnownKeys;
use crate::limits::OWN_KEYS_PAUSE;
use crate::peer_communication::key_check::KeyLookup;
use crate::service::PeerService;
use crate::service::driver_request::DriverRequest;
use crate::service::engine_handle::EngineHandle;
use crate::tracker_communication::PeerTrackerCommunication;

/// In a run that began without the tracker, fetches the keys that authenticate own messages of other devices. Messages
/// that were refused before are requested again. Waits for the tracker if the session closes in the meantime.
pub(crate) async fn learn_own_keys(engine: &EngineHandle, tracker: &PeerTrackerCommunication, me: &Username) {
    let announced = loop {
        match tracker.keys_of(me).await {
            Some(announced) => break announced,
            None => sleep(OWN_KEYS_PAUSE).await,
        }
    };
    engine.request(DriverRequest::OwnKeys(announced)).await;
}

impl PeerService {
    /// Returns the lookup by which the key check gets the keys of an unknown user.
    pub(crate) fn key_lookup(&self) -> KeyLookup {
        let tracker = self.tracker.clone();
        Box::new(move |user| {
            let tracker = tracker.clone();
            Box::pin(async move { tracker.keys_of(&user).await })
        })
    }

    /// Publishes an event if the account has other keys besides the one bound just now: the user must decide to endorse
    /// it.
    pub(crate) async fn publish_new_key(&self) {
        let keys = self.tracker.list_keys().await.unwrap_or_default();
        let new = keys.iter().find(|bound| bound.current).filter(|_| keys.len() > 1);
        if let Some(fingerprint) = new.map(|bound| bound.key) {
            // A user signs in once in the life of this value.
            let _ = self.new_key.set(fingerprint);
            self.engine.publish([Event::NewKey { fingerprint }]).await;
        }
    }

    /// Returns the event `new_key` of this sign-in, for a frontend that could not subscribe before it.
    #[must_use]
    pub fn new_key(&self) -> Option<Event> {
        self.new_key.get().map(|fingerprint| Event::NewKey { fingerprint: *fingerprint })
    }

    /// Returns the message of the day of this sign-in, for a frontend that could not subscribe before it.
    #[must_use]
    pub fn motd(&self) -> Option<Event> {
        self.tracker
            .motd()
            .map(|text| Event::Admin(AdminEvent::Announcement { from: None, text: text.into() }))
    }

    /// Returns true if the tracker says that this user acts as an admin.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        self.tracker.is_admin()
    }

    /// Fetches the keys that authenticate own messages of other devices. The snapshots of rooms do not contain a user's
    /// own endorsements.
    pub(crate) async fn learn_own_keys(
        &self,
        is_reached: bool,
        (me, seed): (&Username, &Seed),
        contacts: &Contacts,
        known_keys: &mut KnownKeys,
    ) -> Result<(), CommandError> {
        if !is_reached {
            return Ok(());
        }
        let Some(announced) = self.tracker.keys_of(me).await else { return Ok(()) };
        if known_keys.announce_own(me, seed.public_key(), &announced) {
            contacts.store_pins(|| known_keys.pins().clone())?;
        }
        Ok(())
    }
}
