//! The record of what a simulated user saw, over all runs of the program.
//!
//! The verdict checks the promises against it.

use std::collections::{BTreeMap, BTreeSet};

use commons::names::Username;
use uuid::Uuid;

use crate::history::answer::StoredMessage;
use crate::history::report::{OutgoingMessage, Report};

/// The reports and messages that one user saw.
#[derive(Default)]
pub(crate) struct Log {
    /// Own messages that were shown as sent.
    pub(crate) said: Vec<OutgoingMessage>,
    /// Messages of others, with the run of the program in which they were shown.
    pub(crate) shown: Vec<(u32, StoredMessage)>,
    /// The number of delivery reports, by own message and recipient.
    pub(crate) delivered: BTreeMap<(Uuid, Username), usize>,
    /// Own messages that were given up, with the recipient.
    pub(crate) given_up: BTreeSet<(Uuid, Username)>,
    /// The number of batches that were refused.
    pub(crate) refused: usize,
    /// Reports that must never occur in the simulation.
    pub(crate) wrong: Vec<String>,
}

impl Log {
    /// Notes a report that the program received.
    pub(crate) fn note(&mut self, report: &Report) {
        match report {
            Report::Committed(lines) => self.said.extend(lines.iter().cloned()),
            Report::Delivered { to, ids } => {
                ids.iter().for_each(|id| *self.delivered.entry((*id, to.clone())).or_default() += 1);
            }
            Report::GivenUp { to, ids, .. } => self.given_up.extend(ids.iter().map(|id| (*id, to.clone()))),
            Report::Refused { .. } => self.refused += 1,
            Report::NotStored { .. } | Report::Fork { .. } | Report::Trouble(_) => {
                self.wrong.push(format!("{report:?}"));
            }
            Report::Received(_)
            | Report::Stored { .. }
            | Report::Holds { .. }
            | Report::Written { .. }
            | Report::Pending { .. }
            | Report::Holdings { .. }
            | Report::Lacking { .. }
            | Report::HandedOver { .. }
            | Report::Waiting { .. } => {}
        }
    }

    /// Notes a report that the program did not receive because it crashed. The history has already counted its
    /// deliveries.
    pub(crate) fn miss(&mut self, report: &Report) {
        if matches!(report, Report::Delivered { .. } | Report::GivenUp { .. }) {
            self.note(report);
        }
    }

    /// Notes a message of another user that was shown.
    pub(crate) fn show(&mut self, life: u32, line: StoredMessage) {
        self.shown.push((life, line));
    }
}
