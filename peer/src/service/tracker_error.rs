//! Errors of the tracker, as errors of a command.

use std::time::Duration;

use crate::api::error::CommandError;
use crate::tracker_communication::tracker_report::TrackerError;

/// Turns an error of the tracker at this address into the error that a frontend shows.
pub(crate) fn from_tracker(error: TrackerError, address: &str) -> CommandError {
    match error {
        TrackerError::Lost => CommandError::TrackerLost,
        TrackerError::Refused(refusal) => {
            let retry_after = refusal.retry_after_ms.map(Duration::from_millis);
            CommandError::Refused { code: refusal.code, msg: refusal.msg.into(), retry_after }
        }
        TrackerError::TurnedAway(refusal) => CommandError::TurnedAway {
            address: address.to_owned(),
            code: refusal.code,
            msg: refusal.msg.into(),
            retry_after: refusal.retry_after_ms.map(Duration::from_millis),
        },
        TrackerError::NotATracker => CommandError::NotATracker { address: address.to_owned() },
        TrackerError::KeyChanged { pinned, found, given } => {
            CommandError::TrackerKeyChanged { address: address.to_owned(), pinned, found, given }
        }
    }
}

impl From<TrackerError> for CommandError {
    fn from(error: TrackerError) -> Self {
        from_tracker(error, "")
    }
}
