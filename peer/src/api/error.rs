//! Reasons why a command was not carried out.
//!
//! Each has a stable code for programs and a text for people.

use std::path::{Path, PathBuf};
use std::time::Duration;

use commons::keys::PublicKey;
use commons::limits::PASSWORD_MIN_CHARS;
use commons::names::{RoomName, Username};
use commons::protocol::with_tracker::ErrorCode;

use crate::api::Event;
use crate::api::error_details::{ErrorDetails, SignInRefusal};
use crate::api::missing_conversation::MissingConversation;
use crate::api::tracker_loss::TrackerLoss;
use crate::identity::contacts::ContactsError;
use crate::identity::identity_error::IdentityError;
use crate::identity::profile::ProfileError;
use crate::identity::seal::SealError;
use crate::untrusted::UntrustedText;

/// The reason why a command was not carried out. A command that failed changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The tracker refused; its text is not shown here, see [`CommandError::words`].
    #[error("the tracker refused")]
    Refused {
        /// The tracker's code, for programs.
        code: ErrorCode,
        /// The tracker's text, for people.
        msg: UntrustedText,
        /// The time after which a retry may work, if the tracker sent it.
        retry_after: Option<Duration>,
    },
    /// There is no session with the tracker.
    #[error(
        "The tracker cannot be reached, so nothing was done. Talk goes on; try again when the tracker is back."
    )]
    TrackerLost,
    /// No tracker answered at the address of a sign-in.
    #[error("no tracker answers at {address}{}. Check the host and the port, or start a peer with --host, which runs a tracker", why(*.reason))]
    NoTracker {
        /// The address that was tried.
        address: String,
        /// The reason, as far as it is known.
        reason: Option<TrackerLoss>,
    },
    /// The user asked for a private chat with themselves.
    #[error("that is you: choose somebody else")]
    NotYourself,
    /// The user is not connected.
    #[error("{0} is not connected: try again when /peers shows the name")]
    Unreachable(Username),
    /// The command found no conversation to work on.
    #[error("{0}")]
    NoConversation(MissingConversation),
    /// The history is locked: [`Command::Unlock`](crate::api::Command::Unlock) unlocks it, then the command can be
    /// repeated.
    #[error("your password, to look back: {tries_left} tries left")]
    PasswordWanted {
        /// The number of wrong passwords that remain.
        tries_left: usize,
    },
    /// The text is longer than a message may be.
    #[error("a message has at most {max} bytes, this one has {length}: send it in parts")]
    TextTooLong {
        /// The length of the text, in bytes.
        length: usize,
        /// The greatest length, in bytes.
        max: usize,
    },
    /// The user's own word filter does not let the message out.
    #[error("your filter has {0}: nothing was sent. Change the text, or the filter; /filter shows its file")]
    Filtered(String),
    /// The user's key is not the pinned one.
    #[error("the key of {0} has changed: ask {0} by another way, compare with /verify {0}, then /accept {0}")]
    KeyChanged(Username),
    /// No key of the user was met on this device.
    #[error("you have not met {0} yet: talk with {0} first (/msg {0}), so that you know whom you invite")]
    KeyUnknown(Username),
    /// The room has no log.
    #[error(
        "{0} has no signed log: an original program created it, so nobody's signature decides there. Make another room with \
         /create"
    )]
    Unsigned(RoomName),
    /// The room has no log, and the tracker is on another computer.
    #[error(
        "{0} has no signed log, so the tracker alone would decide who reads your messages. You did not join. Ask a member to \
         make a room with /create"
    )]
    NoLog(RoomName),
    /// The tracker has shown two different states of the room.
    #[error(
        "the tracker has shown two different states of {0}. Look at /room, compare it with the others by another way, then \
         send again"
    )]
    SplitView(RoomName),
    /// The tracker's key is not the one pinned for this address, or not the one that the user gave.
    #[error("{}", another_key(.address, .pinned, .found, *.given))]
    TrackerKeyChanged {
        /// The tracker's address.
        address: String,
        /// The key that was pinned, or that the user gave.
        pinned: PublicKey,
        /// The key that the tracker presented.
        found: PublicKey,
        /// True if the user gave the expected key.
        given: bool,
    },
    /// A program answers at the tracker's address, but not as a tracker.
    #[error(
        "what answers at {address} does not speak as a tracker: it is the original Python tracker or another program, or a \
         tracker without a free place, or somebody on the way changes what is sent"
    )]
    NotATracker {
        /// The address that answered.
        address: String,
    },
    /// A plaintext answer from the tracker's address says that there is no place. It may come from the tracker, which
    /// nothing proves. The text is not shown here, see [`CommandError::words`].
    #[error("turned away at {address}")]
    TurnedAway {
        /// The address that answered.
        address: String,
        /// The code of the answer, for programs.
        code: ErrorCode,
        /// The text of the answer, for people; its author is not authenticated.
        msg: UntrustedText,
        /// The time after which a retry may work; a claim, like the text.
        retry_after: Option<Duration>,
    },
    /// The user signed in on another device or in another program.
    #[error("signed in elsewhere under this name: this program ends")]
    Superseded,
    /// The password does not open the user's key on this device.
    #[error(
        "wrong password: it does not open the key of {username} on this computer. If it was changed elsewhere, the one \
         that this computer was last used with opens it. If nobody knows that one, move {folder} away and sign in: with \
         a new key and no history"
    )]
    WrongLocalPassword {
        /// The user whose key it is.
        username: Username,
        /// The folder of the key.
        folder: PathBuf,
    },
    /// Registration found a key on this device that the password does not open.
    #[error(
        "{folder} holds a key of {username} and the history under it, and this password does not open it. Use the \
         password of that key; or move that folder away, to begin anew with a new key and no history"
    )]
    KeyExists {
        /// The user whose key it is.
        username: Username,
        /// The folder of the key.
        folder: PathBuf,
    },
    /// The password opens the key on this device, but the tracker accepts neither the password nor the key.
    #[error(
        "this tracker has no account {0}, or another password of it. If the account is lost there, start with \
         --register: this computer's key makes it again. If its password was changed elsewhere, tell it to this computer \
         with `peer password`, which takes the one of before and the new one"
    )]
    AccountUnknown(Username),
    /// As [`Self::AccountUnknown`], but the tracker has an account of that name.
    #[error(
        "the password of {0} was changed elsewhere: tell it to this computer with `peer password`, which takes the one \
         of before and the new one"
    )]
    PasswordChanged(Username),
    /// The password opens the key on this device, and the tracker refuses that key. It got no proof of the password.
    #[error(
        "this tracker refuses this computer's key of {0}, and nothing else was sent: the key was revoked, or the tracker lost \
         the account, or is not what it was. To sign in with the password, start with --use-password, or give \
         \"use_password\":true. To make a lost account again, start with --register. For a password that was changed \
         elsewhere, use `peer password`"
    )]
    KeyRefused(Username),
    /// The tracker knows only the digest of the password, and did not get it.
    #[error(
        "an original program or an earlier version made the account {0}: this tracker wants the digest of its password once, \
         from which its operator can guess a weak password. To send it, start with --send-digest, or give \
         \"send_digest\":true"
    )]
    DigestRequired(Username),
    /// The new password is too short.
    #[error(
        "a new password needs at least {PASSWORD_MIN_CHARS} characters. If it is lost, nobody can open your history, and \
         only the tracker's operator can restore your account"
    )]
    PasswordTooShort,
    /// The line is not a valid command; the text says why.
    #[error("{0}")]
    Usage(String),
    /// The message at which a page ends or begins is not stored. It may have been erased a moment ago.
    #[error("that message is no longer stored here. Ask again without it to begin at the newest message")]
    NotStored,
    /// An operation on this device failed; the text says why.
    #[error("{0}")]
    Local(String),
}

