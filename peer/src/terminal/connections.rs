//! How changes of links and of the session with the tracker look, and whose links others can read.

use std::collections::BTreeSet;

use commons::names::Username;

use crate::api::tracker_loss::TrackerLoss;
use crate::api::{LinkState, TrackerState};
use crate::terminal::security_warnings;
use crate::terminal::style::Style;
use crate::terminal::tracker_news;

/// What was shown of connections, as far as later rows depend on it.
#[derive(Default)]
pub(crate) struct Connections {
    unencrypted: BTreeSet<Username>,
    tracker_lost: bool,
}

impl Connections {
    /// A link came up or went down; one that others can read is told.
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

    /// Whether others can read the link to this user.
    pub(crate) fn is_unencrypted(&self, peer: &Username) -> bool {
        self.unencrypted.contains(peer)
    }

    /// The tracker can be asked, or no longer; told where that is another state than before.
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
        vec![paint.system(&tracker_news::row(state, reason))]
    }
}
