//! The link table: which peers should be linked, which are, who dials, and which of two links stays. Pure: time is an
//! argument, and `H` is a handle of a link.
//!
//! Two peers keep one link. The peer with the smaller user name dials at once. The other dials after [`DIAL_GRACE`], in
//! which the first link usually arrives. If both dialled, the link of the smaller name stays: both sides see the same
//! two links and decide alike. A link of a newer instance, which is a restarted program, replaces the older one at
//! once.
//!
//! A user who cannot be dialled is given up until there is news: another address, presence, a sign-in at the tracker, or a
//! command. An address at which the user proved a key is dialled again and again.
//!
//! There are at most [`LINKS_MAX`] links. If there are as many, a link to a user for whom no link is wanted makes way: for a
//! wanted user at once, for any other user after [`UNWANTED_LINK_TIME`]. So unknown users keep no friend out.
//!
//! Example: ana and bob dial each other at the same moment. Both keep the link that ana dialled and retire the other.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use commons::keys::PublicKey;
use commons::names::Username;
use commons::net::backoff::Backoff;
use tokio::time::Instant;

use crate::limits::{
    DIAL_BACKOFF, DIAL_GRACE, DIAL_TRIES, LEGACY_FORGETS, LEGACY_LINKS_MAX, LINKS_MAX, REFUSED_DIALS,
    RETIRE_TIME, UNWANTED_LINK_TIME,
};
use crate::peer_communication::dial_limiter::DialLimiter;
use crate::peer_communication::dialect::Dialect;

/// Id of a link, unique within one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct LinkId(pub(crate) u64);

/// Request that a peer be linked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Target {
    /// Address to dial. `None` means the peer is not connected: a standing link is kept, but none is made.
    pub(crate) address: Option<SocketAddr>,
    /// Whether the user asked for the link, so it is dialled without a grace period.
    pub(crate) eager: bool,
    /// Whether the user has proven a pinned key at the address.
    pub(crate) is_proven: bool,
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
    /// The protocol variant of the program at the other end.
    pub(crate) dialect: Dialect,
}

/// Decision on a new link.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Admit<H> {
    /// The link stays.
    Accepted {
        /// Whether frames are written to this link now.
        writes: bool,
        /// Links that it replaces or displaces. They are still read to their end.
        retired: Vec<H>,
    },
    /// Another link serves the peer, or there are too many links.
    Refused,
}

#[derive(Debug)]
struct Linked<H> {
    id: LinkId,
    new: NewLink,
    since: Instant,
    handle: H,
}

#[derive(Debug)]
struct Entry<H> {
    target: Option<Target>,
    links: Vec<Linked<H>>,
    dialling: bool,
    due: Instant,
    backoff: Backoff,
    /// The number of failed dials since there was news of this user.
    failures: u32,
    /// Whether the user is not dialled until there is news.
    is_given_up: bool,
}

