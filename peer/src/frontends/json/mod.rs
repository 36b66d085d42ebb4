//! The frontend for a program: JSON events on standard output, and JSON commands on standard input.

mod command_names;
pub(crate) mod conversation;
pub mod events;
mod qr_code;
pub(crate) mod replies;
mod requests;
pub mod signed_out;
