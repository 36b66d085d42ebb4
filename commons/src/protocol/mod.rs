//! The wire protocol: one module for each pair of programs.
//! It does not depend on the network layer.

pub mod administration;
pub mod between_peers;
pub mod listed_peer;
pub mod page;
pub mod provenance;
pub mod with_tracker;
