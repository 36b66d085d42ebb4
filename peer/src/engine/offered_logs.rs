//! The entries of rooms' logs that members offer: which member may be asked and served, at which pace.
//!
//! Example: bob names a longer log. This peer asks him for the entries at most once a second, and ignores entries that it has
//! not asked for.

use std::collections::{BTreeMap, BTreeSet};

use commons::names::Username;
use commons::room_log::entry::SignedEntry;
use commons::room_log::head::SignedHead;
use commons::room_log::log::RoomLog;
use tokio::time::Instant;
use uuid::Uuid;

use crate::engine::log_pages::{LogPages, Page};
use crate::limits::{ENTRIES_PAUSE, OFFERED_LOGS_MAX};

/// The logs that members offer, each longer than the known one and not yet complete.
#[derive(Debug, Default)]
pub(crate) struct OfferedLogs {
    pages: LogPages<(Username, Uuid), OFFERED_LOGS_MAX>,
    /// When each member was last requested to send the entries of each room.
    requested: BTreeMap<(Username, Uuid), Instant>,
    /// The questions that are not answered yet. Entries that nobody asked for are ignored.
    awaited: BTreeSet<(Username, Uuid)>,
    /// When each member got entries of each room last, and after which epoch.
    served: BTreeMap<(Username, Uuid), (Instant, u64)>,
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
            self.awaited.insert(place.clone());
            self.requested.insert(place, now);
        } else {
            self.due.insert(place);
        }
        may_request
    }

    /// Returns whether a member gets entries of a room now: once for each page, and otherwise at that pace too.
    pub(crate) fn may_serve(&mut self, to: &Username, room: Uuid, after: u64, now: Instant) -> bool {
        let place = (to.clone(), room);
        let is_early = |(at, last): &(Instant, u64)| now < *at + ENTRIES_PAUSE && after <= *last;
        let may_serve = !self.served.get(&place).is_some_and(is_early);
        if may_serve {
            self.served.insert(place, (now, after));
        }
        may_serve
    }

    /// Takes the questions that came too soon.
    pub(crate) fn take_due(&mut self) -> BTreeSet<(Username, Uuid)> {
        std::mem::take(&mut self.due)
    }

    /// Takes entries that this member was asked for. They follow the known log of a room, or the page before.
    pub(crate) fn add(
        &mut self,
        from: &Username,
        known: &RoomLog,
        entries: &[SignedEntry],
        head: &SignedHead,
    ) -> Offer {
        let place = (from.clone(), known.state().id());
        if !self.awaited.remove(&place) {
            return Offer::Useless;
        }
        match self.pages.add(&place, Some(known), entries, head, true) {
            Page::Complete(log) => Offer::Complete(log),
            Page::Split => Offer::Split,
            Page::Part(after) => {
                self.awaited.insert(place);
                Offer::More(after)
            }
            Page::Nothing | Page::OtherHead | Page::Invalid => Offer::Useless,
        }
    }

    /// Forgets what a member offered, whose link has closed.
    pub(crate) fn forget(&mut self, from: &Username) {
        self.pages.forget(|(user, _)| user == from);
        self.requested.retain(|(user, _), _| user != from);
        self.due.retain(|(user, _)| user != from);
        self.awaited.retain(|(user, _)| user != from);
        self.served.retain(|(user, _), _| user != from);
    }
}

#[cfg(test)]
mod tests {
    use commons::room_log::entry::Change;

    use super::*;
    use crate::history::testing::{ANA, BOB, author, device, extend, joined, room_log, user};

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

    /// Takes the answer of bob to a question.
    fn answered(
        offers: &mut OfferedLogs,
        known: &RoomLog,
        entries: &[SignedEntry],
        head: &SignedHead,
    ) -> Offer {
        offers.awaited.insert((user(BOB), known.state().id()));
        offers.add(&user(BOB), known, entries, head)
    }

    #[test]
    fn entries_that_follow_an_own_offer_prove_nothing() {
        let (known, longer) = logs();
        let mut made_up = known.clone();
        extend(&mut made_up, &[(BOB, BOB, Change::Device(device("phone")))]);
        let mut offers = OfferedLogs::default();
        let page = made_up.after(2).to_vec();
        assert_eq!(answered(&mut offers, &known, &page, &signed(&longer)), Offer::More(3));
        let true_one = longer.after(3).to_vec();
        assert_eq!(answered(&mut offers, &known, &true_one, &signed(&longer)), Offer::Useless);
    }

    #[test]
    fn entries_that_nobody_asked_for_are_ignored() {
        let (known, longer) = logs();
        let (mut offers, entries) = (OfferedLogs::default(), longer.after(2).to_vec());
        let (id, now) = (known.state().id(), Instant::now());
        assert_eq!(offers.add(&user(BOB), &known, &entries, &signed(&longer)), Offer::Useless);
        assert!(offers.may_request(&user(BOB), id, now) && !offers.may_request(&user(BOB), id, now));
        assert!(matches!(offers.add(&user(BOB), &known, &entries, &signed(&longer)), Offer::Complete(_)));
        assert_eq!(offers.take_due(), [(user(BOB), id)].into(), "the second question is due later");
        assert!(offers.may_serve(&user(BOB), id, 2, now) && !offers.may_serve(&user(BOB), id, 2, now));
        assert!(offers.may_serve(&user(BOB), id, 3, now), "the next page");
    }

    #[test]
    fn entries_count_up_to_a_head_that_the_tracker_signed() {
        let (known, longer) = logs();
        let mut offers = OfferedLogs::default();
        let page = longer.after(2)[..1].to_vec();
        assert_eq!(answered(&mut offers, &known, &page, &signed(&longer)), Offer::More(3));
        let rest = longer.after(3).to_vec();
        assert_eq!(answered(&mut offers, &known, &rest, &signed(&longer)), Offer::Complete(Box::new(longer)));
    }

    #[test]
    fn entries_after_another_entry_prove_a_split_view() {
        let (mut other, longer) = logs();
        extend(&mut other, &[(ANA, ANA, Change::Topic("other".into()))]);
        let entries = longer.after(3).to_vec();
        let mut offers = OfferedLogs::default();
        assert_eq!(answered(&mut offers, &other, &entries, &signed(&longer)), Offer::Split);
        let by_member = longer.head().sign(&author(BOB).seed);
        assert_eq!(answered(&mut offers, &other, &entries, &by_member), Offer::Useless, "the control");
    }

    #[test]
    fn member_cannot_lengthen_the_log_alone() {
        let (known, longer) = logs();
        let entries = longer.after(2).to_vec();
        let mut offers = OfferedLogs::default();
        let by_member = longer.head().sign(&author(BOB).seed);
        assert_eq!(answered(&mut offers, &known, &entries, &by_member), Offer::Useless);
        let mut other = known.clone();
        extend(&mut other, &[(ANA, ANA, Change::Topic("one".into())), (ANA, ANA, Change::Topic("x".into()))]);
        assert_eq!(answered(&mut offers, &known, &entries, &signed(&other)), Offer::Useless);
        assert_eq!(answered(&mut offers, &known, &entries[1..], &signed(&longer)), Offer::Useless);
        assert_eq!(answered(&mut offers, &known, &[], &signed(&longer)), Offer::Useless, "nothing new");
        // Control: the same entries with the tracker's signature.
        assert!(matches!(answered(&mut offers, &known, &entries, &signed(&longer)), Offer::Complete(_)));
    }
}
