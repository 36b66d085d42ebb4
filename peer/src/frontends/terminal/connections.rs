//! The rows about links and the session with the tracker.
//!
//! They also keep track of the users whose links are not encrypted.

use std::collections::BTreeSet;

use commons::names::Username;

use crate::api::snapshot::{Snapshot, UserState};
use crate::api::status::LinkState;
use crate::api::status::TrackerState;
use crate::api::tracker_loss::TrackerLoss;
use crate::frontends::terminal::security_warnings;
use crate::frontends::terminal::style::Style;
use crate::frontends::terminal::tracker_rows;

/// The state of connections that was shown, as far as later rows depend on it.
#[derive(Default)]
pub(crate) struct Connections {
    unencrypted: BTreeSet<Username>,
    tracker_lost: bool,
}

impl Connections {
    /// Replaces the state by that of a snapshot.
    pub(crate) fn resync(&mut self, snapshot: &Snapshot) {
        let plain = |user: &&UserState| user.link.is_some_and(|link| !link.encrypted);
        self.unencrypted = snapshot.users.iter().filter(plain).map(|user| user.username.clone()).collect();
        self.tracker_lost = snapshot.tracker == TrackerState::Lost;
    }

    /// Handles a link that opened or closed; warns about one that is not encrypted.
    pub(crate) fn link(
        &mut self,
        paint: Style,
        peer: &Username,
        state: LinkState,
        encrypted: bool,
    ) -> Vec<String> {
        if encrypted || state == LinkState::Down {
            self.unencrypted.remove(peer);
            return Vec::new();
        }
        self.unencrypted.insert(peer.clone());
        security_warnings::not_encrypted(paint, peer)
    }

    /// Returns true if the link to this user is not encrypted.
    pub(crate) fn is_unencrypted(&self, peer: &Username) -> bool {
        self.unencrypted.contains(peer)
    }

    /// Handles a change of the session with the tracker; shows it if the state is a new one.
    pub(crate) fn tracker(
        &mut self,
        paint: Style,
        state: TrackerState,
        reason: Option<TrackerLoss>,
    ) -> Vec<String> {
        let lost = state == TrackerState::Lost;
        if std::mem::replace(&mut self.tracker_lost, lost) == lost {
            return Vec::new();
        }
        vec![paint.system(&tracker_rows::row(state, reason))]
    }
}
