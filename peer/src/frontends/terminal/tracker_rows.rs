//! The notices about the session with the tracker, one row each. Pure.
//!
//! They appear when it opens or closes.

use crate::api::status::TrackerState;
use crate::api::tracker_loss::TrackerLoss;
use crate::frontends::terminal::sanitize::sanitize;

/// Returns the notice for a new state of the session, with the reason if it is known.
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

/// Returns the notice that the tracker is known at another address.
pub(crate) fn moved(from: &str, to: &str) -> String {
    format!(
        "*** the tracker of {} is at {} now, with the same key: your account came along",
        sanitize(from),
        sanitize(to)
    )
}
