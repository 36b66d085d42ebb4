//! Connections that have not shown the token. Their number is bounded, and the oldest one makes room for a new one.
//!
//! Another user of this computer can open any number of connections and stay silent. A browser uses its connection at
//! once, so it has its answer before it is the oldest one.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio_util::sync::CancellationToken;

/// A bounded set of connections.
pub(crate) struct Unauthenticated {
    max: usize,
    /// The tokens that end the connections, in the order of their arrival.
    connections: Mutex<VecDeque<Weak<CancellationToken>>>,
}

impl Unauthenticated {
    pub(crate) fn at_most(max: usize) -> Self {
        Self { max, connections: Mutex::default() }
    }

    /// Adds a connection, which lasts as long as the returned future. Its result is `None` if the connection had to make
    /// room.
    pub(crate) fn serve<F: Future>(&self, connection: F) -> impl Future<Output = Option<F::Output>> + use<F> {
        let makes_room = Arc::new(CancellationToken::new());
        self.add(Arc::downgrade(&makes_room));
        async move { makes_room.run_until_cancelled(connection).await }
    }

    fn add(&self, newest: Weak<CancellationToken>) {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.retain(|it| it.strong_count() > 0);
        connections.push_back(newest);
        let surplus = connections.len().saturating_sub(self.max);
        connections.drain(..surplus).filter_map(|it| it.upgrade()).for_each(|oldest| oldest.cancel());
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn the_oldest_connection_makes_room() {
        let connections = Unauthenticated::at_most(2);
        let (first, second) = (connections.serve(pending::<()>()), connections.serve(pending::<()>()));
        let (mut first, mut second) = (Box::pin(first), Box::pin(second));
        assert!(first.as_mut().now_or_never().is_none() && second.as_mut().now_or_never().is_none());
        assert_eq!(connections.serve(ready(3)).now_or_never(), Some(Some(3)), "the newest one is served");
        assert_eq!(first.now_or_never(), Some(None));
        assert!(second.as_mut().now_or_never().is_none());
        // One that has ended makes room by itself.
        let _fourth = connections.serve(pending::<()>());
        assert!(second.as_mut().now_or_never().is_none());
        let _fifth = connections.serve(pending::<()>());
        assert_eq!(second.now_or_never(), Some(None));
    }
}
