//! The protocol variant that the program at the other end of a link speaks.

use commons::protocol::between_peers::Greeting;

/// Protocol variant of the program at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// A peer of this project: it keeps a history and syncs.
    Full,
    /// A program that knows the wire protocol but keeps no history. It gets single messages and acknowledges each.
    Basic,
    /// A legacy client. Each write holds one frame of bounded length, and nothing is acknowledged.
    Legacy,
}

impl Dialect {
    /// The dialect of a peer on an encrypted link, by its greeting.
    pub(crate) fn of(greeting: &Greeting<'_>) -> Self {
        if greeting.catch_up { Self::Full } else { Self::Basic }
    }
}
