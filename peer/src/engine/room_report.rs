//! The description of a room with a log: who is in it, since when, and by whose invitation.

use chrono::DateTime;
use commons::names::{RoomName, Username};
use commons::room_log::state::RoomState;

use crate::api::answer::Answer;
use crate::api::conversation::Conversation;
use crate::api::error::CommandError;
use crate::api::missing_conversation::MissingConversation;
use crate::api::room_command::{ReportedMember, RoomReport};
use crate::engine::Engine;
use crate::engine::omission::Omission;

impl Engine {
    /// Whether the tracker has shown two different states of a room, and the user has not looked at it since.
    pub(in crate::engine) fn is_split(&self, name: &RoomName) -> bool {
        let mut rooms = self.chat.rooms().filter(|_| !self.omits(Omission::SplitStops));
        rooms.any(|room| room.name == *name && self.room_logs.is_split(room.id))
    }

    /// Describes a room in which the user is. After a split view the user may write there again.
    pub(in crate::engine) fn describe_room(&mut self, name: RoomName) -> Result<Answer, CommandError> {
        let room = self.chat.rooms().find(|room| room.name == name);
        let Some(room) = room else {
            return Err(MissingConversation::from(&Conversation::Room(name)).into());
        };
        let id = room.id;
        let Some(log) = self.room_logs.get(id) else { return Err(CommandError::Unsigned(name)) };
        let state = log.state();
        let mut members: Vec<_> = room.members.iter().map(|member| member.username.clone()).collect();
        members.sort_by_key(|user| {
            (user != state.owner(), state.members().get(user).map(|member| member.since))
        });
        let head = log.head();
        let report = RoomReport {
            room: name,
            owner: state.owner().clone(),
            policy: state.policy(),
            topic: state.topic().into(),
            successor: state.successor().cloned(),
            members: members.into_iter().map(|user| self.reported(state, user)).collect(),
            invited: state.invited().keys().cloned().collect(),
            banned: state.banned().iter().cloned().collect(),
            epoch: head.epoch,
            head: head.digest.into(),
        };
        self.room_logs.looked_at(id);
        Ok(Answer::Room(Box::new(report)))
    }

    fn reported(&self, state: &RoomState, username: Username) -> ReportedMember {
        let member = state.members().get(&username);
        let since = member.and_then(|member| i64::try_from(member.joined_at).ok());
        let is_pinned = |key| self.keys.is_pinned(&username, key);
        ReportedMember {
            since: since.and_then(DateTime::from_timestamp_millis),
            invited_by: member.and_then(|member| member.invited_by.clone()),
            trust: self.trust(&username),
            met: username == *self.chat.me()
                || state.keys(&username).is_some_and(|keys| keys.iter().all(is_pinned)),
            username,
        }
    }
}
