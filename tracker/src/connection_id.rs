//! The id of a login.
//! It prevents a late action of an old session from affecting a newer session of the same user.

/// The id of a login, unique during one run of the tracker. A later login has a higher id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ConnectionId(pub(crate) u64);
