//! What a user saw, over all lives of the program: it is what the promises are held against.

use std::collections::{BTreeMap, BTreeSet};

use commons::names::Username;
use uuid::Uuid;

use crate::history::answer::StoredMessage;
use crate::history::report::{OutgoingMessage, Report};

#[derive(Default)]
pub(crate) struct Log {
    /// Own lines that were shown as sent.
    pub(crate) said: Vec<OutgoingMessage>,
    /// Lines of others, with the life of the program in which they were shown.
    pub(crate) shown: Vec<(u32, StoredMessage)>,
    /// How often it was told that somebody has an own line.
    pub(crate) delivered: BTreeMap<(Uuid, Username), usize>,
    /// Lines that were given up, and for whom.
    pub(crate) given_up: BTreeSet<(Uuid, Username)>,
    /// How many groups were refused.
    pub(crate) refused: usize,
    /// What must never be told here.
    pub(crate) wrong: Vec<String>,
}

impl Log {
    /// The program hears this.
    pub(crate) fn note(&mut self, report: &Report) {
        match report {
            Report::Said(lines) => self.said.extend(lines.iter().cloned()),
            Report::Delivered { to, ids } => {
                ids.iter().for_each(|id| *self.delivered.entry((*id, to.clone())).or_default() += 1);
            }
            Report::GivenUp { to, ids, .. } => self.given_up.extend(ids.iter().map(|id| (*id, to.clone()))),
            Report::Refused { .. } => self.refused += 1,
            Report::NotKept { .. } | Report::Fork { .. } | Report::Trouble(_) => {
                self.wrong.push(format!("{report:?}"));
            }
            Report::Heard(_)
            | Report::Stored { .. }
            | Report::Holds { .. }
            | Report::Written { .. }
            | Report::Pending { .. } => {}
        }
    }

    /// The program crashed before it heard this. What was delivered meanwhile is known to the history.
    pub(crate) fn miss(&mut self, report: &Report) {
        if matches!(report, Report::Delivered { .. } | Report::GivenUp { .. }) {
            self.note(report);
        }
    }

    /// A line of somebody else is on the screen.
    pub(crate) fn show(&mut self, life: u32, line: StoredMessage) {
        self.shown.push((life, line));
    }
}
