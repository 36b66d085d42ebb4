//! Reasons why the data of a user on this device cannot be used.

use commons::keys::PublicKey;

use crate::identity::contacts::ContactsError;
use crate::identity::profile::ProfileError;
use crate::identity::seal::SealError;

/// The reason why a user's key or contacts on this device cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The seal of the private key does not open.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The folder of the user cannot be used.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// The contacts cannot be used.
    #[error(transparent)]
    Contacts(#[from] ContactsError),
    /// An imported identity names another key of the tracker than the one that is pinned here.
    #[error("the tracker at {address} has the key {pinned} here and {found} in the file")]
    TrackerKeyChanged {
        /// The tracker's address.
        address: String,
        /// The key that is pinned on this device.
        pinned: PublicKey,
        /// The key in the file.
        found: PublicKey,
    },
    /// Another operation on this device failed; the text says why.
    #[error("{0}")]
    Local(String),
}
