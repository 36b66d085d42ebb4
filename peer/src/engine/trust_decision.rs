//! A decision of the user to trust, to accept or to block another user, while it is being written to the disk.

use std::collections::BTreeSet;

use commons::names::Username;

use crate::identity::known_keys::KeyBackup;

/// A decision that is being written to the disk.
pub(in crate::engine) enum TrustDecision {
    /// The announced keys of a user are accepted. The copy of the keys undoes it.
    Accept(Username, KeyBackup),
    /// The safety number of a user's key was compared. The copy of the keys undoes it.
    Verify(Username, KeyBackup),
    /// These users are blocked from now on.
    Block(BTreeSet<Username>),
    /// The private chat for which this user asks is accepted.
    AcceptChat(Username),
}
