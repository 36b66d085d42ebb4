//! The user's decisions about other users' keys: `/accept`, `/verify`, `/verified`, and about blocked users.
//!
//! A decision that cannot be stored on the disk does not take effect.

use commons::keys::Seed;
use commons::names::Username;
use tokio::time::sleep;

use crate::api::error::CommandError;
use crate::api::{Answer, Event};
use crate::delivery::inbound::link_trust;
use crate::delivery::sync_event::SyncEvent;
use crate::hub::Hub;
use crate::identity::contacts::Contacts;
use crate::identity::known_keys::{KnownKeys, Standing};
use crate::identity::safety_number::safety_number;
use crate::limits::OWN_KEYS_PAUSE;
use crate::peer_communication::key_check::KeyLookup;
use crate::service::PeerService;
use crate::tracker_communication::PeerTrackerCommunication;

impl Hub {
    /// Blocks or unblocks a user's private messages.
    pub(crate) fn block(&self, user: &Username, shut_out: bool) -> Result<(), CommandError> {
        let mut state = self.lock();
        if state.chat.me() == Some(user) {
            return Err(CommandError::NotYourself);
        }
        let Some(people) = self.people.get() else { return Err(CommandError::TrackerLost) };
        let mut blocked = state.chat.blocked().clone();
        if shut_out {
            blocked.insert(user.clone());
        } else {
            blocked.remove(user);
        }
        people.keep_blocked(&blocked)?;
        state.chat.set_blocked(blocked);
        Ok(())
    }

    /// Accepts the keys that the tracker announces for a user.
    pub(crate) fn accept_keys(&self, user: &Username) -> Result<(), CommandError> {
        let before = self.links.get().map(|links| links.known_keys().with(|book| book.standing(user)));
        let Some(links) = self.links.get().filter(|links| links.known_keys().with(|book| book.accept(user)))
        else {
            return Err(CommandError::Usage(format!(
                "the tracker announces no new key of {user}: nothing to accept"
            )));
        };
        self.keep_or_restore(user, before)?;
        self.lock().event_bus.publish([Event::KeyAccepted { peer: user.clone(), endorsed: false }]);
        links.dial_now(user);
        self.apply_key_hold(user);
        Ok(())
    }

    /// Stores the known keys; if that fails, the change for this user is undone.
    fn keep_or_restore(&self, user: &Username, before: Option<Standing>) -> Result<(), CommandError> {
        let kept = self.keep_pins();
        if let (Err(_), Some(links), Some(before)) = (&kept, self.links.get(), before) {
            links.known_keys().with(|book| book.restore(user, before));
        }
        Ok(kept?)
    }

    /// Records that the safety number of the displayed key was compared. Keys that were not compared are no longer
    /// pinned.
    pub(crate) fn verify_keys(&self, user: &Username) -> Result<(), CommandError> {
        let links = self.links.get();
        if links.is_some_and(|links| links.known_keys().with(|book| book.is_changed(user))) {
            return Err(CommandError::KeyChanged(user.clone()));
        }
        let before = links.map(|links| links.known_keys().with(|book| book.standing(user)));
        let key = links
            .and_then(|links| links.known_keys().with(|book| book.shown(user)).or_else(|| links.key(user)));
        let verified =
            links.zip(key).is_some_and(|(links, key)| links.known_keys().with(|book| book.verify(user, key)));
        if !verified {
            return Err(CommandError::Usage(format!("talk to {user} first, then compare: /verify {user}")));
        }
        self.keep_or_restore(user, before)?;
        if let Some(links) = links {
            let pinned = links.known_keys().with(|known| known.pins().get(user).map(|pin| pin.keys.clone()));
            links.end_links_by_others(user, &pinned.unwrap_or_default());
            if links.link_state(user).is_some() {
                // The event for the end of this link must report its trust.
                self.lock().chat.link_is(user, true, link_trust(links, user));
            }
        }
        Ok(())
    }

    /// Returns the safety number to compare with a user.
    pub(crate) fn safety_number(&self, user: Username) -> Result<Answer, CommandError> {
        let (Some(links), Some(me)) = (self.links.get(), self.lock().chat.me().cloned()) else {
            return Err(CommandError::TrackerLost);
        };
        let Some(key) = links.key(&user) else {
            return Err(CommandError::Usage(format!(
                "there is no key of {user} to compare: talk to {user} first; original programs have none"
            )));
        };
        let (verified, changed) = links.known_keys().with(|book| {
            book.note_shown(&user, key);
            (book.is_verified(&user, &key), book.is_changed(&user))
        });
        let number = safety_number((&me, links.own_key()), (&user, key));
        Ok(Answer::SafetyNumber { user, number, verified, changed })
    }
}

