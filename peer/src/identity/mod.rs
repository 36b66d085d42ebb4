//! Identity of users and trackers.
//! This module holds the user's own key and password, and the known keys of other users and of trackers.

pub(crate) mod atomic_file;
pub(crate) mod contacts;
pub mod device_key;
pub mod identity_error;
pub mod identity_export;
pub(crate) mod key_prefix;
pub(crate) mod known_keys;
pub(crate) mod known_trackers;
pub mod password;
pub(crate) mod password_proof;
pub(crate) mod profile;
pub(crate) mod recognised_password;
pub(crate) mod safety_number;
pub mod seal;
