//! The questions of the engine to the tracker that are on their way. Their answers are inputs of the engine.

use commons::names::{RoomName, Username};
use tokio::task::JoinSet;

use crate::engine::input::Input;
use crate::limits::LOG_READS_MAX;
use crate::tracker_communication::PeerTrackerCommunication;

/// Lookups of users, and reads of the logs of rooms.
pub(crate) struct TrackerReads {
    tracker: PeerTrackerCommunication,
    lookups: JoinSet<Input>,
    logs: JoinSet<Option<Input>>,
}

impl TrackerReads {
    pub(crate) fn new(tracker: PeerTrackerCommunication) -> Self {
        Self { tracker, lookups: JoinSet::new(), logs: JoinSet::new() }
    }

    /// Asks for the address and the keys of a user. The engine bounds the number of lookups.
    pub(crate) fn look_up(&mut self, user: Username) {
        let tracker = self.tracker.clone();
        self.lookups.spawn(async move {
            let found = tracker.peer(&user).await;
            Input::Found(user, found.map(|found| found.map(Box::new)))
        });
    }

    /// Reads the log of a room after an epoch. While [`LOG_READS_MAX`] are being read it does nothing: the engine asks again
    /// at its next tick.
    pub(crate) fn read_log(&mut self, room: RoomName, after: u64) {
        if self.logs.len() >= LOG_READS_MAX {
            return;
        }
        let tracker = self.tracker.clone();
        self.logs.spawn(async move {
            // The entries themselves reach the engine as a granted request.
            let read = tracker.read_room_log(&room, after).await;
            read.err().map(|error| Input::RoomLogRefused(room, error))
        });
    }

    /// Waits for the next answer that the engine must get. It never ends while nothing is on its way.
    pub(crate) async fn next(&mut self) -> Input {
        loop {
            tokio::select! {
                Some(Ok(found)) = self.lookups.join_next() => return found,
                Some(Ok(read)) = self.logs.join_next() => if let Some(refused) = read { return refused },
                else => std::future::pending().await,
            }
        }
    }
}
