//! The sign-in at the program's start.
//!
//! A terminal asks for missing data; otherwise flags and files provide it.

use std::io;
use std::path::{Path, PathBuf};
use std::thread;

use commons::limits::PASSWORD_MIN_CHARS;
use commons::names::Username;
use commons::protocol::with_tracker::ErrorCode;
use tokio::sync::oneshot;

use crate::api::error::CommandError;
use crate::api::tracker_loss::TrackerLoss;
use crate::identity::device_key::SignIn;
use crate::identity::password::Password;
use crate::limits::SIGN_IN_TRIES;
use crate::service::PeerService;
use crate::terminal::account_recovery::come_back;
use crate::terminal::counted::counted;
use crate::terminal::fatal_errors;
use crate::terminal::retry_wait::with_wait;
use crate::terminal::sanitize::sanitize;
use crate::terminal::tty;
use crate::terminal::who::{ask_name, who};

/// The question for a password.
pub(crate) const PASSWORD: &str = "Password: ";

/// The reply if the two new passwords differ.
const DIFFERENT: &str = "The two are different. Type the password again, twice.\n";

/// The sign-in data that is known before the user is asked.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// The name of the user.
    pub username: Option<Username>,
    /// True if the account is to be created.
    pub register: bool,
    /// The source of the password.
    pub password: PasswordSource,
    /// True if a person can be asked for the rest.
    pub interactive: bool,
}

/// The source of the password.
#[derive(Clone, Default)]
pub enum PasswordSource {
    /// A person who can be asked.
    #[default]
    Asked,
    /// A file; the line end after the password does not count.
    File(PathBuf),
    /// The password itself, from the environment.
    Given(String),
}

/// Hides the password: it stays out of logs.
impl std::fmt::Debug for PasswordSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Asked => "Asked",
            Self::File(_) => "File",
            Self::Given(_) => "Given(..)",
        })
    }
}

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
    /// Returns the error that this peer's tracker does not answer.
    #[must_use]
    pub fn no_tracker(service: &PeerService) -> Self {
        Self::NoTracker(service.status().tracker_address, service.tracker_failed())
    }
}

impl Known {
    /// Checks that there is a source for the password: a file, the environment, or a person.
    pub(crate) fn has_password_source(&self) -> Result<(), SignInError> {
        if self.interactive || !matches!(self.password, PasswordSource::Asked) {
            return Ok(());
        }
        Err(SignInError::Usage(
            "a password is needed: --password-file FILE, or PEER_PASSWORD in the environment",
        ))
    }

    /// Returns the password. A person is asked if it is not known: twice if it is a new one.
    pub(crate) async fn password(&self, question: &str, new: bool) -> Result<Password, SignInError> {
        self.has_password_source()?;
        Ok(match &self.password {
            PasswordSource::Given(password) => Password::typed(password.clone()),
            PasswordSource::File(path) => read_password(path)?,
            PasswordSource::Asked => ask_password(question.to_owned(), new).await?,
        })
    }
}

