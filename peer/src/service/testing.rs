//! The settings of a service for tests: its tracker cannot be reached.

use std::path::Path;

use commons::net::plaintext::Plaintext;

use crate::identity::seal::SealCost;
use crate::service::{Keep, PeerConfig};

/// Returns settings with this folder for the data of the users.
pub(crate) fn config(data: &Path) -> PeerConfig {
    PeerConfig {
        tracker: "127.0.0.1:1".parse().unwrap(),
        listen: Some("127.0.0.1:0".parse().unwrap()),
        data: data.to_owned(),
        plaintext: Plaintext::Never,
        seal_cost: SealCost::default(),
        keep: Keep::InMemory,
    }
}
