//! The comparison of rooms' logs between members, who cannot be shown different rooms unnoticed.
//!
//! A HAVE carries the last entry of the log that its sender knows, as the tracker signed it. A member who knows another
//! entry of that epoch has proof that the tracker has shown two rooms. A member who knows fewer entries reads the others:
//! from the tracker, and from the sender of the HAVE, because the tracker may withhold them.
//!
//! ```text
//! bob's log  1 2 3 4     HAVE, head of 4 ──►  1 2 3 4'   carla: two rooms were shown
//! bob's log  1 2 3 4     HAVE, head of 4 ──►  1 2        carla: ROOM_LOG after 2 ──► bob: ENTRIES 3 4
//! ```

use commons::names::Username;
use commons::protocol::between_peers::LogEntries;
use commons::protocol::provenance::StreamSpans;
use commons::room_log::head::SignedHead;
use uuid::Uuid;

use crate::engine::Engine;
use crate::engine::effect::{Effect, Effects};
use crate::engine::input::{Now, RefusedFrame};
use crate::engine::log_warning::LogWarning;
use crate::engine::offered_logs::Offer;
use crate::engine::omission::Omission;
use crate::engine::room_logs::HeadComparison;
use crate::history::conversation::ConversationId;
use crate::peer_communication::frame::Frame;

impl Engine {
    /// Returns the signed head that goes with a HAVE of this conversation.
    pub(in crate::engine) fn signed_head(&self, of: &ConversationId) -> Option<Box<SignedHead>> {
        self.room_logs.signed_head(of.room()?).copied().map(Box::new)
    }

    /// Compares the head of a member's log with the own log.
    pub(in crate::engine) fn on_log_head(
        &mut self,
        from: &Username,
        room: Uuid,
        head: &SignedHead,
        now: Now,
        effects: &mut Effects,
    ) {
        if self.omits(Omission::CompareHeads) || !self.is_member_by_log(room, from) {
            return;
        }
        match self.room_logs.compare(room, head) {
            HeadComparison::Equal | HeadComparison::Unsigned => {}
            HeadComparison::Longer => self.read_entries(from, room, now, effects),
            HeadComparison::Split => self.warn_of(room, LogWarning::SplitWith(from.clone()), effects),
        }
    }

    /// Reads the entries that a member knows and this peer does not.
    pub(in crate::engine) fn read_entries(
        &mut self,
        from: &Username,
        room: Uuid,
        now: Now,
        effects: &mut Effects,
    ) {
        let Some(log) = self.room_logs.get(room) else { return };
        if !self.offered_logs.may_request(from, room, now.instant) {
            return;
        }
        let after = log.head().epoch;
        effects.push(Effect::ReadRoomLog(log.state().name().clone(), after));
        let frame = Frame::RoomLog { room_id: room, after };
        effects.push(Effect::Send(from.clone(), frame, RefusedFrame::Repeatable));
    }

    /// Asks the questions for entries that came too soon after others.
    pub(in crate::engine) fn read_due_entries(&mut self, now: Now, effects: &mut Effects) {
        for (from, room) in self.offered_logs.take_due() {
            self.read_entries(&from, room, now, effects);
        }
    }

    /// Sends a member the entries of a room's log.
    pub(in crate::engine) fn on_log_requested(
        &mut self,
        from: Username,
        room: Uuid,
        after: u64,
        now: Now,
        effects: &mut Effects,
    ) {
        let (Some(log), Some(head)) = (self.room_logs.get(room), self.room_logs.signed_head(room)) else {
            return;
        };
        if !self.is_member_by_log(room, &from)
            || !self.offered_logs.may_serve(&from, room, after, now.instant)
        {
            return;
        }
        let entries = log.page(after).to_vec();
        let frame = Frame::Entries(LogEntries { room_id: room, entries, log_head: Box::new(*head) });
        effects.push(Effect::Send(from, frame, RefusedFrame::Repeatable));
    }

    /// Takes entries from a member, as far as the tracker has signed them.
    pub(in crate::engine) fn on_entries(
        &mut self,
        from: Username,
        LogEntries { room_id: room, entries, log_head: head }: LogEntries,
        now: Now,
        effects: &mut Effects,
    ) {
        if self.omits(Omission::CompareHeads) || !self.is_member_by_log(room, &from) {
            return;
        }
        let Some(known) = self.room_logs.get(room) else { return };
        match self.offered_logs.add(&from, known, &entries, &head) {
            Offer::Useless => {}
            Offer::Split => {
                self.room_logs.note_split(room, head.head.digest);
                self.warn_of(room, LogWarning::SplitWith(from), effects);
            }
            Offer::More(after) => {
                let frame = Frame::RoomLog { room_id: room, after };
                effects.push(Effect::Send(from, frame, RefusedFrame::Repeatable));
            }
            Offer::Complete(log) => {
                self.room_logs.replace(*log, *head);
                self.on_log_grown(room, now, effects);
                self.update_membership(now, effects);
            }
        }
    }

    /// Asks a peer for messages of which it names other digests than this peer has stored: two messages that are signed for
    /// one place are proof against their author.
    pub(in crate::engine) fn on_conflicts(
        &self,
        from: Username,
        of: &ConversationId,
        streams: Vec<StreamSpans>,
        effects: &mut Effects,
    ) {
        if !streams.is_empty() && !self.omits(Omission::CompareTips) {
            let frame = Frame::Want { room_id: of.room(), streams };
            effects.push(Effect::Send(from, frame, RefusedFrame::Repeatable));
        }
    }

    /// Warns once of a contradiction about a room in which the user is.
    pub(in crate::engine) fn warn_of(&mut self, room: Uuid, warning: LogWarning, effects: &mut Effects) {
        let name = self.chat.rooms().find(|known| known.id == room).map(|room| room.name.clone());
        let Some(name) = name else { return };
        let warnings = self.room_logs.warn(room, [warning]);
        effects.publish(warnings.iter().map(|warning| warning.event(&name)));
    }

    /// Returns whether a user is a member of a room, by the log that this peer knows.
    fn is_member_by_log(&self, room: Uuid, user: &Username) -> bool {
        self.room_logs.get(room).is_some_and(|log| log.state().members().contains_key(user))
    }
}
