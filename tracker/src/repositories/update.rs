//! An update of one entry of a collection: how it is decided, and how whoever asked is answered.

use tokio::sync::oneshot;

/// A change was not made, because it could not be made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StorageError {
    /// The disk is full or failing; another try may succeed.
    #[error("the tracker cannot write to its disk: try again later")]
    Disk,
    /// The collection is closed.
    #[error("the tracker is stopping")]
    Closed,
}

/// What a change does to its entry.
#[derive(Debug)]
pub(crate) enum Change<T> {
    /// Nothing.
    Keep,
    /// Sets it.
    Put(T),
    /// Takes it away.
    Remove,
}

/// An update, whatever the type of its answer.
pub(crate) trait Step<T>: Send {
    /// Which entry.
    fn key(&self) -> &str;
    /// Whether the change goes to the disk, and the answer waits for that.
    fn durable(&self) -> bool;
    /// What to do with the entry as it is now; may be asked again where a write failed.
    fn decide(&mut self, current: Option<&T>) -> Change<T>;
    /// Tells whoever asked.
    fn answer(self: Box<Self>, outcome: Result<(), StorageError>);
}

/// An update with an answer of a certain type.
pub(crate) struct Update<F, R> {
    key: String,
    durable: bool,
    decide: F,
    answer: Option<R>,
    reply: oneshot::Sender<Result<R, StorageError>>,
}

impl<F, R> Update<F, R> {
    /// An update, and where its answer will come.
    pub(crate) fn new(
        key: &str,
        durable: bool,
        decide: F,
    ) -> (Self, oneshot::Receiver<Result<R, StorageError>>) {
        let (reply, answered) = oneshot::channel();
        (Self { key: key.to_owned(), durable, decide, answer: None, reply }, answered)
    }
}

impl<T, R: Send, F: FnMut(Option<&T>) -> (Change<T>, R) + Send> Step<T> for Update<F, R> {
    fn key(&self) -> &str {
        &self.key
    }

    fn durable(&self) -> bool {
        self.durable
    }

    fn decide(&mut self, current: Option<&T>) -> Change<T> {
        let (change, answer) = (self.decide)(current);
        self.answer = Some(answer);
        change
    }

    fn answer(self: Box<Self>, outcome: Result<(), StorageError>) {
        let Self { answer, reply, .. } = *self;
        // Whoever asked may have gone meanwhile; the change stands.
        let _ = reply.send(outcome.and_then(|()| answer.ok_or(StorageError::Closed)));
    }
}
