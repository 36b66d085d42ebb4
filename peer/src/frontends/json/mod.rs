//! The frontend for a program: JSON events on standard output, and JSON commands on standard input.

pub(crate) mod conversation;
pub mod events;
mod names;
pub(crate) mod replies;
mod requests;
pub mod signed_out;
