//! The tracker: knows users, rooms and who is online, never a word that is said.
//!
//! - [`config`], [`server`]: what a program needs that runs a tracker.
//! - `session`, `liveness`: the life of a connection; the sweep that asks for signs of life.
//! - `service`: a request goes in, a handler decides, the answer and the pushes go out.
//! - `handlers`: what each request means; they decide and never send.
//! - `repositories`: what the tracker remembers, and how that survives a crash.
//! - [`folder_check`]: whether a tracker can start on a folder, and how changes made by hand are taken.
//! - [`recovery`]: what a start makes of a folder's files.
//! - `rates`: how fast a session may ask.
//! - `client`, `outbox`: what is known of a connection; what waits to be said to it.
//! - `active_connections`, `connection_id`: who is signed in on which connection; which login is meant.
//! - `admission`: which connections are let in.
//! - `passwords`, `password_queue`: the hashing on two threads; which hash is computed next.
//! - [`password_reset`]: the operator's way to give a user another password.
//! - `guessing`: how soon the next password for an account is judged.
//! - `network`, `pace`, `recent`: where a connection comes from, how often something may happen, how much is remembered.
//! - `limits`: every bound with its reason.

mod active_connections;
mod admission;
mod client;
pub mod config;
mod connection_id;
pub mod folder_check;
mod handlers;
mod legacy_texts;
mod legacy_views;
mod limits;
mod liveness;
mod login_throttle;
mod password_queue;
pub mod password_reset;
mod passwords;
mod push;
mod rate_limit;
mod recent;
pub mod recovery;
mod repositories;
mod request_limiter;
mod send_queue;
pub mod server;
mod service;
mod session;
mod subnet;
