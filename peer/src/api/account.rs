//! The commands about the user's own account.

use std::fmt;

use commons::names::Username;
use serde::{Deserialize, Serialize};

use crate::identity::password::Password;

/// A command about the user's own account.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum AccountCommand {
    /// List its keys.
    Keys,
    /// Vouch for a further key by this computer's, so that friends take it without a warning.
    Endorse {
        /// Its first digits.
        key: String,
    },
    /// Take one of the keys away: of a computer that is lost.
    Revoke {
        /// Its first digits.
        key: String,
    },
    /// Change the password, here and at the tracker.
    #[serde(rename = "password")]
    ChangePassword {
        /// The present one.
        old: Password,
        /// The new one.
        new: Password,
    },
    /// Delete it and leave nothing of it on this computer; the peer ends too.
    #[serde(rename = "delete_account")]
    Delete {
        /// The user's name, typed again; another one is refused.
        #[serde(skip)]
        name: Option<Username>,
        /// The password, which decides.
        password: Option<Password>,
    },
}

/// Passwords stay out of logs.
impl fmt::Debug for AccountCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccountCommand(..)")
    }
}