impl CommandError {
    /// Returns an error for wrong input; the text says what is wrong.
    pub(crate) fn usage(text: &str) -> Self {
        Self::Usage(text.to_owned())
    }

    /// Creates a refusal without a time after which a retry may work.
    pub(crate) fn refused(code: ErrorCode, msg: impl Into<UntrustedText>) -> Self {
        Self::Refused { code, msg: msg.into(), retry_after: None }
    }

    /// True if the tracker itself, authenticated by the expected key, gave this reason.
    #[must_use]
    pub fn is_of_a_tracker(&self) -> bool {
        matches!(
            self,
            Self::Refused { .. }
                | Self::AccountUnknown(_)
                | Self::PasswordChanged(_)
                | Self::KeyRefused(_)
                | Self::DigestRequired(_)
        )
    }

    /// Returns the stable code for programs.
    #[must_use]
    pub fn code(&self) -> String {
        let own = match self {
            Self::Refused { code, .. } | Self::TurnedAway { code, .. } => {
                return match serde_json::to_value(code) {
                    Ok(serde_json::Value::String(code)) => code,
                    _ => "UNKNOWN".to_owned(),
                };
            }
            Self::TrackerLost | Self::NoTracker { .. } => "TRACKER_LOST",
            Self::NotYourself => "NOT_YOURSELF",
            Self::Unreachable(_) => "UNREACHABLE",
            Self::NoConversation(_) => "NO_CONVERSATION",
            Self::PasswordWanted { .. } => "PASSWORD_WANTED",
            Self::TextTooLong { .. } => "TEXT_TOO_LONG",
            Self::Filtered(_) => "FILTERED",
            Self::KeyChanged(_) => "KEY_CHANGED",
            Self::KeyUnknown(_) => "KEY_UNKNOWN",
            Self::Unsigned(_) | Self::NoLog(_) => "UNSIGNED",
            Self::SplitView(_) => "SPLIT_VIEW",
            Self::TrackerKeyChanged { .. } => "TRACKER_KEY_CHANGED",
            Self::NotATracker { .. } => "NOT_A_TRACKER",
            Self::Superseded => "SUPERSEDED",
            Self::WrongLocalPassword { .. }
            | Self::KeyExists { .. }
            | Self::AccountUnknown(_)
            | Self::PasswordChanged(_)
            | Self::KeyRefused(_) => "INVALID_CREDENTIALS",
            Self::DigestRequired(_) => "DIGEST_REQUIRED",
            Self::PasswordTooShort => "PASSWORD_TOO_SHORT",
            Self::Usage(_) | Self::NotStored => "USAGE",
            Self::Local(_) => "LOCAL",
        };
        own.to_owned()
    }

