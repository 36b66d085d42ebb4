//! What is said on the wire, named by who speaks. How the bytes move is not known here.

pub mod between_peers;
pub mod provenance;
pub mod with_tracker;
