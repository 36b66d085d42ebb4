//! Whose key is whose, as far as the user decides it: `/accept`, `/verify`, `/verified`.

use commons::names::Username;

use crate::api::Answer;
use crate::api::error::CommandError;
use crate::hub::Hub;
use crate::identity::safety_number::safety_number;

impl Hub {
    /// Takes what the tracker announces of a user's keys for right.
    pub(crate) fn accept_keys(&self, user: &Username) -> Result<(), CommandError> {
        let Some(links) = self.links.get().filter(|links| links.book(|book| book.accept(user))) else {
            return Err(CommandError::Usage(format!(
                "the tracker announces no new key of {user}: nothing to accept"
            )));
        };
        links.hurry(user);
        self.heed_key(user);
        Ok(self.keep_pins()?)
    }

    /// Remembers that the safety number was compared.
    pub(crate) fn verify_keys(&self, user: &Username) -> Result<(), CommandError> {
        let links = self.links.get();
        if links.is_some_and(|links| links.book(|book| book.is_changed(user))) {
            return Err(CommandError::KeyChanged(user.clone()));
        }
        if !links.is_some_and(|links| links.book(|book| book.verify(user))) {
            return Err(CommandError::Usage(format!("talk to {user} first, then compare: /verify {user}")));
        }
        Ok(self.keep_pins()?)
    }

    /// The number to compare with a user.
    pub(crate) fn safety_number(&self, user: Username) -> Result<Answer, CommandError> {
        let (Some(links), Some(me)) = (self.links.get(), self.lock().chat.me().cloned()) else {
            return Err(CommandError::TrackerLost);
        };
        let (key, verified, changed) =
            links.book(|book| (book.key(&user), book.is_verified(&user), book.is_changed(&user)));
        let Some(key) = key else {
            return Err(CommandError::Usage(format!(
                "there is no key of {user} to compare: talk to {user} first; original programs have none"
            )));
        };
        let number = safety_number((&me, links.own_key()), (&user, key));
        Ok(Answer::SafetyNumber { user, number, verified, changed })
    }
}
