//! The settings of a service for tests: its tracker cannot be reached.

use std::num::NonZeroU32;
use std::path::Path;

use commons::net::plaintext::Plaintext;

use crate::identity::seal::SealCost;
use crate::limits::MEMBER_RATE;
use crate::service::{Keep, PeerConfig};

/// Returns settings with this folder for the data of the users.
pub(crate) fn config(data: &Path) -> PeerConfig {
    PeerConfig {
        tracker: "127.0.0.1:1".parse().unwrap(),
        listen: Some("127.0.0.1:0".parse().unwrap()),
        data: data.to_owned(),
        plaintext: Plaintext::Never,
        member_rate: NonZeroU32::new(MEMBER_RATE),
        limit_loopback: false,
        seal_cost: SealCost::default(),
        keep: Keep::InMemory,
    }
}
