//! A handle to the known keys. The links ask through it and never see who owns the keys.

use std::sync::{Arc, Mutex, PoisonError};

use crate::identity::known_keys::KnownKeys;

/// A handle to the known keys that is cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct KnownKeysHandle(Arc<Mutex<KnownKeys>>);

impl KnownKeysHandle {
    pub(crate) fn new(keys: KnownKeys) -> Self {
        Self(Arc::new(Mutex::new(keys)))
    }

    /// Reads or changes the known keys in one step. Returns `None` at the end of the program, when their owner is gone.
    #[expect(clippy::unused_async, reason = "the owner of the keys may be another task")]
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut KnownKeys) -> T + Send + 'static,
    ) -> Option<T> {
        Some(self.with(question))
    }

    /// Reads or changes the known keys in one step, for callers that cannot wait.
    pub(crate) fn with<T>(&self, question: impl FnOnce(&mut KnownKeys) -> T) -> T {
        question(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
