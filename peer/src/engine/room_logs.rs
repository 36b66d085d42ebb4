//! The logs of the user's rooms: a room's members are what people have signed, not what the tracker says.
//!
//! The tracker's snapshots of a room name the last entry of its log. This peer reads the entries up to there, checks each,
//! and shows the members that follow from them. From the snapshot it takes presence and addresses only. It does no I/O.
//!
//! Example: the tracker pushes a snapshot with the members ana, bob and eve, at the entry that this peer knows. By the
//! log the members are ana and bob. The rooms of the chat get ana and bob, and the user is warned of eve.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use commons::digest::Digest;
use commons::names::{RoomName, Username};
use commons::protocol::with_tracker::Reply;
use commons::room_log::entry::SignedEntry;
use commons::room_log::facts::Policy;
use commons::room_log::head::SignedHead;
use commons::room_log::log::RoomLog;
use commons::room_log::refusal::Refusal;
use commons::room_log::state::{RoomState, room_id};
use commons::snapshot::RoomSnapshot;
use uuid::Uuid;

use crate::engine::log_pages::{LogPages, Page, room_of};
use crate::engine::log_warning::LogWarning;
#[cfg(test)]
use crate::engine::omission::Omission;
use crate::engine::proven_members::ProvenMembers;
use crate::identity::known_keys::Announcement;
use crate::limits::{LOG_READS_MAX, LOG_WARNINGS_MAX, STORED_LOGS_MAX};

/// The version of the ids of rooms with a log.
const ID_OF_A_LOG: usize = 8;

/// The logs of the rooms in which the user is, and of one room that the user is about to join.
#[derive(Debug, Default)]
pub(crate) struct RoomLogs {
    logs: BTreeMap<Uuid, Arc<RoomLog>>,
    /// The signed heads of the logs, as far as they are known. One counts while the log has not grown beyond it.
    heads: BTreeMap<Uuid, SignedHead>,
    /// The pages of logs that the tracker has begun to give.
    pub(in crate::engine) pages: LogPages<Uuid, LOG_READS_MAX>,
    /// The rooms that the user entered on this device.
    entered: BTreeSet<Uuid>,
    /// The newest snapshot of each room whose later entries were not read yet.
    waiting: BTreeMap<Uuid, RoomSnapshot>,
    /// The room that was read last, although the user is not in it.
    candidate: Option<Uuid>,
    /// The rooms of which the tracker has shown two different states, and the other entries that were shown.
    split: BTreeMap<Uuid, HashSet<Digest>>,
    /// The other entries that the user knows of, having looked at the room.
    seen_splits: HashSet<(Uuid, Digest)>,
    warned: BTreeSet<(Uuid, LogWarning)>,
    pub(in crate::engine) members: ProvenMembers,
}

/// The result of the comparison of a head with the own log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeadComparison {
    /// The head is of another room, or not signed by the room's tracker: it says nothing.
    Unsigned,
    /// The own log has this entry.
    Equal,
    /// The own log has no entry of this epoch yet.
    Longer,
    /// The own log has another entry of this epoch: the tracker has signed two.
    Split,
}

/// The result of the check of a snapshot.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Checked {
    /// The room with the members that its log proves; `None` if nothing is proven yet.
    pub(crate) room: Option<RoomSnapshot>,
    /// The room whose log must be read, and the epoch after which.
    pub(crate) wanted: Option<(RoomName, u64)>,
    /// The contradictions that the user was not warned of yet.
    pub(crate) warnings: Vec<LogWarning>,
}

