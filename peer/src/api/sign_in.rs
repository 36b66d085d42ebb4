//! A sign-in: the account and its credentials.

use commons::names::Username;
use serde::{Deserialize, Serialize};

use crate::identity::password::Password;

/// The account that signs in, and its credentials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignIn {
    /// The name of the account.
    pub username: Username,
    /// The password that opens the device key and binds it at the tracker.
    pub password: Password,
    /// Whether the account is to be registered first.
    #[serde(default)]
    pub register: bool,
    /// The tracker's current password, if it was changed elsewhere. The other password still opens the key on this
    /// computer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_to: Option<Password>,
}
