//! Backpressure on the author of messages.
//!
//! A fast author waits for recipients that keep reading, so that the outbox stays short. The wait is bounded: a slow
//! recipient must not hold up the author's commands.
//!
//! Example: 2,000 messages wait for a linked recipient, so the author's next message waits until fewer do. It waits at
//! most 1 s while the recipient takes none, and at most 10 s in all. Then 500 messages pass without another look.

use tokio::time::{Instant, timeout_at};

use commons::names::Username;

use crate::api::conversation::Conversation;
use crate::history::History;
use crate::history::conversation::ConversationId;
use crate::hub::Hub;
use crate::limits::{PACE_LINES, PACE_MOST, PACE_STRIDE, PACE_WAIT};

impl Hub {
    /// Waits while a linked recipient of the conversation has [`PACE_LINES`] or more messages in the outbox, at most
    /// [`PACE_MOST`].
    pub(crate) async fn keep_pace(&self, history: &History, place: &ConversationId, to: &Conversation) {
        let paced = std::mem::take(&mut self.lock().paced);
        if history.waiting_messages(place) < PACE_LINES {
            return;
        }
        // Messages for an offline member are no reason to wait. The history must be asked for which recipients the
        // messages wait. This costs a look at all of them, so it does not happen for every message.
        if paced > 0 {
            self.lock().paced = paced - 1;
            return;
        }
        let most = Instant::now() + PACE_MOST;
        loop {
            let moved = self.moved.notified();
            let waiting = history.waiting().await.unwrap_or_default();
            let is_behind = {
                let state = self.lock();
                let audience = state.chat.listeners(to).unwrap_or_default();
                let behind = |(user, lines): &(Username, usize)| {
                    *lines >= PACE_LINES && audience.contains(user) && state.replication.is_fed(user)
                };
                waiting.iter().any(behind)
            };
            let next = most.min(Instant::now() + PACE_WAIT);
            if !is_behind || timeout_at(next, moved).await.is_err() || Instant::now() >= most {
                self.lock().paced = PACE_STRIDE;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::time::sleep;

    use super::*;
    use crate::history::history_db::Place;
    use crate::history::testing::{ANA, BOB, author, draft, private, user};
    use crate::peer_communication::link_table::LinkId;

    #[tokio::test(start_paused = true)]
    async fn slow_recipient_does_not_hold_up_the_author_for_long() {
        let (history, mut reports, _) = History::open(&Place::Memory, &author(ANA)).unwrap();
        tokio::spawn(async move { while reports.recv().await.is_some() {} });
        for n in 0..PACE_LINES {
            history.append(draft(&private(BOB), &n.to_string(), &[BOB])).await;
        }
        history.flush().await;
        let hub = Arc::new(Hub::default());
        hub.lock().chat.begin_private(user(BOB), None);
        hub.lock().replication.begin(&user(BOB), LinkId(1), false);
        let pacing = tokio::spawn({
            let hub = Arc::clone(&hub);
            async move { hub.keep_pace(&history, &private(BOB), &Conversation::Private(user(BOB))).await }
        });
        // The recipient acknowledges a message again and again.
        let since = Instant::now();
        while !pacing.is_finished() && since.elapsed() < 100 * PACE_MOST {
            hub.moved.notify_waiters();
            sleep(Duration::from_millis(100)).await;
        }
        assert!(pacing.is_finished());
    }
}
