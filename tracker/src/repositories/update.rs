//! An update of one entry of a collection.
//! It says how the change is decided and how the caller gets its answer.

use tokio::sync::oneshot;

use crate::login::ConnectionId;

/// The reason why a change was not made: the tracker could not make it durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StorageError {
    /// The disk is full or failing. A later attempt may succeed.
    #[error("the tracker cannot write to its disk: try again later")]
    Disk,
    /// The collection is closed.
    #[error("the tracker is stopping")]
    Closed,
}

/// The effect of an update on its entry.
#[derive(Debug)]
pub(crate) enum Change<T> {
    /// The entry stays as it is.
    Keep,
    /// The entry gets this value.
    Put(T),
    /// The entry is removed.
    Remove,
}

/// An update with its answer type erased, for the queue of the writer thread.
pub(crate) trait Step<T>: Send {
    /// The key of the entry to change.
    fn key(&self) -> &str;
    /// Whether the change is written to the disk before the caller gets the answer.
    fn durable(&self) -> bool;
    /// The session that asks for the change, if there is one.
    fn by(&self) -> Option<ConnectionId>;
    /// Decides the change from the current entry. The writer may call it again after a failed write.
    fn decide(&mut self, current: Option<&T>) -> Change<T>;
    /// Sends the outcome to the caller.
    fn answer(self: Box<Self>, outcome: Result<(), StorageError>);
}

/// An update whose answer has the type `R`.
pub(crate) struct Update<F, R> {
    key: String,
    durable: bool,
    by: Option<ConnectionId>,
    decide: F,
    answer: Option<R>,
    reply: oneshot::Sender<Result<R, StorageError>>,
}

impl<F, R> Update<F, R> {
    /// Creates an update, and the receiver of its answer.
    pub(crate) fn new(
        key: &str,
        durable: bool,
        by: Option<ConnectionId>,
        decide: F,
    ) -> (Self, oneshot::Receiver<Result<R, StorageError>>) {
        let (reply, answered) = oneshot::channel();
        (Self { key: key.to_owned(), durable, by, decide, answer: None, reply }, answered)
    }
}

impl<T, R: Send, F: FnMut(Option<&T>) -> (Change<T>, R) + Send> Step<T> for Update<F, R> {
    fn key(&self) -> &str {
        &self.key
    }

    fn durable(&self) -> bool {
        self.durable
    }

    fn by(&self) -> Option<ConnectionId> {
        self.by
    }

    fn decide(&mut self, current: Option<&T>) -> Change<T> {
        let (change, answer) = (self.decide)(current);
        self.answer = Some(answer);
        change
    }

    fn answer(self: Box<Self>, outcome: Result<(), StorageError>) {
        let Self { answer, reply, .. } = *self;
        // The caller may have stopped waiting. The change stands.
        let _ = reply.send(outcome.and_then(|()| answer.ok_or(StorageError::Closed)));
    }
}
