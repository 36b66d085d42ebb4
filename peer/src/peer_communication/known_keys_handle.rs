//! A handle to the known keys. The links ask through it; the keys belong to the engine.

use commons::names::Username;
use tokio::sync::{mpsc, oneshot};

use crate::limits::KEY_QUESTIONS_MAX;
use crate::peer_communication::key_question::{KeyAnswer, KeyQuestion};

/// A question of a link, with the caller that waits for the answer.
pub(crate) type AskedQuestion = (Username, KeyQuestion, oneshot::Sender<KeyAnswer>);

/// A handle to the known keys that is cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct KnownKeysHandle(mpsc::Sender<AskedQuestion>);

impl KnownKeysHandle {
    /// Creates a handle. The owner of the keys answers the questions from the returned receiver.
    pub(crate) fn new() -> (Self, mpsc::Receiver<AskedQuestion>) {
        let (questions, receiver) = mpsc::channel(KEY_QUESTIONS_MAX);
        (Self(questions), receiver)
    }

    /// Asks about a user's keys. Returns `None` at the end of the program, when their owner is gone.
    pub(crate) async fn ask(&self, user: &Username, question: KeyQuestion) -> Option<KeyAnswer> {
        let (reply, answer) = oneshot::channel();
        self.0.send((user.clone(), question, reply)).await.ok()?;
        answer.await.ok()
    }
}
