//! Rooms with a log: the user's own changes, and the entries that the tracker brings.

use std::collections::BTreeSet;
use std::sync::Arc;

use commons::names::{RoomName, Username};
use commons::protocol::with_tracker::{ErrorCode, Reply, RoomUpdate, TrackerRequest};
use commons::room_log::entry::{Change, Entry, SignedEntry};
use commons::room_log::log::RoomLog;
use commons::room_log::state::RoomState;
use commons::snapshot::RoomSnapshot;
use uuid::Uuid;

use crate::api::error::CommandError;
use crate::engine::Engine;
use crate::engine::effect::{Effect, Effects};
use crate::engine::input::Now;
use crate::engine::room_intent::RoomIntent;
use crate::engine::room_logs::Checked;
use crate::tracker_communication::tracker_report::TrackerError;

impl Engine {
    /// Checks the rooms of a sign-in. A room that was not entered on this device is only offered, so its log is not read.
    pub(in crate::engine) fn check_rooms(
        &mut self,
        rooms: Vec<RoomSnapshot>,
        effects: &mut Effects,
    ) -> Vec<RoomSnapshot> {
        let mut checked = Vec::new();
        for room in rooms {
            if self.chat.is_known(&room) {
                checked.extend(self.check_room(room, effects));
            } else {
                checked.push(room);
            }
        }
        checked
    }

    /// Returns the room with the members that its log proves, and asks for the entries that are not known yet.
    pub(in crate::engine) fn check_room(
        &mut self,
        shown: RoomSnapshot,
        effects: &mut Effects,
    ) -> Option<RoomSnapshot> {
        let name = shown.name.clone();
        let Checked { room, wanted, warnings } = self.room_logs.check(shown);
        effects.extend(wanted.map(|(room, after)| Effect::ReadRoomLog(room, after)));
        effects.publish(warnings.into_iter().map(|warning| warning.event(&name)));
        room
    }

    /// Returns the tracker's reply with the rooms as their logs prove them.
    pub(in crate::engine) fn proven_reply(
        &mut self,
        request: &TrackerRequest,
        reply: &Reply,
        effects: &mut Effects,
    ) -> Reply {
        let mut proven = reply.clone();
        match request {
            TrackerRequest::Register(_) | TrackerRequest::Login(_) => {
                let rooms = proven.rooms.take().unwrap_or_default().into_values().collect();
                let rooms = self.check_rooms(rooms, effects).into_iter();
                proven.rooms = Some(rooms.map(|room| (room.name.as_str().to_owned(), room)).collect());
            }
            TrackerRequest::CreateRoom { .. } | TrackerRequest::JoinRoom { .. } => {
                proven.room = proven.room.and_then(|room| self.check_room(room, effects));
            }
            _ => {}
        }
        proven
    }

    /// Applies the tracker's update of a room.
    pub(in crate::engine) fn on_room_update(&mut self, update: RoomUpdate, now: Now, effects: &mut Effects) {
        let events = match update.room {
            Some(room) if self.chat.is_known(&room) => {
                let proven = self.check_room(room, effects);
                proven.map(|room| self.chat.changed(room, now.instant)).unwrap_or_default()
            }
            _ => self.chat.updated(update, now.instant),
        };
        effects.publish(events);
    }

    /// Applies a change of this user that the tracker has accepted.
    pub(in crate::engine) fn on_room_changed(
        &mut self,
        entry: &SignedEntry,
        reply: &Reply,
        now: Now,
        effects: &mut Effects,
    ) {
        // An entry that was read meanwhile is known already.
        let Ok(id) = self.room_logs.add_own(entry) else { return };
        let Some(name) = self.room_logs.get(id).map(|log| log.state().name().clone()) else { return };
        let members = self.chat.members_of(id);
        match &entry.entry.change {
            Change::Left | Change::Deleted => {
                let is_deleted = entry.entry.change == Change::Deleted;
                effects.publish(self.chat.ended(&name, is_deleted));
                let others = members.into_iter().filter(|user| user != self.chat.me()).collect();
                self.send_leave(&name, others, effects);
            }
            _ => {
                let shown = reply.room.clone().filter(|room| room.id == id);
                let room = shown.and_then(|room| self.check_room(room, effects));
                match room {
                    Some(room) => {
                        effects.publish(self.chat.entry_granted(name.as_str(), room, now.instant));
                    }
                    None => self.on_log_grown(id, now, effects),
                }
            }
        }
    }

    /// Applies a page of a room's log, and the snapshot that waited for it. A page that brings nothing new is followed by no
    /// request: the snapshot waits for the next tick.
    pub(in crate::engine) fn on_room_log(
        &mut self,
        name: &str,
        after: u64,
        reply: &Reply,
        now: Now,
        effects: &mut Effects,
    ) {
        let Ok(name) = RoomName::parse(name) else { return };
        let (room, warnings) = self.room_logs.read(&name, after, reply);
        effects.publish(warnings.iter().map(|warning| warning.event(&name)));
        let Some(room) = room else { return };
        self.on_log_grown(room, now, effects);
    }