/// Signs in, and asks a person for missing data. A user who is new on this device is asked for the password once. The
/// sign-in tries it, and offers a new account only if the tracker does not accept it.
pub async fn sign_in(service: &std::sync::Arc<PeerService>, known: Known) -> Result<Username, SignInError> {
    let first = who(&known, &service.accounts()).await?;
    known.has_password_source()?;
    let (mut username, mut register) = (first.username, known.register);
    if known.interactive
        && !register
        && matches!(known.password, PasswordSource::Asked)
        && !service.knows(&username)
    {
        tell(format!(
            "{username} is new on this computer: type the password of the account, or choose one.\n"
        ))
        .await?;
    }
    // A password that was typed already, to use in the next attempt.
    let mut typed = None;
    let mut tries = 0;
    loop {
        let is_new = !service.knows(&username);
        let password = match typed.take() {
            Some(password) => password,
            None => known.password(&first.question, register && is_new).await?,
        };
        let who = SignIn { username: username.clone(), password, register, changed_to: None };
        let error = match try_in(service, &who, known.interactive).await? {
            Ok(()) => return Ok(username),
            Err(CommandError::TrackerLost) => {
                return Err(SignInError::no_tracker(service));
            }
            Err(error) if !known.interactive => return Err(SignInError::Refused(error)),
            Err(error) => error,
        };
        tries += 1;
        let (can_retype, left) =
            (matches!(known.password, PasswordSource::Asked), SIGN_IN_TRIES.saturating_sub(tries));
        match &error {
            CommandError::AccountUnknown(_) | CommandError::PasswordChanged(_) => {
                let is_there = matches!(error, CommandError::PasswordChanged(_));
                return come_back(service, who, is_there).await.map(|()| username);
            }
            CommandError::Refused { code: ErrorCode::InvalidCredentials, .. } if is_new => {
                let why = match make_account(service, &known, who).await? {
                    Offered::Made => return Ok(username),
                    Offered::Declined => "Once more",
                    Offered::Assembled => "Wrong password, for that name has an account",
                };
                if !can_retype || left == 0 {
                    return Err(SignInError::Refused(error));
                }
                tell(tries_left(why, left)).await?;
            }
            _ if left == 0 => return Err(SignInError::Refused(error)),
            CommandError::Refused { code: ErrorCode::UsernameTaken, .. } => {
                if ask_yes(format!("{username} has an account already. Log in to it? [Y/n] ")).await? {
                    typed = Some(who.password);
                } else {
                    username = ask_name().await?;
                }
                register = false;
            }
            CommandError::Refused { code: ErrorCode::InvalidCredentials, .. } if can_retype => {
                tell(tries_left("Wrong password", left)).await?;
                register = false;
            }
            CommandError::SealShut { folder, .. } | CommandError::KeyHere { folder, .. } if can_retype => {
                tell(shut(folder, register, left)).await?;
            }
            _ => return Err(SignInError::Refused(error)),
        }
    }
}

/// The outcome of the offer to create an account.
enum Offered {
    /// The user is signed in to a new account.
    Made,
    /// The user did not want a new account.
    Declined,
    /// The name belongs to an existing account.
    Assembled,
}

/// Offers to create an account, after the tracker refused the name with this password.
async fn make_account(service: &PeerService, known: &Known, who: SignIn) -> Result<Offered, SignInError> {
    let question = format!(
        "This tracker has no account {} with this password.\nMake one? [Y/n] (n: it was mistyped) ",
        who.username
    );
    if !ask_yes(question).await? {
        return Ok(Offered::Declined);
    }
    let password = match known.password {
        PasswordSource::Asked => confirmed(who.password).await?,
        PasswordSource::File(_) | PasswordSource::Given(_) => who.password,
    };
    match try_in(service, &SignIn { password, register: true, ..who }, true).await? {
        Ok(()) => Ok(Offered::Made),
        Err(CommandError::Refused { code: ErrorCode::UsernameTaken, .. }) => Ok(Offered::Assembled),
        Err(CommandError::TrackerLost) => Err(SignInError::no_tracker(service)),
        Err(error) => Err(SignInError::Refused(error)),
    }
}

/// Returns the typed password if the user repeats it and it is long enough; else a new one, typed twice.
async fn confirmed(password: Password) -> Result<Password, SignInError> {
    if password.is_too_short() {
        tell(too_short()).await?;
    } else if is_repeated(&password).await? {
        return Ok(password);
    } else {
        tell(DIFFERENT.to_owned()).await?;
    }
    ask_password(PASSWORD.to_owned(), true).await
}

fn tries_left(why: &str, left: usize) -> String {
    format!("{why}: {}, Ctrl-C ends.\n", counted(left, "try left", "tries left"))
}