/// All links of this peer, and the requests for them.
#[derive(Debug)]
pub(crate) struct LinkTable<H> {
    me: Username,
    entries: BTreeMap<Username, Entry<H>>,
    forgetting: BTreeMap<Username, Forgetting>,
    limiter: DialLimiter,
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
        Self { me, entries: BTreeMap::new(), forgetting: BTreeMap::new(), limiter: DialLimiter::default() }
    }

    /// Sets which peers should be linked from now on. Returns the links that are no longer wanted, with their users.
    pub(crate) fn set_targets(
        &mut self,
        targets: &BTreeMap<Username, Target>,
        now: Instant,
    ) -> Vec<(Username, Vec<H>)> {
        for (user, target) in targets.iter().filter(|(user, _)| **user != self.me) {
            let grace = if target.eager || self.me < *user { Duration::ZERO } else { DIAL_GRACE };
            let entry = self.entries.entry(user.clone()).or_insert_with(|| Entry::new(now + grace));
            let before = entry.target.replace(*target);
            if before.is_none_or(|before| before.address != target.address || (target.eager && !before.eager))
            {
                entry.dial_at(now + grace);
            }
        }
        self.forgetting.retain(|_, forgetting| forgetting.until > now);
        let mut dropped = Vec::new();
        for (user, entry) in &mut self.entries {
            if entry.target.is_some() && !targets.contains_key(user) {
                entry.target = None;
                if entry.is_legacy() {
                    self.forgetting.insert(user.clone(), Forgetting::new(entry.links.len(), now));
                }
                dropped.push((user.clone(), entry.links.drain(..).map(|link| link.handle).collect()));
            }
        }
        self.forget_idle();
        dropped
    }

    /// Takes the peers whose dial is due, and marks them as being dialled. The last field says whether the address is
    /// proven.
    pub(crate) fn next_dials(&mut self, now: Instant) -> Vec<(Username, SocketAddr, bool)> {
        let (forgetting, limiter) = (&self.forgetting, &mut self.limiter);
        let is_due =
            |user: &Username, entry: &Entry<H>| due(forgetting, user, entry).is_some_and(|due| due <= now);
        let due = self.entries.iter_mut().filter(|(user, entry)| is_due(user, entry));
        due.filter_map(|(user, entry)| {
            let Target { address, is_proven, .. } = entry.target?;
            if !is_proven && let Err(free) = limiter.try_acquire(now) {
                entry.due = free;
                return None;
            }
            entry.dialling = true;
            Some((user.clone(), address?, is_proven))
        })
        .collect()
    }

    /// Time at which the next dial is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.entries.iter().filter_map(|(user, entry)| due(&self.forgetting, user, entry)).min()
    }

    /// Schedules the next try after a failed dial. The pause grows as [`DIAL_BACKOFF`] says. After [`DIAL_TRIES`] the
    /// user is given up, unless the address is proven.
    pub(crate) fn dial_failed(&mut self, user: &Username, now: Instant) {
        if let Some(entry) = self.entries.get_mut(user) {
            entry.note_failure(now);
            let is_proven = entry.target.is_some_and(|target| target.is_proven);
            entry.is_given_up = entry.failures >= DIAL_TRIES && !is_proven;
        }
        self.forget_idle();
    }

    /// Schedules the next look at a user whose address was not dialled: meanwhile that user may dial. After
    /// [`REFUSED_DIALS`] the user is given up, and the result is true.
    pub(crate) fn dial_refused(&mut self, user: &Username, now: Instant) -> bool {
        let is_given_up = self.entries.get_mut(user).is_some_and(|entry| {
            entry.note_failure(now);
            entry.is_given_up = entry.failures >= REFUSED_DIALS;
            entry.is_given_up
        });
        self.forget_idle();
        is_given_up
    }

    /// Dials the users again that were given up: this one, or all.
    pub(crate) fn retry_given_up(&mut self, user: Option<&Username>, now: Instant) {
        let entries = self.entries.iter_mut().filter(|(name, _)| user.is_none_or(|user| user == *name));
        entries.filter(|(_, entry)| entry.is_given_up).for_each(|(_, entry)| entry.dial_at(now));
    }

    /// Admits or refuses a new link by the rule at the top of this file.
    pub(crate) fn admit(
        &mut self,
        user: &Username,
        id: LinkId,
        new: NewLink,
        handle: H,
        now: Instant,
    ) -> Admit<H> {
        let displaced = self.displaced_by(user, now);
        let crowded = self.is_full() && displaced.is_none();
        let me = self.me.clone();
        let entry = self.entries.entry(user.clone()).or_insert_with(|| Entry::new(now));
        if new.dialled {
            entry.dialling = false;
        }
        let refused = match (new.instance, entry.links.first().map(|link| link.new)) {
            (_, None) => crowded,
            (None, Some(other)) => {
                other.instance.is_some() || entry.links.len() >= LEGACY_LINKS_MAX || crowded
            }
            (Some(_), Some(NewLink { instance: None, .. })) => false,
            (Some(later), Some(NewLink { instance: Some(old), dialled, .. })) => {
                let mine_stays = me < *user;
                later < old || (later == old && dialled != new.dialled && dialled == mine_stays)
            }
        };
        if refused {
            self.forget_idle();
            return Admit::Refused;
        }
        entry.dial_at(now);
        let mut retired: Vec<H> = match new.instance {
            None => Vec::new(),
            Some(_) => entry.links.drain(..).map(|link| link.handle).collect(),
        };
        entry.links.push(Linked { id, new, since: now, handle });
        let writes = entry.links.len() == 1;
        if retired.is_empty()
            && let Some((user, id, handle)) = displaced
        {
            retired.push(handle);
            retired.extend(self.remove(&user, id, now).unwrap_or_default());
        }
        Admit::Accepted { writes, retired }
    }

    fn is_full(&self) -> bool {
        self.entries.values().map(|entry| entry.links.len()).sum::<usize>() >= LINKS_MAX
    }

    /// The link that makes way for a new one of this user, if the table is full: the oldest to a user for whom no link
    /// is wanted.
    fn displaced_by(&self, user: &Username, now: Instant) -> Option<(Username, LinkId, H)> {
        let is_wanted = self.entries.get(user).is_some_and(|entry| entry.target.is_some());
        let unwanted = self.entries.iter().filter(|(other, entry)| *other != user && entry.target.is_none());
        let links = unwanted.flat_map(|(other, entry)| entry.links.iter().map(move |link| (other, link)));
        let (other, link) = links.min_by_key(|(_, link)| link.id.0).filter(|_| self.is_full())?;
        let makes_way = is_wanted || now >= link.since + UNWANTED_LINK_TIME;
        makes_way.then(|| (other.clone(), link.id, link.handle.clone()))
    }

    /// Makes a dial due at once and resets its backoff.
    pub(crate) fn dial_now(&mut self, user: &Username, now: Instant) {
        if let Some(entry) = self.entries.get_mut(user) {
            entry.dial_at(now);
        }
    }

    /// Removes a link that has ended. Returns the peer's other links, which must end too: a legacy client forgets a peer
    /// when either of their two links closes. Returns `None` for a link that was removed before.
    pub(crate) fn remove(&mut self, user: &Username, id: LinkId, now: Instant) -> Option<Vec<H>> {
        let found =
            self.entries.get(user).and_then(|entry| entry.links.iter().position(|link| link.id == id));
        let Some(at) = found else {
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

    /// The link that serves this user: frames for the user are written to it.
    pub(crate) fn serving(&self, user: &Username) -> Option<(LinkId, NewLink)> {
        self.entries.get(user)?.links.first().map(|link| (link.id, link.new))
    }

    /// The links to a user that proved another key than these.
    pub(crate) fn links_by_others(&self, user: &Username, pinned: &[PublicKey]) -> Vec<H> {
        let links = self.entries.get(user).map(|entry| entry.links.as_slice()).unwrap_or_default();
        let others = links.iter().filter(|link| link.new.key.is_some_and(|key| !pinned.contains(&key)));
        others.map(|link| link.handle.clone()).collect()
    }

    /// The handles of all links.
    pub(crate) fn handles(&self) -> Vec<H> {
        self.entries.values().flat_map(|entry| &entry.links).map(|link| link.handle.clone()).collect()
    }

    fn forget_idle(&mut self) {
        self.entries.retain(|_, entry| entry.target.is_some() || !entry.links.is_empty() || entry.dialling);
    }
}

impl<H> Entry<H> {
    fn new(due: Instant) -> Self {
        let (first, most) = DIAL_BACKOFF;
        let backoff = Backoff::new(first, most);
        let (target, links) = (None, Vec::new());
        Self { target, links, dialling: false, due, backoff, failures: 0, is_given_up: false }
    }

    /// Makes a dial due at this time, regardless of earlier failures.
    fn dial_at(&mut self, due: Instant) {
        self.due = due;
        self.backoff.reset();
        (self.failures, self.is_given_up) = (0, false);
    }

    fn note_failure(&mut self, now: Instant) {
        self.dialling = false;
        self.failures += 1;
        self.due = now + self.backoff.wait();
    }

    /// Whether a link to a legacy client stands.
    fn is_legacy(&self) -> bool {
        self.links.first().is_some_and(|link| link.new.instance.is_none())
    }

    fn waits_until(&self) -> Option<Instant> {
        let idle = self.links.is_empty() && !self.dialling && !self.is_given_up;
        (idle && self.target.is_some_and(|target| target.address.is_some())).then_some(self.due)
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
    use crate::limits::DIALS_MAX;

    fn user(name: &str) -> Username {
        Username::parse(name).unwrap()
    }

    fn table(me: &str) -> LinkTable<u32> {
        LinkTable::new(user(me))
    }

    fn target(name: &str, eager: bool) -> BTreeMap<Username, Target> {
        at_port(name, 5000, eager)
    }

    fn at_port(name: &str, port: u16, eager: bool) -> BTreeMap<Username, Target> {
        let address = Some(SocketAddr::from(([127, 0, 0, 1], port)));
        BTreeMap::from([(user(name), Target { address, eager, is_proven: false })])
    }

    fn ours(instance: u64, dialled: bool) -> NewLink {
        NewLink { instance: Some(instance), dialled, key: None, dialect: Dialect::Full }
    }

    #[tokio::test]
    async fn smaller_name_dials_at_once_and_the_other_after_a_grace() {
        let now = Instant::now();
        let (mut ana, mut bob) = (table("ana"), table("bob"));
        ana.set_targets(&target("bob", false), now);
        bob.set_targets(&target("ana", false), now);
        assert_eq!(ana.next_dials(now).len(), 1);
        assert!(ana.next_dials(now).is_empty(), "a dial is under way");
        assert!(bob.next_dials(now).is_empty());
        assert_eq!(bob.next_due(), Some(now + DIAL_GRACE));
        assert_eq!(bob.next_dials(now + DIAL_GRACE).len(), 1);
    }

    /// Fails every dial that is due within an hour, and returns their number and the time of the last.
    fn fail_all(me: &mut LinkTable<u32>, name: &str, start: Instant) -> (usize, Instant) {
        let (mut dials, mut now) = (0, start);
        while let Some(due) = me.next_due().filter(|due| *due < start + Duration::from_secs(3600)) {
            now = due;
            for _ in me.next_dials(now) {
                dials += 1;
                me.dial_failed(&user(name), now);
            }
        }
        (dials, now)
    }

    #[tokio::test]
    async fn peer_that_cannot_be_dialled_is_given_up_until_there_is_news() {
        let (mut ana, now) = (table("ana"), Instant::now());
        ana.set_targets(&target("bob", false), now);
        let (dials, now) = fail_all(&mut ana, "bob", now);
        assert_eq!(dials, usize::try_from(DIAL_TRIES).unwrap());
        ana.set_targets(&target("bob", false), now);
        assert_eq!(ana.next_due(), None, "nothing is new");
        ana.set_targets(&at_port("bob", 5001, false), now);
        let (dials, now) = fail_all(&mut ana, "bob", now);
        assert_eq!(dials, usize::try_from(DIAL_TRIES).unwrap(), "another address");
        ana.retry_given_up(Some(&user("carla")), now);
        assert_eq!(ana.next_due(), None);
        ana.retry_given_up(Some(&user("bob")), now);
        assert_eq!(ana.next_due(), Some(now), "a command");
        // The control: where bob has proven a key, the dials go on.
        let mut proven = target("bob", false);
        proven.values_mut().for_each(|target| target.is_proven = true);
        ana.set_targets(&proven, now);
        assert!(fail_all(&mut ana, "bob", now).0 > 100);
    }

    #[tokio::test]
    async fn ever_new_addresses_of_a_tracker_cause_few_dials() {
        let (mut ana, start) = (table("ana"), Instant::now());
        let flood = |ana: &mut LinkTable<u32>, is_proven: bool, start: Instant| {
            let mut dials = 0;
            for step in 0..3000 {
                let now = start + Duration::from_millis(10) * step;
                let mut targets = at_port("bob", 1024 + u16::try_from(step).unwrap(), false);
                targets.values_mut().for_each(|target| target.is_proven = is_proven);
                ana.set_targets(&targets, now);
                dials += ana.next_dials(now).len();
                ana.dial_failed(&user("bob"), now);
            }
            dials
        };
        assert_eq!(flood(&mut ana, false, start), DIALS_MAX);
        // The control: without the limiter each change is a dial.
        assert_eq!(flood(&mut table("ana"), true, start), 3000);
    }

    #[tokio::test]
    async fn private_chat_is_dialled_at_once() {
        let now = Instant::now();
        let mut bob = table("bob");
        bob.set_targets(&target("ana", true), now);
        assert_eq!(bob.next_dials(now).len(), 1);
    }

    #[tokio::test]
    async fn both_sides_keep_the_link_of_the_smaller_name() {
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
                    let placed = table.admit(&user(other), LinkId(link.into()), ours(7, dialled), link, now);
                    if let Admit::Accepted { retired, .. } = placed {
                        assert_eq!(retired, Vec::from_iter(stands.replace(link)));
                    }
                }
                kept.push(stands);
            }
            assert_eq!(kept, [Some(1), Some(1)], "ana's link stays on both sides");
        }
    }

    #[tokio::test]
    async fn newer_instance_replaces_the_link_and_an_older_one_not() {
        let now = Instant::now();
        let mut bob = table("bob");
        bob.admit(&user("ana"), LinkId(1), ours(7, false), 1, now);
        let placed = bob.admit(&user("ana"), LinkId(2), ours(8, false), 2, now);
        assert_eq!(placed, Admit::Accepted { writes: true, retired: vec![1] });
        assert_eq!(bob.admit(&user("ana"), LinkId(3), ours(7, false), 3, now), Admit::Refused);
        assert_eq!(
            bob.remove(&user("ana"), LinkId(1), now),
            None,
            "the end of a replaced link changes nothing"
        );
        assert_eq!(bob.remove(&user("ana"), LinkId(2), now), Some(vec![]));
    }

    #[tokio::test]
    async fn two_links_to_a_legacy_client_end_together() {
        let now = Instant::now();
        let mut bob = table("bob");
        let legacy = |dialled| NewLink { instance: None, dialled, key: None, dialect: Dialect::Legacy };
        let first = bob.admit(&user("py"), LinkId(1), legacy(true), 1, now);
        assert_eq!(first, Admit::Accepted { writes: true, retired: vec![] });
        let second = bob.admit(&user("py"), LinkId(2), legacy(false), 2, now);
        assert_eq!(second, Admit::Accepted { writes: false, retired: vec![] });
        assert_eq!(bob.admit(&user("py"), LinkId(3), legacy(false), 3, now), Admit::Refused);
        assert_eq!(bob.remove(&user("py"), LinkId(2), now), Some(vec![1]));
        assert!(bob.serving(&user("py")).is_none());
    }

    #[tokio::test]
    async fn legacy_client_is_dialled_once_it_has_forgotten_its_links() {
        let now = Instant::now();
        let legacy = NewLink { instance: None, dialled: true, key: None, dialect: Dialect::Legacy };
        let mut ana = table("ana");
        ana.set_targets(&target("py", false), now);
        for id in [1, 2] {
            ana.admit(&user("py"), LinkId(id), legacy, 1, now);
        }
        // Left and joined at once: both links have yet to end.
        ana.set_targets(&BTreeMap::new(), now);
        ana.set_targets(&target("py", true), now);
        assert_eq!(ana.next_due(), Some(now + RETIRE_TIME));
        let later = now + DIAL_GRACE;
        ana.remove(&user("py"), LinkId(1), later);
        assert_eq!(ana.next_due(), Some(later + RETIRE_TIME));
        ana.remove(&user("py"), LinkId(2), later);
        ana.dial_now(&user("py"), later);
        assert!(ana.next_dials(later).is_empty());
        assert_eq!(ana.next_dials(later + LEGACY_FORGETS).len(), 1);
        // The control: a peer of this project is dialled at once.
        ana.set_targets(&BTreeMap::new(), now);
        ana.admit(&user("bob"), LinkId(3), ours(1, true), 3, now);
        ana.set_targets(&target("bob", true), now);
        ana.set_targets(&BTreeMap::new(), now);
        ana.set_targets(&target("bob", true), now);
        assert_eq!(ana.next_dials(now).len(), 1);
    }

    #[tokio::test]
    async fn links_to_former_targets_end_and_others_stay() {
        let now = Instant::now();
        let mut bob = table("bob");
        bob.admit(&user("eve"), LinkId(1), ours(1, false), 1, now);
        bob.set_targets(&target("ana", false), now);
        bob.admit(&user("ana"), LinkId(2), ours(1, false), 2, now);
        assert_eq!(bob.set_targets(&BTreeMap::new(), now), [(user("ana"), vec![2])]);
        assert!(bob.serving(&user("eve")).is_some());
        assert!(bob.serving(&user("ana")).is_none());
    }

    #[tokio::test]
    async fn failing_dials_are_repeated_more_and_more_slowly() {
        let now = Instant::now();
        let mut ana = table("ana");
        ana.set_targets(&target("bob", false), now);
        for full in [500, 1000, 2000, 4000, 8000, 8000] {
            let due = ana.next_due().unwrap();
            assert_eq!(ana.next_dials(due).len(), 1);
            ana.dial_failed(&user("bob"), due);
            let wait = (ana.next_due().unwrap() - due).as_millis();
            assert!((full / 2..=full).contains(&wait), "{wait} of {full}");
        }
        ana.dial_now(&user("bob"), now);
        assert_eq!(ana.next_due(), Some(now));
    }

    /// Creates a table with as many links as there may be, to users p0, p1 and so on.
    fn full_table(now: Instant) -> LinkTable<u32> {
        let mut me = table("me");
        for n in 0..u32::try_from(LINKS_MAX).unwrap() {
            let placed = me.admit(&user(&format!("p{n}")), LinkId(n.into()), ours(1, false), n, now);
            assert!(matches!(placed, Admit::Accepted { .. }));
        }
        me
    }

    #[tokio::test]
    async fn unknown_users_take_a_bounded_number_of_links() {
        let now = Instant::now();
        let mut me = full_table(now);
        assert_eq!(me.admit(&user("late"), LinkId(99), ours(1, false), 99, now), Admit::Refused);
        let later = now + UNWANTED_LINK_TIME;
        let kept = Admit::Accepted { writes: true, retired: vec![0] };
        assert_eq!(me.admit(&user("late"), LinkId(100), ours(1, false), 100, later), kept);
        assert_eq!(me.handles().len(), LINKS_MAX);
    }

    #[tokio::test]
    async fn unknown_users_keep_no_wanted_user_out() {
        let now = Instant::now();
        let mut me = full_table(now);
        me.set_targets(&target("bob", false), now);
        let kept = Admit::Accepted { writes: true, retired: vec![0] };
        assert_eq!(me.admit(&user("bob"), LinkId(99), ours(1, false), 99, now), kept);
        assert_eq!(me.serving(&user("p0")), None);
        assert_eq!(me.handles().len(), LINKS_MAX);
        // A newer link of the same user replaces the old one and displaces nobody.
        let kept = Admit::Accepted { writes: true, retired: vec![99] };
        assert_eq!(me.admit(&user("bob"), LinkId(100), ours(2, false), 100, now), kept);
        // Control: wanted users do not make way.
        let everybody: BTreeMap<_, _> = (0..LINKS_MAX)
            .flat_map(|n| target(&format!("p{n}"), false))
            .chain(target("bob", false))
            .collect();
        me.set_targets(&everybody, now);
        me.set_targets(&everybody.into_iter().chain(target("late", false)).collect(), now);
        assert_eq!(me.admit(&user("late"), LinkId(101), ours(1, false), 101, now), Admit::Refused);
    }
}
