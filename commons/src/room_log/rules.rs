//! The rules of a room's log: which entry may follow which state. They are the same for the tracker and for every peer.

use std::collections::{BTreeMap, BTreeSet};

use crate::digest::Digest;
use crate::endorsement::Endorsement;
use crate::keys::{PublicKey, Signature};
use crate::limits::{
    BANS_MAX, CHECKPOINT_DISTANCE, ENDORSEMENTS_PER_USER, ENTRIES_MAX, ENTRIES_PER_DAY, GUESTS_MAX,
    INVITATIONS_MAX, KEYS_PER_USER, REVOKED_MAX, STREAM_ENDS_MAX, SUCCESSION_WAIT, TOPIC_MAX,
};
use crate::names::Username;
use crate::room_log::entry::{Change, Creation, Entry, FIRST_EPOCH, SignedEntry};
use crate::room_log::facts::{Facts, LogMember, Policy, StreamEnd};
use crate::room_log::head::Head;
use crate::room_log::refusal::Refusal;
use crate::room_log::state::RoomState;

/// A day in milliseconds.
const DAY: u64 = 24 * 60 * 60 * 1000;

/// Whether a signature is checked: the rest of the rules is cheap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SignatureCheck {
    Full,
    DoneBefore,
}

impl SignatureCheck {
    fn check(self, signed: &SignedEntry) -> Result<(), Refusal> {
        if self == Self::DoneBefore || signed.is_signed() { Ok(()) } else { Err(Refusal::Signature) }
    }
}

impl RoomState {
    /// The state after the first entry of a log. Only the entry's own signature is proven: whether the owner is known is
    /// for the reader to decide.
    pub fn create(signed: &SignedEntry) -> Result<Self, Refusal> {
        Self::begin(signed, SignatureCheck::Full)
    }

    /// The state after a `created` entry from one's own disk. Its signature was checked before it was written, and is not
    /// checked again.
    pub(super) fn replay_creation(created: &SignedEntry) -> Result<Self, Refusal> {
        Self::begin(created, SignatureCheck::DoneBefore)
    }

    /// Applies the next entry of a log from one's own disk, without a check of its signature.
    pub(super) fn replay(&mut self, signed: &SignedEntry) -> Result<(), Refusal> {
        self.follow(signed, SignatureCheck::DoneBefore)
    }

    fn begin(signed: &SignedEntry, signature: SignatureCheck) -> Result<Self, Refusal> {
        let entry = &signed.entry;
        let Change::Created(creation) = &entry.change else { return Err(Refusal::OtherRoom) };
        let none = Digest([0; 32]);
        if (entry.room, entry.epoch, entry.previous) != (none, FIRST_EPOCH, none) {
            return Err(Refusal::OtherRoom);
        }
        let keys = key_set(&creation.keys)?;
        if !keys.contains(&entry.key) {
            return Err(Refusal::UnknownKey);
        }
        signature.check(signed)?;
        let room = signed.digest();
        let facts = Facts::new(room, entry, creation, keys);
        let head = Head { room, epoch: FIRST_EPOCH, digest: room };
        Ok(Self { facts, head, recent: BTreeMap::new() })
    }

    /// The state after a checkpoint, for a reader who has none of the earlier entries. `owner_keys` are keys that the
    /// reader knows as the owner's: one of them must have signed. The owner answers for what the checkpoint states.
    pub fn resume(signed: &SignedEntry, owner_keys: &[PublicKey]) -> Result<Self, Refusal> {
        let entry = &signed.entry;
        let Change::Checkpoint(facts) = &entry.change else { return Err(Refusal::OtherRoom) };
        if facts.room != entry.room || facts.owner != entry.author || facts.checkpoint >= entry.epoch {
            return Err(Refusal::OtherRoom);
        }
        if !owner_keys.contains(&entry.key) {
            return Err(Refusal::UnknownKey);
        }
        SignatureCheck::Full.check(signed)?;
        let head = Head { room: entry.room, epoch: entry.epoch, digest: signed.digest() };
        let mut state = Self { facts: (**facts).clone(), head, recent: BTreeMap::new() };
        state.note(entry);
        state.begin_checkpoint(entry.epoch);
        Ok(state)
    }

    /// Applies the next entry. A refused entry changes nothing.
    ///
    /// The same entry is accepted or refused by everybody who has the same log, so the rules use nothing but the log:
    /// no clock of the reader, and no key that only the reader knows.
    pub fn apply(&mut self, signed: &SignedEntry) -> Result<(), Refusal> {
        self.follow(signed, SignatureCheck::Full)
    }

