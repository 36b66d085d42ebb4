//! The tracker: knows users, rooms and who is online, never a word that is said.
//!
//! - [`config`], [`server`]: what a program needs that runs a tracker.
//! - `session`, `liveness`: the life of a connection; the sweep that asks for signs of life.
//! - `service`: a request goes in, a handler decides, the answer and the pushes go out.
//! - `handlers`: what each request means; they decide and never send.
//! - `repositories`: what the tracker remembers, and how that survives a crash.
//! - `active_connections`, `outbox`, `connection_id`, `passwords`: who is signed in where; what waits to be said;
//!   which login is meant; who may come in.

mod active_connections;
pub mod config;
mod connection_id;
mod handlers;
mod limits;
mod liveness;
mod outbox;
mod passwords;
mod repositories;
pub mod server;
mod service;
mod session;
