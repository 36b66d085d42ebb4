//! The proofs of a password in a request: its digest, its login key, or both.

use commons::login_key::LoginKey;
use commons::protocol::with_tracker::{Credentials, Secret};
use commons::user::PasswordDigest;

/// The proofs as a client sent them. Their form is not checked, because a wrong form is a wrong password.
#[derive(Debug, Clone, Default)]
pub(crate) struct PasswordProofs {
    /// The digest of the password.
    pub(crate) digest: Option<Secret>,
    /// The login key of the password.
    pub(crate) login_key: Option<Secret>,
}

impl PasswordProofs {
    /// The proofs in a REGISTER or LOGIN.
    pub(crate) fn of(credentials: &Credentials) -> Self {
        Self { digest: credentials.password.clone(), login_key: credentials.login_key.clone() }
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.any().is_none()
    }

    /// One of the proofs, for a check that cannot succeed.
    pub(crate) fn any(&self) -> Option<&Secret> {
        self.login_key.as_ref().or(self.digest.as_ref())
    }
}

/// The proofs of a new password, from which the tracker computes what it stores. At least one is there.
#[derive(Debug, Clone, Default)]
pub(crate) struct NewPassword {
    /// The digest, for clients that sign in with it.
    pub(crate) digest: Option<PasswordDigest>,
    /// The login key.
    pub(crate) login_key: Option<LoginKey>,
}
