//! Logs that come in pages, from the tracker or from a member. Pure.
//!
//! The entries count only once the last one is an entry whose head the tracker has signed. Otherwise the tracker could give
//! entries to one member and leave that member without a proof for the others, and a member could make a log longer than
//! the tracker knows it.
//!
//! Example: this peer knows entry 4, and the head of entry 300 is signed. The entries 5 to 150 are kept apart. With the
//! entries 151 to 300 the log ends at the signed head, and replaces the shorter one.

use std::collections::BTreeMap;

use commons::room_log::entry::{Change, SignedEntry};
use commons::room_log::head::{Head, SignedHead};
use commons::room_log::log::RoomLog;
use commons::room_log::refusal::Refusal;
use commons::room_log::state::{id_of, room_id};
use uuid::Uuid;

#[cfg(test)]
use crate::engine::omission::Omission;

/// The logs of which some pages have come, by their place, at most `MAX`.
#[derive(Debug)]
pub(crate) struct LogPages<K, const MAX: usize> {
    parts: BTreeMap<K, RoomLog>,
    /// A rule that a control of the simulation leaves out.
    #[cfg(test)]
    pub(in crate::engine) omission: Option<Omission>,
}

/// The result of a page.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Page {
    /// The log up to the signed head.
    Complete(Box<RoomLog>),
    /// The log up to this epoch. The next page is needed too.
    Part(u64),
    /// No entry is new.
    Nothing,
    /// The entries lead to the signed head, but follow another entry than the last known one: the tracker has signed two
    /// rooms.
    Split,
    /// The entries are valid, and lead to another entry than the signed head of that epoch.
    OtherHead,
    /// An entry breaks a rule, the head is not signed by the room's tracker, or the entries do not lead to it.
    Invalid,
}

impl<K, const MAX: usize> Default for LogPages<K, MAX> {
    fn default() -> Self {
        Self {
            parts: BTreeMap::new(),
            #[cfg(test)]
            omission: None,
        }
    }
}

impl<K: Ord + Clone, const MAX: usize> LogPages<K, MAX> {
    /// The pages of a log that have come.
    pub(crate) fn part(&self, place: &K) -> Option<&RoomLog> {
        self.parts.get(place)
    }

    /// Takes the entries that follow the known log of a room, or the page before. Known entries are skipped. `more` says
    /// whether further entries may follow.
    pub(crate) fn add(
        &mut self,
        place: &K,
        known: Option<&RoomLog>,
        entries: &[SignedEntry],
        head: &SignedHead,
        more: bool,
    ) -> Page {
        let at = known.map(RoomLog::head);
        // Another source may have brought other entries meanwhile.
        let continues = |part: &RoomLog| at.is_none_or(|at| part.digest_at(at.epoch) == Some(at.digest));
        self.parts.retain(|at, part| at != place || continues(part));
        let part = self.parts.get(place);
        let follows_known = part.is_none();
        let extended = self.extended(part.or(known), entries, head);
        if !matches!(extended, Ok(None)) {
            self.parts.remove(place);
        }
        let log = match extended {
            Ok(Some(log)) => log,
            Ok(None) => return Page::Nothing,
            // Entries that follow a part prove nothing: only its source has shown it.
            Err(Refusal::Stale)
                if follows_known && is_signed(head, known) && leads_to(entries, &head.head) =>
            {
                return Page::Split;
            }
            Err(_) => return Page::Invalid,
        };
        let reached = log.head();
        if !is_signed(head, Some(&log)) {
            Page::Invalid
        } else if reached == head.head {
            Page::Complete(Box::new(log))
        } else if reached.epoch == head.head.epoch {
            Page::OtherHead
        } else if !more || reached.epoch > head.head.epoch {
            Page::Invalid
        } else {
            if self.parts.len() >= MAX {
                self.parts.pop_first();
            }
            self.parts.insert(place.clone(), log);
            Page::Part(reached.epoch)
        }
    }

    /// Forgets the logs at these places.
    pub(crate) fn forget(&mut self, is_forgotten: impl Fn(&K) -> bool) {
        self.parts.retain(|place, _| !is_forgotten(place));
    }

    /// Returns a log with the entries that are new, or `None` if there is none.
    fn extended(
        &self,
        base: Option<&RoomLog>,
        entries: &[SignedEntry],
        head: &SignedHead,
    ) -> Result<Option<RoomLog>, Refusal> {
        let mut log = None;
        for entry in entries {
            if room_of(entry) != room_id(&head.head.room) {
                return Err(Refusal::OtherRoom);
            }
            let last = log.as_ref().or(base).map_or(0, |log| log.head().epoch);
            if entry.entry.epoch == last + 1 {
                log = Some(self.with_entry(log.or_else(|| base.cloned()), entry)?);
            }
        }
        Ok(log)
    }

    fn with_entry(&self, log: Option<RoomLog>, entry: &SignedEntry) -> Result<RoomLog, Refusal> {
        match log {
            None => RoomLog::begin(entry.clone()),
            #[cfg(test)]
            Some(log) if self.omission == Some(Omission::EntrySignatures) => {
                RoomLog::from_disk(log.entries().iter().chain([entry]).cloned().collect())
            }
            Some(mut log) => log.append(entry.clone()).map(|()| log),
        }
    }
}

/// The id of the room to which an entry belongs.
pub(crate) fn room_of(entry: &SignedEntry) -> Uuid {
    match entry.entry.change {
        Change::Created(_) => id_of(entry),
        _ => room_id(&entry.entry.room),
    }
}

/// Whether a head is of this log's room, and signed by its tracker.
fn is_signed(head: &SignedHead, log: Option<&RoomLog>) -> bool {
    let state = log.map(RoomLog::state);
    state.is_some_and(|state| head.head.room == state.room() && head.is_signed_by(&state.tracker()))
}

/// Returns whether each entry names the one before it, and the last one is the head.
fn leads_to(entries: &[SignedEntry], head: &Head) -> bool {
    let follows = |pair: &[SignedEntry]| {
        let [before, after] = pair else { return false };
        after.entry.epoch == before.entry.epoch + 1 && after.entry.previous == before.digest()
    };
    let is_last = |last: &SignedEntry| last.entry.epoch == head.epoch && last.digest() == head.digest;
    entries.windows(2).all(follows) && entries.last().is_some_and(is_last)
}
