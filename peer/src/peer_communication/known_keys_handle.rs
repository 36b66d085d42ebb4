//! A handle to the known keys. The links ask through it; the keys belong to the engine.

use tokio::sync::{mpsc, oneshot};

use crate::identity::known_keys::KnownKeys;
use crate::limits::KEY_QUESTIONS_MAX;

/// A question about the known keys, or a change of them.
pub(crate) type KeyQuestion = Box<dyn FnOnce(&mut KnownKeys) + Send>;

/// A handle to the known keys that is cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct KnownKeysHandle(mpsc::Sender<KeyQuestion>);

impl KnownKeysHandle {
    /// Creates a handle. The owner of the keys answers the questions from the returned receiver.
    pub(crate) fn new() -> (Self, mpsc::Receiver<KeyQuestion>) {
        let (questions, receiver) = mpsc::channel(KEY_QUESTIONS_MAX);
        (Self(questions), receiver)
    }

    /// Reads or changes the known keys in one step. Returns `None` at the end of the program, when their owner is gone.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut KnownKeys) -> T + Send + 'static,
    ) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        let question = move |keys: &mut KnownKeys| {
            // The caller may have stopped waiting.
            let _ = reply.send(question(keys));
        };
        self.0.send(Box::new(question)).await.ok()?;
        answer.await.ok()
    }
}

/// Answers all questions about these keys, in a task of its own.
#[cfg(test)]
pub(crate) fn owner_of(mut keys: KnownKeys) -> KnownKeysHandle {
    let (handle, mut questions) = KnownKeysHandle::new();
    tokio::spawn(async move {
        while let Some(question) = questions.recv().await {
            question(&mut keys);
        }
    });
    handle
}
