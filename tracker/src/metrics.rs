//! The counters of a running tracker: requests, liveness sweeps and refused connections.
//!
//! They count events by kind. They hold no name, no address and no text of a client.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use commons::protocol::with_tracker::ErrorCode;
use serde::Serialize;

use crate::timing::Timing;

/// The command of a frame that is no request.
const NO_COMMAND: &str = "none";

/// The code of a request that was carried out.
const OK: &str = "OK";

/// The result of a ping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    /// The peer answered.
    Alive,
    /// The peer did not answer.
    Silent,
    /// The ping failed for a reason that may be on the tracker's side. It changes nothing.
    Unknown,
}

impl Verdict {
    /// The name of the verdict on the status page and in the metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Silent => "silent",
            Self::Unknown => "unknown",
        }
    }
}

/// The counters. All of them grow for as long as the tracker runs.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// The times from a request to its reply.
    pub(crate) requests: Timing,
    /// The times of the liveness sweeps.
    pub(crate) sweeps: Timing,
    counts: Mutex<Counts>,
}

/// The counters that have labels.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counts {
    /// The number of requests by command and by the code of the reply.
    pub(crate) requests: BTreeMap<(String, String), u64>,
    /// The number of pings by verdict.
    pub(crate) verdicts: BTreeMap<Verdict, u64>,
    /// The number of connections that were refused.
    pub(crate) refused: u64,
}

impl Metrics {
    /// Counts a request. The command is `None` for a frame that is no request, whatever it says: a client must not be
    /// able to create counters.
    pub(crate) fn request(&self, command: Option<&str>, code: Option<ErrorCode>, time: Duration) {
        self.count(command, code.map_or_else(|| OK.to_owned(), name));
        self.requests.note(time);
    }

    /// Counts a connection that is refused and closed, for example because its frame is too long.
    pub(crate) fn refusal(&self, code: ErrorCode) {
        self.count(None, name(code));
    }

    fn count(&self, command: Option<&str>, code: String) {
        let key = (command.unwrap_or(NO_COMMAND).to_owned(), code);
        self.change(|counts| *counts.requests.entry(key).or_default() += 1);
    }

    /// Counts a ping.
    pub(crate) fn verdict(&self, verdict: Verdict) {
        self.change(|counts| *counts.verdicts.entry(verdict).or_default() += 1);
    }

    /// Counts a refused connection.
    pub(crate) fn refused(&self) {
        self.change(|counts| counts.refused += 1);
    }

    /// Reads the counters.
    pub(crate) fn counts(&self) -> Counts {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Counts {
    /// The number of wrong passwords.
    pub(crate) fn failed_logins(&self) -> u64 {
        let wrong = name(ErrorCode::InvalidCredentials);
        self.requests.iter().filter(|((_, code), _)| *code == wrong).map(|(_, count)| count).sum()
    }
}

/// The name of a code on the wire.
fn name(code: impl Serialize) -> String {
    match serde_json::to_value(code) {
        Ok(serde_json::Value::String(name)) => name,
        _ => NO_COMMAND.to_owned(),
    }
}
