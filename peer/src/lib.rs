//! A peer of the chat: it signs in at the tracker, then talks to the others over direct links.
//!
//! - [`api`]: what a face may ask and is told.
//! - [`service`]: carries it out; [`events`]: tells it.
//! - [`terminal`]: the faces for people and programs; [`config`]: the command line.
//! - `hub`: where everything meets; `chat`: what the peer knows, pure.
//! - `tracker_communication`, `peer_communication`: the two kinds of connections.
//! - `account`: the user's own account at the tracker.
//! - [`identity_file`]: the account on its way to another computer.
//! - `home`: the user's folder on this computer, `user_key` and `seal` the key in it, [`password`] what opens it,
//!   `known_trackers` the file beside it.
//! - [`untrusted`]: text that others chose, which cannot be printed by accident.
//! - [`history`]: what was said, kept on this computer, and what of it waits for whom.
//! - `key_book`: whose key is whose; `safety_number`: how two people make sure.

mod account;
pub mod api;
mod catch_up;
mod chat;
pub mod config;
pub mod events;
mod exchange;
mod feeds;
mod gate;
mod heard;
mod hearing;
pub mod history;
pub mod home;
mod hub;
pub mod identity_file;
mod keeping;
mod key_book;
mod known_names;
mod known_trackers;
pub mod limits;
mod looking_back;
pub mod password;
mod peer_communication;
mod private_file;
mod safety_number;
pub mod seal;
pub mod service;
#[cfg(test)]
mod simulation;
pub mod terminal;
mod tracker_communication;
pub mod untrusted;
pub mod user_key;
