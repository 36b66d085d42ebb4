//! Recognition of the user's password in a typed message.
//!
//! A frontend for people does not send such a message.

use std::sync::PoisonError;

use crate::identity::password::Password;
use crate::identity::recognised_password::RecognisedPassword;
use crate::service::PeerService;

/// The words before a password in `/msg USER PASSWORD`.
const WORDS_BEFORE_PASSWORD: usize = 2;

/// Returns the text after the first word, if there is one.
fn without_first_word(text: &str) -> Option<&str> {
    text.trim_start().split_once(char::is_whitespace).map(|(_, rest)| rest)
}

impl PeerService {
    /// Returns true if a line is the user's password, also after `@USER` or `/msg USER`: a terminal does not send it.
    #[must_use]
    pub fn is_password(&self, line: &str) -> bool {
        let password = self.password.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(password) = password.as_ref() else { return false };
        std::iter::successors(Some(line), |text| without_first_word(text))
            .take(WORDS_BEFORE_PASSWORD + 1)
            .any(|text| password.is(text))
    }

    /// Recognises this password from now on when it is typed as a message.
    pub(crate) fn recognise(&self, password: &Password) {
        // If the system had no randomness, the sign-in would have failed before.
        *self.password.lock().unwrap_or_else(PoisonError::into_inner) =
            RecognisedPassword::new(password).ok();
    }
}
