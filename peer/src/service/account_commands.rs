//! Commands on accounts at the tracker: the user's own with its keys and its password, and those of admins.
//!
//! The password is stored in two places: it seals the key on this device, and the tracker knows it. A change goes in
//! three steps. The new seal is written beside the old one, the tracker changes the password, and the new seal replaces
//! the old one. After a crash between the steps, the next sign-in tries both seals. It keeps the one that the user's
//! password opens, and sets this password at the tracker too: see `sign_in.rs`.

use std::path::Path;

use commons::endorsement::Endorsement;
use commons::keys::PublicKey;
use commons::keys::Seed;
use commons::names::Username;
use commons::protocol::administration::AdminRequest;
use commons::protocol::with_tracker::{BoundKey, ErrorCode, RoomsFate};

use crate::api::account::AccountCommand;
use crate::api::administration::{AdminAnswer, AdminCommand};
use crate::api::answer::Answer;
use crate::api::error::CommandError;
use crate::identity::device_key::{opened, sealed_anew};
use crate::identity::identity_export::{AccountLocation, export_text};
use crate::identity::password::Password;
use crate::identity::profile::Profile;
use crate::identity::seal::SealCost;
use crate::limits::{ENDORSED_DIGITS_MIN, KEY_DIGITS_MIN};
use crate::service::chosen_key::chosen;
use crate::service::sign_in_requests::{is_refusal, password_proof};
use crate::tracker_communication::PeerTrackerCommunication;
use crate::tracker_communication::tracker_report::TrackerError;

/// The account of the signed-in user.
pub(crate) struct Account<'a> {
    pub(crate) tracker: &'a PeerTrackerCommunication,
    pub(crate) profile: &'a Profile,
    pub(crate) user: &'a Username,
    /// The private key of this device.
    pub(crate) seed: &'a Seed,
    pub(crate) seal_cost: SealCost,
    /// The data folder, which holds the keys of trackers.
    pub(crate) data: &'a Path,
}

impl Account<'_> {
    /// Executes an account command. A command that fails changes nothing.
    pub(crate) async fn execute(&self, command: AccountCommand) -> Result<Answer, CommandError> {
        match command {
            AccountCommand::Keys => return Ok(Answer::Keys { keys: self.keys().await? }),
            AccountCommand::Endorse { key } => self.endorse(&key).await?,
            AccountCommand::Revoke { key } => self.revoke(&key).await?,
            AccountCommand::ChangePassword { old, new } => self.change_password(old, new).await?,
            AccountCommand::ExportIdentity { password } => {
                return Ok(Answer::IdentityExported { content: self.export(&password).await? });
            }
            AccountCommand::Delete { password, rooms, .. } => {
                self.delete(password, rooms).await?;
                return Ok(Answer::AccountDeleted);
            }
        }
        Ok(Answer::Done)
    }

    /// Returns the user's device keys, in the order in which they were bound.
    async fn keys(&self) -> Result<Vec<BoundKey>, CommandError> {
        Ok(self.tracker.list_keys().await?)
    }

    /// Revokes the key that begins with these digits.
    async fn revoke(&self, digits: &str) -> Result<(), CommandError> {
        let key = chosen(&self.keys().await?, digits, KEY_DIGITS_MIN)?;
        Ok(self.tracker.revoke_key(key).await?)
    }

    /// Returns the own key that begins with these digits, if they are enough to endorse it.
    pub(crate) async fn endorsable(&self, digits: &str) -> Result<PublicKey, CommandError> {
        chosen(&self.keys().await?, digits, ENDORSED_DIGITS_MIN)
    }

    /// Endorses the key that begins with these digits, by the key of this device. This never happens without the user's
    /// command, because anyone with the password can bind a key.
    async fn endorse(&self, digits: &str) -> Result<(), CommandError> {
        let key = self.endorsable(digits).await?;
        let signature = Endorsement::sign(self.user, self.seed, key);
        Ok(self.tracker.endorse_key(key, signature).await?)
    }

    /// Changes the password on this device and at the tracker, or at neither.
    async fn change_password(&self, old: Password, new: Password) -> Result<(), CommandError> {
        if new.is_too_short() {
            return Err(CommandError::PasswordTooShort);
        }
        let proof = password_proof(self.tracker, self.user, &new).await?;
        let Some((seed, _)) = opened(self.profile, &old).await? else {
            return Err(CommandError::Local("there is no key on this computer any more".to_owned()));
        };
        self.profile.keep_next_identity(&sealed_anew(&seed, new, self.seal_cost).await?)?;
        match self.tracker.change_password(&proof).await {
            Ok(()) => Ok(self.profile.finish_password_change(true)?),
            // The tracker may have changed the password or not: both seals stay until the next sign-in finds out.
            Err(TrackerError::Lost) => Err(CommandError::TrackerLost),
            Err(refused) => {
                self.profile.finish_password_change(false)?;
                Err(refused.into())
            }
        }
    }

    /// Exports the account as a text, sealed under its password.
    async fn export(&self, password: &Password) -> Result<String, CommandError> {
        let location = AccountLocation {
            data: self.data.to_owned(),
            tracker: self.tracker.address().to_owned(),
            username: self.user.clone(),
        };
        Ok(export_text(&location, self.profile, password, self.seal_cost).await?)
    }

    /// Deletes the account. The password has opened the seal on this device; the tracker checks it again.
    async fn delete(&self, password: Option<Password>, rooms: RoomsFate) -> Result<(), CommandError> {
        let Some(password) = password else {
            return Err(CommandError::Usage("the account is deleted by its password only".to_owned()));
        };
        let proof = password_proof(self.tracker, self.user, &password).await?;
        match self.tracker.delete_account(Some(&proof), rooms).await {
            Err(error) if is_refusal(&error, ErrorCode::InvalidCredentials) => {
                Err(CommandError::PasswordChanged(self.user.clone()))
            }
            // The tracker has no login key to compare with. The key of this session proves more than a password.
            Err(error)
                if is_refusal(&error, ErrorCode::DigestRequired)
                    || is_refusal(&error, ErrorCode::LoginKeyOutdated) =>
            {
                Ok(self.tracker.delete_account(None, rooms).await?)
            }
            other => Ok(other?),
        }
    }
}

/// Carries out a command of an admin.
pub(crate) async fn administer(
    tracker: &PeerTrackerCommunication,
    command: AdminCommand,
) -> Result<Answer, CommandError> {
    let request = match command {
        AdminCommand::Sessions => {
            return Ok(Answer::Admin(AdminAnswer::Sessions { sessions: tracker.list_sessions().await? }));
        }
        AdminCommand::AdminBans => {
            return Ok(Answer::Admin(AdminAnswer::Bans { bans: tracker.list_bans().await? }));
        }
        AdminCommand::AdminKick { user } => AdminRequest::Kick { user: user.as_str().to_owned() },
        AdminCommand::AdminBan(ban) => AdminRequest::Ban(ban),
        AdminCommand::AdminUnban(target) => AdminRequest::Unban(target),
        AdminCommand::AdminAnnounce { text } => AdminRequest::Announce { text },
        AdminCommand::AdminDeleteRoom { room } => {
            AdminRequest::AdminDeleteRoom { room: room.as_str().to_owned() }
        }
        AdminCommand::AdminRemove { user } => AdminRequest::RemoveUser { user: user.as_str().to_owned() },
    };
    tracker.administer(request).await?;
    Ok(Answer::Done)
}
