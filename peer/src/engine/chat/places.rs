//! The mapping of messages to conversations.
//!
//! It answers which id the history uses for a conversation, who shares it, and whether a received message is
//! accepted.

use std::collections::BTreeSet;

use commons::names::{RoomName, Username};
use commons::snapshot::{Member, RoomSnapshot};
use tokio::time::Instant;
use uuid::Uuid;

use crate::api::conversation::Conversation;
use crate::api::error::CommandError;
use crate::api::missing_conversation::MissingConversation;
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
            InboundMessages::Unsigned(line) => line.room.as_deref().map(|name| self.rooms.get(name)),
            InboundMessages::Signed(batch) => batch.room_id.map(|id| self.room_by_id(id)),
        };
        match room {
            None if self.blocked.contains(&inbound.from) => None,
            None => Some((ConversationId::Private(inbound.from.clone()), None, inbound)),
            Some(Some(room))
                if room.has_member(&inbound.from)
                    && self.kept.get(&room.id) == Some(&room.revision)
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

    /// Returns the rooms whose current revision the history has not noted, and the ids of those that no longer
    /// exist here.
    pub(crate) fn not_kept(&mut self) -> (Vec<RememberedRoom>, Vec<Uuid>) {
        let changed = self.rooms.values().filter(|room| self.kept.get(&room.id) != Some(&room.revision));
        let remembered = |room: &RoomSnapshot| RememberedRoom {
            id: room.id,
            snapshot: Some(room.clone()),
            membership: self.memberships.get(&room.id).cloned().unwrap_or_default(),
        };
        let changed = changed.map(remembered).collect();
        let gone: Vec<_> = self.kept.keys().filter(|id| self.room_by_id(**id).is_none()).copied().collect();
        for id in &gone {
            self.kept.remove(id);
        }
        (changed, gone)
    }

    /// Notes that the history knows this revision of a room.
    pub(crate) fn note_kept(&mut self, room: Uuid, revision: u64) {
        self.kept.insert(room, revision);
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

    fn room_by_id(&self, id: Uuid) -> Option<&RoomSnapshot> {
        self.rooms.values().find(|room| room.id == id)
    }

    /// Returns the history's id of a conversation, and the revision at which messages are written.
    pub(crate) fn place(&self, conversation: &Conversation) -> Result<(ConversationId, u64), CommandError> {
        match conversation {
            Conversation::Private(user) => Ok((ConversationId::Private(user.clone()), 0)),
            Conversation::Room(name) => {
                let room = self.rooms.get(name).ok_or_else(|| MissingConversation::from(conversation))?;
                Ok((ConversationId::Room(room.id), room.revision))
            }
        }
    }

    /// Returns the members whose legacy clients do not show a room and would drop its messages.
    pub(crate) fn hidden_rooms(&self) -> BTreeSet<(Username, Uuid)> {
        let absent = |room: &RoomSnapshot| {
            let members = room.members.iter().filter(|member| member.in_menu);
            members.map(|member| (member.username.clone(), room.id)).collect::<Vec<_>>()
        };
        self.rooms.values().flat_map(absent).collect()
    }

    /// Returns whether a user is connected and shows a shared conversation, according to the tracker.
    pub(crate) fn is_there(&self, user: &Username) -> bool {
        let sits_there = |member: &Member| member.connected && !member.in_menu && member.username == *user;
        let in_private = self.private.get(user).is_some_and(Option::is_some);
        in_private || self.rooms.values().flat_map(|room| &room.members).any(sits_there)
    }

    /// Returns the members of a room. The list is empty if the user is not in the room.
    pub(crate) fn members_of(&self, room: Uuid) -> Vec<Username> {
        let members = self.room_by_id(room).map(|room| room.members.as_slice()).unwrap_or_default();
        members.iter().map(|member| member.username.clone()).collect()
    }

    /// Returns the members of a room and the revision at which the user joined. The list is empty and the revision is
    /// 0 if the user is not a member.
    pub(crate) fn seated(&self, room: &ConversationId) -> (Vec<Username>, u64) {
        let members = room.room().map(|room| self.members_of(room)).unwrap_or_default();
        let since = self.since(room, &self.me);
        (members, since.unwrap_or(0))
    }

    /// Returns the first revision of a room whose messages a user may receive; 0 in a private chat, `None` for a
    /// non-member. It follows from when this peer saw the user join, not from the tracker's claim.
    pub(crate) fn since(&self, conversation: &ConversationId, user: &Username) -> Option<u64> {
        let ConversationId::Room(room) = conversation else { return Some(0) };
        self.memberships.get(room)?.from(user)
    }

    /// Returns every conversation that is shared with a user.
    pub(crate) fn shared_with(&self, user: &Username) -> Vec<ConversationId> {
        let rooms = self.rooms.values().filter(|room| room.has_member(user));
        let rooms = rooms.map(|room| ConversationId::Room(room.id));
        let private = Some(ConversationId::Private(user.clone())).filter(|_| !self.blocked.contains(user));
        rooms.chain(private).collect()
    }
}

#[cfg(test)]
mod tests {
    use commons::snapshot::ChangeKind;

    use super::*;
    use crate::engine::chat::tests::{ana_in, sala, update, user};
    use crate::limits::EARLY_WAIT;
    use crate::peer_communication::link_report::PlainMessage;

    fn line(from: &str, room: Option<&str>) -> Inbound {
        let room = room.map(str::to_owned);
        let line = PlainMessage { room, content: "hi".into(), id: Uuid::nil(), sent_at: None };
        Inbound { from: user(from), messages: InboundMessages::Unsigned(line) }
    }

    #[tokio::test]
    async fn early_message_waits_for_confirmation_until_it_expires() {
        let now = Instant::now();
        let mut chat = ana_in(sala(1, &["ana"]));
        assert!(chat.admit(line("bob", Some("sala")), now).is_none());
        chat.updated(update(ChangeKind::Joined, "bob", Some(sala(2, &["ana", "bob"]))), now);
        chat.note_kept(Uuid::nil(), 2);
        assert_eq!(chat.admit_held_back(now).len(), 1);

        assert!(chat.admit(line("carla", Some("sala")), now).is_none());
        let later = now + EARLY_WAIT * 2;
        chat.updated(update(ChangeKind::Joined, "carla", Some(sala(3, &["ana", "carla"]))), later);
        assert!(chat.admit_held_back(later).is_empty());
    }

    #[tokio::test]
    async fn early_message_holds_back_its_own_room_only() {
        let now = Instant::now();
        let mut chat = ana_in(sala(1, &["ana", "bob"]));
        chat.note_kept(Uuid::nil(), 1);
        assert!(chat.admit(line("bob", Some("left a moment ago")), now).is_none());
        assert!(chat.admit(line("bob", Some("sala")), now).is_some());
        // Control: a later message of one user does not overtake an earlier one in the same room.
        assert!(chat.admit(line("carla", Some("sala")), now).is_none());
        chat.updated(update(ChangeKind::Joined, "carla", Some(sala(2, &["ana", "carla"]))), now);
        chat.note_kept(Uuid::nil(), 2);
        assert!(chat.admit(line("carla", Some("sala")), now).is_none());
    }

    #[tokio::test]
    async fn early_message_that_is_too_late_holds_back_nothing() {
        let now = Instant::now();
        let mut chat = ana_in(sala(1, &["ana"]));
        assert!(chat.admit(line("bob", Some("sala")), now).is_none());
        let later = now + EARLY_WAIT * 2;
        chat.updated(update(ChangeKind::Joined, "bob", Some(sala(2, &["ana", "bob"]))), later);
        chat.note_kept(Uuid::nil(), 2);
        assert!(chat.admit(line("bob", Some("sala")), later).is_some());
    }
}
