//! The admission of received messages: which of them belong to a conversation of the user.
//!
//! A message of a room is admitted once its author is a member and the history knows the room's revision. Until then it
//! is held back.

use commons::names::{RoomName, Username};
use commons::snapshot::RoomSnapshot;
use tokio::time::Instant;
use uuid::Uuid;

use crate::engine::chat::Chat;
use crate::engine::chat::held_back::{Inbound, InboundMessages};
use crate::history::conversation::ConversationId;
use crate::history::remembered_room::RememberedRoom;

impl Chat {
    /// Accepts a received message and returns its conversation, or `None` if it is refused or held back. A message
    /// is held back until its sender is a member of a room whose snapshot the history has noted.
    pub(crate) fn admit(
        &mut self,
        inbound: Inbound,
        now: Instant,
    ) -> Option<(ConversationId, Option<RoomName>, Inbound)> {
        let room = match &inbound.messages {
            InboundMessages::Unsigned(message) => message.room.as_deref().map(|name| self.rooms.get(name)),
            InboundMessages::Signed(batch) => batch.room_id.map(|id| self.room_by_id(id)),
        };
        match room {
            None if self.blocked.contains(&inbound.from) => None,
            None => Some((ConversationId::Private(inbound.from.clone()), None, inbound)),
            Some(Some(room))
                if room.log.is_some()
                    && matches!(inbound.messages, InboundMessages::Unsigned(_))
                    && room.members.iter().any(|it| it.username == inbound.from && !it.keys.is_empty()) =>
            {
                // A member with a key signs. Without a signature the author could tell each member something else.
                None
            }
            Some(Some(room))
                if room.has_member(&inbound.from)
                    && self.synced.get(&room.id) == Some(&room.order())
                    && !is_later(room, &inbound)
                    && !self.held_back.holds(&inbound, now) =>
            {
                Some((ConversationId::Room(room.id), Some(room.name.clone()), inbound))
            }
            Some(_) => {
                self.held_back.keep(inbound, now);
                None
            }
        }
    }

    /// Returns the room of messages that were signed under an entry of its log which is not known here yet. They are held
    /// back.
    pub(crate) fn room_of_later_epoch(&self, inbound: &Inbound) -> Option<Uuid> {
        let InboundMessages::Signed(batch) = &inbound.messages else { return None };
        let room = self.room_by_id(batch.room_id?)?;
        (room.has_member(&inbound.from) && is_later(room, inbound)).then_some(room.id)
    }

    /// Returns the rooms whose current revision the history has not noted, and the ids of those that no longer
    /// exist here.
    pub(crate) fn unsynced_rooms(&mut self) -> (Vec<RememberedRoom>, Vec<Uuid>) {
        let changed = self.rooms.values().filter(|room| self.synced.get(&room.id) != Some(&room.order()));
        let remembered = |room: &RoomSnapshot| RememberedRoom {
            id: room.id,
            snapshot: Some(room.clone()),
            membership: self.memberships.get(&room.id).cloned().unwrap_or_default(),
            log: None,
        };
        let changed = changed.map(remembered).collect();
        let removed: Vec<_> =
            self.synced.keys().filter(|id| self.room_by_id(**id).is_none()).copied().collect();
        for id in &removed {
            self.synced.remove(id);
        }
        (changed, removed)
    }

    /// Notes that the history knows this state of a room.
    pub(crate) fn mark_synced(&mut self, room: Uuid, order: (u64, u64)) {
        self.synced.insert(room, order);
    }

    /// Drops the held-back messages of an earlier link to a user.
    pub(crate) fn forget_held_back(&mut self, user: &Username) {
        self.held_back.forget(user);
    }

    /// Returns the held-back messages whose sender is a member now.
    pub(crate) fn admit_held_back(
        &mut self,
        now: Instant,
    ) -> Vec<(ConversationId, Option<RoomName>, Inbound)> {
        let held_back = self.held_back.take(now);
        held_back.into_iter().filter_map(|(since, inbound)| self.admit(inbound, since)).collect()
    }
}

/// Returns whether messages were signed under a later entry of a room's log than the known ones.
fn is_later(room: &RoomSnapshot, inbound: &Inbound) -> bool {
    let (Some(log), InboundMessages::Signed(batch)) = (room.log, &inbound.messages) else { return false };
    batch.messages.iter().any(|message| message.provenance.revision > log.epoch)
}

#[cfg(test)]
mod tests {
    use commons::snapshot::ChangeKind;

    use super::*;
    use crate::engine::chat::tests::{ana_in, sala, update, user};
    use crate::limits::EARLY_WAIT;
    use crate::peer_communication::link_report::PlainMessage;

    fn message(from: &str, room: Option<&str>) -> Inbound {
        let room = room.map(str::to_owned);
        let message = PlainMessage { room, content: "hi".into(), id: Uuid::nil(), sent_at: None };
        Inbound { from: user(from), messages: InboundMessages::Unsigned(message) }
    }

    #[tokio::test]
    async fn early_message_waits_for_confirmation_until_it_expires() {
        let now = Instant::now();
        let mut chat = ana_in(sala(1, &["ana"]));
        assert!(chat.admit(message("bob", Some("sala")), now).is_none());
        chat.updated(update(ChangeKind::Joined, "bob", Some(sala(2, &["ana", "bob"]))), now);
        chat.mark_synced(Uuid::nil(), (0, 2));
        assert_eq!(chat.admit_held_back(now).len(), 1);

        assert!(chat.admit(message("carla", Some("sala")), now).is_none());
        let later = now + EARLY_WAIT * 2;
        chat.updated(update(ChangeKind::Joined, "carla", Some(sala(3, &["ana", "carla"]))), later);
        assert!(chat.admit_held_back(later).is_empty());
    }

    #[tokio::test]
    async fn early_message_holds_back_its_own_room_only() {
        let now = Instant::now();
        let mut chat = ana_in(sala(1, &["ana", "bob"]));
        chat.mark_synced(Uuid::nil(), (0, 1));
        assert!(chat.admit(message("bob", Some("left a moment ago")), now).is_none());
        assert!(chat.admit(message("bob", Some("sala")), now).is_some());
        // Control: a later message of one user does not overtake an earlier one in the same room.
        assert!(chat.admit(message("carla", Some("sala")), now).is_none());
        chat.updated(update(ChangeKind::Joined, "carla", Some(sala(2, &["ana", "carla"]))), now);
        chat.mark_synced(Uuid::nil(), (0, 2));
        assert!(chat.admit(message("carla", Some("sala")), now).is_none());
    }

    #[tokio::test]
    async fn early_message_that_is_too_late_holds_back_nothing() {
        let now = Instant::now();
        let mut chat = ana_in(sala(1, &["ana"]));
        assert!(chat.admit(message("bob", Some("sala")), now).is_none());
        let later = now + EARLY_WAIT * 2;
        chat.updated(update(ChangeKind::Joined, "bob", Some(sala(2, &["ana", "bob"]))), later);
        chat.mark_synced(Uuid::nil(), (0, 2));
        assert!(chat.admit(message("bob", Some("sala")), later).is_some());
    }
}
