//! The prompts at a terminal before the line editor starts, one row each.

use std::io;
use std::path::PathBuf;
use std::thread;

use commons::limits::PASSWORD_MIN_CHARS;
use tokio::sync::oneshot;

use crate::api::error::CommandError;
use crate::api::status::Status;
use crate::api::tracker_loss::TrackerLoss;
use crate::frontends::terminal::fatal_errors;
use crate::frontends::terminal::tty;
use crate::identity::password::Password;

/// The question for a password.
pub(crate) const PASSWORD: &str = "Password: ";

/// The reply if the two new passwords differ.
const DIFFERENT: &str = "The two are different. Type the password again, twice.\n";

/// The reason why no user is signed in.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// Data is missing, and no person can be asked.
    #[error("{0}")]
    Usage(&'static str),
    /// The password's file cannot be read.
    #[error("cannot read the password from {0}: {1}")]
    PasswordFile(PathBuf, io::Error),
    /// The sign-in was refused, or failed.
    #[error("{}", fatal_errors::rows(.0).join("\n"))]
    Refused(#[from] CommandError),
    /// No program answers at the tracker's address.
    #[error("{}", fatal_errors::no_tracker(.0, *.1).join("\n"))]
    NoTracker(String, Option<TrackerLoss>),
    /// The person left a question without an answer.
    #[error("nobody signed in")]
    Left,
    /// An operation on the terminal failed.
    #[error("cannot ask at this terminal: {0}")]
    Terminal(#[from] io::Error),
}

impl SignInError {
    /// Returns the error that this peer's tracker does not answer, for this reason.
    #[must_use]
    pub fn no_tracker(status: Status, why: Option<TrackerLoss>) -> Self {
        Self::NoTracker(status.tracker_address, why)
    }
}

/// Asks for a line that is shown while it is typed.
pub(crate) async fn prompt_line(question: &'static str) -> Result<String, SignInError> {
    answered(move || tty::prompt(question)).await
}

/// Asks a question whose empty answer is a yes.
pub(crate) async fn prompt_yes(question: String) -> Result<bool, SignInError> {
    prompt_choice(question, Some(true)).await
}

/// Asks for a consent, which must be typed.
pub(crate) async fn prompt_consent(question: String) -> Result<bool, SignInError> {
    prompt_choice(question, None).await
}

async fn prompt_choice(question: String, default: Option<bool>) -> Result<bool, SignInError> {
    loop {
        let question = question.clone();
        let typed = answered(move || tty::prompt(&question)).await?.trim().to_lowercase();
        let chosen = match typed.as_str() {
            "" => default,
            "y" | "yes" | "s" | "sim" => Some(true),
            "n" | "no" | "não" => Some(false),
            _ => None,
        };
        match chosen {
            Some(chosen) => return Ok(chosen),
            None => print("Type y or n.\n".to_owned()).await?,
        }
    }
}

/// Asks for a password. A new one is typed twice, because nobody can see a typing error.
pub(crate) async fn prompt_password(question: String, new: bool) -> Result<Password, SignInError> {
    loop {
        let password = prompt_hidden(question.clone()).await?;
        if password.is_empty() {
            print("A password needs at least one character.\n".to_owned()).await?;
            continue;
        }
        if new && password.is_too_short() {
            print(too_short()).await?;
        } else if !new || is_repeated(&password).await? {
            return Ok(password);
        } else {
            print(DIFFERENT.to_owned()).await?;
        }
    }
}

/// Asks for a password that may be empty.
pub(crate) async fn prompt_hidden(question: String) -> Result<Password, SignInError> {
    Ok(Password::typed(answered(move || tty::prompt_hidden(&question)).await?))
}

/// Returns true if the user repeats the new password correctly.
async fn is_repeated(password: &Password) -> Result<bool, SignInError> {
    Ok(prompt_hidden("The same again: ".to_owned()).await? == *password)
}

/// Returns the typed password if the user repeats it and it is long enough; else a new one, typed twice.
pub(crate) async fn confirmed(password: Password) -> Result<Password, SignInError> {
    if password.is_too_short() {
        print(too_short()).await?;
    } else if is_repeated(&password).await? {
        return Ok(password);
    } else {
        print(DIFFERENT.to_owned()).await?;
    }
    prompt_password(PASSWORD.to_owned(), true).await
}

/// Says that a new password is too short, as rows of a narrow screen.
fn too_short() -> String {
    format!(
        "A new password needs at least {PASSWORD_MIN_CHARS} characters. If you lose it, nobody can open\n\
         your history, and only the tracker's operator can restore your account.\n"
    )
}

pub(crate) async fn print(text: String) -> Result<(), SignInError> {
    answered(move || tty::say(&text).map(|()| Some(String::new()))).await.map(drop)
}

/// Asks on a separate thread, which is abandoned if the program ends before the answer.
async fn answered(
    prompt: impl FnOnce() -> io::Result<Option<String>> + Send + 'static,
) -> Result<String, SignInError> {
    let (answer, answered) = oneshot::channel();
    thread::Builder::new().name("question".to_owned()).spawn(move || answer.send(prompt()))?;
    answered.await.map_err(|_| SignInError::Left)??.ok_or(SignInError::Left)
}