    fn follow(&mut self, signed: &SignedEntry, signature: SignatureCheck) -> Result<(), Refusal> {
        let entry = &signed.entry;
        if entry.room != self.facts.room {
            return Err(Refusal::OtherRoom);
        }
        if (entry.epoch, entry.previous) != (self.head.epoch + 1, self.head.digest) {
            return Err(Refusal::Stale);
        }
        if self.facts.is_ended {
            return Err(Refusal::Ended);
        }
        if entry.time < self.facts.time {
            return Err(Refusal::Time);
        }
        self.check_number(entry)?;
        self.facts.check_key(entry)?;
        signature.check(signed)?;
        let mut facts = self.facts.clone();
        facts.change(entry)?;
        self.facts = facts;
        self.head = Head { room: entry.room, epoch: entry.epoch, digest: signed.digest() };
        self.note(entry);
        if matches!(entry.change, Change::Checkpoint(_)) {
            self.begin_checkpoint(entry.epoch);
        }
        Ok(())
    }

    /// Checks the number of entries: in all, and by the author within a day before this entry. Ending a
    /// membership or the room is always possible, and so is a revocation: others cannot use these up for the owner.
    fn check_number(&self, entry: &Entry) -> Result<(), Refusal> {
        if matches!(
            entry.change,
            Change::Left
                | Change::Expired
                | Change::Removed(_)
                | Change::Banned(_)
                | Change::Deleted
                | Change::Revoked { .. }
                | Change::Checkpoint(_)
        ) {
            return Ok(());
        }
        let is_recent = |time: &&u64| entry.time.saturating_sub(**time) < DAY;
        let today = self.recent.get(&entry.author).map_or(0, |times| times.iter().filter(is_recent).count());
        if entry.epoch > ENTRIES_MAX || today >= ENTRIES_PER_DAY { Err(Refusal::TooMany) } else { Ok(()) }
    }

    /// Notes the time of an entry and its author.
    fn note(&mut self, entry: &Entry) {
        self.facts.time = entry.time;
        // An owner never expires. A new owner begins with the entry of the one before.
        if entry.author == self.facts.owner || matches!(entry.change, Change::Owner(_)) {
            self.facts.owner_seen = entry.time;
        }
        let times = self.recent.entry(entry.author.clone()).or_default();
        times.push_back(entry.time);
        if times.len() > ENTRIES_PER_DAY {
            times.pop_front();
        }
    }

    /// Begins to count the entries of a day anew, since readers who begin at the checkpoint know of no earlier one.
    fn begin_checkpoint(&mut self, epoch: u64) {
        self.facts.checkpoint = epoch;
        self.recent.clear();
    }
}

impl Facts {
    fn new(room: Digest, entry: &Entry, creation: &Creation, keys: BTreeSet<PublicKey>) -> Self {
        let owner = entry.author.clone();
        let member = LogMember { since: FIRST_EPOCH, joined_at: entry.time, invited_by: None };
        Self {
            room,
            name: creation.name.clone(),
            tracker: creation.tracker,
            legacy: creation.legacy,
            policy: creation.policy,
            owner_seen: entry.time,
            members: BTreeMap::from([(owner.clone(), member)]),
            keys: BTreeMap::from([(owner.clone(), keys)]),
            owner,
            invited: BTreeMap::new(),
            banned: BTreeSet::new(),
            successor: None,
            topic: String::new(),
            revoked: BTreeMap::new(),
            is_ended: false,
            time: entry.time,
            checkpoint: FIRST_EPOCH,
        }
    }

    /// Checks that the key may sign a change of this kind.
    fn check_key(&self, entry: &Entry) -> Result<(), Refusal> {
        if self.is_revoked(&entry.author, entry.key) {
            return Err(Refusal::RevokedKey);
        }
        let is_known = match &entry.change {
            Change::Expired => entry.key == self.tracker,
            Change::Joined { keys, .. } if entry.author != self.owner => keys.contains(&entry.key),
            _ => self.keys.get(&entry.author).is_some_and(|keys| keys.contains(&entry.key)),
        };
        match (is_known, &entry.change) {
            (true, _) => Ok(()),
            (false, Change::Left | Change::Device(_)) if !self.is_member(&entry.author) => {
                Err(Refusal::NotAMember)
            }
            (false, _) => Err(Refusal::UnknownKey),
        }
    }

