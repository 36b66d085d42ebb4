//! Entries of rooms' logs that members offer. A member cannot make the log longer than the tracker has signed it: the
//! entries count only once the last one is an entry whose head the tracker signed.
//!
//! Example: this peer knows entry 4, and bob names the signed head of entry 300. Bob sends the entries 5 to 150, which are
//! kept apart. With the entries 151 to 300 the log ends at the signed head, and replaces the shorter one.

use std::collections::{BTreeMap, BTreeSet};

use commons::names::Username;
use commons::room_log::entry::SignedEntry;
use commons::room_log::head::{Head, SignedHead};
use commons::room_log::log::RoomLog;
use tokio::time::Instant;
use uuid::Uuid;

use crate::limits::{ENTRIES_PAUSE, OFFERED_LOGS_MAX};

/// The logs that members offer, each longer than the known one and not yet complete.
#[derive(Debug, Default)]
pub(crate) struct OfferedLogs {
    offers: BTreeMap<(Username, Uuid), RoomLog>,
    /// When each member was last requested to send the entries of each room.
    requested: BTreeMap<(Username, Uuid), Instant>,
    /// The questions that came too soon after the last one.
    due: BTreeSet<(Username, Uuid)>,
}

/// The result of entries from a member.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    /// The log up to a head that the tracker has signed.
    Complete(Box<RoomLog>),
    /// The entries after this epoch are needed too.
    More(u64),
    /// The entries lead to the signed head, but follow another entry than the last known one: the tracker has signed two
    /// rooms.
    Split,
    /// The entries do not follow the known log, or do not lead to the signed head.
    Useless,
}

impl OfferedLogs {
    /// Returns whether the entries of a room may be requested from a member now. Otherwise the question is due later: a member
    /// who claims ever later entries keeps nobody busy.
    pub(crate) fn may_request(&mut self, from: &Username, room: Uuid, now: Instant) -> bool {
        let place = (from.clone(), room);
        let may_request =
            self.requested.get(&place).is_none_or(|requested| *requested + ENTRIES_PAUSE <= now);
        if may_request {
            self.due.remove(&place);
            self.requested.insert(place, now);
        } else {
            self.due.insert(place);
        }
        may_request
    }

    /// Takes the questions that came too soon.
    pub(crate) fn take_due(&mut self) -> BTreeSet<(Username, Uuid)> {
        std::mem::take(&mut self.due)
    }

    /// Takes entries that follow the known log of a room, or the entries that the same member offered before.
    pub(crate) fn add(
        &mut self,
        from: &Username,
        known: &RoomLog,
        entries: Vec<SignedEntry>,
        head: &SignedHead,
    ) -> Offer {
        let place = (from.clone(), known.state().id());
        let is_of_room = head.head.room == known.state().room();
        if !is_of_room
            || !head.is_signed_by(&known.state().tracker())
            || head.head.epoch <= known.head().epoch
        {
            self.offers.remove(&place);
            return Offer::Useless;
        }
        let before = self.offers.remove(&place).filter(|offer| offer.head().epoch > known.head().epoch);
        let mut log = before.unwrap_or_else(|| known.clone());
        let begin = log.head().epoch;
        let next = entries.first().map(|first| &first.entry).filter(|first| first.epoch == begin + 1);
        if next.is_some_and(|next| next.previous != log.head().digest) {
            return if leads_to(&entries, &head.head) { Offer::Split } else { Offer::Useless };
        }
        for entry in entries {
            // The tracker may have brought some of them meanwhile.
            if entry.entry.epoch > log.head().epoch && log.append(entry).is_err() {
                return Offer::Useless;
            }
        }
        match log.head() {
            reached if reached == head.head => Offer::Complete(Box::new(log)),
            reached if reached.epoch == begin || reached.epoch >= head.head.epoch => Offer::Useless,
            reached => {
                if self.offers.len() >= OFFERED_LOGS_MAX {
                    self.offers.pop_first();
                }
                self.offers.insert(place, log);
                Offer::More(reached.epoch)
            }
        }
    }

    /// Forgets what a member offered, whose link has closed.
    pub(crate) fn forget(&mut self, from: &Username) {
        self.offers.retain(|(user, _), _| user != from);
        self.requested.retain(|(user, _), _| user != from);
        self.due.retain(|(user, _)| user != from);
    }
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

#[cfg(test)]
mod tests {
    use commons::room_log::entry::Change;

    use super::*;
    use crate::history::testing::{ANA, BOB, author, extend, joined, room_log, user};

    /// Returns a log of ana and bob, and the same log with two more entries.
    fn logs() -> (RoomLog, RoomLog) {
        let known = room_log(&[joined(BOB)]);
        let mut longer = known.clone();
        let topic = |text: &str| (ANA, ANA, Change::Topic(text.into()));
        extend(&mut longer, &[topic("one"), topic("two")]);
        (known, longer)
    }

    fn signed(log: &RoomLog) -> SignedHead {
        log.head().sign(&author("operator").seed)
    }

    #[test]
    fn entries_count_up_to_a_head_that_the_tracker_signed() {
        let (known, longer) = logs();
        let mut offers = OfferedLogs::default();
        let page = longer.after(2)[..1].to_vec();
        assert_eq!(offers.add(&user(BOB), &known, page, &signed(&longer)), Offer::More(3));
        let rest = longer.after(3).to_vec();
        assert_eq!(offers.add(&user(BOB), &known, rest, &signed(&longer)), Offer::Complete(Box::new(longer)));
    }

    #[test]
    fn entries_after_another_entry_prove_a_split_view() {
        let (mut other, longer) = logs();
        extend(&mut other, &[(ANA, ANA, Change::Topic("other".into()))]);
        let entries = longer.after(3).to_vec();
        let mut offers = OfferedLogs::default();
        assert_eq!(offers.add(&user(BOB), &other, entries.clone(), &signed(&longer)), Offer::Split);
        let by_member = longer.head().sign(&author(BOB).seed);
        assert_eq!(offers.add(&user(BOB), &other, entries, &by_member), Offer::Useless, "the control");
    }

    #[test]
    fn member_cannot_lengthen_the_log_alone() {
        let (known, longer) = logs();
        let entries = longer.after(2).to_vec();
        let mut offers = OfferedLogs::default();
        let by_member = longer.head().sign(&author(BOB).seed);
        assert_eq!(offers.add(&user(BOB), &known, entries.clone(), &by_member), Offer::Useless);
        let mut other = known.clone();
        extend(&mut other, &[(ANA, ANA, Change::Topic("one".into())), (ANA, ANA, Change::Topic("x".into()))]);
        assert_eq!(offers.add(&user(BOB), &known, entries.clone(), &signed(&other)), Offer::Useless);
        assert_eq!(offers.add(&user(BOB), &known, entries[1..].to_vec(), &signed(&longer)), Offer::Useless);
        assert_eq!(
            offers.add(&user(BOB), &known, Vec::new(), &signed(&longer)),
            Offer::Useless,
            "nothing new"
        );
        // Control: the same entries with the tracker's signature.
        assert!(matches!(offers.add(&user(BOB), &known, entries, &signed(&longer)), Offer::Complete(_)));
    }
}
