//! The parts of an error from which a frontend builds the next question to the user.
//!
//! The code and the text of an error are for all of them. A page has no command line to start again with, so it needs
//! the keys and the folder as data.

use std::path::PathBuf;

use commons::keys::PublicKey;
use serde::{Deserialize, Serialize};

/// The details of an error. All are absent in most errors.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorDetails {
    /// The reason why a sign-in was refused, if its code has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<SignInRefusal>,
    /// The folder with the key that the password does not open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
    /// The key that the tracker should have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_key: Option<PublicKey>,
    /// The key that the tracker has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found_key: Option<PublicKey>,
}

/// The reason why a sign-in was refused with INVALID_CREDENTIALS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SignInRefusal {
    /// The password does not open the user's key on this device.
    LocalPassword,
    /// A registration found a key on this device that the password does not open.
    KeyExists,
    /// The password opens the key on this device, but the tracker accepts neither.
    AccountUnknown,
    /// As [`Self::AccountUnknown`], but the tracker has an account of that name.
    PasswordChanged,
    /// The password opens the key on this device, the tracker refuses that key, and it got no proof of the password.
    KeyRefused,
}
