//! The questions of the links about the keys of a user. The engine answers them.

use std::net::SocketAddr;

use commons::keys::PublicKey;

use crate::identity::known_keys::Announcement;

/// A question about the keys of a user, or news of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeyQuestion {
    /// Somebody has proven this key under the user's name. Is it the user's?
    Proven(PublicKey),
    /// Had the user never a key, and may therefore be contacted in plaintext?
    IsKeyless,
    /// Has the user keys, and is therefore never contacted in plaintext?
    HasKeys,
    /// The tracker announced the user's keys.
    Announced(Announcement),
    /// The user must be warned of this key, which somebody has proven.
    Refused(PublicKey),
    /// The user, whose key is pinned, accepts links at this address.
    AcceptsAt(SocketAddr),
}

/// The answer to a [`KeyQuestion`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyAnswer {
    /// Yes, or noted.
    Yes,
    /// No. After `Proven`, other keys are pinned or announced.
    No,
    /// No key of the user is known.
    Unknown,
    /// No, as far as it is known. The tracker may know better by now and should be asked before the next question.
    AskTracker,
    /// As `AskTracker`. If the answer stays the same, the user must be warned of the key, once.
    Warn,
}
