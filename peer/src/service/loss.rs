//! The irreversible loss that a command would cause.
//!
//! A frontend for people asks for confirmation first.

use commons::names::RoomName;

use crate::api::Command;
use crate::api::account::AccountCommand;
use crate::api::error::CommandError;
use crate::api::loss::Loss;
use crate::engine::chat::Chat;
use crate::service::PeerService;

impl PeerService {
    /// Returns the data that this command would destroy for good, if any.
    pub async fn loss(&self, command: &Command) -> Option<Loss> {
        match command {
            Command::Delete { room } => {
                let room = room.clone()?;
                self.engine.call(move |engine| room_loss(&engine.chat, room)).await.ok().flatten()
            }
            Command::Forget { conversation } => Some(Loss::History(conversation.clone())),
            Command::Account(AccountCommand::Delete { .. }) => {
                self.session.get().map(|session| Loss::Account(session.user.clone()))
            }
            _ => None,
        }
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

/// Returns what the deletion of a room destroys.
fn room_loss(chat: &Chat, room: RoomName) -> Option<Loss> {
    if !chat.has_entered(&room) {
        // Its members are not known here.
        return Some(Loss::Room { room, others: Vec::new() });
    }
    let others = chat.owned(&room)?;
    (!others.is_empty()).then_some(Loss::Room { room, others })
}
