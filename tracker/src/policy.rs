//! The policy of the operator: which people may register, and the message of the day.
//! A reload of the settings replaces it.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use commons::protocol::with_tracker::Secret;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::config::{Config, RegistrationMode};
use crate::limits::{REGISTRATION_CODES_BYTES, REGISTRATION_CODES_MAX};
use crate::repositories::data_folder::open_at_once;

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
    /// The path names no regular file.
    #[error("{0} is not a file: write the registration codes into a file, one a line")]
    NotAFile(String),
    /// Another user of the computer owns the file.
    #[error("{0} belongs to another user. Give it to the user of the tracker with chown")]
    Foreign(String),
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
    /// Reads the policy from the settings and from the file of codes. It may block for as long as the disk does.
    pub fn read(config: &Config) -> Result<Self, PolicyError> {
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
        let file = open_at_once(path, File::options().read(true), true).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(PolicyError::NotAFile(shown));
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt as _;
            if metadata.mode() & 0o077 != 0 {
                return Err(PolicyError::Exposed(shown));
            }
            if ![rustix::process::geteuid().as_raw(), 0].contains(&metadata.uid()) {
                return Err(PolicyError::Foreign(shown));
            }
        }
        let mut text = String::new();
        let read = file.take(REGISTRATION_CODES_BYTES + 1).read_to_string(&mut text).map_err(failed)?;
        if read as u64 > REGISTRATION_CODES_BYTES {
            return Err(PolicyError::TooLarge(shown));
        }
        // Some editors write a byte order mark.
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
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
    use std::fs;

    use super::*;

    #[cfg(unix)]
    #[test]
    fn codes_come_from_a_regular_file_of_the_own_user() {
        use std::os::unix::fs::{PermissionsExt, chown};

        let folder = tempfile::tempdir().unwrap();
        let (pipe, path) = (folder.path().join("pipe"), folder.path().join("codes"));
        let read = |path: &Path| {
            let registration_code_file = Some(path.to_owned());
            Policy::read(&Config {
                registration: RegistrationMode::Code,
                registration_code_file,
                ..Config::default()
            })
        };
        // Without a writer, a read of the pipe would wait for ever.
        let made = std::process::Command::new("mkfifo").args(["-m", "600"]).arg(&pipe).status().unwrap();
        assert!(made.success());
        assert!(matches!(read(&pipe), Err(PolicyError::NotAFile(_))));
        assert!(matches!(read(folder.path()), Err(PolicyError::NotAFile(_))));
        fs::write(&path, "\u{feff}first\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let Registration::Code(codes) = read(&path).unwrap().registration else { panic!("by code") };
        assert!(codes.contain(&Secret("first".to_owned())), "without the byte order mark");
        // Only root can give a file away.
        if chown(&path, Some(12_345), None).is_ok() {
            assert!(matches!(read(&path), Err(PolicyError::Foreign(_))));
        }
    }

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
        assert!(!format!("{policy:?}").contains("second"), "no code in a log");
        let Registration::Code(codes) = policy.registration else { panic!("by code") };
        let contains = |code: &str| codes.contain(&Secret(code.to_owned()));
        assert!(contains("first") && contains("second") && contains(" second"));
        assert!(!contains("") && !contains("firs") && !contains("third"));
    }
}