    /// Returns the error of a sign-in while a user is signed in.
    pub(crate) fn already_signed_in() -> Self {
        Self::refused(ErrorCode::AlreadyLoggedIn, "you are signed in already")
    }

    /// Returns the text for people: the tracker's if it refused, the peer's own otherwise.
    #[must_use]
    pub fn words(&self) -> UntrustedText {
        match self {
            Self::Refused { msg, .. } | Self::TurnedAway { msg, .. } => msg.clone(),
            own => own.to_string().into(),
        }
    }

    /// Returns the event by which a JSON frontend shows the error.
    #[must_use]
    pub fn event(&self) -> Event {
        if let Self::PasswordWanted { tries_left } = self {
            return Event::PasswordWanted { tries_left: *tries_left };
        }
        let retry_after_ms = match self {
            Self::Refused { retry_after, .. } | Self::TurnedAway { retry_after, .. } => {
                retry_after.and_then(|wait| u64::try_from(wait.as_millis()).ok())
            }
            _ => None,
        };
        let details = Box::new(self.details());
        Event::Error {
            code: self.code(),
            message: self.words(),
            messages: Vec::new(),
            retry_after_ms,
            details,
        }
    }
}

impl CommandError {
    /// Returns the parts of the error from which a frontend builds the next question.
    fn details(&self) -> ErrorDetails {
        let refused = |reason| ErrorDetails { reason: Some(reason), ..ErrorDetails::default() };
        let opened_by_another =
            |reason, folder: &Path| ErrorDetails { folder: Some(folder.to_owned()), ..refused(reason) };
        match self {
            Self::WrongLocalPassword { folder, .. } => {
                opened_by_another(SignInRefusal::LocalPassword, folder)
            }
            Self::KeyExists { folder, .. } => opened_by_another(SignInRefusal::KeyExists, folder),
            Self::AccountUnknown(_) => refused(SignInRefusal::AccountUnknown),
            Self::PasswordChanged(_) => refused(SignInRefusal::PasswordChanged),
            Self::KeyRefused(_) => refused(SignInRefusal::KeyRefused),
            Self::TrackerKeyChanged { pinned, found, .. } => ErrorDetails {
                expected_key: Some(*pinned),
                found_key: Some(*found),
                ..ErrorDetails::default()
            },
            _ => ErrorDetails::default(),
        }
    }
}

/// Says why a tracker did not answer.
fn why(reason: Option<TrackerLoss>) -> &'static str {
    match reason {
        Some(TrackerLoss::Refused) => ": no program listens there",
        Some(TrackerLoss::TimedOut) => ": nothing came back in time",
        Some(TrackerLoss::Reset | TrackerLoss::Closed) => ": the connection was closed",
        _ => "",
    }
}

/// Says that the tracker has another key than expected, then what to do.
fn another_key(address: &str, pinned: &PublicKey, found: &PublicKey, given: bool) -> String {
    if given {
        return format!(
            "the tracker at {address} has the key {found}, not the one that was given, {pinned}. Ask whoever gave it \
             what `tracker fingerprint` prints"
        );
    }
    format!(
        "the tracker at {address} shows another key than before: it was set up anew, or somebody stands between. Ask \
         whoever runs it what `tracker fingerprint` prints. Only if that is the new key, start once with --tracker \
         {address}#{found} (known here: {pinned})"
    )
}

impl From<MissingConversation> for CommandError {
    fn from(missing: MissingConversation) -> Self {
        Self::NoConversation(missing)
    }
}

impl From<IdentityError> for CommandError {
    fn from(error: IdentityError) -> Self {
        match error {
            IdentityError::Seal(SealError::WrongPassword) => {
                Self::refused(ErrorCode::InvalidCredentials, error.to_string())
            }
            IdentityError::TrackerKeyChanged { address, pinned, found } => {
                Self::TrackerKeyChanged { address, pinned, found, given: false }
            }
            error => Self::Local(error.to_string()),
        }
    }
}

impl From<ProfileError> for CommandError {
    fn from(error: ProfileError) -> Self {
        IdentityError::from(error).into()
    }
}

impl From<ContactsError> for CommandError {
    fn from(error: ContactsError) -> Self {
        IdentityError::from(error).into()
    }
}

impl Event {
    /// Returns an error event that lost no message.
    pub fn error(code: impl Into<String>, message: impl Into<UntrustedText>) -> Self {
        let (messages, details) = (Vec::new(), Box::default());
        Self::Error { code: code.into(), message: message.into(), messages, retry_after_ms: None, details }
    }
}
