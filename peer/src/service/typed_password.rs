//! The password typed as a message: a frontend for people does not send it.

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
}
