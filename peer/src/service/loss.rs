//! Guards against slips: the loss that a command would cause, and the password typed as a message.

use crate::api::account::AccountCommand;
use crate::api::loss::Loss;
use crate::api::{Command, Conversation};
use crate::identity::password::Password;
use crate::identity::recognised_password::RecognisedPassword;
use crate::service::PeerService;

/// `/msg` and a user's name.
const WORDS_BEFORE_PASSWORD: usize = 2;

/// The text behind the first word, if there is one.
fn without_first_word(text: &str) -> Option<&str> {
    text.trim_start().split_once(char::is_whitespace).map(|(_, rest)| rest)
}

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

    /// Whether a line is the user's password, also behind `@USER` or `/msg USER`: at a terminal it is not sent.
    #[must_use]
    pub fn is_password(&self, line: &str) -> bool {
        let state = self.hub.lock();
        let Some(password) = &state.password else { return false };
        std::iter::successors(Some(line), |text| without_first_word(text))
            .take(WORDS_BEFORE_PASSWORD + 1)
            .any(|text| password.is(text))
    }

    /// Recognises the password from now on, where it is typed as a message.
    pub(crate) fn recognise(&self, password: &Password) {
        // Without randomness nobody would have come here.
        self.hub.lock().password = RecognisedPassword::new(password).ok();
    }

    /// Unlocks the history for a user who has just signed in with the password.
    pub fn unlock_history(&self) {
        // Nothing was tried wrong before the sign-in, so this is not refused.
        let _ = self.hub.lock().gate.tried(true, tokio::time::Instant::now());
    }
}
