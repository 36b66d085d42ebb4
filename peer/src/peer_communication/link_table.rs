//! The link table: which peers should be linked, which are, who dials, and which of two links stays. Pure: time is an
//! argument, and `H` is a handle of a link.
//!
//! Two peers keep one link. The peer with the smaller user name dials at once. The other dials after [`DIAL_GRACE`], in
//! which the first link usually arrives. If both dialled, the link of the smaller name stays: both sides see the same
//! two links and decide alike. A link of a newer instance, which is a restarted program, replaces the older one at
//! once.
//!
//! Example: ana and bob dial each other at the same moment. Both keep the link that ana dialled and retire the other.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use commons::keys::PublicKey;
use commons::names::Username;
use tokio::time::Instant;

use crate::limits::{DIAL_BACKOFF, DIAL_GRACE, LEGACY_FORGETS, LINKS_MAX, ORIGINAL_LINKS_MAX, RETIRE_TIME};

/// Id of a link, unique within one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct LinkId(pub(crate) u64);

/// Request that a peer be linked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wish {
    /// Address to dial. `None` means the peer is not connected: a standing link is kept, but none is made.
    pub(crate) address: Option<SocketAddr>,
    /// Whether the user asked for the link, so it is dialled without a grace period.
    pub(crate) eager: bool,
}

/// A new link that waits for admission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NewLink {
    /// Start time of the other program in milliseconds since 1970; `None` for a legacy client.
    pub(crate) instance: Option<u64>,
    /// Whether this side dialled.
    pub(crate) dialled: bool,
    /// The key that the other side has proven; `None` for a legacy client.
    pub(crate) key: Option<PublicKey>,
}

/// Decision on a new link.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Admit<H> {
    /// The link stays.
    Kept {
        /// Whether frames are written to this link now.
        writes: bool,
        /// Links that it replaces. They are still read to their end.
        retired: Vec<H>,
    },
    /// Another link serves the peer, or there are too many links.
    Refused,
}

#[derive(Debug)]
struct Linked<H> {
    id: LinkId,
    offer: NewLink,
    handle: H,
}

#[derive(Debug)]
struct Entry<H> {
    wish: Option<Wish>,
    links: Vec<Linked<H>>,
    dialling: bool,
    due: Instant,
    failures: u32,
}

/// All links of this peer, and the requests for them.
#[derive(Debug)]
pub(crate) struct LinkTable<H> {
    me: Username,
    entries: BTreeMap<Username, Entry<H>>,
    forgetting: BTreeMap<Username, Forgetting>,
}

/// A legacy client whose last links have ended or are ending. When it notices the end, it removes its entry of our
/// name, even if a newer link has taken its place. So it is not dialled before that.
#[derive(Debug)]
struct Forgetting {
    /// Number of links that the other side has not closed yet.
    open: usize,
    until: Instant,
}

impl Forgetting {
    fn new(open: usize, now: Instant) -> Self {
        Self { open, until: now + if open == 0 { LEGACY_FORGETS } else { RETIRE_TIME } }
    }
}

impl<H: Clone> LinkTable<H> {
    pub(crate) fn new(me: Username) -> Self {
        Self { me, entries: BTreeMap::new(), forgetting: BTreeMap::new() }
    }

    /// Sets which peers should be linked from now on. Returns the links that are no longer wanted, with their users.
    pub(crate) fn want(
        &mut self,
        wishes: &BTreeMap<Username, Wish>,
        now: Instant,
    ) -> Vec<(Username, Vec<H>)> {
        for (user, wish) in wishes.iter().filter(|(user, _)| **user != self.me) {
            let grace = if wish.eager || self.me < *user { Duration::ZERO } else { DIAL_GRACE };
            let entry = self.entries.entry(user.clone()).or_insert_with(|| Entry::new(now + grace));
            let before = entry.wish.replace(*wish);
            if before.is_none_or(|before| before.address != wish.address || (wish.eager && !before.eager)) {
                (entry.due, entry.failures) = (now + grace, 0);
            }
        }
        self.forgetting.retain(|_, forgetting| forgetting.until > now);
        let mut dropped = Vec::new();
        for (user, entry) in &mut self.entries {
            if entry.wish.is_some() && !wishes.contains_key(user) {
                entry.wish = None;
                if entry.is_legacy() {
                    self.forgetting.insert(user.clone(), Forgetting::new(entry.links.len(), now));
                }
                dropped.push((user.clone(), entry.links.drain(..).map(|link| link.handle).collect()));
            }
        }
        self.forget_idle();
        dropped
    }

