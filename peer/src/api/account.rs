//! Commands about the user's own account.
//!
//! They are a part of [`Command`](crate::api::Command), with the same flat JSON names.

use std::fmt;

use commons::names::Username;
use commons::protocol::with_tracker::RoomsFate;
use serde::{Deserialize, Serialize};

use crate::identity::password::Password;

/// A command about the user's own account.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum AccountCommand {
    /// List the device keys of the account.
    Keys,
    /// Endorse a further key with this device's key, so that contacts accept it without a warning.
    Endorse {
        /// The first digits of the key.
        key: String,
    },
    /// Revoke one of the keys, for instance that of a lost device.
    Revoke {
        /// The first digits of the key.
        key: String,
    },
    /// Change the password, on this device and at the tracker.
    #[serde(rename = "password")]
    ChangePassword {
        /// The present password.
        old: Password,
        /// The new password.
        new: Password,
    },
    /// Export the account as the content of a file, sealed under its password: another device can import it.
    ExportIdentity {
        /// The account's password, which is checked.
        password: Password,
    },
    /// Delete the account with all its data on this device; the peer ends too.
    #[serde(rename = "delete_account")]
    Delete {
        /// The user's name, typed again; a different name is refused.
        #[serde(skip)]
        name: Option<Username>,
        /// The account's password, which is checked.
        password: Option<Password>,
        /// The fate of the user's own rooms: they go to the member who is there longest, or are deleted.
        #[serde(default, skip_serializing_if = "RoomsFate::is_default")]
        rooms: RoomsFate,
    },
}

/// Passwords stay out of logs, so this form shows no field.
impl fmt::Debug for AccountCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccountCommand(..)")
    }
}
