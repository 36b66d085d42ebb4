//! The members of a room as its log proves them, with what the tracker says of their presence.
//!
//! Example: the tracker shows ana, bob and eve. By the log ana and bob are members, so the room has these two, with the
//! presence and the address that the tracker shows. Eve counts only where users of original programs may be: they cannot
//! sign.

use std::collections::BTreeMap;

use commons::endorsement::Endorsement;
use commons::keys::PublicKey;
use commons::limits::KEYS_PER_USER;
use commons::names::Username;
#[cfg(test)]
use commons::room_log::log::RoomLog;
use commons::room_log::state::RoomState;
use commons::snapshot::{LogPosition, Member, RoomSnapshot};
use uuid::Uuid;

use crate::engine::log_warning::LogWarning;
use crate::engine::omission::Omission;
use crate::identity::known_keys::Announcement;

/// The rules by which members count.
#[derive(Debug, Default)]
pub(crate) struct ProvenMembers {
    /// Whether members who do not sign count in rooms that allow them: the tracker is on this computer.
    pub(crate) counts_unsigned: bool,
    /// The members of each room who do not sign, with the epochs at which this peer saw them first.
    unsigned: BTreeMap<Uuid, BTreeMap<Username, u64>>,
    /// A rule that a control of the simulation leaves out.
    #[cfg(test)]
    pub(in crate::engine) omission: Option<Omission>,
}

impl ProvenMembers {
    /// The members whom the tracker shows although they are none by the log. Where legacy clients may come, they are no ghosts.
    pub(crate) fn ghosts(&self, state: &RoomState, shown: &RoomSnapshot) -> Vec<LogWarning> {
        let is_proven = |member: &&Member| state.members().contains_key(&member.username);
        let unproven = shown.members.iter().filter(|member| !is_proven(member));
        // A room may allow users of original programs, who have no key. This peer does not count them if the tracker is
        // elsewhere, and nobody has lied.
        let is_guest = |member: &&Member| state.allows_legacy() && member.keys.is_empty();
        let ghosts = unproven.filter(|member| !is_guest(member) && !self.is_unsigned(state, member));
        ghosts.map(|member| LogWarning::Ghost(member.username.clone())).collect()
    }

    /// The room with the members of its log. Presence and addresses come from the snapshot.
    pub(crate) fn proven(&self, state: &RoomState, shown: &RoomSnapshot) -> RoomSnapshot {
        let is_shown = |name: &Username| shown.has_member(name) || !self.omits(Omission::MembersOfLog);
        let signed = state.members().iter().filter(|(name, _)| is_shown(name)).map(|(name, member)| {
            let of_tracker = shown.members.iter().find(|shown| shown.username == *name);
            let of_omission = of_tracker.filter(|_| self.omits(Omission::SinceOfLog));
            Member {
                username: name.clone(),
                connected: of_tracker.is_some_and(|shown| shown.connected),
                since: of_omission.map_or(member.since, |shown| shown.since),
                keys: self.announced(state, name, of_tracker),
                endorsements: of_tracker.map(|shown| shown.endorsements.clone()).unwrap_or_default(),
                in_menu: of_tracker.is_some_and(|shown| shown.in_menu),
            }
        });
        let head = state.head();
        // A member who does not sign gets nothing from before the state of the log at which this peer saw the member first.
        let since = self.unsigned.get(&shown.id);
        let since = |name: &Username| since.and_then(|since| since.get(name)).copied().unwrap_or(head.epoch);
        let unsigned = shown.members.iter().filter(|member| self.is_unsigned(state, member)).cloned();
        let unsigned = unsigned.map(|member| Member { since: since(&member.username), ..member });
        let mut members: Vec<Member> = signed.chain(unsigned).collect();
        members.sort_by_key(|member| (member.username != *state.owner(), member.since));
        let is_member = |name: &Username| members.iter().any(|member| member.username == *name);
        let slot = |peer: &Option<commons::peer::Peer>| peer.clone().filter(|peer| is_member(&peer.username));
        RoomSnapshot {
            id: shown.id,
            name: state.name().clone(),
            revision: shown.revision,
            capacity: shown.capacity,
            log: Some(LogPosition::from(head)),
            owner: state.owner().clone(),
            peer_owner: slot(&shown.peer_owner),
            peer_one: slot(&shown.peer_one),
            peer_two: slot(&shown.peer_two),
            members,
        }
    }

