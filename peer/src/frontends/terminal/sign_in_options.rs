//! The data for a sign-in that flags, files and the environment provide.

use std::path::PathBuf;

use commons::names::Username;

use crate::api::sign_in::Consent;
use crate::frontends::terminal::start_prompts::{SignInError, prompt_password};
use crate::identity::password::Password;

/// The sign-in data that is known before the user is asked.
#[derive(Debug, Clone, Default)]
pub struct SignInOptions {
    /// The name of the user.
    pub username: Option<Username>,
    /// True if the account is to be created.
    pub register: bool,
    /// The source of the password.
    pub password: PasswordSource,
    /// The file with the registration code, if there is one.
    pub code_file: Option<PathBuf>,
    /// The steps to which the user has consented.
    pub consent: Consent,
    /// True if a person can be asked for the rest.
    pub interactive: bool,
}

/// The source of the password.
#[derive(Clone, Default)]
pub enum PasswordSource {
    /// A person who can be asked.
    #[default]
    Prompt,
    /// A file; the line end after the password does not count.
    File(PathBuf),
    /// The password itself, from the environment.
    Value(String),
}

/// Hides the password: it stays out of logs.
impl std::fmt::Debug for PasswordSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Prompt => "Prompt",
            Self::File(_) => "File",
            Self::Value(_) => "Value(..)",
        })
    }
}

impl SignInOptions {
    /// Returns true if nothing has to be asked. A user whose account is on this device may leave the name away.
    pub(crate) fn is_complete(&self, has_account: bool) -> bool {
        self.has_password() && (has_account || self.username.is_some())
    }

    /// Returns true if the password comes from a file or the environment.
    pub(crate) fn has_password(&self) -> bool {
        !matches!(self.password, PasswordSource::Prompt)
    }

    /// Checks that there is a source for the password: a file, the environment, or a person.
    pub(crate) fn has_password_source(&self) -> Result<(), SignInError> {
        if self.interactive || !matches!(self.password, PasswordSource::Prompt) {
            return Ok(());
        }
        Err(SignInError::Usage(
            "a password is needed: --password-file FILE, or PEER_PASSWORD in the environment",
        ))
    }

    /// Returns the registration code, if a file holds it.
    pub(crate) fn code(&self) -> Result<Option<Password>, SignInError> {
        self.code_file.as_ref().map(read_password).transpose()
    }

    /// Returns the password. A person is asked if it is not known: twice if it is a new one.
    pub(crate) async fn password(&self, question: &str, new: bool) -> Result<Password, SignInError> {
        self.has_password_source()?;
        Ok(match &self.password {
            PasswordSource::Value(password) => Password::typed(password.clone()),
            PasswordSource::File(path) => read_password(path)?,
            PasswordSource::Prompt => prompt_password(question.to_owned(), new).await?,
        })
    }
}

fn read_password(path: &PathBuf) -> Result<Password, SignInError> {
    let text =
        std::fs::read_to_string(path).map_err(|error| SignInError::PasswordFile(path.clone(), error))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(Password::typed(text.strip_suffix('\r').unwrap_or(text)))
}
