//! The user's own account at the tracker: its keys, its password, its end.
//!
//! The password lies in two places, under the seal on this computer and at the tracker. The new seal is written beside
//! the old one, the tracker is asked, and only then the new one takes the old one's place. After a crash in between both
//! are tried, and the one that the user's password opens is made the tracker's too: see `user_key.rs`.

use commons::keys::PublicKey;
use commons::names::Username;
use commons::protocol::with_tracker::{BoundKey, ErrorCode};

use crate::api::error::CommandError;
use crate::api::{AccountCommand, Answer};
use crate::home::Home;
use crate::identity::password::Password;
use crate::identity::seal::SealCost;
use crate::identity::user_key::{opened, sealed_anew};
use crate::limits::KEY_DIGITS_MIN;
use crate::tracker_communication::PeerTrackerCommunication;
use crate::tracker_communication::uplink::TrackerError;

/// The account of whoever is signed in.
pub(crate) struct Account<'a> {
    pub(crate) tracker: &'a PeerTrackerCommunication,
    pub(crate) home: &'a Home,
    pub(crate) seal_cost: SealCost,
}

impl Account<'_> {
    /// Carries a wish out. Where it fails nothing changed.
    pub(crate) async fn execute(&self, wish: AccountCommand) -> Result<Answer, CommandError> {
        match wish {
            AccountCommand::Keys => return Ok(Answer::Keys { keys: self.keys().await? }),
            AccountCommand::Revoke { key } => self.revoke(&key).await?,
            AccountCommand::ChangePassword { old, new } => self.change_password(old, new).await?,
            AccountCommand::Delete { name } => {
                self.delete(&name).await?;
                return Ok(Answer::AccountDeleted);
            }
        }
        Ok(Answer::Done)
    }

    /// The user's keys, the one bound first in front.
    async fn keys(&self) -> Result<Vec<BoundKey>, CommandError> {
        Ok(self.tracker.list_keys().await?)
    }

    /// Takes away the key that begins with these digits.
    async fn revoke(&self, digits: &str) -> Result<(), CommandError> {
        let key = chosen(&self.keys().await?, digits)?;
        Ok(self.tracker.revoke_key(key).await?)
    }

    /// Changes the password here and at the tracker, or nowhere.
    async fn change_password(&self, old: Password, new: Password) -> Result<(), CommandError> {
        if new.is_empty() {
            return Err(CommandError::Usage("a password needs at least one character".to_owned()));
        }
        let digest = new.digest();
        let Some((seed, _)) = opened(self.home, &old).await? else {
            return Err(CommandError::Local("there is no key on this computer any more".to_owned()));
        };
        self.home.keep_next_identity(&sealed_anew(&seed, new, self.seal_cost).await?)?;
        match self.tracker.change_password(&digest).await {
            Ok(()) => Ok(self.home.settle_identity(true)?),
            // Whether the tracker has it is not known: both seals stay for the next sign-in to find out.
            Err(TrackerError::Lost) => Err(CommandError::TrackerLost),
            Err(refused) => {
                self.home.settle_identity(false)?;
                Err(refused.into())
            }
        }
    }

    /// Ends the account; `name` is typed again so that nobody does it by a slip.
    async fn delete(&self, name: &Username) -> Result<(), CommandError> {
        if !self.home.is_of(name) {
            return Err(CommandError::Usage(format!("{name} is not your name: nothing was deleted")));
        }
        Ok(self.tracker.delete_account().await?)
    }
}

/// The one key that begins with these digits.
fn chosen(keys: &[BoundKey], digits: &str) -> Result<PublicKey, CommandError> {
    if digits.len() < KEY_DIGITS_MIN {
        return Err(CommandError::Usage(format!("type at least {KEY_DIGITS_MIN} digits of the key")));
    }
    let mut fitting = keys.iter().map(|bound| bound.key).filter(|key| key.to_string().starts_with(digits));
    match (fitting.next(), fitting.next()) {
        (Some(key), None) => Ok(key),
        (Some(_), Some(_)) => Err(CommandError::Usage("several keys begin so: type more digits".to_owned())),
        (None, _) => {
            let msg = "you have no such key".into();
            Err(CommandError::Refused { code: ErrorCode::KeyNotFound, msg })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_chosen_by_digits_that_fit_no_other() {
        let key = |first: u8, last: u8| {
            let mut bytes = [7; 32];
            (bytes[0], bytes[31]) = (first, last);
            BoundKey { key: PublicKey::new(bytes), current: false }
        };
        let keys = [key(0xab, 1), key(0xab, 2), key(0xcd, 3)];
        assert_eq!(chosen(&keys, "cd070707"), Ok(keys[2].key));
        assert_eq!(chosen(&keys, &keys[0].key.to_string()), Ok(keys[0].key));
        let code = |digits: &str| chosen(&keys, digits).unwrap_err().code();
        assert_eq!([code("cd"), code("ab070707"), code("CD070707")], ["USAGE", "USAGE", "KEY_NOT_FOUND"]);
    }
}