impl Hub {
    /// In a run that began without the tracker, learns the keys that authenticate own messages of other devices.
    /// Messages that were refused before are requested again. Waits for the tracker if the session closes in the
    /// meantime.
    pub(crate) async fn learn_own_keys(&self, tracker: &PeerTrackerCommunication, me: &Username) {
        let Some(links) = self.links.get() else { return };
        let said = loop {
            match tracker.keys_of(me).await {
                Some(said) => break said,
                None => sleep(OWN_KEYS_PAUSE).await,
            }
        };
        if links.known_keys().with(|book| book.announce_own(me, links.own_key(), &said)) {
            self.note_pins();
            self.send_sync_event(SyncEvent::OwnKeys);
        }
    }
}

impl PeerService {
    /// Returns the lookup by which the links learn an unknown user's keys.
    pub(crate) fn who_is(&self) -> KeyLookup {
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
        let event = new.map(|bound| Event::NewKey { fingerprint: bound.key });
        self.hub.lock().event_bus.publish(event);
    }

    /// Learns the keys that authenticate own messages of other devices. The snapshots of rooms do not contain a user's
    /// own endorsements.
    pub(crate) async fn learn_own_keys(
        &self,
        is_reached: bool,
        (me, seed): (&Username, &Seed),
        people: &Contacts,
        book: &mut KnownKeys,
    ) -> Result<(), CommandError> {
        if !is_reached {
            return Ok(());
        }
        let Some(said) = self.tracker.keys_of(me).await else { return Ok(()) };
        if book.announce_own(me, seed.public_key(), &said) {
            people.keep_pins(|| book.pins().clone())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use commons::keys::PublicKey;
    use commons::net::plaintext::Plaintext;
    use commons::net::tls::{Identity, Purpose};

    use super::*;
    use crate::identity::known_keys::{Announcement, KeyStatus};
    use crate::peer_communication::known_keys_handle::KnownKeysHandle;
    use crate::peer_communication::links::{LinkConfig, PeerPeerCommunication};

    fn bob() -> Username {
        Username::parse("bob").unwrap()
    }

    /// A hub that knows one key of bob and stores its known keys in this folder.
    fn hub_in(folder: &Path) -> Hub {
        let (seed, key) = (Seed::new([1; 32]), PublicKey::new([2; 32]));
        let mut book = KnownKeys::default();
        book.announce(&bob(), &Announcement { keys: vec![key], endorsements: Vec::new() });
        assert_eq!(book.judge(&bob(), key), KeyStatus::Known { first: true });
        let identity = Identity::new(&seed, Purpose::Link).unwrap();
        let me = Username::parse("ana").unwrap();
        let config = LinkConfig { me, instance: 1, port: 0, identity, plaintext: Plaintext::default() };
        let lookup: KeyLookup = Box::new(|_| Box::pin(async { None }));
        let (links, _) = PeerPeerCommunication::new(config, KnownKeysHandle::new(book), lookup);
        let hub = Hub::default();
        hub.links.set(links).unwrap();
        assert!(hub.people.set(Contacts::of(folder, &seed)).is_ok());
        hub
    }

    #[test]
    fn what_cannot_be_written_is_not_changed() {
        let data = tempfile::tempdir().unwrap();
        let folder = data.path().join("not there");
        let hub = hub_in(&folder);
        let links = hub.links.get().unwrap();
        let announce = || {
            let keys = vec![PublicKey::new([3; 32])];
            links
                .known_keys()
                .with(|book| book.announce(&bob(), &Announcement { keys, endorsements: Vec::new() }));
        };
        let is_changed = || links.known_keys().with(|book| book.is_changed(&bob()));
        let is_verified =
            || links.known_keys().with(|book| book.is_verified(&bob(), &PublicKey::new([2; 32])));
        let is_blocked = || hub.lock().chat.blocked().contains(&bob());
        assert!(hub.verify_keys(&bob()).is_err() && !is_verified());
        assert!(hub.block(&bob(), true).is_err() && !is_blocked());
        std::fs::create_dir(&folder).unwrap();
        hub.verify_keys(&bob()).unwrap();
        hub.block(&bob(), true).unwrap();
        assert!(is_verified() && is_blocked(), "the control");
        announce();
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(hub.accept_keys(&bob()).is_err() && is_changed());
        assert!(hub.block(&bob(), false).is_err() && is_blocked());
        std::fs::create_dir(&folder).unwrap();
        hub.accept_keys(&bob()).unwrap();
        assert!(!is_changed(), "the control");
    }
}
