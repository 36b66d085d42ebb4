//! The irreversible loss that a command would cause.
//!
//! A frontend for people asks for confirmation first.

use commons::names::{RoomName, Username};
use commons::protocol::with_tracker::RoomsFate;

use crate::api::Command;
use crate::api::account::AccountCommand;
use crate::api::administration::AdminCommand;
use crate::api::conversation::Conversation;
use crate::api::error::CommandError;
use crate::api::loss::Loss;
use crate::service::PeerService;

impl PeerService {
    /// Returns the data that this command would destroy for good, if any.
    pub async fn loss(&self, command: &Command) -> Option<Loss> {
        match command {
            Command::Delete { room } => self.room_loss(room.clone()?).await,
            Command::Leave { conversation: Some(Conversation::Room(room)) } => {
                self.membership_loss(room.clone()).await
            }
            Command::Forget { conversation } => Some(Loss::History(conversation.clone())),
            Command::Admin(AdminCommand::AdminDeleteRoom { room }) => Some(Loss::RoomOfOthers(room.clone())),
            Command::Admin(AdminCommand::AdminRemove { user }) => Some(Loss::AccountOfOther(user.clone())),
            Command::Account(AccountCommand::Delete { name, rooms, .. }) => {
                self.account_loss(name.as_ref(), *rooms).await
            }
            _ => None,
        }
    }

    /// Returns what leaving a room destroys. A private chat begins again with the next message, so nothing is lost.
    async fn membership_loss(&self, room: RoomName) -> Option<Loss> {
        let me = &self.session.get()?.user;
        let rooms = self.engine.snapshot(self.signed_out()).await.ok()?.rooms;
        let entered = rooms.into_iter().find(|entered| entered.name == room)?;
        Some(Loss::Membership { room, is_owner: entered.owner == *me })
    }

    /// Returns what the deletion of the account destroys. A wrong name is refused, so it destroys nothing.
    async fn account_loss(&self, name: Option<&Username>, fate: RoomsFate) -> Option<Loss> {
        let user = self.session.get()?.user.clone();
        if name.is_some_and(|name| *name != user) {
            return None;
        }
        // Without the tracker the deletion fails too.
        let rooms = self.tracker.list_rooms().await.unwrap_or_default();
        let owned = rooms.into_iter().filter(|room| room.owner == user).map(|room| room.name).collect();
        Some(Loss::Account { user, owned, fate })
    }

    /// Returns what the deletion of a room destroys.
    async fn room_loss(&self, room: RoomName) -> Option<Loss> {
        let me = &self.session.get()?.user;
        let rooms = self.engine.snapshot(self.signed_out()).await.ok()?.rooms;
        let Some(entered) = rooms.into_iter().find(|entered| entered.name == room) else {
            // Its members are not known here.
            return Some(Loss::Room { room, others: Vec::new() });
        };
        let members = entered.members.into_iter().map(|member| member.username);
        let others: Vec<_> = members.filter(|user| user != me).collect();
        (entered.owner == *me && !others.is_empty()).then_some(Loss::Room { room, others })
    }

    /// Fails if the command would lose nothing, because its conversation is not stored on this device.
    pub async fn is_refused(&self, loss: &Loss) -> Result<(), CommandError> {
        match (loss, self.session.get()) {
            (Loss::History(conversation), Some(session)) => {
                self.keeps(&session.history, conversation.clone()).await
            }
            _ => Ok(()),
        }
    }
}
