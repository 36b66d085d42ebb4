//! The user who has signed in.

use commons::keys::Seed;
use commons::names::Username;

use crate::history::History;
use crate::identity::profile::Profile;
use crate::peer_communication::links::PeerPeerCommunication;
use crate::service::muted::Muted;

/// The data and the connections of the user who has signed in.
#[derive(Debug)]
pub(crate) struct CurrentUser {
    pub(crate) user: Username,
    /// The private key of this device.
    pub(crate) seed: Seed,
    pub(crate) profile: Profile,
    pub(crate) history: History,
    pub(crate) links: PeerPeerCommunication,
    pub(crate) muted: Muted,
}
