//! The frontend for a browser: a page on this computer.
//!
//! `page/` holds the files of the page. A tab is one more user of the JSON commands and events, without rules of its own.

mod access;
mod assets;
pub mod browser;
pub mod server;
mod tab;
pub mod tab_events;
mod token;
mod unauthenticated;
