//! A peer of the chat. It signs in at the tracker and then talks to other peers over direct links.
//!
//! - [`api`]: the commands that a frontend gives, and the answers and events that it gets.
//! - [`service`]: carries out commands. [`event_bus`]: publishes events.
//! - [`frontends`]: the frontends for people and for programs. [`config`]: the command line.
//! - `engine`: every rule of the chat, without I/O. One task of the service drives it.
//! - `tracker_communication`, `peer_communication`: the session with the tracker, and the links to peers.
//! - [`history`]: the encrypted message store with the outbox.
//! - [`identity`]: the device key, sealed under the password, and the known keys of others.
//! - [`usual_tracker`]: the address of the tracker that a person typed.
//! - [`log_file`]: the log and its filter. [`limits`]: every bound, with its reason.
//! - [`untrusted`]: text of others, which cannot be printed by accident.

pub mod api;
pub mod config;
mod engine;
pub mod event_bus;
pub mod frontends;
pub mod history;
pub mod identity;
pub mod limits;
pub mod log_file;
mod peer_communication;
pub mod program;
pub mod service;
#[cfg(test)]
mod simulation;
mod tracker_communication;
pub mod untrusted;
pub mod usual_tracker;
