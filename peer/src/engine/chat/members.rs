//! The members of conversations: who shares which one, and since when.

use std::collections::BTreeSet;

use commons::digest::Digest;
use commons::names::Username;
use commons::snapshot::{Member, RoomSnapshot};
use uuid::Uuid;

use crate::api::conversation::Conversation;
use crate::api::error::CommandError;
use crate::api::missing_conversation::MissingConversation;
use crate::engine::chat::Chat;
use crate::history::conversation::ConversationId;

impl Chat {
    pub(in crate::engine::chat) fn room_by_id(&self, id: Uuid) -> Option<&RoomSnapshot> {
        self.rooms.values().find(|room| room.id == id)
    }

    /// Returns the history's id of a conversation.
    pub(crate) fn resolve(&self, conversation: &Conversation) -> Result<ConversationId, CommandError> {
        match conversation {
            Conversation::Private(user) => Ok(ConversationId::Private(user.clone())),
            Conversation::Room(name) => {
                let room = self.rooms.get(name).ok_or_else(|| MissingConversation::from(conversation))?;
                Ok(ConversationId::Room(room.id))
            }
        }
    }

    /// Returns the state of a room in which its members write: its revision, or the epoch and the last entry of its log.
    pub(crate) fn room_state(&self, conversation: &Conversation) -> (u64, Option<Digest>) {
        let Conversation::Room(name) = conversation else { return (0, None) };
        let room = self.rooms.get(name);
        room.map(|room| (room.membership_revision(), room.log.map(|log| log.head))).unwrap_or_default()
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
    pub(crate) fn is_present(&self, user: &Username) -> bool {
        let is_present_member =
            |member: &Member| member.connected && !member.in_menu && member.username == *user;
        let in_private = self.private.get(user).is_some_and(Option::is_some);
        in_private || self.rooms.values().flat_map(|room| &room.members).any(is_present_member)
    }

    /// Returns the members of a room. The list is empty if the user is not in the room.
    pub(crate) fn members_of(&self, room: Uuid) -> Vec<Username> {
        let members = self.room_by_id(room).map(|room| room.members.as_slice()).unwrap_or_default();
        members.iter().map(|member| member.username.clone()).collect()
    }

    /// Returns the members of a room and the revision at which the user joined. The list is empty and the revision is
    /// 0 if the user is not a member.
    pub(crate) fn members_since(&self, room: &ConversationId) -> (Vec<Username>, u64) {
        let members = room.room().map(|room| self.members_of(room)).unwrap_or_default();
        let since = self.member_since(room, &self.me);
        (members, since.unwrap_or(0))
    }

    /// Returns the first revision of a room whose messages a user may receive; 0 in a private chat, `None` for a
    /// non-member. It follows from when this peer saw the user join, not from the tracker's claim.
    pub(crate) fn member_since(&self, conversation: &ConversationId, user: &Username) -> Option<u64> {
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
