//! A sign-in: the account, its credentials, and the commands that lead to it.

use std::fmt;

use commons::keys::PublicKey;
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
    /// The registration code, for a registration at a tracker that demands one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Password>,
    /// The steps to which the user has consented.
    #[serde(default)]
    pub consent: Consent,
}

/// The consent of a user to steps of a sign-in that reveal more than usual to the tracker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Consent {
    /// If the tracker refuses the key of this device, it gets a proof of the password.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub use_password: bool,
    /// If the tracker has no login key of the account, it gets the digest of the password once.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub send_digest: bool,
}

/// A command of a user who is not signed in.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum SignInCommand {
    /// Sign in to an account.
    SignIn {
        /// The address and the key of the tracker.
        #[serde(flatten)]
        tracker: TrackerChoice,
        /// The name of the account.
        username: Username,
        /// The password of the account.
        password: Password,
        /// The tracker's current password, if it was changed on another computer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        changed_to: Option<Password>,
        /// The steps to which the user has consented.
        #[serde(flatten)]
        consent: Consent,
    },
    /// Create an account and sign in to it.
    Register {
        /// The address and the key of the tracker.
        #[serde(flatten)]
        tracker: TrackerChoice,
        /// The name of the account.
        username: Username,
        /// The password of the account.
        password: Password,
        /// The registration code, if the tracker demands one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<Password>,
        /// The steps to which the user has consented.
        #[serde(flatten)]
        consent: Consent,
    },
    /// Import an account that was exported on another computer. A sign-in may follow.
    ImportIdentity {
        /// The content of the exported file.
        content: String,
        /// The password of the account.
        password: Password,
        /// Another address of the account's tracker, `host:port`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tracker: Option<String>,
    },
}

/// The tracker of a sign-in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackerChoice {
    /// The address, `host:port`; the one of the program's start if absent.
    #[serde(default, rename = "tracker", skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The key that the tracker must have. If absent, a pinned key counts, and at a first meeting any.
    #[serde(default, rename = "tracker_key", skip_serializing_if = "Option::is_none")]
    pub key: Option<PublicKey>,
}

/// Passwords stay out of logs, so this form shows no field.
impl fmt::Debug for SignInCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SignInCommand(..)")
    }
}
