//! Why a command was not carried out, for programs and for people.

use std::path::PathBuf;

use commons::keys::PublicKey;
use commons::limits::PASSWORD_MIN_CHARS;
use commons::names::Username;
use commons::protocol::with_tracker::ErrorCode;

use crate::api::Event;
use crate::api::missing_conversation::MissingConversation;
use crate::untrusted::UntrustedText;

/// Why a command was not carried out. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The tracker refused; its words are not shown here, see [`CommandError::words`].
    #[error("the tracker refused")]
    Refused {
        /// Why, for programs.
        code: ErrorCode,
        /// Why, for people; the tracker's words.
        msg: UntrustedText,
    },
    /// The tracker cannot be asked now.
    #[error(
        "The tracker cannot be reached, so nothing was done. Talk goes on; try again when the tracker is back."
    )]
    TrackerLost,
    /// A private chat with oneself.
    #[error("that is you: choose somebody else")]
    NotYourself,
    /// The user is not connected.
    #[error("{0} is not connected: try again when /peers shows the name")]
    Unreachable(Username),
    /// There is no conversation to work on.
    #[error("{0}")]
    NoConversation(MissingConversation),
    /// Looking at the past wants the password: [`Command::Unlock`](crate::api::Command::Unlock), then the same again.
    #[error("your password, to look back: {tries_left} tries left")]
    PasswordWanted {
        /// How often it may be wrong.
        tries_left: usize,
    },
    /// Longer than a line may be.
    #[error("a message has at most {max} bytes, this one has {length}: send it in parts")]
    TextTooLong {
        /// Bytes of the text.
        length: usize,
        /// Bytes it may have.
        max: usize,
    },
    /// The user's key is another one than before.
    #[error("the key of {0} has changed: ask {0} by another way, compare with /verify {0}, then /accept {0}")]
    KeyChanged(Username),
    /// The tracker is not the one that was met at this address before, or not the one whose key was given.
    #[error("{}", another_key(.address, .pinned, .found, *.given))]
    TrackerKeyChanged {
        /// Where.
        address: String,
        /// The key that was met before, or given.
        pinned: PublicKey,
        /// The key that answers now.
        found: PublicKey,
        /// The user told the expected one.
        given: bool,
    },
    /// Somebody answers at the tracker's address, and not as a tracker.
    #[error(
        "what answers at {address} does not speak as a tracker: it is the original Python tracker or another program, or a \
         tracker without a free place, or somebody on the way changes what is sent"
    )]
    NotATracker {
        /// Where.
        address: String,
    },
    /// Somebody at the tracker's address says in plaintext that there is no room: it may be the tracker, which nothing
    /// proves. The words are not shown here, see [`CommandError::words`].
    #[error("turned away at {address}")]
    TurnedAway {
        /// Where.
        address: String,
        /// Why, for programs.
        code: ErrorCode,
        /// Why, for people; somebody's words.
        msg: UntrustedText,
    },
    /// The user signed in elsewhere.
    #[error("signed in elsewhere under this name: this program ends")]
    Superseded,
    /// The password does not open the user's key on this computer.
    #[error(
        "wrong password: it does not open the key of {username} on this computer. If it was changed elsewhere, the one \
         that this computer was last used with opens it. If nobody knows that one, move {folder} away and sign in: with \
         a new key and no history"
    )]
    SealShut {
        /// Whose.
        username: Username,
        /// Where the key is.
        folder: PathBuf,
    },
    /// An account was to be made where a key lies that the password does not open.
    #[error(
        "{folder} holds a key of {username} and the history under it, and this password does not open it. Use the \
         password of that key; or move that folder away, to begin anew with a new key and no history"
    )]
    KeyHere {
        /// Whose.
        username: Username,
        /// Where.
        folder: PathBuf,
    },
    /// The password is right on this computer, and the tracker takes neither it nor the key.
    #[error(
        "this tracker has no account {0}, or another password of it. If the account is lost there, start with \
         --register: this computer's key makes it again. If its password was changed elsewhere, tell it to this computer \
         with `peer password`, which takes the one of before and the new one"
    )]
    AccountUnknown(Username),
    /// The same, and the tracker has an account of that name.
    #[error(
        "the password of {0} was changed elsewhere: tell it to this computer with `peer password`, which takes the one \
         of before and the new one"
    )]
    PasswordChanged(Username),
    /// A password that was to be set is too short.
    #[error(
        "a new password needs at least {PASSWORD_MIN_CHARS} characters. If it is lost, nobody can open your history, and \
         only the tracker's operator can restore your account"
    )]
    PasswordTooShort,
    /// The line is no command.
    #[error("{0}")]
    Usage(String),
    /// This computer failed.
    #[error("{0}")]
    Local(String),
}

impl CommandError {
    /// A mistake in what was typed, in these words.
    pub(crate) fn usage(text: &str) -> Self {
        Self::Usage(text.to_owned())
    }

    /// Whether it is a tracker's word, with the key that was expected.
    #[must_use]
    pub fn is_of_a_tracker(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::AccountUnknown(_) | Self::PasswordChanged(_))
    }

    /// The stable code for programs.
    #[must_use]
    pub fn code(&self) -> String {
        let own = match self {
            Self::Refused { code, .. } | Self::TurnedAway { code, .. } => {
                return match serde_json::to_value(code) {
                    Ok(serde_json::Value::String(code)) => code,
                    _ => "UNKNOWN".to_owned(),
                };
            }
            Self::TrackerLost => "TRACKER_LOST",
            Self::NotYourself => "NOT_YOURSELF",
            Self::Unreachable(_) => "UNREACHABLE",
            Self::NoConversation(_) => "NO_CONVERSATION",
            Self::PasswordWanted { .. } => "PASSWORD_WANTED",
            Self::TextTooLong { .. } => "TEXT_TOO_LONG",
            Self::KeyChanged(_) => "KEY_CHANGED",
            Self::TrackerKeyChanged { .. } => "TRACKER_KEY_CHANGED",
            Self::NotATracker { .. } => "NOT_A_TRACKER",
            Self::Superseded => "SUPERSEDED",
            Self::SealShut { .. }
            | Self::KeyHere { .. }
            | Self::AccountUnknown(_)
            | Self::PasswordChanged(_) => "INVALID_CREDENTIALS",
            Self::PasswordTooShort => "PASSWORD_TOO_SHORT",
            Self::Usage(_) => "USAGE",
            Self::Local(_) => "LOCAL",
        };
        own.to_owned()
    }

    /// What went wrong, for people: the tracker's words where it refused, ours otherwise.
    #[must_use]
    pub fn words(&self) -> UntrustedText {
        match self {
            Self::Refused { msg, .. } | Self::TurnedAway { msg, .. } => msg.clone(),
            own => own.to_string().into(),
        }
    }

    /// The error as a face that speaks JSON shows it.
    #[must_use]
    pub fn event(&self) -> Event {
        if let Self::PasswordWanted { tries_left } = self {
            return Event::PasswordWanted { tries_left: *tries_left };
        }
        Event::error(self.code(), self.words())
    }
}

/// Another key than the expected one, and what to do, in a sentence each.
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

impl Event {
    /// Something that went wrong and took no message with it.
    pub(crate) fn error(code: impl Into<String>, message: impl Into<UntrustedText>) -> Self {
        Self::Error { code: code.into(), message: message.into(), messages: Vec::new() }
    }
}