    /// Takes the peers whose dial is due, and marks them as being dialled.
    pub(crate) fn take_due(&mut self, now: Instant) -> Vec<(Username, SocketAddr)> {
        let forgetting = &self.forgetting;
        let is_due =
            |user: &Username, entry: &Entry<H>| due(forgetting, user, entry).is_some_and(|due| due <= now);
        let due = self.entries.iter_mut().filter(|(user, entry)| is_due(user, entry));
        due.filter_map(|(user, entry)| {
            entry.dialling = true;
            Some((user.clone(), entry.wish?.address?))
        })
        .collect()
    }

    /// Time at which the next dial is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.entries.iter().filter_map(|(user, entry)| due(&self.forgetting, user, entry)).min()
    }

    /// Schedules the next try after a failed dial. The pause grows as [`DIAL_BACKOFF`] says.
    pub(crate) fn dial_failed(&mut self, user: &Username, now: Instant) {
        if let Some(entry) = self.entries.get_mut(user) {
            let (first, most) = DIAL_BACKOFF;
            entry.dialling = false;
            entry.due = now + most.min(first * 2_u32.pow(entry.failures.min(8)));
            entry.failures += 1;
        }
        self.forget_idle();
    }

    /// Admits or refuses a new link by the rule at the top of this file.
    pub(crate) fn offer(
        &mut self,
        user: &Username,
        id: LinkId,
        offer: NewLink,
        handle: H,
        now: Instant,
    ) -> Admit<H> {
        let crowded = self.entries.values().map(|entry| entry.links.len()).sum::<usize>() >= LINKS_MAX;
        let me = self.me.clone();
        let entry = self.entries.entry(user.clone()).or_insert_with(|| Entry::new(now));
        if offer.dialled {
            entry.dialling = false;
        }
        let refused = match (offer.instance, entry.links.first().map(|link| link.offer)) {
            (_, None) => crowded,
            (None, Some(other)) => {
                other.instance.is_some() || entry.links.len() >= ORIGINAL_LINKS_MAX || crowded
            }
            (Some(_), Some(NewLink { instance: None, .. })) => false,
            (Some(new), Some(NewLink { instance: Some(old), dialled, .. })) => {
                let mine_stays = me < *user;
                new < old || (new == old && dialled != offer.dialled && dialled == mine_stays)
            }
        };
        if refused {
            self.forget_idle();
            return Admit::Refused;
        }
        entry.failures = 0;
        let retired: Vec<H> = match offer.instance {
            None => Vec::new(),
            Some(_) => entry.links.drain(..).map(|link| link.handle).collect(),
        };
        entry.links.push(Linked { id, offer, handle });
        Admit::Kept { writes: entry.links.len() == 1, retired }
    }

    /// Makes a dial due at once and resets its backoff.
    pub(crate) fn dial_now(&mut self, user: &Username, now: Instant) {
        if let Some(entry) = self.entries.get_mut(user) {
            (entry.due, entry.failures) = (now, 0);
        }
    }

    /// Removes a link that has ended. Returns the peer's other links, which must end too: a legacy client forgets a peer
    /// when either of their two links closes. Returns `None` for a link that was removed before.
    pub(crate) fn lost(&mut self, user: &Username, id: LinkId, now: Instant) -> Option<Vec<H>> {
        let place =
            self.entries.get(user).and_then(|entry| entry.links.iter().position(|link| link.id == id));
        let Some(at) = place else {
            self.forgot(user, now);
            return None;
        };
        let entry = self.entries.get_mut(user)?;
        let legacy = entry.is_legacy();
        entry.links.remove(at);
        entry.due = now + DIAL_GRACE;
        let rest: Vec<H> = entry.links.drain(..).map(|link| link.handle).collect();
        if legacy {
            self.forgetting.insert(user.clone(), Forgetting::new(rest.len(), now));
        }
        self.forget_idle();
        Some(rest)
    }

    /// Counts down the links of a legacy client that the other side still has to close.
    fn forgot(&mut self, user: &Username, now: Instant) {
        if let Some(forgetting) = self.forgetting.get_mut(user) {
            *forgetting = Forgetting::new(forgetting.open.saturating_sub(1), now);
        }
    }

    /// Whether a link to this user stands.
    pub(crate) fn is_linked(&self, user: &Username) -> bool {
        self.entries.get(user).is_some_and(|entry| !entry.links.is_empty())
    }

    /// Whether the peer is known to use a legacy client.
    pub(crate) fn is_original(&self, user: &Username) -> bool {
        self.entries.get(user).is_some_and(Entry::is_legacy)
    }

    /// Start time of the program at the other end in milliseconds since 1970, as it claims. `None` without a link, and
    /// for a legacy client.
    pub(crate) fn instance(&self, user: &Username) -> Option<u64> {
        self.entries.get(user)?.links.first()?.offer.instance
    }

    /// The key that the standing link has proven.
    pub(crate) fn key(&self, user: &Username) -> Option<PublicKey> {
        self.entries.get(user)?.links.first()?.offer.key
    }

    /// The links to a user whose proven key does not satisfy `is_good`.
    pub(crate) fn links_by_others(&self, user: &Username, is_good: impl Fn(&PublicKey) -> bool) -> Vec<H> {
        let links = self.entries.get(user).map(|entry| entry.links.as_slice()).unwrap_or_default();
        let others = links.iter().filter(|link| link.offer.key.is_some_and(|key| !is_good(&key)));
        others.map(|link| link.handle.clone()).collect()
    }

    /// The handles of all links.
    pub(crate) fn handles(&self) -> Vec<H> {
        self.entries.values().flat_map(|entry| &entry.links).map(|link| link.handle.clone()).collect()
    }

    fn forget_idle(&mut self) {
        self.entries.retain(|_, entry| entry.wish.is_some() || !entry.links.is_empty() || entry.dialling);
    }
}

