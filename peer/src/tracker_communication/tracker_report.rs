//! Reports of the task that owns the tracker's socket: outcomes of requests, room updates, and the loss of the
//! connection.

use commons::keys::{PublicKey, Seed};
use commons::protocol::administration::Announcement;
use commons::protocol::with_tracker::{Refusal, Reply, RoomUpdate, TrackerRequest};
use tokio::sync::{mpsc, oneshot};

use crate::api::tracker_loss::TrackerLoss;

/// Reason why a request was not answered with OK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TrackerError {
    /// There is no connection, or it broke before the reply.
    Lost,
    /// The tracker refused the request.
    Refused(Refusal),
    /// The other side is not a tracker of this protocol, or something between alters its bytes.
    NotATracker,
    /// A plaintext answer says that there is no room. Nothing proves that it comes from the tracker.
    TurnedAway(Refusal),
    /// The tracker proves another key than the pinned one.
    KeyChanged {
        /// The key that was met before, or given.
        pinned: PublicKey,
        /// The key that the tracker proves now.
        found: PublicKey,
        /// Whether the user gave the expected key.
        given: bool,
    },
}

pub(crate) type Outcome = Result<Box<Reply>, TrackerError>;

/// The caller that waits for the result of a probe.
pub(crate) type Probe = oneshot::Sender<Result<Reached, TrackerError>>;

/// Result of a successful probe. Its connection stays open.
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
    /// A text of an admin or of the operator for all users.
    Announced(Announcement),
    /// A room has changed.
    Update(Box<RoomUpdate>),
    /// The connection is lost, for this reason. It will be made again.
    Lost(TrackerLoss),
    /// A tracker with another key answers at the address of a lost session. Nobody is signed in there, and the attempts
    /// go on. It is reported once for each loss.
    Impostor(TrackerError),
    /// The session will not come back, for this reason.
    Ended(EndReason),
}

/// Reason why the session does not come back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EndReason {
    /// The user signed in elsewhere.
    Superseded,
    /// The tracker does not accept the user any more.
    Failed(TrackerError),
}

/// Sends a report to the service, which is absent only at the end of the program.
pub(crate) async fn report(reports: &mpsc::Sender<TrackerReport>, report: TrackerReport) {
    let _ = reports.send(report).await;
}
