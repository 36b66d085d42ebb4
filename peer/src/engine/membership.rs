//! The consequences of changed memberships: for the links, the history, and messages that were held back.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use commons::names::{RoomName, Username};
use commons::protocol::with_tracker::{Reply, TrackerRequest};
use commons::snapshot::RoomSnapshot;
use uuid::Uuid;

use crate::api::status::TrackerState;
use crate::engine::Engine;
use crate::engine::effect::{Effect, Effects};
use crate::engine::input::Now;
use crate::engine::omission::Omission;
use crate::engine::timers::Timer;
use crate::history::conversation::ConversationId;
use crate::history::request::Request;
use crate::limits::{ACK_GRACE, HELLO_PAUSE};
use crate::peer_communication::link_table::Target;

impl Engine {
    pub(in crate::engine) fn on_granted(
        &mut self,
        request: &TrackerRequest,
        reply: &Reply,
        now: Now,
        effects: &mut Effects,
    ) {
        let left = self.chat.leaves(request);
        match request {
            TrackerRequest::ChangeRoom { entry } => self.on_room_changed(entry, reply, now, effects),
            TrackerRequest::RoomLog { room, after } => self.on_room_log(room, *after, reply, now, effects),
            _ => {
                let proven = self.proven_reply(request, reply, effects);
                effects.publish(self.chat.answered(request, &proven, now.instant));
            }
        }
        if let Some((room, members)) = left {
            self.send_leave(&room, members, effects);
        }
        self.update_membership(now, effects);
        if matches!(request, TrackerRequest::Register(_) | TrackerRequest::Login(_)) {
            // This computer may be in another network than before.
            effects.push(Effect::RetryDials(None));
        }
    }

    /// Sends a LEAVE for a room to its other members.
    pub(in crate::engine) fn send_leave(
        &self,
        room: &RoomName,
        members: Vec<Username>,
        effects: &mut Effects,
    ) {
        for user in members {
            let still_used = self.chat.shares_conversation_with(&user);
            effects.push(Effect::SendLeave(user, Some(room.clone()), still_used));
        }
    }

    /// Passes the current memberships to the links and the history.
    pub(in crate::engine) fn update_membership(&mut self, now: Now, effects: &mut Effects) {
        self.update_link_targets(effects);
        for (user, room) in self.replication.hide_from(self.hidden_rooms()) {
            // The tracker's push may arrive before the legacy client has read its own answer.
            self.timers.set(Timer::ShowsAgain(user, room), now.instant + HELLO_PAUSE);
        }
        let (left, (changed, removed)) = (self.chat.take_left(), self.chat.unsynced_rooms());
        // When the user comes back, others may have written meanwhile.
        let is_left = |of: &ConversationId| of.room().is_some_and(|room| left.contains(&room));
        self.timed.retain(|of| !is_left(of));
        // Messages that were counted in a room that was left do not come any more.
        self.absences.retain(|of, _| !is_left(of));
        let is_changed = !changed.is_empty() || !removed.is_empty();
        if !self.omits(Omission::LeaveRoom) {
            left.into_iter().for_each(|room| effects.history(Request::LeaveRoom(room)));
        }
        for mut room in changed {
            room.log = self.room_logs.get(room.id).cloned();
            let order = room.snapshot.as_ref().map_or((0, 0), RoomSnapshot::order);
            let id = room.id;
            if !self.omits(Omission::NoteRoom) {
                effects.history(Request::NoteRoom(Box::new(room)));
            }
            self.chat.mark_synced(id, order);
            self.give_up_soon(id, now);
        }
        removed.into_iter().for_each(|room| self.give_up_soon(room, now));
        self.end_shared_requests(effects);
        self.forget_logs();
        self.publish_entries(effects);
        self.release_held_back(now, effects);
        if is_changed {
            self.sync.membership_changed();
            self.sync_with_all(now, effects);
        }
        self.retry_commands(now, effects);
    }

    /// Gives up the pending messages for former members, once their last acks had time to come.
    pub(in crate::engine) fn give_up_soon(&mut self, room: Uuid, now: Now) {
        if self.omits(Omission::GiveUp) {
            return;
        }
        let is_set = self.timers.is_set(&Timer::GiveUp(room));
        let timer = if is_set { Timer::GiveUpAgain(room) } else { Timer::GiveUp(room) };
        self.timers.set(timer, now.instant + ACK_GRACE);
    }

    /// Returns the members whose legacy clients do not show a room. Its messages wait.
    pub(in crate::engine) fn hidden_rooms(&self) -> BTreeSet<(Username, Uuid)> {
        if self.omits(Omission::HideRooms) { BTreeSet::new() } else { self.chat.hidden_rooms() }
    }

    /// Sends the messages of a room to a legacy client that shows the room again.
    pub(in crate::engine) fn on_shows_again(&mut self, user: &Username, room: Uuid, effects: &mut Effects) {
        if self.hidden_rooms().contains(&(user.clone(), room)) || self.omits(Omission::ShowsAgain) {
            return;
        }
        let after = self.replication.shows_again(user, room);
        self.query_pending(user, after, effects);
    }

    /// Updates the wanted links to match the conversations, and the keys that the tracker announces.
    pub(in crate::engine) fn update_link_targets(&mut self, effects: &mut Effects) {
        let wanted = self.chat.wanted();
        let announced: Vec<_> =
            wanted.iter().filter_map(|(user, want)| Some((user.clone(), want.keys.clone()?))).collect();
        let targets: BTreeMap<_, _> = wanted
            .into_iter()
            .map(|(user, want)| (self.address(&user, want.address), user, want.private))
            .map(|(address, user, eager)| {
                let is_proven = address.is_some() && self.keys.address(&user) == address;
                (user, Target { address, eager, is_proven })
            })
            .collect();
        let unwanted: Vec<_> = self
            .links
            .iter()
            .filter(|(user, _)| !targets.contains_key(*user))
            .map(|(user, link)| (user.clone(), self.link_trust(user, link)))
            .collect();
        effects.push(Effect::WantLinks(targets));
        for (user, link) in unwanted {
            effects.publish(self.chat.set_link(&user, Some(link), None));
        }
        // A user whose key was endorsed is dialled at once, and therefore after the link is wanted.
        announced.iter().for_each(|(user, keys)| self.announce_keys(user, keys, effects));
    }

    /// Returns the address at which to dial a user. While the tracker is lost, that is the address where the user last
    /// proved a key, else the one that the tracker announced last.
    fn address(&self, user: &Username, announced: Option<SocketAddr>) -> Option<SocketAddr> {
        if self.chat.tracker() != TrackerState::Lost {
            return announced;
        }
        self.keys.address(user).or(announced).or_else(|| self.chat.last_address(user))
    }

    /// Returns whether there is no session with the tracker, the user is not blocked, and the user's last address is
    /// known.
    pub(in crate::engine) fn is_found_without_tracker(&self, user: &Username) -> bool {
        self.chat.tracker() == TrackerState::Lost
            && !self.chat.blocked().contains(user)
            && self.keys.address(user).is_some()
    }
}
