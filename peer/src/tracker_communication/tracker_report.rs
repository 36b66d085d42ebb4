//! A report of the task that owns the socket to the tracker: what came of a request, what changed, why the tracker is lost.

use commons::keys::{PublicKey, Seed};
use commons::protocol::with_tracker::{Refusal, Reply, RoomUpdate, TrackerRequest};
use tokio::sync::{mpsc, oneshot};

use crate::api::tracker_loss::TrackerLoss;

/// Why a request brought no reply that says OK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TrackerError {
    /// There is no connection, or it broke before the reply.
    Lost,
    /// The tracker refused.
    Refused(Refusal),
    /// Somebody answers who does not speak as a tracker, or is not let speak so.
    NotATracker,
    /// Somebody answers in plaintext that there is no room, which nothing proves to be the tracker's word.
    TurnedAway(Refusal),
    /// Another key answers than the pinned one.
    KeyChanged {
        /// The key that was met before, or given.
        pinned: PublicKey,
        /// The key that answers now.
        found: PublicKey,
        /// The user told the expected one.
        given: bool,
    },
}

pub(crate) type Outcome = Result<Box<Reply>, TrackerError>;

/// The recipient of the answer whether the tracker can be reached.
pub(crate) type Probe = oneshot::Sender<Result<Reached, TrackerError>>;

/// A tracker that answers, and a connection that stands.
#[derive(Debug, Clone)]
pub(crate) struct Reached {
    /// The key that the tracker has proven.
    pub(crate) tracker: PublicKey,
    /// The private key that this side has proven. A new user of this computer signs in with it on the same connection.
    pub(crate) seed: Seed,
}

/// A report to the service. Reports keep the tracker's order.
pub(crate) enum TrackerReport {
    /// The outcome of a request. The sender answers the caller, if one waits.
    Answered(TrackerRequest, Outcome, Option<oneshot::Sender<Outcome>>),
    /// A room changed.
    Update(Box<RoomUpdate>),
    /// The connection is gone, for this reason; it will be made again.
    Lost(TrackerLoss),
    /// It will not be made again, for this reason.
    Ended(EndReason),
}

/// Why the uplink does not come back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EndReason {
    /// The user signed in elsewhere.
    Superseded,
    /// The tracker does not take the user any more, or is another one.
    Failed(TrackerError),
}

/// The service is gone only at the end of the program.
pub(crate) async fn report(reports: &mpsc::Sender<TrackerReport>, report: TrackerReport) {
    let _ = reports.send(report).await;
}
