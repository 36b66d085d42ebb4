//! The messages for a frontend that was too slow, read from the history again.
//!
//! They are read while the frontend reads them, in batches: a frontend that missed a hundred thousand messages takes no
//! more memory than one that missed a few.

use commons::names::Username;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::api::Event;
use crate::api::snapshot::Position;
use crate::engine::message_event::{message_event, sent_event};
use crate::event_bus::{Envelope, Reread, Row};
use crate::history::History;
use crate::history::answer::PublishedMessage;
use crate::limits::{REREAD_MESSAGES, REREAD_RETRY, REREAD_TRIES};

/// The tasks that read messages again. They end with this value.
#[derive(Default)]
pub(crate) struct Rereads(JoinSet<()>);

impl Rereads {
    /// Begins to read the messages after one position up to another.
    pub(crate) fn begin(
        &mut self,
        history: &History,
        me: &Username,
        from: Position,
        to: Position,
    ) -> mpsc::Receiver<Reread> {
        let (rows, reader) = mpsc::channel(REREAD_MESSAGES);
        while self.0.try_join_next().is_some() {}
        self.0.spawn(reread(history.clone(), me.clone(), from, to, rows));
        reader
    }
}

/// Reads the messages after one position up to another, and ends with [`Reread::End`]. If the disk keeps failing, an
/// error event stands for the messages that could not be read.
async fn reread(
    history: History,
    me: Username,
    mut from: Position,
    to: Position,
    rows: mpsc::Sender<Reread>,
) {
    let mut failures = 0;
    loop {
        let (received, own) = (from.received + 1..to.received + 1, from.sent + 1..to.sent + 1);
        let read = history.transaction(move |tables| tables.published(&received, &own, REREAD_MESSAGES));
        let Ok(batch) = read.await else {
            failures += 1;
            if failures < REREAD_TRIES {
                tokio::select! {
                    () = sleep(REREAD_RETRY) => continue,
                    () = rows.closed() => return,
                }
            }
            // The report of the history stands behind these messages in the queue of the frontend.
            let message = "Messages could not be read from the disk, so they are not shown here. Look at the history \
                           once the disk works.";
            let event = Event::error("STORAGE", message);
            // The frontend may be gone.
            let _ = rows.send(Reread::Message(Envelope { event, row: Row::None })).await;
            break;
        };
        failures = 0;
        let Some(last) = batch.last() else { break };
        from.received = from.received.max(last.message.row);
        from.sent = from.sent.max(last.message.row);
        for envelope in batch.into_iter().filter_map(|published| envelope(published, &me)) {
            if rows.send(Reread::Message(envelope)).await.is_err() {
                return;
            }
        }
    }
    // The frontend may be gone.
    let _ = rows.send(Reread::End).await;
}

fn envelope(PublishedMessage { message, is_own }: PublishedMessage, me: &Username) -> Option<Envelope> {
    let row = message.row;
    if is_own {
        Some(Envelope { event: sent_event(message)?, row: Row::Sent(row) })
    } else {
        Some(Envelope { event: message_event(message, 0, me)?, row: Row::Received(row) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::history_db::Place;
    use crate::history::testing::{ANA, author, user};

    #[tokio::test(start_paused = true)]
    async fn failing_disk_ends_the_wait_of_a_subscriber() {
        let (history, _reports, _) = History::open(&Place::Memory, &author(ANA)).unwrap();
        // A closed history fails like a disk.
        history.close().await;
        let (from, to) = (Position::default(), Position { received: 9, sent: 9, ..Position::default() });
        let mut rereads = Rereads::default();
        let mut rows = rereads.begin(&history, &user(ANA), from, to);
        // No timeout: the paused clock would reach it while the thread of the history answers.
        let first = rows.recv().await;
        let Some(Reread::Message(Envelope { event: Event::Error { code, .. }, row: Row::None })) = first
        else {
            panic!("no error")
        };
        assert_eq!(code, "STORAGE");
        assert!(matches!(rows.recv().await, Some(Reread::End)));
    }
}
