//! The settings of links for tests.

use std::sync::Arc;

use commons::keys::Seed;
use commons::names::Username;
use commons::net::plaintext::Plaintext;
use commons::net::tls::{Identity, Purpose};

use crate::peer_communication::links::LinkConfig;
use crate::tracker_communication::tracker_endpoint::TrackerEndpoint;

/// The settings of ana, whose tracker is on this computer and who limits nobody.
pub(crate) fn link_config() -> LinkConfig {
    LinkConfig {
        me: Username::parse("ana").unwrap(),
        instance: 1,
        port: 1024,
        identity: Identity::new(&Seed::new([1; 32]), Purpose::Link).unwrap(),
        plaintext: Plaintext::default(),
        member_rate: None,
        limit_loopback: false,
        tracker: Arc::new(TrackerEndpoint::new("127.0.0.1:6060".to_owned(), None, false)),
    }
}
