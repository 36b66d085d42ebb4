//! The end of the peer service. A disk that does not respond must not block it.

use tokio::time::{Instant, timeout_at};
use tracing::warn;

use crate::limits::QUIT_MAX;
use crate::service::PeerService;

impl PeerService {
    /// Stops all tasks, and waits for the disk at most [`QUIT_MAX`]. Subscribers read the remaining events, then receive
    /// `None`.
    pub async fn stop(&self) {
        self.stop_by(Instant::now() + QUIT_MAX).await;
    }

    /// Stops all tasks, and waits until this time at most for their end and for the history to close.
    pub(crate) async fn stop_by(&self, until: Instant) {
        self.stop.cancel();
        let session = self.session.get();
        if let Some(session) = session {
            session.links.stop().await;
        }
        self.tracker.abort();
        let end = async {
            let mut tasks = self.tasks.lock().await;
            while tasks.join_next().await.is_some() {}
            if let Some(session) = session {
                session.history.close().await;
                session.profile.release();
            }
        };
        if timeout_at(until, end).await.is_err() {
            // Every message that was reported as sent is on the disk. The folder stays locked, because the history may
            // still be open.
            warn!("the history was not closed, because the disk does not respond");
        }
    }
}
