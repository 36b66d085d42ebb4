//! The request handlers.
//! Each handler decides a request and changes the repositories. The service sends the replies and the notices.

pub(crate) mod account;
pub(crate) mod admin;
pub(crate) mod authenticator;
pub(crate) mod outcome;
pub(crate) mod page;
pub(crate) mod peer;
pub(crate) mod room;
pub(crate) mod room_log;
pub(crate) mod user;