impl RoomLogs {
    /// Continues with the logs of earlier runs, and with the last snapshots of the rooms.
    pub(crate) fn resume<'a>(
        &mut self,
        logs: &[Arc<RoomLog>],
        rooms: impl Iterator<Item = &'a RoomSnapshot>,
    ) {
        self.logs.extend(logs.iter().map(|log| (log.state().id(), Arc::clone(log))));
        self.entered.extend(self.logs.keys());
        for room in rooms {
            if let Some(log) = self.logs.get(&room.id) {
                self.members.resume(log.state(), room);
            }
        }
    }

    /// Sets whether members who do not sign count in rooms that allow them. A tracker elsewhere could make them up.
    pub(crate) fn set_counts_unsigned(&mut self, counts_unsigned: bool) {
        self.members.counts_unsigned = counts_unsigned;
    }

    /// The log of a room.
    pub(crate) fn get(&self, room: Uuid) -> Option<&Arc<RoomLog>> {
        self.logs.get(&room)
    }

    /// The log of the room of this name that was read last.
    pub(crate) fn candidate(&self, name: &RoomName) -> Option<&Arc<RoomLog>> {
        self.logs.get(&self.candidate?).filter(|log| log.state().name() == name)
    }

    /// Whether the tracker has shown two different states of a room.
    pub(crate) fn is_split(&self, room: Uuid) -> bool {
        self.split.contains_key(&room)
    }

    /// Notes that the tracker has shown another entry of a room. It counts until the user has looked at the room.
    pub(crate) fn note_split(&mut self, room: Uuid, other: Digest) {
        if !self.seen_splits.contains(&(room, other)) && self.seen_splits.len() < LOG_WARNINGS_MAX {
            self.split.entry(room).or_default().insert(other);
        }
    }

    /// Notes that the user has looked at a room of which the tracker has shown two states.
    pub(crate) fn looked_at(&mut self, room: Uuid) {
        let others = self.split.remove(&room).into_iter().flatten();
        self.seen_splits.extend(others.map(|other| (room, other)));
    }

    /// Forgets what was noted about all rooms but these and the one that was read last. The logs stay up to a bound, so
    /// that nobody can show an older one when the user comes back.
    pub(crate) fn keep(&mut self, rooms: &BTreeSet<Uuid>) {
        let candidate = self.candidate;
        let stays = |room: &Uuid| rooms.contains(room) || candidate == Some(*room);
        if self.logs.len() > STORED_LOGS_MAX + rooms.len() {
            self.logs.retain(|room, _| stays(room));
        }
        self.heads.retain(|room, _| stays(room));
        self.members.retain(stays);
        self.waiting.retain(|room, _| stays(room));
        self.split.retain(|room, _| stays(room));
        self.entered.extend(rooms);
        self.warned.retain(|(room, _)| stays(room));
    }

    /// Checks a snapshot of a room in which the user is, or which the user enters.
    pub(crate) fn check(&mut self, shown: RoomSnapshot) -> Checked {
        if let Some(log) = self.logs.get(&shown.id) {
            self.members.note_unsigned(log.state(), &shown);
        }
        let (id, log) = (shown.id, self.logs.get(&shown.id));
        let (Some(position), known) = (shown.log, log) else {
            let Some(log) = log else {
                // A room without a log, as earlier versions and original programs create.
                let is_plain = id.get_version_num() != ID_OF_A_LOG;
                let warnings = if is_plain { Vec::new() } else { self.warn(id, [LogWarning::NoLog]) };
                return Checked { room: is_plain.then_some(shown), warnings, ..Checked::default() };
            };
            let room = Some(self.members.proven(log.state(), &shown));
            return Checked { room, warnings: self.warn(id, [LogWarning::NoLog]), ..Checked::default() };
        };
        let Some(log) = known else {
            let wanted = Some((shown.name.clone(), 0));
            self.waiting.insert(id, shown);
            return Checked { wanted, ..Checked::default() };
        };
        #[cfg(test)]
        if position.epoch < log.head().epoch && self.members.omits(Omission::NewestState) {
            return Checked {
                room: Some(self.members.at_epoch(log, position.epoch, &shown)),
                ..Checked::default()
            };
        }
        let (head, room) = (log.head(), Some(self.members.proven(log.state(), &shown)));
        let at_head = Some((log.state().name().clone(), head.epoch));
        let Some(known) = log.digest_at(position.epoch) else {
            self.waiting.insert(id, shown);
            return Checked { room, wanted: at_head, warnings: Vec::new() };
        };
        let found = if position.head != known {
            self.note_split(id, position.head);
            vec![LogWarning::Split]
        } else if position.epoch == head.epoch {
            self.members.ghosts(log.state(), &shown)
        } else {
            Vec::new()
        };
        // A member may have shown the later entries before this snapshot came. Only the tracker's answer to a question shows
        // whether it has them. The answer also brings the signature.
        let wanted = at_head.filter(|_| position.epoch < head.epoch || self.signed_head(id).is_none());
        self.waiting.remove(&id);
        Checked { room, wanted, warnings: self.warn(id, found) }
    }

    /// Returns the room of a snapshot with the members that its log proves, or `None` if it has no log.
    pub(crate) fn prove(&self, shown: &RoomSnapshot) -> Option<RoomSnapshot> {
        self.get(shown.id).map(|log| self.members.proven(log.state(), shown))
    }

    /// The last entry of a log with the tracker's signature, if this peer has it.
    pub(crate) fn signed_head(&self, room: Uuid) -> Option<&SignedHead> {
        let last = self.get(room)?.head();
        self.heads.get(&room).filter(|signed| signed.head == last)
    }

    /// Compares the head that somebody shows with the own log. After a split view nothing is sent into the room until the user
    /// has looked at it.
    pub(crate) fn compare(&mut self, room: Uuid, shown: &SignedHead) -> HeadComparison {
        let Some(log) = self.logs.get(&room) else { return HeadComparison::Unsigned };
        let head = shown.head;
        if head.room != log.state().room() || !shown.is_signed_by(&log.state().tracker()) {
            return HeadComparison::Unsigned;
        }
        match log.digest_at(head.epoch) {
            None => HeadComparison::Longer,
            Some(known) if known == head.digest => {
                if head == log.head() {
                    self.heads.insert(room, *shown);
                }
                HeadComparison::Equal
            }
            Some(_) => {
                self.note_split(room, head.digest);
                HeadComparison::Split
            }
        }
    }

    /// Replaces a log by a longer one that begins with it and ends at a signed head.
    pub(crate) fn replace(&mut self, log: RoomLog, head: SignedHead) {
        let id = log.state().id();
        self.logs.insert(id, Arc::new(log));
        self.heads.insert(id, head);
    }

    /// Adds an entry of this user that the tracker has accepted. It may have been read meanwhile.
    pub(crate) fn add_own(&mut self, entry: &SignedEntry) -> Result<Uuid, Refusal> {
        let id = room_of(entry);
        let known = self.logs.get(&id).and_then(|log| log.after(entry.entry.epoch - 1).first());
        if known != Some(entry) {
            let log = match self.logs.get(&id) {
                Some(log) => log.extended(entry.clone())?,
                None => RoomLog::begin(entry.clone())?,
            };
            self.logs.insert(id, Arc::new(log));
        }
        self.candidate = Some(id);
        Ok(id)
    }

    /// Adds the entries of a page of the log of this room after an epoch. They count once they lead to the signed head. A page
    /// that begins later than the known log was asked for before the log was forgotten, so it is no lie. Returns the room, if
    /// it has a log that has grown, and the contradictions.
    pub(crate) fn read(
        &mut self,
        name: &RoomName,
        after: u64,
        reply: &Reply,
    ) -> (Option<Uuid>, Vec<LogWarning>) {
        let Some(head) = &reply.head else { return (None, Vec::new()) };
        let id = room_id(&head.head.room);
        let entries = reply.entries.as_deref().unwrap_or_default();
        let known = self.logs.get(&id).map(|log| &**log);
        let page = self.pages.add(&id, known, entries, head, reply.more);
        let of = match &page {
            Page::Complete(log) => Some(&**log),
            _ => self.pages.part(&id).or(known),
        };
        let has_name = of.map(|log| log.state().name() == name);
        let mut grown = None;
        match page {
            Page::Invalid => return (None, self.warn(id, [LogWarning::Invalid])),
            Page::Split | Page::OtherHead => {
                self.note_split(id, head.head.digest);
                return (None, self.warn(id, [LogWarning::Split]));
            }
            _ if has_name == Some(false) => {
                self.pages.forget(|at| *at == id);
                return (None, self.warn(id, [LogWarning::Invalid]));
            }
            _ if has_name.is_none() => return (None, Vec::new()),
            Page::Part(_) => return (None, Vec::new()),
            Page::Complete(log) => {
                self.insert(id, *log);
                grown = Some(id);
            }
            Page::Nothing => {}
        }
        // A user who joins reads from the beginning, also if the log is known from an earlier stay.
        if after == 0 {
            self.candidate = Some(id);
        }
        let found = match self.compare(id, head) {
            HeadComparison::Split => Some(LogWarning::Split),
            HeadComparison::Unsigned => Some(LogWarning::Invalid),
            // The epoch of the question was known when it was asked, and the tracker had signed it.
            HeadComparison::Equal if head.head.epoch < after => Some(LogWarning::Older),
            HeadComparison::Equal | HeadComparison::Longer => None,
        };
        (grown, self.warn(id, found))
    }

    /// Stores a log that leads to a signed head. Of the rooms that the user has never entered only the last one is known.
    fn insert(&mut self, id: Uuid, log: RoomLog) {
        let before = self.candidate.filter(|before| *before != id && !self.entered.contains(before));
        if let Some(before) = before {
            self.logs.remove(&before);
        }
        if !self.entered.contains(&id) {
            self.candidate = Some(id);
        }
        self.logs.insert(id, Arc::new(log));
    }

    /// Takes the snapshot that waited for the entries of a room.
    pub(crate) fn take_waiting(&mut self, room: Uuid) -> Option<RoomSnapshot> {
        self.waiting.remove(&room)
    }

    /// Takes the snapshot of the room of this name that waits for entries which the tracker does not give.
    pub(crate) fn take_refused(&mut self, name: &RoomName) -> Option<RoomSnapshot> {
        let id = self.waiting.values().find(|room| room.name == *name)?.id;
        self.waiting.remove(&id)
    }

    /// The rooms whose entries are still awaited, and the epochs after which.
    pub(crate) fn wanted(&self) -> Vec<(RoomName, u64)> {
        let read = |id: &Uuid| self.pages.part(id).or_else(|| self.get(*id).map(|log| &**log));
        let epoch = |id: &Uuid| read(id).map_or(0, |log| log.head().epoch);
        self.waiting.iter().map(|(id, room)| (room.name.clone(), epoch(id))).collect()
    }

    /// The keys of a user who was never met, as the tracker announces them: in a room with a log only those of the log.
    pub(crate) fn announcement<'a>(
        &self,
        rooms: impl Iterator<Item = &'a RoomSnapshot>,
        user: &Username,
        announced: &Announcement,
    ) -> Announcement {
        let states = rooms.filter_map(|room| Some(self.logs.get(&room.id)?.state()));
        let states: Vec<_> = states.filter(|state| state.members().contains_key(user)).collect();
        // In an open room anybody can join under the name. So the keys of all rooms count that agree, or those of the room
        // that is best guarded.
        let guard = |state: &&RoomState| {
            let joined_at = state.members().get(user).map(|member| member.joined_at);
            (state.policy() != Policy::Invite, joined_at)
        };
        let Some(best) = states.iter().copied().min_by_key(guard) else { return announced.clone() };
        let keys = |state: &RoomState| -> BTreeSet<_> {
            self.members.keys(state, user, Some(announced)).into_iter().collect()
        };
        let common = states.into_iter().map(keys).reduce(|one, other| &one & &other).unwrap_or_default();
        let proven = if common.is_empty() { keys(best) } else { common };
        Announcement { keys: proven.into_iter().collect(), endorsements: announced.endorsements.clone() }
    }

    /// Returns the warnings that were not given yet.
    pub(crate) fn warn(
        &mut self,
        room: Uuid,
        found: impl IntoIterator<Item = LogWarning>,
    ) -> Vec<LogWarning> {
        let mut new = Vec::new();
        for warning in found {
            if self.warned.len() < LOG_WARNINGS_MAX && self.warned.insert((room, warning.clone())) {
                new.push(warning);
            }
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use commons::digest::Digest;
    use commons::endorsement::Endorsement;
    use commons::keys::{Seed, Signature};
    use commons::room_log::entry::{Change, Creation, Entry, FIRST_EPOCH};
    use commons::room_log::facts::Policy;
    use commons::room_log::head::Head;

    use commons::snapshot::Member;

    use super::*;

    const TRACKER: u8 = 9;

    fn seed(n: u8) -> Seed {
        Seed::new([n; 32])
    }

    fn user(name: &str) -> Username {
        Username::parse(name).unwrap()
    }

    fn sala() -> RoomName {
        RoomName::parse("sala").unwrap()
    }

    /// The log of a room of ana (seed 1), with these changes by others.
    fn log(policy: Policy, changes: &[(&str, u8, Change)]) -> RoomLog {
        let (none, key) = (Digest([0; 32]), seed(1).public_key());
        let tracker = seed(TRACKER).public_key();
        let name = sala();
        let creation = Creation { name, keys: vec![key], policy, legacy: false, nonce: [7; 32], tracker };
        let change = Change::Created(creation);
        let created = Entry {
            room: none,
            epoch: FIRST_EPOCH,
            previous: none,
            time: 1,
            author: user("ana"),
            key,
            change,
        };
        let mut log = RoomLog::begin(created.sign(&seed(1))).unwrap();
        for (author, n, change) in changes {
            let entry = log.state().next(user(author), seed(*n).public_key(), 1, change.clone());
            log.append(entry.sign(&seed(*n))).unwrap();
        }
        log
    }

    fn joins(name: &'static str, n: u8) -> (&'static str, u8, Change) {
        (name, n, Change::Joined { keys: vec![seed(n).public_key()], endorsements: Vec::new() })
    }

    /// The tracker's snapshot of the room after a log, with these members.
    fn shown(log: &RoomLog, revision: u64, members: &[&str]) -> RoomSnapshot {
        let member = |name: &&str| Member {
            username: user(name),
            connected: true,
            since: 1,
            keys: vec![seed(8).public_key()],
            endorsements: Vec::new(),
            in_menu: false,
        };
        RoomSnapshot {
            id: log.state().id(),
            name: log.state().name().clone(),
            revision,
            capacity: 3,
            log: Some(log.head().into()),
            owner: user("ana"),
            members: members.iter().map(member).collect(),
            peer_owner: None,
            peer_one: None,
            peer_two: None,
        }
    }

    /// The tracker's reply with the entries after an epoch.
    fn page(log: &RoomLog, after: u64) -> Reply {
        let head: SignedHead = log.head().sign(&seed(TRACKER));
        Reply { entries: Some(log.after(after).to_vec()), head: Some(Box::new(head)), ..Reply::default() }
    }

    fn names(checked: &Checked) -> Vec<&str> {
        let members = checked.room.as_ref().map(|room| room.members.as_slice()).unwrap_or_default();
        members.iter().map(|member| member.username.as_str()).collect()
    }

    fn knowing(log: &RoomLog) -> RoomLogs {
        let mut logs = RoomLogs::default();
        logs.resume(&[Arc::new(log.clone())], std::iter::empty());
        logs
    }

    #[test]
    fn ghost_in_a_snapshot_is_no_member() {
        let log = log(Policy::Open, &[joins("bob", 2)]);
        let mut logs = knowing(&log);
        let checked = logs.check(shown(&log, 5, &["ana", "bob", "eve"]));
        assert_eq!(names(&checked), ["ana", "bob"]);
        assert_eq!(checked.warnings, [LogWarning::Ghost(user("eve"))]);
        let again = logs.check(shown(&log, 6, &["ana", "bob", "eve"]));
        assert_eq!(again.warnings, [], "each contradiction is told once");
        // Control: without a log, the tracker's word counts.
        let plain = RoomSnapshot { id: Uuid::nil(), log: None, ..shown(&log, 5, &["ana", "bob", "eve"]) };
        assert_eq!(names(&RoomLogs::default().check(plain)), ["ana", "bob", "eve"]);
    }

    #[test]
    fn members_and_their_keys_are_those_of_the_log() {
        let log = log(Policy::Open, &[joins("bob", 2)]);
        let checked = knowing(&log).check(shown(&log, 5, &["ana"]));
        assert_eq!(names(&checked), ["ana", "bob"], "a member cannot be hidden");
        let room = checked.room.unwrap();
        let bob = &room.members[1];
        assert_eq!(
            (bob.since, bob.connected),
            (2, false),
            "the tracker cannot move the time of joining back"
        );
        assert_eq!(bob.keys, [seed(2).public_key()], "a key of the tracker's own does not count");
    }

    #[test]
    fn newer_entries_are_read_before_they_count() {
        let old = log(Policy::Open, &[]);
        let new = log(Policy::Open, &[joins("bob", 2)]);
        let mut logs = knowing(&old);
        let checked = logs.check(shown(&new, 5, &["ana", "bob"]));
        assert_eq!(names(&checked), ["ana"]);
        assert_eq!(checked.wanted, Some((old.state().name().clone(), 1)));
        assert_eq!(logs.wanted(), [(old.state().name().clone(), 1)]);
        assert_eq!(logs.read(&sala(), 1, &page(&new, 1)), (Some(new.state().id()), Vec::new()));
        let waiting = logs.take_waiting(new.state().id()).unwrap();
        assert_eq!(names(&logs.check(waiting)), ["ana", "bob"]);
    }

    #[test]
    fn forged_entry_is_not_applied() {
        let old = log(Policy::Invite, &[]);
        let mut logs = knowing(&old);
        let entry = old.state().next(user("eve"), seed(5).public_key(), 1, joins("eve", 5).2).sign(&seed(5));
        let head = Head { epoch: 2, digest: entry.digest(), ..old.head() };
        let head = Some(Box::new(head.sign(&seed(TRACKER))));
        let reply = Reply { entries: Some(vec![entry]), head, ..Reply::default() };
        assert_eq!(logs.read(&sala(), 0, &reply), (None, vec![LogWarning::Invalid]));
        assert_eq!(logs.get(old.state().id()).map(|log| &**log), Some(&old));
        // Control: the same entry is valid where anybody may join.
        let open = log(Policy::Open, &[]);
        let mut logs = knowing(&open);
        let entry = open.state().next(user("eve"), seed(5).public_key(), 1, joins("eve", 5).2).sign(&seed(5));
        let new = log(Policy::Open, &[joins("eve", 5)]);
        assert_eq!(new.last(), &entry);
        assert_eq!(logs.read(&sala(), 1, &page(&new, 1)).1, []);
    }

    #[test]
    fn entries_that_lead_to_no_signed_head_do_not_count() {
        let old = log(Policy::Open, &[]);
        let new = log(Policy::Open, &[joins("bob", 2), joins("carla", 3)]);
        let far = Head { epoch: 1000, ..new.head() }.sign(&seed(TRACKER));
        let reply = Reply { head: Some(Box::new(far)), ..page(&new, 1) };
        let mut logs = knowing(&old);
        assert_eq!(logs.read(&sala(), 1, &reply), (None, vec![LogWarning::Invalid]));
        let mut logs = knowing(&old);
        let (first, last) = (new.after(1)[..1].to_vec(), new.after(2).to_vec());
        let part = Reply { entries: Some(first), more: true, ..page(&new, 1) };
        assert_eq!(logs.read(&sala(), 1, &part), (None, Vec::new()));
        assert_eq!(
            logs.get(old.state().id()).map(|log| log.head()),
            Some(old.head()),
            "a part proves nothing"
        );
        // Control: the next page leads to the head.
        let rest = Reply { entries: Some(last), ..page(&new, 2) };
        assert_eq!(logs.read(&sala(), 2, &rest), (Some(new.state().id()), Vec::new()));
        assert_eq!(logs.signed_head(new.state().id()).map(|signed| signed.head), Some(new.head()));
    }

    #[test]
    fn split_that_the_user_has_looked_at_stops_nothing_again() {
        let one = log(Policy::Open, &[joins("bob", 2)]);
        let [other, third] =
            [("carla", 3), ("dora", 4)].map(|(name, n)| log(Policy::Open, &[joins(name, n)]));
        let (mut logs, id) = (knowing(&one), one.state().id());
        let shown = |logs: &mut RoomLogs, log: &RoomLog| logs.compare(id, &log.head().sign(&seed(TRACKER)));
        shown(&mut logs, &other);
        logs.looked_at(id);
        shown(&mut logs, &other);
        assert!(!logs.is_split(id));
        shown(&mut logs, &third);
        assert!(logs.is_split(id), "another contradiction");
    }

    #[test]
    fn page_of_another_room_shortens_no_log() {
        let known = log(Policy::Open, &[joins("bob", 2)]);
        let other = log(Policy::Invite, &[]);
        let mut logs = knowing(&known);
        let mut reply = page(&other, 0);
        reply.entries = Some(vec![known.entries()[0].clone()]);
        assert_eq!(logs.read(&sala(), 0, &reply), (None, vec![LogWarning::Invalid]));
        assert_eq!(logs.get(known.state().id()).map(|log| &**log), Some(&known));
        // Nor does the beginning of the room itself, or a log that was asked for by another name.
        assert_eq!(logs.read(&sala(), 0, &page(&known, 0)), (None, Vec::new()));
        assert_eq!(logs.get(known.state().id()).map(|log| &**log), Some(&known));
        let elsewhere = RoomName::parse("quarto").unwrap();
        assert_eq!(
            logs.read(&elsewhere, 0, &page(&other, 0)),
            (None, Vec::new()),
            "the user was warned of it"
        );
        assert_eq!(logs.get(other.state().id()), None);
        // Control: under its name the other room is read.
        assert_eq!(logs.read(&sala(), 0, &page(&other, 0)), (Some(other.state().id()), Vec::new()));
    }

    #[test]
    fn page_without_news_makes_no_new_request() {
        let (old, new) = (log(Policy::Open, &[]), log(Policy::Open, &[joins("bob", 2)]));
        let mut logs = knowing(&old);
        logs.check(shown(&new, 5, &["ana", "bob"]));
        let empty = Reply { entries: Some(Vec::new()), ..page(&new, 1) };
        assert_eq!(logs.read(&sala(), 1, &empty), (None, Vec::new()));
        assert_eq!(logs.wanted().len(), 1, "the next tick asks again");
    }

    #[test]
    fn page_of_a_forgotten_log_is_no_lie() {
        let log = log(Policy::Open, &[joins("bob", 2)]);
        let mut logs = knowing(&log);
        logs.logs.clear();
        assert_eq!(logs.read(&sala(), 1, &page(&log, 1)), (None, Vec::new()), "it was asked for before");
        assert_eq!(logs.get(log.state().id()), None);
        // Control: the whole log is read again.
        assert_eq!(logs.read(&sala(), 0, &page(&log, 0)), (Some(log.state().id()), Vec::new()));
    }

    #[test]
    fn known_log_is_a_candidate_again_for_a_user_who_comes_back() {
        let log = log(Policy::Open, &[joins("bob", 2)]);
        let mut logs = knowing(&log);
        assert_eq!(logs.candidate(&sala()), None, "only the log that was read last");
        assert_eq!(logs.read(&sala(), 0, &page(&log, 0)), (None, Vec::new()));
        assert_eq!(logs.candidate(&sala()).map(|log| &**log), Some(&log));
    }

    #[test]
    fn lookup_adds_no_key_to_those_of_the_log() {
        let log = log(Policy::Open, &[joins("bob", 2)]);
        let (logs, room) = (knowing(&log), shown(&log, 5, &["ana", "bob"]));
        let made_up = Announcement { keys: vec![seed(8).public_key()], endorsements: Vec::new() };
        let keys = |user: Username| logs.announcement([&room].into_iter(), &user, &made_up).keys;
        assert_eq!(keys(user("bob")), [seed(2).public_key()]);
        // Control: the tracker's word counts for users of whom no log says anything.
        assert_eq!(keys(user("dora")), made_up.keys);
        assert_eq!(logs.announcement([].into_iter(), &user("bob"), &made_up), made_up);
    }

    #[test]
    fn two_states_of_one_epoch_stop_the_room() {
        let one = log(Policy::Open, &[joins("bob", 2)]);
        let other = log(Policy::Open, &[joins("carla", 3)]);
        let mut logs = knowing(&one);
        let checked = logs.check(shown(&other, 5, &["ana", "carla"]));
        assert_eq!((names(&checked), &checked.warnings[..]), (vec!["ana", "bob"], &[LogWarning::Split][..]));
        assert!(logs.is_split(one.state().id()));
        logs.looked_at(one.state().id());
        assert!(!logs.is_split(one.state().id()));
        let read = knowing(&one).read(&sala(), 2, &page(&other, 2));
        assert_eq!(read.1, [LogWarning::Split], "the signed head of the log shows it too");
    }

    #[test]
    fn heads_of_members_are_compared_with_the_log() {
        let one = log(Policy::Open, &[joins("bob", 2)]);
        let other = log(Policy::Open, &[joins("carla", 3)]);
        let later = log(Policy::Open, &[joins("bob", 2), joins("carla", 3)]);
        let id = one.state().id();
        let by_tracker = |log: &RoomLog| log.head().sign(&seed(TRACKER));
        let mut logs = knowing(&one);
        assert_eq!(logs.signed_head(id), None);
        assert_eq!(logs.compare(id, &by_tracker(&one)), HeadComparison::Equal);
        assert_eq!(logs.signed_head(id), Some(&by_tracker(&one)));
        assert_eq!(logs.compare(id, &by_tracker(&later)), HeadComparison::Longer);
        assert_eq!(
            logs.compare(id, &other.head().sign(&seed(2))),
            HeadComparison::Unsigned,
            "a member's word"
        );
        assert!(!logs.is_split(id));
        assert_eq!(logs.compare(id, &by_tracker(&other)), HeadComparison::Split);
        assert!(logs.is_split(id));
        assert_eq!(
            knowing(&later).compare(id, &by_tracker(&other)),
            HeadComparison::Split,
            "at an earlier epoch"
        );
    }

    #[test]
    fn older_state_and_missing_log_change_nothing() {
        let old = log(Policy::Open, &[]);
        let new = log(Policy::Open, &[joins("bob", 2)]);
        let mut logs = knowing(&new);
        let checked = logs.check(shown(&old, 5, &["ana"]));
        assert_eq!((names(&checked), &checked.warnings[..]), (vec!["ana", "bob"], &[][..]));
        assert_eq!(checked.wanted, Some((sala(), 2)), "a member may have been faster than the tracker");
        assert_eq!(logs.read(&sala(), 1, &page(&old, 1)).1, [], "the answer to an earlier question");
        assert_eq!(logs.read(&sala(), 2, &page(&old, 2)).1, [LogWarning::Older]);
        let bare = RoomSnapshot { log: None, ..shown(&new, 6, &["ana", "bob", "eve"]) };
        let checked = logs.check(bare.clone());
        assert_eq!((names(&checked), &checked.warnings[..]), (vec!["ana", "bob"], &[LogWarning::NoLog][..]));
        let checked = RoomLogs::default().check(bare);
        assert_eq!((checked.room, &checked.warnings[..]), (None, &[LogWarning::NoLog][..]));
    }

    #[test]
    fn endorsed_key_counts_only_if_a_key_of_the_log_vouches() {
        let log = log(Policy::Open, &[joins("bob", 2)]);
        let key_of = |endorsement: Signature| {
            let mut room = shown(&log, 5, &["ana", "bob"]);
            room.members[1].keys = vec![seed(2).public_key(), seed(8).public_key()];
            room.members[1].endorsements = vec![endorsement];
            let announced = Announcement::from(&room.members[1]);
            knowing(&log).announcement([&room].into_iter(), &user("bob"), &announced).keys
        };
        let by_bob = Endorsement::sign(&user("bob"), &seed(2), seed(8).public_key());
        let both: BTreeSet<_> = [seed(2).public_key(), seed(8).public_key()].into();
        assert_eq!(BTreeSet::from_iter(key_of(by_bob)), both);
        let by_itself = Endorsement::sign(&user("bob"), &seed(8), seed(2).public_key());
        assert_eq!(key_of(by_itself), [seed(2).public_key()], "a key cannot vouch itself in");
    }
}
