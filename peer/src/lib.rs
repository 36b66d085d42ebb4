//! A peer of the chat: it signs in at the tracker, then talks to the others over direct links.
//!
//! - [`api`]: what a face may ask and is told.
//! - [`service`]: carries it out; [`events`]: tells it.
//! - `chat`: what the peer knows, pure.
//! - `tracker_communication`, `peer_communication`: the two kinds of connections.
//! - `home`: the user's folder on this computer.

pub mod api;
mod chat;
pub mod events;
pub mod home;
pub mod limits;
mod peer_communication;
pub mod service;
mod tracker_communication;
