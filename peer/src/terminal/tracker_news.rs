//! The tracker's comings and goings, as one row each. Pure.

use crate::api::TrackerState;
use crate::api::tracker_loss::TrackerLoss;

/// What is told where the tracker comes back, or goes for a reason.
pub(crate) fn row(state: TrackerState, reason: Option<TrackerLoss>) -> String {
    let why = match (state, reason) {
        (TrackerState::Connected, _) => return "*** the tracker is back".to_owned(),
        (TrackerState::Lost, None | Some(TrackerLoss::Failed)) => "",
        (TrackerState::Lost, Some(TrackerLoss::Stopped)) => ", it was stopped",
        (TrackerState::Lost, Some(TrackerLoss::Closed)) => ", it closed the connection",
        (TrackerState::Lost, Some(TrackerLoss::Reset)) => ", the connection was cut",
        (TrackerState::Lost, Some(TrackerLoss::TimedOut)) => ", it does not answer any more",
        (TrackerState::Lost, Some(TrackerLoss::Refused)) => ", nothing listens there",
        (TrackerState::Lost, Some(TrackerLoss::TurnedAway)) => ", it has no room",
    };
    format!("*** the tracker is out of reach{why}: talk goes on, looking for it")
}
