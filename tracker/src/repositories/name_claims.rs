//! Claims of names that are being created.
//! Between the check of a new name and its commit, no look-alike of the name can be created.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

/// The claimed names, by their skeletons. There are as many as requests that create something at this moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct NameClaims(Arc<Mutex<HashSet<String>>>);

/// A claim of a name. It ends when this value is dropped.
#[derive(Debug)]
pub(crate) struct NameClaim {
    skeleton: String,
    claims: NameClaims,
}

impl NameClaims {
    /// Claims a name. Returns `None` if a name with this skeleton is claimed already.
    pub(crate) fn claim(&self, skeleton: String) -> Option<NameClaim> {
        let is_new = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(skeleton.clone());
        is_new.then(|| NameClaim { skeleton, claims: self.clone() })
    }
}

impl Drop for NameClaim {
    fn drop(&mut self) {
        self.claims.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.skeleton);
    }
}
