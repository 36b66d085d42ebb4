//! What each request means: handlers decide and change the repositories; somebody else sends.

pub(crate) mod account;
pub(crate) mod authenticator;
pub(crate) mod outcome;
pub(crate) mod page;
pub(crate) mod peer;
pub(crate) mod room;
pub(crate) mod user;