    /// Applies a log that has grown to the snapshot that waited for it, or to the last one: a removal counts even if the tracker
    /// pushes no snapshot without the member.
    pub(in crate::engine) fn on_log_grown(&mut self, room: Uuid, now: Now, effects: &mut Effects) {
        let waiting = self.room_logs.take_waiting(room);
        let proven =
            waiting.and_then(|shown| self.check_room(shown, effects)).or_else(|| self.proven_room(room));
        effects.publish(proven.map(|room| self.chat.changed(room, now.instant)).unwrap_or_default());
    }

    /// Returns a room in which the user is, as its present log proves it.
    fn proven_room(&self, room: Uuid) -> Option<RoomSnapshot> {
        let shown = self.chat.rooms().find(|shown| shown.id == room)?;
        self.room_logs.prove(shown)
    }

    /// The tracker refused the entries of a room, or was lost. To somebody who was removed from a room it gives none.
    pub(in crate::engine) fn on_room_log_refused(
        &mut self,
        name: &RoomName,
        error: &TrackerError,
        now: Now,
        effects: &mut Effects,
    ) {
        let TrackerError::Refused(refusal) = error else { return };
        if refusal.code != ErrorCode::RoomNotFound {
            return;
        }
        let shown = self.room_logs.take_refused(name);
        if let Some(shown) = shown.filter(|shown| !shown.has_member(self.chat.me())) {
            effects.publish(self.chat.changed(shown, now.instant));
            self.update_membership(now, effects);
        }
    }

    /// Asks again for the entries that are still awaited.
    pub(in crate::engine) fn read_room_logs(&self, effects: &mut Effects) {
        let wanted = self.room_logs.wanted();
        effects.extend(wanted.into_iter().map(|(room, after)| Effect::ReadRoomLog(room, after)));
    }

    /// Forgets what was noted about rooms in which the user is no longer.
    pub(in crate::engine) fn forget_logs(&mut self) {
        let rooms: BTreeSet<_> = self.chat.rooms().map(|room| room.id).collect();
        self.room_logs.keep(&rooms);
    }

    /// Returns the log of a room in which the user is, or which was read last to join it.
    pub(in crate::engine) fn log_of(&self, name: &RoomName) -> Option<&Arc<RoomLog>> {
        match self.chat.rooms().find(|room| room.name == *name) {
            Some(room) => self.room_logs.get(room.id),
            None => self.room_logs.candidate(name),
        }
    }

    /// Returns the entry by which this user makes a change, for this device to sign; `None` if the room has no log, or if a
    /// member joins again.
    pub(crate) fn next_entry(
        &self,
        name: &RoomName,
        intent: RoomIntent,
        now: Now,
    ) -> Result<Option<Entry>, CommandError> {
        let Some(log) = self.log_of(name) else { return Ok(None) };
        let state = log.state();
        let change = match intent {
            RoomIntent::Join => {
                self.check_owner(state)?;
                // A member enters again without an entry, for example on another device.
                if state.members().contains_key(self.chat.me()) {
                    return Ok(None);
                }
                Change::Joined { keys: vec![self.own_key], endorsements: Vec::new() }
            }
            RoomIntent::Leave => Change::Left,
            RoomIntent::Delete => Change::Deleted,
            RoomIntent::HandOn => {
                let others = state.members().iter().filter(|(user, _)| *user != self.chat.me());
                let longest = others.min_by_key(|(_, member)| member.since);
                longest.map_or(Change::Deleted, |(user, _)| Change::Owner(user.clone()))
            }
            RoomIntent::AddDevice(key) => Change::Device(key),
            RoomIntent::Invite(user) => self.invitation(user)?,
            RoomIntent::Uninvite(user) => Change::Uninvited(user),
            RoomIntent::Remove(user) => Change::Removed(user),
            RoomIntent::Ban(user) => Change::Banned(user),
            RoomIntent::Unban(user) => Change::Unbanned(user),
            RoomIntent::SetPolicy(policy) => Change::Policy(policy),
            RoomIntent::SetTopic(text) => Change::Topic(text),
            RoomIntent::Give(user) => Change::Owner(user),
            RoomIntent::SetSuccessor(user) => Change::Successor(user),
        };
        let millis = u64::try_from(now.utc.timestamp_millis()).unwrap_or_default();
        Ok(Some(state.next(self.chat.me().clone(), self.own_key, millis, change)))
    }

    /// Returns the invitation of a user under the keys that this device has pinned. Without one, the tracker could name a
    /// key of its own.
    fn invitation(&self, user: Username) -> Result<Change, CommandError> {
        if self.keys.is_changed(&user) {
            return Err(CommandError::KeyChanged(user));
        }
        match self.keys.pins().get(&user).map(|pin| pin.keys.clone()).filter(|keys| !keys.is_empty()) {
            Some(keys) => Ok(Change::Invited { user, keys }),
            None => Err(CommandError::KeyUnknown(user)),
        }
    }

    /// Checks that the owner of a room is the person whom this user knows by that name.
    fn check_owner(&self, state: &RoomState) -> Result<(), CommandError> {
        let owner = state.owner();
        let Some(pin) = self.keys.pins().get(owner) else { return Ok(()) };
        // The log can list a key without its signature, so one known key among others proves nothing.
        let is_known = state.keys(owner).into_iter().flatten().all(|key| pin.keys.contains(key));
        if is_known || owner == self.chat.me() {
            Ok(())
        } else {
            Err(CommandError::KeyChanged(owner.clone()))
        }
    }
}
