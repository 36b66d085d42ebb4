//! The irreversible loss that a command would cause.
//!
//! A frontend for people asks for confirmation first.

use crate::api::Command;
use crate::api::account::AccountCommand;
use crate::api::conversation::Conversation;
use crate::api::error::CommandError;
use crate::api::loss::Loss;
use crate::service::PeerService;

impl PeerService {
    /// Returns the data that this command would destroy for good, if any.
    #[must_use]
    pub fn loss(&self, command: &Command) -> Option<Loss> {
        let chat = &self.hub.lock().chat;
        match command {
            Command::Delete { room } => {
                let open = || match chat.opened() {
                    Ok(Conversation::Room(room)) => Some(room),
                    _ => None,
                };
                let room = room.clone().or_else(open)?;
                if !chat.has_entered(&room) {
                    // Its members are not known here.
                    return Some(Loss::Room { room, others: Vec::new() });
                }
                let others = chat.owned(&room)?;
                (!others.is_empty()).then_some(Loss::Room { room, others })
            }
            Command::Forget { conversation } => Some(Loss::History(conversation.clone())),
            Command::Account(AccountCommand::Delete { .. }) => chat.me().cloned().map(Loss::Account),
            _ => None,
        }
    }

    /// Fails if the command would lose nothing, because its conversation is not stored on this device.
    pub async fn is_refused(&self, loss: &Loss) -> Result<(), CommandError> {
        match (loss, self.hub.history.get()) {
            (Loss::History(conversation), Some(history)) => {
                self.hub.keeps(history, conversation.clone()).await
            }
            _ => Ok(()),
        }
    }
}