    fn is_revoked(&self, user: &Username, key: PublicKey) -> bool {
        self.revoked.contains_key(&(user.clone(), key))
    }

    /// Checks that a key can become one of a user's. Only the signing key is proven, so nobody may list the key of another:
    /// a user who revoked it would lock the other out.
    fn check_new_key(&self, user: &Username, key: PublicKey) -> Result<(), Refusal> {
        let of_others = self.keys.iter().chain(&self.invited).filter(|(name, _)| *name != user);
        if of_others.flat_map(|(_, keys)| keys).any(|known| *known == key) {
            return Err(Refusal::UnknownKey);
        }
        if self.is_revoked(user, key) { Err(Refusal::RevokedKey) } else { Ok(()) }
    }

    fn is_member(&self, user: &Username) -> bool {
        self.members.contains_key(user)
    }

    /// Changes the facts as the entry says, if its author may do so.
    fn change(&mut self, entry: &Entry) -> Result<(), Refusal> {
        let author = &entry.author;
        match &entry.change {
            Change::Created(_) => Err(Refusal::OtherRoom),
            Change::Joined { keys, .. } if keys.is_empty() => Err(Refusal::Value),
            Change::Joined { keys, endorsements } => self.join(entry, keys, endorsements),
            Change::Left => self.remove(author),
            Change::Device(key) => self.add_key(author, *key),
            Change::Revoked { key, ends } => self.revoke(entry, *key, ends),
            Change::Expired if self.policy == Policy::Invite || *author == self.owner => {
                Err(Refusal::NotOwner)
            }
            Change::Expired => self.remove(author),
            Change::Owner(user) if user == author && *author != self.owner => self.succeed(entry),
            _ if *author != self.owner => Err(Refusal::NotOwner),
            Change::Invited { user, keys } => self.invite(user, keys),
            Change::Uninvited(user) => self.invited.remove(user).map(|_| ()).ok_or(Refusal::NoChange),
            Change::Removed(user) if user == author => Err(Refusal::Value),
            Change::Removed(user) => self.remove(user),
            Change::Banned(user) => self.ban(user),
            Change::Unbanned(user) => changes(self.banned.remove(user)),
            Change::Policy(policy) => changes(std::mem::replace(&mut self.policy, *policy) != *policy),
            Change::Owner(user) => self.give(user),
            Change::Topic(text) if text.len() > TOPIC_MAX => Err(Refusal::Value),
            Change::Topic(text) => changes(std::mem::replace(&mut self.topic, text.clone()) != *text),
            Change::Successor(Some(user)) if user == author || !self.is_member(user) => {
                Err(Refusal::NotAMember)
            }
            Change::Successor(user) => changes(std::mem::replace(&mut self.successor, user.clone()) != *user),
            Change::Deleted => {
                self.is_ended = true;
                Ok(())
            }
            Change::Checkpoint(_) if entry.epoch < self.checkpoint + CHECKPOINT_DISTANCE => {
                Err(Refusal::TooMany)
            }
            Change::Checkpoint(facts) if **facts != *self => Err(Refusal::Value),
            Change::Checkpoint(_) => Ok(()),
        }
    }

    fn join(&mut self, entry: &Entry, keys: &[PublicKey], endorsements: &[Signature]) -> Result<(), Refusal> {
        let author = &entry.author;
        if self.is_member(author) {
            return Err(Refusal::NoChange);
        }
        if self.banned.contains(author) {
            return Err(Refusal::Banned);
        }
        let known = key_set(keys)?;
        known.iter().try_for_each(|key| self.check_new_key(author, *key))?;
        let is_of_keys = |signature| Endorsement::read(author, keys, signature).is_some();
        if endorsements.len() > ENDORSEMENTS_PER_USER || !endorsements.iter().all(is_of_keys) {
            return Err(Refusal::Value);
        }
        let is_owner = *author == self.owner;
        let invitation = self.invited.get(author).filter(|invited| {
            let is_endorsed = |signature| {
                let pair = Endorsement::read(author, keys, signature);
                pair.is_some_and(|pair| pair.key == entry.key && invited.contains(&pair.by))
            };
            invited.contains(&entry.key) || endorsements.iter().any(is_endorsed)
        });
        if self.policy == Policy::Invite && !is_owner && invitation.is_none() {
            return Err(Refusal::NotInvited);
        }
        let guests = self.members.keys().filter(|member| **member != self.owner).count();
        if !is_owner && guests >= GUESTS_MAX {
            return Err(Refusal::Full);
        }
        let invited_by = invitation.map(|_| self.owner.clone());
        if invited_by.is_some() {
            self.invited.remove(author);
        }
        let member = LogMember { since: entry.epoch, joined_at: entry.time, invited_by };
        self.members.insert(author.clone(), member);
        self.keys.insert(author.clone(), known);
        Ok(())
    }

