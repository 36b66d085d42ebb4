//! The number of a login: what an old session does late must not hit a newer one of the same user.

/// Later logins have higher numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ConnectionId(pub(crate) u64);