impl<H> Entry<H> {
    fn new(due: Instant) -> Self {
        Self { wish: None, links: Vec::new(), dialling: false, due, failures: 0 }
    }

    /// Whether a link to a legacy client stands.
    fn is_legacy(&self) -> bool {
        self.links.first().is_some_and(|link| link.offer.instance.is_none())
    }

    fn waits_until(&self) -> Option<Instant> {
        let idle = self.links.is_empty() && !self.dialling;
        (idle && self.wish.is_some_and(|wish| wish.address.is_some())).then_some(self.due)
    }
}

/// Time at which this peer is to be dialled, if it is.
fn due<H>(forgetting: &BTreeMap<Username, Forgetting>, user: &Username, entry: &Entry<H>) -> Option<Instant> {
    let due = entry.waits_until()?;
    Some(forgetting.get(user).map_or(due, |forgetting| due.max(forgetting.until)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> Username {
        Username::parse(name).unwrap()
    }

    fn table(me: &str) -> LinkTable<u32> {
        LinkTable::new(user(me))
    }

    fn wish(name: &str, eager: bool) -> BTreeMap<Username, Wish> {
        let address = Some(SocketAddr::from(([127, 0, 0, 1], 5000)));
        BTreeMap::from([(user(name), Wish { address, eager })])
    }

    fn ours(instance: u64, dialled: bool) -> NewLink {
        NewLink { instance: Some(instance), dialled, key: None }
    }

    #[tokio::test]
    async fn the_smaller_name_dials_at_once_and_the_other_after_a_grace() {
        let now = Instant::now();
        let (mut ana, mut bob) = (table("ana"), table("bob"));
        ana.want(&wish("bob", false), now);
        bob.want(&wish("ana", false), now);
        assert_eq!(ana.take_due(now).len(), 1);
        assert!(ana.take_due(now).is_empty(), "a dial is under way");
        assert!(bob.take_due(now).is_empty());
        assert_eq!(bob.next_due(), Some(now + DIAL_GRACE));
        assert_eq!(bob.take_due(now + DIAL_GRACE).len(), 1);
    }

    #[tokio::test]
    async fn who_asks_for_a_private_chat_dials_at_once() {
        let now = Instant::now();
        let mut bob = table("bob");
        bob.want(&wish("ana", true), now);
        assert_eq!(bob.take_due(now).len(), 1);
    }

    #[tokio::test]
    async fn of_two_links_both_sides_keep_the_smaller_dialers() {
        let now = Instant::now();
        for anas_first in [true, false] {
            let (mut ana, mut bob) = (table("ana"), table("bob"));
            let order = if anas_first { [true, false] } else { [false, true] };
            let mut kept = Vec::new();
            for (table, other) in [(&mut ana, "bob"), (&mut bob, "ana")] {
                let mut stands = None;
                for ana_dialled in order {
                    let dialled = ana_dialled == (other == "bob");
                    let link = u32::from(ana_dialled);
                    let placed = table.offer(&user(other), LinkId(link.into()), ours(7, dialled), link, now);
                    if let Admit::Kept { retired, .. } = placed {
                        assert_eq!(retired, Vec::from_iter(stands.replace(link)));
                    }
                }
                kept.push(stands);
            }
            assert_eq!(kept, [Some(1), Some(1)], "ana's link stays on both sides");
        }
    }

    #[tokio::test]
    async fn a_newer_instance_replaces_and_an_older_one_does_not() {
        let now = Instant::now();
        let mut bob = table("bob");
        bob.offer(&user("ana"), LinkId(1), ours(7, false), 1, now);
        let placed = bob.offer(&user("ana"), LinkId(2), ours(8, false), 2, now);
        assert_eq!(placed, Admit::Kept { writes: true, retired: vec![1] });
        assert_eq!(bob.offer(&user("ana"), LinkId(3), ours(7, false), 3, now), Admit::Refused);
        assert_eq!(bob.lost(&user("ana"), LinkId(1), now), None, "an old link's end is nobody's news");
        assert_eq!(bob.lost(&user("ana"), LinkId(2), now), Some(vec![]));
    }

    #[tokio::test]
    async fn an_original_program_keeps_two_links_that_fall_together() {
        let now = Instant::now();
        let mut bob = table("bob");
        let original = |dialled| NewLink { instance: None, dialled, key: None };
        let first = bob.offer(&user("py"), LinkId(1), original(true), 1, now);
        assert_eq!(first, Admit::Kept { writes: true, retired: vec![] });
        let second = bob.offer(&user("py"), LinkId(2), original(false), 2, now);
        assert_eq!(second, Admit::Kept { writes: false, retired: vec![] });
        assert_eq!(bob.offer(&user("py"), LinkId(3), original(false), 3, now), Admit::Refused);
        assert_eq!(bob.lost(&user("py"), LinkId(2), now), Some(vec![1]));
        assert!(!bob.is_linked(&user("py")));
    }

    #[tokio::test]
    async fn legacy_client_is_dialled_once_it_has_forgotten_its_links() {
        let now = Instant::now();
        let original = NewLink { instance: None, dialled: true, key: None };
        let mut ana = table("ana");
        ana.want(&wish("py", false), now);
        for id in [1, 2] {
            ana.offer(&user("py"), LinkId(id), original, 1, now);
        }
        // Left and joined at once: both links have yet to end.
        ana.want(&BTreeMap::new(), now);
        ana.want(&wish("py", true), now);
        assert_eq!(ana.next_due(), Some(now + RETIRE_TIME));
        let later = now + DIAL_GRACE;
        ana.lost(&user("py"), LinkId(1), later);
        assert_eq!(ana.next_due(), Some(later + RETIRE_TIME));
        ana.lost(&user("py"), LinkId(2), later);
        ana.dial_now(&user("py"), later);
        assert!(ana.take_due(later).is_empty());
        assert_eq!(ana.take_due(later + LEGACY_FORGETS).len(), 1);
        // The control: a peer of this project is dialled at once.
        ana.want(&BTreeMap::new(), now);
        ana.offer(&user("bob"), LinkId(3), ours(1, true), 3, now);
        ana.want(&wish("bob", true), now);
        ana.want(&BTreeMap::new(), now);
        ana.want(&wish("bob", true), now);
        assert_eq!(ana.take_due(now).len(), 1);
    }

    #[tokio::test]
    async fn who_is_no_longer_wanted_is_let_go_and_a_stranger_is_not() {
        let now = Instant::now();
        let mut bob = table("bob");
        bob.offer(&user("eve"), LinkId(1), ours(1, false), 1, now);
        bob.want(&wish("ana", false), now);
        bob.offer(&user("ana"), LinkId(2), ours(1, false), 2, now);
        assert_eq!(bob.want(&BTreeMap::new(), now), [(user("ana"), vec![2])]);
        assert!(bob.is_linked(&user("eve")));
        assert!(!bob.is_linked(&user("ana")));
    }

    #[tokio::test]
    async fn dials_that_fail_are_repeated_more_and_more_slowly() {
        let now = Instant::now();
        let mut ana = table("ana");
        ana.want(&wish("bob", false), now);
        let mut waits = Vec::new();
        for _ in 0..6 {
            let due = ana.next_due().unwrap();
            assert_eq!(ana.take_due(due).len(), 1);
            ana.dial_failed(&user("bob"), due);
            waits.push((ana.next_due().unwrap() - due).as_millis());
        }
        assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 8000]);
    }

    #[tokio::test]
    async fn links_are_bounded() {
        let now = Instant::now();
        let mut me = table("me");
        for n in 0..LINKS_MAX as u64 {
            let placed = me.offer(&user(&format!("p{n}")), LinkId(n), ours(1, false), 0, now);
            assert!(matches!(placed, Admit::Kept { .. }));
        }
        assert_eq!(me.offer(&user("late"), LinkId(99), ours(1, false), 0, now), Admit::Refused);
    }
}
