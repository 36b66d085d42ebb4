//! What a command would destroy, told before it is carried out.

use crate::api::account::AccountCommand;
use crate::api::loss::Loss;
use crate::api::{Command, Conversation};
use crate::identity::password::Password;
use crate::identity::recognised_password::RecognisedPassword;
use crate::service::PeerService;

impl PeerService {
    /// What nobody can bring back once this command was carried out. A frontend for people asks before.
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
                let others = chat.owned(&room)?;
                (!others.is_empty()).then_some(Loss::Room { room, others })
            }
            Command::Forget { conversation } => Some(Loss::History(conversation.clone())),
            Command::Account(AccountCommand::Delete { .. }) => chat.me().cloned().map(Loss::Account),
            _ => None,
        }
    }

    /// Whether a line is the user's password: at a terminal it is not sent.
    #[must_use]
    pub fn is_password(&self, line: &str) -> bool {
        self.hub.lock().password.as_ref().is_some_and(|password| password.is(line))
    }

    /// Recognises the password from now on, where it is typed as a message.
    pub(crate) fn recognise(&self, password: &Password) {
        // Without randomness nobody would have come here.
        self.hub.lock().password = RecognisedPassword::new(password).ok();
    }

    /// Unlocks the history for a user who has just signed in with the password.
    pub fn unlock_history(&self) {
        // A right password is never refused.
        let _ = self.hub.lock().gate.tried(true, tokio::time::Instant::now());
    }
}