    /// Removes a member. The owner's keys stay known, because an owner who left may return.
    fn remove(&mut self, user: &Username) -> Result<(), Refusal> {
        self.members.remove(user).ok_or(Refusal::NotAMember)?;
        if *user != self.owner {
            self.keys.remove(user);
        }
        if self.successor.as_ref() == Some(user) {
            self.successor = None;
        }
        Ok(())
    }

    fn add_key(&mut self, user: &Username, key: PublicKey) -> Result<(), Refusal> {
        self.check_new_key(user, key)?;
        let keys = self.keys.get_mut(user).ok_or(Refusal::NotAMember)?;
        if keys.len() >= KEYS_PER_USER {
            return Err(Refusal::Value);
        }
        changes(keys.insert(key))
    }

    fn revoke(&mut self, entry: &Entry, key: PublicKey, ends: &[StreamEnd]) -> Result<(), Refusal> {
        let keys = self.keys.get_mut(&entry.author).ok_or(Refusal::NotAMember)?;
        if key == entry.key || ends.len() > STREAM_ENDS_MAX || self.revoked.len() >= REVOKED_MAX {
            return Err(Refusal::Value);
        }
        if !keys.remove(&key) {
            return Err(Refusal::UnknownKey);
        }
        self.revoked.insert((entry.author.clone(), key), ends.to_vec());
        Ok(())
    }

    fn invite(&mut self, user: &Username, keys: &[PublicKey]) -> Result<(), Refusal> {
        let keys = key_set(keys)?;
        if self.banned.contains(user) {
            return Err(Refusal::Banned);
        }
        if self.is_member(user) || *user == self.owner {
            return Err(Refusal::NoChange);
        }
        keys.iter().try_for_each(|key| self.check_new_key(user, *key))?;
        if self.invited.len() >= INVITATIONS_MAX && !self.invited.contains_key(user) {
            return Err(Refusal::TooMany);
        }
        changes(self.invited.insert(user.clone(), keys.clone()) != Some(keys))
    }

    fn ban(&mut self, user: &Username) -> Result<(), Refusal> {
        if *user == self.owner {
            return Err(Refusal::Value);
        }
        if self.banned.len() >= BANS_MAX {
            return Err(Refusal::TooMany);
        }
        changes(self.banned.insert(user.clone()))?;
        self.invited.remove(user);
        if self.is_member(user) { self.remove(user) } else { Ok(()) }
    }

    /// Makes a member the owner. The former owner, if a member, takes the place of a guest.
    fn give(&mut self, user: &Username) -> Result<(), Refusal> {
        if *user == self.owner {
            return Err(Refusal::NoChange);
        }
        if !self.is_member(user) {
            return Err(Refusal::NotAMember);
        }
        let former = std::mem::replace(&mut self.owner, user.clone());
        if !self.is_member(&former) {
            self.keys.remove(&former);
        }
        self.successor = None;
        Ok(())
    }

    /// Makes the successor the owner, after the owner made no entry for [`SUCCESSION_WAIT`].
    fn succeed(&mut self, entry: &Entry) -> Result<(), Refusal> {
        let silent_for = u128::from(entry.time.saturating_sub(self.owner_seen));
        if self.successor.as_ref() == Some(&entry.author) && silent_for >= SUCCESSION_WAIT.as_millis() {
            self.give(&entry.author)
        } else {
            Err(Refusal::NotOwner)
        }
    }
}

/// The keys as a set, if they are one: at least one, none twice, and not too many.
fn key_set(keys: &[PublicKey]) -> Result<BTreeSet<PublicKey>, Refusal> {
    let set: BTreeSet<_> = keys.iter().copied().collect();
    if keys.is_empty() || keys.len() > KEYS_PER_USER || set.len() != keys.len() {
        return Err(Refusal::Value);
    }
    Ok(set)
}

/// Refuses an entry that changes nothing.
fn changes(changed: bool) -> Result<(), Refusal> {
    if changed { Ok(()) } else { Err(Refusal::NoChange) }
}
