//! The policy of the operator: which people may register, and the message of the day.
//! A reload of the settings replaces it.

use std::path::Path;
use std::{fmt, fs, io};

use commons::protocol::with_tracker::Secret;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::config::{Config, RegistrationMode};
use crate::limits::{REGISTRATION_CODES_BYTES, REGISTRATION_CODES_MAX};

/// The policy in force.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// The people who may register.
    pub(crate) registration: Registration,
    /// The message of the day, for users who sign in.
    pub(crate) motd: Option<String>,
    /// Whether the first user who registers becomes an admin.
    pub(crate) first_user_is_admin: bool,
}

/// The people who may register.
#[derive(Debug, Clone, Default)]
pub(crate) enum Registration {
    /// Everybody may register.
    #[default]
    Open,
    /// A registration code is demanded.
    Code(Codes),
    /// No new accounts are accepted.
    Closed,
}

/// Registration codes, as SHA-256 digests. They all have one length, so a comparison does not reveal the length of a
/// code.
#[derive(Clone)]
pub(crate) struct Codes(Vec<[u8; 32]>);

impl fmt::Debug for Codes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Codes(..)")
    }
}

/// The reason why a policy is refused.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// Registration by code needs a file of codes.
    #[error("registration = \"code\" needs codes: name a file of them with --registration-code-file")]
    NoFile,
    /// The file cannot be read.
    #[error("the registration codes in {0} cannot be read: {1}")]
    Io(String, io::Error),
    /// Other users of the computer can read the file.
    #[error("{0} can be read by others on this computer. Run: chmod 600 '{0}'")]
    Exposed(String),
    /// The file is too large or has too many lines.
    #[error("{0} is too large: it may have {REGISTRATION_CODES_MAX} codes, one a line")]
    TooLarge(String),
    /// The file holds no code.
    #[error("{0} holds no code: write one a line")]
    Empty(String),
}

impl Policy {
    /// Checks that a policy can be read from the settings and from the file of codes.
    pub fn check(config: &Config) -> Result<(), PolicyError> {
        Self::read(config).map(drop)
    }

    /// Reads the policy from the settings and from the file of codes.
    pub(crate) fn read(config: &Config) -> Result<Self, PolicyError> {
        let registration = match config.registration {
            RegistrationMode::Open => Registration::Open,
            RegistrationMode::Closed => Registration::Closed,
            RegistrationMode::Code => {
                let file = config.registration_code_file.as_deref().ok_or(PolicyError::NoFile)?;
                Registration::Code(Codes::read(file)?)
            }
        };
        let motd = config.motd.clone().filter(|motd| !motd.is_empty());
        Ok(Self { registration, motd, first_user_is_admin: false })
    }
}

impl Codes {
    fn read(path: &Path) -> Result<Self, PolicyError> {
        let shown = path.display().to_string();
        let failed = |error| PolicyError::Io(shown.clone(), error);
        let metadata = fs::metadata(path).map_err(failed)?;
        #[cfg(unix)]
        if std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o077 != 0 {
            return Err(PolicyError::Exposed(shown));
        }
        if metadata.len() > REGISTRATION_CODES_BYTES {
            return Err(PolicyError::TooLarge(shown));
        }
        let text = fs::read_to_string(path).map_err(failed)?;
        let codes: Vec<_> = text.lines().map(str::trim).filter(|code| !code.is_empty()).map(digest).collect();
        match codes.len() {
            0 => Err(PolicyError::Empty(shown)),
            length if length > REGISTRATION_CODES_MAX => Err(PolicyError::TooLarge(shown)),
            _ => Ok(Self(codes)),
        }
    }

    /// Whether this is one of the codes. The time of the answer depends on the number of codes only.
    pub(crate) fn contain(&self, offered: &Secret) -> bool {
        let offered = digest(offered.0.trim());
        let found = self.0.iter().fold(Choice::from(0), |found, code| found | code.ct_eq(&offered));
        found.into()
    }
}

fn digest(code: &str) -> [u8; 32] {
    Sha256::digest(code.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn codes_are_read_from_a_private_file_only() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("codes");
        let mut config = Config { registration: RegistrationMode::Code, ..Config::default() };
        assert!(matches!(Policy::read(&config), Err(PolicyError::NoFile)));
        config.registration_code_file = Some(path.clone());
        assert!(matches!(Policy::read(&config), Err(PolicyError::Io(..))));
        let write = |text: &str, mode| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            Policy::read(&config)
        };
        assert!(matches!(write("first\n", 0o640), Err(PolicyError::Exposed(_))));
        assert!(matches!(write("\n\n", 0o600), Err(PolicyError::Empty(_))));
        assert!(matches!(write(&"code\n".repeat(1001), 0o600), Err(PolicyError::TooLarge(_))));
        let policy = write("first\r\n\n second \n", 0o600).unwrap();
        assert!(!format!("{policy:?}").contains("first"));
        let Registration::Code(codes) = policy.registration else { panic!("by code") };
        let contains = |code: &str| codes.contain(&Secret(code.to_owned()));
        assert!(contains("first") && contains("second") && contains(" second"));
        assert!(!contains("") && !contains("firs") && !contains("third"));
    }
}
