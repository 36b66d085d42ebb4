//! A peer of the chat.
//!
//! - [`api`]: what a face may ask and is told.

pub mod api;