/// Says that a password does not open the key on this device, as rows of a narrow screen.
fn shut(folder: &Path, new: bool, left: usize) -> String {
    let left = counted(left, "try left", "tries left");
    let advice = if new {
        "It is in this folder, with the history under it. To begin anew, without both,\n\
         move the folder away:"
    } else {
        "If it was changed elsewhere, the one that this computer was last used with\n\
         opens it. If nobody knows that one, move the folder with the key away, and\n\
         begin anew, without the history in it:"
    };
    let folder = folder.display();
    format!(
        "Wrong password: it does not open your key on this computer.\n{advice}\n{folder}\n{left}, Ctrl-C ends.\n"
    )
}

/// Tries to sign in. While the tracker only asks for a delay, a person may try again.
pub(crate) async fn try_in(
    service: &PeerService,
    who: &SignIn,
    interactive: bool,
) -> Result<Result<(), CommandError>, SignInError> {
    loop {
        let tried = service.sign_in(who.clone()).await;
        let Err(
            CommandError::Refused { code, msg, retry_after }
            | CommandError::TurnedAway { code, msg, retry_after, .. },
        ) = &tried
        else {
            return Ok(tried);
        };
        let put_off = matches!(code, ErrorCode::TooManyAttempts | ErrorCode::RateLimited | ErrorCode::Busy);
        if !(put_off && interactive) {
            return Ok(tried);
        }
        let told = with_wait(sanitize(msg), *retry_after);
        if !ask_yes(format!("{told}. Try again? [Y/n] ")).await? {
            return Err(SignInError::Left);
        }
    }
}

fn read_password(path: &PathBuf) -> Result<Password, SignInError> {
    let text =
        std::fs::read_to_string(path).map_err(|error| SignInError::PasswordFile(path.clone(), error))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(Password::typed(text.strip_suffix('\r').unwrap_or(text)))
}

pub(crate) async fn ask_yes(question: String) -> Result<bool, SignInError> {
    loop {
        let question = question.clone();
        match asked(move || tty::ask(&question)).await?.trim().to_lowercase().as_str() {
            "" | "y" | "yes" | "s" | "sim" => return Ok(true),
            "n" | "no" | "não" => return Ok(false),
            _ => tell("Type y or n.\n".to_owned()).await?,
        }
    }
}

/// Asks for a password. A new one is typed twice, because nobody can see a typing error.
pub(crate) async fn ask_password(question: String, new: bool) -> Result<Password, SignInError> {
    loop {
        let question = question.clone();
        let password = asked(move || tty::ask_hidden(&question)).await?;
        if password.is_empty() {
            tell("A password needs at least one character.\n".to_owned()).await?;
            continue;
        }
        let password = Password::typed(password);
        if new && password.is_too_short() {
            tell(too_short()).await?;
        } else if !new || is_repeated(&password).await? {
            return Ok(password);
        } else {
            tell(DIFFERENT.to_owned()).await?;
        }
    }
}

/// Returns true if the user repeats the new password correctly.
async fn is_repeated(password: &Password) -> Result<bool, SignInError> {
    let again = asked(|| tty::ask_hidden("The same again: ")).await?;
    Ok(Password::typed(again) == *password)
}

/// Says that a new password is too short, as rows of a narrow screen.
fn too_short() -> String {
    format!(
        "A new password needs at least {PASSWORD_MIN_CHARS} characters. If you lose it, nobody can open\n\
         your history, and only the tracker's operator can restore your account.\n"
    )
}

pub(crate) async fn tell(text: String) -> Result<(), SignInError> {
    asked(move || tty::say(&text).map(|()| Some(String::new()))).await.map(drop)
}

/// Asks on a separate thread, which is abandoned if the program ends before the answer.
pub(crate) async fn asked(
    ask: impl FnOnce() -> io::Result<Option<String>> + Send + 'static,
) -> Result<String, SignInError> {
    let (answer, asked) = oneshot::channel();
    thread::Builder::new().name("question".to_owned()).spawn(move || answer.send(ask()))?;
    asked.await.map_err(|_| SignInError::Left)??.ok_or(SignInError::Left)
}
