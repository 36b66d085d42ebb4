//! What the tracker and the peers share.
//!
//! - [`names`], [`keys`], [`endorsement`], [`user`], [`peer`], [`room`], [`snapshot`]: the domain, plain values and pure rules.
//! - [`protocol`]: what is said, named by who speaks.
//! - [`net`]: how bytes move; it knows nothing of the protocol, nor the protocol of it.
//! - [`limits`]: every bound that both sides keep, with its reason.
//! - [`process_memory`]: keeps other programs out of the memory of ours.
//! - [`log_target`]: which log events are of our own crates.

pub mod endorsement;
pub mod keys;
pub mod limits;
pub mod log_target;
pub mod names;
pub mod net;
pub mod peer;
pub mod process_memory;
pub mod protocol;
pub mod room;
pub mod snapshot;
pub mod user;