    /// Whether somebody counts as a member without a signature: a user of an original program, where the room allows them. A
    /// user with a key has a program that signs.
    fn is_unsigned(&self, state: &RoomState, member: &Member) -> bool {
        let name = &member.username;
        let is_allowed = state.allows_legacy() && self.counts_unsigned && member.keys.is_empty();
        let is_allowed = is_allowed || self.omits(Omission::GhostFilter);
        is_allowed && !state.members().contains_key(name) && !state.banned().contains(name)
    }

    /// Notes since which epoch this peer sees the members of a room who do not sign.
    pub(crate) fn note_unsigned(&mut self, state: &RoomState, shown: &RoomSnapshot) {
        let epoch = state.head().epoch;
        let before = self.unsigned.remove(&shown.id).unwrap_or_default();
        let unsigned = shown.members.iter().filter(|member| self.is_unsigned(state, member));
        let since = |member: &Member| before.get(&member.username).copied().unwrap_or(epoch);
        let noted = unsigned.map(|member| (member.username.clone(), since(member))).collect();
        self.unsigned.insert(shown.id, noted);
    }

    /// Continues with the members who do not sign in the last snapshot of a room from an earlier run.
    pub(crate) fn resume(&mut self, state: &RoomState, room: &RoomSnapshot) {
        let unsigned = room.members.iter().filter(|member| self.is_unsigned(state, member));
        let noted = unsigned.map(|member| (member.username.clone(), member.since)).collect();
        self.unsigned.insert(room.id, noted);
    }

    /// Forgets the members of the rooms that do not stay.
    pub(crate) fn retain(&mut self, stays: impl Fn(&Uuid) -> bool) {
        self.unsigned.retain(|room, _| stays(room));
    }

    /// The keys of a member, and the others that the tracker announces. A key that is not proven by the log counts for nobody
    /// who has not met the member, and is a change of the key for all others.
    fn announced(&self, state: &RoomState, name: &Username, shown: Option<&Member>) -> Vec<PublicKey> {
        let mut keys = self.keys(state, name, shown.map(Announcement::from).as_ref());
        let is_revoked = |key: &PublicKey| state.revoked().contains_key(&(name.clone(), *key));
        for key in shown.into_iter().flat_map(|shown| &shown.keys).filter(|key| !is_revoked(key)) {
            if !keys.contains(key) {
                keys.push(*key);
            }
        }
        keys
    }

    /// The keys of a member: those in the log, and those that they endorse.
    pub(crate) fn keys(
        &self,
        state: &RoomState,
        name: &Username,
        shown: Option<&Announcement>,
    ) -> Vec<PublicKey> {
        let mut keys: Vec<_> = state.keys(name).into_iter().flatten().copied().collect();
        let Some(shown) = shown else { return keys };
        if self.omits(Omission::KeysOfLog) {
            return shown.keys.clone();
        }
        let others = shown.keys.iter().filter(|key| !keys.contains(key));
        let announced: Vec<_> = keys.iter().chain(others).copied().collect();
        // Each round may find a key that the next one needs.
        for _ in 0..KEYS_PER_USER {
            for signature in &shown.endorsements {
                let endorsed = Endorsement::read(name, &announced, signature);
                let endorsed = endorsed.filter(|it| keys.contains(&it.by) && !keys.contains(&it.key));
                let is_revoked = |key: &PublicKey| state.revoked().contains_key(&(name.clone(), *key));
                keys.extend(endorsed.map(|it| it.key).filter(|key| !is_revoked(key)));
            }
        }
        keys
    }

    /// The room as its log proves it up to an epoch, for a control of the simulation.
    #[cfg(test)]
    pub(crate) fn at_epoch(&self, log: &RoomLog, epoch: u64, shown: &RoomSnapshot) -> RoomSnapshot {
        let entries = log.entries().iter().filter(|entry| entry.entry.epoch <= epoch).cloned().collect();
        let known = RoomLog::from_disk(entries);
        self.proven(known.as_ref().map_or_else(|_| log.state(), RoomLog::state), shown)
    }

    /// Whether this test variant leaves out a rule.
    #[cfg(test)]
    pub(crate) fn omits(&self, rule: Omission) -> bool {
        self.omission == Some(rule)
    }

    /// Always returns false outside the tests.
    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "the tests' variant reads it")]
    pub(crate) const fn omits(&self, _: Omission) -> bool {
        false
    }
}
