//! A peer of the chat: it signs in at the tracker, then talks to the others over direct links.
//!
//! - [`api`]: what a face may ask and is told.
//! - [`service`]: carries it out; [`events`]: tells it.
//! - [`terminal`]: the faces for people and programs; [`config`]: the command line.
//! - `hub`: where everything meets; `chat`: what the peer knows, pure.
//! - `tracker_communication`, `peer_communication`: the two kinds of connections.
//! - [`identity`]: this user's key, sealed under the password; whose key is whose. [`profile`]: the folder that keeps it.
//! - [`history`]: what was said, kept on this computer, and what of it waits for whom.
//! - `delivery`: lines on their way between links, history and faces.
//! - [`log_file`]: what is logged, and where.
//! - [`usual_tracker`]: the tracker's address that a person typed, for the next start.
//! - [`untrusted`]: text that others chose, which cannot be printed by accident.

pub mod api;
mod chat;
pub mod config;
mod delivery;
pub mod event_bus;
pub mod history;
mod history_lock;
mod hub;
pub mod identity;
pub mod limits;
pub mod log_file;
mod nearest;
mod peer_communication;
pub mod profile;
pub mod service;
#[cfg(test)]
mod simulation;
pub mod terminal;
mod tracker_communication;
pub mod untrusted;
pub mod usual_tracker;
