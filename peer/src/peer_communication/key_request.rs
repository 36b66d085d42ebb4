//! A request of a link's key check to the engine, which owns the known keys, and the reply.

use std::net::SocketAddr;

use commons::keys::PublicKey;

use crate::identity::known_keys::Announcement;

/// A request about the keys of one user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeyRequest {
    /// Checks a key that was proven under the user's name.
    Check(PublicKey),
    /// Asks whether the user never had a key, and may therefore be contacted in plaintext.
    IsKeyless,
    /// Asks whether the user has keys, and is therefore never contacted in plaintext.
    HasKeys,
    /// Applies the keys that the tracker announced for the user.
    Announce(Announcement),
    /// Warns this device's user of this key, which was proven under the other user's name.
    Warn(PublicKey),
    /// Stores the address at which the user, whose key is pinned, accepts links.
    NoteAddress(SocketAddr),
}

/// The reply to a [`KeyRequest`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyReply {
    /// Yes, or done.
    Yes,
    /// No. After `Check`: other keys are pinned or announced.
    No,
    /// No key of the user is known.
    Unknown,
    /// No, by the keys known here. The tracker may announce others by now, so look the user up and request again.
    LookUp,
    /// As `LookUp`. If the reply stays the same, the user must be warned of the key, once.
    LookUpAndWarn,
}
